//! One installation of Picket in a temporary directory.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use picket_store::{SqliteStore, Store as _};
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::{Said, install, picket, stock};
use crate::{Duo, Snapshot};

/// How long anything may take on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);

/// How a tenant is collected.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// The simulator's account.
    pub account: &'a str,
    /// Duo's own logs.
    pub collect: &'a [&'a str],
    /// The line that says where the secret is; none: a file of its own.
    pub secret: Option<String>,
    /// How far back the first start reads.
    pub start: &'a str,
    /// More of the tenant's file, at its top level.
    pub more: &'a str,
    /// What stands between it and the simulator, `127.0.0.1:PORT`; none: nothing.
    pub host: Option<String>,
}

impl<'a> Source<'a> {
    /// Authentication, activity and telephony; the secret in a file.
    #[must_use]
    pub fn of(account: &'a str) -> Self {
        Source {
            account,
            collect: &["authentication", "activity", "telephony"],
            secret: None,
            start: "60d",
            more: "",
            host: None,
        }
    }
}

/// A directory with configuration, rules and data; a simulator; a daemon that may be killed and started again.
pub struct Site {
    /// The simulated Duo.
    pub duo: Duo,
    daemon: Option<Child>,
    environment: BTreeMap<String, String>,
    tenants: Vec<String>,
    /// What happened before the daemon's first start is history to it.
    has_history: bool,
    dir: TempDir,
}

impl Site {
    /// A site without tenants and rules.
    ///
    /// # Panics
    /// The directory cannot be made.
    #[must_use]
    pub fn new(duo: Duo) -> Self {
        let dir = tempfile::Builder::new().prefix("picket-e2e-").tempdir().unwrap();
        let site = Site {
            duo,
            daemon: None,
            environment: BTreeMap::from([("NO_COLOR".to_owned(), "1".to_owned())]),
            tenants: Vec::new(),
            has_history: false,
            dir,
        };
        std::fs::create_dir(site.path("rules")).unwrap();
        std::fs::create_dir(site.path("tenants.d")).unwrap();
        std::fs::write(site.path("ca.pem"), site.duo.ca()).unwrap();
        site.write(
            "picket.yaml",
            "data_dir: ./data\nrules_dir: ./rules\nhttp: {listen: \"off\"}\nalerts_per_hour: 0\nsinks:\n  - {type: file, path: ./alerts.ndjson}\n  - {type: stdout}\n",
        );
        site
    }

