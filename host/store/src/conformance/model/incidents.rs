//! Incidents of one tenant, as anybody would keep them who had no disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::segment;
use crate::{AlertRow, IncidentFilter, IncidentHead, IncidentRow, Kin, KinFilter, Reach, ReachFilter, Store};

/// In the order in which they were opened, each with its lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Incidents(Vec<Incident>);

#[derive(Debug, Clone)]
struct Incident {
    lane: String,
    row: IncidentRow,
    /// From when to when, by principal.
    reaches: BTreeMap<Arc<str>, (i64, i64)>,
}

fn lane(historic: bool, segment: &str) -> String {
    if segment.is_empty() && historic {
        "historic"
    } else {
        segment
    }
    .to_owned()
}

impl Incidents {
    pub(super) fn enter(&mut self, alert: &AlertRow, segment: &str) {
        let Some(of) = &alert.incident else { return };
        let lane = lane(alert.historic, segment);
        let known = self
            .0
            .iter_mut()
            .find(|incident| incident.lane == lane && incident.row.id == of.id);
        let incident = match known {
            Some(incident) => incident,
            None => {
                self.0.push(Incident {
                    row: IncidentRow {
                        id: of.id.clone(),
                        opened: of.opened,
                        first: alert.time,
                        last: alert.time,
                        severity: of.severity,
                        alerts: 0,
                        pages: 0,
                        historic: !lane.is_empty(),
                        principals: Vec::new(),
                    },
                    lane,
                    reaches: BTreeMap::new(),
                });
                self.0.last_mut().expect("pushed")
            }
        };
        let row = &mut incident.row;
        (row.first, row.last) = (row.first.min(alert.time), row.last.max(alert.time));
        row.severity = row.severity.max(of.severity);
        row.alerts += 1;
        row.pages += u64::from(of.page);
        if let Some(principal) = &of.principal {
            let (first, last) = incident
                .reaches
                .entry(principal.clone())
                .or_insert((alert.time, alert.time));
            (*first, *last) = ((*first).min(alert.time), (*last).max(alert.time));
        }
        row.principals = incident.reaches.keys().cloned().collect();
    }

    pub(super) fn forget(&mut self, before: i64, alerts: &[(AlertRow, String)]) {
        let has_alerts = |incident: &Incident| {
            let mut of = alerts.iter().filter_map(|(alert, _)| alert.incident.as_ref());
            of.any(|of| of.id == incident.row.id)
        };
        self.0
            .retain(|incident| incident.row.last >= before || has_alerts(incident));
    }

    fn head(row: &IncidentRow) -> IncidentHead {
        IncidentHead {
            id: row.id.clone(),
            opened: row.opened,
            severity: row.severity,
        }
    }

    /// `journal`: the tenant's, or a segment's.
    pub(super) fn compare(&self, journal: &str, alerts: &[(AlertRow, String)], store: &dyn Store) {
        let segment = segment::owner(journal).map_or("", |_| journal);
        if segment.is_empty() {
            let mut rows: Vec<IncidentRow> = self.0.iter().map(|incident| incident.row.clone()).collect();
            rows.sort_by_key(|row| row.last);
            let listed = store.incidents(journal, &IncidentFilter::default()).expect("incidents");
            assert_eq!(listed, rows);
            let latest = IncidentFilter {
                latest: Some(1),
                since: Some(100),
                ..IncidentFilter::default()
            };
            let last = rows.last().filter(|row| row.last >= 100).cloned();
            let listed = store.incidents(journal, &latest).expect("incidents");
            assert_eq!(listed, last.into_iter().collect::<Vec<_>>());
        }
        for historic in [false, true] {
            let lane = lane(historic, segment);
            for principal in ["user:ada", "ip:192.0.2.7"] {
                let of = ReachFilter {
                    historic,
                    principal,
                    from: 100,
                    to: 200,
                };
                let reach = |incident: &Incident| {
                    let (first, last) = *incident.reaches.get(principal)?;
                    let is_near = incident.lane == lane && last >= of.from && first <= of.to;
                    is_near.then(|| Reach {
                        incident: Self::head(&incident.row),
                        first,
                        last,
                    })
                };
                let mut reaches: Vec<Reach> = self.0.iter().filter_map(reach).collect();
                reaches.sort_by_key(|reach| (reach.incident.opened, reach.incident.id.clone()));
                assert_eq!(store.reaches(journal, &of).expect("reaches"), reaches);
            }
            let of = KinFilter {
                historic,
                about: "ada",
                rules: &["r"],
                from: 100,
                to: 200,
            };
            let is_kin = |(alert, raised_by): &&(AlertRow, String)| {
                let is_past = alert.historic == (historic || !segment.is_empty());
                raised_by == segment && is_past && &*alert.rule == "r" && (100..=200).contains(&alert.time)
            };
            let kin = |(alert, _): &(AlertRow, String)| {
                let of = alert.incident.as_ref()?;
                let row = &self
                    .0
                    .iter()
                    .find(|incident| incident.lane == lane && incident.row.id == of.id)?
                    .row;
                Some(Kin {
                    alert: alert.id.clone(),
                    rule: alert.rule.clone(),
                    time: alert.time,
                    incident: Self::head(row),
                    is_superseded: of.superseded_by.is_some(),
                })
            };
            let mut all: Vec<Kin> = alerts.iter().filter(is_kin).filter_map(kin).collect();
            all.sort_by_key(|kin| kin.time);
            assert_eq!(store.kin(journal, &of).expect("kin"), all);
        }
    }
}
