//! What a component would cost to compile and to instantiate, found before either.
//!
//! The compiler follows each instantiation of each nested component to the modules at its end, once for each time that
//! it takes place: a few kilobytes can stand for a billion instances. Here each component is counted once, bottom-up.

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentType, ComponentTypeRef, Instance, InstanceTypeDeclaration, Parser, Payload, TypeBounds,
};

use super::engine::FEATURES;
use super::host;
use crate::{Compat, PrepareError};

/// How many instances there may be, of modules and components together, in one instance of a component. A guest in
/// Python, which is made of some dozens of modules, is far below that.
const MAX_INSTANCES: u64 = 1_000;
/// How many parts all of these may have together: functions, globals, imports, and whatever a component names. A guest
/// with a whole JavaScript engine has some 20,000.
const MAX_PARTS: u64 = 1_000_000;
/// How many parts a function counts for that one component calls in another: code is made for each.
const LOWERED: u64 = 100;
/// The bytes with which the types of components and instances begin. They are read by recursion that nothing else
/// bounds; a section cannot nest them deeper than these bytes are many, wherever else they occur.
const TYPE_OPENERS: [u8; 2] = [0x41, 0x42];
const MAX_TYPE_DEPTH: u64 = 500;
/// How deep components may be nested, and how many modules and components one may name.
const MAX_DEPTH: usize = 100;
const MAX_NAMED: usize = 1_000;

/// Refuses a component that asks the host for anything but what it answers, or would grow beyond bounds. What passes may
/// still be invalid.
pub(super) fn scan(wasm: &[u8], compat: Option<Compat>) -> Result<(), PrepareError> {
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    let mut scan = Scan { frames: vec![Frame::default()], largest_module: 0, types: vec![], asked: vec![] };
    for payload in parser.parse_all(wasm) {
        if let Ok(Payload::ComponentTypeSection(section)) = &payload {
            bound_types(wasm.get(section.range()).unwrap_or_default())?;
        }
        let ended = matches!(payload, Ok(Payload::End(_)));
        payload.and_then(|payload| scan.payload(&payload)).map_err(|error| invalid(&error))?;
        if ended && scan.frames.len() == 1 {
            break;
        }
        if ended {
            scan.close();
        }
        scan.refuse_wide()?;
    }
    host::check(scan.asked.iter().copied(), compat)?;
    let Cost { instances, parts, unknown_modules } = scan.frames.first().map_or(Cost::default(), |root| root.cost);
    refuse_beyond(instances, "instances", MAX_INSTANCES)?;
    let parts = parts.saturating_add(unknown_modules.saturating_mul(scan.largest_module));
    refuse_beyond(parts, "functions, globals, imports and names in its instances", MAX_PARTS)
}

/// Refuses a section of types that could nest them too deep for those who read it.
pub(super) fn bound_types(section: &[u8]) -> Result<(), PrepareError> {
    let opened = section.iter().filter(|byte| TYPE_OPENERS.contains(byte)).count();
    refuse_beyond(opened as u64, "types in each other", MAX_TYPE_DEPTH)
}

fn refuse_beyond(number: u64, what: &'static str, limit: u64) -> Result<(), PrepareError> {
    if number > limit { Err(PrepareError::TooComplex { what, limit }) } else { Ok(()) }
}

fn invalid(error: &wasmparser::BinaryReaderError) -> PrepareError {
    PrepareError::invalid(&error.to_string())
}

/// What one instance takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    instances: u64,
    parts: u64,
    /// Instances of modules that are given by whoever instantiates. Each is a module from the same bytes.
    unknown_modules: u64,
}

impl Cost {
    /// A component that is given by whoever instantiates is not followed, and nothing bounds what it takes.
    const UNBOUNDED: Self = Self { instances: u64::MAX, parts: u64::MAX, unknown_modules: 0 };

    fn parts(&mut self, more: u64) {
        self.parts = self.parts.saturating_add(more);
    }

