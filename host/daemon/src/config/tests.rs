use super::*;

const SMALLEST: &str = "source:
  type: duo
  api_hostname: api-12345678.duosecurity.com
  integration_key: DIXXXXXXXXXXXXXXXXXX
  secret_key: ${DUO_SECRET_KEY}
  poll_interval: 120
  collect: [authentication, administrator, telephony]
";

fn load_text(text: &str) -> Result<Config, Problems> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picket.yaml");
    std::fs::write(&path, text).unwrap();
    load(&path)
}

fn said(text: &str) -> String {
    let problems = load_text(text).unwrap_err().to_string();
    problems
        .split_once("picket.yaml")
        .map_or(problems.clone(), |(_, rest)| rest.to_owned())
}

#[test]
fn the_smallest_useful_file_is_enough() {
    let config = load_text(SMALLEST).unwrap();
    let tenant = &config.tenants[0];
    assert_eq!(tenant.id, "default");
    assert_eq!(tenant.source.poll_interval, 120_000);
    assert_eq!(
        tenant.source.collect.logs,
        ["authentication", "administrator", "telephony"]
    );
    assert_eq!(tenant.source.start, 35 * 86_400_000);
    assert_eq!(config.sinks.len(), 1);
    assert_eq!(config.sinks[0].kind, SinkKind::Stdout(StdoutFormat::Text));
}

#[test]
fn every_error_names_line_column_and_the_way_out() {
    for (from, to, place, what) in [
        (
            "poll_interval: 120",
            "poll_intervall: 120",
            ":6:3:",
            "did you mean `poll_interval`?",
        ),
        ("poll_interval: 120", "poll_interval: 30", ":6:18:", "120 at least"),
        ("type: duo", "type: okta", ":2:9:", "type: duo"),
        ("api-12345678", "https://api-12345678", ":3:17:", "without https://"),
        ("telephony]", "telefony]", ":7:44:", "did you mean `telephony`?"),
        ("  secret_key: ${DUO_SECRET_KEY}\n", "", ":2:3:", "secret_key_file"),
        ("120\n", "120\n  start: 200d\n", ":7:10:", "180 days"),
        ("120\n", "120\n  overlap: soon\n", ":7:12:", "not a span"),
        ("120\n", "120\n  inventory_interval: 1m\n", ":7:23:", "15m at least"),
        ("120\n", "120\n  max_calls_per_minute: 0\n", ":7:25:", "1 to 300"),
        (
            "120\n",
            "120\n  telephony_version: 3\n",
            ":7:22:",
            "telephony_version: 1",
        ),
        ("120\n", "120\n  timeout: 1h\n", ":7:12:", "1s to 10m"),
        ("120\n", "120\n  accounts_interval: 1h\n", ":7:22:", "duo_accounts"),
        ("120\n", "120\n  proxy: gopher://ada:hush@p\n", ":7:10:", "socks5h://"),
        ("telephony]", "inventry]", ":7:44:", "did you mean `inventory`?"),
        ("source:", "tenant: Acme Bank\nsource:", ":1:9:", "lower-case"),
        ("source:", "sandbox:\n  limits: {fuel: many}\nsource:", ":2:18:", "2M"),
        (
            "source:",
            "sandbox:\n  state: {tenant_mb: 0}\nsource:",
            ":2:22:",
            "1 at least",
        ),
        (
            "source:",
            "sandbox:\n  state: {memory_mb: x}\nsource:",
            ":2:22:",
            "whole number",
        ),
        (
            "source:",
            "sandbox:\n  limits: {feul: 1M}\nsource:",
            ":2:12:",
            "did you mean `fuel`?",
        ),
        (
            "source:",
            "sandbox:\n  limits: {memory_mb: 0}\nsource:",
            ":2:23:",
            "1 at least",
        ),
        (
            "source:",
            "sandbox:\n  modules:\n    a.wasm: {on_poison: ignore}\nsource:",
            ":3:25:",
            "quarantine",
        ),
        (
            "source:",
            "sandbox:\n  modules:\n    a.wasm: {deny_fields: [user.*.name]}\nsource:",
            ":3:28:",
            "`access_device.*` for all below it",
        ),
        (
            "source:",
            "sandbox:\n  modules:\n    a.wasm: {grant: [clock]}\nsource:",
            ":3:22:",
            "phone and raw",
        ),
        (
            "source:",
            "sandbox:\n  modules:\n    ../a.wasm: {}\nsource:",
            ":3:16:",
            "rules_dir",
        ),
        (
            "source:",
            "sandbox:\n  fuel_per_minute: 1\nsource:",
            ":2:20:",
            "at least",
        ),
        (
            "source:",
            "rules:\n  some-rule: {mode: dry}\nsource:",
            ":2:21:",
            "shadow",
        ),
        ("source:", "timezone: Europe/Atlantis\nsource:", ":1:11:", "IANA"),
    ] {
        let text = SMALLEST.replace(from, to);
        assert_ne!(text, SMALLEST, "{from}");
        let problem = said(&text);
        assert!(problem.starts_with(place), "{to}: {problem}");
        assert!(problem.contains(what), "{to}: {problem}");
    }
}

