//! The compiler's process: what it can do, what it may take, and what is kept of what it said.
//!
//! This binary is both sides: started with the one argument [`COMPILE_VERB`] it is the compiler's process of its own tests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
mod support;

use std::fs::{self, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use picket_sandbox::{
    COMPILE_VERB, Compile, CompileLimit, CompileLimits, Engine, EngineError, Limits, Module, Rejected, StaticLimits,
};
use support::{component, module, module_with, rows};

const NOTHING: &str = "(i32.const 16)";

const TESTS: &[(&str, fn())] = &[
    ("nothing_is_open_to_the_compiler", nothing_is_open_to_the_compiler),
    ("seen_from_outside_it_is_confined", seen_from_outside_it_is_confined),
    (
        "what_it_compiles_runs_as_if_compiled_here",
        what_it_compiles_runs_as_if_compiled_here,
    ),
    ("bombs_are_stopped_by_the_walls", bombs_are_stopped_by_the_walls),
    ("code_that_is_too_large_is_stopped", code_that_is_too_large_is_stopped),
    (
        "a_starved_compiler_says_nothing_of_the_module",
        a_starved_compiler_says_nothing_of_the_module,
    ),
    (
        "what_it_said_is_kept_and_not_asked_again",
        what_it_said_is_kept_and_not_asked_again,
    ),
    (
        "what_is_kept_and_not_ours_is_never_used",
        what_is_kept_and_not_ours_is_never_used,
    ),
    ("what_is_kept_is_bounded", what_is_kept_is_bounded),
    (
        "a_program_that_is_no_compiler_is_found_out",
        a_program_that_is_no_compiler_is_found_out,
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() == 2 && arguments[1] == COMPILE_VERB {
        return picket_sandbox::compile_child();
    }
    let filters: Vec<&String> = arguments
        .iter()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut failed = Vec::new();
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let began = Instant::now();
        let passed = std::panic::catch_unwind(test).is_ok();
        println!(
            "test {name} ... {} ({:.1} s)",
            if passed { "ok" } else { "FAILED" },
            began.elapsed().as_secs_f64()
        );
        if !passed {
            failed.push(*name);
        }
    }
    println!("\n{} failed: {failed:?}", failed.len());
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn limits() -> CompileLimits {
    CompileLimits::default()
}

/// Every limit on what is compiled lifted, so that the walls are what stops a bomb.
fn lifted(cache: Option<&Path>) -> Limits {
    Limits {
        concurrency: 1,
        cache: cache.map(Path::to_owned),
        module: StaticLimits {
            bytes: 64 << 20,
            function_bytes: 64 << 20,
            section_bytes: 64 << 20,
            operators: usize::MAX,
            functions: usize::MAX,
            locals: u64::MAX,
            loop_locals: u64::MAX,
            loop_depth: usize::MAX,
            depth: usize::MAX,
            branch_targets: u64::MAX,
            ..StaticLimits::default()
        },
        ..Limits::default()
    }
}

fn engine(cache: Option<&Path>, compile: CompileLimits) -> Engine {
    Engine::compiling(lifted(cache), Compile::with_this_program(compile)).unwrap()
}

/// An engine whose compiler can be taken away: a copy of this program.
fn engine_with_copy(cache: &Path, copy: &Path, compile: CompileLimits) -> Engine {
    fs::copy("/proc/self/exe", copy).unwrap();
    let compile = Compile::Child {
        program: copy.to_owned(),
        limits: compile,
    };
    Engine::compiling(lifted(Some(cache)), compile).unwrap()
}

fn loaded(engine: &Engine, bytes: &[u8]) -> Module {
    engine
        .load(bytes)
        .unwrap_or_else(|rejected| panic!("{}", rejected.line()))
}

/// Processes that this one started and that are still there.
fn children() -> Vec<i32> {
    let own = std::process::id().to_string();
    let parent_of = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1).map(str::to_owned)
    };
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid).as_ref() == Some(&own)).collect()
}

/// The compiler's process, once it is behind its walls.
fn confined() -> i32 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        for pid in children() {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            if status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2") {
                return pid;
            }
        }
        assert!(Instant::now() < deadline, "no compiler started");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes the compiler far longer than anybody waits.
