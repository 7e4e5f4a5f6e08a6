//! The loop: input, execution, and what is kept of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::bytes;
use crate::targets::{Target, named};

/// An execution that takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(60);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(10);
/// Inputs kept of a target; more say little.
const KEPT: usize = 2000;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names of targets.
    pub targets: Vec<String>,
    /// For all of them together, divided among them.
    pub time: Duration,
    /// What every input follows from.
    pub seed: u64,
    /// Where inputs that did something new are kept over runs, and findings are written. None: findings go to a temporary
    /// directory, and nothing is kept.
    pub directory: Option<PathBuf>,
    /// Told of progress, a line at a time.
    pub tell: fn(&str),
}

/// What came of one target.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its name.
    pub target: String,
    /// How many inputs.
    pub executions: u64,
    /// How many did something new.
    pub interesting: usize,
    /// How long, seconds.
    pub seconds: f64,
    /// What is wrong; a target ends with its first finding.
    pub finding: Option<Finding>,
}

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Finding {
    /// In words.
    pub what: String,
    /// The input.
    pub input: PathBuf,
}

/// Runs the targets, two at a time, each for its share of the time.
///
/// # Errors
/// A target that does not exist; a directory that cannot be used.
pub fn fuzz(options: &Options) -> anyhow::Result<Vec<Report>> {
    for name in &options.targets {
        named(name).with_context(|| format!("there is no target `{name}`; there are {}", crate::NAMES.join(", ")))?;
    }
    let directory = match &options.directory {
        Some(directory) => directory.clone(),
        None => std::env::temp_dir().join(format!("picket-fuzz-{}", std::process::id())),
    };
    fs::create_dir_all(&directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(2)
        .min(options.targets.len().max(1));
    let share = options.time * u32::try_from(workers)? / u32::try_from(options.targets.len().max(1))?;
    let queue = Mutex::new(options.targets.iter());
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().ok().and_then(|mut queue| queue.next());
                    let Some(name) = next else { return };
                    let report = one(name, share, options, &directory);
                    if let Ok(mut reports) = reports.lock() {
                        reports.push(report);
                    }
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap_or_default();
    let reports = reports.into_iter().collect::<anyhow::Result<Vec<Report>>>()?;
    if options.directory.is_none() && reports.iter().all(|report| report.finding.is_none()) {
        let _ = fs::remove_dir_all(&directory);
    }
    Ok(reports)
}

/// Runs one input alone.
///
/// # Errors
/// What is wrong with it; or the file cannot be read.
pub fn repeat(target: &str, input: &Path) -> anyhow::Result<()> {
    let mut target = named(target).with_context(|| format!("there is no target `{target}`"))?();
    let bytes = fs::read(input).with_context(|| format!("{} cannot be read", input.display()))?;
    match target.execute(&bytes) {
        Ok(_) => Ok(()),
        Err(what) => anyhow::bail!("{what}"),
    }
}

/// What happens to an input, for whoever watches over it.
enum Event {
    Begun(Vec<u8>),
    Ended,
}

fn one(name: &str, share: Duration, options: &Options, directory: &Path) -> anyhow::Result<Report> {
    let corpus = options
        .directory
        .as_ref()
        .map(|directory| directory.join("corpus").join(name));
    let make = named(name).context("a target")?;
    let (tell, began) = (options.tell, Instant::now());
    let (events, watched) = channel();
    let progress = Mutex::new((0_u64, 0_usize));
    let finding = std::thread::scope(|scope| {
        let (name, progress) = (name, &progress);
        // If an execution does not come back, nothing but leaving helps; its input is saved first.
        scope.spawn(move || {
            let (mut input, mut since, mut told) = (None, Instant::now(), Instant::now());
            loop {
                match watched.recv_timeout(Duration::from_secs(1)) {
                    Ok(Event::Begun(bytes)) => (input, since) = (Some(bytes), Instant::now()),
                    Ok(Event::Ended) => input = None,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {}
                }
                if let Some(bytes) = input.as_ref().filter(|_| since.elapsed() > HANGS) {
                    let path = directory.join(format!("{name}.hangs"));
                    let _ = fs::write(&path, bytes);
                    tell(&format!(
                        "{name}: an input takes longer than {HANGS:?}: {}",
                        path.display()
                    ));
                    std::process::exit(1);
                }
                if told.elapsed() > TELL {
                    told = Instant::now();
                    let (executions, interesting) = progress.lock().map(|progress| *progress).unwrap_or_default();
                    tell(&format!(
                        "{name}: {executions} executions, {interesting} did something new"
                    ));
                }
            }
        });
        let worker = Worker {
            name,
            seed: options.seed,
            until: began + share,
            current: directory.join(format!("{name}.current")),
            corpus: corpus.as_deref(),
            progress,
        };
        worker.run(&mut *make(), move |event| drop(events.send(event)))
    })?;
    let (executions, interesting) = progress.into_inner().unwrap_or_default();
    let finding = finding.map(|(what, bytes)| -> anyhow::Result<Finding> {
        let path = directory.join(format!("{name}-{}.finding", options.seed));
        fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Finding { what, input: path })
    });
    let report = Report {
        target: name.to_owned(),
        executions,
        interesting,
        seconds: began.elapsed().as_secs_f64(),
        finding: finding.transpose()?,
    };
    let found = report
        .finding
        .as_ref()
        .map_or("nothing found".to_owned(), |finding| format!("FOUND {}", finding.what));
    tell(&format!(
        "{name}: {executions} executions in {:.0} s, {interesting} did something new, {found}",
        report.seconds
    ));
    Ok(report)
}

