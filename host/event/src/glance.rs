//! Single fields of single rows, for what is asked of an alert's evidence and not of every event.

use std::sync::Arc;

use picket_contract::EventRecord;

use crate::Plan;
use crate::permission::Permission;
use crate::phone::Mask;
use crate::subject::texts;

/// Reads the texts at some paths: normalised, numbers and booleans as text, phone numbers by their pseudonyms.
#[derive(Debug, Clone)]
pub struct Glance {
    paths: Vec<String>,
    plan: Plan,
}

impl Glance {
    /// For these paths, in whichever log they are. `mask`: what the tenant's phone numbers are masked with.
    #[must_use]
    pub fn at<'a>(paths: impl IntoIterator<Item = &'a str>, mask: &Arc<Mask>) -> Self {
        let paths: Vec<String> = paths.into_iter().map(str::to_owned).collect();
        let of: Vec<&str> = paths.iter().map(String::as_str).collect();
        let house = Permission::default();
        let sources: Vec<_> = picket_catalogue::logs()
            .iter()
            .map(|log| texts(log.name, &of))
            .collect();
        let plan = Plan::of(sources.iter().map(|source| (source, &house)), mask);
        Glance { paths, plan }
    }

    /// What stands at each path in a row of one of Duo's logs; none: null, or the row cannot be read. Of administrators'
    /// actions the paths of `admin` are known, too.
    #[must_use]
    pub fn look(&self, duo_log: &str, raw: &str) -> Vec<Option<String>> {
        let event = EventRecord {
            id: "".into(),
            time: 0,
            raw: raw.into(),
        };
        let as_admin = matches!(duo_log, "activity" | "administrator").then_some("admin");
        let pages: Vec<_> = [Some(duo_log), as_admin]
            .into_iter()
            .flatten()
            .map(|read_as| self.plan.parse(read_as, duo_log, std::slice::from_ref(&event)))
            .filter(|page| !page.broken(0))
            .collect();
        let text = |path: &String| {
            let found = pages.iter().find_map(|page| page.text(0, path));
            found.map(str::to_owned)
        };
        self.paths.iter().map(text).collect()
    }
}

/// Whether a rule's log (as rules name it) has such a field, as far as is known.
///
/// # Errors
/// It has not; the nearest that it has, if any is near.
pub fn field_of(log: &str, path: &str) -> Result<(), Option<&'static str>> {
    if picket_catalogue::find(log, path).is_some() || picket_catalogue::is_open(log, path) {
        Ok(())
    } else {
        Err(picket_catalogue::suggest(log, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_rules_read_them() {
        let mask = Mask::substitute();
        let paths = [
            "access_device.ip",
            "factor",
            "phone",
            "credits",
            "target.name",
            "result",
        ];
        let glance = Glance::at(paths, &mask);
        let row = r#"{"access_device":{"ip":"203.0.113.9:443"},"factor":"Duo Push","result":"FAILURE","txid":"a"}"#;
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            glance.look("authentication", row),
            [text("203.0.113.9"), text("duo_push"), None, None, None, text("denied")]
        );
        let row = r#"{"phone":"+13125558544","credits":3}"#;
        let phone = mask.number("+13125558544");
        assert_eq!(glance.look("telephony", row)[2..4], [Some(phone), text("3")]);
        let row = r#"{"action":"user_update","object":"ada","username":"root","timestamp":1}"#;
        assert_eq!(glance.look("administrator", row)[4], text("ada"), "as `admin` has it");
        assert_eq!(glance.look("authentication", "no row"), vec![None; 6]);
    }

    #[test]
    fn a_field_that_no_log_has_is_told() {
        assert_eq!(field_of("authentication", "access_device.ip"), Ok(()));
        assert_eq!(
            field_of("authentication", "acess_device.ip"),
            Err(Some("access_device.ip"))
        );
        assert_eq!(field_of("no_such_log", "x"), Err(None));
    }
}