#[test]
fn a_secret_written_into_the_file_is_in_no_error() {
    for broken in [
        "secret_key: [hush-hush]",
        "secret_key: {a: hush-hush}",
        "secret_key: \"hush-hush",
        "secret_key: hush-hush\n  x: 1",
        "secret_key:\n    [hush-hush]",
        "secret_key: >\n    hush-hush\n   x",
        "secretkey: hush-hush",
        "secret_key: hush-hush\n  secret_key: hush-hush",
    ] {
        let problem = load_text(&SMALLEST.replace("secret_key: ${DUO_SECRET_KEY}", broken))
            .unwrap_err()
            .to_string();
        assert!(!problem.contains("hush"), "{problem}");
    }
    let config = load_text(&SMALLEST.replace("${DUO_SECRET_KEY}", "hush-hush")).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
    // On a line of its own it is a value none the less, and the file may be read by others.
    let config = load_text(&SMALLEST.replace("${DUO_SECRET_KEY}", "\n    hush-hush")).unwrap();
    let warnings = Problems(config.warnings.clone()).to_string();
    assert!(!format!("{config:?}{warnings}").contains("hush"), "{warnings}");
}

#[test]
fn a_key_that_only_looks_like_a_secrets_is_named() {
    let problem = said(&SMALLEST.replace("secret_key:", "secretkey:"));
    assert!(problem.contains("unknown field `secretkey`"), "{problem}");
    assert!(problem.contains("did you mean `secret_key`?"), "{problem}");
    let twice = said(&SMALLEST.replace("  poll", "  secret_key: ${OTHER}\n  poll"));
    assert!(
        twice.contains("duplicate") && twice.contains("secret_key") && !twice.contains("Policy"),
        "{twice}"
    );
}

#[test]
fn a_customer_a_file_and_all_that_is_wrong_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tenants.d")).unwrap();
    let root = dir.path().join("picket.yaml");
    std::fs::write(&root, "data_dir: data\nrules: {mfa-fatigue-denied-burst: {count: 7}}\n").unwrap();
    let customer = |name: &str, text: &str| std::fs::write(dir.path().join("tenants.d").join(name), text).unwrap();
    customer(
        "acme.yaml",
        &format!(
            "name: Acme Bank\ntimezone: America/New_York\n{SMALLEST}rules: {{user-deleted: {{enabled: false}}}}\n"
        ),
    );
    customer("globex.yaml", SMALLEST);
    let config = load(&root).unwrap();
    assert_eq!(
        config
            .tenants
            .iter()
            .map(|tenant| tenant.id.as_str())
            .collect::<Vec<_>>(),
        ["acme", "globex"]
    );
    let acme = &config.tenants[0];
    assert_eq!(acme.overrides["user-deleted"].enabled, Some(false));
    assert_eq!(
        acme.overrides["mfa-fatigue-denied-burst"].params["count"].0,
        serde_json::json!(7)
    );
    assert!(
        acme.overrides["mfa-fatigue-denied-burst"].params["count"]
            .1
            .ends_with("picket.yaml:2:43")
    );

    customer("globex.yaml", &SMALLEST.replace("type: duo", "type: okta"));
    customer("initech.yaml", "source: 3\n");
    assert_eq!(load(&root).unwrap_err().0.len(), 2);
}

#[test]
fn every_log_has_the_name_of_the_vendors_guides() {
    let collect = |text: &str| {
        let text = SMALLEST.replace("[authentication, administrator, telephony]", text);
        load_text(&text).unwrap().tenants[0].source.collect.clone()
    };
    let all = collect(
        "[authentication, administrator, telephony, activity, offline_access, trust_monitor, inventory, offline_enrollment]",
    );
    assert_eq!(
        all.logs,
        [
            "authentication",
            "administrator",
            "telephony",
            "activity",
            "offline_enrollment",
            "trust_monitor"
        ]
    );
    assert!(all.inventory);
    assert_eq!(
        collect("[telephony]\n  telephony_version: 1").logs,
        ["telephony_v1"],
        "version 1 on request"
    );
}

#[test]
fn a_parents_key_and_what_is_said_of_its_children() {
    let parent = SMALLEST.replace("type: duo", "type: duo_accounts");
    let config = load_text(&format!(
        "tenant: msp\nlists: {{vpn: [a]}}\nrules: {{user-deleted: {{enabled: false}}}}\n{parent}accounts:\n  DA1:\n    \
         tenant: acme\n    name: Acme Bank\n    timezone: Europe/Berlin\n    collect: [authentication]\n    lists: {{vpn: [b]}}\n  \
         DA2: {{skip: true}}\n"
    ))
    .unwrap();
    assert!(config.tenants.is_empty());
    let parent_config = &config.parents[0];
    assert_eq!((parent_config.id.as_str(), parent_config.interval), ("msp", 3_600_000));
    let acme = &parent_config.children["DA1"];
    assert_eq!(acme.tenant.as_deref(), Some("acme"));
    assert_eq!(acme.lists["vpn"], ["b"]);
    let whole = parent_config.common.overrides("acme", acme.overrides.clone());
    assert_eq!(
        whole["user-deleted"].enabled,
        Some(false),
        "what is said for all holds for children"
    );
    assert_eq!(acme.collect.as_ref().unwrap().logs, ["authentication"]);
    assert!(parent_config.children["DA2"].skip);

    let wrong = said(&format!("{parent}accounts:\n  DA1: {{tennant: acme}}\n"));
    assert!(wrong.contains("did you mean `tenant`?"), "{wrong}");
    let wrong = said(&format!(
        "{parent}accounts:\n  DA1: {{tenant: a}}\n  DA2: {{tenant: a}}\n"
    ));
    assert!(wrong.contains("two tenants named `a`"), "{wrong}");
    let wrong = said(&format!("{SMALLEST}accounts:\n  DA1: {{tenant: a}}\n"));
    assert!(wrong.contains("type: duo_accounts"), "{wrong}");
}