struct Worker<'a> {
    name: &'a str,
    seed: u64,
    until: Instant,
    /// The input under way, should the process die of it.
    current: PathBuf,
    corpus: Option<&'a Path>,
    progress: &'a Mutex<(u64, usize)>,
}

impl Worker<'_> {
    /// Until time is up, or something is found.
    fn run(&self, target: &mut dyn Target, mut watch: impl FnMut(Event)) -> anyhow::Result<Option<(String, Vec<u8>)>> {
        let file =
            File::create(&self.current).with_context(|| format!("{} cannot be written", self.current.display()))?;
        let mut kept = self.load()?;
        kept.extend(target.seeds());
        let mut seen = BTreeSet::new();
        let most = target.most();
        let mut number = 0_u64;
        while Instant::now() < self.until {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            // What was kept first, as it is.
            let input = match kept.get(usize::try_from(number)?) {
                Some(input) if number < 500 => input.clone(),
                _ if !kept.is_empty() && rng.random_range(0..4) > 0 => {
                    let mut any = || kept.get(rng.random_range(0..kept.len())).map_or(&[][..], Vec::as_slice);
                    let (one, other) = (any(), any());
                    bytes::changed(&mut rng, one, other, most)
                }
                _ => bytes::random(&mut rng, most),
            };
            number += 1;
            file.set_len(input.len() as u64)?;
            file.write_all_at(&input, 0)?;
            watch(Event::Begun(input.clone()));
            let outcome = catch_unwind(AssertUnwindSafe(|| target.execute(&input)));
            watch(Event::Ended);
            match outcome {
                Ok(Ok(feature)) => {
                    if seen.insert(feature) && kept.len() < KEPT {
                        self.keep(&input)?;
                        kept.push(input);
                    }
                }
                Ok(Err(what)) => return Ok(Some((what, input))),
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    let text = text
                        .or_else(|| panic.downcast_ref::<&str>().copied())
                        .unwrap_or("no words");
                    return Ok(Some((format!("the host panicked: {text}"), input)));
                }
            }
            if let Ok(mut progress) = self.progress.lock() {
                *progress = (number, seen.len());
            }
        }
        let _ = fs::remove_file(&self.current);
        Ok(None)
    }

    /// What earlier runs kept, in an order of its own.
    fn load(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let Some(directory) = self.corpus else {
            return Ok(Vec::new());
        };
        fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
        let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
        let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        let read = |path: PathBuf| {
            fs::read(&path).with_context(|| format!("{} cannot be read ({})", path.display(), self.name))
        };
        paths.into_iter().map(read).collect()
    }

    fn keep(&self, input: &[u8]) -> anyhow::Result<()> {
        let Some(directory) = self.corpus else { return Ok(()) };
        let digest = picket_sandbox::Engine::digest(input);
        let name: String = digest.trim_start_matches("sha256:").chars().take(16).collect();
        fs::write(directory.join(name), input)?;
        Ok(())
    }
}
