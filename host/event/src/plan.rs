//! What to read: the union of the fields that enabled rules declared, by log.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_catalogue::Kind;
use picket_contract::{EventRecord, FieldType, RawRow, Source};

use crate::Page;
use crate::family::Family;
use crate::filter::Questions;
use crate::identify::{Identity, Problem};
use crate::layout::{Layout, Reads};
use crate::page::Columns;
use crate::permission::{ORDINARY, Permission};
use crate::phone::Mask;

/// What the tenant's inventory adds to events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enrichment {
    /// Phone or token (its key, else its name as the log has it) to the name of the user who owns it.
    pub owners: BTreeMap<String, String>,
}

/// The columns that enabled rules read, for every log they name.
///
/// Cheap to clone. A page fits the plan it was parsed with; [`crate::Selector::select`] parses a page of another plan anew.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    layouts: Arc<BTreeMap<String, Arc<Layout>>>,
    enrichment: Arc<Enrichment>,
    family: Arc<Family>,
}

impl Plan {
    /// The union of what these sources declare and what their `when` reads, of modules of which the operator says nothing, with
    /// the substitute key.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Self {
        let sources = sources.into_iter().map(|source| (source, ORDINARY));
        Plan::of(sources, &Mask::substitute())
    }

    /// The same where each source's module may read more, or less, and phone numbers are masked with a tenant's key.
    pub fn of<'a>(sources: impl IntoIterator<Item = (&'a Source, &'a Permission)>, mask: &Arc<Mask>) -> Self {
        Plan::in_family(Family::new(sources).into(), mask)
    }

    /// The same, where what is compiled of it is shared with the plans of other tenants that read the same. `decided`: what
    /// else decides which rows rules are shown, the values of their parameters foremost, so that whoever differs in it shares
    /// nothing.
    pub fn shared<'a>(
        sources: impl IntoIterator<Item = (&'a Source, &'a Permission)>,
        mask: &Arc<Mask>,
        decided: &str,
    ) -> Self {
        Plan::in_family(Family::known(sources, decided), mask)
    }

    fn in_family(family: Arc<Family>, mask: &Arc<Mask>) -> Self {
        let layout = |reads: &Arc<Reads>| Layout {
            reads: reads.clone(),
            mask: mask.clone(),
        };
        let layouts = family.reads().map(|reads| (reads.log.clone(), Arc::new(layout(reads))));
        Plan {
            layouts: Arc::new(layouts.collect()),
            enrichment: Arc::default(),
            family,
        }
    }

    /// The same plan with a tenant's inventory.
    #[must_use]
    pub fn enriched(self, enrichment: Enrichment) -> Self {
        Plan {
            enrichment: Arc::new(enrichment),
            ..self
        }
    }

    /// The logs, as rules name them, sorted.
    pub fn logs(&self) -> impl Iterator<Item = &str> {
        self.layouts.keys().map(String::as_str)
    }

    /// Reads events of one of Duo's logs for the log as rules name it (they differ for `admin`). Rows stay in order, one for
    /// each event.
    #[must_use]
    pub fn parse(&self, log: &str, duo_log: &str, events: &[EventRecord]) -> Page {
        let layout = self.layout_of(log);
        Page::parse(&layout, duo_log, events.to_vec(), &self.enrichment)
    }

    /// Reads rows of one of Duo's logs as they came, in one pass: which event each is, and its columns for the log as rules
    /// name it. `record` makes the event of a row, in order; it is told what the row says of itself.
    pub fn read(
        &self,
        log: &str,
        duo_log: &str,
        rows: &[RawRow],
        mut record: impl FnMut(usize, Result<Identity, Problem>) -> EventRecord,
    ) -> Page {
        let (identities, page) = self.read_rows(log, duo_log, rows);
        let events = identities.into_iter().enumerate();
        page.with(events.map(|(number, identity)| record(number, identity)).collect())
    }

    /// The same, in two steps: the events are put to the page later ([`crate::Reading`]).
    pub(crate) fn read_rows(
        &self,
        log: &str,
        duo_log: &str,
        rows: &[RawRow],
    ) -> (Vec<Result<Identity, Problem>>, Page) {
        let layout = self.layout_of(log);
        let mut columns = Columns::new(&layout, duo_log, rows.len());
        let read = |raw: &RawRow| columns.read_identified(duo_log, raw, &self.enrichment);
        let identities = rows.iter().map(read).collect();
        (identities, columns.page(&layout, duo_log, Vec::new()))
    }

    /// The log as rules name it under which rows of this of Duo's logs are best read at once: the logical log they may feed,
    /// if rules read that.
    #[must_use]
    pub fn named<'a>(&self, duo_log: &'a str) -> &'a str {
        match duo_log {
            "activity" | "administrator" if self.layouts.contains_key("admin") => "admin",
            own => own,
        }
    }

    /// Whether a page is what this plan would make of its rows.
    #[must_use]
    pub fn made(&self, page: &Page) -> bool {
        self.layouts.get(&**page.log()).is_some_and(|layout| page.is_of(layout))
    }

    /// The page under this plan: itself if it was parsed with it, or if this plan reads nothing of its log.
    #[must_use]
    pub fn adopt(&self, page: &Arc<Page>) -> Arc<Page> {
        match self.layouts.get(&**page.log()) {
            Some(layout) if !page.is_of(layout) => Arc::new(self.parse(page.log(), page.duo_log(), page.events())),
            _ => page.clone(),
        }
    }

    /// How a log is read: one that no rule names gives rows without columns.
    fn layout_of(&self, log: &str) -> Arc<Layout> {
        let known = self.layouts.get(log).cloned();
        known.unwrap_or_else(|| Arc::new(Layout::new(log, Vec::new(), Mask::substitute())))
    }

    /// What the conditions of this plan's rules ask.
    pub(crate) fn questions(&self) -> &Questions {
        self.family.questions()
    }

    /// What it shares with plans that read the same.
    pub(crate) fn family(&self) -> &Family {
        &self.family
    }

    pub(crate) fn layout(&self, log: &str) -> Option<&Arc<Layout>> {
        self.layouts.get(log)
    }
}

/// As what `when` reads a field: a list if the rule declares it as one or the catalogue knows it as one, else text.
pub(crate) fn tested_as(source: &Source, path: &str) -> FieldType {
    let declared = source
        .fields
        .iter()
        .find(|field| field.path == path)
        .map(|field| field.kind == FieldType::Texts);
    let listed = || picket_catalogue::find(&source.log, path).is_some_and(|field| field.kind == Kind::Texts);
    if declared.unwrap_or_else(listed) {
        FieldType::Texts
    } else {
        FieldType::Text
    }
}
