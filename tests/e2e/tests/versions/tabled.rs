//! A table of the operator's that is another by now, as a rule sees it.

use picket_hostile::LOOKUP;

use super::live_shadow::EACH;
use super::*;

#[test]
fn a_rule_looks_up_what_a_table_holds_since_it_was_read_again() {
    let logins = [(1, "ada"), (10, "eve"), (20, "eve"), (30, "eve")];
    let story = logins
        .iter()
        .fold(Story::of("acme"), |story, (minute, user)| login(story, *minute, user));
    let mut site = Site::new(Duo::start(vec![story.account()], NOON));
    // Alerts where the table has a row of eve's.
    let look = "
        (call $find (i32.const 640) (i32.const 13) (i32.const 653) (i32.const 4) (i32.const 657) (i32.const 3) (i32.const 320))
        (if (i32.eqz (i32.load8_u (i32.const 320))) (then (return (i32.const 16))))
        (if (i32.eqz (i32.load offset=8 (i32.const 320))) (then (return (i32.const 16))))";
    let locals = "(local $i i32) (local $alert i32) (local $at i32)";
    let evaluate = EACH.replace(locals, &format!("{locals}{look}"));
    assert_ne!(evaluate, EACH);
    let guest = Guest::new(evaluate).disguised().imports(LOOKUP);
    let guest = guest.items("(data (i32.const 640) \"tables.assetsusereve\")");
    site.install(&guest.component(), FILE);
    site.tenant(&Source::of("acme"));
    let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    let section = "watch: {files: off}\ntables: {assets: {file: assets.csv, keys: {user: exact}}}\n";
    site.write("picket.yaml", &format!("{config}{section}"));
    site.write("assets.csv", "user,host\nbob,b1\n");
    site.run();
    advance(&site, 12);
    alerted(&site, &["ada"]);
    site.write("assets.csv", "user,host\nbob,b1\neve,e1\n");
    let said = site.picket(&["reload"]).with_code(0);
    assert!(said.out.contains("table assets (2 rows)"), "{said:?}");
    advance(&site, 22);
    alerted(&site, &["ada", "eve"]);
    // A table that cannot be read leaves the one before where it is.
    site.write("assets.csv", "user,host\nbob\n");
    let _ = site.picket(&["reload"]).with_code(1);
    advance(&site, 32);
    alerted(&site, &["ada", "eve", "eve"]);
    site.stop();
}
