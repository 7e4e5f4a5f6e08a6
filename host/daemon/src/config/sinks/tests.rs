//! Every mistake in a sink: its place, and what would be right.

use super::*;
use crate::config::load;

const SOURCE: &str = "source:
  type: duo
  api_hostname: api-12345678.duosecurity.com
  integration_key: DIXXXXXXXXXXXXXXXXXX
  secret_key: ${DUO_SECRET_KEY}
  collect: [authentication]
tenant: acme
tenant_groups: {emea: [acme]}
";
/// The line of the first sink.
const FIRST: usize = 10;

/// What is said of these sinks; the sinks where nothing is wrong.
fn read(sinks: &str) -> Result<Vec<SinkConfig>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picket.yaml");
    std::fs::write(&path, format!("{SOURCE}sinks:\n{sinks}")).unwrap();
    match load(&path) {
        Ok(config) => Ok(config.sinks),
        Err(problems) => Err(problems.to_string()),
    }
}

/// One sink after another with a mistake: where it is, what is said, what would be right.
#[test]
fn every_mistake_has_its_place_and_the_way_out() {
    let webhook = "  - {type: webhook, url: \"https://soc.example.com/x\", secret: \"${SOC}\"";
    let syslog = "  - {type: syslog, address: \"siem.example.com:6514\"";
    let file = "  - {type: file, path: a.ndjson";
    let cases: Vec<(String, usize, &str, &str)> = vec![
        (
            "  - {type: fax}\n".into(),
            12,
            "there is no sink of type `fax`",
            "stdout, file, webhook, syslog",
        ),
        ("  - {type: stdout, paht: x}\n".into(), 20, "paht", "`path`"),
        (
            "  - {type: stdout, path: x}\n".into(),
            26,
            "`path` says nothing to a sink of type stdout",
            "its keys are name, tenants, min_severity, history, events, format",
        ),
        (
            "  - {type: stdout, format: xml}\n".into(),
            28,
            "there is no `format` named `xml`",
            "text, ndjson",
        ),
        (
            "  - {type: file}\n".into(),
            12,
            "without a `path`",
            "path: /var/log/picket/alerts.ndjson",
        ),
        (
            format!("{file}, url: x}}\n"),
            39,
            "`url` says nothing to a sink of type file",
            "path, max_bytes, keep",
        ),
        (
            format!("{file}, min_severity: grave}}\n"),
            48,
            "`grave` is no severity",
            "info, low, medium, high, critical",
        ),
        (
            format!("{file}, events: all}}\n"),
            42,
            "`events` is neither true or false nor a list of logs",
            "events: true, or events: [authentication, activity]",
        ),
        (
            format!("{file}, events: [logins]}}\n"),
            42,
            "`events`: there is no log `logins`",
            "true, or a list of logs: ",
        ),
        (
            "  - {type: stdout, events: true}\n".into(),
            28,
            "`events` with `format: text`",
            "format: ndjson",
        ),
        (
            format!("{syslog}, format: cef, events: true}}\n"),
            75,
            "`events` with `format: cef`",
            "a sink of its own for events",
        ),
        (
            format!("{file}, tenants: []}}\n"),
            43,
            "`tenants` names nobody",
            "a list of these",
        ),
        (
            format!("{file}, name: \" \"}}\n"),
            40,
            "this cannot be a sink's `name`",
            "by it, its place in the outbox is known",
        ),
        (
            "  - {type: webhook, secret: \"${SOC}\"}\n".into(),
            12,
            "without a `url`",
            "url: https://soc.example.com/picket",
        ),
        (
            "  - {type: webhook, url: \"ftp://soc\", secret: \"${SOC}\"}\n".into(),
            26,
            "`url` is not a webhook's address",
            "https://soc.example.com/picket",
        ),
        (
            "  - {type: webhook, url: \"${URL}\", secret: \"${SOC}\"}\n".into(),
            26,
            "needs a `name`",
            "name: soc-webhook",
        ),
        (
            "  - {type: webhook, url: \"https://soc.example.com/x\"}\n".into(),
            12,
            "without a `secret`",
            "openssl rand -base64 32",
        ),
        (
            format!("{webhook}, secret_file: x}}\n"),
            86,
            "`secret` and `secret_file`",
            "keep one of them",
        ),
        (
            format!("{webhook}, timeout: 5m}}\n"),
            82,
            "`timeout` is out of range",
            "1s to 60s",
        ),
        (
            format!("{webhook}, address: \"a:1\"}}\n"),
            82,
            "`address` says nothing to a sink of type webhook",
            "url, secret, secret_file",
        ),
        (
            "  - {type: syslog}\n".into(),
            12,
            "without an `address`",
            "address: siem.example.com:6514",
        ),
        (
            "  - {type: syslog, address: siem.example.com}\n".into(),
            29,
            "`siem.example.com` is no host and port",
            "address: siem.example.com:6514",
        ),
        (
            "  - {type: syslog, address: \"siem.example.com:0\"}\n".into(),
            29,
            "is no host and port",
            "",
        ),
        (
            format!("{syslog}, transport: quic}}\n"),
            65,
            "there is no `transport` named `quic`",
            "tls, tcp, udp",
        ),
        (
            format!("{syslog}, framing: nul}}\n"),
            63,
            "there is no `framing` named `nul`",
            "octet_counting, lf",
        ),
        (
            format!("{syslog}, format: leef}}\n"),
            62,
            "there is no `format` named `leef`",
            "json, cef",
        ),
        (
            format!("{syslog}, facility: 24}}\n"),
            64,
            "there is no facility 24",
            "10 is authpriv",
        ),
        (
            format!("{syslog}, client_cert_file: x}}\n"),
            72,
            "a client's certificate without its key",
            "client_cert_file and client_key_file",
        ),
        (
            format!("{syslog}, transport: tcp, ca_file: x}}\n"),
            79,
            "`ca_file` is for transport: tls",
            "or say transport: tls",
        ),
        (
            format!("{syslog}, transport: udp, server_name: x}}\n"),
            83,
            "`server_name` is for transport: tls",
            "or say transport: tls",
        ),
        (
            format!("{syslog}, timeout: 100ms}}\n"),
            63,
            "`timeout` is out of range",
            "1s to 60s",
        ),
        (
            format!("{syslog}, secret: x}}\n"),
            62,
            "`secret` says nothing to a sink of type syslog",
            "address, transport",
        ),
    ];
    let mut wrong = Vec::new();
    for (sink, column, what, hint) in &cases {
        let said = read(sink).expect_err(sink);
        let place = format!("picket.yaml:{FIRST}:{column}:");
        if !(said.contains(&place) && said.contains(what) && said.contains(hint)) {
            wrong.push(format!(
                "{sink}is to be told at {place} with `{what}` and `{hint}`, and is told so: {said}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_customer_who_is_not_there_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picket.yaml");
    std::fs::write(
        &path,
        format!("{SOURCE}sinks:\n  - {{type: stdout, tenants: [acme, nobody]}}\n"),
    )
    .unwrap();
    let warnings = load(&path).unwrap().warnings;
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        said.iter().any(|said| said.contains("there is no tenant `nobody`")),
        "{said:?}"
    );
}

#[test]
fn two_sinks_of_one_name_or_one_file_are_one_too_many() {
    let said = read("  - {type: file, path: a.ndjson, name: one}\n  - {type: stdout, name: one}\n").unwrap_err();
    assert!(
        said.contains("picket.yaml:11:5:") && said.contains("there are two sinks named `one`"),
        "{said}"
    );
    let said =
        read("  - {type: file, path: a.ndjson, name: one}\n  - {type: file, path: a.ndjson, name: two}\n").unwrap_err();
    assert!(
        said.contains("picket.yaml:11:5:") && said.contains("a file has one writer"),
        "{said}"
    );
}

#[test]
fn what_a_sink_is_unless_told_otherwise() {
    let sinks = read(
        "  - {type: syslog, address: \"siem.example.com:6514\"}\n  - {type: webhook, url: \"https://soc.example.com/x\", secret: \"${SOC}\"}\n  \
         - {type: file, path: a.ndjson, tenants: emea, min_severity: high}\n",
    )
    .unwrap();
    let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
    assert_eq!(
        names[..2],
        ["syslog tls siem.example.com:6514", "webhook soc.example.com"]
    );
    let SinkKind::Syslog(syslog) = &sinks[0].kind else {
        panic!("{:?}", sinks[0])
    };
    assert_eq!(
        (
            syslog.transport,
            syslog.octet_counting,
            syslog.cef,
            syslog.facility,
            syslog.timeout
        ),
        (SyslogTransport::Tls, true, false, 10, 10_000)
    );
    let history: Vec<bool> = sinks.iter().map(|sink| sink.history).collect();
    assert_eq!(history, [false, false, true]);
    let route = &sinks[2].route;
    assert!(route.has(&sinks[2].name, "acme", None) && !route.has(&sinks[2].name, "globex", None));
    assert_eq!((route.min_severity, route.per_hour), (Severity::High, Some(100)));
}

#[test]
fn events_are_those_of_the_logs_that_are_named() {
    let sinks = read(
        "  - {type: file, path: a.ndjson, events: true}\n  - {type: file, path: b.ndjson, events: [offline_access, activity]}\n  \
         - {type: file, path: c.ndjson, events: false}\n",
    )
    .unwrap();
    let events: Vec<Option<Events>> = sinks.iter().map(|sink| sink.route.events.clone()).collect();
    let some = Events::Of(vec!["offline_enrollment".to_owned(), "activity".to_owned()]);
    assert!(some.has("activity") && !some.has("authentication") && Events::All.has("authentication"));
    assert_eq!(events, [Some(Events::All), Some(some), None]);
}

#[test]
fn a_secret_in_the_file_is_in_no_error() {
    let said = read("  - {type: webhook, url: \"hush-hush\", secret: \"hush-hush-too\", timeout: 2h}\n").unwrap_err();
    assert!(!said.contains("hush"), "{said}");
}
