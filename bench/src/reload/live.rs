//! How soon a changed file judges: a real `picket run` with all stock rules, whose store holds what a company did in six weeks,
//! collecting from an idle simulator.
//!
//! Each time one module is put in place with another digest (a custom section more, so that nothing else changes), by a rename,
//! as `cargo xtask rules` does it. The clock stops at the daemon's line that its rules are swapped. That includes the watcher's
//! wait until the file has settled, compiling, the module's own timed cases in the sandbox, and the shadow run of it and of the
//! version before over the last 10,000 stored events.

use std::path::Path;
use std::time::{Duration, Instant};

use duo_simulator::company::{Options as CompanyOptions, generate};
use duo_simulator::server::{Options, Simulator};
use picket_judge::pipeline::{Page, RuleSet};

use crate::daemon::Daemon;
use crate::pipeline;

const CHANGES: u32 = 40;
const CHANGED: &str = "push-abuse.wasm";
const SWAPPED: &str = "rules swapped";
/// From the file's rename to the swap, for every change.
///
/// # Errors
/// The daemon or the simulator cannot be had, or a change is not taken up.
pub(super) async fn changes(picket: &Path, stock: &Path, stored: Vec<Page>) -> anyhow::Result<Vec<Duration>> {
    let quiet = CompanyOptions {
        users: 60,
        days: 3,
        target_events: None,
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
    let pipeline = pipeline::open(&root.join("data"), RuleSet::default()).await?;
    for page in stored {
        pipeline.admit(page).await?;
    }
    pipeline.settle().await?;
    drop(pipeline);
    std::fs::write(root.join("ca.pem"), duo.ca_pem())?;
    let config = format!(
        "data_dir: ./data\nrules_dir: ./rules\ntenant: acme\nsource:\n  type: duo\n  api_hostname: \"{}\"\n  \
         integration_key: {ikey}\n  secret_key: ${{BENCH_SECRET}}\n  ca_file: ./ca.pem\n  poll_interval: 1\n  \
         collect: [authentication, activity, telephony]\nreload: {{shadow: {{history: 90d, events: 10000}}}}\n",
        duo.host()
    );
    std::fs::write(root.join("picket.yaml"), config)?;
    let (picket, stock) = (picket.to_owned(), stock.to_owned());
    let took = tokio::task::spawn_blocking(move || {
        let daemon = Daemon::start(&picket, directory.path(), &skey)?;
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

/// The component with a custom section more.
fn with_mark(component: &[u8], number: u32) -> Vec<u8> {
    const NAME: &[u8] = b"bench";
    let size = (1 + NAME.len() + size_of::<u32>()) as u8;
    [component, &[0, size, NAME.len() as u8], NAME, &number.to_le_bytes()].concat()
}
