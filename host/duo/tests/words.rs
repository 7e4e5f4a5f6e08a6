//! Every sentence that the operator may have to read. Whoever changes one reads it once more in the snapshot.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use common::{DATE, Reply, certificate, client, http, query, serve_with};
use picket_duo::{Client, Context, DuoError, Inventory, Log, TransportKind, clock_is_off};

const AT: &str = "api-00000000.duosecurity.com/admin/v2/logs/authentication";

fn fail(status: &str, code: u32, message: &str, detail: &str) -> String {
    let detail = if detail.is_empty() {
        String::new()
    } else {
        format!(r#""message_detail": {detail:?}, "#)
    };
    let body = format!(r#"{{"code": {code}, "message": {message:?}, {detail}"stat": "FAIL"}}"#);
    http(status, &format!("Date: {DATE}\r\n"), &body)
}

/// The error that an answer makes of a request.
async fn error_of(answer: String, ask: Ask) -> DuoError {
    let server = serve_with(certificate(), move |_, _| Reply::from(answer.clone())).await;
    let error = ask.of(&client(&server)).await;
    let address = server.address.to_string();
    // The test's own port is nobody's words.
    let named = |at: String| at.replace(&address, "api-00000000.duosecurity.com");
    match error {
        DuoError::Unauthorized { at, code, message } => DuoError::Unauthorized {
            at: named(at),
            code,
            message,
        },
        DuoError::ClockSkew { at, skew_ms } => DuoError::ClockSkew { at: named(at), skew_ms },
        DuoError::Forbidden { at, code, message } => DuoError::Forbidden {
            at: named(at),
            code,
            message,
        },
        DuoError::NotFound { at, code, message } => DuoError::NotFound {
            at: named(at),
            code,
            message,
        },
        DuoError::BadRequest { at, code, message } => DuoError::BadRequest {
            at: named(at),
            code,
            message,
        },
        DuoError::RateLimited { at, retry_after } => DuoError::RateLimited {
            at: named(at),
            retry_after,
        },
        DuoError::Server { at, status, message } => DuoError::Server {
            at: named(at),
            status,
            message,
        },
        DuoError::Redirected { at, status } => DuoError::Redirected { at: named(at), status },
        DuoError::NotJson { at, status, start } => DuoError::NotJson {
            at: named(at),
            status,
            start,
        },
        DuoError::Malformed { at, why } => DuoError::Malformed { at: named(at), why },
        other @ DuoError::Transport { .. } => panic!("{other}"),
    }
}

#[derive(Clone, Copy)]
enum Ask {
    Log(Log),
    Inventory(Inventory),
    Accounts,
    Ping,
}

impl Ask {
    async fn of(self, client: &Client) -> DuoError {
        match self {
            Ask::Log(log) => client.page(log, &query()).await.map(|_| ()),
            Ask::Inventory(kind) => client.inventory(kind, 0).await.map(|_| ()),
            Ask::Accounts => client.accounts().await.map(|_| ()),
            Ask::Ping => client.ping().await.map(|_| ()),
        }
        .unwrap_err()
    }
}

#[tokio::test]
async fn every_sentence_says_what_is_wrong_and_what_to_do() {
    const FORBIDDEN: &str = "403 Forbidden";
    let auth = Ask::Log(Log::Authentication);
    let date = format!("Date: {DATE}\r\n");
    let html = "<html><head><title>Corporate login</title></head></html>";
    let scenes = [
        (
            "integration key unknown",
            fail(
                "401 Unauthorized",
                40102,
                "Invalid integration key in request credentials",
                "",
            ),
            auth,
        ),
        (
            "secret wrong",
            fail(
                "401 Unauthorized",
                40103,
                "Invalid signature in request credentials",
                "",
            ),
            auth,
        ),
        (
            "no credentials arrive",
            fail("401 Unauthorized", 40101, "Missing request credentials", ""),
            auth,
        ),
        (
            "no date arrives",
            fail("401 Unauthorized", 40104, "Missing request timestamp", ""),
            auth,
        ),
        (
            "date refused, clocks agree",
            fail("401 Unauthorized", 40105, "Bad request timestamp", ""),
            auth,
        ),
        (
            "other account",
            fail("401 Unauthorized", 40112, "Wrong account", ""),
            auth,
        ),
        (
            "date refused even by Duo's clock",
            fail("401 Unauthorized", 40105, "Bad request timestamp", "").replace("09:05:07", "08:55:07"),
            auth,
        ),
        ("permission", fail(FORBIDDEN, 40301, "Access forbidden", ""), auth),
        (
            "permission or edition",
            fail(FORBIDDEN, 40301, "Access forbidden", ""),
            Ask::Log(Log::Activity),
        ),
        (
            "application's type",
            fail(
                FORBIDDEN,
                40301,
                "Access forbidden",
                "Wrong integration type for this API.",
            ),
            auth,
        ),
        (
            "address",
            fail(FORBIDDEN, 40301, "Access forbidden", "IP address not allowed"),
            auth,
        ),
        (
            "edition",
            fail(FORBIDDEN, 40301, "Access forbidden", "Not part of your edition"),
            Ask::Log(Log::TrustMonitor),
        ),
        (
            "users",
            fail(FORBIDDEN, 40301, "Access forbidden", ""),
            Ask::Inventory(Inventory::Users),
        ),
        (
            "admins",
            fail(FORBIDDEN, 40301, "Access forbidden", ""),
            Ask::Inventory(Inventory::Admins),
        ),
        (
            "applications",
            fail(FORBIDDEN, 40301, "Access forbidden", ""),
            Ask::Inventory(Inventory::Integrations),
        ),
        (
            "settings",
            fail(FORBIDDEN, 40301, "Access forbidden", ""),
            Ask::Inventory(Inventory::Settings),
        ),
        (
            "information",
            fail(FORBIDDEN, 40301, "Access forbidden", ""),
            Ask::Inventory(Inventory::Summary),
        ),
        (
            "endpoints",
            fail(FORBIDDEN, 40301, "Access forbidden", ""),
            Ask::Inventory(Inventory::Endpoints),
        ),
        (
            "accounts, wrong type",
            fail(
                FORBIDDEN,
                40301,
                "Access forbidden",
                "Wrong integration type for this API.",
            ),
            Ask::Accounts,
        ),
        (
            "accounts",
            fail(FORBIDDEN, 40301, "Access forbidden", ""),
            Ask::Accounts,
        ),
        (
            "no such log",
            fail("404 Not Found", 40401, "Resource not found", ""),
            Ask::Log(Log::OfflineEnrollment),
        ),
        (
            "no such inventory",
            fail("404 Not Found", 40401, "Resource not found", ""),
            Ask::Inventory(Inventory::Policies),
        ),
        (
            "no ping",
            fail("404 Not Found", 40401, "Resource not found", ""),
            Ask::Ping,
        ),
        ("web page instead, 404", http("404 Not Found", &date, html), auth),
        ("web page instead, 200", http("200 OK", &date, html), auth),
        ("web page instead, 403", http(FORBIDDEN, &date, html), auth),
        (
            "gateway wants credentials",
            http("407 Proxy Authentication Required", &date, html),
            auth,
        ),
        (
            "redirect",
            http("302 Found", "Location: https://login.example.com/\r\n", ""),
            auth,
        ),
        (
            "gateway fails",
            http("502 Bad Gateway", &date, "<html><h1>502 Bad Gateway</h1></html>"),
            auth,
        ),
        (
            "Duo fails",
            fail("500 Internal Server Error", 50001, "Unknown internal server error", ""),
            auth,
        ),
        ("refusal with 200", fail("200 OK", 40301, "Access forbidden", ""), auth),
        (
            "parameter",
            fail(
                "400 Bad Request",
                40002,
                "Invalid request parameters",
                "mintime must be within the past 180 days",
            ),
            auth,
        ),
        (
            "rate",
            fail("429 Too Many Requests", 42901, "Too Many Requests", ""),
            auth,
        ),
        (
            "rate with a wait",
            http("429 Too Many Requests", "Retry-After: 240\r\n", ""),
            auth,
        ),
        (
            "cut JSON",
            http("200 OK", &date, r#"{"response": {"authlogs": [{"a":"#),
            auth,
        ),
        (
            "no rows",
            http("200 OK", &date, r#"{"response": {}, "stat": "OK"}"#),
            auth,
        ),
        (
            "FAIL without a code",
            http("200 OK", &date, r#"{"stat": "FAIL"}"#),
            auth,
        ),
        ("empty", http("200 OK", &date, ""), auth),
    ];
    let mut errors = Vec::new();
    for (name, answer, ask) in scenes {
        errors.push((name, error_of(answer, ask).await));
    }
    for (name, kind, detail) in [
        (
            "resolver",
            TransportKind::Dns,
            " (failed to lookup address information: Name or service not known)",
        ),
        (
            "resolver, beside a proxy that leaves it to us",
            TransportKind::Dns,
            " (failed to lookup address information: Name or service not known, proxy socks5://proxy.example.com:1080)",
        ),
        ("closed", TransportKind::Connect, " (Connection refused (os error 111))"),
        ("firewall", TransportKind::Connect, " (no answer in time)"),
        ("slow", TransportKind::Timeout, ""),
        (
            "slow through a proxy",
            TransportKind::Timeout,
            " (proxy http://proxy.example.com:3128)",
        ),
        (
            "cut off",
            TransportKind::Broken,
            " (unexpected EOF during chunk size line)",
        ),
        (
            "proxy unreachable",
            TransportKind::ProxyUnreachable,
            " (Connection refused (os error 111), proxy http://proxy.example.com:3128)",
        ),
        (
            "proxy credentials",
            TransportKind::ProxyCredentials,
            " (tunnel error: proxy authorization required, proxy http://proxy.example.com:3128)",
        ),
        (
            "proxy refuses",
            TransportKind::ProxyRefused,
            " (tunnel error: unsuccessful, proxy http://proxy.example.com:3128)",
        ),
        (
            "issuer",
            TransportKind::UnknownIssuer,
            " (invalid peer certificate: UnknownIssuer)",
        ),
        (
            "expired",
            TransportKind::Expired,
            " (invalid peer certificate: certificate expired)",
        ),
        (
            "not yet valid",
            TransportKind::NotYetValid,
            " (invalid peer certificate: certificate not valid yet)",
        ),
        (
            "name",
            TransportKind::WrongName,
            " (invalid peer certificate: certificate not valid for name)",
        ),
        (
            "plain HTTP",
            TransportKind::NotTls,
            " (received corrupt message of type InvalidContentType)",
        ),
        ("TLS", TransportKind::Tls, " (received fatal alert: HandshakeFailure)"),
    ] {
        let at = AT.to_owned();
        errors.push((
            name,
            DuoError::Transport {
                at,
                kind,
                detail: detail.to_owned(),
            },
        ));
    }
    let mut kinds = BTreeSet::new();
    let mut text = String::new();
    for (name, error) in &errors {
        kinds.insert(error.kind().as_str());
        writeln!(text, "{name} [{}]\n  {error}", error.kind().as_str()).unwrap();
    }
    assert_eq!(kinds.len(), 20, "each kind is met: {kinds:?}");
    insta::assert_snapshot!("every_sentence", text);
}

#[test]
fn what_else_is_known_makes_the_advice_sharper() {
    let at = |path: &str| format!("api-00000000.duosecurity.com{path}");
    let secret = DuoError::Unauthorized {
        at: AT.to_owned(),
        code: 40103,
        message: "Invalid signature in request credentials".to_owned(),
    };
    let forbidden = |path| DuoError::Forbidden {
        at: at(path),
        code: 40301,
        message: "Access forbidden".to_owned(),
    };
    let missing = DuoError::NotFound {
        at: at(Log::Activity.path()),
        code: 40401,
        message: "Resource not found".to_owned(),
    };
    let context = Context {
        secret: Some("/etc/picket/acme.secret"),
        others_answer: true,
    };
    let mut text = String::new();
    for error in [
        secret,
        forbidden(Log::Activity.path()),
        forbidden(Log::Telephony.path()),
        forbidden(Inventory::Endpoints.path()),
        missing,
    ] {
        writeln!(text, "{}: {}", error.problem(), error.advice(&context)).unwrap();
    }
    for skew in [600_000, -61_000] {
        writeln!(text, "{}", clock_is_off(skew)).unwrap();
    }
    insta::assert_snapshot!("with_context", text);
}

#[test]
fn a_wait_of_any_length_has_words() {
    let retry_after = Some(Duration::from_secs(u64::MAX));
    let error = DuoError::RateLimited {
        at: AT.to_owned(),
        retry_after,
    };
    assert!(error.to_string().contains("18446744073709551615 s"));
}
