//! `cargo xtask rules`: rule crates into components, one `target/rules/NAME.wasm` for each.
//!
//! Cargo decides what is to be compiled again; the core module that comes out becomes a component, and is put in place by
//! a rename, so that a daemon that watches the directory never sees half a file.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use wit_component::ComponentEncoder;

use crate::imports;
use crate::toolchain::Toolchain;

/// The profile of `Cargo.toml` that rules ship with, for crates outside the workspace, which do not know it.
const PROFILE: [&str; 7] = [
    "profile.rule.inherits='release'",
    "profile.rule.opt-level=3",
    "profile.rule.lto='fat'",
    "profile.rule.codegen-units=1",
    "profile.rule.panic='abort'",
    "profile.rule.strip='debuginfo'",
    "profile.rule.debug=false",
];

/// How rules are compiled and linked, wherever their crate is:
///
/// - 128 KiB of stack instead of 1 MiB, so that stack, data and a call's rows fit into 1 MiB of memory: a fresh instance for
///   each call is then as cheap as it gets;
/// - more is inlined than LLVM does by itself: in WebAssembly a call costs more than in native code, since it saves the fuel
///   and checks the stack.
const FLAGS: &str = "target.wasm32-unknown-unknown.rustflags=[\
    '-Clink-arg=-zstack-size=131072', '-Clink-arg=--initial-memory=1048576', '-Cllvm-args=-inline-threshold=1000']";

/// Which rules, and to where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory to write to.
    #[arg(long, value_name = "DIR", default_value = "target/rules")]
    out: PathBuf,
    /// Directories of rule crates; all stock rules if none is named.
    crates: Vec<PathBuf>,
}

/// A rule that was built.
#[derive(Debug, Clone)]
pub(crate) struct BuiltRule {
    /// The family, which is the file's name: `push-abuse`.
    pub(crate) name: String,
    /// The component.
    pub(crate) path: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
}

/// The command.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let out = root.join(&arguments.out);
    let began = Instant::now();
    let built = if arguments.crates.is_empty() {
        build_rules(root, &out)?
    } else {
        let here = std::env::current_dir().context("there is no current directory")?;
        let directories = arguments.crates.iter().map(|directory| here.join(directory));
        directories
            .map(|directory| build_rule(root, &directory, &out))
            .collect::<Result<_, _>>()?
    };
    for rule in &built {
        println!(
            "{:<24} {:>6} KiB  {}",
            rule.name,
            rule.bytes.div_ceil(1024),
            rule.path.display()
        );
    }
    eprintln!("rules: {} built in {:.1} s", built.len(), began.elapsed().as_secs_f64());
    Ok(())
}

/// The stock rules into target/rules, and beside them what tests need: the examples into target/rules-examples, the hostile
/// modules into target/rules-hostile.
pub(crate) fn build_all(root: &Path) -> anyhow::Result<()> {
    build_rules(root, &root.join("target/rules"))?;
    for (from, to) in [
        ("examples", "target/rules-examples"),
        ("tests/hostile", "target/rules-hostile"),
    ] {
        for directory in crates_in(&root.join(from))? {
            build_rule(root, &directory, &root.join(to))?;
        }
    }
    Ok(())
}

/// Builds every stock rule (`rules-wasm/*`) into `out`.
pub(crate) fn build_rules(root: &Path, out: &Path) -> anyhow::Result<Vec<BuiltRule>> {
    let families = crates_in(&root.join("rules-wasm"))?;
    if families.is_empty() {
        bail!("{} holds no rule crates", root.join("rules-wasm").display());
    }
    let mut packages = Vec::new();
    for directory in &families {
        packages.push("--package".to_owned());
        packages.push(package_name(directory)?);
    }
    let modules = compile(root, root, &packages)?;
    families
        .iter()
        .map(|directory| finish(directory, &modules, out))
        .collect()
}

/// Builds one rule crate, anywhere, into `out`.
pub(crate) fn build_rule(root: &Path, directory: &Path, out: &Path) -> anyhow::Result<BuiltRule> {
    let directory = directory
        .canonicalize()
        .with_context(|| format!("{} is no directory of a rule crate", directory.display()))?;
    let manifest = directory.join("Cargo.toml");
    if !manifest.exists() {
        bail!("{} is no rule crate: it has no Cargo.toml", directory.display());
    }
    let mut arguments = vec!["--manifest-path".to_owned(), manifest.display().to_string()];
    if !directory.starts_with(root) {
        arguments.extend(
            PROFILE
                .iter()
                .flat_map(|setting| ["--config".to_owned(), (*setting).to_owned()]),
        );
    }
    let modules = compile(root, &directory, &arguments)?;
    finish(&directory, &modules, out)
}

