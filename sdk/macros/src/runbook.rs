//! The doc comment of a rule is its runbook.
//!
//! First paragraph: what the alert says happened. Then, up to the first heading, why it matters. Then three sections that
//! every alert carries, so every rule must have them: `# Check`, `# Act`, `# False positives`, each a list.

/// A rule's comment, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runbook {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) check: Vec<String>,
    pub(crate) act: Vec<String>,
    pub(crate) false_positives: Vec<String>,
}

const EXAMPLE: &str = "a rule's comment is its runbook, which every alert carries:\n\n    \
    /// One sentence: what happened.\n    ///\n    \
    /// # Check\n    /// - what to look at first\n    ///\n    \
    /// # Act\n    /// - what to do if it is an attack\n    ///\n    \
    /// # False positives\n    /// - what looks alike and is harmless";

/// Takes the lines of a comment apart.
pub(crate) fn parse(lines: &[String]) -> Result<Runbook, String> {
    let mut runbook = Runbook::default();
    let mut paragraphs: Vec<String> = Vec::new();
    let mut section: Option<&str> = None;
    let mut open = false; // whether the next line continues the last paragraph or item
    for line in lines {
        let text = line.trim();
        if let Some(heading) = text.strip_prefix("# ") {
            section = Some(match heading.trim() {
                "Check" => "Check",
                "Act" => "Act",
                "False positives" => "False positives",
                other => {
                    return Err(format!(
                        "the section `# {other}` is none of `# Check`, `# Act`, `# False positives`"
                    ));
                }
            });
            open = false;
            continue;
        }
        let list = match section {
            None => &mut paragraphs,
            Some("Check") => &mut runbook.check,
            Some("Act") => &mut runbook.act,
            Some(_) => &mut runbook.false_positives,
        };
        if text.is_empty() {
            open = false;
        } else if let (Some(_), Some(item)) = (section, text.strip_prefix("- ")) {
            list.push(item.trim().to_owned());
            open = true;
        } else if let (true, Some(last)) = (open, list.last_mut()) {
            last.push(' ');
            last.push_str(text);
        } else if let Some(section) = section {
            return Err(format!(
                "in `# {section}` each step starts with `- `; this line does not: `{text}`"
            ));
        } else {
            list.push(text.to_owned());
            open = true;
        }
    }
    let mut paragraphs = paragraphs.into_iter();
    runbook.title = paragraphs
        .next()
        .ok_or_else(|| format!("the rule has no comment; {EXAMPLE}"))?;
    runbook.description = paragraphs.collect::<Vec<_>>().join("\n\n");
    let sections = [
        ("Check", &runbook.check),
        ("Act", &runbook.act),
        ("False positives", &runbook.false_positives),
    ];
    match sections.iter().find(|(_, items)| items.is_empty()) {
        Some((missing, _)) => Err(format!("the section `# {missing}` is missing or empty; {EXAMPLE}")),
        None => Ok(runbook),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_whole_runbook() {
        let text = "A user said no.\n\nWhy it\nmatters.\n\nMore.\n\n# Check\n- Ask,\n  politely.\n- Look.\n\n# Act\n- Reset.\n\n# False positives\n- A slip.";
        let runbook = parse(&lines(text)).unwrap();
        assert_eq!(runbook.title, "A user said no.");
        assert_eq!(runbook.description, "Why it matters.\n\nMore.");
        assert_eq!(runbook.check, ["Ask, politely.", "Look."]);
        assert_eq!(runbook.act, ["Reset."]);
        assert_eq!(runbook.false_positives, ["A slip."]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |text: &str| parse(&lines(text)).unwrap_err();
        assert!(error("").contains("no comment"));
        assert!(error("A.\n# Check\n- a\n# Act\n- b").contains("`# False positives` is missing"));
        assert!(error("A.\n# Act\n- b\n# False positives\n- c").contains("`# Check` is missing"));
        assert!(error("A.\n# Checks\n- a").contains("`# Checks` is none of"));
        assert!(error("A.\n# Check\nlook").contains("starts with `- `"));
    }
}
