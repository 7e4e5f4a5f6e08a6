//! What the generator promises, checked on whole companies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::clock::{DAY, HOUR, SECOND, iso_micros, iso_seconds};
use super::*;
use crate::model::{Kind, Planted};

fn options(seed: u64) -> Options {
    Options {
        seed,
        users: 140,
        days: 9,
        target_events: Some(2_400),
        start_us: Options::default().start_us,
        ..Options::default()
    }
}

fn company(seed: u64) -> Account {
    generate(&options(seed))
}

fn ordinary(seed: u64) -> Account {
    generate(&Options {
        plant: false,
        ..options(seed)
    })
}

fn text<'a>(row: &'a Row, pointer: &str) -> &'a str {
    row.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn logins(account: &Account) -> impl Iterator<Item = &Row> {
    account.rows.iter().filter(|row| row.feed == Feed::Authentication)
}

#[test]
fn equal_options_make_equal_accounts() {
    let (one, two) = (company(5), company(5));
    assert_eq!(
        (&one.rows, &one.planted, &one.ikey, &one.skey),
        (&two.rows, &two.planted, &two.ikey, &two.skey)
    );
    let other = company(6);
    assert_ne!(one.ikey, other.ikey);
    assert_ne!(one.planted, other.planted);
}

#[test]
fn stories_leave_the_people_as_they_were() {
    let names = |account: &Account| {
        logins(account)
            .map(|row| text(row, "/user/name").to_owned())
            .collect::<BTreeSet<_>>()
    };
    let (with, without) = (names(&company(5)), names(&ordinary(5)));
    assert!(with.intersection(&without).count() > 130);
}

#[test]
fn rows_are_sorted_inside_the_span_and_told_apart() {
    for seed in 1..4 {
        let account = company(seed);
        let start = options(seed).start_us;
        assert!(
            account
                .rows
                .iter()
                .all(|row| (start..start + 9 * DAY).contains(&row.time_us))
        );
        assert!(
            account
                .rows
                .is_sorted_by(|a, b| (a.time_us, &a.id) < (b.time_us, &b.id))
        );
        let ids: BTreeSet<_> = account.rows.iter().map(|row| &row.id).collect();
        assert_eq!(ids.len(), account.rows.len());
        let span = Span {
            start,
            last: start + 8 * DAY,
            end: start + 9 * DAY,
        };
        assert!(
            (2_400..2_500).contains(&counted(&account.rows, &span)),
            "{}",
            describe(&account)
        );
    }
}

#[test]
fn shares_are_as_in_real_companies() {
    let big = Options {
        users: 700,
        days: 4,
        target_events: Some(12_000),
        ..options(3)
    };
    for options in [options(1), options(2), big] {
        let account = generate(&options);
        let shares = summary::shares(&account);
        assert!((400..=600).contains(&shares.remembered), "{}", describe(&account));
        assert!((30..=80).contains(&shares.unapproved), "{}", describe(&account));
    }
}

#[test]
fn what_was_planted_stands_in_the_rows() {
    for seed in 1..6 {
        let account = company(seed);
        let rows: BTreeMap<&str, &Row> = account.rows.iter().map(|row| (row.id.as_str(), row)).collect();
        let last = options(seed).start_us + 8 * DAY;
        for planted in &account.planted {
            let times: Vec<i64> = planted
                .events
                .iter()
                .map(|id| rows.get(id.as_str()).unwrap_or_else(|| panic!("{planted:?}")).time_us)
                .collect();
            assert_eq!(
                (times.iter().min(), times.iter().max()),
                (Some(&planted.from_us), Some(&planted.to_us)),
                "{planted:?}"
            );
            assert!(times.is_sorted() && planted.from_us >= last, "{planted:?}");
            for row in planted.events.iter().filter_map(|id| rows.get(id.as_str())) {
                let about = planted.user.as_deref().unwrap_or_default();
                assert!(
                    row.feed != Feed::Authentication || about.is_empty() || text(row, "/user/name") == about,
                    "{planted:?}"
                );
            }
        }
        let lookalikes = account
            .planted
            .iter()
            .filter(|planted| planted.kind == Kind::LookAlike)
            .count();
        assert!(lookalikes >= 16, "{}", describe(&account));
    }
}

