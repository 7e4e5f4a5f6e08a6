//! What a check says, and in which order.

use serde_json::json;

use crate::cli::Format;
use crate::out::out;
use crate::when;

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Ok,
    /// It works, and yet should be changed.
    Warning,
    Wrong,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Wrong => "wrong",
        }
    }
}

/// One thing that was checked.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) level: Level,
    /// Whose, if it is a tenant's.
    pub(super) tenant: Option<String>,
    /// Which log or kind of inventory was asked for; none: the account as a whole.
    pub(super) log: Option<String>,
    /// Which sink.
    pub(super) sink: Option<String>,
    /// Id of the test alert that it was sent.
    pub(super) sent: Option<String>,
    /// For programs: what is wrong.
    pub(super) kind: Option<&'static str>,
    /// What is wrong, in words.
    pub(super) problem: Option<String>,
    /// What to do.
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(what: impl Into<String>) -> Self {
        Finding {
            what: what.into(),
            level: Level::Ok,
            tenant: None,
            log: None,
            sink: None,
            sent: None,
            kind: None,
            problem: None,
            advice: None,
        }
    }

    pub(super) fn wrong(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Finding {
            level: Level::Wrong,
            problem: Some(problem.into()),
            ..Finding::ok(what)
        }
    }

    pub(super) fn warning(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Finding {
            level: Level::Warning,
            ..Finding::wrong(what, problem)
        }
    }

    fn words(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        Some(match &self.advice {
            None => problem.clone(),
            Some(advice) => format!("{problem}\n{advice}"),
        })
    }
}

/// What one account was asked, and what it answered.
pub(super) struct AccountFindings {
    /// `acme at api-XXXXXXXX.duosecurity.com`.
    pub(super) what: String,
    /// One for each log and kind asked.
    pub(super) findings: Vec<Finding>,
}

/// Prints.
pub(super) struct Report {
    format: Format,
    /// To be printed at the end.
    troubles: Vec<(Level, String)>,
    accounts: [usize; 3],
    is_well: bool,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        Report {
            format,
            troubles: Vec::new(),
            accounts: [0; 3],
            is_well: true,
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.is_well &= finding.level != Level::Wrong;
        match (self.format, finding.words()) {
            (Format::Ndjson, words) => line(&finding, words.as_deref()),
            (Format::Text, None) => out!("ok     {}", finding.what),
            (Format::Text, Some(words)) => self.troubles.push((finding.level, told(&finding.what, &words))),
        }
    }

    /// An account a line where all is well; else what is wrong, equal troubles together.
    pub(super) fn account(&mut self, account: AccountFindings) {
        let level = account.findings.iter().map(|finding| finding.level).max();
        let level = level.unwrap_or(Level::Ok);
        if let Some(count) = self.accounts.get_mut(level as usize) {
            *count += 1;
        }
        if self.format == Format::Ndjson {
            for finding in account.findings {
                self.add(finding);
            }
            return;
        }
        self.is_well &= level != Level::Wrong;
        let names = |findings: &[&Finding]| {
            let names: Vec<&str> = findings.iter().filter_map(|finding| finding.log.as_deref()).collect();
            names.join(", ")
        };
        let good: Vec<&Finding> = account
            .findings
            .iter()
            .filter(|finding| finding.level == Level::Ok)
            .collect();
        if !good.is_empty() {
            out!("ok     {}: {}", account.what, names(&good));
        }
        let mut groups: Vec<(Level, String, Vec<&Finding>)> = Vec::new();
        for finding in &account.findings {
            let Some(words) = finding.words() else { continue };
            match groups.iter_mut().find(|(_, known, _)| *known == words) {
                Some((_, _, group)) => group.push(finding),
                None => groups.push((finding.level, words, vec![finding])),
            }
        }
        for (level, words, group) in groups {
            let names = names(&group);
            let what = if names.is_empty() {
                account.what.clone()
            } else {
                format!("{}: {names}", account.what)
            };
            self.troubles.push((level, told(&what, &words)));
        }
    }

    /// The troubles, the worst last, and the sum. True: nothing is wrong.
    pub(super) fn end(mut self) -> bool {
        self.troubles.sort();
        for (level, text) in &self.troubles {
            match level {
                Level::Wrong => out!("WRONG  {text}"),
                Level::Warning | Level::Ok => out!("warn   {text}"),
            }
        }
        let [well, warned, wrong] = self.accounts;
        if self.format == Format::Text && well + warned + wrong > 0 {
            let all = well + warned + wrong;
            let mut parts = vec![
                format!("{all} {}", when::plural(all, "account")),
                format!("{well} well"),
            ];
            if warned > 0 {
                parts.push(format!("{warned} with a warning"));
            }
            if wrong > 0 {
                parts.push(format!("{wrong} wrong"));
            }
            out!("{}: {}", parts.remove(0), parts.join(", "));
        }
        self.is_well
    }
}

fn told(what: &str, words: &str) -> String {
    format!("{what}\n       {}", words.replace('\n', "\n       "))
}

fn line(finding: &Finding, words: Option<&str>) {
    let wrong = words.filter(|_| finding.level == Level::Wrong);
    out!(
        "{}",
        json!({
            "check": finding.what,
            "ok": finding.level != Level::Wrong,
            "level": finding.level.name(),
            "wrong": wrong,
            "tenant": finding.tenant,
            "log": finding.log,
            "sink": finding.sink,
            "sent": finding.sent,
            "kind": finding.kind,
            "problem": finding.problem,
            "advice": finding.advice,
        })
    );
}
