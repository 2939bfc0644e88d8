//! Functions as WIT text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::text::WIT_KEYWORDS;
use crate::{Signature, Type};

/// The package with the types of links and nodes, where they are used.
const IPLD: &str = include_str!("../../wit/ipld.wit");
const USE_IPLD: &str = "use ipvm:ipld/types@1.0.0.{link, node};";

/// Functions by name (`name`, or `interface#name` for one of an exported interface) as a WIT file with the world `root` that
/// exports them.
///
/// A component does not keep the names of its records, variants, enums and flags. Each gets one from the place where it occurs
/// first, which is the same every time; equal types of one interface get one.
///
/// ```
/// use ipld_wit::{Signature, Type, wit_text};
///
/// let point = Type::record([("x", Type::S32), ("y", Type::S32)]);
/// let turn = Signature { params: vec![("p".into(), point.clone())], result: Some(Type::list(point)) };
/// assert_eq!(
///     wit_text([("turn", &turn)]),
///     "\
/// package root:component;
///
/// world root {
///   record turn-p {
///     x: s32,
///     y: s32,
///   }
///
///   export turn: func(p: turn-p) -> list<turn-p>;
/// }
/// "
/// );
/// ```
#[must_use]
pub fn wit_text<'a>(exports: impl IntoIterator<Item = (&'a str, &'a Signature)>) -> String {
    let mut own = Vec::new();
    let mut interfaces: BTreeMap<&str, Vec<(&str, &Signature)>> = BTreeMap::new();
    for (name, signature) in exports {
        match name.rsplit_once('#') {
            Some((interface, name)) => interfaces.entry(interface).or_default().push((name, signature)),
            None => own.push((name, signature)),
        }
    }
    let mut uses_ipld = false;
    let mut world = Scope::new(&own, 1).text("export ");
    uses_ipld |= world.uses_ipld;
    let mut packages: BTreeMap<String, String> = BTreeMap::new();
    for (interface, functions) in interfaces {
        // `namespace:package/interface@version`, or the name of an interface that the world itself has.
        let Some((package, name)) = interface.split_once('/') else {
            let inner = Scope::new(&functions, 2).text("");
            uses_ipld |= inner.uses_ipld;
            let _ = write!(world.text, "\n  export {}: interface {{\n{}  }}\n", id(interface), inner.text);
            continue;
        };
        let (name, version) = name.split_once('@').map_or((name, String::new()), |(name, it)| (name, format!("@{it}")));
        let inner = Scope::new(&functions, 2).text("");
        uses_ipld |= inner.uses_ipld;
        let text = packages.entry(format!("{package}{version}")).or_default();
        let _ = write!(text, "  interface {} {{\n{}  }}\n", id(name), inner.text);
        let _ = write!(world.text, "\n  export {interface};\n");
    }
    let mut text = format!("package root:component;\n\nworld root {{\n{}}}\n", world.text);
    for (package, interfaces) in packages {
        let _ = write!(text, "\npackage {package} {{\n{interfaces}}}\n");
    }
    if uses_ipld {
        text.push_str(&nested(IPLD));
    }
    text
}

/// A package of its own as one among others: in braces, and without what its world is for.
fn nested(package: &str) -> String {
    let mut text = String::new();
    for line in package.lines().skip_while(|line| !line.starts_with("package")) {
        match line.strip_suffix(';') {
            Some(line) if line.starts_with("package") => _ = write!(text, "\n{line} {{\n"),
            _ if line.is_empty() => text.push('\n'),
            _ => _ = writeln!(text, "  {line}"),
        }
    }
    text.push_str("}\n");
    text
}

/// The functions of a world or an interface, with the types that they need.
struct Scope<'a> {
    functions: &'a [(&'a str, &'a Signature)],
    indent: String,
    types: Vec<(&'a Type, String)>,
    taken: BTreeSet<String>,
    definitions: String,
    uses_ipld: bool,
}

struct Scoped {
    text: String,
    uses_ipld: bool,
}

impl<'a> Scope<'a> {
    fn new(functions: &'a [(&'a str, &'a Signature)], depth: usize) -> Self {
        let taken = functions.iter().map(|(name, _)| (*name).to_owned()).chain(["link".to_owned(), "node".to_owned()]);
        Self {
            functions,
            indent: "  ".repeat(depth),
            types: Vec::new(),
            taken: taken.collect(),
            definitions: String::new(),
            uses_ipld: false,
        }
    }

