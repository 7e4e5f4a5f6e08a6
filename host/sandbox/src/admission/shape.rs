//! What a rule's component may be made of.
//!
//! A rule is one world: it imports interfaces of `picket:rule`, lowers their functions into core modules, lifts two functions
//! out of one of them, and exports them. What `wit-component` makes of a core module (and what componentize-js and
//! componentize-py make, which use it) is exactly that, and so three things are refused that a component could
//! do besides:
//!
//! - **Components inside, but for shims.** `wit-component` puts one component around an exported interface that
//!   renames types: it imports, and exports what it imported, and has no code. That is admitted. A nested component
//!   with code of its own, with functions that it lifts or lowers, with instances or further components is refused: what one
//!   component passes to another goes through an adapter that the engine compiles for the pair, with
//!   its own copying and transcoding of text. RUSTSEC-2026-0091 (a write out of bounds while transcoding), -0092 and -0093
//!   (reads out of bounds) all lie there.
//! - **A component that lowers what it lifted.** The same adapter, made within one component.
//! - **Text that is not UTF-8.** With UTF-16 or Latin-1 on one side and UTF-8 on the other the host transcodes as well, at a
//!   cost that no fuel is charged for.
//!
//! Resources are refused because the contract has none: their tables would be state of the engine that a guest drives.
//! The asynchronous built-ins are refused as features.

use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::Types;
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ComponentTypeDeclaration, ComponentTypeRef, InstanceTypeDeclaration,
    Payload,
};

use super::{EXPORT, INTERFACES, MAJOR, VERSION, features, invalid};
use crate::{Rejected, text};

/// Where an instance or a function of the component comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// An import: the host's.
    Host,
    /// Its own: lifted, or of a component inside.
    Own,
}

/// What was seen of the component so far.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Of each part that is being read, the outermost first, whether it is a component.
    open: Vec<bool>,
    instances: Vec<Origin>,
    functions: Vec<Origin>,
    imports: Vec<(String, bool)>,
    exports: Vec<String>,
}

