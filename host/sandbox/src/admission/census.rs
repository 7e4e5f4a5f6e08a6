//! Counts what costs memory or time to validate, to compile or to instantiate, and stops at the first number above its limit.
//!
//! A section's size and count are looked at before its items are, so that reading an item never takes more memory than
//! [`StaticLimits::section_bytes`](crate::StaticLimits::section_bytes) can describe. One thing must be known before even the first item is
//! read: types of components lie inside one another, wasmparser reads them by calling itself, and a file of a few kilobytes
//! would end the whole process by overflowing its stack (found by `tests/admission_any_bytes.rs`). Each level begins with one of
//! two bytes; where they are few, so are the levels.

use wasmparser::{
    DataKind, ElementItems, ExternalKind, FunctionBody, Instance, Operator, Payload, SectionLimited, TypeRef,
};

use super::{features, invalid};
use crate::Rejected;
use crate::engine::{CORE_INSTANCES, TABLES};
use crate::limits::Limits;

/// A number that is counted, and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// What is counted, with its verb, such as `the file has bytes:`.
    pub what: &'static str,
    /// How many there are.
    pub found: u64,
    /// How many there may be.
    pub limit: u64,
}

/// The bytes that a type of an instance or of a component begins with.
const OPENERS: [u8; 2] = [0x41, 0x42];
/// Most of them in one section: in a real module they are a few dozen, most of them parts of numbers and names. A level takes
/// the reader some kilobytes of stack at worst.
const OPENED: u64 = 250;

/// What is counted, over the whole file unless its words say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    File,
    CustomBytes,
    SectionBytes,
    Items,
    Opened,
    Modules,
    Instances,
    Types,
    Params,
    Results,
    Names,
    NameBytes,
    Functions,
    FunctionBytes,
    Operators,
    Locals,
    LoopLocals,
    Loops,
    Depth,
    BranchTargets,
    Globals,
    Tables,
    TableEntries,
    MemoryPages,
    ExportedMemories,
    DataSegments,
    ElementSegments,
    Elements,
}

const ALL: [Count; 28] = [
    Count::File,
    Count::CustomBytes,
    Count::SectionBytes,
    Count::Items,
    Count::Opened,
    Count::Modules,
    Count::Instances,
    Count::Types,
    Count::Params,
    Count::Results,
    Count::Names,
    Count::NameBytes,
    Count::Functions,
    Count::FunctionBytes,
    Count::Operators,
    Count::Locals,
    Count::LoopLocals,
    Count::Loops,
    Count::Depth,
    Count::BranchTargets,
    Count::Globals,
    Count::Tables,
    Count::TableEntries,
    Count::MemoryPages,
    Count::ExportedMemories,
    Count::DataSegments,
    Count::ElementSegments,
    Count::Elements,
];

impl Count {
    fn what(self) -> &'static str {
        match self {
            Count::File => "the file has bytes:",
            Count::CustomBytes => "bytes of custom sections (names, debug information):",
            Count::SectionBytes => "one section other than code and data has bytes:",
            Count::Items => "items of the component (types, imports, exports, aliases, instances, functions):",
            Count::Opened => "bytes of one section that may open a type inside a type:",
            Count::Modules => "core modules:",
            Count::Instances => "core instances:",
            Count::Types => "types of core modules:",
            Count::Params => "parameters of one function:",
            Count::Results => "results of one function:",
            Count::Names => "imports and exports of one core module:",
            Count::NameBytes => "one name has bytes:",
            Count::Functions => "functions:",
            Count::FunctionBytes => "one function has bytes:",
            Count::Operators => "operators of one function:",
            Count::Locals => "locals of all functions:",
            Count::LoopLocals => "locals of one function times its loops:",
            Count::Loops => "loops inside one another:",
            Count::Depth => "blocks inside one another:",
            Count::BranchTargets => "targets of branch tables:",
            Count::Globals => "globals:",
            Count::Tables => "tables:",
            Count::TableEntries => "table entries to begin with:",
            Count::MemoryPages => "pages of 64 KiB of memory to begin with:",
            Count::ExportedMemories => "exported memories:",
            Count::DataSegments => "data segments:",
            Count::ElementSegments => "element segments:",
            Count::Elements => "entries of element segments:",
        }
    }

    fn limit(self, limits: &Limits) -> u64 {
        let caps = &limits.module;
        let number = match self {
            Count::File => caps.bytes,
            Count::CustomBytes => caps.custom_bytes,
            Count::SectionBytes => caps.section_bytes,
            Count::Items => caps.items,
            Count::Opened => return OPENED,
            Count::Modules => caps.modules,
            Count::Instances => return CORE_INSTANCES.into(),
            Count::Types => caps.types,
            Count::Params => caps.params,
            Count::Results => caps.results,
            Count::Names => caps.names,
            Count::NameBytes => caps.name_bytes,
            Count::Functions => caps.functions,
            Count::FunctionBytes => caps.function_bytes,
            Count::Operators => caps.operators,
            Count::Locals => return caps.locals,
            Count::LoopLocals => return caps.loop_locals,
            Count::Loops => caps.loop_depth,
            Count::Depth => caps.depth,
            Count::BranchTargets => return caps.branch_targets,
            Count::Globals => caps.globals,
            Count::Tables => return TABLES.into(),
            Count::TableEntries => limits.table_entries,
            Count::MemoryPages => limits.memory_bytes >> 16,
            Count::ExportedMemories => 1,
            Count::DataSegments => caps.data_segments,
            Count::ElementSegments => caps.element_segments,
            Count::Elements => caps.elements,
        };
        number as u64
    }
}

