//! What can be told from the bytes alone, before anything is compiled: is it a component of the contract's version, does it
//! import only what a rule may have, and is it small enough that compiling it is safe.

use wasmparser::{Encoding, ExternalKind, FunctionBody, Operator, Parser, Payload, TypeRef};

use crate::limits::Limits;
use crate::text;
use crate::{Rejected, StaticLimits};

/// The version of the contract that this host speaks.
pub(crate) const VERSION: &str = "1.0.0";
const MAJOR: &str = "1";
const EXPORT: &str = "picket:rule/detection";
/// Interfaces a rule may import. `types` has no functions, but bindings may name it.
const INTERFACES: &[&str] = &["state", "timers", "lookup", "params", "log", "types"];
const MAGIC: &[u8] = b"\0asm";

/// What the bytes said.
#[derive(Debug)]
pub(crate) struct Inspected {
    /// The full name of the export, `picket:rule/detection@1.0.0`.
    pub(crate) export: String,
}

/// Reads the structure of a module and checks it against the limits.
pub(crate) fn inspect(bytes: &[u8], limits: &Limits) -> Result<Inspected, Rejected> {
    if bytes.is_empty() {
        return Err(Rejected::Empty);
    }
    at_most("the file has bytes:", bytes.len() as u64, limits.module.bytes as u64)?;
    if !bytes.starts_with(MAGIC) {
        return Err(Rejected::NotWasm {
            start: text::start_of(bytes),
        });
    }
    let mut census = Census::new(limits);
    for payload in Parser::new(0).parse_all(bytes) {
        census.count(payload.map_err(invalid)?)?;
    }
    census.verdict()
}

fn invalid(error: wasmparser::BinaryReaderError) -> Rejected {
    Rejected::Invalid {
        detail: text::clean(&format!("{} at byte {}", error.message(), error.offset()), 300),
    }
}

fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), Rejected> {
    if found > limit {
        Err(Rejected::TooLarge { what, found, limit })
    } else {
        Ok(())
    }
}

/// Counts over the whole file, nested modules included.
struct Census<'l> {
    limits: &'l Limits,
    caps: StaticLimits,
    depth: usize,
    modules: usize,
    functions: usize,
    locals: u64,
    branch_targets: u64,
    imports: Vec<String>,
    exports: Vec<String>,
}

impl<'l> Census<'l> {
    fn new(limits: &'l Limits) -> Self {
        Census {
            limits,
            caps: limits.module,
            depth: 0,
            modules: 0,
            functions: 0,
            locals: 0,
            branch_targets: 0,
            imports: Vec::new(),
            exports: Vec::new(),
        }
    }

