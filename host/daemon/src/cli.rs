//! The command line. Machine output is `--format ndjson` everywhere: one object a line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::DEFAULT_CONFIG;
use crate::control::VersionVerb;

/// Collects Cisco Duo logs and judges every event with sandboxed detection rules.
#[derive(Debug, Parser)]
#[command(name = "picket", version, propagate_version = true)]
pub(crate) struct Cli {
    /// The configuration file.
    #[arg(long, short, global = true, value_name = "FILE", env = "PICKET_CONFIG", default_value = DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the daemon: collect, judge, deliver.
    Run,
    /// Check the configuration, the rules, the access to Duo and the sinks, and say what to change.
    Check {
        /// Do not call Duo.
        #[arg(long)]
        offline: bool,
        /// Send each sink one alert that says of itself that it is a test.
        #[arg(long)]
        send: bool,
        /// With --send: this sink alone; may be repeated.
        #[arg(long, value_name = "NAME", requires = "send")]
        sink: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
    /// How everything stands: the verdict first, then the worst first.
    Status {
        /// Only this tenant.
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Make the running daemon read its configuration and rules again, and say what came of it.
    Reload {
        #[command(flatten)]
        output: Output,
    },
    /// Show collected events.
    Logs(Logs),
    /// List alerts, or show one.
    Alerts(Alerts),
    /// Alerts that belong together, each group as one; or one of them with its alerts.
    Incidents(Incidents),
    /// What waits to be delivered, and what was not.
    Outbox {
        #[command(subcommand)]
        verb: OutboxVerb,
    },
    /// Everything about one user, in order.
    Timeline(Timeline),
    /// All that concerns rules.
    Rule {
        #[command(subcommand)]
        verb: RuleVerb,
    },
    /// Who changed what, when and why.
    Audit(Audit),
    /// Write an exception from an alert's values: no more alerts like it, for a while.
    Except(Except),
    /// What is stored: check it, copy it, make it small, take events out.
    Store {
        #[command(subcommand)]
        verb: StoreVerb,
    },
    /// Customers.
    Tenant {
        #[command(subcommand)]
        verb: TenantVerb,
    },
    /// Judge exported events with rules, without a daemon.
    Replay(Replay),
    /// Make the running daemon read a piece of the past and judge it; its alerts are kept and not sent.
    Backfill(Backfill),
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Ndjson,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Where the events come from.
    #[arg(long, default_value = "duo")]
    pub(crate) source: String,
    /// Only the last so many.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) tail: usize,
    /// Only of this tenant.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    /// Only of this log of Duo's; may be repeated.
    #[arg(long = "log", value_name = "LOG")]
    pub(crate) logs: Vec<String>,
    /// Only events so recent, as 24h, or since an RFC 3339 time.
    #[arg(long, value_name = "SPAN")]
    pub(crate) since: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Alerts {
    #[command(subcommand)]
    pub(crate) verb: Option<AlertsVerb>,
    /// Only of this tenant.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    /// Only of this rule.
    #[arg(long, value_name = "ID")]
    pub(crate) rule: Option<String>,
    /// Only so recent, as 24h, or since an RFC 3339 time.
    #[arg(long, value_name = "SPAN")]
    pub(crate) since: Option<String>,
    /// Only the last so many.
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,
    /// Those of rules in shadow, which nobody was told of, in place of the others.
    #[arg(long)]
    pub(crate) shadow: bool,
    /// Those that an exception suppressed, in place of the others.
    #[arg(long, conflicts_with = "shadow")]
    pub(crate) suppressed: bool,
    /// Only of the incident whose id begins so; `al_` may be left out.
    #[arg(long, value_name = "ID", conflicts_with_all = ["shadow", "suppressed"])]
    pub(crate) incident: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsVerb {
    /// Show one alert whole.
    Show {
        /// Its id, or the beginning of it; `al_` may be left out.
        id: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Incidents {
    #[command(subcommand)]
    pub(crate) verb: Option<IncidentsVerb>,
    /// Only of this tenant.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    /// Only with an alert so recent, as 24h, or since an RFC 3339 time.
    #[arg(long, value_name = "SPAN")]
    pub(crate) since: Option<String>,
    /// Only the last so many.
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentsVerb {
    /// Show one incident with all its alerts.
    Show {
        /// Its id, or the beginning of it; `al_` may be left out.
        id: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutboxVerb {
    /// For each sink what waits, and each alert that it will not get by itself.
    List(OutboxWhich),
    /// Make the running daemon try again now: what waits, and what was refused for good.
    Retry {
        #[command(flatten)]
        which: OutboxWhich,
        /// Only these alerts, by id.
        #[arg(value_name = "ALERT")]
        ids: Vec<String>,
        /// Why, for the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Make the running daemon give up alerts: they stay stored, and are not sent.
    Drop {
        #[command(flatten)]
        which: OutboxWhich,
        /// These alerts, by their whole ids.
        #[arg(value_name = "ALERT", required_unless_present = "all")]
        ids: Vec<String>,
        /// Everything that waits or was refused; needs --sink.
        #[arg(long, conflicts_with = "ids", requires = "sink")]
        all: bool,
        /// Why, for the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OutboxWhich {
    /// Only of this sink.
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
    /// Only of this tenant.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Except {
    /// The alert's id, or the beginning of it; `al_` may be left out.
    #[arg(value_name = "ALERT")]
    pub(crate) alert: String,
    /// What has to be the same: user, actor, address, country, application, device, a field of its events as access_device.ip,
    /// or facts.NAME; may be repeated, and all must hold.
    #[arg(long = "field", value_name = "FIELD", required = true)]
    pub(crate) fields: Vec<String>,
    /// For how long, as 30d; or never, for one that never ends.
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) lasts: String,
    /// Why, for whoever reads it next year.
    #[arg(long)]
    pub(crate) reason: String,
    /// Where more is written about it.
    #[arg(long)]
    pub(crate) ticket: Option<String>,
    /// Who answers for it; left out: you.
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Its name; left out: made of the rule's and the alert's id.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// For whom: a tenant, or one of tenant_groups; may be repeated. Left out: for the alert's tenant.
    #[arg(long = "tenant", value_name = "ID")]
    pub(crate) tenants: Vec<String>,
    /// For everybody.
    #[arg(long, conflicts_with = "tenants")]
    pub(crate) all_tenants: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// From when, as 24h, or an RFC 3339 time.
    #[arg(long, value_name = "SPAN", default_value = "7d")]
    pub(crate) since: String,
    /// Only what concerns this tenant.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Whether everything can be read back and fits together; beside a running daemon, too.
    Check {
        /// Leave out whether SQLite's indexes fit their tables, which takes longest.
        #[arg(long)]
        quick: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Copy the store, with the keys and modules that belong to it, into a new directory, and read the copy back.
    Backup {
        /// The directory; it must not be there yet.
        #[arg(value_name = "TO")]
        to: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Give back to the disk what the store no longer needs.
    Compact {
        #[command(flatten)]
        output: Output,
    },
    /// Write events as they came from Duo, one a line, as `picket replay --events` reads them.
    Export(Export),
    /// How much is stored of whom, and how much room there is.
    Info {
        /// Only of this tenant.
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Whose.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: String,
    /// Only of this log of Duo's; may be repeated.
    #[arg(long = "log", value_name = "LOG")]
    pub(crate) logs: Vec<String>,
    /// From when: 2026-05-01, 2026-05-01T09:00:00Z, or 7d for seven days ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Up to when, in the same ways.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Into this directory, which must be empty or not there: LOG/DAY.ndjson. Else one log goes to standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) to_dir: Option<PathBuf>,
    /// Packed with zstd.
    #[arg(long)]
    pub(crate) zstd: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantVerb {
    /// Delete everything that is stored of a customer who is no longer in the configuration, and show that it is gone.
    Purge {
        /// The tenant's id.
        #[arg(value_name = "ID")]
        id: String,
        /// Without this, what would be deleted is listed.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Timeline {
    /// TENANT/USER; with one tenant, USER alone.
    #[arg(value_name = "TENANT/USER")]
    pub(crate) subject: String,
    /// From when, as 24h, or an RFC 3339 time.
    #[arg(long, value_name = "SPAN", default_value = "24h")]
    pub(crate) since: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuleVerb {
    /// Every rule, how it stands and why.
    List {
        /// With limits, what was used of them, and what each rule failed on.
        #[arg(long, short)]
        verbose: bool,
        /// Instead, who was alerted about most since then, as 30d, and which exceptions never matched or end soon.
        #[arg(long, value_name = "SPAN", conflicts_with_all = ["verbose", "at"])]
        noise: Option<String>,
        /// Instead, which rules judged at that time, and how they were set: 2026-05-01, or an RFC 3339 time.
        #[arg(long, value_name = "TIME", conflicts_with = "verbose")]
        at: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Sign modules: writes MODULE.minisig beside each, in minisign's format.
    Sign(Sign),
    /// Check the signatures beside modules.
    Verify {
        /// Modules.
        #[arg(required = true, value_name = "MODULE")]
        modules: Vec<PathBuf>,
        /// The public key, or the file it is in; without it, the keys that the configuration trusts.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Make a key to sign with: NAME.key, to be kept secret, and NAME.pub.
    Keygen(Keygen),
    /// Have a version go live that waits, or try one again that was refused or taken back.
    Promote(Version),
    /// Go back to the version that judged before.
    Rollback(Version),
    /// Stop a rule where it stands, over restarts and updates, until it is resumed. It misses nothing.
    Pause(Version),
    /// Have a paused rule go on from where it stopped.
    Resume(Version),
    /// What became of every version of a module, step by step.
    History {
        /// A rule's id, or a module's file.
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// What a version that waits, or the last one compared, raised otherwise than the one it replaces.
    Diff {
        /// A rule's id, or a module's file.
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Run the timed cases of modules in the production sandbox.
    Test {
        /// Modules, or directories of modules.
        #[arg(required = true, value_name = "MODULE")]
        modules: Vec<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
}

impl RuleVerb {
    /// What is asked of the daemon about versions, if that is what it is.
    pub(crate) fn change(&self) -> Option<(VersionVerb, &Version)> {
        match self {
            RuleVerb::Promote(asked) => Some((VersionVerb::Promote, asked)),
            RuleVerb::Rollback(asked) => Some((VersionVerb::Rollback, asked)),
            RuleVerb::Pause(asked) => Some((VersionVerb::Pause, asked)),
            RuleVerb::Resume(asked) => Some((VersionVerb::Resume, asked)),
            _ => None,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Version {
    /// A rule's id, or a module's file.
    pub(crate) name: String,
    /// Why, for the history and the audit log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// Modules.
    #[arg(required = true, value_name = "MODULE")]
    pub(crate) modules: Vec<PathBuf>,
    /// The secret key: of `picket rule keygen` or `minisign -G`.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// What is signed with each module and shown with it; without it, its name and when it was signed.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// A file whose first line is the key's password; else PICKET_KEY_PASSWORD, else it is asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// Where to: NAME.key and NAME.pub. Neither may be there yet.
    #[arg(value_name = "NAME")]
    pub(crate) name: PathBuf,
    /// The key has no password: for a machine that signs by itself and keeps the file to itself.
    #[arg(long)]
    pub(crate) no_password: bool,
    /// A file whose first line is to be the key's password; else PICKET_KEY_PASSWORD, else it is asked for.
    #[arg(long, value_name = "FILE", conflicts_with = "no_password")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Backfill {
    /// Duo's log, as `collect:` names it; may be repeated, so that rules on several logs see them together.
    #[arg(long = "log", value_name = "LOG", required_unless_present = "list")]
    pub(crate) logs: Vec<String>,
    /// From when: 2026-05-01, 2026-05-01T09:00:00Z, or 7d for seven days ago.
    #[arg(long, value_name = "TIME", required_unless_present = "list")]
    pub(crate) from: Option<String>,
    /// Up to when, in the same ways.
    #[arg(long, value_name = "TIME", required_unless_present = "list")]
    pub(crate) to: Option<String>,
    /// Whose; may be left out where there is one tenant.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    /// List what was asked for, and how it stands.
    #[arg(long, conflicts_with_all = ["logs", "from", "to"])]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What a module may be granted beyond the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Grant {
    /// Phone numbers in clear.
    Phone,
    /// Fields as received where phone numbers stand.
    Raw,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A directory of modules, or one module. Without it the journal of a store is judged as it was judged.
    #[arg(long, value_name = "DIR", required_unless_present = "store")]
    pub(crate) rules: Option<PathBuf>,
    /// Raw Duo events, one a line: LOG=FILE, LOG being authentication, activity, administrator or telephony; may be repeated.
    #[arg(
        long = "events",
        value_name = "LOG=FILE",
        required_unless_present = "store",
        conflicts_with = "store"
    )]
    pub(crate) events: Vec<String>,
    /// The events that a store holds, in this directory or in the configuration's data_dir; beside a running daemon, too.
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    #[allow(clippy::option_option, reason = "how clap tells an option without its value")]
    pub(crate) store: Option<Option<PathBuf>>,
    /// The tenant's id, which is part of every alert's id. With --events `default` by default, with --store the only tenant.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    /// Only alerts at or after: a day, an RFC 3339 time, or a span back from now.
    #[arg(long, value_name = "T", requires = "store")]
    pub(crate) from: Option<String>,
    /// Only alerts before.
    #[arg(long, value_name = "T", requires = "store")]
    pub(crate) to: Option<String>,
    /// How the alerts differ from those that the store holds: gained, lost, changed.
    #[arg(long, requires = "store")]
    pub(crate) compare: bool,
    /// The key that masks the tenant's phone numbers, <data_dir>/keys/<tenant>.phone: without it a substitute stands in.
    #[arg(long, value_name = "FILE")]
    pub(crate) phone_key: Option<PathBuf>,
    /// What the modules are granted; may be repeated.
    #[arg(long, value_name = "GRANT")]
    pub(crate) grant: Vec<Grant>,
    #[command(flatten)]
    pub(crate) output: Output,
}
