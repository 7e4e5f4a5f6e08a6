//! What is to be known of a component before it is written anew.

use std::collections::HashMap;

use wasmparser::{ComponentAlias, ExternalKind, Instance, Parser, Payload, RefType, TypeRef};

use super::{FIXUP, MAIN, SHIM, SHIM_INSTANCE};

/// How `wit-component` laid it out.
pub(super) struct Layout {
    /// The instance of the rule's core module.
    pub(super) main: u32,
    /// How many functions the shim has. They are the first core functions of the component, since the rule imports nothing else.
    pub(super) functions: u32,
    /// In the order of the imports.
    pub(super) slots: Vec<Slot>,
    /// How many entries the rule's own table has.
    pub(super) entries: u64,
}

/// An import of the rule's core module.
pub(super) struct Slot {
    pub(super) ty: u32,
    /// How many parameters it has.
    pub(super) params: u32,
    /// Its place among the shim's.
    pub(super) place: u32,
}

/// A core instance, as far as it matters here.
enum Seen {
    /// Of a module, with instances by name.
    Of(u32, Vec<(String, u32)>),
    /// Core functions by name.
    Bag(HashMap<String, u32>),
}

impl Layout {
    /// None: it is laid out otherwise.
    pub(super) fn of(component: &[u8]) -> anyhow::Result<Option<Layout>> {
        let mut depth = 0_u32;
        let (mut modules, mut instances, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::ModuleSection { unchecked_range, .. } => {
                    if depth == 0 {
                        modules.extend(component.get(bounds(&unchecked_range)));
                    }
                    depth += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::InstanceSection(section) if depth == 0 => {
                    for instance in section {
                        instances.push(seen(instance?));
                    }
                }
                Payload::ComponentAliasSection(section) if depth == 0 => {
                    for alias in section {
                        if let Some(name) = of_shim(&alias?) {
                            places.push(name.parse::<u32>().ok());
                        }
                    }
                }
                _ => {}
            }
        }
        let is_main = |instance: &Seen| matches!(instance, Seen::Of(MAIN, _));
        let ([core, _, _], Some(main)) = (modules.as_slice(), instances.iter().position(is_main)) else {
            return Ok(None);
        };
        let (Some(Seen::Of(SHIM, _)), Some(Seen::Of(_, with))) = (instances.first(), instances.get(main)) else {
            return Ok(None);
        };
        let place = |module: &str, name: &str| {
            let (_, bag) = with.iter().find(|(known, _)| known == module)?;
            match instances.get(*bag as usize)? {
                Seen::Bag(functions) => *places.get(*functions.get(name)? as usize)?,
                Seen::Of(..) => None,
            }
        };
        let Some((slots, entries)) = slots(core, place)? else {
            return Ok(None);
        };
        // Every import goes through the shim, and the last instance fills its table.
        let fills = |with: &[(String, u32)]| with.iter().any(|(_, instance)| *instance == SHIM_INSTANCE);
        let is_filled = matches!(instances.last(), Some(Seen::Of(FIXUP, with)) if fills(with));
        let is_whole = is_filled && slots.len() == places.len();
        Ok(is_whole.then_some(Layout {
            main: u32::try_from(main)?,
            functions: u32::try_from(places.len())?,
            slots,
            entries,
        }))
    }
}

fn seen(instance: Instance<'_>) -> Seen {
    match instance {
        Instance::Instantiate { module_index, args } => {
            let with = args.iter().map(|arg| (arg.name.to_owned(), arg.index));
            Seen::Of(module_index, with.collect())
        }
        Instance::FromExports(exports) => {
            let functions = exports.iter().filter(|export| export.kind == ExternalKind::Func);
            Seen::Bag(functions.map(|export| (export.name.to_owned(), export.index)).collect())
        }
    }
}

/// The name of a function of the shim, if the alias is of one.
pub(super) fn of_shim<'a>(alias: &ComponentAlias<'a>) -> Option<&'a str> {
    match alias {
        ComponentAlias::CoreInstanceExport {
            kind: ExternalKind::Func,
            instance_index: SHIM_INSTANCE,
            name,
        } => Some(name),
        _ => None,
    }
}

/// The imports of the rule's core module and the size of its table. None: it imports something else than the shim's functions, has
/// no table of functions of a fixed size, or debug information.
fn slots(core: &[u8], place: impl Fn(&str, &str) -> Option<u32>) -> anyhow::Result<Option<(Vec<Slot>, u64)>> {
    let (mut types, mut slots, mut tables) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(core) {
        match payload? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    let Ok(ty) = ty else { return Ok(None) };
                    types.push(ty);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let (TypeRef::Func(ty), Some(place)) = (import.ty, place(import.module, import.name)) else {
                        return Ok(None);
                    };
                    let Some(function) = types.get(ty as usize) else {
                        return Ok(None);
                    };
                    slots.push(Slot {
                        ty,
                        params: u32::try_from(function.params().len())?,
                        place,
                    });
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    tables.push(table?.ty);
                }
            }
            Payload::CustomSection(section) if section.name().starts_with(".debug") => return Ok(None),
            _ => {}
        }
    }
    let entries = match tables.as_slice() {
        [table] if table.element_type == RefType::FUNCREF && !table.table64 && table.maximum == Some(table.initial) => {
            table.initial
        }
        _ => return Ok(None),
    };
    Ok(Some((slots, entries)))
}

/// A range of the file.
pub(super) fn bounds(range: &std::ops::Range<u64>) -> std::ops::Range<usize> {
    range.start as usize..range.end as usize
}
