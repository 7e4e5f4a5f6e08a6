use std::collections::BTreeMap;

use picket_store::{AlertRow, SqliteStore, Store, Transaction};
use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;

/// An alert as small as it can be.
#[derive(Debug, Clone)]
struct Raise {
    rule: &'static str,
    /// Quarters of an hour.
    at: i64,
    severity: Severity,
    historic: bool,
    /// None: about nobody.
    user: Option<&'static str>,
    /// In place of the user.
    admin: Option<&'static str>,
}

impl Raise {
    fn of(rule: &'static str, at: i64, severity: Severity, user: &'static str) -> Self {
        Raise {
            rule,
            at,
            severity,
            historic: false,
            user: Some(user),
            admin: None,
        }
    }

    fn time(&self) -> i64 {
        self.at * HOUR / 4
    }

    fn principal(&self) -> Option<Arc<str>> {
        let admin = self.admin.map(|name| format!("admin:{name}").into());
        admin.or_else(|| self.user.map(|name| format!("user:{name}").into()))
    }
}

/// Which rule's alerts take whose place.
fn supersedes(rule: &str) -> Vec<String> {
    match rule {
        "success" => vec!["burst".to_owned()],
        "chain" => vec!["success".to_owned(), "made".to_owned()],
        // Two that name each other.
        "yin" => vec!["yang".to_owned()],
        "yang" => vec!["yin".to_owned()],
        _ => Vec::new(),
    }
}

const RULES: [&str; 6] = ["burst", "success", "made", "chain", "yin", "yang"];

fn superseders(rule: &str) -> Vec<&'static str> {
    let by = |of: &&&str| supersedes(of).iter().any(|named| named == rule);
    RULES.iter().filter(by).copied().collect()
}

/// The number is the alert's id.
fn join(incidents: &mut Incidents, number: usize, raise: &Raise) -> Joined {
    let new = Newcomer {
        id: &id(number),
        rule: raise.rule,
        time: raise.time(),
        since: raise.time(),
        severity: raise.severity,
        historic: raise.historic,
        principal: raise.principal(),
        about: raise.user.unwrap_or_default(),
        supersedes: &supersedes(raise.rule),
        superseders: &superseders(raise.rule),
    };
    incidents.join(new).unwrap().unwrap()
}

fn id(number: usize) -> Arc<str> {
    format!("al_{number:03}").into()
}

fn in_memory(raised: &[Raise]) -> Vec<Joined> {
    let mut incidents = Incidents::default();
    let joined = raised.iter().enumerate();
    joined
        .map(|(number, raise)| join(&mut incidents, number, raise))
        .collect()
}

/// Number of the incident, and whether it pages.
fn told(raised: &[Raise]) -> Vec<(String, bool)> {
    let joined = in_memory(raised).into_iter();
    joined
        .map(|joined| (joined.incident.id.replacen("al_00", "", 1), joined.incident.page))
        .collect()
}

fn is(expected: &[(&str, bool)], raised: &[Raise]) {
    let expected: Vec<(String, bool)> = expected.iter().map(|(id, page)| ((*id).to_owned(), *page)).collect();
    assert_eq!(told(raised), expected);
}

use Severity::{Critical, High, Low, Medium};

#[test]
fn who_is_woken_is_woken_again_only_when_it_gets_worse() {
    let of = |at, severity| Raise::of("r", at, severity, "ada");
    let raised = [
        of(0, Medium),
        of(1, Low),
        of(2, Medium),
        of(3, High),
        of(4, Medium),
        of(5, High),
        of(6, Critical),
    ];
    is(
        &[
            ("0", true),
            ("0", false),
            ("0", false),
            ("0", true),
            ("0", false),
            ("0", false),
            ("0", true),
        ],
        &raised,
    );
    let severities: Vec<Severity> = in_memory(&raised)
        .iter()
        .map(|joined| joined.incident.severity)
        .collect();
    assert_eq!(severities, [Medium, Medium, Medium, High, High, High, Critical]);
}

