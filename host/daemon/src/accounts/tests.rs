use std::collections::BTreeMap;
use std::sync::Arc;

use picket_store::SqliteStore;

use super::*;
use crate::config::{ChildConfig, Collect, Network, Retention, SecretSource, SourceConfig};

fn parent() -> ParentConfig {
    let network = Network {
        ca_file: None,
        proxy: None,
        proxy_credentials: None,
        timeout: 60_000,
    };
    let source = SourceConfig {
        api_hostname: "api-parent00.duosecurity.com".to_owned(),
        integration_key: "DIPARENT".to_owned(),
        secret: SecretSource::from_text("hush"),
        account_id: None,
        poll_interval: 120_000,
        collect: Collect {
            logs: vec!["authentication".to_owned()],
            inventory: false,
        },
        inventory_interval: 0,
        max_calls_per_minute: None,
        start: 0,
        overlap: 0,
        lateness: 0,
        max_wait: 0,
        signature: "v5".to_owned(),
        network,
    };
    ParentConfig {
        id: "msp".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        source,
        interval: 3_600_000,
        children: BTreeMap::new(),
        overrides: BTreeMap::new(),
        exceptions: Vec::new(),
        common: Arc::default(),
        lists: BTreeMap::new(),
        tables: BTreeMap::new(),
        sinks: None,
        retention: Retention::default(),
        permissions: BTreeMap::new(),
    }
}

fn listed(account_id: &str, name: &str) -> Listed {
    Listed {
        account_id: account_id.to_owned(),
        api_hostname: format!("api-{}.duosecurity.com", account_id.to_lowercase()),
        name: name.to_owned(),
    }
}

fn ids(children: &[Child]) -> Vec<&str> {
    children.iter().map(|child| child.tenant.as_str()).collect()
}

#[test]
fn an_id_is_made_of_the_name_and_stays_when_the_name_changes() {
    let parent = parent();
    let taken = BTreeSet::from(["globex".to_owned()]);
    let first = [
        listed("DA0000000001", "Acme Bank, Inc."),
        listed("DA0000000002", "Globex"),
        listed("DA0000000003", "ACME bank inc"),
        listed("DA0000000004", "株式会社"),
    ];
    let children = joined(Vec::new(), &first, &parent, &taken, 1);
    assert_eq!(
        ids(&children),
        ["acme-bank-inc", "globex-000002", "acme-bank-inc-000003", "da0000000004"]
    );

    // Renamed, moved, and one that is gone.
    let mut later = listed("DA0000000001", "Acme Holding");
    later.api_hostname = "api-elsewhere.duosecurity.com".to_owned();
    let children = joined(children, &[later.clone()], &parent, &taken, 7);
    assert_eq!(children[0].tenant, "acme-bank-inc");
    assert_eq!(children[0].api_hostname, "api-elsewhere.duosecurity.com");
    assert_eq!(children[1].gone, Some(7));
    assert!(children[1].tenant(&parent).is_none());

    // It returns as who it was.
    let children = joined(children, &[later, first[1].clone()], &parent, &taken, 9);
    assert_eq!((children[1].tenant.as_str(), children[1].gone), ("globex-000002", None));
}

#[test]
fn what_is_said_of_a_child_goes_before_what_duo_says() {
    let mut parent = parent();
    let said = ChildConfig {
        tenant: Some("acme".to_owned()),
        name: Some("Acme (prod)".to_owned()),
        timezone: Some("America/New_York".to_owned()),
        collect: Some(Collect::default()),
        ..ChildConfig::default()
    };
    parent.children.insert("DA1".to_owned(), said);
    parent.children.insert(
        "DA2".to_owned(),
        ChildConfig {
            skip: true,
            ..ChildConfig::default()
        },
    );
    let children = joined(
        Vec::new(),
        &[listed("DA1", "Acme"), listed("DA2", "Globex"), listed("DA3", "Initech")],
        &parent,
        &BTreeSet::new(),
        1,
    );
    let acme = children[0].tenant(&parent).unwrap();
    assert_eq!((acme.id.as_str(), acme.name.as_str()), ("acme", "Acme (prod)"));
    assert_eq!(acme.timezone, "America/New_York");
    assert_eq!(acme.source.account_id.as_deref(), Some("DA1"));
    assert_eq!(acme.source.api_hostname, "api-da1.duosecurity.com");
    assert!(acme.source.collect.logs.is_empty());
    assert!(children[1].tenant(&parent).is_none(), "skipped");
    let initech = children[2].tenant(&parent).unwrap();
    assert_eq!(
        (initech.id.as_str(), initech.timezone.as_str()),
        ("initech", "Europe/Berlin")
    );
}

#[test]
fn the_list_is_remembered() {
    let store = SqliteStore::in_memory().unwrap();
    assert!(remembered(&store, "msp").unwrap().is_empty());
    let children = joined(Vec::new(), &[listed("DA1", "Acme")], &parent(), &BTreeSet::new(), 1);
    remember(&store, "msp", &children).unwrap();
    assert_eq!(remembered(&store, "msp").unwrap(), children);
    assert!(remembered(&store, "other").unwrap().is_empty());
    assert!(store.tenants().unwrap().is_empty(), "the note is the daemon's own");
}
