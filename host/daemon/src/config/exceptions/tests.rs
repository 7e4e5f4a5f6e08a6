//! Exceptions and overrides as they are written: what is taken, for whom, and what is wrong with them.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::config::{Config, Problems, load};

const SOURCE: &str =
    "source: {type: duo, api_hostname: api-12345678.duosecurity.com, integration_key: DIX, secret_key: hush}\n";

/// A configuration of these files.
fn load_files(files: &[(&str, &str)]) -> Result<Config, Problems> {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    load(&dir.path().join("picket.yaml"))
}

fn names<'a>(config: &'a Config, tenant: &str) -> Vec<&'a str> {
    let tenant = config.tenants.iter().find(|of| of.id == tenant).unwrap();
    tenant
        .exceptions
        .iter()
        .map(|exception| exception.name.as_str())
        .collect()
}

const WHOLE: &str = "exceptions:
  - name: scan
    rules: [new-access-country, mfa-fatigue-denied-burst]
    tenants: [emea, initech]
    fields: {access_device.ip: [198.51.100.7, $scanners], factor: duo_push, facts.count: 5}
    entities: {user: ada, application: [VPN]}
    networks: [10.0.0.0/8, \"2001:db8::1\"]
    groups: Contractors
    hours: [mon-fri 22:00-06:00, 'sat,sun']
    owner: jane
    reason: a scanner of ours
    ticket: 4711
    from: 2026-11-01
    until: 2026-12-31
";

#[test]
fn an_exception_holds_for_those_it_names() {
    let other = |name: &str, tenants: &str| {
        format!(
            "exceptions:\n  - {{name: {name}, {tenants}rules: all, groups: Staff, owner: jane, reason: noise, until: never}}\n"
        )
    };
    let config = load_files(&[
        (
            "picket.yaml",
            &format!(
                "tenant_groups: {{emea: [acme, globex]}}\nlists: {{scanners: []}}\n{}",
                other("everybody", "")
            ),
        ),
        ("tenants.d/acme.yaml", &format!("{SOURCE}{}", other("own", ""))),
        ("tenants.d/globex.yaml", SOURCE),
        ("tenants.d/initech.yaml", SOURCE),
        ("tenants.d/umbrella.yaml", SOURCE),
        ("exceptions.d/scan.yaml", WHOLE),
        ("exceptions.d/.scan.yaml.swp.yaml", "an editor's"),
        ("exceptions.d/all.yml", &other("all", "tenants: all, ")),
    ])
    .unwrap();
    assert_eq!(names(&config, "acme"), ["everybody", "all", "scan", "own"]);
    assert_eq!(names(&config, "globex"), ["everybody", "all", "scan"]);
    assert_eq!(names(&config, "initech"), ["everybody", "all", "scan"]);
    assert_eq!(names(&config, "umbrella"), ["everybody", "all"]);
    assert_eq!(config.warnings, []);
    let scan = config.tenants[0]
        .exceptions
        .iter()
        .find(|of| of.name == "scan")
        .unwrap();
    assert!(scan.is_of("new-access-country") && !scan.is_of("user-deleted"));
    assert_eq!(scan.fields[2], ("facts.count".to_owned(), vec!["5".to_owned()]));
    assert_eq!(scan.entities[1], (Kind::User, vec!["ada".to_owned()]));
    assert_eq!((scan.hours.len(), scan.ticket.as_deref()), (2, Some("4711")));
    assert_eq!(scan.from, Some(1_793_491_200_000), "from the beginning of a day");
    assert_eq!(scan.until, Some(1_798_761_600_000), "to the end of a day");
    assert!(scan.place.ends_with("exceptions.d/scan.yaml:2:5"), "{}", scan.place);
    let all = config.tenants[0].exceptions.iter().find(|of| of.name == "all").unwrap();
    assert!(all.is_of("user-deleted") && all.until.is_none());
}

#[test]
fn what_is_wrong_with_an_exception_is_told_with_its_place() {
    for (from, to, place, what) in [
        ("    owner: jane\n", "", ":2:5:", "owner: who answers for it"),
        (
            "    reason: a scanner of ours\n",
            "    reason: ''\n",
            ":11:13:",
            "has no `reason`",
        ),
        ("    until: 2026-12-31\n", "", ":2:5:", "or never"),
        ("until: 2026-12-31", "until: soon", ":14:12:", "`soon` is no time"),
        (
            "until: 2026-12-31",
            "until: 2026-10-31",
            ":14:12:",
            "ends before it begins",
        ),
        ("    tenants: [emea, initech]\n", "", ":2:5:", "does not say for whom"),
        ("tenants: [emea, initech]", "tenants: []", ":4:14:", "names nobody"),
        (
            "tenants: [emea, initech]",
            "tenants: [Acme Bank]",
            ":4:14:",
            "cannot be a tenant's id",
        ),
        (
            "entities: {user: ada",
            "entities: {usre: ada",
            ":6:22:",
            "did you mean `user`?",
        ),
        ("10.0.0.0/8", "10.0.0.0/33", ":7:15:", "`10.0.0.0/33` is no network"),
        ("mon-fri 22:00-06:00", "office hours", ":9:12:", "mon-fri 08:00-18:00"),
        ("factor: duo_push", "factor: []", ":5:", "no value to be met"),
        (
            "rules: [new-access-country, mfa-fatigue-denied-burst]",
            "rules: []",
            ":3:12:",
            "names no rule",
        ),
        ("    reason:", "    raeson:", ":11:5:", "did you mean `reason`?"),
        ("name: scan", "name: ''", ":2:11:", "1 to 100 characters"),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        let files = [
            ("picket.yaml", "tenant_groups: {emea: [acme]}\nlists: {scanners: []}\n"),
            ("tenants.d/acme.yaml", SOURCE),
            ("exceptions.d/scan.yaml", &WHOLE.replacen(from, to, 1)),
        ];
        let said = load_files(&files).unwrap_err().to_string();
        assert!(
            said.contains(&format!("scan.yaml{place}")) && said.contains(what),
            "{to}: {said}"
        );
    }
    let empty = "exceptions: [{name: x, rules: r, tenants: all, owner: j, reason: r, until: never}]\n";
    let said = load_files(&[("picket.yaml", SOURCE), ("exceptions.d/x.yaml", empty)])
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("says nothing of what it is about") && said.contains("mode: shadow"),
        "{said}"
    );
    let twice = format!("{SOURCE}{}", WHOLE.replace("    tenants: [emea, initech]\n", ""));
    let twice = [
        ("picket.yaml", &*twice),
        ("exceptions.d/scan.yaml", &WHOLE.replace("[emea, initech]", "all")),
    ];
    let said = load_files(&twice).unwrap_err().to_string();
    assert!(said.contains("two exceptions named `scan`"), "{said}");
    let own = format!("{SOURCE}{WHOLE}");
    let said = load_files(&[("picket.yaml", ""), ("tenants.d/acme.yaml", &own)])
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("acme.yaml:5:14:") && said.contains("it is for that tenant"),
        "{said}"
    );
}

