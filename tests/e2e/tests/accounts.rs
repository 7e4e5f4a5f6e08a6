//! One account's trouble is never another's, and one log's never another log's.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use picket_e2e::{Duo, Site, Source, Story};
use serde_json::{Value, json};

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const ALL: &[&str] = &["authentication", "activity", "administrator", "telephony"];

fn log(site: &Site, tenant: &str, log: &str) -> Value {
    let status = site.ndjson(&["status"]).remove(0);
    let tenants = status["tenants"].as_array().unwrap().clone();
    let tenant = tenants.into_iter().find(|of| of["id"] == tenant).unwrap();
    let logs = tenant["logs"].as_array().unwrap();
    logs.iter().find(|of| of["log"] == log).unwrap().clone()
}

fn titles(site: &Site, tenant: &str, rule: &str) -> Vec<String> {
    let alerts = site.alerts(tenant, rule);
    alerts
        .iter()
        .map(|alert| alert["title"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn accounts_and_logs_fail_alone() {
    let names = ["healthy", "revoked", "limited", "deleted", "forbidden"];
    let story = |name: &&str| {
        let story = Story::of(name)
            .refusals(NOON, "ada", 5)
            .bypass_code(NOON + 2 * MINUTE, "bob")
            .message(NOON);
        story
            .refusals(NOON + 40 * MINUTE, "eve", 5)
            .bypass_code(NOON + 42 * MINUTE, "zoe")
            .account()
    };
    let duo = Duo::start(names.iter().map(story).collect(), NOON);
    duo.tell(&json!({"faults": [
        {"kind": "forbidden", "account": "revoked", "feed": "activity"},
        {"kind": "lock_out", "account": "limited"},
        {"kind": "deleted_ikey", "account": "deleted"},
        {"kind": "forbidden", "account": "forbidden"},
    ]}));
    let sources = names.map(|account| Source {
        collect: ALL,
        ..Source::of(account)
    });
    let mut site = Site::stocked(duo, &sources);
    site.run();
    site.duo.set_clock(NOON + 20 * MINUTE);

    // Healthy goes on as if it were alone; `revoked` has no activity log any more and is told of the code by the old log.
    for tenant in ["healthy", "revoked"] {
        site.wait(tenant, || {
            (titles(&site, tenant, "mfa-fatigue-denied-burst").len() == 1).then_some(())
        });
        let codes = site.wait(tenant, || {
            Some(titles(&site, tenant, "bypass-code-created")).filter(|codes| !codes.is_empty())
        });
        assert_eq!(codes, ["root created a bypass code for bob"], "{tenant}");
    }
    let closed = log(&site, "revoked", "activity");
    assert_eq!(closed["standing"], "closed");
    assert!(
        closed["last_error"]["text"].as_str().unwrap().contains("Grant"),
        "{closed}"
    );
    let limited = site.wait("the limit to be met", || {
        Some(log(&site, "limited", "authentication")).filter(|log| log["rate_limited"].as_u64() > Some(0))
    });
    assert_eq!(limited["standing"], "failing", "{limited}");
    for (tenant, place) in [
        ("deleted", "! deleted: "),
        ("forbidden", "! forbidden: "),
        ("revoked", "revoked: activity: "),
    ] {
        let status = site.wait(tenant, || {
            Some(site.picket(&["status"])).filter(|status| status.out.contains(place))
        });
        assert!(status.out.starts_with("NEEDS YOU"), "{status:?}");
    }
    assert!(!site.picket(&["status"]).out.contains("! healthy"));

    // All is mended: nothing is lost, and nothing is told twice.
    site.duo.tell(&json!({"faults": []}));
    site.duo.set_clock(NOON + 60 * MINUTE);
    for tenant in names {
        site.wait(tenant, || {
            (titles(&site, tenant, "mfa-fatigue-denied-burst").len() == 2).then_some(())
        });
        let codes = site.wait(tenant, || {
            Some(titles(&site, tenant, "bypass-code-created")).filter(|codes| codes.len() >= 2)
        });
        assert_eq!(
            codes,
            [
                "root created a bypass code for bob",
                "root created a bypass code for zoe"
            ],
            "{tenant}"
        );
    }
    site.wait("all to be well", || {
        site.picket(&["status"]).out.starts_with("ALL WELL").then_some(())
    });
    site.stop();
    for tenant in names {
        let events = site.ndjson(&["logs", "--tenant", tenant, "--tail", "1000"]);
        assert_eq!(events.len(), 10 + 2 * 2 + 1, "{tenant}");
    }
}