#[test]
fn a_slip_in_one_customers_file_is_no_reason_to_leave_the_others_unwatched() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tenants.d")).unwrap();
    let root = dir.path().join("picket.yaml");
    std::fs::write(&root, "data_dir: data\n").unwrap();
    let customer = |name: &str, text: &str| std::fs::write(dir.path().join("tenants.d").join(name), text).unwrap();
    customer("acme.yaml", SMALLEST);
    customer("globex.yaml", &SMALLEST.replace("120", "12"));
    let loaded = load_for_run(&root).unwrap();
    assert_eq!(loaded.config.tenants.len(), 1);
    assert_eq!(loaded.broken[0].0, "globex");
    assert!(loaded.broken[0].1.to_string().contains("120 at least"));
    assert!(load(&root).is_err(), "the check is strict");

    customer("acme.yaml", "source: 3\n");
    assert_eq!(load_for_run(&root).unwrap_err().0.len(), 2, "nobody is left");
}

#[test]
fn a_secret_that_others_may_read_is_a_warning_with_the_way_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("picket.yaml");
    let secret = dir.path().join("key");
    std::fs::write(&secret, "hush").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).unwrap();
    let text = SMALLEST.replace("secret_key: ${DUO_SECRET_KEY}", "secret_key_file: ./key");
    std::fs::write(&root, text).unwrap();
    let warning = load(&root).unwrap().warnings[0].to_string();
    assert!(
        warning.contains("its group") && warning.contains("chmod 600"),
        "{warning}"
    );
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(load(&root).unwrap().warnings.is_empty());
}

#[test]
fn a_proxys_password_is_in_no_error_and_no_debug_text() {
    let proxied = |line: &str| load_text(&SMALLEST.replace("120\n", &format!("120\n  {line}\n")));
    let config = proxied("proxy: http://ada:hush@proxy:3128").unwrap();
    assert!(!format!("{config:?}").contains("hush"));
    assert!(
        config
            .warnings
            .iter()
            .any(|warning| warning.to_string().contains("chmod")),
        "the file is 0644"
    );
    for broken in [
        "proxy: [http://ada:hush@proxy]",
        "proxy: ada:hush@proxy",
        "proxy_credentials: ada:hush",
        "prxy: http://ada:hush@proxy",
    ] {
        let problem = proxied(broken).unwrap_err().to_string();
        assert!(!problem.contains("hush"), "{broken}: {problem}");
    }
}

#[test]
fn what_is_said_of_one_module_goes_over_what_is_said_of_all() {
    let section = "sandbox:
  fuel_per_minute: 60G
  calls_at_once: 4
  compile: {module_mb: 24, memory_mb: 1024, seconds: 30}
  limits: {fuel: 200M, memory_mb: 32, alerts: 500}
  state: {rule_mb: 8, tenant_mb: 100, memory_mb: 0}
  modules:
    acme/vpn.wasm: {fuel: 1G, memory_mb: 64, on_poison: skip, deny_fields: [user.email], grant: [phone]}
";
    let sandbox = load_text(&format!("{section}{SMALLEST}")).unwrap().sandbox;
    assert_eq!(sandbox.fuel_per_minute, 60_000_000_000);
    assert_eq!((sandbox.tenant_state_bytes, sandbox.holding_bytes), (100 << 20, 0));
    let one = sandbox.module("acme/vpn.wasm");
    assert_eq!((one.limits.fuel, one.limits.memory_bytes), (1_000_000_000, 64 << 20));
    assert_eq!((one.limits.alerts.call, one.limits.state.total_bytes), (500, 8 << 20));
    assert_eq!(one.on_poison, picket_judge::OnPoison::Skip);
    assert_eq!(one.permission.words(), "+phone -user.email");
    assert_eq!(sandbox.module("other.wasm").limits.fuel, 200_000_000);
    assert_eq!(sandbox.compile.time, std::time::Duration::from_secs(30));
    let engine = sandbox.engine();
    assert_eq!((engine.module.bytes, engine.module.functions), (24 << 20, 60_000));
    assert_eq!((engine.concurrency, engine.most_memory_bytes()), (4, 64 << 20));
    assert_eq!(load_text(SMALLEST).unwrap().sandbox, Sandbox::default());
}