#[test]
fn every_story_is_told_one_to_three_times() {
    let told = [
        (stories::GAVE_IN, 3),
        (stories::FRAUD, 3),
        (stories::BYPASS_STATUS, 3),
        (stories::DELETED, 3),
        (stories::MANY_PLACES, 3),
        (stories::TOO_OFTEN, 3),
        (stories::PUMPING, 3),
        (stories::TAKEOVER, 3),
        (stories::SPRAY, 3),
        // Parts of other stories too.
        (stories::REFUSED, 6),
        (stories::BYPASS_USED, 9),
        (stories::BYPASS_CREATED, 9),
        (stories::CODE_USED, 6),
        (stories::NO_LOGIN, 21),
        (stories::NEW_COUNTRY, 40),
    ];
    for seed in 1..8 {
        let account = company(seed);
        for (story, most) in told {
            let times = account.planted.iter().filter(|planted| planted.story == story).count();
            assert!((1..=most).contains(&times), "{story}: {times}");
        }
    }
}

#[test]
fn an_application_falls_silent_where_it_is_in_steady_use() {
    let mut told = 0;
    for seed in 1..6 {
        let account = generate(&Options {
            seed,
            ..Options::default()
        });
        let planted: Vec<&Planted> = account
            .planted
            .iter()
            .filter(|planted| planted.story == stories::SILENT)
            .collect();
        assert!(planted.len() <= 1);
        let Some(planted) = planted.first() else { continue };
        told += 1;
        let by_id = |row: &&Row| Some(&row.id) == planted.events.last();
        let last = logins(&account).find(by_id).unwrap();
        let (key, name) = (text(last, "/application/key"), text(last, "/application/name"));
        assert!(planted.note.contains(name), "{planted:?}");
        let of = |row: &&Row| text(row, "/application/key") == key && text(row, "/event_type") == "authentication";
        assert!(logins(&account).filter(of).all(|row| row.time_us <= planted.to_us));
        assert!(
            planted.to_us < account.rows.last().unwrap().time_us - 6 * HOUR,
            "{planted:?}"
        );
        // No message is left of a login that was not asked for.
        let txids: BTreeSet<&str> = logins(&account).map(|row| row.id.as_str()).collect();
        let told_of: BTreeSet<&str> = account
            .planted
            .iter()
            .flat_map(|planted| &planted.events)
            .map(String::as_str)
            .collect();
        let messages = account.rows.iter().filter(|row| row.feed == Feed::Telephony);
        let lost = messages.filter(|row| !txids.contains(text(row, "/txid")) && !told_of.contains(row.id.as_str()));
        assert_eq!(lost.count(), 0);
    }
    assert!(told >= 3, "{told}");
    // Nine days are no weeks.
    assert!(
        company(1)
            .planted
            .iter()
            .all(|planted| planted.story != stories::SILENT)
    );
}

#[test]
fn stories_are_told_in_words_and_not_by_ids() {
    for planted in company(9).planted {
        assert!(
            planted.story.contains(' ') && !planted.story.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
            "{}",
            planted.story
        );
        assert!(!planted.note.is_empty());
    }
}

/// What nobody does unless a story says so: each with the rows that show it.
fn serious(row: &Row) -> bool {
    match row.feed {
        Feed::Authentication => {
            text(row, "/result") == "fraud"
                || text(row, "/reason") == "bypass_user"
                || text(row, "/factor") == "bypass_code"
                || text(row, "/event_type") == "enrollment"
        }
        Feed::Activity => [
            "bypass_create",
            "bypass_view",
            "bypass_delete",
            "user_delete",
            "deregister_devices",
        ]
        .contains(&text(row, "/action/name")),
        Feed::Administrator => {
            ["bypass_create", "user_delete", "deregister_devices", "admin_create"].contains(&text(row, "/action"))
                || text(row, "/description").contains("Bypass")
        }
        // What Duo makes of the others.
        Feed::Telephony | Feed::OfflineEnrollment | Feed::TrustMonitor => false,
    }
}

