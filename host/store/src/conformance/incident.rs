//! What is promised of incidents.

use std::sync::Arc;

use picket_contract::Severity;

use super::alert;
use super::suite::ok;
use crate::{
    AlertFilter, AlertRow, InIncident, IncidentFilter, KinFilter, ReachFilter, Store, Superseded, Transaction, segment,
};

fn of(incident: &str, severity: Severity, page: bool, alert: AlertRow) -> AlertRow {
    AlertRow {
        severity,
        incident: Some(InIncident {
            id: incident.into(),
            opened: 1000,
            severity,
            page,
            principal: Some("user:ada".into()),
            superseded_by: None,
        }),
        ..alert
    }
}

fn raise(store: &dyn Store, journal: &str, alerts: Vec<AlertRow>) {
    let transaction = Transaction {
        alerts,
        ..Transaction::default()
    };
    ok(store, journal, transaction);
}

fn near(store: &dyn Store, journal: &str, historic: bool, from: i64, to: i64) -> Vec<(Arc<str>, Severity, i64, i64)> {
    let of = ReachFilter {
        historic,
        principal: "user:ada",
        from,
        to,
    };
    let reaches = store.reaches(journal, &of).expect("reaches").into_iter();
    reaches
        .map(|reach| (reach.incident.id, reach.incident.severity, reach.first, reach.last))
        .collect()
}

/// What decides where the next alert belongs outlives the alerts that made it so.
pub(super) fn an_incident_outlives_its_alerts(store: &dyn Store) {
    let first = of("al_1", Severity::Critical, true, alert("al_1", "r", "ada", 1000));
    let second = of("al_1", Severity::Low, false, alert("al_2", "s", "ada", 1500));
    raise(store, "acme", vec![first, second.clone()]);
    // A second of the same id is no second alert of the incident.
    raise(store, "acme", vec![second]);
    let all = store.incidents("acme", &IncidentFilter::default()).expect("incidents");
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].alerts, all[0].pages, all[0].first, all[0].last),
        (2, 1, 1000, 1500)
    );
    assert_eq!(all[0].principals, [Arc::from("user:ada")]);
    let whole = [("al_1".into(), Severity::Critical, 1000, 1500)];
    assert_eq!(near(store, "acme", false, 1500, 1600), whole);
    assert!(near(store, "acme", false, 1501, 1600).is_empty() && near(store, "acme", false, 0, 999).is_empty());
    let filter = AlertFilter {
        incident: Some("1".to_owned()),
        ..AlertFilter::default()
    };
    assert_eq!(store.alerts("acme", &filter).expect("alerts").len(), 2);

    assert_eq!(store.forget_alerts("acme", 1300, 2, 10).expect("forget"), 1);
    assert_eq!(
        near(store, "acme", false, 1500, 1600),
        whole,
        "the worst is gone, and known"
    );
    assert_eq!(store.forget_alerts("acme", 9000, 2, 10).expect("forget"), 1);
    assert!(
        store
            .incidents("acme", &IncidentFilter::default())
            .expect("incidents")
            .is_empty()
    );
}

/// Nobody was told of what is of the past or of a segment: it decides nothing for what is live.
pub(super) fn incidents_of_the_past_stand_apart(store: &dyn Store) {
    let backfill = segment::name("acme", 1);
    let past = AlertRow {
        historic: true,
        ..of("al_1", Severity::High, false, alert("al_1", "r", "ada", 1000))
    };
    raise(store, "acme", vec![past.clone()]);
    let found = AlertRow {
        id: "al_2".into(),
        ..past
    };
    raise(store, &backfill, vec![found]);
    assert!(near(store, "acme", false, 0, 9000).is_empty());
    assert_eq!(near(store, "acme", true, 0, 9000).len(), 1);
    assert_eq!(near(store, &backfill, true, 0, 9000).len(), 1);
    raise(
        store,
        "acme",
        vec![of("al_1", Severity::Low, true, alert("al_3", "r", "ada", 1000))],
    );
    assert_eq!(
        near(store, "acme", false, 0, 9000),
        [("al_1".into(), Severity::Low, 1000, 1000)]
    );
    let all = store.incidents("acme", &IncidentFilter::default()).expect("incidents");
    assert_eq!(all.iter().filter(|row| row.historic).count(), 2);
    assert_eq!(all.len(), 3);
}

/// The first that takes an alert's place keeps it.
pub(super) fn an_alert_is_superseded_once(store: &dyn Store) {
    let burst = of("al_1", Severity::Medium, true, alert("al_1", "burst", "ada", 1000));
    let alone = alert("al_2", "burst", "ada", 1000);
    raise(store, "acme", vec![burst, alone]);
    let kin = |to: i64| {
        let of = KinFilter {
            historic: false,
            about: "ada",
            rules: &["burst"],
            from: 1000,
            to,
        };
        store.kin("acme", &of).expect("kin")
    };
    assert!(kin(999).is_empty());
    assert_eq!(kin(1000).len(), 1, "what is of no incident is nobody's kin");
    assert!(!kin(1000)[0].is_superseded);
    let superseded = |alert: &str, by: &str| Superseded {
        alert: alert.into(),
        by: by.into(),
    };
    for by in ["al_8", "al_9"] {
        let transaction = Transaction {
            superseded: vec![
                superseded("al_1", by),
                superseded("al_2", by),
                superseded("al_none", by),
            ],
            ..Transaction::default()
        };
        ok(store, "acme", transaction);
    }
    assert!(kin(1000)[0].is_superseded);
    let alerts = store.alerts("acme", &AlertFilter::default()).expect("alerts");
    let by: Vec<_> = alerts
        .iter()
        .map(|alert| alert.incident.as_ref().and_then(|of| of.superseded_by.as_deref()))
        .collect();
    assert_eq!(by, [Some("al_8"), None]);
}
