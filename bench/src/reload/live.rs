//! How soon a changed file judges: a real `picket run` with all stock rules, which has collected what a company did in a day
//! from a simulator that is idle since.
//!
//! Each time one module is put in place with another digest (a custom section more, so that nothing else changes), by a rename,
//! as `cargo xtask rules` does it. The clock stops at the daemon's line that its rules are swapped. That includes the watcher's
//! wait until the file has settled, compiling, the module's own timed cases in the sandbox, and the shadow run of it and of the
//! version before over the last 10,000 stored events.

use std::path::Path;
use std::time::{Duration, Instant};

use duo_simulator::company::{Options as CompanyOptions, generate};
use duo_simulator::server::{Options, Simulator};
use picket_store::{SqliteStore, Store as _};

use crate::daemon::Daemon;

const CHANGES: u32 = 40;
const CHANGED: &str = "push-abuse.wasm";
const SWAPPED: &str = "rules swapped";
/// How long collecting them may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Events that are to be stored of the last day: more than a shadow run reads.
const STORED: usize = 12_000;

/// From the file's rename to the swap, for every change.
///
/// # Errors
/// The daemon or the simulator cannot be had, or a change is not taken up.
pub(super) async fn changes(picket: &Path, stock: &Path) -> anyhow::Result<Vec<Duration>> {
    let quiet = CompanyOptions {
        target_events: Some(STORED + 1000),
        plant: false,
        ..CompanyOptions::default()
    };
    let account = generate(&quiet);
    let (ikey, skey) = (account.ikey.clone(), account.skey.clone());
    let duo = Simulator::start(Options::new(vec![account])).await?;
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    let rules = root.join("rules");
    std::fs::create_dir(&rules)?;
    for entry in stock.read_dir()? {
        let path = entry?.path();
        if let Some(name) = path
            .file_name()
            .filter(|_| path.extension().is_some_and(|extension| extension == "wasm"))
        {
            std::fs::copy(&path, rules.join(name))?;
        }
    }
    std::fs::write(root.join("ca.pem"), duo.ca_pem())?;
    let config = format!(
        "data_dir: ./data\nrules_dir: ./rules\ntenant: acme\nsource:\n  type: duo\n  api_hostname: \"{}\"\n  \
         integration_key: {ikey}\n  secret_key: ${{BENCH_SECRET}}\n  ca_file: ./ca.pem\n  poll_interval: 1\n  \
         collect: [authentication, activity, telephony]\n",
        duo.host()
    );
    std::fs::write(root.join("picket.yaml"), config)?;
    let (picket, stock) = (picket.to_owned(), stock.to_owned());
    let took = tokio::task::spawn_blocking(move || {
        let daemon = Daemon::start(&picket, directory.path(), &skey)?;
        wait_for_events(&directory.path().join("data"))?;
        let bytes = std::fs::read(stock.join(CHANGED))?;
        let target = rules.join(CHANGED);
        let mut took = Vec::new();
        // The first change waits for the start and warms up.
        for number in 0..=CHANGES {
            let fresh = rules.join(".fresh");
            std::fs::write(&fresh, with_mark(&bytes, number))?;
            let began = Instant::now();
            std::fs::rename(&fresh, &target)?;
            daemon.wait_for(SWAPPED)?;
            if number > 0 {
                took.push(began.elapsed());
            }
        }
        anyhow::Ok(took)
    });
    let took = took.await??;
    duo.stop().await;
    Ok(took)
}

/// Waits until everything is stored.
fn wait_for_events(data: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let (mut stored, mut still) = (0, 0);
    // Half a second without a further event, after most of them: pages come within some milliseconds of each other.
    while still < 5 {
        anyhow::ensure!(began.elapsed() < PATIENCE, "only {stored} events were stored in time");
        std::thread::sleep(Duration::from_millis(100));
        let now = SqliteStore::open_read_only(data)?.count("acme")?;
        let now: u64 = now.into_iter().map(|(_, count)| count).sum();
        still = if now == stored && now >= STORED as u64 {
            still + 1
        } else {
            0
        };
        stored = now;
    }
    Ok(())
}

/// The component with a custom section more.
fn with_mark(component: &[u8], number: u32) -> Vec<u8> {
    const NAME: &[u8] = b"bench";
    let size = (1 + NAME.len() + size_of::<u32>()) as u8;
    [component, &[0, size, NAME.len() as u8], NAME, &number.to_le_bytes()].concat()
}