fn endless() -> Vec<u8> {
    bomb_of_locals(20_000)
}

/// Functions of 49,999 locals each, ten bytes a function: text of them would be megabytes. They are a core module of their own,
/// appended to a rule: it is compiled though nothing instantiates it.
fn bomb_of_locals(functions: u32) -> Vec<u8> {
    let section = |id: u8, content: Vec<u8>| [vec![id], leb(content.len() as u32), content].concat();
    // One group of locals: so many, i64. And the end.
    let locals = [vec![1], leb(49_999), vec![0x7e, 0x0b]].concat();
    let body = [leb(locals.len() as u32), locals].concat();
    let core = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, vec![1, 0x60, 0, 0]),
        section(3, [leb(functions), vec![0; functions as usize]].concat()),
        section(10, [leb(functions), body.repeat(functions as usize)].concat()),
    ];
    let mut component = component(&module(NOTHING));
    component.extend(section(1, core.concat()));
    component
}

fn leb(mut number: u32) -> Vec<u8> {
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

fn bomb_of_loops() -> Vec<u8> {
    let locals = 50;
    let touch: String = (0..locals)
        .map(|local| {
            format!(
                "(local.set {local} (i64.add (local.get {local}) (local.get {})))",
                (local + 1) % locals
            )
        })
        .collect();
    let open = format!("(loop {touch}").repeat(900);
    let close = "(br_if 0 (i64.eqz (local.get 0))))".repeat(900);
    let text = format!("(func (local{}) {open} {close})", " i64".repeat(locals));
    component(&module_with("", &text, NOTHING))
}

fn bomb_of_tables() -> Vec<u8> {
    let blocks = 2000;
    let targets: String = (1..=blocks).map(|target| format!("{target} ")).collect();
    let (open, close) = (
        "(block ".repeat(blocks),
        "(local.set 0 (i32.add (local.get 0) (i32.const 1))))".repeat(blocks),
    );
    let table = format!("(if (local.get 0) (then (br_table {targets} (local.get 0))))");
    let text = format!("(func (param i32) {open} {} {close})", table.repeat(60));
    component(&module_with("", &text, NOTHING))
}

fn bomb_of_functions() -> Vec<u8> {
    component(&module_with("", &"(func)".repeat(200_000), NOTHING))
}

fn bomb_of_operators() -> Vec<u8> {
    let chain = "(local.set 0 (i64.mul (i64.add (local.get 0) (i64.const 77)) (i64.xor (local.get 0) (i64.const 5))))";
    component(&module_with(
        "",
        &format!("(func (local i64) {})", chain.repeat(300_000)),
        NOTHING,
    ))
}

/// Two bytes far apart make an image of the whole memory.
fn bomb_of_output() -> Vec<u8> {
    let far = r#"(data (i32.const 16700000) "x")"#;
    let text = module_with("", far, NOTHING);
    component(&text.replace("(memory (export \"memory\") 2)", "(memory (export \"memory\") 256)"))
}

fn nothing_is_open_to_the_compiler() {
    let engine = engine(None, limits());
    let walls = engine.host().walls.unwrap();
    assert!(
        walls.files && walls.network && walls.processes && walls.environment && walls.descriptors && walls.priority
    );
    // On this architecture and kernel both hold; where one does not, the other alone must do the above.
    assert!(walls.filter, "{walls:?}");
    let has_landlock =
        fs::read_to_string("/sys/kernel/security/lsm").map_or(walls.landlock, |lsm| lsm.contains("landlock"));
    assert_eq!(walls.landlock, has_landlock, "{walls:?}");
    assert_eq!(
        engine.host().losses().is_empty(),
        walls.landlock && engine.host().pagemap_scan
    );
}

fn seen_from_outside_it_is_confined() {
    // A descriptor that somebody forgot to have closed at exec.
    let leaked = fs::File::open("/etc/hostname")
        .or_else(|_| fs::File::open("/proc/self/status"))
        .unwrap();
    nix::fcntl::fcntl(
        leaked.as_fd(),
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .unwrap();
    let engine = engine(None, limits());
    let bomb = endless();
    std::thread::scope(|threads| {
        let loading = threads.spawn(|| engine.load(&bomb));
        let pid = confined();
        let read = |what: &str| fs::read(format!("/proc/{pid}/{what}"));
        assert_eq!(read("environ").unwrap_or_default(), b"", "it has an environment");
        let arguments = read("cmdline").unwrap();
        assert!(arguments.ends_with(format!("\0{COMPILE_VERB}\0").as_bytes()));
        assert_eq!(
            arguments.iter().filter(|byte| **byte == 0).count(),
            2,
            "it is told nothing else"
        );
        if let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) {
            let mut open: Vec<String> = open
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            open.sort();
            assert_eq!(open, ["0", "1", "2"]);
        }
        let limit = |name: &str| {
            let all = String::from_utf8(read("limits").unwrap()).unwrap();
            let line = all.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
            line[name.len()..]
                .split_whitespace()
                .take(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(limit("Max address space"), ["536870912", "536870912"]);
        assert_eq!(limit("Max cpu time"), ["10", "11"]);
        assert_eq!(limit("Max open files"), ["3", "3"]);
        assert_eq!(limit("Max core file size"), ["0", "0"]);
        let stat = String::from_utf8(read("stat").unwrap()).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        assert_eq!(fields[2], pid.to_string(), "it leads a process group of its own");
        assert_eq!(fields[16], "10", "nice");
        assert_eq!(fields[17], "1", "threads");
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        // Killed by somebody else: nothing is known of the module.
        let refused = loading.join().unwrap().unwrap_err();
        assert_eq!(refused.code(), "compile-unavailable", "{refused}");
        assert!(refused.is_passing());
    });
    drop(leaked);
}

fn what_it_compiles_runs_as_if_compiled_here() {
    let bytes = component(&module(NOTHING));
    let theirs = loaded(&engine(None, limits()), &bytes);
    let ours = loaded(&Engine::new(lifted(None)).unwrap(), &bytes);
    let call = |module: &Module| support::call(module, &rows(100, 1)).unwrap();
    assert_eq!(call(&theirs).usage.fuel, call(&ours).usage.fuel);
    assert_eq!(
        engine(None, limits()).fingerprint(),
        Engine::new(lifted(None)).unwrap().fingerprint(),
        "who compiles decides no outcome"
    );
}

/// The bombs of the sandbox study, and more of the same, far past the static limits.
fn bombs_are_stopped_by_the_walls() {
    let small = CompileLimits {
        memory_bytes: 256 << 20,
        time: Duration::from_secs(2),
        ..limits()
    };
    let engine = engine(None, small);
    let bombs: [(&str, Vec<u8>); 5] = [
        ("locals", bomb_of_locals(2000)),
        ("loops", bomb_of_loops()),
        ("branch tables", bomb_of_tables()),
        ("functions", bomb_of_functions()),
        ("operators", bomb_of_operators()),
    ];
    for (what, bomb) in bombs {
        // The default limits refuse it before it comes to that.
        let refused = Engine::new(Limits::default()).unwrap().inspect(&bomb).unwrap_err();
        assert_eq!(refused.code(), "too-large", "{what}: {refused}");
        let began = Instant::now();
        let refused = engine.load(&bomb);
        let took = began.elapsed();
        let killed = matches!(
            &refused,
            Err(Rejected::Killed {
                limit: CompileLimit::Time | CompileLimit::Starved | CompileLimit::Memory,
                ..
            })
        );
        let said = refused.err().map_or("compiled".to_owned(), |refused| refused.line());
        println!(
            "  {what}, {} KiB: {said} after {:.1} s",
            bomb.len() >> 10,
            took.as_secs_f64()
        );
        assert!(killed, "{what}: {said}");
        // A wall, generously: the machine may be busy, and reading the module comes before the child.
        assert!(took < Duration::from_secs(30), "{what}: {took:?}");
        assert_eq!(children(), Vec::<i32>::new(), "{what}: nothing is left of it");
    }
}

fn code_that_is_too_large_is_stopped() {
    let small = CompileLimits {
        output_bytes: 4 << 20,
        ..limits()
    };
    let refused = engine(None, small).load(&bomb_of_output()).unwrap_err();
    assert!(
        matches!(
            refused,
            Rejected::Killed {
                limit: CompileLimit::Output,
                ..
            }
        ),
        "{refused}"
    );
    assert!(
        refused
            .line()
            .starts_with("compile-killed: the compiler was stopped at the limit on compiled code")
    );
}

fn a_starved_compiler_says_nothing_of_the_module() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("compiled");
    let short = CompileLimits {
        time: Duration::from_secs(4),
        ..limits()
    };
    let engine = engine(Some(&cache), short);
    let bomb = endless();
    std::thread::scope(|threads| {
        let loading = threads.spawn(|| engine.load(&bomb));
        kill(Pid::from_raw(confined()), Signal::SIGSTOP).unwrap();
        let refused = loading.join().unwrap().unwrap_err();
        assert_eq!(refused.code(), "compile-killed", "{refused}");
        assert!(
            refused.is_passing() && refused.to_string().contains("busy"),
            "{refused}"
        );
    });
    assert_eq!(children(), Vec::<i32>::new(), "a stopped process can be killed");
    assert_eq!(kept(&cache).len(), 0, "it is tried again");
}

fn kept(cache: &Path) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    kept.sort();
    kept
}

fn what_it_said_is_kept_and_not_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let (cache, copy) = (directory.path().join("compiled"), directory.path().join("compiler"));
    let small = CompileLimits {
        output_bytes: 4 << 20,
        ..limits()
    };
    let (good, bomb) = (component(&module(NOTHING)), bomb_of_output());
    let engine = engine_with_copy(&cache, &copy, small);
    loaded(&engine, &good);
    let refused = engine.load(&bomb).unwrap_err();
    assert_eq!(refused.code(), "compile-killed", "{refused}");
    assert_eq!(kept(&cache).len(), 2);

    // The compiler is gone: what was said is known, and nothing else.
    fs::remove_file(&copy).unwrap();
    loaded(&engine, &good);
    assert_eq!(engine.load(&bomb).unwrap_err(), refused);
    let other = component(&module("(drop (i32.const 1)) (i32.const 16)"));
    assert_eq!(engine.load(&other).unwrap_err().code(), "compile-unavailable");

    // With other limits the refusal does not count; the code does.
    let larger = CompileLimits {
        output_bytes: 5 << 20,
        ..small
    };
    let engine = engine_with_copy(&cache, &copy, larger);
    fs::remove_file(&copy).unwrap();
    loaded(&engine, &good);
    assert_eq!(engine.load(&bomb).unwrap_err().code(), "compile-unavailable");
}

