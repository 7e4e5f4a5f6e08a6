//! The `picket` binary: configuration, wiring, reload, control socket, command line.
//!
//! Exit codes: 0 all is well; 1 something needs a person (a check failed, a case failed, the daemon is not well); 2 the
//! input is wrong (arguments, configuration, events).
#![forbid(unsafe_code)]

mod account;
mod accounts;
mod audit;
mod backfill;
mod cli;
mod commands;
mod config;
mod control;
mod counts;
mod daemon;
mod deliver;
mod exceptions;
mod filed;
mod out;
mod phone_key;
mod probation;
mod purge;
mod registry;
mod repeated;
mod rules_view;
mod ruleset;
mod sight;
mod signature;
mod sizes;
mod status;
mod stock;
mod trial;
mod upkeep;
mod warming;
mod watch;
mod when;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use cli::{AlertsVerb, Cli, IncidentsVerb, RuleVerb, Verb};

fn main() -> ExitCode {
    let began = std::time::Instant::now();
    // Before anything else: what compiles a module of strangers has one thread, no file open, and reads no configuration.
    if is_compiler(std::env::args_os()) {
        return picket_sandbox::compile_child();
    }
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(filter(std::env::var("PICKET_LOG").ok().as_deref()))
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    if let Err(error) = picket_failpoint::arm() {
        eprintln!("picket: {error}");
        return ExitCode::from(2);
    }
    // Two providers may be compiled in; the choice is made once, here. A second call only says that it is made.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(judging_threads())
        .thread_stack_size(config::sandbox_thread_stack())
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("picket: cannot start threads: {error}");
            return ExitCode::from(1);
        }
    };
    let ended = runtime.block_on(dispatch(&cli, began));
    // Work on threads that does not end by itself is as good as killed: what it did is in the store, or will be done again.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("picket: {error:#}");
            let is_input = error.is::<config::Problems>() || !matches!(cli.verb, Verb::Run);
            ExitCode::from(if is_input { 2 } else { 1 })
        }
    }
}

/// Whether the daemon, or another verb, started us to compile one module. Not a verb for people.
fn is_compiler(mut arguments: impl ExactSizeIterator<Item = std::ffi::OsString>) -> bool {
    arguments.len() == 2
        && arguments
            .nth(1)
            .is_some_and(|verb| verb == picket_sandbox::COMPILE_VERB)
}

/// Threads on which pages are judged and the store is asked. More than the processors can use would only cost memory: each
/// keeps what it freed for itself, which with a thousand tenants came to 100 MB.
fn judging_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    processors.saturating_mul(4).clamp(8, 64)
}

/// What is logged. `trace` means Picket's own: the compiler's word on each instruction is left out unless it is asked for.
fn filter(asked: Option<&str>) -> EnvFilter {
    const LOUD: [&str; 3] = ["cranelift", "regalloc2", "wasmtime"];
    let asked = asked.filter(|asked| !asked.trim().is_empty()).unwrap_or("info");
    let quiet = LOUD.iter().filter(|target| !asked.contains(*target));
    let quiet: Vec<String> = quiet.map(|target| format!(",{target}=warn")).collect();
    EnvFilter::try_new(format!("{asked}{}", quiet.concat())).unwrap_or_else(|_| EnvFilter::new("info"))
}

async fn dispatch(cli: &Cli, began: std::time::Instant) -> anyhow::Result<bool> {
    match &cli.verb {
        Verb::Replay(arguments) => commands::replay::run(arguments, &cli.config)?,
        Verb::Rule {
            verb: RuleVerb::Test { modules, output },
        } => {
            return commands::rule_test::run(modules, output.format);
        }
        Verb::Rule {
            verb: RuleVerb::Sign(arguments),
        } => commands::rule_sign::sign(arguments)?,
        Verb::Rule {
            verb: RuleVerb::Keygen(arguments),
        } => commands::rule_sign::keygen(arguments)?,
        Verb::Rule {
            verb:
                RuleVerb::Verify {
                    modules,
                    key: Some(key),
                    output,
                },
        } => {
            let signatures = commands::rule_sign::only(key)?;
            return commands::rule_sign::verify(modules, &signatures, output.format);
        }
        Verb::Run => daemon::run(config::load_for_run(&cli.config)?, began).await?,
        Verb::Check { .. } => return configured(cli, config::load_whole(&cli.config)?).await,
        _ => {
            // One customer's slip of the pen must not hide the others: the daemon goes on, and so do the verbs beside it.
            let loaded = config::load_for_run(&cli.config)?;
            for (tenant, problems) in &loaded.broken {
                eprintln!("picket: {tenant} is left out: {problems}");
            }
            return configured(cli, loaded.config).await;
        }
    }
    Ok(true)
}