    fn text(mut self, export: &str) -> Scoped {
        let mut functions = String::new();
        for (name, signature) in self.functions {
            let mut parameter = |(param, ty): &'a (String, Type)| {
                format!("{}: {}", id(param), self.reference(ty, &format!("{name}-{param}")))
            };
            let params: Vec<String> = signature.params.iter().map(&mut parameter).collect();
            let result = match &signature.result {
                Some(ty) => format!(" -> {}", self.reference(ty, &format!("{name}-result"))),
                None => String::new(),
            };
            let indent = &self.indent;
            let _ = writeln!(functions, "{indent}{export}{}: func({}){result};", id(name), params.join(", "));
        }
        let uses = if self.uses_ipld { format!("{}{USE_IPLD}\n\n", self.indent) } else { String::new() };
        Scoped { text: format!("{uses}{}{functions}", self.definitions), uses_ipld: self.uses_ipld }
    }

    /// How a type is written where it is used; `hint` is the name that it gets if it needs one.
    fn reference(&mut self, ty: &'a Type, hint: &str) -> String {
        match ty {
            Type::List(element) => format!("list<{}>", self.reference(element, &format!("{hint}-item"))),
            Type::Option(some) => format!("option<{}>", self.reference(some, hint)),
            Type::Tuple(types) => {
                let mut part =
                    |(index, ty): (usize, &'a Type)| self.reference(ty, &format!("{hint}-part{}", index + 1));
                let parts: Vec<String> = types.iter().enumerate().map(&mut part).collect();
                format!("tuple<{}>", parts.join(", "))
            }
            Type::Result { ok, err } => {
                let ok = ok.as_deref().map(|ty| self.reference(ty, &format!("{hint}-ok")));
                let err = err.as_deref().map(|ty| self.reference(ty, &format!("{hint}-err")));
                match (ok, err) {
                    (None, None) => "result".to_owned(),
                    (Some(ok), None) => format!("result<{ok}>"),
                    (ok, Some(err)) => format!("result<{}, {err}>", ok.as_deref().unwrap_or("_")),
                }
            }
            Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_) => self.named(ty, hint),
            Type::Link | Type::Node => {
                self.uses_ipld = true;
                ty.to_string()
            }
            scalar => scalar.to_string(),
        }
    }

    fn named(&mut self, ty: &'a Type, hint: &str) -> String {
        if let Some((_, name)) = self.types.iter().find(|(known, _)| *known == ty) {
            return name.clone();
        }
        let (kind, members): (_, Vec<String>) = match ty {
            Type::Record(fields) => {
                let mut field = |field: &'a crate::Field| {
                    format!("{}: {}", id(&field.name), self.reference(&field.ty, &format!("{hint}-{}", field.name)))
                };
                ("record", fields.iter().map(&mut field).collect())
            }
            Type::Variant(cases) => {
                let mut case = |case: &'a crate::Case| match &case.ty {
                    Some(ty) => format!("{}({})", id(&case.name), self.reference(ty, &format!("{hint}-{}", case.name))),
                    None => id(&case.name),
                };
                ("variant", cases.iter().map(&mut case).collect())
            }
            Type::Enum(names) => ("enum", names.iter().map(|name| id(name)).collect()),
            Type::Flags(names) => ("flags", names.iter().map(|name| id(name)).collect()),
            _ => return String::new(),
        };
        let mut name = hint.to_owned();
        let mut count = 1_u32;
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{hint}-n{count}");
        }
        let indent = &self.indent;
        let _ = writeln!(self.definitions, "{indent}{kind} {} {{", id(&name));
        for member in members {
            let _ = writeln!(self.definitions, "{indent}  {member},");
        }
        let _ = write!(self.definitions, "{indent}}}\n\n");
        let name = id(&name);
        self.types.push((ty, name.clone()));
        name
    }
}

/// A name as it is written.
fn id(name: &str) -> String {
    if WIT_KEYWORDS.contains(&name) { format!("%{name}") } else { name.to_owned() }
}
