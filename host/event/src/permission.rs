//! What the operator lets a module read of what it declares: fields that are refused it, and clear numbers that are granted.
//!
//! A refused field is null for the module's rules, whatever leads to it: the path itself, as received, what the host derives
//! from it, and an object's JSON that it stands in. A rule that cannot do without (the field is required, or its condition
//! reads it) does not go live, for it would mean something else.

use picket_contract::manifest::RuleManifest;

use crate::path::segments;

/// Nothing granted and nothing refused: what a module has of which the operator says nothing.
pub(crate) const ORDINARY: &Permission = &Permission {
    clear: false,
    raw: false,
    denied: Vec::new(),
};

/// What one module may read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Permission {
    clear: bool,
    raw: bool,
    denied: Vec<Denial>,
}

/// A refused path, with everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Denial {
    written: String,
    segments: Vec<String>,
}

/// How a module is shown a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum View {
    /// As anybody is: with pseudonyms where phone numbers are.
    Masked,
    /// With phone numbers in clear.
    Clear,
    /// As null.
    Denied,
}

/// Why a field is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why<'a> {
    /// By what the operator wrote.
    Denied(&'a str),
    /// Phone numbers as received stand there.
    Raw,
}

impl Permission {
    /// Clear phone numbers in fields.
    #[must_use]
    pub fn granting_clear(self) -> Self {
        Permission { clear: true, ..self }
    }

    /// Fields as received (`raw.`) where phone numbers stand.
    #[must_use]
    pub fn granting_raw(self) -> Self {
        Permission { raw: true, ..self }
    }

    /// Refuses a path (`user.email`) or all below one (`access_device.*`).
    ///
    /// # Errors
    /// It is no path.
    pub fn denying(mut self, written: &str) -> Result<Self, String> {
        let path = written.strip_suffix(".*").unwrap_or(written);
        let path = path.strip_prefix("raw.").unwrap_or(path);
        let found =
            segments(path).filter(|segments| segments.iter().all(|segment| !segment.is_empty() && *segment != "*"));
        let Some(found) = found else {
            return Err(format!(
                "`{written}` is no path of a field; write `user.email`, or `access_device.*` for all below it"
            ));
        };
        self.denied.push(Denial {
            written: written.to_owned(),
            segments: found.into_iter().map(str::to_owned).collect(),
        });
        Ok(self)
    }

    /// This and the other: what either refuses is refused, what either grants is granted.
    #[must_use]
    pub fn and(mut self, other: &Permission) -> Self {
        self.clear |= other.clear;
        self.raw |= other.raw;
        for denial in &other.denied {
            if !self.denied.contains(denial) {
                self.denied.push(denial.clone());
            }
        }
        self
    }

