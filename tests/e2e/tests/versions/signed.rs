//! Whoever signed a version counts for as long as it may come back.

use super::*;

/// Puts a module and its signature in place, the signature first.
fn install_signed(site: &Site, module: &[u8], key: &str) {
    std::fs::write(site.path(FILE), module).unwrap();
    let _ = site
        .picket(&["rule", "sign", FILE, "--key", key, "--comment", "reviewed"])
        .with_code(0);
    for name in [format!("{FILE}.minisig"), FILE.to_owned()] {
        std::fs::rename(site.path(&name), site.path("rules").join(&name)).unwrap();
    }
}

#[test]
fn a_version_whose_key_is_not_trusted_any_more_does_not_come_back() {
    let story = login(Story::of("acme"), 1, "ada");
    let mut site = Site::new(Duo::start(vec![story.account()], NOON));
    site.tenant(&Source::of("acme"));
    for key in ["old", "new"] {
        let _ = site.picket(&["rule", "keygen", key, "--no-password"]).with_code(0);
    }
    install_signed(&site, &on_ada(1), "old.key");
    let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    let trust = |keys: &str| {
        let section =
            format!("watch: {{files: off}}\nsignatures: {{trusted_keys: {{{keys}}}, require_signature: true}}\n");
        site.write("picket.yaml", &format!("{config}{section}"));
    };
    let (both, only_new) = ("old: old.pub, new: new.pub", "new: new.pub");
    trust(both);
    site.run();
    let first = live_digest(&site);
    install_signed(&site, &on_ada(2), "new.key");
    let _ = site.picket(&["reload"]).with_code(0);
    let second = live_digest(&site);
    assert_ne!(second, first);
    let told = site.picket(&["rule", "history", "t"]).with_code(0).out;
    assert!(
        told.contains("2 cases pass, signed by old (reviewed)")
            && told.contains("2 cases pass, signed by new (reviewed)"),
        "{told}"
    );

    // The key of the version before is revoked: nothing that judges is of it.
    let trust = |keys: &str| {
        let section =
            format!("watch: {{files: off}}\nsignatures: {{trusted_keys: {{{keys}}}, require_signature: true}}\n");
        site.write("picket.yaml", &format!("{config}{section}"));
        site.picket(&["reload"])
    };
    let _ = trust(only_new).with_code(0);
    let said = site.picket(&["rule", "rollback", "t"]).with_code(1);
    assert!(
        said.out.contains("cannot come back: signature:") && said.out.contains("not trusted"),
        "{said:?}"
    );
    assert_eq!(live_digest(&site), second);
    let _ = trust(both).with_code(0);
    let _ = site.picket(&["rule", "rollback", "t"]).with_code(0);
    assert_eq!(live_digest(&site), first);
    // Now it judges, though its file holds the other: what would turn it away is refused.
    let said = trust(only_new);
    assert!(
        said.code == 1 && said.out.contains("which is live, would be refused: signature"),
        "{said:?}"
    );
    assert_eq!(live_digest(&site), first);
    site.stop();
}
