//! `picket replay --store`: the stored journal judged once more, beside the daemon that judged it.

use std::collections::BTreeSet;

use picket_e2e::stock;

use super::live_shadow::on;
use super::*;

/// Id, severity and title of each.
fn told(alerts: &[Value]) -> BTreeSet<(String, String, String)> {
    let text = |alert: &Value, name: &str| alert[name].as_str().unwrap().to_owned();
    let of = |alert: &Value| (text(alert, "id"), text(alert, "severity"), text(alert, "title"));
    alerts.iter().map(of).collect()
}

#[test]
fn what_is_stored_is_judged_again_as_it_was_or_by_other_rules() {
    let story = Story::of("acme");
    let story = login(login(login(story, 1, "ada"), 10, "eve"), 30, "eve");
    let story = story
        .refusals(NOON + 2 * MINUTE, "bob", 5)
        .refusals(NOON + 32 * MINUTE, "carol", 5);
    let mut site = Site::new(Duo::start(vec![story.account()], NOON));
    site.install(&on(&["ada"]), FILE);
    site.install(&std::fs::read(stock("push-abuse")).unwrap(), "push-abuse.wasm");
    site.tenant(&Source::of("acme"));
    let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write("picket.yaml", &format!("{config}reload: {{on_difference: promote}}\n"));
    site.run();
    advance(&site, 15);
    alerted(&site, &["ada"]);
    // Another version of one rule, and another severity of another.
    let first = live_digest(&site);
    goes_live(&site, &on(&["ada", "eve"]));
    let file = site.path("tenants.d/acme.yaml");
    let tenant = std::fs::read_to_string(&file).unwrap();
    let rules = "rules: {mfa-fatigue-denied-burst: {severity: critical, count: 4}}\n";
    std::fs::write(&file, format!("{tenant}{rules}")).unwrap();
    let _ = site.picket(&["reload"]).with_code(0);
    advance(&site, 45);
    alerted(&site, &["ada", "eve"]);
    let stored = site.ndjson(&["alerts"]);
    let severities: BTreeSet<&str> = stored
        .iter()
        .filter(|alert| alert["rule"]["id"] == "mfa-fatigue-denied-burst")
        .map(|alert| alert["severity"].as_str().unwrap())
        .collect();
    assert!(severities.len() == 2, "{severities:?}");

    // Exactly, and the hash of each generation says so.
    let again = site.picket(&["replay", "--store", "--format", "ndjson"]).with_code(0);
    assert_eq!(again.err, "", "nothing was substituted");
    assert_eq!(told(&again.lines()), told(&stored));
    let compared = site.picket(&["replay", "--store", "--compare"]).with_code(0);
    let alike = format!("{} alike, 0 gained, 0 lost, 0 changed", stored.len());
    assert!(compared.out.contains(&alike), "{compared:?}");
    let late = site
        .picket(&[
            "replay",
            "--store",
            "--from",
            "2026-11-18T12:20:00Z",
            "--format",
            "ndjson",
        ])
        .with_code(0)
        .lines();
    assert!(!late.is_empty() && late.len() < stored.len());

    // By another version, whatever judged it.
    std::fs::write(site.path("other.wasm"), on(&["ada", "eve"])).unwrap();
    let by_other = |more: &[&str]| {
        let arguments = ["replay", "--store", "data", "--tenant", "acme", "--rules", "other.wasm"];
        site.picket(&[&arguments[..], more].concat()).with_code(0)
    };
    assert_eq!(by_other(&["--format", "ndjson"]).lines().len(), 3);
    let differs = by_other(&["--compare", "--format", "ndjson"]).lines();
    let of = |kind: &str| differs.iter().filter(|line| line["difference"] == kind).count();
    assert_eq!((of("gained"), of("lost")), (1, stored.len() - 2));
    let all = differs.last().unwrap();
    assert_eq!((&all["same"], &all["changed"]), (&2.into(), &0.into()));
    let before = [
        "--from",
        "2026-11-18T12:00:00Z",
        "--to",
        "2026-11-18T12:20:00Z",
        "--format",
        "ndjson",
    ];
    assert_eq!(by_other(&before).lines().len(), 2);

    // A version that is not kept any more cannot judge, which is said.
    let kept = first.trim_start_matches("sha256:");
    std::fs::remove_file(site.path("data/modules").join(format!("{kept}.wasm"))).unwrap();
    let without = site.picket(&["replay", "--store", "--compare"]).with_code(0);
    assert!(
        without
            .err
            .contains("substituted: rule t does not judge: its content is gone")
            && without.out.contains("1 lost"),
        "{without:?}"
    );
    for (wrong, word) in [
        (vec!["replay", "--store", "nowhere"], "nowhere"),
        (
            vec!["replay", "--store", "--tenant", "globex"],
            "there is no tenant `globex`",
        ),
        (
            vec![
                "replay",
                "--store",
                "data",
                "--tenant",
                "globex",
                "--rules",
                "other.wasm",
            ],
            "the store holds nothing of a tenant `globex`",
        ),
        (vec!["replay", "--rules", "other.wasm"], "--events"),
        (vec!["replay", "--store", "--from", "soon"], "soon"),
    ] {
        let said = site.picket(&wrong).with_code(2);
        assert!(said.err.contains(word), "{wrong:?}: {said:?}");
    }
    site.stop();
}