    fn count(&mut self, payload: Payload<'_>) -> Result<(), Rejected> {
        match payload {
            Payload::Version { encoding, .. } => {
                if self.depth == 0 && encoding == Encoding::Module {
                    return Err(Rejected::CoreModule);
                }
                self.depth += 1;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::ModuleSection { .. } => {
                self.modules += 1;
                at_most("core modules:", self.modules as u64, self.caps.modules as u64)?;
            }
            // Composition of components is for larger things than a rule, and every level is more to compile.
            Payload::ComponentSection { .. } => at_most("components inside one another:", self.depth as u64, 3)?,
            Payload::ComponentImportSection(section) if self.depth == 1 => {
                at_most("imports:", section.count().into(), self.caps.names as u64)?;
                for import in section {
                    self.imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if self.depth == 1 => {
                at_most("exports:", section.count().into(), self.caps.names as u64)?;
                for export in section {
                    self.exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) => {
                at_most(
                    "imports of a core module:",
                    section.count().into(),
                    self.caps.names as u64,
                )?;
                for import in section.into_imports() {
                    match import.map_err(invalid)?.ty {
                        TypeRef::Memory(memory) => self.memory(memory.initial)?,
                        TypeRef::Table(table) => self.table(table.initial)?,
                        _ => {}
                    }
                }
            }
            Payload::ExportSection(section) => {
                at_most(
                    "exports of a core module:",
                    section.count().into(),
                    self.caps.names as u64,
                )?;
                let mut memories = 0;
                for export in section {
                    memories += u64::from(export.map_err(invalid)?.kind == ExternalKind::Memory);
                }
                at_most("exported memories:", memories, 1)?;
            }
            Payload::MemorySection(section) => {
                at_most("memories of a core module:", section.count().into(), 1)?;
                for memory in section {
                    self.memory(memory.map_err(invalid)?.initial)?;
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.table(table.map_err(invalid)?.ty.initial)?;
                }
            }
            Payload::FunctionSection(section) => {
                self.functions += section.count() as usize;
                at_most("functions:", self.functions as u64, self.caps.functions as u64)?;
            }
            Payload::CodeSectionEntry(body) => self.function(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn memory(&self, pages: u64) -> Result<(), Rejected> {
        let most = (self.limits.memory_bytes >> 16) as u64;
        at_most("pages of 64 KiB of memory to begin with:", pages, most)
    }

    fn table(&self, entries: u64) -> Result<(), Rejected> {
        at_most(
            "table entries to begin with:",
            entries,
            self.limits.table_entries as u64,
        )
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), Rejected> {
        let range = body.range();
        at_most(
            "one function has bytes:",
            (range.end - range.start) as u64,
            self.caps.function_bytes as u64,
        )?;
        let mut locals = 0_u64;
        for group in body.get_locals_reader().map_err(invalid)? {
            locals += u64::from(group.map_err(invalid)?.0);
        }
        self.locals += locals;
        at_most("locals of all functions:", self.locals, self.caps.locals)?;

        let mut nesting: Vec<bool> = Vec::new();
        let (mut loops, mut inside) = (0_u64, 0_usize);
        for operator in body.get_operators_reader().map_err(invalid)? {
            match operator.map_err(invalid)? {
                Operator::Loop { .. } => {
                    (loops, inside) = (loops + 1, inside + 1);
                    nesting.push(true);
                    at_most("loops inside one another:", inside as u64, self.caps.loop_depth as u64)?;
                }
                Operator::Block { .. } | Operator::If { .. } => {
                    nesting.push(false);
                    at_most(
                        "blocks inside one another:",
                        nesting.len() as u64,
                        self.caps.depth as u64,
                    )?;
                }
                Operator::End => inside -= usize::from(nesting.pop() == Some(true)),
                Operator::BrTable { targets } => {
                    self.branch_targets += u64::from(targets.len());
                    at_most(
                        "targets of branch tables:",
                        self.branch_targets,
                        self.caps.branch_targets,
                    )?;
                }
                _ => {}
            }
        }
        at_most(
            "locals of one function times its loops:",
            locals.saturating_mul(loops),
            self.caps.loop_locals,
        )
    }

    fn verdict(self) -> Result<Inspected, Rejected> {
        let export = self.exports.iter().find(|name| split(name).0 == EXPORT).cloned();
        let version = export.as_deref().map(|name| split(name).1.to_owned());
        if let Some(version) = version
            .as_deref()
            .filter(|version| version.split('.').next() != Some(MAJOR))
        {
            return Err(Rejected::Version {
                found: text::clean(version, 40),
                supported: VERSION,
            });
        }
        for name in &self.imports {
            permitted(name)?;
        }
        let Some(export) = export else {
            let mut found = text::clean(&self.exports.join(", "), 200);
            if found.is_empty() {
                found.push_str("nothing");
            }
            return Err(Rejected::NoDetection { found });
        };
        Ok(Inspected { export })
    }
}

/// `picket:rule/state@1.0.0` is (`picket:rule/state`, `1.0.0`).
fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

fn permitted(name: &str) -> Result<(), Rejected> {
    let (interface, version) = split(name);
    let hint = match interface.strip_prefix("picket:rule/") {
        Some(short) if INTERFACES.contains(&short) && version.split('.').next() == Some(MAJOR) => return Ok(()),
        Some(_) => ". It was built for another version of the contract",
        None if interface.starts_with("wasi:") => ". Build for wasm32-unknown-unknown, which has no WASI",
        None => "",
    };
    Err(Rejected::Import {
        name: text::clean(name, 120),
        hint,
    })
}
