//! 10 to 12: answers that lie about where they are, that say what no terminal should see, and that never stop.

use super::Cases;
use crate::{Answer, Guest, LOG, NOTHING, STATE, TIMERS};

pub(super) fn cases(cases: &mut Cases) {
    pointers(cases);
    lists(cases);
    texts(cases);
    floods(cases);
}

fn pointers(cases: &mut Cases) {
    for (name, body) in [
        ("unaligned", "(i32.const 17)"),
        ("minus-four", "(i32.const -4)"),
        ("minus-one", "(i32.const -1)"),
        ("at-the-very-end", "(i32.const 131068)"),
        ("outside-the-memory", "(i32.const 131072)"),
    ] {
        cases.fails(10, format!("result-{name}"), Guest::new(body), "malformed");
    }
    let word = |at: u32, value: i64| format!("(i32.store (i32.const {at}) (i32.const {value}))");
    let list = |pointer: i64, length: i64| format!("{}{}{NOTHING}", word(20, pointer), word(24, length));
    for (name, pointer, length) in [
        ("of-4-billion-alerts", 65_536, -1),
        ("that-wraps", -88, 2),
        ("that-overflows", 48_806_447, 48_806_447),
        ("outside-the-memory", 131_072, 1),
        ("unaligned", 65_537, 1),
        ("of-a-million-alerts", 0, 1_000_000),
    ] {
        cases.fails(
            10,
            format!("list-{name}"),
            Guest::new(list(pointer, length)),
            "malformed",
        );
    }
    let outcome = format!("(i32.store8 (i32.const 16) (i32.const 7)) {NOTHING}");
    cases.fails(10, "result-of-a-third-kind", Guest::new(outcome), "malformed");
    let error =
        |pointer: i64, length: i64| format!("{}{}{}{NOTHING}", word(16, 1), word(20, pointer), word(24, length));
    cases.fails(
        10,
        "error-outside-the-memory",
        Guest::new(error(0, 131_073)),
        "malformed",
    );
    cases.fails(10, "error-of-4-gib", Guest::new(error(1, -1)), "malformed");
    cases.fails(10, "error-of-nothing", Guest::new(error(0, 0)), "rule-error");
    let no_text = format!(
        "(memory.fill (i32.const 600) (i32.const 255) (i32.const 20)) {}",
        error(600, 20)
    );
    cases.fails(10, "error-that-is-no-text", Guest::new(no_text), "malformed");
    // The input, taken for an answer: its first word says what the rule says.
    cases.fails(
        10,
        "result-that-is-the-input",
        Guest::new("(i32.store (local.get $groups) (i32.const 7)) (local.get $groups)"),
        "malformed",
    );
    let overlapping = "(i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 16)) (i32.store (i32.const 24) (i32.const 1)) (i32.const 16)";
    cases.fails(10, "list-that-is-its-own-result", Guest::new(overlapping), "malformed");
}

fn lists(cases: &mut Cases) {
    let big = |answer: &Answer| Guest::new(answer.body()).memory(r#"(memory (export "memory") 128)"#);
    let one = || Answer::titled(5);
    let titled = |answer: &Answer| big(answer).items(r#"(data (i32.const 600) "Title and more")"#);
    cases.fails(10, "alerts-1001", titled(&one().times(1001)), "malformed");
    cases.fails(10, "alerts-of-one-row-17", titled(&one().times(17)), "malformed");
    cases.fails(10, "alerts-60-000", titled(&one().times(60_000)), "malformed");
    // A thousand alerts whose title is one and the same mebibyte.
    let shared = Answer {
        title: (1 << 20, 1 << 20),
        ..one().times(1000)
    };
    cases.fails(10, "titles-of-a-gibibyte-in-all", big(&shared), "malformed");
    // A thousand alerts whose facts are one and the same list of a thousand pairs of one and the same text.
    let mut fractal = Answer {
        facts: (1 << 20, 1000),
        ..one().times(1000)
    }
    .body();
    fractal.insert_str(
        "(local $i i32)".len(),
        "(loop $more
            (i32.store (i32.add (i32.const 1048576) (i32.mul (local.get $i) (i32.const 8))) (i32.const 2097152))
            (i32.store (i32.add (i32.const 1048580) (i32.mul (local.get $i) (i32.const 8))) (i32.const 65536))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $i) (i32.const 2000))))
        (local.set $i (i32.const 0))",
    );
    let fractal = Guest::new(fractal).memory(r#"(memory (export "memory") 128)"#);
    cases.fails(10, "facts-of-65-gib-in-all", fractal, "malformed");
    for (name, answer) in [
        (
            "title-outside-the-memory",
            Answer {
                title: (u32::MAX, 5),
                ..one()
            },
        ),
        (
            "title-of-4-gib",
            Answer {
                title: (1, u32::MAX),
                ..one()
            },
        ),
        (
            "title-of-nothing",
            Answer {
                title: (600, 0),
                ..one()
            },
        ),
        (
            "key-outside-the-memory",
            Answer {
                dedup_key: Some((u32::MAX - 3, 8)),
                ..one()
            },
        ),
        (
            "about-outside-the-memory",
            Answer {
                about: Some([(600, 5), (600, 5), (u32::MAX - 3, 8)]),
                ..one()
            },
        ),
        (
            "severity-beyond-critical",
            Answer {
                severity: Some(5),
                ..one()
            },
        ),
        (
            "severity-255",
            Answer {
                severity: Some(255),
                ..one()
            },
        ),
        (
            "facts-65",
            Answer {
                facts: (0x10_0000, 65),
                ..one()
            },
        ),
        (
            "facts-unaligned",
            Answer {
                facts: (0x10_0001, 1),
                ..one()
            },
        ),
        (
            "facts-outside-the-memory",
            Answer {
                facts: (8, u32::MAX / 16),
                ..one()
            },
        ),
        (
            "evidence-none",
            Answer {
                evidence: (512, 0),
                ..one()
            },
        ),
        (
            "evidence-zero",
            Answer {
                evidence: (0x10_0000, 1),
                ..one()
            },
        ),
        (
            "evidence-1001",
            Answer {
                evidence: (0x10_0000, 1001),
                ..one()
            },
        ),
        (
            "evidence-a-million",
            Answer {
                evidence: (0, 1_000_000),
                ..one()
            },
        ),
        (
            "evidence-unaligned",
            Answer {
                evidence: (513, 1),
                ..one()
            },
        ),
        ("raised-by-nobody", Answer { raised_by: 0, ..one() }),
        (
            "raised-by-what-was-never-shown",
            Answer {
                raised_by: u64::MAX,
                ..one()
            },
        ),
        (
            "time-before-all-time",
            Answer {
                time: i64::MIN,
                ..one()
            },
        ),
        (
            "time-after-all-time",
            Answer {
                time: i64::MAX,
                ..one()
            },
        ),
    ] {
        cases.fails(10, name, titled(&answer), "malformed");
    }
}

