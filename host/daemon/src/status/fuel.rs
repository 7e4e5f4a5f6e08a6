//! How a tenant's fuel for each minute stands.

use picket_contract::evaluate::grouped;
use picket_judge::RationView;
use serde_json::{Value, json};

use crate::when;

/// For scripts.
pub(super) fn of(ration: &RationView) -> Value {
    let heaviest = ration.heaviest.as_ref();
    json!({
        "per_minute": ration.per_minute,
        "burnt": ration.burnt,
        "since": when::rfc3339(ration.since),
        "heaviest": heaviest.map(|(rule, fuel)| json!({"rule": &**rule, "fuel": fuel})),
        "held_back": ration.held.iter().map(|rule| &**rule).collect::<Vec<_>>(),
        "all_wait": ration.all_wait,
    })
}

/// For people; nothing where nobody waits.
pub(super) fn words(ration: &RationView) -> Option<String> {
    let until = ration.empty_until?;
    if ration.held.is_empty() && !ration.all_wait {
        return None;
    }
    let who = if ration.all_wait {
        "all rules are".to_owned()
    } else {
        format!("{} is", ration.held.join(", "))
    };
    let heaviest = ration.heaviest.as_ref();
    let heaviest = heaviest.map_or(String::new(), |(rule, fuel)| {
        format!("; heaviest: {rule}, {}", grouped(*fuel))
    });
    Some(format!(
        "{who} held back: rules spent {} fuel since {}, of {} for each minute{heaviest}; it goes on at {} and misses nothing",
        grouped(ration.burnt),
        when::rfc3339(ration.since),
        grouped(ration.per_minute),
        when::rfc3339(until)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_since_when_and_for_whom() {
        let mut ration = RationView {
            per_minute: 30_000_000_000,
            burnt: 41_000_000_000,
            since: 0,
            heaviest: Some(("evil".into(), 40_000_000_000)),
            held: vec!["evil".into()],
            all_wait: false,
            empty_until: Some(22_000),
        };
        assert_eq!(
            words(&ration).unwrap(),
            "evil is held back: rules spent 41,000,000,000 fuel since 1970-01-01T00:00:00.000Z, of 30,000,000,000 for each minute; \
             heaviest: evil, 40,000,000,000; it goes on at 1970-01-01T00:00:22.000Z and misses nothing"
        );
        ration.empty_until = None;
        assert_eq!(words(&ration), None);
    }
}
