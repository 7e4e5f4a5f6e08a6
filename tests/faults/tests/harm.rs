//! A disk that fails or is full, a clock that jumps, a network that breaks: the daemon says so in words, and in the end everything
//! is there once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::time::{Duration, Instant};

use picket_e2e::Site;
use picket_faults::harm::{Disk, Failing, WallClock};
use picket_faults::oracle::{Oracle, examine, is_delivered, is_written};
use picket_faults::proxy::Fault;
use picket_faults::world::{HOOK, Set, World};
use serde_json::Value;

/// A small company's day, what must come of it, and what runs while it passes.
struct Day {
    world: World,
    oracle: Oracle,
    set: Set,
}

impl Day {
    /// One that has not begun, at a site that has not run yet.
    fn new() -> Self {
        let world = World::new(7, 1, 600);
        let oracle = Oracle::ask(&world);
        let set = world.set();
        oracle.prepare(&set.site);
        Day { world, oracle, set }
    }

    /// A piece of it passes; the daemon need not notice.
    fn pass(&self, share: f64) {
        self.set.site.duo.set_clock(self.world.at(share));
    }

    /// Everything that has happened so far has been collected.
    fn keep_up(&self, share: f64) {
        let site = &self.set.site;
        site.wait("everything to be collected", || {
            (site.duo.served() >= self.world.appeared(share)).then_some(())
        });
    }