fn what_is_kept_and_not_ours_is_never_used() {
    let directory = tempfile::tempdir().unwrap();
    let (cache, copy) = (directory.path().join("compiled"), directory.path().join("compiler"));
    let bytes = component(&module(NOTHING));
    let engine = engine_with_copy(&cache, &copy, limits());
    loaded(&engine, &bytes);
    let [artifact] = kept(&cache).try_into().unwrap();
    let good = fs::read(&artifact).unwrap();
    let name = artifact.file_name().unwrap().to_str().unwrap().to_owned();
    let (prefix, _) = name.rsplit_once('-').unwrap();

    let damaged = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let foreign = |content: &[u8]| cache.join(format!("{prefix}-{}.cwasm", blake3::hash(content).to_hex()));
    let elsewhere = directory.path().join("elsewhere.cwasm");
    fs::write(&elsewhere, &good).unwrap();
    type Harm<'a> = Box<dyn Fn() + 'a>;
    let entries: Vec<(&str, Harm<'_>)> = vec![
        (
            "its last byte is wrong",
            Box::new(|| fs::write(&artifact, damaged(good.len() - 1)).unwrap()),
        ),
        (
            "it is cut",
            Box::new(|| fs::write(&artifact, &good[..good.len() / 2]).unwrap()),
        ),
        ("it is empty", Box::new(|| fs::write(&artifact, b"").unwrap())),
        (
            "others may write it",
            Box::new(|| {
                fs::write(&artifact, &good).unwrap();
                fs::set_permissions(&artifact, Permissions::from_mode(0o666)).unwrap();
            }),
        ),
        ("it is a link", Box::new(|| symlink(&elsewhere, &artifact).unwrap())),
        ("it is a directory", Box::new(|| fs::create_dir(&artifact).unwrap())),
        (
            "it is something else, with the hash it says",
            Box::new(|| {
                fs::write(foreign(b"foreign"), b"foreign").unwrap();
            }),
        ),
        (
            "it is a program, with the hash it says",
            Box::new(|| {
                let program = fs::read("/proc/self/exe").unwrap();
                fs::write(foreign(&program), &program).unwrap();
            }),
        ),
    ];
    for (what, entry) in &entries {
        for path in kept(&cache) {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
        entry();
        // Where it cannot be compiled anew, it is not used either.
        fs::rename(&copy, directory.path().join("away")).unwrap();
        let refused = engine.load(&bytes);
        fs::rename(directory.path().join("away"), &copy).unwrap();
        assert_eq!(
            refused.map(|_| ()).map_err(|refused| refused.code()),
            Err("compile-unavailable"),
            "{what}"
        );
        // Where it can be, it is.
        if kept(&cache).is_empty() {
            entry();
        }
        let module = loaded(&engine, &bytes);
        assert!(support::call(&module, &rows(3, 1)).is_ok(), "{what}");
        if *what != "it is a directory" {
            assert_eq!(fs::read(&artifact).unwrap(), good, "{what}");
        }
    }

    // A directory that is a link to one of ours, or that others may enter, is none.
    let link = directory.path().join("link");
    symlink(&cache, &link).unwrap();
    let compile = || Compile::with_this_program(limits());
    let refused = Engine::compiling(lifted(Some(&link)), compile())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("is not a directory itself"), "{refused}");
    fs::set_permissions(&cache, Permissions::from_mode(0o710)).unwrap();
    let refused = Engine::compiling(lifted(Some(&cache)), compile())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("has mode 0710"), "{refused}");
}