#[test]
fn nothing_serious_happens_outside_the_stories() {
    for seed in 1..4 {
        assert_eq!(ordinary(seed).rows.iter().find(|row| serious(row)), None);
        let account = company(seed);
        let told: BTreeSet<&str> = account
            .planted
            .iter()
            .flat_map(|planted| &planted.events)
            .map(String::as_str)
            .collect();
        assert_eq!(
            account
                .rows
                .iter()
                .find(|row| serious(row) && !told.contains(row.id.as_str())),
            None
        );
    }
}

#[test]
fn nobody_is_let_in_from_a_new_country_unless_it_was_planted() {
    for seed in 1..6 {
        let account = company(seed);
        let last = options(seed).start_us + 8 * DAY;
        let planted: BTreeSet<&str> = account
            .planted
            .iter()
            .filter(|planted| planted.story == stories::NEW_COUNTRY)
            .flat_map(|planted| &planted.events)
            .map(String::as_str)
            .collect();
        let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut news = BTreeSet::new();
        for row in logins(&account).filter(|row| text(row, "/result") == "success") {
            let (user, country) = (text(row, "/user/key"), text(row, "/access_device/location/country"));
            if country.is_empty() || country == "-" {
                continue;
            }
            let known = seen.entry(user).or_default();
            let first_ever = known.is_empty();
            if row.time_us < last || first_ever {
                known.insert(country);
            } else if !known.contains(country) {
                assert!(planted.contains(row.id.as_str()), "{row:?}");
                news.insert(row.id.as_str());
            }
        }
        assert_eq!(news, planted, "planted, but not new");
    }
}

/// The times of each user's rows that `wanted` picks.
fn times(account: &Account, wanted: impl Fn(&Row) -> bool) -> BTreeMap<&str, Vec<&Row>> {
    let mut times: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in logins(account).filter(|row| wanted(row)) {
        times.entry(text(row, "/user/name")).or_default().push(row);
    }
    times
}

#[test]
fn people_who_fumble_take_care() {
    for seed in 1..4 {
        let account = ordinary(seed);
        for (user, rows) in times(&account, |row| text(row, "/result") == "denied") {
            let three = rows.windows(3).find(|rows| rows[2].time_us - rows[0].time_us < HOUR);
            assert!(three.is_none(), "{user}: {three:?}");
        }
    }
}

#[test]
fn a_remembered_device_is_used_by_a_human_at_home_or_at_work() {
    let account = generate(&Options {
        plant: false,
        users: 90,
        target_events: Some(3_000),
        ..options(4)
    });
    for (user, rows) in times(&account, |row| text(row, "/factor") == "remembered_device") {
        for (at, first) in rows.iter().enumerate() {
            let day = rows[at..].iter().take_while(|row| row.time_us - first.time_us < DAY);
            let places: BTreeSet<&str> = day.map(|row| text(row, "/access_device/ip")).collect();
            assert!(places.len() <= 2, "{user}: {places:?}");
        }
        let most = rows.windows(19).find(|rows| rows[18].time_us - rows[0].time_us < DAY);
        assert!(most.is_none(), "{user} logs in like a machine");
    }
}

#[test]
fn messages_belong_to_logins() {
    let account = ordinary(2);
    let txids: BTreeSet<&str> = logins(&account).map(|row| row.id.as_str()).collect();
    let messages: Vec<_> = account.rows.iter().filter(|row| row.feed == Feed::Telephony).collect();
    assert!(messages.len() > 20);
    assert!(
        messages
            .iter()
            .all(|row| txids.contains(text(row, "/txid")) && text(row, "/phone").starts_with('+'))
    );
}

