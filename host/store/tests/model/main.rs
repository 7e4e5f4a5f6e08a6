//! Random histories of everything a store can be told, on an engine and on the model beside it (`picket_store::conformance`).
//!
//! The engine is closed and opened, killed (its files are taken as they lie at that moment), fails in the middle of a commit,
//! forgets what is old and has tenants purged in between; after every step whatever it can be asked is what the model says.
//! Another engine is one more [`Engine`].
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test are a test"
)]

mod parts;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex};

use picket_store::conformance::{Model, audit};
use picket_store::{GenerationRow, Hook, Moment, Old, Options, SqliteStore, Store, StoreError, Transaction};
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tempfile::TempDir;

use self::parts::{Part, SEGMENT, log, part, transaction};

const SINKS: [&str; 2] = ["one", "two"];

/// Where a commit is cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Nothing is durable.
    Before,
    /// Everything is, and nobody was told.
    After,
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    /// A transaction; `skew` spoils the journal numbers now and then.
    Transact {
        tenant: &'static str,
        parts: Vec<Part>,
        skew: u64,
        cut: Option<Cut>,
    },
    /// A segment is done with.
    Discard { segment: &'static str },
    /// What is old of a log is forgotten, a part at a time.
    Forget {
        tenant: &'static str,
        log: &'static str,
        old: Old,
    },
    /// Its ids are.
    ForgetIds {
        tenant: &'static str,
        log: &'static str,
        before: i64,
        most: u64,
    },
    /// Alerts that are over are.
    ForgetAlerts { tenant: &'static str, before: i64 },
    /// A tenant leaves.
    Purge { tenant: &'static str },
    /// A sink takes some.
    Deliver { sink: &'static str, most: usize },
    /// Somebody changed something.
    Audit { time: i64, tenant: &'static str },
    /// Other rules judge, or the same again.
    Generation { tenant: &'static str, json: u8 },
    /// Room is given back, the log folded in, or everything written anew.
    Tidy { anew: bool },
    /// The store is closed and opened.
    Reopen,
    /// It is killed.
    Crash,
}

/// What the model says of the last step.
#[derive(Debug, Clone, Default)]
enum Said {
    #[default]
    Nothing,
    /// A transaction, and whether it is accepted.
    Transaction(Transaction, bool),
    /// How much is forgotten.
    Gone(u64),
    /// What a sink is given.
    Given(Vec<(String, Arc<str>)>),
    /// A generation.
    Generation(GenerationRow),
}

/// The model, and what it says.
#[derive(Debug, Clone, Default)]
struct Reference {
    model: Model,
    steps: u64,
    said: Said,
}

fn tenant() -> impl Strategy<Value = &'static str> {
    prop::sample::select(["acme", "other"].as_slice())
}

fn journal() -> impl Strategy<Value = &'static str> {
    prop::sample::select(["acme", "other", SEGMENT].as_slice())
}

impl ReferenceStateMachine for Reference {
    type State = Reference;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Reference> {
        Just(Reference::default()).boxed()
    }

    fn transitions(_state: &Reference) -> BoxedStrategy<Step> {
        let cut = prop_oneof![8 => Just(None), 1 => Just(Some(Cut::Before)), 1 => Just(Some(Cut::After))];
        let parts = prop::collection::vec(part(), 0..5);
        let most = || prop_oneof![Just(1_u64), Just(4), Just(u64::MAX)];
        let up_to = prop_oneof![3 => Just(i64::MAX.unsigned_abs()), 1 => 0..60_u64];
        let old = (0..60_i64, up_to, most()).prop_map(|(before, up_to, most)| Old { before, up_to, most });
        prop_oneof![
            16 => (journal(), parts, prop_oneof![9 => Just(0_u64), 1 => 1..3_u64], cut)
                .prop_map(|(tenant, parts, skew, cut)| Step::Transact { tenant, parts, skew, cut }),
            3 => (prop::sample::select(SINKS.as_slice()), 0..4_usize).prop_map(|(sink, most)| Step::Deliver { sink, most }),
            1 => prop::sample::select([SEGMENT, "acme"].as_slice()).prop_map(|segment| Step::Discard { segment }),
            2 => (journal(), log(), old).prop_map(|(tenant, log, old)| Step::Forget { tenant, log, old }),
            2 => (journal(), log(), 0..60_i64, most())
                .prop_map(|(tenant, log, before, most)| Step::ForgetIds { tenant, log, before, most }),
            2 => (tenant(), 0..500_i64).prop_map(|(tenant, before)| Step::ForgetAlerts { tenant, before }),
            1 => tenant().prop_map(|tenant| Step::Purge { tenant }),
            1 => (0..60_i64, tenant()).prop_map(|(time, tenant)| Step::Audit { time, tenant }),
            1 => (tenant(), 0..3_u8).prop_map(|(tenant, json)| Step::Generation { tenant, json }),
            1 => prop::bool::weighted(0.2).prop_map(|anew| Step::Tidy { anew }),
            1 => Just(Step::Reopen),
            1 => Just(Step::Crash),
        ]
        .boxed()
    }

    fn apply(mut state: Reference, step: &Step) -> Reference {
        state.steps += 1;
        let model = &mut state.model;
        state.said = match step {
            Step::Transact {
                tenant,
                parts,
                skew,
                cut,
            } => {
                let transaction = transaction(model, tenant, parts, *skew);
                let mut after = model.clone();
                let is_accepted = after.transact(tenant, &transaction);
                if *cut != Some(Cut::Before) || transaction.is_empty() {
                    *model = after;
                }
                Said::Transaction(transaction, is_accepted)
            }
            Step::Discard { segment } => {
                model.discard(segment);
                Said::Nothing
            }
            Step::Forget { tenant, log, old } => Said::Gone(model.forget(tenant, log, old)),
            Step::ForgetIds {
                tenant,
                log,
                before,
                most,
            } => Said::Gone(model.forget_ids(tenant, log, *before, *most)),
            Step::ForgetAlerts { tenant, before } => Said::Gone(model.forget_alerts(tenant, *before, &SINKS)),
            Step::Purge { tenant } => {
                model.purge(tenant);
                Said::Nothing
            }
            Step::Deliver { sink, most } => Said::Given(model.deliver(sink, *most)),
            Step::Audit { time, tenant } => {
                model.note_audit(&entries(*time, tenant));
                Said::Nothing
            }
            Step::Generation { tenant, json } => {
                let row = GenerationRow {
                    number: state.steps,
                    since: state.steps.cast_signed(),
                    json: format!("[{json}]").into(),
                };
                model.note_generation(tenant, &row);
                Said::Generation(row)
            }
            Step::Tidy { .. } | Step::Reopen | Step::Crash => Said::Nothing,
        };
        state
    }
}

fn entries(time: i64, tenant: &str) -> Vec<picket_store::AuditRow> {
    vec![audit(time, tenant, "rule r"), audit(time, "", "lists.vpn")]
}

/// A way to keep a store.
trait Engine: Debug + 'static {
    /// What is opened.
    type Store: Store;

    /// Opens what is in a directory. `cut`: where the next commit is to fail, if it is.
    fn open(directory: &Path, cut: Arc<Mutex<Option<Cut>>>) -> Self::Store;

    /// Takes everything in a directory as it lies there at this moment, as a kill would leave it, to another.
    fn killed(directory: &Path, to: &Path);

    /// Whatever an engine does to its files without changing what is stored.
    fn tidy(store: &Self::Store, anew: bool);

    /// Whether it finds itself sound.
    fn is_sound(store: &Self::Store) -> Result<(), String>;
}

/// The engine on a disk.
#[derive(Debug)]
struct Sqlite;

impl Engine for Sqlite {
    type Store = SqliteStore;

    fn open(directory: &Path, cut: Arc<Mutex<Option<Cut>>>) -> SqliteStore {
        let hook = Hook(Arc::new(move |moment| {
            let here = match moment {
                Moment::BeforeCommit { .. } => Cut::Before,
                Moment::AfterCommit { .. } => Cut::After,
            };
            match cut.lock().unwrap().take_if(|cut| *cut == here) {
                Some(_) => Err(std::io::Error::other("the disk went away")),
                None => Ok(()),
            }
        }));
        let options = Options {
            hook: Some(hook),
            ..Options::default()
        };
        SqliteStore::open_with(directory, options).unwrap()
    }

    fn killed(directory: &Path, to: &Path) {
        for file in ["picket.db", "picket.db-wal"] {
            std::fs::copy(directory.join(file), to.join(file)).unwrap();
        }
    }

    fn tidy(store: &SqliteStore, anew: bool) {
        if anew {
            store.rebuild().unwrap();
        } else {
            store.tighten().unwrap();
        }
    }

    fn is_sound(store: &SqliteStore) -> Result<(), String> {
        let checked = store.check(false, &mut |_, _| {}).unwrap();
        match checked.findings.first() {
            None => Ok(()),
            Some(finding) => Err(finding.what.clone()),
        }
    }
}

/// The engine at work.
struct Machine<E: Engine> {
    // Closed before its directory goes.
    store: Option<E::Store>,
    directory: TempDir,
    cut: Arc<Mutex<Option<Cut>>>,
    /// Up to which number each sink was given alerts.
    delivered: BTreeMap<&'static str, u64>,
    engine: PhantomData<E>,
}

impl<E: Engine> Machine<E> {
    fn store(&self) -> &E::Store {
        self.store.as_ref().unwrap()
    }
}

impl<E: Engine> StateMachineTest for Machine<E> {
    type SystemUnderTest = Machine<E>;
    type Reference = Reference;

    fn init_test(_: &Reference) -> Machine<E> {
        let directory = tempfile::tempdir().unwrap();
        let cut = Arc::default();
        Machine {
            store: Some(E::open(directory.path(), Arc::clone(&cut))),
            directory,
            cut,
            delivered: BTreeMap::new(),
            engine: PhantomData,
        }
    }

    fn apply(mut machine: Machine<E>, reference: &Reference, step: Step) -> Machine<E> {
        match (step, &reference.said) {
            (Step::Transact { tenant, cut, .. }, Said::Transaction(transaction, is_accepted)) => {
                let is_empty = transaction.is_empty();
                *machine.cut.lock().unwrap() = cut;
                let outcome = machine.store().transact(tenant, transaction.clone());
                *machine.cut.lock().unwrap() = None;
                match (outcome, is_accepted, cut.filter(|_| !is_empty)) {
                    (Ok(()), true, None) | (Err(StoreError::Refused { .. }), false, None) => {}
                    // Whether it came to be, the next reads tell.
                    (Err(StoreError::Engine { .. }), _, Some(_)) => {}
                    (outcome, ..) => panic!("accepted is {is_accepted}, cut {cut:?}: {outcome:?}"),
                }
            }
            (Step::Discard { segment }, _) => machine.store().discard(segment).unwrap(),
            (Step::Forget { tenant, log, old }, Said::Gone(gone)) => {
                assert_eq!(machine.store().forget(tenant, log, &old).unwrap(), *gone);
            }
            (
                Step::ForgetIds {
                    tenant,
                    log,
                    before,
                    most,
                },
                Said::Gone(gone),
            ) => assert_eq!(machine.store().forget_ids(tenant, log, before, most).unwrap(), *gone),
            (Step::ForgetAlerts { tenant, before }, Said::Gone(gone)) => {
                let given = |sink: &&str| machine.delivered.get(*sink).copied().unwrap_or(0);
                let up_to = SINKS.iter().map(given).min().unwrap();
                let forgotten = machine.store().forget_alerts(tenant, before, up_to, u64::MAX);
                assert_eq!(forgotten.unwrap(), *gone);
            }
            (Step::Purge { tenant }, _) => {
                machine.store().purge(tenant).unwrap();
                assert_eq!(machine.store().rows_of(tenant).unwrap(), []);
            }
            (Step::Deliver { sink, most }, Said::Given(expected)) => {
                let rows = machine.store().outbox(sink, most).unwrap();
                let given: Vec<_> = rows
                    .iter()
                    .map(|row| (row.tenant.to_string(), row.alert.clone()))
                    .collect();
                assert_eq!(given, *expected);
                if let Some(last) = rows.last() {
                    machine.store().delivered(sink, last.number).unwrap();
                    machine.delivered.insert(sink, last.number);
                }
            }
            (Step::Audit { time, tenant }, _) => machine.store().note_audit(entries(time, tenant)).unwrap(),
            (Step::Generation { tenant, .. }, Said::Generation(row)) => {
                machine.store().note_generation(tenant, row.clone()).unwrap();
            }
            (Step::Tidy { anew }, _) => E::tidy(machine.store(), anew),
            (Step::Reopen, _) => {
                drop(machine.store.take());
                machine.store = Some(E::open(machine.directory.path(), machine.cut.clone()));
            }
            (Step::Crash, _) => {
                let left = tempfile::tempdir().unwrap();
                E::killed(machine.directory.path(), left.path());
                drop(machine.store.take());
                machine.directory = left;
                machine.store = Some(E::open(machine.directory.path(), machine.cut.clone()));
            }
            (step, said) => panic!("{step:?} is no {said:?}"),
        }
        machine
    }

    fn check_invariants(machine: &Machine<E>, reference: &Reference) {
        reference.model.compare(machine.store());
    }

    fn teardown(mut machine: Machine<E>, reference: Reference) {
        E::is_sound(machine.store()).unwrap();
        drop(machine.store.take());
        reference
            .model
            .compare(&E::open(machine.directory.path(), machine.cut.clone()));
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 48, failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_history_reads_back_as_the_model_has_it(sequential 1..30 => Machine<Sqlite>);
}
