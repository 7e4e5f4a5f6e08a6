//! Parsing and selecting against the same in a few plain lines.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that fails may panic"
)]

mod naive;

use std::sync::Arc;

use picket_contract::manifest::{Field, StateManifest};
use picket_contract::when::Test;
use picket_contract::{
    Batch, Column, EventRecord, FieldType, Group, Op, Params, RawRow, RuleManifest, Severity, Source, When,
};
use picket_event::{Mask, Page, Permission, Plan, RowRef, Selector, identify, narrate, subject};
use proptest::prelude::*;
use serde_json::{Value, json};

const KINDS: [FieldType; 5] = [
    FieldType::Text,
    FieldType::S64,
    FieldType::F64,
    FieldType::Bool,
    FieldType::Texts,
];
const PATHS: [&str; 7] = ["a", "b", "a.b", "a.b.c", "a.c", "c.a", "b.b"];

/// Every log that a rule may name.
fn logs() -> Vec<&'static str> {
    picket_catalogue::logs().iter().map(|log| log.name).collect()
}

fn rule(sources: Vec<Source>) -> RuleManifest {
    RuleManifest {
        id: "r".into(),
        version: "1.0.0".into(),
        title: String::new(),
        description: String::new(),
        severity: Severity::Low,
        attack: vec![],
        check: vec![],
        act: vec![],
        false_positives: vec![],
        sources,
        params: vec![],
        state: StateManifest::default(),
        dedup_period_ms: 0,
        supersedes: vec![],
        tests: String::new(),
    }
}

fn source(log: &str, fields: &[(&str, FieldType, bool)], when: When) -> Source {
    let fields = fields.iter().map(|(path, kind, required)| Field {
        path: (*path).to_owned(),
        kind: *kind,
        required: *required,
    });
    Source {
        log: log.to_owned(),
        name: log.to_owned(),
        fields: fields.collect(),
        when,
    }
}

fn record(number: usize, raw: &str) -> EventRecord {
    EventRecord {
        id: format!("{number:06}").into(),
        time: number as i64 / 3,
        raw: raw.into(),
    }
}

fn rows(page: &Arc<Page>, first_seq: u64) -> Vec<RowRef> {
    let row = |row: u32| {
        let mut offered = RowRef::new(page.clone(), row, first_seq + u64::from(row));
        offered.late = row % 5 == 4;
        offered
    };
    (0..page.len() as u32).map(row).collect()
}

/// A group's value, printed as [`naive::coerced`] prints it.
fn shown(group: &Group, column: &Column, row: usize) -> String {
    let text = |code: &u32| group.text(*code).map(str::to_owned);
    match column {
        Column::Text(codes) => format!("{:?}", text(&codes[row])),
        Column::S64 { values, valid } => format!("{:?}", (valid[row] == 1).then_some(values[row])),
        Column::F64 { values, valid } => format!("{:?}", (valid[row] == 1).then_some(values[row])),
        Column::Bool(values) => format!("{:?}", [Some(false), Some(true), None][usize::from(values[row])]),
        Column::Texts { offsets, codes } => {
            let range = offsets[row] as usize..offsets[row + 1] as usize;
            format!("{:?}", codes[range].iter().filter_map(text).collect::<Vec<String>>())
        }
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-4i64..4).prop_map(Value::from),
        (-8i32..8).prop_map(|half| json!(f64::from(half) / 2.0)),
        "[a-c]{0,2}".prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        prop::sample::select(vec![
            "true",
            "False",
            " 7 ",
            "7.0",
            "-",
            "unknown",
            "{",
            "{}",
            "\u{1}\"\\"
        ])
        .prop_map(Value::from),
    ]
}