async fn configured(cli: &Cli, config: config::Config) -> anyhow::Result<bool> {
    let plain = config.clone();
    let config = commands::with_children(config);
    match &cli.verb {
        Verb::Check {
            offline,
            send,
            sink,
            output,
        } => {
            let sending = commands::check::Sending {
                send: *send,
                names: sink,
            };
            return commands::check::run(&plain, &config, *offline, sending, output.format).await;
        }
        Verb::Status { tenant, output } => {
            return commands::status::status(&config, tenant.as_deref(), output.format).await;
        }
        Verb::Reload { output } => return commands::status::reload(&config, output.format).await,
        Verb::Logs(arguments) => commands::logs::run(&config, arguments)?,
        Verb::Alerts(arguments) => match &arguments.verb {
            Some(AlertsVerb::Show { id, output }) => commands::alerts::show(&config, id, output.format)?,
            None => commands::alerts::list(&config, arguments)?,
        },
        Verb::Incidents(arguments) => match &arguments.verb {
            Some(IncidentsVerb::Show { id, output }) => commands::incidents::show(&config, id, output.format)?,
            None => commands::incidents::list(&config, arguments)?,
        },
        Verb::Backfill(arguments) => return commands::backfill::run(&config, arguments).await,
        Verb::Outbox { verb } => return commands::outbox::run(&config, verb).await,
        Verb::Timeline(arguments) => commands::timeline::run(&config, arguments)?,
        Verb::Except(arguments) => return commands::except::run(&config, arguments).await,
        Verb::Audit(arguments) => commands::audit::run(&config, arguments)?,
        Verb::Store { verb } => return commands::store::run(&config, verb).await,
        Verb::Tenant { verb } => return commands::tenant::run(&plain, verb).await,
        Verb::Rule {
            verb:
                RuleVerb::List {
                    output,
                    verbose,
                    noise,
                    at,
                },
        } => match (noise, at) {
            (Some(span), _) => commands::noise::run(&config, span, output.format)?,
            (None, Some(at)) => commands::in_force::run(&config, at, output.format)?,
            (None, None) => commands::rule_list::run(&config, output.format, *verbose).await?,
        },
        Verb::Rule {
            verb: RuleVerb::Verify { modules, output, .. },
        } => return commands::rule_sign::verify(modules, &config.signatures, output.format),
        Verb::Rule {
            verb: RuleVerb::History { name, output },
        } => commands::versions::history(&config, name, output.format)?,
        Verb::Rule {
            verb: RuleVerb::Diff { name, output },
        } => commands::versions::diff(&config, name, output.format)?,
        Verb::Rule { verb } if verb.change().is_some() => {
            if let Some((what, asked)) = verb.change() {
                let (name, reason, format) = (&asked.name, asked.reason.as_deref(), asked.output.format);
                return commands::versions::change(&config, what, name, reason, format).await;
            }
        }
        Verb::Rule { .. } | Verb::Run | Verb::Replay(_) => {}
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_words_are_left_out_unless_asked_for() {
        assert_eq!(filter(None).to_string(), filter(Some("")).to_string());
        assert!(filter(Some("trace")).to_string().contains("cranelift=warn"));
        assert!(filter(Some("cranelift=debug")).to_string().contains("cranelift=debug"));
        assert!(!filter(Some("cranelift=debug")).to_string().contains("cranelift=warn"));
    }
}
