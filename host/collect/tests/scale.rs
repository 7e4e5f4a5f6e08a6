//! A thousand accounts with three logs each in one process: little memory, few wake-ups, no thread of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod common;

use std::sync::atomic::Ordering;

use common::{FakeDuo, FakeJournal, MINUTE, TestClock, settings, start_as};
use picket_duo::Log;

const ACCOUNTS: usize = 1_000;
const LOGS: [Log; 3] = [Log::Authentication, Log::Activity, Log::Telephony];

/// Of `/proc/self/status`, kB.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn three_thousand_logs_take_little_room_and_sleep_most_of_the_time() {
    let clock = TestClock::new();
    let duo = FakeDuo::new(&clock, 1);
    let settings = picket_collect::Settings {
        stagger: 2 * MINUTE,
        ..settings()
    };
    let threads = status("Threads:");
    let before = status("VmRSS:");
    let mut running = Vec::new();
    for account in 0..ACCOUNTS {
        let journal = FakeJournal::new(account as u64);
        running.push(start_as(&format!("account-{account}"), &LOGS, settings, &duo, &journal));
    }
    clock.run(6 * MINUTE).await;
    duo.asked.lock().unwrap().clear();
    clock.sleeps.store(0, Ordering::Relaxed);
    clock.run(10 * MINUTE).await;
    let room = (status("VmRSS:") - before) / (ACCOUNTS * LOGS.len());
    let calls = duo.asked.lock().unwrap().len();
    let sleeps = clock.sleeps.load(Ordering::Relaxed) as usize;
    println!("{room} kB a log, journal and double of Duo included; {calls} calls and {sleeps} sleeps in ten minutes");
    assert!(room <= 12, "{room} kB a log");
    assert_eq!(calls, ACCOUNTS * LOGS.len() * 5, "one call in two minutes");
    // A sleep for each poll, and one a minute for the account's look at its logs.
    assert!(sleeps <= calls + ACCOUNTS * 11, "{sleeps}");
    assert_eq!(status("Threads:"), threads);
    for account in running {
        account.kill().await;
    }
}