/// JSON over few keys, so that paths meet values; sometimes packed into a string, as Duo does.
fn document() -> impl Strategy<Value = Value> {
    let value = scalar().prop_recursive(4, 24, 4, |inner| {
        let object = prop::collection::btree_map("[a-c]", inner.clone(), 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()));
        prop_oneof![
            3 => object.clone(),
            1 => object.prop_map(|object| Value::String(object.to_string())),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    });
    prop::collection::btree_map("[a-c]", value, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// What stands in a field: any scalar, and what has been seen there.
fn dirty() -> impl Strategy<Value = Value> {
    let seen = prop::sample::select(vec![
        "1.2.3.4:5",
        "[2001:db8::1]:443",
        "2001:db8::1#4",
        "::ffff:1.2.3.4",
        "0.0.0.0",
        "laptop-7.corp.example:443",
        "Unknown",
        "null",
        "WebAuthn Chrome  Touch ID",
        "FAILURE",
        "touchid_disabled",
        "bypass_status_enabled",
        "+1 (734) 555-2342",
        "(555) 713-6275 x456",
        "My iPhone X (734-555-2342)",
        "2021-07-20T11: 41: 31+00: 00",
        "2021-07-20 11:41:31",
        "1626781291",
        "{\"address\": \"1.2.3.4:5\"}",
        "\u{130}STANBUL \u{3a3}",
    ]);
    prop_oneof![
        scalar(),
        seen.prop_map(Value::from),
        "[ -~]{0,20}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from)
    ]
}

/// JSON over the keys of the catalogue, so that values of every shape stand where fields are.
fn catalogued() -> impl Strategy<Value = Value> {
    let mut keys: Vec<&str> = picket_catalogue::logs()
        .iter()
        .flat_map(|log| log.fields)
        .flat_map(|field| field.path.split('.'))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let key = prop::sample::select(keys);
    let value = dirty().prop_recursive(4, 48, 8, {
        let key = key.clone();
        move |inner| {
            let object = prop::collection::btree_map(key.clone(), inner.clone(), 0..8)
                .prop_map(|map| Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()));
            prop_oneof![
                3 => object.clone(),
                1 => object.prop_map(|object| Value::String(object.to_string())),
                1 => prop::collection::vec(inner, 0..3).prop_map(Value::Array),
            ]
        }
    });
    prop::collection::btree_map(key, value, 0..24)
        .prop_map(|map| Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
}

/// Rows that resemble one another, written with or without white space, and some with a slip of the pen.
fn likenesses() -> impl Strategy<Value = Vec<String>> {
    let identity = json!({"txid": "t", "isotimestamp": "2026-01-01T00:00:00Z", "factor": "p\"ush", "timestamp": 7});
    let row = (
        catalogued(),
        any::<bool>(),
        prop::option::weighted(0.3, (any::<prop::sample::Index>(), "[,{}:\"x ]?")),
    );
    prop::collection::vec(row, 1..4).prop_flat_map(move |kinds| {
        let identity = identity.clone();
        prop::collection::vec(prop::sample::select(kinds), 1..12).prop_map(move |rows| {
            let write = |(mut row, spaced, slip): (Value, bool, Option<(prop::sample::Index, String)>)| {
                let members = row.as_object_mut().unwrap();
                members.extend(identity.as_object().unwrap().clone());
                let text = if spaced { format!("{row:#}") } else { row.to_string() };
                let Some((at, instead)) = slip else { return text };
                let mut characters: Vec<String> = text.chars().map(String::from).collect();
                let at = at.index(characters.len());
                characters[at] = instead;
                characters.concat()
            };
            rows.into_iter().map(write).collect()
        })
    })
}

/// Rows of few objects and lists, long ones and short, that come again and again: as they were, with a slip of the pen
/// somewhere, twice in a row, or cut off.
fn recurring() -> impl Strategy<Value = Vec<String>> {
    let word = || {
        prop::sample::select(vec![
            "",
            "a",
            "unknown",
            "\\u00cele \\\"x\\\"",
            "a rather long name of something",
            "\\u0000",
            "]}",
        ])
    };
    let words = || {
        prop::collection::vec(word(), 0..4).prop_map(|words| {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("[{}]", quoted.join(", "))
        })
    };
    let user = (words(), word(), word(), word()).prop_map(|(groups, key, name, more)| {
        format!(r#"{{"groups": {groups}, "key": "{key}", "name": "{name}", "more": {{"x": "{more}"}}}}"#)
    });
    let device = (word(), word(), word(), words()).prop_map(|(browser, ip, country, agents)| {
        let location = format!(r#"{{"city": null, "country": "{country}", "state": "{country}"}}"#);
        format!(r#"{{"browser": "{browser}", "epkey": "EP", "ip": "{ip}", "location": {location}, "security_agents": {agents}}}"#)
    });
    let slip = || prop::option::weighted(0.3, (any::<prop::sample::Index>(), "[,{}:\"x\\\\ \\]\u{0}]{0,2}"));
    (prop::collection::vec(user, 1..4), prop::collection::vec(device, 1..4)).prop_flat_map(move |(users, devices)| {
        let row = (
            prop::sample::select(users),
            prop::sample::select(devices.clone()),
            prop::option::weighted(0.2, prop::sample::select(devices)),
            any::<bool>(),
            slip(),
        );
        let row = row.prop_map(|(user, device, again, user_first, slip)| {
            let again = again.map_or(String::new(), |device| format!(r#""access_device": {device}, "#));
            let (first, last) = if user_first {
                (format!(r#""user": {user}, "#), format!(r#""access_device": {device}"#))
            } else {
                (format!(r#""access_device": {device}, "#), format!(r#""user": {user}"#))
            };
            let text = format!(r#"{{{first}{again}"result": "success", "timestamp": 7, "txid": "t", {last}}}"#);
            let Some((at, instead)) = slip else { return text };
            let mut characters: Vec<String> = text.chars().map(String::from).collect();
            let at = at.index(characters.len());
            characters[at] = instead;
            characters.concat()
        });
        prop::collection::vec(row, 1..30)
    })
}

/// The same JSON with its keys the other way round, at every level.
fn reversed(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), reversed(value)))
                .collect();
            members.reverse();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(elements) => format!("[{}]", elements.iter().map(reversed).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}

fn when() -> impl Strategy<Value = When> {
    let values = prop::collection::vec("[a-c]{0,2}", 0..9);
    let ops = prop::sample::select(vec![Op::In, Op::Present, Op::Prefix, Op::Suffix, Op::Contains]);
    let test = (prop::sample::select(PATHS.to_vec()), ops, values).prop_map(|(field, op, values)| {
        When::Test(Test {
            field: field.to_owned(),
            op,
            values,
            param: None,
        })
    });
    test.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|all| When::All { all }),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|any| When::Any { any }),
            inner.prop_map(|not| When::Not { not: Box::new(not) }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn columns_equal_a_plain_lookup(documents in prop::collection::vec(document(), 1..8)) {
        let fields: Vec<(&str, FieldType, bool)> =
            PATHS.iter().flat_map(|path| KINDS.map(|kind| (*path, kind, false))).collect();
        let rule = rule(vec![source("new_log", &fields, When::always())]);
        let plan = Plan::new(&rule.sources);
        let events: Vec<EventRecord> =
            documents.iter().enumerate().map(|(number, document)| record(number, &document.to_string())).collect();
        let page = Arc::new(plan.parse("new_log", "new_log", &events));
        prop_assert_eq!(page.broken_rows(), 0);
        let batch = Selector::new(&rule, &Params::new(), &plan).unwrap().select(&rows(&page, 1), 0).batch;
        for (row, document) in documents.iter().enumerate() {
            for ((path, kind, _), column) in fields.iter().zip(&batch.groups[0].columns) {
                let expected = naive::coerced(&naive::at(document, path), *kind);
                prop_assert_eq!(shown(&batch.groups[0], column, row), expected, "{} as {:?} of {}", path, kind, document);
            }
        }
    }

    #[test]
    fn selection_equals_a_row_by_row_one(
        documents in prop::collection::vec(document(), 1..12),
        first in when(),
        second in when(),
        split in 0usize..12,
        required in any::<bool>(),
    ) {
        let sources = vec![
            source("new_log", &[("a", FieldType::Text, required), ("b", FieldType::Text, false)], first),
            source("new_log", &[("a.b", FieldType::Text, false)], second),
        ];
        let rule = rule(sources);
        let plan = Plan::new(&rule.sources);
        let selector = Selector::new(&rule, &Params::new(), &plan).unwrap();
        let events: Vec<EventRecord> =
            documents.iter().enumerate().map(|(number, document)| record(number, &document.to_string())).collect();
        let whole = Arc::new(plan.parse("new_log", "new_log", &events));
        let selection = selector.select(&rows(&whole, 1), 9);

        let (mut picked, mut unreadable) = (Vec::new(), 0);
        for (row, document) in documents.iter().enumerate() {
            let texts = |path: &str| {
                let text = naive::text(&naive::at(document, path));
                text.filter(|text| !text.trim().is_empty()).into_iter().collect::<Vec<_>>()
            };
            let Some(taken) = rule.sources.iter().position(|source| naive::holds(&source.when, &texts)) else { continue };
            if taken == 0 && required && texts("a").is_empty() {
                unreadable += 1;
            } else {
                picked.push((row as u32, taken as u32));
            }
        }
        let order = selection.batch.order.iter().map(|group| selection.batch.groups[usize::from(*group)].source);
        prop_assert_eq!(selection.picked.iter().copied().zip(order).collect::<Vec<_>>(), picked);
        prop_assert_eq!(selection.unreadable.iter().map(|(_, count)| count).sum::<u64>(), unreadable);

        // The same rows from other pages give the same batch.
        let (left, right) = events.split_at(split.min(events.len()));
        let pages = [left, right].map(|events| Arc::new(plan.parse("new_log", "new_log", events)));
        let mut split_rows = rows(&pages[0], 1);
        split_rows.extend(rows(&pages[1], 1 + left.len() as u64));
        for (row, same) in split_rows.iter_mut().zip(rows(&whole, 1)) {
            row.late = same.late;
        }
        prop_assert_eq!(&selector.select(&split_rows, 9), &selection);

        // So do pages that another plan parsed.
        let other = Plan::new(&[source("new_log", &[("c", FieldType::Bool, false)], When::always())]);
        let foreign = Arc::new(other.parse("new_log", "new_log", &events));
        prop_assert_eq!(&selector.select(&rows(&foreign, 1), 9), &selection);
    }

    #[test]
    fn what_is_normalised_stays_so_and_raw_paths_are_as_received(
        log in prop::sample::select(logs()),
        place in any::<prop::sample::Index>(),
        received in dirty(),
    ) {
        let own: Vec<_> =
            picket_catalogue::log(log).unwrap().fields.iter().filter(|field| field.raw.is_some()).collect();
        let path = own[place.index(own.len())].path;
        let raw = format!("raw.{path}");
        let fields = [(path, FieldType::Text, false), (raw.as_str(), FieldType::Text, false)];
        let (source, permission) = (source(log, &fields, When::always()), Permission::default().granting_raw());
        let plan = Plan::of([(&source, &permission)], &Mask::substitute());
        let read = |value: &Value| {
            let row = path.rsplit('.').fold(value.clone(), |inner, key| json!({ key: inner }));
            let page = plan.parse(log, log, &[record(0, &row.to_string())]);
            assert!(!page.broken(0));
            [path, raw.as_str()].map(|path| page.text(0, path).map(str::to_owned))
        };
        let [once, as_received] = read(&received);
        // An address alone has a second shape, so that an object in its place is no value.
        let expected = naive::text(&received).filter(|_| !received.is_object());
        if !received.is_object() {
            prop_assert_eq!(as_received, expected);
        }
        // A number in the JSON is no text in which a phone number could stand; the same digits in a text may be one.
        let is_number = received.is_number() && picket_catalogue::phone(log, path) == picket_catalogue::Phone::Within;
        if let Some(once) = once.filter(|_| !is_number) {
            let [twice, _] = read(&Value::from(once.as_str()));
            prop_assert_eq!(twice, Some(once), "{} {} {}", log, path, received);
        }
    }

    #[test]
    fn the_rows_before_change_nothing_of_how_a_row_is_read(rows in likenesses()) {
        let fields: Vec<(&str, FieldType, bool)> = picket_catalogue::log("authentication").unwrap().fields.iter()
            .map(|field| (field.path, FieldType::Text, false))
            .collect();
        let plan = Plan::new(&[source("authentication", &fields, When::always())]);
        let rows: Vec<RawRow> = rows.into_iter().map(RawRow::from).collect();
        let mut told = Vec::new();
        let page = plan.read("authentication", "authentication", &rows, |number, identity| {
            told.push(identity);
            record(number, &rows[number])
        });
        for (number, raw) in rows.iter().enumerate() {
            prop_assert_eq!(&told[number], &identify("authentication", raw), "{}", raw);
            let alone = plan.parse("authentication", "authentication", &[record(number, raw)]);
            let row = u32::try_from(number).unwrap();
            prop_assert_eq!(page.broken(row), alone.broken(0), "{}", raw);
            for (path, _, _) in &fields {
                prop_assert_eq!(page.text(row, path), alone.text(0, path), "{} of {}", path, raw);
            }
        }
    }

    #[test]
    fn what_comes_again_is_read_as_if_it_came_alone(rows in recurring()) {
        let fields = [
            ("user.name", FieldType::Text, false),
            ("user.key", FieldType::Text, false),
            ("user.groups", FieldType::Texts, false),
            ("user.more.x", FieldType::Text, false),
            ("access_device.ip_hostname", FieldType::Text, false),
            ("access_device.location.country", FieldType::Text, false),
            ("access_device.security_agents", FieldType::Texts, false),
            ("raw.access_device.browser", FieldType::Text, false),
        ];
        let sources = [source("authentication", &fields, When::always())];
        let plan = Plan::new(&sources);
        let selector = Selector::new(&rule(sources.to_vec()), &Params::new(), &plan).unwrap();
        let read = |raws: &[&String]| {
            let records: Vec<EventRecord> = raws.iter().enumerate().map(|(number, raw)| record(number, raw)).collect();
            Arc::new(plan.parse("authentication", "authentication", &records))
        };
        let told = |page: &Arc<Page>| -> Vec<Vec<String>> {
            let batch = selector.select(&self::rows(page, 1), 0).batch;
            let group = batch.groups.first();
            let row = |row| group.iter().flat_map(|group| group.columns.iter().map(move |column| shown(group, column, row))).collect();
            (0..batch.rows()).map(row).collect()
        };
        let page = read(&rows.iter().collect::<Vec<_>>());
        let alone: Vec<Arc<Page>> = rows.iter().map(|raw| read(&[raw])).collect();
        for (number, alone) in alone.iter().enumerate() {
            prop_assert_eq!(page.broken(u32::try_from(number).unwrap()), alone.broken(0), "{}", rows[number]);
            let plain = serde_json::from_str::<serde_json::Map<String, Value>>(&rows[number]);
            prop_assert!(plain.is_err() || !alone.broken(0), "{}", rows[number]);
        }
        prop_assert_eq!(told(&page), alone.iter().flat_map(told).collect::<Vec<_>>());
    }

    #[test]
    fn any_json_is_read_whatever_the_log_and_field(
        log in prop::sample::select(logs()),
        documents in prop::collection::vec(catalogued(), 1..4),
    ) {
        let fields: Vec<(&str, FieldType, bool)> = picket_catalogue::log(log).unwrap().fields.iter()
            .flat_map(|field| [Some(field.path), field.raw])
            .flatten()
            .flat_map(|path| KINDS.map(|kind| (path, kind, false)))
            .collect();
        let rule = rule(vec![source(log, &fields, When::always())]);
        let plan = Plan::new(&rule.sources);
        let events: Vec<EventRecord> =
            documents.iter().enumerate().map(|(number, document)| record(number, &document.to_string())).collect();
        for duo_log in [log, "administrator", "activity"] {
            let page = Arc::new(plan.parse(log, duo_log, &events));
            prop_assert_eq!(page.broken_rows(), 0);
            let batch = Selector::new(&rule, &Params::new(), &plan).unwrap().select(&rows(&page, 1), 0).batch;
            prop_assert_eq!(batch.order.len(), documents.len());
        }
        for event in &events {
            prop_assert!(!narrate(log, &event.raw, &Mask::substitute()).text.chars().any(char::is_control));
            let _ = subject(log, &event.raw);
        }
    }

    #[test]
    fn identity_is_of_the_content_alone(
        log in prop::sample::select(logs()),
        document in catalogued(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        time in any::<i64>(),
    ) {
        let text = String::from_utf8_lossy(&bytes);
        prop_assert_eq!(identify(log, &text), identify(log, &text));
        let mut document = document;
        for key in ["timestamp", "surfaced_timestamp"] {
            document[key] = time.into();
        }
        document["ts"] = "2026-01-01T00:00:00.000001Z".into();
        let (as_is, turned) = (document.to_string(), reversed(&document));
        prop_assert_eq!(&serde_json::from_str::<Value>(&turned).unwrap(), &document);
        let identity = identify(log, &as_is);
        prop_assert_eq!(&identity, &identify(log, &turned));
        let spaced = serde_json::to_string_pretty(&document).unwrap();
        prop_assert_eq!(&identity, &identify(log, &spaced));
        if let Ok(identity) = identity {
            prop_assert!(!identity.id.is_empty());
        }
    }

    #[test]
    fn mutated_rows_never_panic_and_are_read_or_flagged(
        log in prop::sample::select(logs()),
        row in 0usize..64,
        cut in any::<prop::sample::Index>(),
        with in "[\\PC\"{}\\[\\]:,\\\\0-9]{0,4}",
        dropped in 0usize..6,
    ) {
        let all: Vec<&str> = include_str!("fixtures/events.ndjson").lines().collect();
        let original = all[row % all.len()];
        let mut characters: Vec<char> = original.chars().collect();
        let at = cut.index(characters.len());
        let end = (at + dropped).min(characters.len());
        characters.splice(at..end, with.chars());
        let raw: String = characters.into_iter().collect();
        let fields: Vec<(&str, FieldType, bool)> =
            picket_catalogue::log(log).unwrap().fields.iter().map(|field| (field.path, FieldType::Text, false)).collect();
        let plan = Plan::new(&[source(log, &fields, When::always())]);
        let page = plan.parse(log, log, &[record(0, &raw)]);
        // What serde_json reads into values is read here; the other way round it need not be, since skipped parts are not built.
        if serde_json::from_str::<serde_json::Map<String, Value>>(&raw).is_ok() {
            prop_assert!(!page.broken(0));
        }
        let _ = identify(log, &raw);
        let told = narrate(log, &raw, &Mask::substitute());
        prop_assert!(!told.text.chars().any(char::is_control));
        let _ = subject(log, &raw);
    }
}

#[test]
fn a_batch_holds_only_the_selected_rows_texts_in_order_of_first_use() {
    let fraud = When::Test(Test {
        field: "result".into(),
        op: Op::In,
        values: vec!["fraud".into()],
        param: None,
    });
    let fields = [("user.name", FieldType::Text, true), ("result", FieldType::Text, false)];
    let rule = rule(vec![source("authentication", &fields, fraud)]);
    let plan = Plan::new(&rule.sources);
    let events = [
        r#"{"user":{"name":"bob"},"result":"success"}"#,
        r#"{"user":{"name":"ada"},"result":"FRAUD"}"#,
        r#"{"user":{"name":""},"result":"fraud"}"#,
        "nonsense",
        r#"{"user":{"name":"cyd"},"result":"fraud"}"#,
        r#"{"user":{"name":"ada"},"result":"Fraud"}"#,
    ];
    let events: Vec<EventRecord> = events
        .iter()
        .enumerate()
        .map(|(number, raw)| record(number, raw))
        .collect();
    let page = Arc::new(plan.parse("authentication", "authentication", &events));
    assert_eq!(page.broken_rows(), 1);
    let selection = Selector::new(&rule, &Params::new(), &plan)
        .unwrap()
        .select(&rows(&page, 10), 7);
    assert_eq!(selection.picked, [1, 4, 5]);
    assert_eq!(selection.unreadable, [("user.name".to_owned(), 1)]);
    let expected = Batch {
        groups: vec![Group {
            source: 0,
            events: vec![11, 14, 15],
            times: vec![0, 1, 1],
            late: vec![0, 1, 0],
            dictionary: b"adacydfraud".to_vec(),
            offsets: vec![0, 3, 6, 11],
            columns: vec![Column::Text(vec![0, 1, 0]), Column::Text(vec![2, 2, 2])],
        }],
        order: vec![0, 0, 0],
        watermark: 7,
    };
    assert_eq!(selection.batch, expected);
}

#[test]
fn equal_keys_the_last_counts() {
    let fields = [
        ("user.name", FieldType::Text, false),
        ("target.details.status", FieldType::Text, false),
    ];
    let plan = Plan::new(&[source("activity", &fields, When::always())]);
    let raw = r#"{"user":{"name":"ada"},"user":{},"target":{"details":"{\"status\":\"a\"}","details":"{\"status\":\"b\", broken"}}"#;
    let page = plan.parse("activity", "activity", &[record(0, raw)]);
    assert_eq!(
        (page.text(0, "user.name"), page.text(0, "target.details.status")),
        (None, None)
    );
}

#[test]
fn half_a_character_hides_nothing() {
    let fields = [
        ("user.name", FieldType::Text, false),
        ("target.details.status", FieldType::Text, false),
    ];
    let plan = Plan::new(&[source("activity", &fields, When::always())]);
    let raw = r#"{"activity_id":"a","ts":"2026-01-01T00:00:00Z","user":{"name":"a\ud83d"},"target":{"details":"{\"status\":\"b\\ud83d\"}"}}"#;
    let page = plan.parse("activity", "activity", &[record(0, raw)]);
    assert_eq!(
        (page.text(0, "user.name"), page.text(0, "target.details.status")),
        (Some("a\u{fffd}"), Some("b\u{fffd}"))
    );
    assert!(identify("activity", raw).is_ok());
}

#[test]
fn one_pass_tells_of_a_row_what_two_tell() {
    let plan = Plan::new(&[source(
        "administrator",
        &[("username", FieldType::Text, false)],
        When::always(),
    )]);
    let rows: [RawRow; 5] = [
        r#"{"timestamp":1,"username":"ada","action":"a"}"#.into(),
        // Nobody reads the note, but the row is told by all of its content.
        r#"{"timestamp":1,"username":"ada","note":"\ud83d"}"#.into(),
        r#"{"timestamp":1.5,"username":"ada"}"#.into(),
        r#"{"username":"ada"}"#.into(),
        "nonsense".into(),
    ];
    let mut told = Vec::new();
    let page = plan.read("administrator", "administrator", &rows, |number, identity| {
        told.push(identity);
        record(number, &rows[number])
    });
    for (number, raw) in (0..).zip(&rows) {
        assert_eq!(told[number], identify("administrator", raw), "{raw}");
        let alone = plan.parse("administrator", "administrator", &[record(number, raw)]);
        let row = number as u32;
        assert_eq!(page.broken(row), alone.broken(0), "{raw}");
        assert_eq!(page.text(row, "username"), alone.text(0, "username"), "{raw}");
    }
    assert!(told[1].is_ok() && told[3].is_err());
}

#[test]
fn deep_and_long_rows_are_refused_not_followed() {
    let plan = Plan::new(&[source("activity", &[("a", FieldType::Text, false)], When::always())]);
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(picket_event::MAX_EVENT_BYTES));
    let page = plan.parse(
        "activity",
        "activity",
        &[record(0, &deep), record(1, &long), record(2, r#"{"a":1}"#)],
    );
    assert_eq!([0, 1, 2].map(|row| page.broken(row)), [true, true, false]);
}
