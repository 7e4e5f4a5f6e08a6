use std::collections::BTreeSet;
use std::path::Path;

use picket_contract::{Row, Tables};
use picket_event::Mask;

use super::*;
use crate::config::KeyKind;

fn spec(path: &Path, keys: &[(&str, KeyKind)], phones: &[&str]) -> TableSpec {
    TableSpec {
        name: "assets".to_owned(),
        file: path.to_owned(),
        keys: keys.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        phones: phones.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(),
        is_shared: true,
        place: "picket.yaml:3:5".to_owned(),
    }
}

fn read(name: &str, text: impl AsRef<[u8]>, keys: &[(&str, KeyKind)], phones: &[&str]) -> Result<Arc<Filed>, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    read::file(&spec(&path, keys, phones), None).map_err(|problems| Problems(problems).to_string())
}

fn find(filed: &Filed, index: &str, key: &str) -> Vec<Row> {
    let mask = Mask::substitute();
    let mut tables = Tables {
        numbers: Some(mask.clone()),
        ..Tables::default()
    };
    tables.shared.insert("tables.assets".to_owned(), filed.table(&*mask));
    tables.find("tables.assets", index, key).unwrap()
}

const KEYS: [(&str, KeyKind); 2] = [("host", KeyKind::Exact), ("net", KeyKind::Cidr)];

#[test]
fn every_format_gives_the_same_rows() {
    let csv = "host,net,zone\nvpn1,10.1.0.0/16,\"lab, north\"\ndb1,,core\n,2001:db8::/32,six\n";
    let ndjson = "{\"host\":\"vpn1\",\"net\":\"10.1.0.0/16\",\"zone\":\"lab, north\"}\n\n{\"host\":\"db1\",\"zone\":\"core\",\"net\":null}\n\
                  {\"net\":\"2001:db8::/32\",\"zone\":\"six\"}\n";
    let yaml = "- {host: vpn1, net: 10.1.0.0/16, zone: 'lab, north'}\n- host: db1\n  zone: core\n- {net: '2001:db8::/32', zone: six}\n";
    for (name, text) in [("a.csv", csv), ("a.ndjson", ndjson), ("a.yaml", yaml)] {
        let filed = read(name, text, &KEYS, &[]).unwrap();
        assert_eq!(filed.rows, 3, "{name}");
        let zone = |index: &str, key: &str| -> Vec<String> {
            let rows = find(&filed, index, key).into_iter();
            rows.flat_map(|row| {
                row.into_iter()
                    .filter(|(column, _)| column == "zone")
                    .map(|(_, cell)| cell)
            })
            .collect()
        };
        assert_eq!(zone("host", "vpn1"), ["lab, north"], "{name}");
        assert_eq!(zone("net", "10.1.2.3"), ["lab, north"], "{name}");
        assert_eq!(zone("net", "2001:db8::7"), ["six"], "{name}");
        assert_eq!(zone("host", "db1"), ["core"], "{name}");
        assert!(zone("host", "").is_empty() && zone("host", "VPN1").is_empty(), "{name}");
    }
}