#[test]
fn overrides_go_over_each_other_setting_by_setting() {
    let common = "tenant_groups: {emea: [acme, globex]}
rules:
  r: {count: 3, severity: low, dedup: 6h}
overrides:
  - tenants: emea
    rules: {r: {mode: shadow, count: 4}}
  - tenants: [acme, initech]
    rules: {r: {severity: high, params: {mode: fast}}}
";
    let config = load_files(&[
        ("picket.yaml", common),
        (
            "tenants.d/acme.yaml",
            &format!("{SOURCE}rules: {{r: {{count: 5, dedup: off}}}}\n"),
        ),
        ("tenants.d/globex.yaml", SOURCE),
    ])
    .unwrap();
    let of = |id: &str| &config.tenants.iter().find(|of| of.id == id).unwrap().overrides["r"];
    let acme = of("acme");
    assert_eq!(
        (acme.severity, acme.dedup_ms),
        (Some(picket_contract::Severity::High), Some(0))
    );
    assert_eq!(
        (acme.mode, &acme.params["count"].0),
        (Some(picket_judge::Mode::Shadow), &Value::from(5))
    );
    assert_eq!(
        acme.params["mode"].0, "fast",
        "a parameter may be called like a setting"
    );
    let globex = of("globex");
    assert_eq!(
        (globex.severity, globex.dedup_ms),
        (Some(picket_contract::Severity::Low), Some(21_600_000))
    );
    assert_eq!(globex.params["count"].0, 4);
    let warning = config.warnings[0].to_string();
    assert!(warning.contains("no tenant `initech`"), "{warning}");
}

#[test]
fn what_is_wrong_with_an_override_is_told_with_its_place() {
    for (settings, what) in [
        ("severity: grave", "info, low, medium, high, critical"),
        ("dedup: often", "a span such as 6h"),
        ("dedup: 6", "6 is not a span of time"),
        ("params: [count]", "is no mapping"),
    ] {
        let text = format!("{SOURCE}rules:\n  r: {{{settings}}}\n");
        let said = load_files(&[("picket.yaml", &text)]).unwrap_err().to_string();
        assert!(said.contains("picket.yaml:3:") && said.contains(what), "{said}");
    }
}

#[test]
fn a_list_may_be_a_file() {
    let text = format!("{SOURCE}lists: {{vpn: {{file: ./lists/vpn.txt}}, two: [a, b]}}\n");
    let file = "# our own\n198.51.100.7\n\n  203.0.113.0/24   # the branch\n";
    let config = load_files(&[("picket.yaml", &text), ("lists/vpn.txt", file)]).unwrap();
    assert_eq!(config.tenants[0].lists["vpn"], ["198.51.100.7", "203.0.113.0/24"]);
    assert_eq!(config.tenants[0].lists["two"], ["a", "b"]);
    for (list, what) in [
        ("{file: ./none.txt}", "cannot be read from"),
        ("text", "is neither a list nor"),
        ("[1]", "put numbers in quotes"),
        ("{files: x}", "{file: ./lists/name.txt}"),
    ] {
        let text = format!("{SOURCE}lists: {{vpn: {list}}}\n");
        let said = load_files(&[("picket.yaml", &text)]).unwrap_err().to_string();
        assert!(said.contains("picket.yaml:2:") && said.contains(what), "{said}");
    }
}

#[test]
fn networks_are_written_with_or_without_a_length() {
    for (text, is_one) in [
        ("10.0.0.0/8", true),
        ("203.0.113.9", true),
        ("2001:db8::/32", true),
        ("vpn", false),
    ] {
        assert_eq!(network_of(text).is_ok(), is_one, "{text}");
    }
    assert!(
        network_of("10.0.0.1")
            .unwrap()
            .contains(&"10.0.0.1".parse::<IpAddr>().unwrap())
    );
}