    /// What `picket status` complains of.
    fn troubles(&self) -> Vec<String> {
        let status = &self.set.site.ndjson(&["status"])[0];
        let troubles = status["troubles"].as_array().cloned().unwrap_or_default();
        troubles.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn says(&self, words: &str) {
        self.set.site.wait(words, || {
            self.troubles()
                .iter()
                .any(|trouble| trouble.contains(words))
                .then_some(())
        });
    }

    fn is_delivered(&self) -> bool {
        is_delivered(&self.world, &self.set.site, &self.set.hook)
    }

    /// The rest of it passes undisturbed; everything must be there once.
    fn end_well(mut self) {
        self.world.finish(&self.set.site);
        self.set
            .site
            .wait("everything to be delivered", || self.is_delivered().then_some(()));
        self.set.site.stop();
        let Day { world, oracle, set } = self;
        let verdict = examine(&oracle, &world, &set.site, &set.hook);
        assert!(
            verdict.is_good() && verdict.alerts > 5,
            "{verdict:#?}\n{}",
            set.site.log()
        );
        let log = std::fs::read_to_string(set.site.path("err.log")).unwrap();
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn a_disk_whose_calls_fail() {
    let mut day = Day::new();
    day.set.site.run();
    let harms = [
        ("fsync,fdatasync", "EIO"),
        ("pwrite64,pwritev", "ENOSPC"),
        ("fsync,fdatasync,pwrite64", "EIO"),
    ];
    for (number, (calls, error)) in (1_u8..).zip(harms) {
        day.pass(f64::from(number) * 0.2 - 0.1);
        day.keep_up(f64::from(number) * 0.2 - 0.1);
        let Some(failing) = Failing::calls(&day.set.site, calls, error) else {
            return;
        };
        day.pass(f64::from(number) * 0.2);
        day.says("the journal took nothing");
        drop(failing);
        day.pass(f64::from(number) * 0.2 + 0.05);
    }
    day.end_well();
}

#[test]
fn a_disk_that_is_full_until_somebody_makes_room() {
    let mut day = Day::new();
    let Some(disk) = Disk::at(&day.set.site.path("data"), 200) else {
        return;
    };
    day.oracle.prepare(&day.set.site);
    day.set.site.run();
    day.pass(0.2);
    day.keep_up(0.2);
    disk.fill();
    day.pass(0.5);
    // It may go on a little with what it has laid by.
    let words = ["the journal took nothing", "disk", "room"];
    day.set.site.wait("words about the disk", || {
        let told = day.troubles();
        told.iter()
            .any(|trouble| words.iter().any(|word| trouble.contains(word)))
            .then_some(())
    });
    disk.resize(600);
    day.end_well();
}

#[test]
fn a_wall_clock_that_jumps_by_years() {
    let mut day = Day::new();
    let Some(clock) = WallClock::of(&mut day.set.site) else {
        return;
    };
    day.set.site.run();
    let began = Instant::now();
    for (step, offset) in (1_u8..).zip(["-6y", "+10y", "+0", "-1h", "+1h", "+10y", "-6y", "+0"]) {
        clock.set(offset);
        day.pass(f64::from(step) * 0.1);
        day.keep_up(f64::from(step) * 0.1);
    }
    // Stepping while it runs, faster than it polls.
    for step in 0..40 {
        clock.set(["+2h", "-2h", "+1y", "-1y"][step % 4]);
        std::thread::sleep(Duration::from_millis(25));
    }
    clock.set("+0");
    // Three logs, ten polls a second: a loop that does not wait asks hundreds of times as often.
    let status = day.set.site.duo.status();
    let requests = status["requests"].as_array().map_or(0, |requests| {
        requests
            .iter()
            .filter_map(|request| request["count"].as_u64())
            .sum::<u64>()
    });
    let most = (began.elapsed().as_secs() + 5) * 30 * 5;
    assert!(
        requests > 10 && requests < most,
        "{requests} requests, {most} would be odd"
    );
    day.end_well();
}

#[test]
fn a_daemon_that_starts_years_off_and_is_put_right() {
    let mut day = Day::new();
    let Some(clock) = WallClock::of(&mut day.set.site) else {
        return;
    };
    for (share, offset) in [(0.2, "-6y"), (0.5, "+10y")] {
        clock.set(offset);
        day.set.site.run();
        day.pass(share);
        day.keep_up(share);
        day.set.site.kill();
    }
    clock.set("+0");
    day.set.site.run();
    day.end_well();
}

#[test]
fn a_network_that_breaks_in_every_way() {
    let mut day = Day::new();
    day.set.site.run();
    let faults = [
        (Fault::Reset, true),
        (Fault::HalfClose, true),
        (Fault::Truncate(3_000), true),
        (Fault::Truncate(40_000), false),
        (Fault::Delay(Duration::from_millis(150)), false),
        (Fault::Stall, false),
    ];
    for (number, (fault, is_told)) in (1_u8..).zip(faults) {
        // What is open is cut off: new connections meet what is in force.
        day.set.duo.set(Fault::Reset);
        std::thread::sleep(Duration::from_millis(50));
        day.set.duo.set(fault);
        day.pass(f64::from(number) * 0.14);
        if is_told {
            day.says("127.0.0.1");
        } else {
            std::thread::sleep(Duration::from_millis(500));
        }
        day.set.duo.set(Fault::None);
        day.pass(f64::from(number) * 0.14 + 0.05);
        day.keep_up(f64::from(number) * 0.14 + 0.05);
    }
    day.end_well();
}

#[test]
fn a_network_to_a_receiver_that_breaks_in_every_way() {
    let mut day = Day::new();
    day.set.site.run();
    // How often the webhook was tried in vain, in a row.
    let attempts = |site: &Site| {
        let sinks = site.ndjson(&["outbox", "list", "--sink", HOOK]);
        sinks[0]["attempts"].as_u64().unwrap()
    };
    let mut share = 0.6;
    for fault in [Fault::Reset, Fault::HalfClose, Fault::Truncate(20), Fault::Stall] {
        day.set.way.set(Fault::Reset);
        std::thread::sleep(Duration::from_millis(50));
        day.set.way.set(fault);
        day.pass(share);
        day.keep_up(share);
        // The other sink does not notice.
        day.set.site.wait("the alerts in the file", || {
            is_written(&day.world, &day.set.site).then_some(())
        });
        let before = attempts(&day.set.site);
        // Of these the answer alone is always cut: the receiver gets what is sent, once more with each try.
        let least = if matches!(fault, Fault::Truncate(_)) { 2 } else { 0 };
        day.set.site.wait("one more try in vain", || {
            // Not when its patience is over, but now.
            let _ = day.set.site.picket(&["outbox", "retry", "--sink", HOOK]);
            (attempts(&day.set.site) > before && day.set.hook.posted().len() >= least).then_some(())
        });
        day.says(HOOK);
        share += 0.05;
    }
    // What was taken, and whose answer was not heard, is given again; nothing that comes after it is.
    let posted = day.set.hook.posted();
    assert!(
        posted.len() > 1 && posted.iter().all(|one| one.id == posted[0].id),
        "{posted:#?}"
    );
    assert!(!day.is_delivered());
    day.set.way.set(Fault::Reset);
    std::thread::sleep(Duration::from_millis(50));
    day.set.way.set(Fault::Delay(Duration::from_millis(50)));
    let _ = day.set.site.picket(&["outbox", "retry", "--sink", HOOK]);
    day.end_well();
}