    /// Whether it is that of a module of which the operator says nothing.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        self == ORDINARY
    }

    /// Whether clear phone numbers are granted.
    #[must_use]
    pub fn shows_numbers(&self) -> bool {
        self.clear
    }

    /// Tells it from others: part of what judges.
    #[must_use]
    pub fn words(&self) -> String {
        let granted = [(self.clear, "phone"), (self.raw, "raw")];
        let granted = granted.iter().filter(|(is, _)| *is).map(|(_, word)| format!("+{word}"));
        let mut denied: Vec<String> = self
            .denied
            .iter()
            .map(|denial| format!("-{}", denial.written))
            .collect();
        denied.sort_unstable();
        granted.chain(denied).collect::<Vec<_>>().join(" ")
    }

    /// Why a rule may not go live, a sentence for each field it cannot do without. Empty: it may.
    #[must_use]
    pub fn refusals(&self, rule: &RuleManifest) -> Vec<String> {
        let mut sentences = Vec::new();
        for source in &rule.sources {
            let log = &source.log;
            for field in source.fields.iter().filter(|field| field.required) {
                if let Some(why) = self.why(log, &field.path) {
                    sentences.push(format!("it cannot do without {} of {log}: {}", field.path, why.words()));
                }
            }
            for path in source.when.fields() {
                if let Some(why) = self.why(log, path) {
                    sentences.push(format!("its condition reads {path} of {log}: {}", why.words()));
                }
            }
        }
        sentences.dedup();
        sentences
    }

    /// What a rule that goes live does without, a sentence for each field.
    #[must_use]
    pub fn absences(&self, rule: &RuleManifest) -> Vec<String> {
        let of_source = |source: &picket_contract::Source| -> Vec<String> {
            let optional = source.fields.iter().filter(|field| !field.required);
            let absent = optional.filter_map(|field| Some((field, self.why(&source.log, &field.path)?)));
            absent
                .map(|(field, why)| format!("{} of {} is null: {}", field.path, source.log, why.words()))
                .collect()
        };
        let mut sentences: Vec<String> = rule.sources.iter().flat_map(of_source).collect();
        sentences.sort_unstable();
        sentences.dedup();
        sentences
    }

    pub(crate) fn view(&self, log: &str, path: &str) -> View {
        let may_hold = picket_catalogue::phone(log, path) != picket_catalogue::Phone::Never;
        match self.why(log, path) {
            Some(_) => View::Denied,
            None if may_hold && (self.clear || path.starts_with("raw.")) => View::Clear,
            None => View::Masked,
        }
    }

    fn why(&self, log: &str, path: &str) -> Option<Why<'_>> {
        let reads = reads(log, path);
        let denial = self
            .denied
            .iter()
            .find(|denial| reads.iter().any(|path| denial.meets(path)));
        if let Some(denial) = denial {
            return Some(Why::Denied(&denial.written));
        }
        let is_raw = path.starts_with("raw.") && picket_catalogue::phone(log, path) != picket_catalogue::Phone::Never;
        (is_raw && !self.raw).then_some(Why::Raw)
    }
}

impl Why<'_> {
    fn words(self) -> String {
        match self {
            Why::Denied(written) => format!("the operator refuses it with deny_fields `{written}`"),
            Why::Raw => {
                "phone numbers as received may stand there, which the operator would have to grant: `grant: [raw]`"
                    .to_owned()
            }
        }
    }
}

impl Denial {
    /// Whether it is the path, above it, or below it (so that it stands in the JSON of an object there).
    fn meets(&self, path: &str) -> bool {
        let Some(segments) = segments(path) else {
            return true;
        };
        self.segments
            .iter()
            .zip(segments)
            .all(|(denied, segment)| denied == segment)
    }
}

/// Whether a rule is shown anything of phone numbers, by their pseudonyms or otherwise.
#[must_use]
pub fn reads_numbers(rule: &RuleManifest) -> bool {
    let holds = |log: &str, path: &str| {
        picket_catalogue::phone(log, path) != picket_catalogue::Phone::Never
            || picket_catalogue::part_of(log, path).is_some()
    };
    rule.sources.iter().any(|source| {
        let fields = source.fields.iter().map(|field| field.path.as_str());
        fields.chain(source.when.fields()).any(|path| holds(&source.log, path))
    })
}