#[test]
fn rows_have_the_shape_of_their_log() {
    let account = company(7);
    let top = [
        (
            Feed::Authentication,
            "access_device alias application auth_device email event_type factor isotimestamp reason result timestamp trusted_endpoint_status txid user",
        ),
        (
            Feed::Activity,
            "action activity_id actor akey application outcome target ts",
        ),
        (Feed::Telephony, "context credits phone telephony_id ts txid type"),
        (Feed::Administrator, "action isotimestamp object timestamp username"),
        (
            Feed::OfflineEnrollment,
            "action description isotimestamp object timestamp username",
        ),
        (
            Feed::TrustMonitor,
            "priority_event priority_reasons sekey state state_updated_timestamp surfaced_timestamp triaged_as_interesting type",
        ),
    ];
    for row in &account.rows {
        let (_, fields) = top.iter().find(|(feed, _)| *feed == row.feed).unwrap();
        for field in fields.split(' ') {
            assert!(row.json.get(field).is_some(), "{field}: {row:?}");
        }
        let (id, time) = match row.feed {
            Feed::Authentication => (text(row, "/txid"), iso_micros(row.time_us)),
            Feed::Activity => (text(row, "/activity_id"), iso_micros(row.time_us)),
            Feed::Telephony => (text(row, "/telephony_id"), iso_micros(row.time_us)),
            Feed::Administrator | Feed::OfflineEnrollment => (row.id.as_str(), iso_seconds(row.time_us)),
            Feed::TrustMonitor => (text(row, "/sekey"), row.time_ms().to_string()),
        };
        assert_eq!(id, row.id);
        let surfaced = row
            .json
            .get("surfaced_timestamp")
            .map_or(String::new(), Value::to_string);
        assert!(
            [text(row, "/isotimestamp"), text(row, "/ts"), &surfaced].contains(&time.as_str()),
            "{row:?}"
        );
        if let Some(timestamp) = row.json.get("timestamp") {
            assert_eq!(timestamp.as_i64(), Some(row.time_us.div_euclid(SECOND)));
        }
        let keys: Vec<&String> = row.json.as_object().unwrap().keys().collect();
        assert!(keys.is_sorted() || row.feed == Feed::TrustMonitor, "{keys:?}");
    }
}

#[test]
fn json_in_strings_is_mostly_whole() {
    let account = company(7);
    let inside = |row: &Row, pointer: &str| {
        row.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(|text| serde_json::from_str::<Value>(text).is_ok())
    };
    let told: Vec<bool> = account
        .rows
        .iter()
        .flat_map(|row| {
            ["/target/details", "/actor/details", "/action/details", "/description"]
                .into_iter()
                .filter_map(move |at| inside(row, at))
        })
        .collect();
    let broken = told.iter().filter(|whole| !**whole).count();
    assert!(broken > 0 && broken * 20 < told.len(), "{broken} of {}", told.len());
}

#[test]
fn real_gaps_are_there() {
    let account = generate(&Options {
        users: 300,
        target_events: Some(6_000),
        ..options(1)
    });
    let count = |wanted: &dyn Fn(&Row) -> bool| logins(&account).filter(|row| wanted(row)).count();
    assert!(count(&|row| row.json.pointer("/access_device/ip") == Some(&Value::Null)) > 0);
    assert!(count(&|row| text(row, "/access_device/ip") == "0.0.0.0") > 0);
    assert!(
        count(
            &|row| text(row, "/access_device/ip").ends_with(|c: char| c.is_ascii_digit())
                && text(row, "/access_device/ip").matches(':').count() == 1
        ) > 0
    );
    assert!(count(&|row| row.json.pointer("/access_device/location").is_none()) > 0);
    assert!(count(&|row| text(row, "/access_device/location/country") == "-") > 0);
    assert!(count(&|row| text(row, "/access_device/hostname") == "null") > 0);
    assert!(count(&|row| row.json.pointer("/user/key") == Some(&Value::Null)) > 0);
    assert!(
        count(&|row| row.json.pointer("/reason") == Some(&Value::Null) && text(row, "/event_type") == "enrollment") > 0
    );
    assert!(count(&|row| row.json.get("session_assurance").is_some()) > 0);
}

#[test]
fn small_wishes_are_rounded_up() {
    let account = generate(&Options {
        users: 1,
        days: 1,
        target_events: None,
        ..options(1)
    });
    assert!(
        account
            .planted
            .iter()
            .any(|planted: &Planted| planted.kind == Kind::Attack)
    );
    let start = options(1).start_us;
    assert!(account.rows.last().unwrap().time_us >= start + 2 * DAY);
    assert!(describe(&account).contains("attacks"));
}