/// Directories with a `Cargo.toml`, sorted.
fn crates_in(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = directory
        .read_dir()
        .with_context(|| format!("{} cannot be read", directory.display()))?;
    let mut crates = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    crates.retain(|path| path.join("Cargo.toml").exists());
    crates.sort();
    Ok(crates)
}

/// The name in a `Cargo.toml`.
fn package_name(directory: &Path) -> anyhow::Result<String> {
    let path = directory.join("Cargo.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let name = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("name")?.trim_start().strip_prefix('='));
    let name = name.with_context(|| format!("{} names no package", path.display()))?;
    Ok(name.trim().trim_matches('"').to_owned())
}

/// Runs cargo in `place`. What it compiles to, by the directory of the crate.
fn compile(root: &Path, place: &Path, arguments: &[String]) -> anyhow::Result<BTreeMap<PathBuf, PathBuf>> {
    let toolchain = Toolchain::find()?;
    eprintln!("rules: compiling with {} ...", toolchain.name());
    let mut command = toolchain.cargo(&root.join("target"));
    command
        .current_dir(place)
        .args(toolchain.build_arguments())
        .args(["--profile", "rule", "--lib", "--config", FLAGS])
        .args(arguments);
    command
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("cargo cannot be run")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut modules = BTreeMap::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("cargo's output cannot be read")?;
        let Ok(message) = serde_json::from_str::<Message>(&line) else {
            continue;
        };
        let module = message
            .filenames
            .into_iter()
            .find(|path| path.extension().is_some_and(|extension| extension == "wasm"));
        if let (Some(module), Some(directory)) = (module, message.manifest_path.parent()) {
            modules.insert(directory.to_owned(), module);
        }
    }
    let status = child.wait().context("cargo cannot be waited for")?;
    if !status.success() {
        bail!("the rules do not compile ({status}): cargo says above why");
    }
    Ok(modules)
}

/// One line of cargo's output that names what it made.
#[derive(Debug, Deserialize)]
struct Message {
    manifest_path: PathBuf,
    filenames: Vec<PathBuf>,
}

/// Makes a component of a crate's core module and puts it in place.
fn finish(directory: &Path, modules: &BTreeMap<PathBuf, PathBuf>, out: &Path) -> anyhow::Result<BuiltRule> {
    let name = directory
        .file_name()
        .and_then(|name| name.to_str())
        .context("a rule crate's directory needs a name")?;
    let core = modules.get(directory).with_context(|| {
        format!(
            "{} gave no .wasm: its Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\", \"rlib\"]`",
            directory.display()
        )
    })?;
    let path = out.join(format!("{name}.wasm"));
    let core = std::fs::read(core).with_context(|| format!("{} cannot be read", core.display()))?;
    let component = componentize(name, &core).with_context(|| format!("rule {name}"))?;
    // A file that does not change wakes no watcher.
    if std::fs::read(&path).is_ok_and(|present| present == component) {
        return Ok(BuiltRule {
            name: name.to_owned(),
            path,
            bytes: component.len() as u64,
        });
    }
    std::fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    let mut file = tempfile::Builder::new().prefix(".rule-").tempfile_in(out)?;
    file.write_all(&component)?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.persist(&path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(BuiltRule {
        name: name.to_owned(),
        path,
        bytes: component.len() as u64,
    })
}

/// Wraps a core module, which carries its WIT in a custom section, into a component.
fn componentize(name: &str, core: &[u8]) -> anyhow::Result<Vec<u8>> {
    let component = ComponentEncoder::default()
        .validate(true)
        .module(core)
        .and_then(|encoder| encoder.encode())
        .context(
            "the core module cannot be made a component: does the crate define rules with the SDK of this tree?",
        )?;
    let joined = imports::joined(&component)?;
    if joined.is_none() {
        eprintln!("rules: {name} stays three core modules: it has debug information, or is laid out otherwise");
    }
    Ok(joined.unwrap_or(component))
}