    fn instance(&mut self, of: Self) {
        self.instances = self.instances.saturating_add(of.instances).saturating_add(1);
        self.parts(of.parts);
        self.unknown_modules = self.unknown_modules.saturating_add(of.unknown_modules);
    }
}

/// A module or a component that is being read.
#[derive(Debug, Default)]
struct Frame {
    cost: Cost,
    is_module: bool,
    /// The index spaces of modules and components.
    modules: Vec<Cost>,
    components: Vec<Cost>,
}

struct Scan<'a> {
    frames: Vec<Frame>,
    largest_module: u64,
    /// The outermost index space of types: whether one may be imported.
    types: Vec<bool>,
    /// The imports that are more than types.
    asked: Vec<&'a str>,
}

type Read<T> = wasmparser::Result<T>;

impl<'a> Scan<'a> {
    fn payload(&mut self, payload: &Payload<'a>) -> Read<()> {
        match payload {
            Payload::ModuleSection { .. } => self.frames.push(Frame { is_module: true, ..Frame::default() }),
            Payload::ComponentSection { .. } => self.frames.push(Frame::default()),
            Payload::ImportSection(section) => self.parts(section.count()),
            Payload::FunctionSection(section) => self.parts(section.count()),
            Payload::GlobalSection(section) => self.parts(section.count()),
            Payload::TableSection(section) => self.parts(section.count()),
            Payload::MemorySection(section) => self.parts(section.count()),
            Payload::ElementSection(section) => self.parts(section.count()),
            Payload::DataSection(section) => self.parts(section.count()),
            Payload::CoreTypeSection(section) => self.parts(section.count()),
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    self.core_instance(&instance?);
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    self.component_instance(&instance?);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias?);
                }
            }
            Payload::ComponentTypeSection(section) => {
                self.parts(section.count());
                if self.frames.len() == 1 {
                    for ty in section.clone() {
                        self.types.push(may_be_imported(&ty?));
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    let is_lowered = matches!(function?, CanonicalFunction::Lower { .. });
                    self.charge(if is_lowered { LOWERED } else { 1 });
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import?;
                    self.import(import.name.name, import.ty);
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    self.export(export.kind, export.index);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The end of a module or component within another one.
    fn close(&mut self) {
        let Some(done) = self.frames.pop() else { return };
        let Some(parent) = self.frames.last_mut() else { return };
        if done.is_module {
            self.largest_module = self.largest_module.max(done.cost.parts);
            parent.modules.push(done.cost);
        } else {
            parent.components.push(done.cost);
        }
    }

    fn refuse_wide(&self) -> Result<(), PrepareError> {
        refuse_beyond(self.frames.len() as u64, "components in each other", MAX_DEPTH as u64)?;
        let named = self.frames.last().map_or(0, |frame| frame.modules.len().max(frame.components.len()));
        refuse_beyond(named as u64, "modules or components in one", MAX_NAMED as u64)
    }

    fn charge(&mut self, parts: u64) {
        if let Some(frame) = self.frames.last_mut() {
            frame.cost.parts(parts);
        }
    }

    fn parts(&mut self, count: u32) {
        self.charge(count.into());
    }

    fn core_instance(&mut self, instance: &Instance<'_>) {
        let Some(frame) = self.frames.last_mut() else { return };
        match instance {
            Instance::Instantiate { module_index, args } => {
                // An index to nothing is refused by the compiler.
                let module = frame.modules.get(*module_index as usize).copied().unwrap_or_default();
                frame.cost.instance(module);
                frame.cost.parts(args.len() as u64);
            }
            Instance::FromExports(exports) => frame.cost.parts(1 + exports.len() as u64),
        }
    }

    fn component_instance(&mut self, instance: &ComponentInstance<'_>) {
        let Some(frame) = self.frames.last_mut() else { return };
        match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let component = frame.components.get(*component_index as usize).copied().unwrap_or_default();
                frame.cost.instance(component);
                frame.cost.parts(args.len() as u64);
            }
            ComponentInstance::FromExports(exports) => frame.cost.parts(1 + exports.len() as u64),
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        self.charge(1);
        match *alias {
            ComponentAlias::InstanceExport { kind, .. } => self.unknown(kind),
            ComponentAlias::CoreInstanceExport { .. } => {}
            ComponentAlias::Outer { kind, count, index } => {
                let outer = self.frames.len().checked_sub(1 + count as usize).and_then(|at| self.frames.get(at));
                let found = |of: fn(&Frame) -> &Vec<Cost>| {
                    outer.and_then(|frame| of(frame).get(index as usize)).copied().unwrap_or_default()
                };
                let (module, component) = (found(|frame| &frame.modules), found(|frame| &frame.components));
                let is_root = self.frames.len() == 1;
                let Some(frame) = self.frames.last_mut() else { return };
                match kind {
                    ComponentOuterAliasKind::CoreModule => frame.modules.push(module),
                    ComponentOuterAliasKind::Component => frame.components.push(component),
                    ComponentOuterAliasKind::Type if is_root => self.types.push(true),
                    ComponentOuterAliasKind::Type | ComponentOuterAliasKind::CoreType => {}
                }
            }
        }
    }

    /// Something that is known only when the component is instantiated.
    fn unknown(&mut self, kind: ComponentExternalKind) {
        let is_root = self.frames.len() == 1;
        let Some(frame) = self.frames.last_mut() else { return };
        match kind {
            ComponentExternalKind::Module => frame.modules.push(Cost { unknown_modules: 1, ..Cost::default() }),
            ComponentExternalKind::Component => frame.components.push(Cost::UNBOUNDED),
            ComponentExternalKind::Type if is_root => self.types.push(true),
            _ => {}
        }
    }

    fn import(&mut self, name: &'a str, ty: ComponentTypeRef) {
        self.charge(1);
        if self.frames.len() == 1 && !is_only_types(ty, &self.types) {
            self.asked.push(name);
        }
        self.unknown(ty.kind());
    }

    /// What is exported has a second index from there on.
    fn export(&mut self, kind: ComponentExternalKind, index: u32) {
        self.charge(1);
        let is_root = self.frames.len() == 1;
        let Some(frame) = self.frames.last_mut() else { return };
        let again = |space: &mut Vec<Cost>| space.push(space.get(index as usize).copied().unwrap_or_default());
        match kind {
            ComponentExternalKind::Module => again(&mut frame.modules),
            ComponentExternalKind::Component => again(&mut frame.components),
            ComponentExternalKind::Type if is_root => {
                let ty = self.types.get(index as usize).copied().unwrap_or(true);
                self.types.push(ty);
            }
            _ => {}
        }
    }
}

/// Whether an import is nothing but types, or may be: what is not known here is known to the compiler.
fn is_only_types(ty: ComponentTypeRef, types: &[bool]) -> bool {
    match ty {
        ComponentTypeRef::Type(bounds) => bounds != TypeBounds::SubResource,
        ComponentTypeRef::Instance(index) => types.get(index as usize).copied().unwrap_or(true),
        _ => false,
    }
}

fn may_be_imported(ty: &ComponentType<'_>) -> bool {
    let ComponentType::Instance(declarations) = ty else { return true };
    let mut types = Vec::new();
    for declaration in declarations {
        match declaration {
            InstanceTypeDeclaration::Type(ty) => types.push(may_be_imported(ty)),
            InstanceTypeDeclaration::Alias(
                ComponentAlias::InstanceExport { kind: ComponentExternalKind::Type, .. }
                | ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. },
            ) => types.push(true),
            InstanceTypeDeclaration::Export { ty, .. } if !is_only_types(*ty, &types) => return false,
            InstanceTypeDeclaration::Export { ty: ComponentTypeRef::Type(_), .. } => types.push(true),
            _ => {}
        }
    }
    true
}
