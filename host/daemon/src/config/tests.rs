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
    assert_eq!(tenant.source.collect, ["authentication", "administrator", "telephony"]);
    assert_eq!(config.sinks, [SinkConfig::Stdout(StdoutFormat::Text)]);
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
        ("source:", "tenant: Acme Bank\nsource:", ":1:9:", "lower-case"),
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
    ] {
        let problem = load_text(&SMALLEST.replace("secret_key: ${DUO_SECRET_KEY}", broken))
            .unwrap_err()
            .to_string();
        assert!(!problem.contains("hush"), "{problem}");
    }
    let config = load_text(&SMALLEST.replace("${DUO_SECRET_KEY}", "hush-hush")).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
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
fn only_this_machine_may_be_polled_fast() {
    for host in ["127.0.0.1:8443", "localhost:1", "localhost", "[::1]:8443", "127.1.2.3"] {
        assert!(is_loopback(host), "{host}");
    }
    for host in [
        "api-1.duosecurity.com",
        "10.0.0.1:443",
        "localhost.evil.example",
        "127.0.0.1.evil.example:1",
    ] {
        assert!(!is_loopback(host), "{host}");
    }
}