impl Shape {
    /// Looks at a further piece of the file.
    pub(super) fn look(&mut self, payload: &Payload<'_>) -> Result<(), Rejected> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.open.push(*encoding == wasmparser::Encoding::Component);
                return Ok(());
            }
            Payload::End(_) => {
                self.open.pop();
                return Ok(());
            }
            _ => {}
        }
        match self.open.as_slice() {
            [true] => self.rule(payload),
            [true, true] => shim(payload),
            // A core module, which has no part in this.
            _ => Ok(()),
        }
    }

    fn rule(&mut self, payload: &Payload<'_>) -> Result<(), Rejected> {
        match payload {
            Payload::ComponentTypeSection(section) => {
                for ty in section.clone() {
                    plain(&ty.map_err(invalid)?)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import.map_err(invalid)?;
                    let is_interface = matches!(import.ty, ComponentTypeRef::Instance(_));
                    match import.ty {
                        ComponentTypeRef::Instance(_) => self.instances.push(Origin::Host),
                        ComponentTypeRef::Func(_) => self.functions.push(Origin::Host),
                        _ => {}
                    }
                    self.imports.push((import.name.name.to_owned(), is_interface));
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    match export.kind {
                        ComponentExternalKind::Instance => self.instances.push(Origin::Own),
                        ComponentExternalKind::Func => self.functions.push(Origin::Own),
                        _ => {}
                    }
                    self.exports.push(export.name.name.to_owned());
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias.map_err(invalid)?)?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    let (ComponentInstance::Instantiate { .. } | ComponentInstance::FromExports(_)) =
                        instance.map_err(invalid)?;
                    self.instances.push(Origin::Own);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    self.canonical(&function.map_err(invalid)?)?;
                }
            }
            Payload::ComponentStartSection { .. } => return Err(features::refused("component-values")),
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), Rejected> {
        match alias {
            ComponentAlias::InstanceExport {
                kind, instance_index, ..
            } => {
                // An index that there is not is for the validator to say.
                let from = usize::try_from(*instance_index)
                    .ok()
                    .and_then(|index| self.instances.get(index));
                let from = from.copied().unwrap_or(Origin::Own);
                match kind {
                    ComponentExternalKind::Func => self.functions.push(from),
                    ComponentExternalKind::Instance => self.instances.push(from),
                    ComponentExternalKind::Component => {
                        return Err(Rejected::NestedComponent {
                            detail: "it takes a component out of an instance",
                        });
                    }
                    _ => {}
                }
            }
            ComponentAlias::Outer {
                kind: ComponentOuterAliasKind::Component,
                ..
            } => {
                return Err(Rejected::NestedComponent {
                    detail: "it names a component by an alias",
                });
            }
            ComponentAlias::CoreInstanceExport { .. } | ComponentAlias::Outer { .. } => {}
        }
        Ok(())
    }

    fn canonical(&mut self, function: &CanonicalFunction) -> Result<(), Rejected> {
        match function {
            CanonicalFunction::Lift { options, .. } => {
                encoding(options)?;
                self.functions.push(Origin::Own);
                Ok(())
            }
            CanonicalFunction::Lower { func_index, options } => {
                encoding(options)?;
                let index = usize::try_from(*func_index).unwrap_or(usize::MAX);
                match self.functions.get(index) {
                    Some(Origin::Own) => Err(Rejected::Adapter),
                    Some(Origin::Host) | None => Ok(()),
                }
            }
            CanonicalFunction::ResourceNew { .. }
            | CanonicalFunction::ResourceDrop { .. }
            | CanonicalFunction::ResourceRep { .. } => Err(resources()),
            CanonicalFunction::ThreadSpawnRef { .. }
            | CanonicalFunction::ThreadSpawnIndirect { .. }
            | CanonicalFunction::ThreadAvailableParallelism => Err(features::refused("component-threads")),
            CanonicalFunction::ErrorContextNew { .. }
            | CanonicalFunction::ErrorContextDebugMessage { .. }
            | CanonicalFunction::ErrorContextDrop => Err(features::refused("component-error-context")),
            // Tasks, streams, futures, waitables, and threads of their own kind.
            _ => Err(features::refused("component-async")),
        }
    }

    /// The export of the contract, if the component has it and imports nothing but the contract's interfaces.
    pub(super) fn world(&self) -> Result<String, Rejected> {
        let is_ours = |name: &&String| split(name).0 == EXPORT;
        let ours: Vec<&String> = self.exports.iter().filter(is_ours).collect();
        let speaks = |name: &str| split(name).1.split('.').next() == Some(MAJOR);
        let Some(export) = ours.iter().find(|name| speaks(name)).or(ours.first()) else {
            let mut found = text::clean(&self.exports.join(", "), 200);
            if found.is_empty() {
                found.push_str("nothing");
            }
            self.permitted()?;
            return Err(Rejected::NoDetection { found });
        };
        if !speaks(export) {
            return Err(Rejected::Version {
                found: text::clean(split(export).1, 40),
                supported: VERSION,
            });
        }
        self.permitted()?;
        // A module may serve a later major version of the contract as well; that export is left alone.
        let stranger = self.exports.iter().find(|name| split(name).0 != EXPORT);
        if let Some(name) = stranger {
            return Err(Rejected::Export {
                name: text::clean(name, 120),
            });
        }
        Ok((*export).clone())
    }

    fn permitted(&self) -> Result<(), Rejected> {
        for (name, is_interface) in &self.imports {
            let (interface, version) = split(name);
            let hint = match interface.strip_prefix("picket:rule/") {
                Some(short) if !INTERFACES.iter().any(|(known, _)| *known == short) => {
                    ". This host's contract has no such interface: the module may be built for a later one"
                }
                Some(_) if version.split('.').next() != Some(MAJOR) => {
                    ". It was built for another version of the contract"
                }
                Some(_) if !is_interface => ". It is imported as something else than an interface",
                Some(_) => continue,
                None if interface.starts_with("wasi:") => ". Build for wasm32-unknown-unknown, which has no WASI",
                None => "",
            };
            return Err(Rejected::Import {
                name: text::clean(name, 120),
                hint,
            });
        }
        Ok(())
    }

    /// Whether every function of every imported interface is one that this host has.
    pub(super) fn functions(&self, types: &Types) -> Result<(), Rejected> {
        for (name, _) in &self.imports {
            let short = split(name).0.strip_prefix("picket:rule/").unwrap_or_default();
            let known = INTERFACES.iter().find(|(interface, _)| *interface == short);
            let known = known.map_or(&[][..], |(_, functions)| functions);
            let Some(ComponentEntityType::Instance(instance)) =
                types.component_item_for_import(name).map(|item| item.ty)
            else {
                continue;
            };
            for (function, item) in &types[instance].exports {
                let stranger = match item.ty {
                    ComponentEntityType::Func(_) => !known.contains(&function.as_str()),
                    ComponentEntityType::Type { .. } => false,
                    _ => true,
                };
                if stranger {
                    return Err(Rejected::Import {
                        name: text::clean(&format!("{name} function {function}"), 160),
                        hint: ". This host's contract has no such function: the module may be built for a later one",
                    });
                }
            }
        }
        Ok(())
    }
}