#[test]
fn four_hours_to_the_nearest_alert_before_or_after_decide() {
    let of = |at| Raise::of("r", at, High, "ada");
    // Fifteen quarters are less than four hours; each counts from the one before.
    is(&[("0", true), ("0", false), ("0", false)], &[of(0), of(15), of(30)]);
    is(&[("0", true), ("1", true)], &[of(0), of(16)]);
    // Late: before the first, and between two that it does not join to one.
    is(&[("0", true), ("0", false)], &[of(20), of(5)]);
    is(&[("0", true), ("1", true), ("0", false)], &[of(0), of(20), of(10)]);
    let bob = Raise::of("r", 1, High, "bob");
    is(&[("0", true), ("1", true)], &[of(0), bob]);
}

#[test]
fn what_does_not_stop_is_told_again_after_a_day() {
    let raised: Vec<Raise> = (0..=12)
        .map(|number| Raise::of("r", number * 10, High, "ada"))
        .collect();
    let pages: Vec<usize> = (0..)
        .zip(told(&raised))
        .filter_map(|(number, (_, page))| page.then_some(number))
        .collect();
    assert_eq!(
        pages,
        [0, 10],
        "ninety-five quarters of an hour are less than a day, a hundred are not"
    );
}

#[test]
fn the_past_pages_nobody_and_decides_nothing() {
    let past = Raise {
        historic: true,
        ..Raise::of("r", 0, Critical, "ada")
    };
    is(
        &[("0", false), ("1", true), ("0", false)],
        &[past.clone(), Raise::of("r", 1, Low, "ada"), past],
    );
}

#[test]
fn an_alert_about_nobody_is_alone() {
    let nobody = Raise {
        user: None,
        ..Raise::of("r", 0, High, "")
    };
    is(&[("0", true), ("1", true)], &[nobody.clone(), nobody]);
}

/// Whose place an alert takes, and which takes its own.
type Folded = (Vec<Arc<str>>, Option<Arc<str>>);

fn folded(raised: &[Raise]) -> Vec<Folded> {
    let folded = |joined: Joined| {
        let alerts = joined.supersedes.into_iter().map(|kin| kin.alert).collect();
        (alerts, joined.incident.superseded_by)
    };
    in_memory(raised).into_iter().map(folded).collect()
}

#[test]
fn a_burst_is_folded_into_its_success() {
    let burst = Raise::of("burst", 0, Medium, "ada");
    let success = Raise::of("success", 2, Critical, "ada");
    let raised = [
        burst.clone(),
        Raise::of("burst", 1, Medium, "bob"),
        success.clone(),
        Raise::of("success", 3, Critical, "ada"),
    ];
    assert_eq!(
        folded(&raised),
        [(vec![], None), (vec![], None), (vec![id(0)], None), (vec![], None)],
        "hers alone, and once"
    );
    is(&[("0", true), ("1", true), ("0", true), ("0", false)], &raised);
    // The burst comes late.
    assert_eq!(
        folded(&[success.clone(), burst.clone()]),
        [(vec![], None), (vec![], Some(id(0)))]
    );
    is(&[("0", true), ("0", false)], &[success.clone(), burst.clone()]);
    // What came after the success is another burst; and one of long before is no part of it.
    let after = Raise { at: 3, ..burst.clone() };
    assert_eq!(folded(&[success.clone(), after])[1], (vec![], None));
    let later = Raise { at: 16, ..success };
    assert_eq!(folded(&[burst, later])[1], (vec![], None));
}

#[test]
fn rules_that_name_each_other_make_no_circle() {
    let raised = [Raise::of("yin", 0, High, "ada"), Raise::of("yang", 0, High, "ada")];
    assert_eq!(folded(&raised), [(vec![], None), (vec![id(0)], None)]);
}

#[test]
fn what_came_of_an_administrators_act_belongs_to_it() {
    let made = Raise {
        admin: Some("harry"),
        ..Raise::of("made", 0, Medium, "ada")
    };
    let raised = [
        made.clone(),
        Raise {
            user: Some("bob"),
            at: 1,
            ..made.clone()
        },
        Raise::of("chain", 2, Critical, "ada"),
        Raise::of("r", 3, Critical, "ada"),
        // What harry did for bob does not make bob's troubles his.
        Raise::of("r", 3, Critical, "bob"),
    ];
    is(
        &[("0", true), ("0", false), ("0", true), ("0", false), ("4", true)],
        &raised,
    );
    // Where the user has an incident already, that is where it belongs; the first opened of several.
    let raised = [
        made,
        Raise::of("r", 1, Low, "ada"),
        Raise::of("chain", 2, Critical, "ada"),
    ];
    is(&[("0", true), ("1", true), ("1", true)], &raised);
}

