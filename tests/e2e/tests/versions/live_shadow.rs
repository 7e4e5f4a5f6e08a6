//! Live shadow: what a version does beside the one that judges, before anybody hears of it.

use super::*;

/// One alert for each row, however rows come to be cut into calls.
pub(super) const EACH: &str = "
    (local $i i32) (local $alert i32) (local $at i32)
    (if (i32.eqz (local.get $groups_len)) (then (return (i32.const 16))))
    (i64.store (i32.const 400) (i64.const 0x646574736554))
    (loop $next
        (local.set $alert (i32.add (i32.const 40000) (i32.mul (local.get $i) (i32.const 88))))
        (local.set $at (i32.shl (local.get $i) (i32.const 3)))
        (memory.fill (local.get $alert) (i32.const 0) (i32.const 88))
        (i32.store (local.get $alert) (i32.const 400)) (i32.store offset=4 (local.get $alert) (i32.const 6))
        (i64.store offset=24 (local.get $alert) (i64.load (i32.add (i32.load offset=12 (local.get $groups)) (local.get $at))))
        (i32.store offset=68 (local.get $alert) (i32.add (i32.load offset=4 (local.get $groups)) (local.get $at)))
        (i32.store offset=72 (local.get $alert) (i32.const 1))
        (i64.store offset=80 (local.get $alert) (i64.load (i32.add (i32.load offset=4 (local.get $groups)) (local.get $at))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.load offset=8 (local.get $groups)))))
    (i32.store (i32.const 384) (i32.const 0)) (i32.store (i32.const 388) (i32.const 40000))
    (i32.store (i32.const 392) (local.get $i))
    (i32.const 384)";

/// Alerts on each row of these users. A reader that is begun anew cuts rows into calls otherwise than the one before, so what is
/// told of a restart wants rules that do not mind.
pub(super) fn on(users: &[&str]) -> Vec<u8> {
    let guest = Guest::new(EACH).disguised();
    let mut manifest: Value = serde_json::from_str(&guest.manifest).unwrap();
    let when = serde_json::json!({"field": "user.name", "op": "in", "values": users});
    manifest["rules"][0]["sources"][0]["when"] = when;
    let guest = Guest {
        disguised: false,
        manifest: manifest.to_string(),
        ..guest
    };
    guest.component()
}

const POLICY: &str = "reload: {live_shadow: 1h}\n";

fn diff(site: &Site) -> Value {
    site.ndjson(&["rule", "diff", "t"]).remove(0)
}

/// Waits until the shadow has noted so many alerts that only it raises.
fn gained(site: &Site, count: u64) {
    site.wait("what it gains", || {
        let diff = diff(site);
        (diff["basis"] == "live" && diff["counts"]["gained"] == count).then_some(())
    });
}

/// The time of live shadow is over.
fn ends(site: &Site) {
    let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write("picket.yaml", &config.replace(POLICY, "reload: {live_shadow: 0s}\n"));
    let _ = site.picket(&["reload"]).with_code(0);
}