/// A component inside, which may only pass on what it imports.
fn shim(payload: &Payload<'_>) -> Result<(), Rejected> {
    let detail = match payload {
        Payload::ComponentTypeSection(section) => {
            for ty in section.clone() {
                plain(&ty.map_err(invalid)?)?;
            }
            return Ok(());
        }
        Payload::ComponentImportSection(_) | Payload::ComponentExportSection(_) | Payload::CustomSection(_) => {
            return Ok(());
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section.clone() {
                let kind = match alias.map_err(invalid)? {
                    ComponentAlias::Outer { kind, .. } => kind == ComponentOuterAliasKind::Type,
                    ComponentAlias::InstanceExport { kind, .. } => kind == ComponentExternalKind::Type,
                    ComponentAlias::CoreInstanceExport { .. } => false,
                };
                if !kind {
                    return Err(Rejected::NestedComponent {
                        detail: "the component inside takes more than types from elsewhere",
                    });
                }
            }
            return Ok(());
        }
        Payload::ComponentSection { .. } => "the component inside has a component inside",
        Payload::ModuleSection { .. } | Payload::CoreTypeSection(_) | Payload::InstanceSection(_) => {
            "the component inside has code of its own"
        }
        Payload::ComponentCanonicalSection(_) => "the component inside lifts or lowers functions",
        _ => "the component inside does more than pass on what it imports",
    };
    Err(Rejected::NestedComponent { detail })
}

/// Types of the contract are plain data: no resources, at whatever depth they are declared.
fn plain(ty: &ComponentType<'_>) -> Result<(), Rejected> {
    match ty {
        ComponentType::Resource { .. } => Err(resources()),
        ComponentType::Component(declarations) => {
            for declaration in declarations {
                if let ComponentTypeDeclaration::Type(inner) = declaration {
                    plain(inner)?;
                }
            }
            Ok(())
        }
        ComponentType::Instance(declarations) => {
            for declaration in declarations {
                if let InstanceTypeDeclaration::Type(inner) = declaration {
                    plain(inner)?;
                }
            }
            Ok(())
        }
        ComponentType::Defined(_) | ComponentType::Func(_) => Ok(()),
    }
}

fn resources() -> Rejected {
    Rejected::Feature {
        feature: "component-resources",
        words: "resources; picket:rule has none",
    }
}

fn encoding(options: &[CanonicalOption]) -> Result<(), Rejected> {
    for option in options {
        let encoding = match option {
            CanonicalOption::UTF16 => "UTF-16",
            CanonicalOption::CompactUTF16 => "Latin-1 or UTF-16",
            CanonicalOption::Async | CanonicalOption::Callback(_) => return Err(features::refused("component-async")),
            CanonicalOption::Gc | CanonicalOption::CoreType(_) => return Err(features::refused("component-gc")),
            CanonicalOption::UTF8
            | CanonicalOption::Memory(_)
            | CanonicalOption::Realloc(_)
            | CanonicalOption::PostReturn(_) => continue,
        };
        return Err(Rejected::Encoding { encoding });
    }
    Ok(())
}

/// `picket:rule/state@1.0.0` is (`picket:rule/state`, `1.0.0`).
fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}
