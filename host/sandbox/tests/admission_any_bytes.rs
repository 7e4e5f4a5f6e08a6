//! Whatever the bytes are: an answer, in time and memory that grow with them at worst, and never a panic.
//!
//! Real modules are damaged in every way that copying, truncating and malice would: bytes changed, sections cut out, doubled
//! and exchanged, lengths made absurd. Then the worst that still fits the limits is tried, where every item costs the
//! reader as much as an item can.
#![allow(
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]
mod support;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use picket_sandbox::{Engine, Limits, Rejected};
use proptest::prelude::*;
use support::{component, engine, module};

const NOTHING: &str = "(i32.const 16)";
/// A wall, generously: damaged modules take microseconds, the worst under a second in a release build.
const WALL: Duration = Duration::from_secs(20);

/// A rule that the SDK built, and one that is as small as they come.
fn real() -> &'static [Vec<u8>; 2] {
    static REAL: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    REAL.get_or_init(|| {
        let released = include_bytes!("../../../tests/contracts/picket-rule-1.0.0.wasm");
        [released.to_vec(), component(&module(NOTHING))]
    })
}

fn shared() -> &'static Engine {
    static SHARED: OnceLock<Engine> = OnceLock::new();
    SHARED.get_or_init(engine)
}

fn inspected(bytes: &[u8]) -> Result<(), Rejected> {
    let began = Instant::now();
    let answer = shared().inspect(bytes).map(|_| ());
    let took = began.elapsed();
    assert!(took < WALL, "{} bytes took {took:?}", bytes.len());
    if let Err(rejected) = &answer {
        let said = rejected.line();
        assert!(said.len() < 1000, "{said}");
        assert!(!said.chars().any(char::is_control), "{said:?}");
        assert!(said.starts_with(&format!("{}: ", rejected.code())));
    }
    answer
}