#[test]
fn a_version_in_live_shadow_judges_beside_the_old_one_over_a_restart_and_nobody_is_told() {
    let logins = [(1, "ada"), (10, "eve"), (20, "eve"), (30, "ada"), (40, "eve")];
    let mut site = site(&logins, &on(&["ada"]), POLICY);
    advance(&site, 5);
    alerted(&site, &["ada"]);
    let old = live_digest(&site);
    let said = install(&site, &on(&["ada", "eve"])).with_code(0);
    assert!(
        said.out
            .contains("shadow   tested.wasm: it judges live events beside the version before until "),
        "{said:?}"
    );
    let shadow = aside(&site).unwrap();
    assert_eq!((&shadow["state"], &shadow["waits"]), (&"shadow".into(), &false.into()));
    assert!(shadow["until"].is_string(), "{shadow}");
    let list = site.picket(&["rule", "list"]).with_code(0).out;
    assert!(list.contains("shadow (until "), "{list}");
    // A second reload finds it where it is.
    assert!(
        site.picket(&["reload"])
            .with_code(0)
            .out
            .contains("shadow   tested.wasm")
    );

    advance(&site, 12);
    gained(&site, 1);
    assert_eq!(
        (alerts(&site), live_digest(&site)),
        (vec!["ada".to_owned()], old.clone())
    );
    let diff_words = site.picket(&["rule", "diff", "t"]).with_code(0).out;
    assert!(
        diff_words.contains("in shadow until ") && diff_words.contains("1 gained, 0 lost, 0 changed"),
        "{diff_words}"
    );

    // A daemon that starts anew reads the same stretch again.
    let before = diff(&site);
    site.kill();
    site.run();
    site.wait("the same of the new process", || {
        (diff(&site)["as_of"].as_str() > before["as_of"].as_str()).then_some(())
    });
    let after = diff(&site);
    for found in ["gained", "until", "counts"] {
        assert_eq!(after[found], before[found], "{after}");
    }
    assert_eq!(live_digest(&site), old);
    advance(&site, 22);
    gained(&site, 2);
    advance(&site, 32);
    alerted(&site, &["ada", "ada"]);
    // What had not been released where it begins is shown to both, and counts.
    let same = after["counts"]["same"].as_u64().unwrap() + 1;
    site.wait("what both raise", || {
        (diff(&site)["counts"]["same"] == same).then_some(())
    });
    assert!(site.ndjson(&["alerts", "--shadow"]).is_empty());

    // At its end what differs is somebody's to decide.
    ends(&site);
    site.wait("its end", || (aside(&site)?["waits"] == true).then_some(()));
    let waiting = aside(&site).unwrap();
    let reason = waiting["reason"].as_str().unwrap();
    assert!(
        reason.contains(&format!(
            "alerts differ on 3 live events of 1 tenant: 2 gained, 0 lost, 0 changed, {same} alike"
        )),
        "{reason}"
    );
    assert!(has_step(&site, "shadow", "passed") && has_step(&site, "live-shadow", "waits"));
    assert_eq!(diff(&site)["step"], "live-shadow");
    assert_eq!(live_digest(&site), old);
    let _ = site.picket(&["rule", "promote", "t"]).with_code(0);
    advance(&site, 42);
    alerted(&site, &["ada", "ada", "eve"]);
    site.stop();
}

#[test]
fn a_version_that_fails_in_live_shadow_never_judges_and_one_that_alerts_alike_takes_over() {
    let logins = [(1, "ada"), (10, "eve"), (20, "ada"), (30, "eve"), (40, "ada")];
    let mut site = site(&logins, &on_ada(1), POLICY);
    advance(&site, 5);
    alerted(&site, &["ada"]);
    let old = live_digest(&site);
    let _ = install(&site, &traps(2)).with_code(0);
    assert_eq!(aside(&site).unwrap()["state"], "shadow");
    advance(&site, 12);
    site.wait("its refusal", || (aside(&site)?["state"] == "rejected").then_some(()));
    let refused = aside(&site).unwrap();
    let reason = refused["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("shadow: rule `t` fails on event") && reason.contains("live event"),
        "{reason}"
    );
    assert!(has_step(&site, "live-shadow", "failed"));
    assert!(
        diff(&site)["failures"][0]["report"]
            .as_str()
            .unwrap()
            .contains("unreachable")
    );
    assert_eq!(live_digest(&site), old);
    // The rule that judges knows nothing of it.
    assert_eq!(site.store().poison("acme").unwrap(), []);
    advance(&site, 22);
    alerted(&site, &["ada", "ada"]);

    // One whose file changes is over; one that is deleted, too.
    let _ = install(&site, &on_ada(3)).with_code(0);
    let third = aside(&site).unwrap();
    let _ = install(&site, &on_ada(4)).with_code(0);
    let fourth = aside(&site).unwrap();
    assert_eq!(
        (&third["state"], &fourth["state"]),
        (&"shadow".into(), &"shadow".into())
    );
    assert_ne!(third["digest"], fourth["digest"]);
    assert!(has_step(&site, "withdrawn", "failed"));
    advance(&site, 32);
    assert_eq!(live_digest(&site), old);
    ends(&site);
    site.wait("the new version", || {
        (live_digest(&site) == fourth["digest"]).then_some(())
    });
    let told = site.picket(&["rule", "history", "t"]).with_code(0).out;
    assert!(told.contains("live-shadow ok") && told.contains("alike on"), "{told}");
    advance(&site, 42);
    alerted(&site, &["ada", "ada", "ada"]);
    site.stop();
}
