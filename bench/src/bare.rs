//! Bare wasmtime, doing what the sandbox does with a call and nothing else: a fresh store, an instance of a prepared
//! component, the columns copied in, the call, the answer copied out.
//!
//! It is written as wasmtime's manual says (bindings generated from the contract, everything prepared once), with an engine
//! of the sandbox's settings. What is missing is what is ours: limits of memory, fuel for bringing up and fuel for the call
//! apart, host services (here they trap; the bench's rule asks for none), the check of the answer, what it all cost.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use picket_contract as contract;
use picket_sandbox::Limits;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use self::bindings::ModulePre;
use self::bindings::picket::rule::types;

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes_without_reason,
    reason = "generated from the contract"
)]
mod bindings {
    wasmtime::component::bindgen!({ path: "../sdk/wit", world: "module" });
}

/// A component, ready to be brought up.
pub(crate) struct Bare {
    engine: Engine,
    pre: ModulePre<()>,
    fuel: u64,
}

/// What is shown, in wasmtime's form.
pub(crate) type Shown = types::Batch;

impl Bare {
    /// Compiles a component.
    ///
    /// # Errors
    /// Wasmtime's.
    pub(crate) fn new(path: &Path) -> anyhow::Result<Self> {
        let limits = Limits::default();
        let made = || {
            let engine = Engine::new(&picket_sandbox::config(&limits))?;
            let component = Component::from_file(&engine, path)?;
            let mut linker = Linker::new(&engine);
            linker.define_unknown_imports_as_traps(&component)?;
            let pre = ModulePre::new(linker.instantiate_pre(&component)?)?;
            Ok((engine, pre))
        };
        let (engine, pre) = made().map_err(own).context("bare wasmtime")?;
        let fuel = limits.fuel;
        Ok(Bare { engine, pre, fuel })
    }

    /// One call in an instance of its own.
    ///
    /// # Errors
    /// Wasmtime's, or the rule's.
    pub(crate) fn call(&self, rule: &str, batch: &Shown) -> anyhow::Result<()> {
        let called = || {
            let mut store = Store::new(&self.engine, ());
            store.set_fuel(self.fuel)?;
            let module = self.pre.instantiate(&mut store)?;
            module.picket_rule_detection().call_evaluate(&mut store, rule, batch)
        };
        let answer = called()
            .map_err(own)?
            .map_err(|error| anyhow!("the rule says: {error}"))?;
        std::hint::black_box(answer);
        Ok(())
    }
}

fn own(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}

/// A batch in wasmtime's form.
pub(crate) fn shown(batch: &contract::Batch) -> Shown {
    types::Batch {
        groups: batch.groups.iter().map(group).collect(),
        order: batch.order.clone(),
        watermark: batch.watermark,
    }
}

fn group(group: &contract::Group) -> types::Group {
    types::Group {
        source: group.source,
        events: group.events.clone(),
        times: group.times.clone(),
        late: group.late.clone(),
        dictionary: group.dictionary.clone(),
        offsets: group.offsets.clone(),
        columns: group.columns.iter().map(column).collect(),
    }
}

fn column(column: &contract::Column) -> types::Column {
    match column.clone() {
        contract::Column::Text(codes) => types::Column::Text(codes),
        contract::Column::S64 { values, valid } => types::Column::S64(types::Numbers { values, valid }),
        contract::Column::F64 { values, valid } => types::Column::F64(types::Floats { values, valid }),
        contract::Column::Bool(values) => types::Column::Boolean(values),
        contract::Column::Texts { offsets, codes } => types::Column::Texts(types::TextLists { offsets, codes }),
    }
}
