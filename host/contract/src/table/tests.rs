use super::*;

fn row(cells: &[(&str, &str)]) -> Row {
    cells
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn users() -> Table {
    let mut table = Table::new(&["user_id", "username", "status"], &["user_id", "name"]);
    table.push(
        &[Some("DU2"), Some("zoë"), None],
        [("user_id", "DU2"), ("name", "zoë"), ("name", "team")],
    );
    table.push(
        &[Some("DU1"), Some("ada"), Some("active")],
        [("user_id", "DU1"), ("name", "ada"), ("name", "team")],
    );
    table.push(
        &[Some("DU3")],
        [("user_id", "DU3"), ("name", ""), ("no such index", "x")],
    );
    table.sorted()
}

#[test]
fn rows_are_found_by_every_index() {
    let table = users();
    assert_eq!(table.rows(), 3);
    let ada = row(&[("user_id", "DU1"), ("username", "ada"), ("status", "active")]);
    let zoe = row(&[("user_id", "DU2"), ("username", "zoë")]);
    assert_eq!(table.find("user_id", "DU1"), Some(vec![ada.clone()]));
    assert_eq!(table.find("name", "team"), Some(vec![zoe, ada]));
    assert_eq!(table.find("user_id", "DU3"), Some(vec![row(&[("user_id", "DU3")])]));
    assert_eq!(table.find("name", "nobody"), Some(vec![]));
    assert_eq!(table.find("name", ""), Some(vec![]));
    assert_eq!(table.find("serial", "1"), None, "no such index is no empty match");
    let keys: Vec<&str> = table.keys("user_id").map(|(key, _)| key).collect();
    assert_eq!(keys, ["DU1", "DU2", "DU3"]);
}

/// Masks by turning a number round.
#[derive(Debug)]
struct Turned;

impl Numbers for Turned {
    fn reveal(&self, pseudonym: &str) -> Option<String> {
        let turned = pseudonym.strip_prefix("phone:")?;
        Some(turned.chars().rev().collect())
    }

    fn masked(&self, number: &str) -> String {
        if number.len() < 8 || number.starts_with("phone:") {
            return number.to_owned();
        }
        format!("phone:{}", number.chars().rev().collect::<String>())
    }
}

#[test]
fn numbers_are_found_by_pseudonyms_and_by_where_they_begin() {
    let mut tables = Tables {
        numbers: Some(Arc::new(Turned)),
        ..Tables::default()
    };
    let value = |value: &str| row(&[("value", value)]);
    let keys = ["+1", "+1 900", "+15035550142", "vip"];
    tables.write("lists.own", keys.map(|key| (key.to_owned(), value(key))));
    let find = |index: &str, key: &str| tables.find("lists.own", index, key);
    let (premium, own) = (Turned.masked("+19005550100"), Turned.masked("+15035550142"));
    assert_eq!(
        find(PREFIX, &premium),
        Some(vec![value("+1 900")]),
        "the longest beginning"
    );
    assert_eq!(find(PREFIX, &Turned.masked("+14165550100")), Some(vec![value("+1")]));
    assert_eq!(find(PREFIX, &Turned.masked("+442079460123")), Some(vec![]));
    assert_eq!(
        find(PREFIX, "+19005550100"),
        Some(vec![value("+1 900")]),
        "who has the number may ask with it"
    );
    assert_eq!(find(KEY, &own), Some(vec![value("+15035550142")]));
    assert_eq!(find(KEY, &premium), Some(vec![]));
    assert_eq!(find(KEY, "vip"), Some(vec![value("vip")]));

    let mut phones = Table::new(&["number", "username"], &["number"]);
    phones.push(&[Some(&*own), Some("ada")], [("number", &*own)]);
    tables
        .shared
        .insert("inventory.phones".into(), Arc::new(phones.sorted()));
    let find = |tables: &Tables, key: &str| tables.find("inventory.phones", "number", key);
    assert_eq!(
        find(&tables, &own),
        Some(vec![row(&[("number", &own), ("username", "ada")])])
    );
    assert_eq!(
        find(&tables, "+15035550142"),
        Some(vec![]),
        "no guessing of who has which number"
    );
    tables.clear = true;
    let granted = Some(vec![row(&[("number", "+15035550142"), ("username", "ada")])]);
    assert_eq!(
        (find(&tables, "+15035550142"), find(&tables, &own)),
        (granted.clone(), granted.clone())
    );
}

#[test]
fn a_table_written_out_hides_a_shared_one() {
    let mut tables = Tables::default();
    assert_eq!(tables.find("users", "name", "ada"), None);
    tables.shared.insert("users".into(), Arc::new(users()));
    assert_eq!(tables.find("users", "name", "zoë").map(|rows| rows.len()), Some(1));
    let own = BTreeMap::from([("zoë".to_owned(), vec![row(&[("value", "1")])])]);
    tables
        .tables
        .insert("users".into(), BTreeMap::from([("key".to_owned(), own)]));
    assert_eq!(tables.find("users", "name", "zoë"), None);
    assert_eq!(tables.find("users", "key", "zoë").map(|rows| rows.len()), Some(1));
    assert_eq!(tables.find("users", "key", "ada"), Some(vec![]));
}

#[test]
fn the_most_specific_network_and_the_longest_beginning_are_found() {
    let mut table = Table::indexed(&["net", "zone"], &[("net", Kind::Network), ("zone", Kind::Prefix)]);
    for (net, zone) in [
        ("10.0.0.0/8", "corp"),
        ("10.1.0.0/16", "corp-lab"),
        ("10.1.0.0/16", "corp-lab-too"),
        ("10.1.2.3", "corp-lab-printer"),
        ("2001:db8::/32", "six"),
        ("0.0.0.0/0", "four"),
        ("not a network", "none"),
    ] {
        table.push(&[Some(net), Some(zone)], [("net", net), ("zone", zone)]);
    }
    let table = table.sorted();
    let zones = |index: &str, key: &str| -> Vec<String> {
        let rows = table.find(index, key).unwrap().into_iter();
        rows.map(|row| row.last().unwrap().1.clone()).collect()
    };
    assert_eq!(zones("net", "10.1.2.3"), ["corp-lab-printer"]);
    assert_eq!(zones("net", "10.1.2.4"), ["corp-lab", "corp-lab-too"]);
    assert_eq!(zones("net", "::ffff:10.1.2.4"), ["corp-lab", "corp-lab-too"]);
    assert_eq!(zones("net", "10.9.0.1"), ["corp"]);
    assert_eq!(
        zones("net", "10.1.2.0/24"),
        ["corp-lab", "corp-lab-too"],
        "a network lies in networks"
    );
    assert_eq!(zones("net", "192.0.2.1"), ["four"]);
    assert_eq!(zones("net", "2001:db8:1::7"), ["six"]);
    assert!(zones("net", "2001:db9::1").is_empty(), "IPv4's all is not IPv6's");
    assert!(zones("net", "10.0.0.0/33").is_empty() && zones("net", "").is_empty() && zones("net", "ada").is_empty());
    assert_eq!(zones("zone", "corp-lab-printer-2"), ["corp-lab-printer"]);
    assert_eq!(zones("zone", "corp-x"), ["corp"]);
    assert!(zones("zone", "cor").is_empty());

    assert_eq!(wrong_network("10.1.0.0/16"), None);
    assert_eq!(wrong_network("2001:db8::1"), None);
    assert!(wrong_network("10.1.2.3/16").unwrap().contains("write 10.1.0.0/16"));
    assert!(wrong_network("2001:db8::1/32").unwrap().contains("write 2001:db8::/32"));
    assert!(wrong_network("ada").unwrap().contains("no network"));
    assert!(wrong_network("10.0.0.0/64").unwrap().contains("no network"));
}

#[test]
fn numbers_in_tables_of_any_column_are_told_to_those_who_may_know_them() {
    let own = Turned.masked("+15035550142");
    let mut table = Table::indexed(
        &["mobile", "begins", "owner"],
        &[("mobile", Kind::Exact), ("begins", Kind::Prefix)],
    )
    .masked(&["mobile"]);
    table.push(
        &[Some(&own), Some("+1503"), Some("ada")],
        [("mobile", &*own), ("begins", "+1503")],
    );
    let mut tables = Tables {
        numbers: Some(Arc::new(Turned)),
        ..Tables::default()
    };
    tables.shared.insert("tables.own".into(), Arc::new(table.sorted()));
    let mobile = |tables: &Tables, index: &str, key: &str| {
        let rows = tables.find("tables.own", index, key).unwrap();
        rows.first().map(|row| row[0].1.clone())
    };
    let other = Turned.masked("+15039990000");
    assert_eq!(mobile(&tables, "mobile", &own), Some(own.clone()));
    assert_eq!(mobile(&tables, "mobile", "+15035550142"), None);
    assert_eq!(
        mobile(&tables, "begins", &other),
        Some(own.clone()),
        "by the number behind the pseudonym"
    );
    tables.clear = true;
    let clear = Some("+15035550142".to_owned());
    assert_eq!(mobile(&tables, "mobile", "+15035550142"), clear);
    assert_eq!(mobile(&tables, "begins", "+15039990000"), clear);
}
