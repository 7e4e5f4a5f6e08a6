//! One tenant's inventory: read by the collector, kept in the store, told in alerts, and looked up by rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use picket_collect::inventory::{
    DuoInventory, Keep, Listeners, Part, Stock, StockBoard, StockHealth, StockSettings, close_stock,
};
use picket_collect::{AdmitError, BackOff, Budget, Clock as _, SystemClock};
use picket_contract::{Table, Tables};
use picket_duo::{DuoError, Inventory, InventoryPage};
use picket_event::Mask;
use picket_judge::JudgedRule;
use picket_judge::lookup::Lookup;
use picket_judge::people::Stored;
use picket_judge::pipeline::{Page, Pipeline, RuleSet, SwapReport};
use picket_store::{CursorRow, InventoryRow, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::config::{TableConfig, TenantConfig};
use crate::daemon::lock;
use crate::registry::Live;
use crate::ruleset;

/// By name: the content's hash, and the table.
type FiledTables = BTreeMap<String, (String, Arc<Table>)>;

/// Sentences about what the operator says that does not apply, with the tenants for whom it is so: what a file says for a
/// thousand of them is one sentence.
#[derive(Debug, Default)]
pub(crate) struct StaleSettings(Mutex<BTreeMap<String, BTreeSet<Arc<str>>>>);

impl StaleSettings {
    /// What is so of a tenant now; gives what was so of nobody before.
    fn news(&self, tenant: &Arc<str>, now: BTreeSet<String>) -> Vec<String> {
        let mut told = lock(&self.0);
        told.retain(|text, of| {
            if !now.contains(text) {
                of.remove(tenant);
            }
            !of.is_empty()
        });
        let mut news = Vec::new();
        for text in now {
            if !told.contains_key(&text) {
                news.push(text.clone());
            }
            told.entry(text).or_default().insert(tenant.clone());
        }
        news
    }
}

/// A tenant's inventory at work.
pub(crate) struct Holdings {
    store: Arc<dyn Store>,
    tenant: Arc<str>,
    mask: Arc<Mask>,
    people: Arc<Stored>,
    /// Tables are older than what the store holds.
    stale: AtomicBool,
    /// What of what the operator says does not apply, as it was told: of all tenants.
    stale_settings: Arc<StaleSettings>,
    /// As rules have them; none: not made yet.
    tables: Mutex<Option<Lookup>>,
    /// Those of files, as they were made for this tenant last.
    filed: Mutex<FiledTables>,
    listeners: Listeners,
    board: Mutex<Option<Arc<StockBoard>>>,
    /// One swap at a time, so that an older set of rules never follows a newer one.
    swapping: tokio::sync::Mutex<()>,
}

impl Holdings {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        tenant: Arc<str>,
        mask: Arc<Mask>,
        stale_settings: Arc<StaleSettings>,
    ) -> Arc<Self> {
        Arc::new(Holdings {
            people: Arc::new(Stored::new(store.clone(), tenant.clone(), mask.clone())),
            store,
            tenant,
            mask,
            stale: AtomicBool::new(false),
            stale_settings,
            tables: Mutex::default(),
            filed: Mutex::default(),
            listeners: Listeners::default(),
            board: Mutex::default(),
            swapping: tokio::sync::Mutex::default(),
        })
    }

    /// What alerts know of users.
    pub(crate) fn people(&self) -> Arc<Stored> {
        self.people.clone()
    }

    /// How each kind stands; empty: no inventory is read.
    pub(crate) fn status(&self) -> Vec<StockHealth> {
        lock(&self.board)
            .as_ref()
            .map(|board| board.status())
            .unwrap_or_default()
    }

    /// Begins to read, or closes the logs of an inventory that is not read.
    pub(crate) fn start(
        self: &Arc<Self>,
        config: &TenantConfig,
        polling: &picket_collect::Settings,
        account: Arc<Account>,
        pipeline: Pipeline,
        budget: Arc<Budget>,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let shelf = Arc::new(Shelf {
            pipeline,
            holdings: self.clone(),
        });
        let collect = &config.source.collect;
        if !collect.inventory {
            let back_off = polling.back_off;
            return tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = close(&shelf, back_off) => {}
                }
            });
        }
        let settings = StockSettings::new(polling).every(config.source.inventory_interval);
        let stock = Stock::new(&config.id, settings, account, shelf, Arc::new(SystemClock), budget)
            .heard_by(self.listeners.clone());
        *lock(&self.board) = Some(stock.board());
        tokio::spawn(stock.run(stop))
    }

    /// The rules of a tenant as they are to judge: with the tables, if any of them looks something up.
    ///
    /// # Errors
    /// Every parameter that is wrong; or the store's.
    pub(crate) fn rules(
        &self,
        live: &[Arc<Live>],
        config: &TenantConfig,
        generation: impl Fn(Vec<JudgedRule>) -> RuleSet,
    ) -> anyhow::Result<RuleSet> {
        let set = self.set(live, config, generation)?;
        self.say_stale(live, config);
        let logs = set
            .rules
            .iter()
            .flat_map(|rule| rule.manifest.logs().into_iter().map(str::to_owned));
        self.listeners.set(logs.collect::<BTreeSet<String>>());
        Ok(set)
    }

    fn set(
        &self,
        live: &[Arc<Live>],
        config: &TenantConfig,
        generation: impl Fn(Vec<JudgedRule>) -> RuleSet,
    ) -> anyhow::Result<RuleSet> {
        let rules = ruleset::rules(live, &config.into()).map_err(|wrong| anyhow!(wrong.join("\n")))?;
        for (rule, why) in ruleset::blind(live, &config.permissions) {
            tracing::warn!(tenant = %self.tenant, rule, "the rule does not judge: {why}");
        }
        let mut set = generation(rules);
        if looks_up(live) {
            let stale = self.stale.swap(false, Ordering::AcqRel);
            let known = lock(&self.tables).clone().filter(|_| !stale);
            let lookup = match known {
                Some(lookup) => lookup,
                None => Lookup::read(&*self.store, &self.tenant, &self.mask)
                    .inspect_err(|_| self.stale.store(true, Ordering::Release))?,
            };
            let filed = self.filed(config);
            let (masked, clear) = tables(&lookup, &config.lists, &filed);
            for rule in &mut set.rules {
                let granted = rule.terms.permission.shows_numbers();
                rule.tables = if granted { clear.clone() } else { masked.clone() };
            }
            let lists = blake3::hash(format!("{:?}", config.lists).as_bytes());
            set.hash = format!("{}+{}+{}", set.hash, lookup.hash, lists.to_hex()).into();
            if !filed.is_empty() {
                let digests: Vec<(&String, &String)> = filed.iter().map(|(name, (digest, _))| (name, digest)).collect();
                let filed = blake3::hash(format!("{digests:?}").as_bytes());
                set.hash = format!("{}+{}", set.hash, filed.to_hex()).into();
            }
            *lock(&self.tables) = Some(lookup);
        }
        Ok(set)
    }

    /// What the operator says that does not apply is told once, for however many tenants it is said, and again when it has been
    /// otherwise.
    fn say_stale(&self, live: &[Arc<Live>], config: &TenantConfig) {
        let stale: BTreeSet<String> = ruleset::stale(live, config).into_iter().map(|(_, text)| text).collect();
        for text in self.stale_settings.news(&self.tenant, stale) {
            tracing::warn!(tenant = %self.tenant, "does not apply: {text}");
        }
    }

    /// The tables of files, made anew where a file is another.
    fn filed(&self, config: &TenantConfig) -> FiledTables {
        let mut known = lock(&self.filed);
        let of = |(name, table): (&String, &TableConfig)| {
            let content = table.content.as_ref()?;
            let made = match known.get(name) {
                Some((digest, made)) if *digest == content.digest => made.clone(),
                _ => content.table(&*self.mask),
            };
            Some((name.clone(), (content.digest.clone(), made)))
        };
        let filed: FiledTables = config.tables.iter().filter_map(of).collect();
        known.clone_from(&filed);
        filed
    }

    /// The same for a journal beside the tenant's own: that the tables in force there may be out of date stays known.
    ///
    /// # Errors
    /// As [`Holdings::rules`].
    pub(crate) fn rules_beside(
        &self,
        live: &[Arc<Live>],
        config: &TenantConfig,
        generation: impl Fn(Vec<JudgedRule>) -> RuleSet,
    ) -> anyhow::Result<RuleSet> {
        let was_stale = self.stale.load(Ordering::Acquire);
        let set = self.set(live, config, generation);
        if was_stale {
            self.stale.store(true, Ordering::Release);
        }
        set
    }

    /// Puts these rules in force, one set after the other.
    ///
    /// # Errors
    /// As [`Holdings::rules`], or the pipeline's.
    pub(crate) async fn swap(
        &self,
        live: impl Fn() -> Vec<Arc<Live>>,
        config: impl Fn() -> Arc<TenantConfig>,
        pipeline: &Pipeline,
        generation: impl Fn(Vec<JudgedRule>) -> RuleSet,
    ) -> anyhow::Result<SwapReport> {
        let _one = self.swapping.lock().await;
        // Asked here, so that what was in force a moment ago never follows what is in force now.
        let (live, config) = (live(), config());
        let set = tokio::task::block_in_place(|| self.rules(&live, &config, generation))?;
        Ok(pipeline.replace_rules(set).await?)
    }

    /// Whether some of these rules look things up in tables that are out of date.
    pub(crate) fn is_stale(&self, live: &[Arc<Live>]) -> bool {
        self.stale.load(Ordering::Acquire) && looks_up(live)
    }

    /// Whether tables are out of date, for whoever would have to ask for the rules first.
    pub(crate) fn may_be_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }
}