fn texts(cases: &mut Cases) {
    let said = |text: &str, length: u32| {
        Guest::new(Answer::titled(length).body())
            .items(format!(r#"(data (i32.const 600) "{text}")"#))
            .memory(r#"(memory (export "memory") 64)"#)
    };
    for (name, text, length) in [
        ("title-of-invalid-utf-8", r"a\ff\fe", 3),
        ("title-of-half-a-character", r"a\e2\82", 3),
        ("title-of-a-surrogate", r"a\ed\a0\80", 4),
        ("title-overlong", r"a\c0\80", 3),
    ] {
        cases.fails(11, name, said(text, length), "malformed");
    }
    cases.fails(
        11,
        "title-of-control-characters-only",
        said(r"\00\1b\07\7f\c2\9b", 6),
        "malformed",
    );
    cases.harmless(
        11,
        "title-for-terminals",
        said(r"a\1b]0;owned\07\1b[2J\1b[31m\r\nb", 23),
    );
    cases.harmless(11, "title-of-nuls", said(r"a\00\00b", 4));
    cases.harmless(11, "title-that-turns-around", said(r"a\e2\80\aeb\e2\81\a6c", 9));
    // As much as may be handed over at once, and more.
    let long = |bytes: u32| {
        let answer = Answer {
            title: (0x10_0000, bytes),
            ..Answer::titled(5)
        };
        let mut body = answer.body();
        body.insert_str(
            "(local $i i32)".len(),
            &format!("(memory.fill (i32.const 1048576) (i32.const 97) (i32.const {bytes}))"),
        );
        Guest::new(body).memory(r#"(memory (export "memory") 128)"#)
    };
    cases.harmless(11, "title-of-200-kib", long(200 << 10));
    cases.fails(11, "title-of-1-mib", long(1 << 20), "malformed");
    let keys = Answer {
        title: (0x10_0000, 20),
        dedup_key: Some((0x10_0000, 60_000)),
        about: Some([(0x10_0000, 60_000), (0x10_0000, 60_000), (0x10_0000, 60_000)]),
        ..Answer::titled(5)
    };
    let mut body = keys.body();
    body.insert_str(
        "(local $i i32)".len(),
        "(memory.fill (i32.const 1048576) (i32.const 97) (i32.const 60000))",
    );
    cases.harmless(
        11,
        "keys-of-60-kb",
        Guest::new(body).memory(r#"(memory (export "memory") 128)"#),
    );

    let logged = |text: &str, length: usize| {
        let body = format!("(call $log (i32.const 0) (i32.const 600) (i32.const {length})) {NOTHING}");
        Guest::new(body)
            .imports(LOG)
            .items(format!(r#"(data (i32.const 600) "{text}")"#))
    };
    cases.harmless(
        11,
        "log-for-terminals",
        logged(r"a\1b]0;owned\07\1b[2J\nforged line", 29),
    );
    cases.harmless(11, "log-of-nuls", logged("", 400));
    cases.fails(11, "log-of-invalid-utf-8", logged(r"\ff\fe", 2), "malformed");
    let mebibyte = format!(
        "(memory.fill (i32.const 1048576) (i32.const 97) (i32.const 1048576)) (call $log (i32.const 1) (i32.const 1048576) (i32.const 1048576)) {NOTHING}"
    );
    let mebibyte = Guest::new(mebibyte)
        .imports(LOG)
        .memory(r#"(memory (export "memory") 64)"#);
    cases.harmless(11, "log-line-of-1-mib", mebibyte);
    let panic = r#"(data (i32.const 600) "\1b[2Jpanicked\0d\n\e2\80\ae")"#;
    let body = "(call $log (i32.const 0) (i32.const 600) (i32.const 17)) unreachable";
    cases.fails(
        11,
        "panic-for-terminals",
        Guest::new(body).imports(LOG).items(panic),
        "panic",
    );
    let error = r"(i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 65536)) (i32.store (i32.const 24) (i32.const 60000))
        (memory.fill (i32.const 65536) (i32.const 27) (i32.const 60000)) (i32.const 16)";
    cases.fails(11, "error-of-60-kb-for-terminals", Guest::new(error), "rule-error");
}

fn floods(cases: &mut Cases) {
    let times = |count: u32, body: &str| {
        format!(
            "(local $i i32) (local $refused i32)
            (loop $next
                (i32.store (i32.const 600) (local.get $i))
                {body}
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $i) (i32.const {count}))))"
        )
    };
    let line = times(5000, "(call $log (i32.const 2) (i32.const 98304) (i32.const 1000))");
    cases.harmless(12, "log-flood", Guest::new(line + NOTHING).imports(LOG));
    let errors = times(5000, "(call $log (i32.const 0) (i32.const 98304) (i32.const 1000))");
    cases.harmless(12, "log-flood-of-errors", Guest::new(errors + NOTHING).imports(LOG));
    let put = |key: u32, value: u32, until: &str| {
        let put = format!(
            "(call $put (i32.const 600) (i32.const {key}) (i32.const 65536) (i32.const {value}) (i64.const 5) (i64.const {until}))"
        );
        format!("(local.set $refused (i32.add (local.get $refused) (i32.eqz {put})))")
    };
    let must_be_refused = "(if (i32.eqz (local.get $refused)) (then unreachable))";
    // A key and a value beyond their caps are refused, and nothing else happens.
    let guest = |body: String| {
        Guest::new(body)
            .imports(STATE)
            .memory(r#"(memory (export "memory") 64)"#)
    };
    cases.harmless(
        12,
        "state-key-of-64-kib",
        guest(times(1, &put(64 << 10, 4, "9")) + must_be_refused + NOTHING),
    );
    let copied = guest(times(1, &put(1 << 20, 4, "9")) + NOTHING);
    cases.fails(12, "state-key-of-1-mib", copied, "malformed");
    cases.harmless(
        12,
        "state-value-of-128-kib",
        guest(times(1, &put(4, 128 << 10, "9")) + must_be_refused + NOTHING),
    );
    let copied = guest(times(1, &put(4, 2 << 20, "9")) + NOTHING);
    cases.fails(12, "state-value-of-2-mib", copied, "malformed");
    cases.harmless(
        12,
        "state-in-many-keys",
        guest(times(20_000, &put(4, 4, "9000")) + NOTHING),
    );
    cases.harmless(
        12,
        "state-that-is-over-at-once",
        guest(times(10_000, &put(4, 4, "5")) + NOTHING),
    );
    cases.harmless(
        12,
        "state-until-the-end-of-time",
        guest(times(1000, &put(4, 4, "9223372036854775807")) + NOTHING),
    );
    cases.fails(12, "state-without-end", guest(format!("(local $i i32) (local $refused i32) (loop $next (i32.store (i32.const 600) (local.get $i)) {} (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next)) {NOTHING}", put(4, 1000, "9000"))), "out-of-fuel");
    let timers = times(
        20_000,
        "(drop (call $set (i32.const 600) (i32.const 4) (i64.const 999999)))",
    );
    cases.harmless(12, "timers-20-000", Guest::new(timers + NOTHING).imports(TIMERS));
    let never = times(
        1000,
        "(drop (call $set (i32.const 600) (i32.const 4) (i64.const 9223372036854775807)))",
    );
    cases.harmless(
        12,
        "timers-at-the-end-of-time",
        Guest::new(never + NOTHING).imports(TIMERS),
    );
    let long_ago = times(
        1000,
        "(drop (call $set (i32.const 600) (i32.const 4) (i64.const -9223372036854775808)))",
    );
    cases.harmless(
        12,
        "timers-before-all-time",
        Guest::new(long_ago + NOTHING).imports(TIMERS),
    );
    // The clock only goes forward, whatever the rule says.
    let clock = "(call $delete (i32.const 600) (i32.const 4) (i64.const 9223372036854775807))
        (call $delete (i32.const 600) (i32.const 4) (i64.const -9223372036854775808))";
    cases.harmless(
        12,
        "clock-at-the-end-of-time",
        Guest::new(format!("{clock} {NOTHING}")).imports(STATE),
    );
}
