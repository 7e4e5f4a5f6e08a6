//! A rule's component with two core modules where `wit-component` makes three.
//!
//! A host function that reads or writes the rule's memory can be made only once there is that memory; but the rule's core
//! module wants its imports before it has any. So `wit-component` puts a module in front (the shim: a table, and for each import a
//! function that calls what stands in the table), and one behind (the fixup, which puts the host functions into the
//! table). Each call of a rule makes a fresh instance of all three, so one fewer counts.
//!
//! Here the shim goes into the rule's core module: its imports become functions of its own that call through places at the end of
//! its own table, which the fixup fills. They take the numbers that the imports had, so nothing else in the module changes.
//!
//! What is not laid out like that stays as it is. So does a module with debug information, which counts from where code begins.

mod layout;

use anyhow::Context as _;
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, component_utils, utils};
use wasm_encoder::{
    CanonicalFunctionSection, CodeSection, Component, ComponentAliasSection, ComponentSectionId, ConstExpr, ExportKind,
    ExportSection, Function, FunctionSection, ImportSection, InstanceSection, Module, ModuleArg, ModuleSection,
    RawSection, TableType,
};
use wasmparser::{CanonicalFunction, CanonicalOption, KnownCustom, Parser, Validator};

use layout::{Layout, of_shim};

/// Numbers of core modules, as `wit-component` lays them out.
const MAIN: u32 = 0;
const SHIM: u32 = 1;
const FIXUP: u32 = 2;
/// The shim's instance.
const SHIM_INSTANCE: u32 = 0;
/// As what the fixup imports the table.
const TABLE: &str = "$imports";

type Result<T, E = Error> = std::result::Result<T, E>;

/// The component with the shim in the rule's core module; none if it is not laid out so.
///
/// # Errors
/// It is no valid component, or would be none.
pub(crate) fn joined(component: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(layout) = Layout::of(component).context("what wit-component made cannot be read")? else {
        return Ok(None);
    };
    let mut joined = Component::new();
    let mut joiner = Joiner {
        layout,
        modules: 0,
        instances: 0,
    };
    joiner
        .parse_component(&mut joined, Parser::new(0), component)
        .context("the shim cannot be joined with the rule")?;
    let joined = joined.finish();
    Validator::new()
        .validate_all(&joined)
        .context("the component is not valid with the shim in the rule")?;
    Ok(Some(joined))
}

/// Writes the component anew.
struct Joiner {
    layout: Layout,
    /// So many core modules have been met,
    modules: u32,
    /// and so many core instances.
    instances: u32,
}

impl Reencode for Joiner {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32> {
        Ok(function.saturating_sub(self.layout.functions))
    }
}

impl ReencodeComponent for Joiner {
    fn module_index(&mut self, module: u32) -> u32 {
        // Behind the shim.
        if module > SHIM { module - 1 } else { module }
    }

    fn instance_index(&mut self, instance: u32) -> u32 {
        // The shim's table is the rule's now, whose instance is the first: what only it needed is gone.
        instance.saturating_sub(self.layout.main)
    }

    fn parse_component_submodule(&mut self, component: &mut Component, parser: Parser, core: &[u8]) -> Result<()> {
        let number = self.modules;
        self.modules += 1;
        let mut module = Module::new();
        match number {
            MAIN => Main(&self.layout).parse_core_module(&mut module, parser, core)?,
            SHIM => return Ok(()),
            // There are three.
            _ => Fixup(self.layout.entries).parse_core_module(&mut module, parser, core)?,
        }
        component.section(&ModuleSection(&module));
        Ok(())
    }

    /// As it is: what is numbered in it is its own.
    fn parse_component_subcomponent(
        &mut self,
        component: &mut Component,
        _: Parser,
        inner: &[u8],
        _: &[u8],
    ) -> Result<()> {
        component.section(&RawSection {
            id: ComponentSectionId::Component.into(),
            data: inner,
        });
        Ok(())
    }