/// The tables of the inventory, the operator's lists (`lists.<name>`) and files (`tables.<name>`), for modules without and with clear numbers.
fn tables(lookup: &Lookup, lists: &BTreeMap<String, Vec<String>>, filed: &FiledTables) -> (Arc<Tables>, Arc<Tables>) {
    let mut tables = Tables::clone(&lookup.tables);
    for (name, (_, table)) in filed {
        tables.shared.insert(format!("tables.{name}"), table.clone());
    }
    for (name, texts) in lists {
        let row = |text: &String| (text.clone(), vec![("value".to_owned(), text.clone())]);
        tables.write(&format!("lists.{name}"), texts.iter().map(row));
    }
    let clear = Tables {
        clear: true,
        ..tables.clone()
    };
    (Arc::new(tables), Arc::new(clear))
}

fn looks_up(live: &[Arc<Live>]) -> bool {
    live.iter().any(|live| live.module.looks_up)
}

/// Closes the logs of changes, as soon as the journal lets it.
async fn close(shelf: &Shelf, back_off: BackOff) {
    let mut failures = 0;
    while let Err(error) = close_stock(shelf, &[]).await {
        failures += 1;
        tracing::warn!(tenant = %shelf.holdings.tenant, "inventory: {error}");
        SystemClock
            .sleep(back_off.after_failure(failures, &shelf.holdings.tenant))
            .await;
    }
}