/// Counts over the whole file, nested modules included.
pub(super) struct Census<'l> {
    limits: &'l Limits,
    bytes: &'l [u8],
    found: [u64; ALL.len()],
    /// Imports and exports of the module that is being read.
    names: u64,
}

impl<'l> Census<'l> {
    pub(super) fn new(limits: &'l Limits, bytes: &'l [u8]) -> Self {
        Census {
            limits,
            bytes,
            found: [0; ALL.len()],
            names: 0,
        }
    }

    /// Everything that was counted so far.
    pub(super) fn sizes(&self) -> Vec<Size> {
        let size = |(count, found): (&Count, &u64)| Size {
            what: count.what(),
            found: *found,
            limit: count.limit(self.limits),
        };
        ALL.iter().zip(&self.found).map(size).collect()
    }

    /// The whole file's size.
    pub(super) fn file(&mut self) -> Result<(), Rejected> {
        self.most(Count::File, self.bytes.len() as u64)
    }

    /// Counts a further piece of the file.
    pub(super) fn count(&mut self, payload: &Payload<'_>) -> Result<(), Rejected> {
        match payload {
            Payload::ModuleSection { .. } => {
                self.names = 0;
                self.more(Count::Modules, 1)
            }
            Payload::ComponentSection { .. } => self.more(Count::Items, 1),
            Payload::CustomSection(section) => self.more(Count::CustomBytes, section.data().len() as u64),
            // Functions, data and nested parts come as pieces of their own; everything else is a section.
            Payload::TypeSection(section) => self.types(section),
            Payload::ImportSection(section) => self.imports(section),
            Payload::ExportSection(section) => self.exports(section),
            Payload::FunctionSection(section) => {
                self.section(section)?;
                self.more(Count::Functions, section.count().into())
            }
            Payload::TableSection(section) => {
                self.section(section)?;
                for table in section.clone() {
                    self.table(table.map_err(invalid)?.ty.initial)?;
                }
                Ok(())
            }
            Payload::MemorySection(section) => {
                if section.count() > 1 {
                    return Err(features::refused("multi-memory"));
                }
                for memory in section.clone() {
                    self.most(Count::MemoryPages, memory.map_err(invalid)?.initial)?;
                }
                Ok(())
            }
            Payload::GlobalSection(section) => {
                self.section(section)?;
                self.more(Count::Globals, section.count().into())
            }
            Payload::ElementSection(section) => self.elements(section),
            Payload::DataSection(section) => {
                self.more(Count::DataSegments, section.count().into())?;
                for data in section.clone() {
                    if let DataKind::Active { offset_expr, .. } = data.map_err(invalid)?.kind {
                        self.most(
                            Count::SectionBytes,
                            offset_expr.get_binary_reader().bytes_remaining() as u64,
                        )?;
                    }
                }
                Ok(())
            }
            Payload::TagSection(section) => self.section(section),
            Payload::CodeSectionEntry(body) => self.function(body),
            Payload::InstanceSection(section) => {
                self.items(section)?;
                for instance in section.clone() {
                    match instance.map_err(invalid)? {
                        Instance::Instantiate { .. } => self.more(Count::Instances, 1)?,
                        Instance::FromExports(exports) => self.more(Count::Items, exports.len() as u64)?,
                    }
                }
                Ok(())
            }
            Payload::CoreTypeSection(section) => self.items_of_types(section),
            Payload::ComponentInstanceSection(section) => self.items(section),
            Payload::ComponentAliasSection(section) => self.items(section),
            Payload::ComponentTypeSection(section) => self.items_of_types(section),
            Payload::ComponentCanonicalSection(section) => self.items(section),
            Payload::ComponentImportSection(section) => {
                self.items(section)?;
                for import in section.clone() {
                    self.name(import.map_err(invalid)?.name.name)?;
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) => {
                self.items(section)?;
                for export in section.clone() {
                    self.name(export.map_err(invalid)?.name.name)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A sum, which must not pass its limit.
    fn more(&mut self, count: Count, more: u64) -> Result<(), Rejected> {
        let found = self.found.get(count as usize).copied().unwrap_or_default();
        self.most(count, found.saturating_add(more))
    }

    /// The greatest of several, which must not pass the limit.
    fn most(&mut self, count: Count, found: u64) -> Result<(), Rejected> {
        if let Some(most) = self.found.get_mut(count as usize) {
            *most = found.max(*most);
        }
        let limit = count.limit(self.limits);
        if found > limit {
            return Err(Rejected::TooLarge {
                what: count.what(),
                found,
                limit,
            });
        }
        Ok(())
    }

    fn section<T>(&mut self, section: &SectionLimited<'_, T>) -> Result<(), Rejected> {
        self.most(Count::SectionBytes, section.range().len() as u64)
    }

    fn items<T>(&mut self, section: &SectionLimited<'_, T>) -> Result<(), Rejected> {
        self.section(section)?;
        self.more(Count::Items, section.count().into())
    }

    fn items_of_types<T>(&mut self, section: &SectionLimited<'_, T>) -> Result<(), Rejected> {
        self.items(section)?;
        let bytes = self.bytes.get(section.range()).unwrap_or(self.bytes);
        let opened = bytes.iter().filter(|byte| OPENERS.contains(byte)).count();
        self.most(Count::Opened, opened as u64)
    }

    fn name(&mut self, name: &str) -> Result<(), Rejected> {
        self.most(Count::NameBytes, name.len() as u64)
    }

    fn types(&mut self, section: &wasmparser::TypeSectionReader<'_>) -> Result<(), Rejected> {
        self.section(section)?;
        for group in section.clone() {
            for ty in group.map_err(invalid)?.types() {
                self.more(Count::Types, 1)?;
                if let wasmparser::CompositeInnerType::Func(function) = &ty.composite_type.inner {
                    self.most(Count::Params, function.params().len() as u64)?;
                    self.most(Count::Results, function.results().len() as u64)?;
                }
            }
        }
        Ok(())
    }

    fn imports(&mut self, section: &wasmparser::ImportSectionReader<'_>) -> Result<(), Rejected> {
        self.section(section)?;
        for import in section.clone().into_imports() {
            let import = import.map_err(invalid)?;
            self.names += 1;
            self.most(Count::Names, self.names)?;
            self.name(import.module)?;
            self.name(import.name)?;
            match import.ty {
                TypeRef::Memory(memory) => self.most(Count::MemoryPages, memory.initial)?,
                TypeRef::Table(table) => self.table(table.initial)?,
                TypeRef::Global(_) => self.more(Count::Globals, 1)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn exports(&mut self, section: &wasmparser::ExportSectionReader<'_>) -> Result<(), Rejected> {
        self.section(section)?;
        self.names += u64::from(section.count());
        self.most(Count::Names, self.names)?;
        let mut memories = 0;
        for export in section.clone() {
            let export = export.map_err(invalid)?;
            self.name(export.name)?;
            memories += u64::from(export.kind == ExternalKind::Memory);
        }
        self.most(Count::ExportedMemories, memories)
    }

    fn table(&mut self, entries: u64) -> Result<(), Rejected> {
        self.more(Count::Tables, 1)?;
        self.most(Count::TableEntries, entries)
    }

    fn elements(&mut self, section: &wasmparser::ElementSectionReader<'_>) -> Result<(), Rejected> {
        self.section(section)?;
        self.more(Count::ElementSegments, section.count().into())?;
        for segment in section.clone() {
            let entries = match segment.map_err(invalid)?.items {
                ElementItems::Functions(functions) => functions.count(),
                ElementItems::Expressions(_, expressions) => expressions.count(),
            };
            self.more(Count::Elements, entries.into())?;
        }
        Ok(())
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), Rejected> {
        self.most(Count::FunctionBytes, body.range().len() as u64)?;
        let mut locals = 0_u64;
        for group in body.get_locals_reader().map_err(invalid)? {
            locals += u64::from(group.map_err(invalid)?.0);
        }
        self.more(Count::Locals, locals)?;

        // The blocks that are open, and whether each is a loop.
        let mut open: Vec<bool> = Vec::new();
        let (mut operators, mut loops, mut inside) = (0_u64, 0_u64, 0_u64);
        for operator in body.get_operators_reader().map_err(invalid)? {
            operators += 1;
            match operator.map_err(invalid)? {
                Operator::Loop { .. } => {
                    (loops, inside) = (loops + 1, inside + 1);
                    open.push(true);
                    self.most(Count::Loops, inside)?;
                    self.most(Count::Depth, open.len() as u64)?;
                }
                Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } | Operator::Try { .. } => {
                    open.push(false);
                    self.most(Count::Depth, open.len() as u64)?;
                }
                Operator::End => inside -= u64::from(open.pop() == Some(true)),
                Operator::BrTable { targets } => self.more(Count::BranchTargets, targets.len().into())?,
                _ => {}
            }
        }
        self.most(Count::Operators, operators)?;
        self.most(Count::LoopLocals, locals.saturating_mul(loops))
    }
}
