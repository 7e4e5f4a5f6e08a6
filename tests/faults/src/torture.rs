//! Kills the daemon at random moments, again and again, while a day of events comes in; then asks the oracle.
//!
//! The day is cut into as many pieces as there are lives, so that each life has something to do however many there are. Most
//! lives end while their piece is being collected, judged and delivered; one in six ends while the daemon is still starting on
//! what the life before left behind. A life with a failpoint kills itself there, where the code comes by; one that does not come
//! by in time is killed like the others and counted apart.

use std::time::{Duration, Instant};

use picket_e2e::Site;
use picket_failpoint::Point;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::oracle::{Oracle, Verdict, examine, is_delivered};
use crate::proxy::Proxy;
use crate::world::{Set, World};

/// How long a life lasts at most once it has turned to Duo, ms.
const LIFE: u64 = 400;
/// How long a life with a failpoint may last, from its first turn to Duo.
const LONG_LIFE: Duration = Duration::from_secs(3);
/// From one time that it is led to its failpoint to the next.
const AGAIN: Duration = Duration::from_millis(700);
/// From one step of Duo's clock to the next.
const STEP: Duration = Duration::from_millis(10);
/// How long a restarted daemon may take to turn to Duo at all, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done to it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often it is killed.
    pub kills: usize,
    /// What every moment follows from.
    pub seed: u64,
    /// Where it kills itself; none: anywhere.
    pub failpoint: Option<Point>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How often it was killed.
    pub kills: usize,
    /// Of those, how often a failpoint did it.
    pub at_failpoint: usize,
    /// What the oracle says.
    pub verdict: Verdict,
    /// From each start on what there was to the first turn to Duo. The very first start is none: it compiles the rules.
    pub restarts: Vec<Duration>,
}

impl Report {
    /// This share of restarts was faster.
    #[must_use]
    pub fn restart(&self, share: f64) -> Duration {
        let mut sorted = self.restarts.clone();
        sorted.sort_unstable();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list"
        )]
        let place = (sorted.len().saturating_sub(1) as f64 * share) as usize;
        sorted.get(place).copied().unwrap_or_default()
    }
}

/// Does it. `tell` hears of every kill: its number and how many rows Duo has sent.
///
/// # Panics
/// The daemon ends by itself, panics, or does not come to an end of its work; with its last words.
pub fn torture(plan: &Plan, world: &World, oracle: &Oracle, mut tell: impl FnMut(usize, u64)) -> Report {
    let Set {
        mut site,
        duo: proxy,
        way: _way,
        hook,
    } = world.set();
    oracle.prepare(&site);
    let mut dice = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut report = Report::default();
    if let Some(point) = plan.failpoint {
        // With some luck at the first, the second or the tenth time that it comes by, but sure enough where it rarely does.
        let luck = match point {
            Point::SendAfter | Point::MarkBefore | Point::ReloadMiddle | Point::MaintenanceMiddle => 60,
            _ => 20,
        };
        site.set("FAILPOINTS", &format!("{}={luck}%return", point.name()));
    }
    let mut has_begun = false;
    for kill in 0..plan.kills {
        let share = |part: f64| {
            #[allow(clippy::cast_precision_loss, reason = "a share of the day")]
            let whole = plan.kills as f64;
            #[allow(clippy::cast_precision_loss, reason = "a share of the day")]
            let so_far = kill as f64;
            // The last piece is left for the life that nobody ends.
            (so_far + part) / whole * 0.98
        };
        live(&mut site, &proxy, world, plan.failpoint, &mut dice, &share, &mut report);
        if !has_begun {
            has_begun = !report.restarts.is_empty();
            report.restarts.clear();
        }
        report.kills += 1;
        tell(report.kills, site.duo.served());
    }
    site.unset("FAILPOINTS");
    let began = Instant::now();
    site.run();
    report.restarts.extend(first_turn(&mut site, &proxy, began));
    world.finish(&site);
    site.wait("everything to be delivered", || {
        is_delivered(world, &site, &hook).then_some(())
    });
    site.stop();
    let log = std::fs::read_to_string(site.path("err.log")).unwrap_or_default();
    assert!(!log.contains("panicked"), "{log}");
    report.verdict = examine(oracle, world, &site, &hook);
    report
}

/// One life: the daemon starts, a piece of the day passes, it dies.
fn live(
    site: &mut Site,
    proxy: &Proxy,
    world: &World,
    failpoint: Option<Point>,
    dice: &mut ChaCha8Rng,
    share: &dyn Fn(f64) -> f64,
    report: &mut Report,
) {
    let began = Instant::now();
    site.start();
    if failpoint.is_none() && dice.random_range(0..6) == 0 {
        std::thread::sleep(Duration::from_millis(dice.random_range(0..300)));
        site.kill();
        return;
    }
    // A failpoint may be on the way of starting.
    let Some(restart) = first_turn(site, proxy, began) else {
        report.at_failpoint += 1;
        site.kill();
        return;
    };
    report.restarts.push(restart);
    let life = Duration::from_millis(dice.random_range(0..LIFE));
    let lives = Instant::now();
    let mut provoked: Option<Instant> = None;
    loop {
        let passed = lives.elapsed();
        let of = if failpoint.is_some() {
            Duration::from_millis(LIFE)
        } else {
            life
        };
        site.duo
            .set_clock(world.at(share((passed.as_secs_f64() / of.as_secs_f64().max(0.001)).min(1.0))));
        match failpoint {
            None if passed >= life => break,
            Some(_) if site.has_ended() => {
                report.at_failpoint += 1;
                break;
            }
            Some(_) if passed >= LONG_LIFE => break,
            Some(point) if provoked.is_none_or(|at| at.elapsed() >= AGAIN) => {
                provoked = Some(Instant::now());
                provoke(site, point);
            }
            _ => {}
        }
        std::thread::sleep(STEP.min(life));
    }
    site.kill();
    site.duo.set_clock(world.at(share(1.0)));
}

/// Has the code come by where it does not by itself.
fn provoke(site: &Site, point: Point) {
    let (on, off) = match point {
        // Judged otherwise: everybody is swapped.
        Point::ReloadMiddle => ("alerts: {clear_numbers: true}\n", "alerts: {clear_numbers: false}\n"),
        // Kept otherwise: what is old is looked for at once, and the ids of yesterday's rows go.
        Point::MaintenanceMiddle => ("retention: {alerts: 500d}\n", "retention: {alerts: 501d}\n"),
        _ => return,
    };
    let again = site.path("picket.yaml");
    let text = std::fs::read_to_string(&again).unwrap();
    let text = match (text.contains(on), text.contains(off)) {
        (true, _) => text.replace(on, off),
        (_, true) => text.replace(off, on),
        _ => format!("{text}{off}"),
    };
    std::fs::write(again, text).unwrap();
    site.signal(nix::sys::signal::Signal::SIGHUP);
}

/// From the start to the first turn to Duo; none: it has died on the way.
fn first_turn(site: &mut Site, proxy: &Proxy, began: Instant) -> Option<Duration> {
    loop {
        if let Some(at) = proxy.first_since(began) {
            return Some(at - began);
        }
        if site.has_ended() {
            return None;
        }
        assert!(began.elapsed() < PATIENCE, "it never turns to Duo:\n{}", site.log());
        std::thread::sleep(Duration::from_millis(1));
    }
}
