//! What is wrong with a configuration: file, line, column, what is wrong, what would be right. Never a secret.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Which file.
    pub(crate) file: PathBuf,
    /// Line and column, from 1, where known.
    pub(crate) place: Option<(u64, u64)>,
    /// What is wrong.
    pub(crate) what: String,
    /// What would be right.
    pub(crate) hint: Option<String>,
    /// The line, unless it may hold a secret.
    line: Option<String>,
}

/// Everything that is wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problem {
    pub(crate) fn new(file: &Path, what: impl Into<String>) -> Self {
        Problem {
            file: file.to_owned(),
            place: None,
            what: what.into(),
            hint: None,
            line: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at a line and a column, both from 1, of a file whose text is not shown.
    pub(crate) fn on(self, line: u64, column: u64) -> Self {
        Problem {
            place: Some((line, column)),
            ..self
        }
    }

    /// Points at a place in the file's text.
    pub(crate) fn at(mut self, location: serde_saphyr::Location, text: &str) -> Self {
        if location.line() == 0 {
            return self;
        }
        self.place = Some((location.line(), location.column()));
        let index = usize::try_from(location.line() - 1).ok();
        let line = index.filter(|index| !may_hold_secret(text, *index));
        self.line = line.and_then(|index| text.lines().nth(index)).map(str::to_owned);
        self
    }

    /// What the YAML reader found wrong.
    pub(crate) fn yaml(file: &Path, text: &str, error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let location = error.location();
        let on_secret = location
            .and_then(|location| usize::try_from(location.line().saturating_sub(1)).ok())
            .is_some_and(|index| may_hold_secret(text, index));
        let message = error.to_string();
        let message = message.lines().next().unwrap_or("cannot be read");
        let message = without_location(message.strip_prefix("error: ").unwrap_or(message));
        // The reader's word on a way out is for programmers.
        let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or(message);
        // These name a key and no value.
        let is_about_key = ["unknown field", "duplicate"]
            .iter()
            .any(|start| message.starts_with(start));
        let on_secret = on_secret && !is_about_key;
        let message = if on_secret {
            "the secret cannot be read as a text (its value is not shown)".to_owned()
        } else {
            message.to_owned()
        };
        let hint = if on_secret {
            Some("put it in quotes".to_owned())
        } else {
            did_you_mean(&message)
        };
        let problem = Problem {
            hint,
            ..Problem::new(file, message)
        };
        location.map_or(problem.clone(), |location| problem.at(location, text))
    }
}

/// The reader's own "line 3 column 5: " or " at line 3, column 5" says again what the problem's place says.
fn without_location(message: &str) -> &str {
    let message = match message.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => message,
    };
    message
        .rfind(" at line ")
        .and_then(|at| message.get(..at))
        .unwrap_or(message)
}

/// Whether a line may hold a secret: by itself, or because it goes on with the value of a key that does. `index`: from 0.
fn may_hold_secret(text: &str, index: usize) -> bool {
    let so_far: Vec<&str> = text.lines().take(index.saturating_add(1)).collect();
    for line in so_far.iter().rev() {
        if is_secret(line) {
            return true;
        }
        if line.contains(": ") || line.trim_end().ends_with(':') {
            return false;
        }
    }
    false
}

/// A line that may hold a secret; a proxy's address may hold a password.
fn is_secret(line: &str) -> bool {
    let line = line.trim_start().to_ascii_lowercase();
    ["secret", "skey", "password", "token", "proxy", "credential", "url:"]
        .iter()
        .any(|word| line.contains(word))
}

/// The nearest of the names that an "unknown field `x`, expected one of a, b" message offers.
fn did_you_mean(message: &str) -> Option<String> {
    if ["invalid floating point", "invalid integer"].contains(&message) {
        return Some("write a number alone, without a unit".to_owned());
    }
    let (unknown, expected) = message.split_once(", expected ")?;
    if !unknown.starts_with("unknown field") && !unknown.starts_with("unknown variant") {
        return None;
    }
    let wrong = unknown.split('`').nth(1)?;
    let names = expected
        .trim_start_matches("one of ")
        .split(", ")
        .map(|name| name.trim_matches('`'));
    let (distance, nearest) = names.map(|name| (edits(wrong, name), name)).min()?;
    (distance <= 3 && distance < nearest.len()).then(|| format!("did you mean `{nearest}`?"))
}

/// `did you mean ...? `, before what else there is to say, where one of the names is near; else nothing.
pub(super) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let near = names.min_by_key(|known| edits(wrong, known));
    let near = near.filter(|known| edits(wrong, known) <= 4);
    near.map_or(String::new(), |known| format!("did you mean `{known}`? "))
}

/// Insertions, deletions and replacements from one word to the other.
pub(crate) fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (other, cell) in to.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            left = (left + 1).min(above + 1).min(diagonal + usize::from(letter != *other));
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.what)?;
        if let (Some(text), Some((line, column))) = (&self.line, self.place) {
            let indent = usize::try_from(column.saturating_sub(1)).unwrap_or(0);
            write!(
                f,
                "\n  {line:>4} | {text}\n       | {}^",
                " ".repeat(indent.min(text.len()))
            )?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems(vec![problem])
    }
}
