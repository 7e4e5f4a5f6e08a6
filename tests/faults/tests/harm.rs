//! A disk that fails or is full, a clock that jumps, a network that breaks: the daemon says so in words, and in the end everything
//! is there once.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::time::{Duration, Instant};

use picket_e2e::{Hook, Site};
use picket_faults::harm::{Disk, Failing, WallClock};
use picket_faults::oracle::{Oracle, examine, is_delivered, is_written};
use picket_faults::proxy::Fault;
use picket_faults::world::{HOOK, Set, World};
use serde_json::Value;

/// A small company's day, what must come of it, and a site that has not run yet.
fn set() -> (World, Oracle, Set) {
    let world = World::new(7, 1, 600);
    let oracle = Oracle::ask(&world);
    let set = world.set();
    oracle.prepare(&set.site);
    (world, oracle, set)
}

/// A piece of the day passes; the daemon need not notice.
fn pass(world: &World, site: &Site, share: f64) {
    site.duo.set_clock(world.at(share));
}

/// Everything that has happened so far has been collected.
fn keep_up(world: &World, site: &Site, share: f64) {
    site.wait("everything to be collected", || {
        (site.duo.served() >= world.appeared(share)).then_some(())
    });
}

/// What `picket status` complains of.
fn troubles(site: &Site) -> Vec<String> {
    let status = &site.ndjson(&["status"])[0];
    let troubles = status["troubles"].as_array().cloned().unwrap_or_default();
    troubles.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn says(site: &Site, words: &str) {
    site.wait(words, || {
        troubles(site)
            .iter()
            .any(|trouble| trouble.contains(words))
            .then_some(())
    });
}

/// The rest of the day passes undisturbed; everything must be there once.
fn end_well(world: &World, oracle: &Oracle, mut site: Site, hook: &Hook) {
    world.finish(&site);
    site.wait("everything to be delivered", || {
        is_delivered(world, &site, hook).then_some(())
    });
    site.stop();
    let verdict = examine(oracle, world, &site, hook);
    assert!(verdict.is_good() && verdict.alerts > 5, "{verdict:#?}\n{}", site.log());
    let log = std::fs::read_to_string(site.path("err.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_disk_whose_calls_fail() {
    let (world, oracle, set) = set();
    let Set {
        mut site,
        duo: _duo,
        way: _way,
        hook,
    } = set;
    site.run();
    let harms = [
        ("fsync,fdatasync", "EIO"),
        ("pwrite64,pwritev", "ENOSPC"),
        ("fsync,fdatasync,pwrite64", "EIO"),
    ];
    for (number, (calls, error)) in (1_u8..).zip(harms) {
        pass(&world, &site, f64::from(number) * 0.2 - 0.1);
        keep_up(&world, &site, f64::from(number) * 0.2 - 0.1);
        let Some(failing) = Failing::calls(&site, calls, error) else {
            return;
        };
        pass(&world, &site, f64::from(number) * 0.2);
        says(&site, "the journal took nothing");
        drop(failing);
        pass(&world, &site, f64::from(number) * 0.2 + 0.05);
    }
    end_well(&world, &oracle, site, &hook);
}

#[test]
fn a_disk_that_is_full_until_somebody_makes_room() {
    let (world, oracle, set) = set();
    let Set {
        mut site,
        duo: _duo,
        way: _way,
        hook,
    } = set;
    let Some(disk) = Disk::at(&site.path("data"), 200) else {
        return;
    };
    oracle.prepare(&site);
    site.run();
    pass(&world, &site, 0.2);
    keep_up(&world, &site, 0.2);
    disk.fill();
    pass(&world, &site, 0.5);
    // It may go on a little with what it has laid by.
    let words = ["the journal took nothing", "disk", "room"];
    site.wait("words about the disk", || {
        let told = troubles(&site);
        told.iter()
            .any(|trouble| words.iter().any(|word| trouble.contains(word)))
            .then_some(())
    });
    disk.resize(600);
    end_well(&world, &oracle, site, &hook);
}

#[test]
fn a_wall_clock_that_jumps_by_years() {
    let (world, oracle, set) = set();
    let Set {
        mut site,
        duo: _duo,
        way: _way,
        hook,
    } = set;
    let Some(clock) = WallClock::of(&mut site) else { return };
    site.run();
    let began = Instant::now();
    for (step, offset) in (1_u8..).zip(["-6y", "+10y", "+0", "-1h", "+1h", "+10y", "-6y", "+0"]) {
        clock.set(offset);
        pass(&world, &site, f64::from(step) * 0.1);
        keep_up(&world, &site, f64::from(step) * 0.1);
    }
    // Stepping while it runs, faster than it polls.
    for step in 0..40 {
        clock.set(["+2h", "-2h", "+1y", "-1y"][step % 4]);
        std::thread::sleep(Duration::from_millis(25));
    }
    clock.set("+0");
    // Three logs, ten polls a second: a loop that does not wait asks hundreds of times as often.
    let status = site.duo.status();
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
    end_well(&world, &oracle, site, &hook);
}

#[test]
fn a_daemon_that_starts_years_off_and_is_put_right() {
    let (world, oracle, set) = set();
    let Set {
        mut site,
        duo: _duo,
        way: _way,
        hook,
    } = set;
    let Some(clock) = WallClock::of(&mut site) else { return };
    for (share, offset) in [(0.2, "-6y"), (0.5, "+10y")] {
        clock.set(offset);
        site.run();
        pass(&world, &site, share);
        keep_up(&world, &site, share);
        site.kill();
    }
    clock.set("+0");
    site.run();
    end_well(&world, &oracle, site, &hook);
}

#[test]
fn a_network_that_breaks_in_every_way() {
    let (world, oracle, set) = set();
    let Set {
        mut site,
        duo: proxy,
        way: _way,
        hook,
    } = set;
    site.run();
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
        proxy.set(Fault::Reset);
        std::thread::sleep(Duration::from_millis(50));
        proxy.set(fault);
        pass(&world, &site, f64::from(number) * 0.14);
        if is_told {
            says(&site, "127.0.0.1");
        } else {
            std::thread::sleep(Duration::from_millis(500));
        }
        proxy.set(Fault::None);
        pass(&world, &site, f64::from(number) * 0.14 + 0.05);
        keep_up(&world, &site, f64::from(number) * 0.14 + 0.05);
    }
    end_well(&world, &oracle, site, &hook);
}

#[test]
fn a_network_to_a_receiver_that_breaks_in_every_way() {
    let (world, oracle, set) = set();
    let Set {
        mut site,
        duo: _duo,
        way,
        hook,
    } = set;
    site.run();
    // How often the webhook was tried in vain, in a row.
    let attempts = |site: &Site| {
        let sinks = site.ndjson(&["outbox", "list", "--sink", HOOK]);
        sinks[0]["attempts"].as_u64().unwrap()
    };
    let mut share = 0.6;
    for fault in [Fault::Reset, Fault::HalfClose, Fault::Truncate(20), Fault::Stall] {
        way.set(Fault::Reset);
        std::thread::sleep(Duration::from_millis(50));
        way.set(fault);
        pass(&world, &site, share);
        keep_up(&world, &site, share);
        // The other sink does not notice.
        site.wait("the alerts in the file", || is_written(&world, &site).then_some(()));
        let before = attempts(&site);
        site.wait("one more try in vain", || {
            // Not when its patience is over, but now.
            let _ = site.picket(&["outbox", "retry", "--sink", HOOK]);
            (attempts(&site) > before).then_some(())
        });
        says(&site, HOOK);
        share += 0.05;
    }
    // What was taken, and whose answer was not heard, is given again; nothing that comes after it is.
    let posted = hook.posted();
    assert!(
        posted.len() > 1 && posted.iter().all(|one| one.id == posted[0].id),
        "{posted:#?}"
    );
    assert!(!is_delivered(&world, &site, &hook));
    way.set(Fault::Reset);
    std::thread::sleep(Duration::from_millis(50));
    way.set(Fault::Delay(Duration::from_millis(50)));
    let _ = site.picket(&["outbox", "retry", "--sink", HOOK]);
    end_well(&world, &oracle, site, &hook);
}
