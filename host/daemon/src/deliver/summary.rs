//! What is said where a rule alerts so often that most of it is kept back.
//!
//! Of each rule, tenant and hour of the clock, the first alerts are sent as they come. The rest is stored like any other, and
//! when the hour is over one summary says how many there were. How many were raised is counted with the alerts themselves, in
//! the same commit, so neither a crash nor a restart changes what is said; that it was said is written down with the summary.

use picket_store::{AlertFilter, AlertRow, Flood, HOUR_MS, Store, StoreError};
use serde_json::json;

use crate::when;

/// So long after an hour has ended its alerts are on the disk, ms.
const GRACE: i64 = 60_000;

/// Writes the summaries that are due. `most`: so many alerts are sent of each rule, tenant and hour. `name`: of a tenant, for
/// people. Returns how many were written.
///
/// # Errors
/// The store's.
pub(super) fn write(
    store: &dyn Store,
    most: u32,
    name: &dyn Fn(&str) -> Option<String>,
    now: i64,
) -> Result<usize, StoreError> {
    let floods = store.floods(now.saturating_sub(GRACE), most)?;
    let count = floods.len();
    for flood in floods {
        let row = row(store, &flood, most, name(&flood.tenant), now)?;
        store.summarise(flood, row)?;
    }
    Ok(count)
}

fn row(store: &dyn Store, flood: &Flood, most: u32, name: Option<String>, now: i64) -> Result<AlertRow, StoreError> {
    let Flood {
        tenant,
        rule,
        hour,
        total,
    } = flood;
    let latest = AlertFilter {
        rule: Some(rule.to_string()),
        latest: Some(1),
        ..AlertFilter::default()
    };
    // How bad is a matter of the rule, as it alerted last.
    let severity = store
        .alerts(tenant, &latest)?
        .first()
        .map_or(picket_contract::Severity::Medium, |alert| alert.severity);
    let hash = blake3::hash(format!("{tenant}\0{rule}\0{hour}").as_bytes()).to_hex();
    let id = format!("sm_{}", hash.get(..16).unwrap_or(&hash));
    let kept = total.saturating_sub(most);
    let end = hour.saturating_add(HOUR_MS);
    let (from, to) = (when::rfc3339(*hour), when::rfc3339(end));
    let title = format!("{rule} raised {total} alerts within an hour: {most} were sent, {kept} are stored only");
    let json = json!({
        "schema": picket_judge::alerts::SCHEMA,
        "id": id,
        "kind": "summary",
        "tenant": {"id": &**tenant, "name": name.as_deref().unwrap_or(tenant)},
        "rule": {"id": &**rule},
        "severity": severity,
        "title": title,
        "outcome": "none",
        "time": to,
        "happened": {"first": from, "last": to},
        "raised": when::rfc3339(now),
        "facts": {"alerts": total.to_string(), "sent": most.to_string(), "stored only": kept.to_string()},
        "check": [
            format!("picket alerts --tenant {tenant} --rule {rule} --since {from}"),
            "picket rule list --noise 1d: who it alerts about most",
        ],
        "act": ["An attack that goes on: see to it as the first of these alerts says. Noise: picket except, or the rule's parameters."],
        "repeats": 0,
        "events": [],
    });
    Ok(AlertRow {
        id: id.into(),
        rule: rule.clone(),
        severity,
        time: end,
        raised: now,
        dedup_key: "".into(),
        dedup_until: end,
        about: "".into(),
        json: json.to_string().into(),
        repeats: 0,
        last_repeat: None,
        historic: false,
        shadow: false,
        suppressed: None,
        incident: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use picket_store::{SqliteStore, Transaction};
    use serde_json::Value;

    use super::*;

    fn raise(store: &SqliteStore, rule: &str, numbers: std::ops::Range<i64>, raised: i64) {
        let alert = |number: i64| AlertRow {
            id: format!("al_{rule}{number}").into(),
            rule: rule.into(),
            severity: picket_contract::Severity::High,
            time: raised,
            raised: raised + number,
            dedup_key: "".into(),
            dedup_until: raised,
            about: "".into(),
            json: "{}".into(),
            repeats: 0,
            last_repeat: None,
            historic: false,
            shadow: false,
            suppressed: None,
            incident: None,
        };
        let transaction = Transaction {
            alerts: numbers.map(alert).collect(),
            ..Transaction::default()
        };
        store.transact("acme", transaction).unwrap();
    }

    #[test]
    fn one_summary_says_how_many_once_the_hour_is_over_and_never_again() {
        let store = SqliteStore::in_memory().unwrap();
        let hour = 500_000 * HOUR_MS;
        let said = |now| write(&store, 5, &|_| Some("Acme Inc".to_owned()), now).unwrap();
        raise(&store, "loud", 0..8, hour);
        raise(&store, "calm", 0..5, hour);
        assert_eq!(said(hour + HOUR_MS - 1), 0);
        assert_eq!(
            said(hour + HOUR_MS),
            0,
            "what was raised last may still be on its way to the disk"
        );
        let rows = store.outbox("file", 100).unwrap();
        assert_eq!(rows.iter().filter(|row| row.nth <= 5).count(), 10);
        // The same alerts, judged again after a crash, do not count twice.
        raise(&store, "loud", 0..8, hour);
        assert_eq!(said(hour + HOUR_MS + GRACE), 1);
        assert_eq!(said(hour + HOUR_MS + GRACE), 0);
        let rows = store.outbox("file", 100).unwrap();
        let summary = rows.last().unwrap();
        assert!(summary.summary && summary.alert.starts_with("sm_"));
        let json: Value = serde_json::from_str(&summary.json).unwrap();
        assert_eq!(
            json["title"],
            "loud raised 8 alerts within an hour: 5 were sent, 3 are stored only"
        );
        assert_eq!(json["tenant"]["name"], "Acme Inc");
        // It is delivered, and is no alert.
        assert_eq!(store.alerts("acme", &AlertFilter::default()).unwrap().len(), 13);
        assert_eq!(store.count_alerts("acme").unwrap().0, 13);
        let ids: Vec<Arc<str>> = store
            .dedup("acme", i64::MIN)
            .unwrap()
            .into_iter()
            .map(|row| row.alert)
            .collect();
        assert!(ids.iter().all(|id| id.starts_with("al_")));
        // The next hour begins anew.
        raise(&store, "loud", 10..12, hour + HOUR_MS);
        let rows = store.outbox("file", 100).unwrap();
        assert_eq!(rows.last().unwrap().nth, 2);
    }
}
