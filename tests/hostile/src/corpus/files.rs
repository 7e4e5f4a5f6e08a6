//! 1: files that are no component.

use super::Cases;
use crate::{Guest, NOTHING};

pub(super) fn cases(cases: &mut Cases) {
    let good = Guest::new(NOTHING).component();
    let preamble = b"\0asm\x0d\0\x01\0";
    cases.refused(1, "empty", Vec::new(), "empty");
    let foreign: [(&str, &[u8]); 11] = [
        ("one-nul", b"\0"),
        ("zeros", &[0; 1 << 20]),
        ("ones", &[0xff; 1 << 20]),
        ("elf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"),
        ("script", b"#!/bin/sh\nexit 0\n"),
        ("its-own-text", b"(component)"),
        ("html", b"<!DOCTYPE html><title>404</title>"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
        ("byte-order-mark", b"\xef\xbb\xbf\0asm\x0d\0\x01\0"),
        ("terminal-sequence", b"\x1b]0;owned\x07\x1b[2J"),
        ("magic-backwards", b"msa\0\x0d\0\x01\0"),
    ];
    for (name, bytes) in foreign {
        cases.refused(1, name, bytes, "not-wasm");
    }
    cases.refused(1, "core-module", wat::parse_str("(module)").unwrap(), "core-module");
    cases.refused(
        1,
        "core-module-with-a-tail",
        b"\0asm\x01\0\0\0garbage".as_slice(),
        "core-module",
    );
    let core = wat::parse_str(Guest::new(NOTHING).text()).unwrap();
    cases.refused(1, "core-module-of-the-contract", core, "core-module");

    let broken: [(&str, Vec<u8>); 8] = [
        ("magic-only", b"\0asm".to_vec()),
        ("half-a-version", b"\0asm\x0d\0".to_vec()),
        ("version-of-the-future", b"\0asm\x0e\0\x01\0".to_vec()),
        ("layer-of-the-future", b"\0asm\x0d\0\x02\0".to_vec()),
        (
            "section-longer-than-the-file",
            [&preamble[..], b"\x01\xff\xff\xff\xff\x0f"].concat(),
        ),
        ("length-without-an-end", [&preamble[..], b"\x01", &[0x80; 64]].concat()),
        ("section-that-does-not-exist", [&good[..], b"\x7f\x01\0"].concat()),
        ("twice-in-one-file", [&good[..], &good[..]].concat()),
    ];
    for (name, bytes) in broken {
        cases.refused(1, name, bytes, "invalid");
    }
    let count = [&preamble[..], b"\x07\x05\xff\xff\xff\xff\x0f"].concat();
    cases.refused(1, "count-beyond-the-section", count, "too-large");
    let third = good.len() / 3;
    for (name, cut) in [
        ("cut-at-9", 9),
        ("cut-at-a-third", third),
        ("cut-at-two-thirds", 2 * third),
        ("cut-before-the-last-byte", good.len() - 1),
    ] {
        cases.refused(1, name, &good[..cut], "invalid");
    }
    cases.refused(1, "tail", [&good[..], b"\0\0\0garbage"].concat(), "invalid");
    let mut garbled = good.clone();
    garbled.iter_mut().skip(40).step_by(7).for_each(|byte| *byte ^= 0x55);
    cases.refused(1, "garbled", garbled, "invalid");
    let mut zeroed = good.clone();
    zeroed.iter_mut().skip(200).take(64).for_each(|byte| *byte = 0);
    cases.refused(1, "page-of-zeros-within", zeroed, "invalid");
    cases.refused(1, "empty-component", "(component)", "no-detection");
    cases.harmless(1, "good", good);
}