#[test]
fn a_wrong_line_is_named_with_its_number_and_what_would_be_right() {
    let exact = &KEYS[..1];
    for (name, text, keys, place, what) in [
        (
            "a.csv",
            "host,net\nvpn1,10.1.0.0/16\ndb1\n",
            &KEYS[..],
            ":3:1: 1 cells",
            "2 columns",
        ),
        (
            "a.csv",
            "host,net\nvpn1,10.1.2.3/16\n",
            &KEYS,
            ":2:1: net:",
            "write 10.1.0.0/16",
        ),
        ("a.csv", "host,net\nvpn1,x\n", &KEYS, ":2:1: net:", "no network"),
        (
            "a.csv",
            "host,net\nvpn1,\n,\n",
            &KEYS,
            ":3:1: no rule can find",
            "take the row out",
        ),
        (
            "a.csv",
            "hosts,net\nvpn1,\n",
            &KEYS,
            ":1:1: there is no column `host`",
            "did you mean `hosts`?",
        ),
        (
            "a.csv",
            "host,host\nvpn1,a\n",
            exact,
            ":1:1: there are two columns",
            "`host`",
        ),
        ("a.csv", "host;net\nvpn1;x\n", exact, ":1:1: the columns", "commas"),
        (
            "a.ndjson",
            "{\"host\":\"a\"}\n{\"host\":\n",
            exact,
            ":2:8: EOF",
            "object a line",
        ),
        (
            "a.ndjson",
            "{\"host\":\"a\"}\n{\"host\":[1]}\n",
            exact,
            ":2:1: `host` is a list",
            "a text",
        ),
        ("a.yaml", "- {host: a}\n- {host: {b: c}}\n", exact, ":2:3: ", ""),
        ("a.yaml", "host: a\n", exact, ":1:1: ", ""),
    ] {
        let said = read(name, text, keys, &[]).unwrap_err();
        // In YAML an object is where it begins; its place is the line.
        let place = place.strip_suffix(":2:3: ").map_or(place, |_| ":2:");
        assert!(said.contains(place) && said.contains(what), "{text}: {said}");
    }
    let said = read("a.csv", b"host\nvpn1\n\xff\n", exact, &[]).unwrap_err();
    assert!(said.contains(":3:1: it is not UTF-8"), "{said}");
    let many: String = (0..1000).map(|_| "a,b\n").collect();
    let said = read("a.csv", format!("host\n{many}"), exact, &[]).unwrap_err();
    assert!(said.contains("and more") && said.lines().count() < 40, "{said}");
    let gone = read::file(&spec(Path::new("/no/such.csv"), exact, &[]), None).unwrap_err();
    let gone = Problems(gone).to_string();
    assert!(
        gone.contains("table assets: cannot be read") && gone.contains("picket.yaml:3:5"),
        "{gone}"
    );
}

#[test]
fn phone_numbers_are_pseudonyms_of_each_tenants_key() {
    let text = "mobile,begins,owner,office\n(503) 555-0142,+1 503,ada,\n,+44,eve,+44 20 7946 0123\n";
    let keys = [("mobile", KeyKind::Exact), ("begins", KeyKind::Prefix)];
    let filed = read("a.csv", text, &keys, &["mobile"]).unwrap();
    let mask = Mask::substitute();
    let ada = find(&filed, "mobile", &mask.number("+15035550142"));
    assert!(!format!("{ada:?}").contains("555"), "{ada:?}");
    assert!(find(&filed, "mobile", "+15035550142").is_empty());
    let eve = find(&filed, "begins", &mask.number("+442079460123"));
    assert!(
        format!("{eve:?}").contains("eve") && !format!("{eve:?}").contains("7946"),
        "nobody had to say that it is a number: {eve:?}"
    );
    let other = Mask::new(&[7; 32]);
    assert_ne!(filed.table(&other), filed.table(&*mask));
    let plain = read("a.csv", "id,owner\n12345678,ada\n", &[("id", KeyKind::Exact)], &[]).unwrap();
    assert_eq!(find(&plain, "id", "12345678").len(), 1, "a number that nobody dials");
    assert!(
        Arc::ptr_eq(&plain.table(&other), &plain.table(&*mask)),
        "there once for all tenants"
    );
}

#[test]
fn a_file_that_has_not_changed_is_not_read_again_and_an_empty_one_is_an_empty_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.ndjson");
    std::fs::write(&path, "").unwrap();
    let spec = spec(&path, &KEYS[..1], &[]);
    let empty = read::file(&spec, None).unwrap();
    assert_eq!((empty.rows, find(&empty, "host", "a").len()), (0, 0));
    std::fs::write(&path, "{\"host\":\"a\"}\n").unwrap();
    let one = read::file(&spec, Some(&empty)).unwrap();
    assert_eq!(one.rows, 1);
    assert!(Arc::ptr_eq(&read::file(&spec, Some(&one)).unwrap(), &one));
    let other = TableSpec {
        keys: [("host".to_owned(), KeyKind::Prefix)].into(),
        ..spec
    };
    assert_ne!(
        *read::file(&other, Some(&one)).unwrap(),
        *one,
        "how rows are found is part of it"
    );
}