/// By looking at every alert before, one after the other.
fn reference(raised: &[Raise]) -> Vec<Joined> {
    let mut all: Vec<Joined> = Vec::new();
    let mut taken: BTreeMap<Arc<str>, ()> = BTreeMap::new();
    for (number, new) in raised.iter().enumerate() {
        let head = |incident: &Arc<str>| {
            let opened = all.iter().find(|joined| joined.incident.id == *incident).unwrap();
            let of = all.iter().filter(|joined| joined.incident.id == *incident);
            IncidentHead {
                id: incident.clone(),
                opened: opened.incident.opened,
                severity: of.map(|joined| joined.incident.severity).max().unwrap(),
            }
        };
        let before = || {
            (0..)
                .zip(raised)
                .zip(&all)
                .filter(|((_, old), _)| old.historic == new.historic)
        };
        let lasts = |head: &IncidentHead| (head.opened - new.time()).abs() < LONGEST_MS;
        let best = |mut heads: Vec<IncidentHead>| {
            heads.retain(lasts);
            heads.into_iter().min_by_key(|head| (head.opened, head.id.clone()))
        };
        let shares = |old: &Raise| new.principal().is_some() && old.principal() == new.principal();
        // Alerts of one incident and principal reach from the first to the last.
        let mut reaches: BTreeMap<Arc<str>, (i64, i64)> = BTreeMap::new();
        for ((_, old), joined) in before().filter(|((_, old), _)| shares(old)) {
            let (first, last) = reaches
                .entry(joined.incident.id.clone())
                .or_insert((old.time(), old.time()));
            (*first, *last) = ((*first).min(old.time()), (*last).max(old.time()));
        }
        let near = reaches
            .iter()
            .filter(|(_, (first, last))| new.time() < last + WINDOW_MS && new.time() > first - WINDOW_MS);
        let own = best(near.map(|(incident, _)| head(incident)).collect());
        let kin = |rules: Vec<String>, from: i64, to: i64| {
            let about = before().filter(|((_, old), _)| new.user.is_some() && old.user == new.user);
            let is_kin = |old: &Raise| rules.iter().any(|rule| rule == old.rule) && (from..=to).contains(&old.time());
            let mut found: Vec<Kin> = about
                .filter(|((_, old), _)| is_kin(old))
                .map(|((number, old), joined)| Kin {
                    alert: id(number),
                    rule: old.rule.into(),
                    time: old.time(),
                    incident: head(&joined.incident.id),
                    is_superseded: taken.contains_key(&id(number)) || joined.incident.superseded_by.is_some(),
                })
                .collect();
            found.sort_by_key(|kin| (kin.time, kin.alert.clone()));
            found
        };
        let mut folds = kin(supersedes(new.rule), new.time() - WINDOW_MS + 1, new.time());
        folds.retain(|kin| !kin.is_superseded);
        let by = superseders(new.rule).into_iter().map(str::to_owned).collect();
        let by = kin(by, new.time(), new.time() + WINDOW_MS - 1);
        let by = by
            .into_iter()
            .find(|kin| folds.iter().all(|fold| fold.alert != kin.alert));
        let of_kin = folds.iter().chain(&by).map(|kin| kin.incident.clone()).collect();
        let joins = own.or_else(|| best(of_kin));
        let page = joins.as_ref().is_none_or(|head| new.severity > head.severity) && !new.historic;
        let (incident, opened) = joins
            .as_ref()
            .map_or((id(number), new.time()), |head| (head.id.clone(), head.opened));
        let severity = joins.map_or(new.severity, |head| head.severity.max(new.severity));
        taken.extend(folds.iter().map(|kin| (kin.alert.clone(), ())));
        all.push(Joined {
            incident: InIncident {
                id: incident,
                opened,
                severity,
                page,
                principal: new.principal(),
                superseded_by: by.map(|kin| kin.alert),
            },
            supersedes: folds,
        });
    }
    all
}