/// The journal and the store, as the inventory's reader sees them.
struct Shelf {
    pipeline: Pipeline,
    holdings: Arc<Holdings>,
}

impl Shelf {
    async fn read<R: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store, &str) -> Result<R, picket_store::StoreError> + Send + 'static,
    ) -> Result<R, AdmitError> {
        let holdings = self.holdings.clone();
        let read = tokio::task::spawn_blocking(move || read(&*holdings.store, &holdings.tenant)).await;
        let read = read.map_err(|error| AdmitError(error.to_string()))?;
        read.map_err(|error| AdmitError(error.to_string()))
    }
}

impl Keep for Shelf {
    async fn stock(&self, kind: Inventory) -> Result<Vec<InventoryRow>, AdmitError> {
        self.read(move |store, tenant| store.inventory(tenant, Some(kind.as_str())))
            .await
    }

    async fn mark_of(&self, name: &str) -> Result<Option<CursorRow>, AdmitError> {
        let cursors = self.read(|store, tenant| store.cursors(tenant)).await?;
        Ok(cursors.into_iter().find(|cursor| *cursor.log == *name))
    }

    async fn keep(&self, part: Part) -> Result<(), AdmitError> {
        let page = Page {
            log: part.log,
            rows: part.rows.into(),
            marks: part.marks,
            cursor: part.cursor,
            inventory: part.inventory,
        };
        let admitted = self.pipeline.admit(page).await;
        admitted.map(|_| ()).map_err(|error| AdmitError(error.to_string()))
    }

    async fn changed(&self, kind: Inventory) {
        if kind == Inventory::Users {
            self.holdings.people.forget();
        }
        if Lookup::is_made_of(kind.as_str()) {
            self.holdings.stale.store(true, Ordering::Release);
        }
    }
}

impl DuoInventory for Account {
    async fn inventory(&self, kind: Inventory, offset: u64) -> Result<InventoryPage, DuoError> {
        match self.client().await.inventory(kind, offset).await {
            Err(refused @ DuoError::Unauthorized { .. }) => match self.renewed().await {
                Some(client) => client.inventory(kind, offset).await,
                None => Err(refused),
            },
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_apply_to_a_thousand_tenants_is_told_once() {
        let stale = StaleSettings::default();
        let news = |tenant: &str, now: &[&str]| {
            stale.news(&tenant.into(), now.iter().map(|text| (*text).to_owned()).collect())
        };
        assert_eq!(news("acme", &["one"]), ["one"]);
        assert_eq!(news("globex", &["one", "two"]), ["two"]);
        assert_eq!((news("acme", &["one"]), news("globex", &["two"])), (vec![], vec![]));
        // It applied to everybody for a while.
        assert_eq!(news("acme", &[]), Vec::<String>::new());
        assert_eq!(news("globex", &["one", "two"]), ["one"]);
    }
}
