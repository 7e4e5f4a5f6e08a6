//! `collect:`: the names of the vendors' guides, and which log each stands for.

use serde_saphyr::{Location, Spanned};

use super::file::SourceFile;
use super::problem::nearest;
use super::tenant::Checker;
use super::{Collect, Problem};

/// As written, and as cursors and `status` call it.
const LOGS: [(&str, &str); 7] = [
    ("authentication", "authentication"),
    ("activity", "activity"),
    ("telephony", "telephony"),
    ("administrator", "administrator"),
    ("offline_access", "offline_enrollment"),
    ("offline_enrollment", "offline_enrollment"),
    ("trust_monitor", "trust_monitor"),
];
/// Not a log, but listed with them.
const INVENTORY: &str = "inventory";

impl Checker<'_> {
    /// What is collected; `whole` is where a word about all of it points.
    pub(super) fn collect(
        &self,
        given: Option<&Vec<Spanned<String>>>,
        source: &SourceFile,
        whole: Location,
        problems: &mut Vec<Problem>,
    ) -> Collect {
        let telephony = self.telephony(source, problems);
        let own = |name: &'static str| if name == "telephony" { telephony } else { name };
        let Some(given) = given else {
            return Collect {
                logs: ["authentication", "activity", "telephony"]
                    .map(|name| own(name).to_owned())
                    .to_vec(),
                inventory: false,
            };
        };
        let mut collect = Collect::default();
        for name in given {
            if name.value == INVENTORY {
                collect.inventory = true;
                continue;
            }
            match LOGS.iter().find(|(written, _)| *written == name.value) {
                Some((_, log)) if collect.logs.iter().any(|known| known == own(log)) => {}
                Some((_, log)) => collect.logs.push(own(log).to_owned()),
                None => problems.push(self.no_such_log(name)),
            }
        }
        if given.is_empty() {
            let problem = self.problem(whole, "`collect` is empty");
            problems.push(problem.hint("name one log at least"));
        }
        collect
    }

    fn no_such_log(&self, name: &Spanned<String>) -> Problem {
        let names = || LOGS.iter().map(|(written, _)| *written).chain([INVENTORY]);
        let near = nearest(&name.value, names());
        // The alias is not worth a word.
        let all: Vec<&str> = names().filter(|name| *name != "offline_enrollment").collect();
        self.problem(name.referenced, format!("there is no log `{}`", name.value))
            .hint(format!("{near}The logs are {}", all.join(", ")))
    }

    /// The telephony log of the version asked for.
    fn telephony(&self, source: &SourceFile, problems: &mut Vec<Problem>) -> &'static str {
        match source.telephony_version.as_ref().map(|version| version.value) {
            None | Some(2) => "telephony",
            Some(1) => "telephony_v1",
            Some(_) => {
                let at = source.telephony_version.as_ref().map(|version| version.referenced);
                let what = "there is no such version of the telephony log";
                let problem = self.problem(at.unwrap_or(Location::UNKNOWN), what);
                problems
                    .push(problem.hint("leave it out for version 2; `telephony_version: 1` asks for the older one"));
                "telephony"
            }
        }
    }
}