/// Judged in pieces over a store; after some, what was raised is lost with the process before it is on the disk, and raised again.
fn in_store(raised: &[Raise], pieces: &[(usize, bool)]) -> Vec<Joined> {
    let store = Arc::new(SqliteStore::in_memory().unwrap());
    let journal = InJournal {
        store: store.clone(),
        tenant: "acme".into(),
    };
    let mut incidents = Incidents::stored(journal.clone());
    let (mut all, mut from) = (Vec::new(), 0);
    let mut pieces = pieces.iter().cycle();
    let mut killed = 0;
    while from < raised.len() {
        let (piece, is_killed) = pieces.next().copied().unwrap_or((1, false));
        let to = (from + piece).min(raised.len());
        let numbers = from..to;
        let joined: Vec<Joined> = numbers
            .map(|number| join(&mut incidents, number, &raised[number]))
            .collect();
        if is_killed && killed < 10 {
            killed += 1;
            incidents = Incidents::stored(journal.clone());
            continue;
        }
        let mut transaction = Transaction::default();
        for (number, joined) in (from..to).zip(&joined) {
            let raise = &raised[number];
            transaction.superseded.extend(joined.superseded(&id(number)));
            transaction.alerts.push(AlertRow {
                id: id(number),
                rule: raise.rule.into(),
                severity: raise.severity,
                time: raise.time(),
                raised: 0,
                dedup_key: "".into(),
                dedup_until: raise.time(),
                about: raise.user.unwrap_or_default().into(),
                json: "{}".into(),
                repeats: 0,
                last_repeat: None,
                historic: raise.historic,
                shadow: false,
                suppressed: None,
                incident: Some(joined.incident.clone()),
            });
        }
        store.transact("acme", transaction).unwrap();
        incidents.put_down();
        assert!(incidents.reaches.is_empty() && incidents.kin.is_empty() && incidents.worst.is_empty());
        all.extend(joined);
        from = to;
    }
    all
}

fn raise() -> impl Strategy<Value = Raise> {
    let severity = prop::sample::select(vec![Low, Medium, High, Critical]);
    let user = prop::sample::select(vec![None, Some("ada"), Some("bob")]);
    let admin = prop::option::weighted(0.3, prop::sample::select(vec!["harry", "hanna"]));
    (
        prop::sample::select(RULES.to_vec()),
        0..160_i64,
        severity,
        prop::bool::weighted(0.1),
        user,
        admin,
    )
        .prop_map(|(rule, at, severity, historic, user, admin)| Raise {
            rule,
            at,
            severity,
            historic,
            user,
            admin,
        })
}

/// Mostly in the order in which they happened.
fn raised() -> impl Strategy<Value = Vec<Raise>> {
    let swaps = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6);
    (prop::collection::vec(raise(), 1..60), swaps).prop_map(|(mut raised, swaps)| {
        raised.sort_by_key(|raise| raise.at);
        for (one, other) in swaps {
            let length = raised.len();
            raised.swap(one.index(length), other.index(length));
        }
        raised
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Incidents are a function of the alerts in their order: by whom and in which pieces they are raised, and how often the
    /// process dies in between, changes nothing.
    #[test]
    fn of_the_alerts_and_their_order_alone(
        raised in raised(),
        pieces in prop::collection::vec((1..9_usize, prop::bool::weighted(0.3)), 1..12),
    ) {
        let expected = reference(&raised);
        prop_assert_eq!(&in_memory(&raised), &expected);
        prop_assert_eq!(&in_store(&raised, &pieces), &expected);
    }

    /// Each opens an incident or is part of an earlier one, and pages for what is new or worse, and for nothing else.
    #[test]
    fn a_page_for_each_rise(raised in raised()) {
        let joined = in_memory(&raised);
        let mut worst: BTreeMap<Arc<str>, Severity> = BTreeMap::new();
        for (raise, Joined { incident, .. }) in raised.iter().zip(&joined) {
            let before = worst.insert(incident.id.clone(), incident.severity);
            let rises = before.is_none_or(|before| before < raise.severity);
            prop_assert_eq!(incident.page, rises && !raise.historic);
            prop_assert_eq!(incident.severity, before.map_or(raise.severity, |before| before.max(raise.severity)));
        }
    }
}
