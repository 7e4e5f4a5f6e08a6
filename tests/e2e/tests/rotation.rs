//! A rotated secret: the message names the file, and the new one is picked up while the daemon runs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use picket_e2e::{Duo, Site, Source, Story};
use serde_json::json;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const NEW: &str = "newSecretNewSecretNewSecretNewSecret0001";

#[test]
fn a_rotated_secret_is_named_with_its_file_picked_up_and_the_backlog_caught_up() {
    let acme = Story::of("acme")
        .refusals(NOON, "ada", 6)
        .refusals(NOON + 60 * MINUTE, "eve", 6)
        .refusals(NOON + 120 * MINUTE, "bob", 6);
    let globex = Story::of("globex").refusals(NOON + 60 * MINUTE, "ada", 6);
    let duo = Duo::start(vec![acme.account(), globex.account()], NOON + 30 * MINUTE);
    let mut site = Site::stocked(duo, &[Source::of("acme"), Source::of("globex")]);
    site.run();
    let count = |site: &Site, tenant: &str| site.alerts(tenant, "mfa-fatigue-denied-burst").len();
    site.wait("the first burst", || (count(&site, "acme") == 1).then_some(()));

    site.duo.tell(&json!({"rotate": {"account": "acme", "skey": NEW}}));
    let file = site.path("acme.secret").display().to_string();
    let said = site.wait("the rotation to be told", || {
        let said = site.picket(&["status"]);
        said.out.contains("acme: authentication").then_some(said)
    });
    assert!(
        said.out
            .contains(&format!("the secret was probably rotated; put the new one in {file}")),
        "{}",
        said.out
    );
    assert!(said.out.starts_with("NEEDS YOU"), "{}", said.out);

    // Meanwhile Duo goes on, and so does the other account.
    site.duo.set_clock(NOON + 180 * MINUTE);
    site.wait("the other account to go on", || {
        (count(&site, "globex") == 1).then_some(())
    });
    assert_eq!(count(&site, "acme"), 1);
    site.secret_file("acme.secret", NEW);
    site.wait("the backlog", || (count(&site, "acme") == 3).then_some(()));
    site.wait("all to be well", || {
        let said = site.picket(&["status"]);
        (!said.out.contains("rotated")).then_some(())
    });
    // A refusal is not hammered into the log: once, and then ever more seldom.
    let log = std::fs::read_to_string(site.path("err.log")).unwrap();
    let lines = log
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("acme") && line.contains("probably rotated"))
        .count();
    assert!(lines < 40, "{lines} lines:\n{log}");
    site.stop();
}