/// The paths that a path's value comes from.
fn reads(log: &str, path: &str) -> Vec<String> {
    let own = path.strip_prefix("raw.").unwrap_or(path);
    let own = picket_catalogue::part_of(log, own).map_or(own, |(number, _)| number);
    let from: &[&str] = match (log, own) {
        ("authentication", "access_device.network" | "access_device.ip_hostname") => &["access_device.ip"],
        ("administrator", "access_device.network" | "access_device.ip_hostname") => &["description.ip_address"],
        ("trust_monitor", "access_device.network" | "access_device.ip_hostname") => &["surfaced_auth.access_device.ip"],
        (_, "access_device.network" | "access_device.ip_hostname") => &["access_device.ip.address"],
        (_, "auth_device.number") => &["auth_device.name"],
        ("trust_monitor", "subject.user") => &["surfaced_auth.user.name", "enabled_for.name"],
        ("trust_monitor", "subject.key") => &["surfaced_auth.user.key", "enabled_for.key"],
        ("offline_enrollment", "subject.user") => &["username"],
        ("administrator", "subject.user") => &["object", "description.uname", "description.username", "username"],
        ("administrator", "subject.key") => &["description.user_id"],
        ("activity" | "admin", "subject.user") => &[
            "target.name",
            "target.details.uname",
            "target.details.username",
            "actor.name",
        ],
        ("activity" | "admin", "subject.key") => &["target.key", "target.details.user_id", "actor.key"],
        (_, "subject.user") => &["user.name"],
        (_, "subject.key") => &["user.key"],
        _ => &[],
    };
    let mut reads: Vec<String> = from.iter().map(|path| (*path).to_owned()).collect();
    // For a while Duo put activity's action here.
    if let Some(rest) = own.strip_prefix("action_extended") {
        reads.push(format!("action{rest}"));
    }
    reads.push(own.to_owned());
    reads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denying(paths: &[&str]) -> Permission {
        let all = paths
            .iter()
            .try_fold(Permission::default(), |all, path| all.denying(path));
        all.unwrap_or_else(|error| unreachable!("{error}"))
    }

    #[test]
    fn a_refusal_meets_everything_that_leads_to_the_field() {
        let view = |denied: &str, log: &str, path: &str| denying(&[denied]).view(log, path);
        for (denied, log, path) in [
            ("user.email", "authentication", "user.email"),
            ("access_device.*", "authentication", "access_device.ip"),
            ("access_device", "authentication", "access_device.location.city"),
            ("access_device.ip", "authentication", "raw.access_device.ip"),
            ("access_device.ip", "authentication", "access_device"),
            ("access_device.ip", "authentication", "\"access_device\".\"ip\""),
            ("access_device.ip", "authentication", "access_device.network"),
            ("access_device.ip", "activity", "access_device.ip_hostname"),
            ("auth_device.name", "authentication", "auth_device.number.tail"),
            ("phone", "telephony", "phone.country"),
            ("user.name", "authentication", "subject.user"),
            ("target.name", "admin", "subject.user"),
            ("action.details", "activity", "action_extended.details.x"),
        ] {
            assert_eq!(view(denied, log, path), View::Denied, "{denied} {log} {path}");
        }
        for (denied, log, path) in [
            ("user.email", "authentication", "user.name"),
            ("access_device.ip", "authentication", "access_device.os"),
            ("access", "authentication", "access_device.ip"),
            ("user.name", "authentication", "subject.key"),
        ] {
            assert_eq!(view(denied, log, path), View::Masked, "{denied} {log} {path}");
        }
        for wrong in ["", ".*", "a..b", "*.name", "a.*.b", "a.\"b"] {
            assert!(Permission::default().denying(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_masked_until_they_are_granted() {
        let (none, clear) = (Permission::default(), Permission::default().granting_clear());
        let raw = Permission::default().granting_raw();
        for (path, views) in [
            ("phone", [View::Masked, View::Clear, View::Masked]),
            ("raw.phone", [View::Denied, View::Denied, View::Clear]),
            ("phone.tail", [View::Masked, View::Masked, View::Masked]),
            ("raw.type", [View::Masked, View::Masked, View::Masked]),
            ("something.new", [View::Masked, View::Clear, View::Masked]),
            ("raw.something.new", [View::Denied, View::Denied, View::Clear]),
        ] {
            assert_eq!(
                [&none, &clear, &raw].map(|permission| permission.view("telephony", path)),
                views,
                "{path}"
            );
        }
        assert_eq!(
            clear.clone().and(&denying(&["phone"])).view("telephony", "phone"),
            View::Denied
        );
        assert_eq!(clear.and(&raw).and(&denying(&["b", "a"])).words(), "+phone +raw -a -b");
        assert!(none.is_ordinary() && none.words().is_empty());
    }
}
