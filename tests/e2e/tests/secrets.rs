//! A secret never appears in anything that Picket writes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::path::Path;

use picket_e2e::{Duo, Site, Source, Story};
use serde_json::json;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const INLINE: &str = "kiwiInlineSecretKiwiInlineSecret00000001";
const FROM_ENV: &str = "limeEnvSecretLimeEnvSecretLimeEnvSecre02";
const FROM_FILE: &str = "pearFileSecretPearFileSecretPearFileSe03";
const ROTATED: &str = "plumRotatedSecretPlumRotatedSecretPlum04";
const WRONG: &str = "figWrongSecretFigWrongSecretFigWrongSe05";

/// Everything under a directory but what the operator wrote there.
fn written(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tenants.d" {
                written(&path, found);
            }
        } else if path.is_file() && !name.ends_with(".secret") {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

fn assert_hidden(what: &str, bytes: &[u8]) {
    for secret in [INLINE, FROM_ENV, FROM_FILE, ROTATED, WRONG] {
        // A part that is long enough to matter: a message may cut what it quotes.
        let part = &secret.as_bytes()[..12];
        assert!(
            !bytes.windows(part.len()).any(|window| window == part),
            "{what} holds a secret: {}",
            String::from_utf8_lossy(bytes)
                .lines()
                .find(|line| line.contains(&secret[..12]))
                .unwrap_or_default()
        );
    }
}

#[test]
fn nothing_that_picket_writes_holds_a_secret() {
    let story = |name: &str, secret: &str| {
        let story = Story::of(name)
            .with_secret(secret)
            .refusals(NOON, "ada", 6)
            .bypass_code(NOON, "bob");
        story.refusals(NOON + 30 * MINUTE, "eve", 6).account()
    };
    let accounts = vec![
        story("inline", INLINE),
        story("variable", FROM_ENV),
        story("filed", FROM_FILE),
        story("mistaken", "theSecretThatNobodyHasConfiguredHere0006"),
    ];
    let secret = |account: &'static str, line: String| Source {
        secret: Some(line),
        ..Source::of(account)
    };
    let mut site = Site::stocked(
        Duo::start(accounts, NOON),
        &[
            secret("inline", format!("secret_key: {INLINE}")),
            secret("variable", "secret_key: ${DUO_SECRET_KEY}".to_owned()),
            Source::of("filed"),
            secret("mistaken", format!("secret_key: {WRONG}")),
        ],
    );
    site.set("DUO_SECRET_KEY", FROM_ENV);
    // Everything there is to say, but for what the compiler has to say of each instruction.
    site.set("PICKET_LOG", "trace,cranelift=off,regalloc2=off,wasmtime=off");
    site.run();

    // The three good ones work; the fourth says which account and what to do.
    site.duo.set_clock(NOON + 20 * MINUTE);
    for tenant in ["inline", "variable", "filed"] {
        site.wait(tenant, || {
            (!site.alerts(tenant, "mfa-fatigue-denied-burst").is_empty()).then_some(())
        });
    }
    let status = site.wait("the wrong secret to be noticed", || {
        let status = site.picket(&["status"]);
        // The simulated clock is days away from the wall's, which Duo refuses first, until Picket has seen Duo's.
        let is_told = status.out.contains("mistaken: authentication") && status.out.contains("secret");
        is_told.then_some(status)
    });
    assert!(status.out.starts_with("NEEDS YOU"), "{status:?}");
    let check = site.picket(&["check"]).with_code(1);
    assert!(
        check.out.contains("WRONG  mistaken at ") && check.out.contains("secret"),
        "{check:?}"
    );

    // A rotated secret: refused until the file is replaced, then it goes on without a restart.
    site.duo.tell(&json!({"rotate": {"account": "filed", "skey": ROTATED}}));
    site.duo.set_clock(NOON + 50 * MINUTE);
    let refused = site.wait("the rotation to be noticed", || {
        let status = site.picket(&["status"]);
        status.out.contains("filed: authentication").then_some(status)
    });
    site.secret_file("filed.secret", ROTATED);
    site.wait("collection to go on", || {
        (site.alerts("filed", "mfa-fatigue-denied-burst").len() == 2).then_some(())
    });

    let mut said = vec![status.all(), check.all(), refused.all()];
    let verbs: [&[&str]; 9] = [
        &["status", "--format", "ndjson"],
        &["check", "--format", "ndjson"],
        &["check", "--offline"],
        &["logs", "--source", "duo", "--tail", "50"],
        &["alerts", "--format", "ndjson"],
        &["timeline", "inline/ada", "--since", "3650d"],
        &["rule", "list"],
        &["reload"],
        &["status"],
    ];
    said.extend(verbs.map(|verb| site.picket(verb).all()));
    site.stop();

    // Mistakes around the secret: messages quote configuration, but never this.
    site.write("alone.yaml", "");
    let good = std::fs::read_to_string(site.path("tenants.d/inline.yaml")).unwrap();
    let secret_line = format!("secret_key: {INLINE}");
    for (wrong, why) in [
        (good.replace(&secret_line, &format!("secret_key: [{INLINE}]")), "a list"),
        (
            good.replace(&secret_line, &format!("secret_key: \"{INLINE}")),
            "a quote too few",
        ),
        (
            good.replace(&secret_line, &format!("secret_key:\n    key: {INLINE}")),
            "a map",
        ),
        (
            good.replace(&secret_line, &format!("secretkey: {INLINE}")),
            "a wrong name",
        ),
        (
            good.replace(&secret_line, &format!("{secret_line}\n  secret_key: {INLINE}")),
            "twice",
        ),
        (
            good.replace(
                &secret_line,
                &format!("{secret_line}\n  secret_key_file: ./filed.secret"),
            ),
            "two places",
        ),
        (good.replace(&secret_line, &format!("secret_key {INLINE}")), "no colon"),
        (
            good.replace(&secret_line, &format!("  {secret_line}")),
            "a wrong indent",
        ),
        (
            good.replace(&secret_line, &format!("secret_key: ${{{INLINE}}}")),
            "in the place of a variable's name",
        ),
        (
            good.replace("type: duo", &format!("type: {INLINE}")),
            "in the place of the type",
        ),
        (
            good.replace("poll_interval: 0.1", &format!("poll_interval: {INLINE}")),
            "in the place of a number",
        ),
    ] {
        assert_ne!(wrong, good, "{why}");
        site.write("tenants.d/inline.yaml", &wrong);
        let answer = site.picket(&["check", "--offline"]);
        assert_ne!(answer.code, 0, "{why}: {answer:?}");
        // Where a secret was put in the place of something else, nobody can know that it is one.
        if !why.starts_with("in the place of") {
            assert_hidden(why, answer.all().as_bytes());
        }
    }

    for text in &said {
        assert_hidden("a command's output", text.as_bytes());
    }
    let mut files = Vec::new();
    written(site.dir(), &mut files);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for part in ["out.log", "err.log", "alerts.ndjson", "data/picket.db"] {
        assert!(
            names.iter().any(|name| name.ends_with(part)),
            "{part} is not in {names:?}"
        );
    }
    for (name, bytes) in &files {
        assert_hidden(name, bytes);
    }
}
