//! Compile bombs at the limits that everybody has: refused before they are compiled; and, where nothing refuses them, stopped
//! within the compiler's time and memory, while a rule beside them is called all the time and answers as ever.
//!
//! The compiler is the real one, `picket` itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, Instant};

use picket_contract::{Call, Evaluate, Outcome, Params, RuleState, Tables};
use picket_hostile::{Answer, Guest, compile_bombs, endless_to_compile, rows};
use picket_sandbox::{Compile, CompileLimit, CompileLimits, Engine, Limits, Module, Rejected, StaticLimits};

/// Beside the compiler's own ten seconds: reading the module, and a machine with other things to do. No figure.
const SLACK: Duration = Duration::from_secs(30);

/// An engine that leaves every bomb to the walls around the compiler, which are what they are by default.
fn without_static_limits() -> Engine {
    let limits = Limits {
        concurrency: 2,
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
    };
    let compile = Compile::Child {
        program: picket_e2e::installed("debug/picket"),
        limits: CompileLimits::default(),
    };
    Engine::compiling(limits, compile).unwrap()
}

fn call(module: &Module) -> Outcome {
    let (batch, state, params, tables) = (rows(100, 1), RuleState::default(), Params::new(), Tables::default());
    let call = Call {
        rule: "t",
        batch: &batch,
        state: &state,
        params: &params,
        tables: &tables,
    };
    module.evaluate(call).unwrap()
}

/// The compiler's process, once it is behind its walls, and the most memory that it has had resident so far, bytes.
fn compiler() -> Option<(u32, u64)> {
    let own = format!("PPid:\t{}", std::process::id());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.find_map(|process: u32| {
        // Gone by now: then it is not that one.
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let is_it = status.contains(&own) && status.contains("NoNewPrivs:\t1");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().ok()?;
        is_it.then_some((process, peak << 10))
    })
}

#[test]
fn every_bomb_is_stopped_in_time_and_memory_while_a_rule_beside_it_is_called() {
    let limits = CompileLimits::default();
    assert_eq!((limits.time, limits.memory_bytes), (Duration::from_secs(10), 512 << 20));
    let (usual, engine) = (Engine::new(Limits::default()).unwrap(), without_static_limits());
    let neighbour = Guest::new(Answer::titled(4).body()).items(r#"(data (i32.const 600) "Seen")"#);
    let neighbour = engine.load(&neighbour.component()).unwrap();
    let undisturbed = call(&neighbour);
    let mut stopped = Vec::new();
    // Those of the study, some of which a compiler gets done in time; and what none does.
    for (name, bomb) in compile_bombs().into_iter().take(5).chain(endless_to_compile()) {
        let refused = usual.inspect(&bomb).unwrap_err();
        assert_eq!(refused.code(), "too-large", "{name}: {refused}");

        let began = Instant::now();
        let (mut peak, mut calls) = (0, 0);
        let answer = std::thread::scope(|threads| {
            let loading = threads.spawn(|| engine.load(&bomb));
            while !loading.is_finished() {
                let before = compiler();
                assert_eq!(call(&neighbour), undisturbed, "{name}");
                let after = compiler();
                peak = peak.max(after.map_or(0, |(_, peak)| peak));
                // The call was made while the compiler was at it, from beginning to end.
                let process = |seen: Option<(u32, u64)>| seen.map(|(process, _)| process);
                calls += u32::from(before.is_some() && process(before) == process(after));
                std::thread::sleep(Duration::from_millis(2));
            }
            loading.join().unwrap()
        });
        let took = began.elapsed();
        let said = answer.as_ref().map_or_else(Rejected::line, |_| "compiled".to_owned());
        println!(
            "{name}, {} KiB: {said}; {:.1} s, {} MiB, {calls} calls meanwhile",
            bomb.len() >> 10,
            took.as_secs_f64(),
            peak >> 20
        );
        match answer {
            // Within its limits, which is all that is asked.
            Ok(_) => {}
            Err(Rejected::Killed { limit, .. }) => {
                assert!(!matches!(limit, CompileLimit::Output), "{name}: {said}");
                stopped.push(name);
                assert!(calls >= 10, "{name}: {calls} calls while it was compiled");
            }
            Err(_) => assert!(said.starts_with("compile-failed"), "{name}: {said}"),
        }
        assert!(took < limits.time + SLACK, "{name}: {took:?}");
        assert!(peak <= limits.memory_bytes, "{name}: {peak} bytes");
    }
    assert!(stopped.contains(&"locals-1000-million"), "{stopped:?}");
}