/// One way of damaging a file.
#[derive(Debug, Clone)]
enum Damage {
    /// Another byte at a place (in ten-thousandths of the length).
    Byte(u32, u8),
    /// A length that says nearly four thousand million.
    Length(u32),
    Cut(u32),
    Remove(u32, u16),
    Double(u32, u16),
    Move(u32, u32, u16),
    Insert(u32, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0..10_000_u32;
    let length = prop_oneof![1..16_u16, 1..4000_u16];
    prop_oneof![
        4 => (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => place.clone().prop_map(Damage::Length),
        1 => place.clone().prop_map(Damage::Cut),
        1 => (place.clone(), length.clone()).prop_map(|(at, length)| Damage::Remove(at, length)),
        1 => (place.clone(), length.clone()).prop_map(|(at, length)| Damage::Double(at, length)),
        1 => (place.clone(), place.clone(), length).prop_map(|(from, to, length)| Damage::Move(from, to, length)),
        1 => (place, proptest::collection::vec(any::<u8>(), 1..64)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let length = bytes.len();
        let at = |place: u32| (length * place as usize / 10_000).min(length);
        let part = |place: u32, most: u16| at(place)..(at(place) + usize::from(most)).min(length);
        match damage {
            Damage::Byte(place, byte) => {
                if let Some(found) = bytes.get_mut(at(*place)) {
                    *found = *byte;
                }
            }
            Damage::Length(place) => {
                let range = part(*place, 5);
                bytes.splice(range, [0xff, 0xff, 0xff, 0xff, 0x0e]);
            }
            Damage::Cut(place) => bytes.truncate(at(*place)),
            Damage::Remove(place, most) => drop(bytes.drain(part(*place, *most))),
            Damage::Double(place, most) => {
                let part = part(*place, *most);
                let copy = bytes[part.clone()].to_vec();
                bytes.splice(part.start..part.start, copy);
            }
            Damage::Move(from, to, most) => {
                let part: Vec<u8> = bytes[part(*from, *most)].to_vec();
                let to = at(*to);
                bytes.splice(to..to, part);
            }
            Damage::Insert(place, more) => {
                let to = at(*place);
                bytes.splice(to..to, more.iter().copied());
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_modules_get_an_answer(which in 0..2_usize, damages in proptest::collection::vec(damage(), 1..6)) {
        let _ = inspected(&damaged(real()[which].clone(), &damages));
    }

    #[test]
    fn random_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..4000), header in 0..3_usize) {
        let headers: [&[u8]; 3] = [b"", b"\0asm\x0d\0\x01\0", b"\0asm\x01\0\0\0"];
        prop_assert!(inspected(&[headers[header], &bytes].concat()).is_err());
    }
}

#[test]
fn every_beginning_of_a_module_is_refused() {
    for real in real() {
        for end in (0..real.len()).step_by(1 + real.len() / 3000) {
            // A component that ends between two sections is whole. It lacks its world, or names that nobody needs.
            match inspected(&real[..end]) {
                Ok(()) => assert_eq!(real[end], 0, "{end}: what is cut away is a custom section"),
                Err(refused) => {
                    let expected = ["empty", "not-wasm", "invalid", "no-detection"];
                    assert!(expected.contains(&refused.code()), "{end}: {refused}");
                }
            }
        }
    }
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// An index where a type may stand as well: signed.
fn index(number: usize) -> Vec<u8> {
    let mut bytes = leb(number);
    if let Some(last) = bytes.last_mut().filter(|last| **last >= 0x40) {
        *last |= 0x80;
        bytes.push(0);
    }
    bytes
}

fn section(id: u8, count: usize, items: &[u8]) -> Vec<u8> {
    let count = leb(count);
    [&[id][..], &leb(count.len() + items.len()), &count, items].concat()
}

/// A rule with these sections behind its own.
fn with(sections: &[Vec<u8>]) -> Vec<u8> {
    [real()[1].as_slice(), &sections.concat()].concat()
}

/// A rule with a further component of these sections inside, which has an index space of its own.
fn inside(sections: &[Vec<u8>]) -> Vec<u8> {
    let component = [&b"\0asm\x0d\0\x01\0"[..], &sections.concat()].concat();
    with(&[[&[4][..], &leb(component.len()), &component].concat()])
}

/// A rule with a further core module of these sections.
fn around(sections: &[Vec<u8>]) -> Vec<u8> {
    let module = [b"\0asm\x01\0\0\0", sections.concat().as_slice()].concat();
    with(&[[&[1][..], &leb(module.len()), &module].concat()])
}

/// The worst of each kind that the limits let through to the validator, or nearly so, in a rule that is otherwise well. Whether it
/// is refused is the limits' affair; what matters here is that it is answered soon, and within memory.
#[test]
fn the_worst_that_fits_the_limits_is_answered_soon() {
    const MIB: usize = 1 << 20;
    let functions = |bodies: usize, body: &[u8], types: Vec<u8>| {
        let body = [&leb(body.len()), body].concat();
        around(&[
            types,
            section(3, bodies, &vec![0; bodies]),
            section(10, bodies, &body.repeat(bodies)),
        ])
    };
    let nothing = || section(1, 1, &[0x60, 0, 0]);
    // Calls of 120 parameters each, taken from nothing behind an `unreachable`, two bytes a block.
    let wide = section(1, 1, &[&[0x60, 120][..], &[0x7f; 120], &[16], &[0x7f; 16]].concat());
    let calls = [&[0, 0x00][..], &[0x10, 0, 0x1a].repeat(30_000), &[0x0b]].concat();
    // Blocks one inside the other up to the limit, again and again.
    let blocks = [
        &[0][..],
        &[[0x02, 0x40].repeat(1999), [0x0b].repeat(1999)].concat().repeat(20),
        &[0x0b],
    ]
    .concat();
    // Nested types of components, a byte each.
    let nested = |depth: usize| {
        let mut ty = vec![0x42, 0];
        for _ in 0..depth {
            ty = [&[0x42, 1, 1][..], &ty].concat();
        }
        with(&[section(7, 1, &ty)])
    };
    let record = |fields: usize| {
        let field = |number: usize| [&[5][..], format!("f{number:04}").as_bytes(), &[0x79]].concat();
        let fields: Vec<u8> = (0..fields).flat_map(field).collect();
        [&[0x72][..], &leb(fields.len() / 7), &fields].concat()
    };
    // Types that double what they are made of.
    let doubling: Vec<u8> = (0..60_u8)
        .flat_map(|number| {
            let before = number.saturating_sub(1);
            if number == 0 {
                vec![0x79]
            } else {
                [&[0x6f, 16][..], &[before; 16]].concat()
            }
        })
        .collect();
    let worst: Vec<(&str, Vec<u8>)> = vec![
        (
            "eight MiB of nops",
            functions(31, &[&[0][..], &[0x01].repeat(255 << 10), &[0x0b]].concat(), nothing()),
        ),
        ("calls of many parameters", functions(80, &calls, wide)),
        ("blocks", functions(60, &blocks, nothing())),
        ("19,900 functions", functions(19_900, &[0, 0x0b], nothing())),
        (
            "locals in groups",
            functions(
                40,
                &[&leb(20_000)[..], &[1, 0x7f].repeat(20_000), &[0x0b]].concat(),
                nothing(),
            ),
        ),
        (
            "4900 types of 120 parameters",
            around(&[section(
                1,
                4900,
                &[&[0x60, 120][..], &[0x7f; 120], &[0]].concat().repeat(4900),
            )]),
        ),
        (
            "a group of types in one item",
            around(&[section(
                1,
                1,
                &[&[0x4e][..], &leb(300_000), &[0x60, 0, 0].repeat(300_000)].concat(),
            )]),
        ),
        (
            "exports of one function",
            around(&[
                nothing(),
                section(3, 1, &[0]),
                section(
                    7,
                    1000,
                    &(0..1000)
                        .flat_map(|n: usize| [&leb(500)[..], format!("{n:0500}").as_bytes(), &[0, 0]].concat())
                        .collect::<Vec<u8>>(),
                ),
                section(10, 1, &[2, 0, 0x0b]),
            ]),
        ),
        (
            "names",
            with(&[[&[0][..], &leb(3 * MIB), &[4], b"name", &vec![b'x'; 3 * MIB - 5]].concat()]),
        ),
        ("types inside types", nested(90)),
        ("types inside types, too deep", nested(7_000)),
        (
            "a chain of lists",
            inside(&[section(
                7,
                4900,
                &(0..4900)
                    .flat_map(|number: usize| {
                        if number == 0 {
                            vec![0x70, 0x79]
                        } else {
                            [&[0x70][..], &index(number - 1)].concat()
                        }
                    })
                    .collect::<Vec<u8>>(),
            )]),
        ),
        (
            "a chain of records",
            inside(&[section(
                7,
                4900,
                &(0..4900)
                    .flat_map(|number: usize| {
                        let before = if number == 0 { vec![0x79] } else { index(number - 1) };
                        [&[0x72, 1, 1, b'f'][..], &before].concat()
                    })
                    .collect::<Vec<u8>>(),
            )]),
        ),
        ("a record of 9000 fields", inside(&[section(7, 1, &record(9000))])),
        ("records", inside(&[section(7, 100, &record(1000).repeat(100))])),
        ("types that double", inside(&[section(7, 60, &doubling)])),
        ("4900 instances", with(&[section(5, 4900, &[1, 0].repeat(4900))])),
        (
            "elements",
            around(&[
                nothing(),
                section(3, 1, &[0]),
                section(4, 1, &[0x70, 0, 10]),
                section(
                    9,
                    1,
                    &[&[0, 0x41, 0, 0x0b][..], &leb(49_000), &vec![0; 49_000]].concat(),
                ),
                section(10, 1, &[2, 0, 0x0b]),
            ]),
        ),
    ];
    let before = peak_kib();
    for (what, bytes) in &worst {
        let began = Instant::now();
        let answer = inspected(bytes).map_or_else(|refused| refused.line(), |()| "admitted".to_owned());
        let took = began.elapsed().as_secs_f64() * 1e3;
        println!("{what}: {} KiB, {took:.0} ms: {answer}", bytes.len() >> 10);
    }
    let grown = peak_kib().saturating_sub(before);
    println!("peak memory grew by {grown} KiB");
    assert!(grown < 256 << 10, "admission took {grown} KiB");
}

/// Most memory that this process ever had, KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok())
        .unwrap_or_default()
}

/// Every limit is met by a module at it, and passed by one more: what is counted is what is said.
#[test]
fn what_is_shipped_stays_well_below_every_limit() {
    // Few of these are in a rule by nature, and more do not come with more code.
    let structural = [
        "core modules:",
        "core instances:",
        "tables:",
        "pages of 64 KiB",
        "exported memories:",
    ];
    for real in real() {
        for size in shared().inspect(real).unwrap() {
            let share = if structural.iter().any(|what| size.what.starts_with(what)) {
                1
            } else {
                8
            };
            assert!(
                size.found * share <= size.limit,
                "{} {} of {}",
                size.what,
                size.found,
                size.limit
            );
        }
    }
    let limits = Limits::default();
    assert_eq!(shared().most_bytes(), limits.module.bytes as u64);
}