    fn parse_component_custom_section(
        &mut self,
        component: &mut Component,
        section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<()> {
        // Names go by numbers that are others now.
        if !matches!(section.as_known(), KnownCustom::ComponentName(_)) {
            component.section(&self.custom_section(section)?);
        }
        Ok(())
    }

    fn parse_component_canonical(
        &mut self,
        functions: &mut CanonicalFunctionSection,
        function: CanonicalFunction,
    ) -> Result<()> {
        let function = match function {
            // What is freed after a call is all of the instance.
            CanonicalFunction::Lift {
                core_func_index,
                type_index,
                options,
            } => CanonicalFunction::Lift {
                core_func_index,
                type_index,
                options: options
                    .into_iter()
                    .filter(|option| !matches!(option, CanonicalOption::PostReturn(_)))
                    .collect(),
            },
            other => other,
        };
        component_utils::parse_component_canonical(self, functions, function)
    }

    fn parse_component_alias_section(
        &mut self,
        aliases: &mut ComponentAliasSection,
        section: wasmparser::ComponentAliasSectionReader<'_>,
    ) -> Result<()> {
        for alias in section {
            let alias = alias?;
            if of_shim(&alias).is_none() {
                aliases.alias(self.component_alias(alias)?);
            }
        }
        Ok(())
    }

    fn parse_instance_section(
        &mut self,
        instances: &mut InstanceSection,
        section: wasmparser::InstanceSectionReader<'_>,
    ) -> Result<()> {
        for instance in section {
            let (instance, number) = (instance?, self.instances);
            self.instances += 1;
            if number == self.layout.main {
                instances.instantiate(MAIN, std::iter::empty::<(&str, ModuleArg)>());
            } else if number > self.layout.main {
                self.parse_instance(instances, instance)?;
            }
        }
        Ok(())
    }
}

/// The rule's core module, with functions in place of its imports.
struct Main<'a>(&'a Layout);

