//! Tenants begin, end and are mended while the daemon runs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use picket_e2e::{Duo, Site, Source, Story};

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;

#[test]
fn a_reload_begins_ends_and_mends_tenants_and_a_wrong_file_changes_nothing() {
    let names = ["acme", "globex", "initech"];
    let story = |name: &&str| Story::of(name).refusals(NOON, "ada", 5).account();
    let duo = Duo::start(names.iter().map(story).collect(), NOON + 20 * MINUTE);
    let mut site = Site::stocked(duo, &names.map(Source::of));
    // Nothing but `picket reload` takes anything over, so that it has something to say.
    let root = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write("picket.yaml", &format!("{root}watch: {{files: off}}\n"));
    let good = std::fs::read_to_string(site.path("tenants.d/globex.yaml")).unwrap();
    site.write("tenants.d/globex.yaml", &good.replace("type: duo", "type: okta"));
    std::fs::remove_file(site.path("initech.secret")).unwrap();

    // Two slips of the pen, and the third customer is watched all the same.
    site.run();
    let burst = |site: &Site, tenant: &str| !site.alerts(tenant, "mfa-fatigue-denied-burst").is_empty();
    site.wait("acme", || burst(&site, "acme").then_some(()));
    let text = std::fs::read_to_string(site.path("err.log")).unwrap();
    assert!(text.contains("source type `okta` is unknown"), "{text}");
    // The check is strict.
    assert!(site.picket(&["check"]).with_code(2).err.contains("okta"));
    let status = site.picket(&["status"]).with_code(1);
    assert!(
        status.out.contains("! globex: ") && status.out.contains("! initech: "),
        "{status:?}"
    );

    // Mended, each is taken up without a restart.
    site.write("tenants.d/globex.yaml", &good);
    let (_, skey) = site.duo.keys("initech");
    site.secret_file("initech.secret", skey);
    let said = site.picket(&["reload"]).with_code(0);
    for tenant in ["globex", "initech"] {
        assert!(said.out.contains(&format!("started  {tenant}")), "{said:?}");
        site.wait(tenant, || burst(&site, tenant).then_some(()));
    }

    // A file that is gone ends its tenant; the others go on.
    std::fs::remove_file(site.path("tenants.d/acme.yaml")).unwrap();
    let said = site.picket(&["reload"]).with_code(0);
    assert!(said.out.contains("stopped  acme"), "{said:?}");
    let status = site.picket(&["status"]);
    assert!(
        !status.out.contains("acme") && status.out.contains("globex"),
        "{status:?}"
    );
    site.stop();
}