    /// A site with these tenants and all stock modules.
    #[must_use]
    pub fn stocked(duo: Duo, sources: &[Source<'_>]) -> Self {
        let mut site = Site::new(duo);
        for name in [
            "admin-actions",
            "bypass",
            "place-device",
            "push-abuse",
            "takeover",
            "telephony",
        ] {
            site.install(&std::fs::read(stock(name)).unwrap(), &format!("{name}.wasm"));
        }
        for source in sources {
            site.tenant(source);
        }
        site
    }

    /// Alerts about what happened before the first start are not sent, as it is outside of tests. Without this, the store says
    /// beforehand that nothing is of the past.
    #[must_use]
    pub fn with_history(mut self) -> Self {
        self.has_history = true;
        self
    }

    /// A tenant named like its account.
    ///
    /// # Panics
    /// Its files cannot be written.
    pub fn tenant(&mut self, source: &Source<'_>) {
        let account = source.account;
        let (ikey, skey) = self.duo.keys(account);
        let secret = source.secret.clone().unwrap_or_else(|| {
            self.secret_file(&format!("{account}.secret"), skey);
            format!("secret_key_file: ./{account}.secret")
        });
        let text = format!(
            "source:\n  type: duo\n  api_hostname: \"{host}\"\n  integration_key: {ikey}\n  {secret}\n  ca_file: ./ca.pem\n  \
             poll_interval: 0.1\n  start: {start}\n  collect: [{logs}]\n{more}",
            host = source.host.clone().unwrap_or_else(|| self.duo.host()),
            logs = source.collect.join(", "),
            start = source.start,
            more = source.more,
        );
        self.write(&format!("tenants.d/{account}.yaml"), &text);
        self.tenants.push(account.to_owned());
    }

    /// A file that only its owner may read.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn secret_file(&self, name: &str, secret: &str) {
        install(format!("{secret}\n").as_bytes(), &self.path(name));
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Sets a variable of every program started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// The variable is not set any more.
    pub fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// Something in the site's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the site.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Puts a module into the rules directory, in one go.
    pub fn install(&self, bytes: &[u8], name: &str) {
        install(bytes, &self.path("rules").join(name));
    }

    /// `picket` with this configuration and these arguments.
    fn command(&self) -> Command {
        let mut command = Command::new(picket());
        command
            .current_dir(self.dir.path())
            .arg("--config")
            .arg(self.path("picket.yaml"))
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Runs `picket` to its end.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn picket(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command().args(arguments).output().unwrap())
    }

    /// The same with `--format ndjson`.
    #[must_use]
    pub fn ndjson(&self, arguments: &[&str]) -> Vec<Value> {
        let said = self.picket(&[arguments, &["--format", "ndjson"]].concat());
        assert!(said.code == 0 || said.code == 1, "{arguments:?}: {said:?}");
        said.lines()
    }

    /// Starts the daemon and does not wait for it.
    ///
    /// # Panics
    /// It cannot be started, or runs already.
    pub fn start(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        if !self.has_history && !self.path("data/picket.db").exists() {
            let store = SqliteStore::open(&self.path("data")).unwrap();
            for tenant in &self.tenants {
                store.set_note(tenant, "first_start", Some("0")).unwrap();
            }
        }
        let log = |name: &str| {
            let mut options = OpenOptions::new();
            options.create(true).append(true).open(self.path(name)).unwrap()
        };
        let child = self
            .command()
            .arg("run")
            .stdout(log("out.log"))
            .stderr(log("err.log"))
            .spawn();
        self.daemon = Some(child.unwrap());
    }

    /// Starts the daemon and waits until it answers.
    pub fn run(&mut self) {
        self.start();
        self.wait_until_it_answers();
    }

    /// Waits until the daemon answers.
    ///
    /// # Panics
    /// It ended, or is silent for too long.
    pub fn wait_until_it_answers(&mut self) {
        let began = Instant::now();
        loop {
            let ended = self.daemon.as_mut().expect("a daemon was started").try_wait().unwrap();
            if let Some(status) = ended {
                self.daemon = None;
                panic!("the daemon ended ({status}):\n{}", self.log());
            }
            // A daemon that was killed leaves its socket; who answers on it runs.
            if std::os::unix::net::UnixStream::connect(self.path("data/control.sock")).is_ok() {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "the daemon does not answer:\n{}",
                self.log()
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until the daemon ends by itself; its exit code.
    ///
    /// # Panics
    /// It does not.
    pub fn ends(&mut self) -> i32 {
        let mut child = self.daemon.take().expect("a daemon was started");
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the daemon goes on:\n{}", self.log());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether the daemon has ended by itself, or was ended by somebody else.
    ///
    /// # Panics
    /// None was started.
    pub fn has_ended(&mut self) -> bool {
        let child = self.daemon.as_mut().expect("a daemon was started");
        child.try_wait().unwrap().is_some()
    }

    /// The daemon's process.
    ///
    /// # Panics
    /// None was started.
    #[must_use]
    pub fn pid(&self) -> i32 {
        let child = self.daemon.as_ref().expect("a daemon was started");
        i32::try_from(child.id()).unwrap()
    }

    /// Sends the daemon a signal; who is dead does not mind.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM; the daemon has to end well.
    ///
    /// # Panics
    /// It does not.
    pub fn stop(&mut self) {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).unwrap();
        assert_eq!(self.ends(), 0, "{}", self.log());
    }

    /// Processes in which the daemon compiles a module right now.
    ///
    /// # Panics
    /// No daemon runs.
    #[must_use]
    pub fn compilers(&self) -> Vec<u32> {
        let daemon = self.daemon.as_ref().expect("a daemon runs").id();
        let parent = format!("PPid:\t{daemon}");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let compiles = |process: &u32| {
            // A process that is gone by now compiles no more.
            let read = |what: &str| std::fs::read_to_string(format!("/proc/{process}/{what}")).unwrap_or_default();
            // Behind its walls: from then on it compiles.
            let status = read("status");
            status.contains(&parent)
                && status.contains("NoNewPrivs:\t1")
                && read("cmdline").ends_with("\0compile-module\0")
        };
        processes.filter(compiles).collect()
    }

    /// What the daemon wrote to standard error, its end.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.path("err.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// The store, to read.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn store(&self) -> SqliteStore {
        SqliteStore::open_read_only(&self.path("data")).unwrap()
    }

    /// What the store holds of a tenant.
    #[must_use]
    pub fn snapshot(&self, tenant: &str) -> Snapshot {
        Snapshot::of(&self.store(), tenant)
    }

    /// Waits until something holds.
    ///
    /// # Panics
    /// It does not, for too long; with the daemon's last words.
    pub fn wait<T>(&self, what: &str, check: impl FnMut() -> Option<T>) -> T {
        until(what, || self.log(), check)
    }

    /// Waits until every healthy rule has been shown everything up to this time (ms). The simulated clock must stand at least
    /// two minutes later.
    pub fn settle(&self, up_to: i64) {
        let store = self.wait("a store", || SqliteStore::open_read_only(&self.path("data")).ok());
        let mut lags = Vec::new();
        let mut look = || {
            lags.clear();
            // The collector has a word now and then, and no rows to go through.
            let has_rows = |rule: &&Value| rule["state"] != "off" && rule["logs"] != serde_json::json!(["collector"]);
            for rule in self.rules().iter().filter(has_rows) {
                let is_of = |tenant: &String| matches!(rule["tenants"].as_str(), Some(scope) if scope == "all" || scope == tenant);
                for tenant in self.tenants.iter().filter(|tenant| is_of(tenant)) {
                    let rows = store.rules(tenant).unwrap();
                    let row = rows.iter().find(|row| Some(&*row.rule) == rule["id"].as_str());
                    let Some(row) = row else {
                        lags.push(format!("{tenant}: {} has not begun", rule["id"]));
                        continue;
                    };
                    if row.standing.quarantine.is_none() && row.position.released.time < up_to {
                        lags.push(format!("{tenant}: {} is at {:?}", row.rule, row.position));
                    }
                }
            }
            lags.is_empty().then_some(())
        };
        let began = Instant::now();
        while look().is_none() {
            if began.elapsed() > PATIENCE {
                panic!(
                    "rules have not seen everything up to {up_to}: {lags:#?}\n{}",
                    self.log()
                );
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Every rule as `picket rule list` shows it, by id; of refused modules, `rejected` and the file's name.
    #[must_use]
    pub fn rules(&self) -> Vec<Value> {
        self.ndjson(&["rule", "list"])
    }

    /// Ids of alerts of a rule for a tenant, with whom they are about.
    #[must_use]
    pub fn alerts(&self, tenant: &str, rule: &str) -> Vec<Value> {
        self.ndjson(&["alerts", "--tenant", tenant, "--rule", rule])
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// There is none for too long; with what `context` says then.
pub fn until<T>(what: &str, context: impl Fn() -> String, mut check: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for: {what}\n{}", context());
        std::thread::sleep(PAUSE);
    }
}
