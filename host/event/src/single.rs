//! Rows that are read one at a time: the evidence of an alert, told or asked about when it is raised.
//!
//! What a reader learns from one row (its keys, its users, its texts) helps with the next, so readers are kept for a while, a
//! few for each plan, and begin anew before what they hold gets large.

use std::sync::{LazyLock, Mutex, PoisonError};

use picket_contract::{Column, FieldType};

use crate::Plan;
use crate::identify::{Identity, Problem};
use crate::layout::Layout;
use crate::page::Columns;
use crate::permission::View;
use crate::phone::Mask;
use crate::plan::Enrichment;

/// Rows that a reader reads, and texts that it holds, bytes, before it begins anew.
const MOST_ROWS: usize = 256;
const MOST_BYTES: usize = 256 << 10;

/// Readers kept: more are made where more is read at once.
const KEPT: usize = 4;

/// Readers of one plan.
pub(crate) struct Readers {
    plan: LazyLock<Plan>,
    idle: Mutex<Vec<Single>>,
}

impl Readers {
    pub(crate) const fn new(plan: fn() -> Plan) -> Self {
        Readers {
            plan: LazyLock::new(plan),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Reads a row of one of Duo's logs, for the log as rules name it.
    pub(crate) fn read<R>(
        &'static self,
        log: &str,
        duo_log: &str,
        raw: &str,
        take: impl FnOnce(&Single, Result<Identity, Problem>) -> R,
    ) -> R {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = |single: &Single| single.log == log && single.duo_log == duo_log;
        let kept = {
            let mut idle = idle();
            let at = idle.iter().position(is_wanted);
            at.map(|at| idle.swap_remove(at))
        };
        let mut single = kept.unwrap_or_else(|| Single::new(self.plan.layout(log).map(AsRef::as_ref), log, duo_log));
        let identity = single.columns.read_identified(duo_log, raw, &Enrichment::default());
        let taken = take(&single, identity);
        if single.columns.rows() < MOST_ROWS && single.columns.bytes() < MOST_BYTES {
            let mut idle = idle();
            idle.truncate(KEPT - 1);
            idle.insert(0, single);
        }
        taken
    }
}

/// The row that was read last, and those before it.
pub(crate) struct Single {
    log: String,
    duo_log: String,
    layout: &'static Layout,
    columns: Columns<'static>,
}

impl Single {
    fn new(layout: Option<&'static Layout>, log: &str, duo_log: &str) -> Self {
        static NOTHING: LazyLock<Layout> = LazyLock::new(|| Layout::new("", Vec::new(), Mask::substitute()));
        let layout = layout.unwrap_or_else(|| &NOTHING);
        Single {
            log: log.to_owned(),
            duo_log: duo_log.to_owned(),
            layout,
            columns: Columns::new(layout, duo_log, 0),
        }
    }

    /// Whether it could not be read as an event.
    pub(crate) fn is_broken(&self) -> bool {
        self.columns.is_broken()
    }

    /// Its text at a path that the plan reads as text. None: null, or not read.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        let views = [View::Masked, View::Clear].into_iter();
        let slot = views
            .filter_map(|view| self.layout.slot(path, FieldType::Text, view))
            .next()?;
        match self.columns.column(slot)? {
            Column::Text(codes) => self.columns.text(*codes.last()?),
            _ => None,
        }
    }
}