fn what_is_kept_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("compiled");
    let limits = Limits {
        cache_files: 3,
        ..lifted(Some(&cache))
    };
    let engine = Engine::new(limits.clone()).unwrap();
    let modules: Vec<Vec<u8>> = (0..5)
        .map(|number| component(&module(&format!("(drop (i32.const {number})) (i32.const 16)"))))
        .collect();
    let mut names = Vec::new();
    for (number, bytes) in modules.iter().enumerate() {
        loaded(&engine, bytes);
        let new = kept(&cache).into_iter().find(|path| !names.contains(path)).unwrap();
        // File times may be as coarse as the kernel's tick.
        let age = Duration::from_secs(100 - number as u64);
        fs::File::open(&new)
            .unwrap()
            .set_modified(std::time::SystemTime::now() - age)
            .unwrap();
        names.push(new);
        if number == 3 {
            assert!(!names[0].exists(), "the one longest unused goes first");
            // Used again, so that the next goes in its place.
            loaded(&engine, &modules[1]);
        }
    }
    let mut left = kept(&cache);
    left.sort();
    let mut expected = vec![names[1].clone(), names[3].clone(), names[4].clone()];
    expected.sort();
    assert_eq!(left, expected);

    // By bytes: the newest stays, however large.
    let engine = Engine::new(Limits {
        cache_bytes: 1,
        ..limits
    })
    .unwrap();
    loaded(&engine, &modules[0]);
    assert_eq!(kept(&cache).len(), 1);
}

fn a_program_that_is_no_compiler_is_found_out() {
    for program in ["/bin/true", "/bin/false", "/bin/cat", "/nonexistent/compiler"] {
        let compile = Compile::Child {
            program: program.into(),
            limits: limits(),
        };
        let refused = Engine::compiling(lifted(None), compile).unwrap_err();
        assert!(matches!(refused, EngineError::Compiler { .. }), "{program}: {refused}");
        assert!(
            refused.to_string().starts_with("the compiler of rules cannot be run: "),
            "{refused}"
        );
    }
}