impl Reencode for Main<'_> {
    type Error = std::convert::Infallible;

    fn parse_import_section(&mut self, _: &mut ImportSection, _: wasmparser::ImportSectionReader<'_>) -> Result<()> {
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<()> {
        for slot in &self.0.slots {
            functions.function(slot.ty);
        }
        utils::parse_function_section(self, functions, section)
    }

    /// The only one is its table's.
    fn table_type(&mut self, ty: wasmparser::TableType) -> Result<TableType> {
        Ok(larger(utils::table_type(self, ty)?, u64::from(self.0.functions)))
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<()> {
        utils::parse_export_section(self, exports, section)?;
        exports.export(TABLE, ExportKind::Table, 0);
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: wasmparser::CodeSectionReader<'_>) -> Result<()> {
        for slot in &self.0.slots {
            let mut function = Function::new([]);
            let mut instructions = function.instructions();
            for param in 0..slot.params {
                instructions.local_get(param);
            }
            let at = self.0.entries + u64::from(slot.place);
            instructions.i32_const(at as i32).call_indirect(0, slot.ty).end();
            code.function(&function);
        }
        utils::parse_code_section(self, code, section)
    }
}

/// The fixup, which fills the places behind so many entries of the rule's own.
struct Fixup(u64);

impl Reencode for Fixup {
    type Error = std::convert::Infallible;

    fn table_type(&mut self, ty: wasmparser::TableType) -> Result<TableType> {
        Ok(larger(utils::table_type(self, ty)?, self.0))
    }

    /// The only one is where it fills them.
    fn const_expr(&mut self, _: wasmparser::ConstExpr<'_>) -> Result<ConstExpr> {
        Ok(ConstExpr::i32_const(self.0 as i32))
    }
}

fn larger(table: TableType, by: u64) -> TableType {
    TableType {
        minimum: table.minimum + by,
        maximum: table.maximum.map(|maximum| maximum + by),
        ..table
    }
}

#[cfg(test)]
mod tests {
    use picket_contract::{Batch, Call, Evaluate as _, Outcome, Params, RuleState, Tables};
    use picket_hostile::{Guest, LOG, NOTHING, Shell};
    use picket_sandbox::{Engine, Limits};

    use wasmparser::{ImportSectionReader, Payload};

    use super::layout::bounds;
    use super::*;

    /// Its imports are in another order than the shim has them, which has all functions of one interface together. It calls
    /// functions of one type by different names, puts what tells whether each did as it should, and logs.
    fn guest() -> Guest {
        let imports = r#"
            (import "picket:rule/log@1.0.0" "write" (func $log (param i32 i32 i32)))
            (import "picket:rule/state@1.0.0" "get-many" (func $get_many (param i32 i32 i64 i32)))
            (import "picket:rule/timers@1.0.0" "set" (func $set (param i32 i32 i64) (result i32)))
            (import "picket:rule/state@1.0.0" "put" (func $put (param i32 i32 i32 i32 i64 i64) (result i32)))
            (import "picket:rule/params@1.0.0" "get" (func $param (param i32 i32 i32)))
            (import "picket:rule/state@1.0.0" "get" (func $get (param i32 i32 i64 i32)))"#;
        let evaluate = "
            (drop (call $put (i32.const 512) (i32.const 1) (i32.const 513) (i32.const 1) (i64.const 1) (i64.const 1000)))
            (call $get (i32.const 512) (i32.const 1) (i64.const 1) (i32.const 560))
            (drop (call $put (i32.const 513) (i32.const 1) (i32.const 560) (i32.const 1) (i64.const 1) (i64.const 1000)))
            (call $get_many (i32.const 544) (i32.const 0) (i64.const 1) (i32.const 560))
            (call $param (i32.const 512) (i32.const 1) (i32.const 576))
            (drop (call $put (i32.const 514) (i32.const 1) (i32.const 576) (i32.const 1) (i64.const 1) (i64.const 1000)))
            (drop (call $set (i32.const 512) (i32.const 1) (i64.const 500)))
            (call $log (i32.const 1) (i32.const 512) (i32.const 3))
            (i32.const 16)";
        Guest::new(evaluate)
            .imports(imports)
            .items(r#"(data (i32.const 512) "kvz") (table 3 3 funcref) (elem (i32.const 1) $log)"#)
    }

    fn call(engine: &Engine, component: &[u8]) -> Outcome {
        let call = Call {
            rule: "t",
            batch: &Batch::default(),
            state: &RuleState::default(),
            params: &Params::new(),
            tables: &Tables::default(),
        };
        engine.load(component).unwrap().evaluate(call).unwrap()
    }

    fn payloads(bytes: &[u8]) -> impl Iterator<Item = Payload<'_>> {
        Parser::new(0).parse_all(bytes).map(Result::unwrap)
    }

    fn core_modules(component: &[u8]) -> Vec<&[u8]> {
        let modules = payloads(component).filter_map(|payload| match payload {
            Payload::ModuleSection { unchecked_range, .. } => Some(&component[bounds(&unchecked_range)]),
            _ => None,
        });
        modules.collect()
    }

    /// The names of what a core module imports.
    fn imports(core: &[u8]) -> Vec<String> {
        let sections = payloads(core).filter_map(|payload| match payload {
            Payload::ImportSection(section) => Some(section),
            _ => None,
        });
        sections
            .flat_map(ImportSectionReader::into_imports)
            .map(|import| import.unwrap().name.to_owned())
            .collect()
    }

    #[test]
    fn the_shim_becomes_part_of_the_rule() {
        let plain = picket_hostile::component(&guest().text());
        assert_eq!(core_modules(&plain).len(), 3);
        let joined = joined(&plain).unwrap().unwrap();
        let modules = core_modules(&joined);
        assert_eq!(modules.len(), 2);
        assert!(imports(modules[0]).is_empty());
        let fixup = imports(core_modules(&plain)[2]);
        assert_eq!(imports(modules[1]), fixup);
        // The rule's own entries, and a place for each function; the fixup also imports the table itself.
        assert_eq!(entries(modules[0]), 3 + fixup.len() as u64 - 1);
        // And each import calls what it called.
        let engine = Engine::new(Limits::default()).unwrap();
        let (before, after) = (call(&engine, &plain), call(&engine, &joined));
        assert_eq!(before.changes.entries.len(), 3);
        assert_eq!((before.changes, before.log), (after.changes, after.log));
    }

    /// How large the table is.
    fn entries(core: &[u8]) -> u64 {
        let table = payloads(core).find_map(|payload| match payload {
            Payload::TableSection(section) => section.into_iter().next(),
            _ => None,
        });
        table.unwrap().unwrap().ty.initial
    }

    #[test]
    fn stock_rules_are_joined() {
        let files = picket_e2e::installed("rules").read_dir().unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert!(files.len() > 5);
        for file in files {
            let component = std::fs::read(&file).unwrap();
            assert_eq!(core_modules(&component).len(), 2, "{}", file.display());
        }
    }

    #[test]
    fn what_is_laid_out_otherwise_stays() {
        // A memory in a module of its own; no table; one that grows; one that is not of functions; lines that count from where code
        // begins.
        assert!(joined(&Shell::new(NOTHING).component()).unwrap().is_none());
        let without = Guest::new(NOTHING).imports(LOG);
        let growing = without.clone().items("(table 3 funcref)");
        let foreign = without.clone().items("(table 3 3 externref)");
        let lines = without
            .clone()
            .items(r#"(table 3 3 funcref) (@custom ".debug_line" "\00")"#);
        for guest in [without, growing, foreign, lines] {
            let plain = picket_hostile::component(&guest.text());
            assert!(joined(&plain).unwrap().is_none());
        }
        assert!(joined(b"\0asm").is_err());
    }
}
