//! IPLD Schema, in its text form, of the canonical form of values.

use std::fmt::Write as _;

use crate::{Signature, Type};

impl Type {
    /// An IPLD Schema that declares this type, in its canonical form, under `name`, a word in Pascal case. What it is made
    /// of is declared after it, under longer names, in which `_` joins the parts of a path.
    ///
    /// A schema cannot say the range of a number, that a string is one character, that flags are sorted, or that the list
    /// form of an option has at most one item: comments do.
    ///
    /// ```
    /// use ipld_wit::Type;
    ///
    /// let ty = Type::record([("file-name", Type::String), ("size", Type::option(Type::U64))]);
    /// let schema = "type File struct {\n  fileName String (rename \"file-name\")\n  size optional nullable Int # u64\n}\n";
    /// assert_eq!(ty.ipld_schema("File"), schema);
    /// ```
    pub fn ipld_schema(&self, name: &str) -> String {
        let mut schema = Schema::default();
        schema.declare(name, self);
        schema.text()
    }
}

impl Signature {
    /// An IPLD Schema of a function's arguments and result: of `{name}Params`, a list or a map by name, and `{name}Result`.
    pub fn ipld_schema(&self, name: &str) -> String {
        let mut schema = Schema::default();
        let (list, map) = (format!("{name}ParamsList"), format!("{name}ParamsMap"));
        schema
            .out
            .push(format!("type {name}Params union {{\n  | {list} list\n  | {map} map\n}} representation kinded\n"));
        for (name, end, optional) in [(list, "} representation tuple\n", false), (map, "}\n", true)] {
            let fields = self.params.iter().map(|(name, ty)| (name.clone(), ty));
            schema.structure(&name, fields.collect(), end, optional);
        }
        let result = format!("{name}Result");
        match &self.result {
            Some(ty) => schema.declare(&result, ty),
            None => schema.null(&result),
        }
        schema.text()
    }
}

#[derive(Default)]
struct Schema {
    /// Declarations, in the order in which they are to be read.
    out: Vec<String>,
}

impl Schema {
    fn text(self) -> String {
        self.out.join("\n")
    }

    /// The name by which a type is referred to, declared as `name` if it has none of its own; and a remark.
    fn refer(&mut self, name: &str, ty: &Type) -> (String, &'static str) {
        let plain = match ty {
            Type::Bool => ("Bool", ""),
            Type::S8 => ("Int", "s8"),
            Type::U8 => ("Int", "u8"),
            Type::S16 => ("Int", "s16"),
            Type::U16 => ("Int", "u16"),
            Type::S32 => ("Int", "s32"),
            Type::U32 => ("Int", "u32"),
            Type::S64 => ("Int", "s64"),
            Type::U64 => ("Int", "u64"),
            Type::F32 => ("Float", "f32"),
            Type::F64 => ("Float", ""),
            Type::Char => ("String", "char"),
            Type::String => ("String", ""),
            Type::List(element) if **element == Type::U8 => ("Bytes", ""),
            Type::Link => ("Link", ""),
            Type::Node => ("Any", ""),
            _ => {
                self.declare(name, ty);
                return (name.to_owned(), "");
            }
        };
        (plain.0.to_owned(), plain.1)
    }

    /// The same where null may be allowed.
    fn refer_nullable(&mut self, name: &str, ty: &Type) -> (String, &'static str) {
        match ty {
            Type::Option(some) if !some.may_be_null() => {
                let (some, remark) = self.refer(name, some);
                (format!("nullable {some}"), remark)
            }
            other => self.refer(name, other),
        }
    }

    fn null(&mut self, name: &str) {
        self.out.push(format!("type {name} unit representation null\n"));
    }

    fn declare(&mut self, name: &str, ty: &Type) {
        // A declaration comes before those of its parts.
        let place = self.out.len();
        self.out.push(String::new());
        let text = match ty {
            Type::List(element) if **element != Type::U8 => {
                let (item, remark) = self.refer_nullable(&format!("{name}_Item"), element);
                format!("type {name} [{item}]{}\n", comment(remark))
            }
            Type::Tuple(types) => {
                let fields = types.iter().enumerate().map(|(at, ty)| (format!("item{at}"), ty)).collect();
                self.out.truncate(place);
                return self.structure(name, fields, "} representation tuple\n", false);
            }
            Type::Record(fields) => {
                let fields = fields.iter().map(|field| (field.name.clone(), &field.ty)).collect();
                self.out.truncate(place);
                return self.structure(name, fields, "}\n", true);
            }
            Type::Enum(names) => enumeration(name, names.names()),
            Type::Flags(names) => {
                let flag = format!("{name}_Flag");
                self.out.push(enumeration(&flag, names.names()));
                format!("type {name} [{flag}] # sorted\n")
            }
            Type::Option(some) if some.may_be_null() => {
                let (item, _) = self.refer_nullable(&format!("{name}_Some"), some);
                format!("type {name} [{item}] # none or one\n")
            }
            Type::Option(_) | Type::Variant(_) => {
                let mut text = format!("type {name} union {{\n");
                for (member, kind) in self.kinds(name, ty) {
                    let _ = writeln!(text, "  | {member} {kind}");
                }
                text + "} representation kinded\n"
            }
            Type::Result { ok, err } => {
                let arms = [("ok", "Ok", ok), ("error", "Error", err)]
                    .map(|(key, part, ty)| (key.to_owned(), format!("{name}_{part}"), ty.as_deref()));
                self.keyed(name, arms)
            }
            scalar => {
                let (of, remark) = self.refer(name, scalar);
                format!("type {name} = {of}{}\n", comment(remark))
            }
        };
        if let Some(reserved) = self.out.get_mut(place) {
            *reserved = text;
        }
    }

    /// The members of a union by kind, for a type that is one.
    fn kinds(&mut self, name: &str, ty: &Type) -> Vec<(String, &'static str)> {
        match ty {
            Type::Option(some) if !some.may_be_null() => {
                let null = format!("{name}_None");
                self.null(&null);
                let mut kinds = vec![(null, "null")];
                kinds.extend(self.kinds(&format!("{name}_Some"), some));
                kinds
            }
            Type::Variant(cases) => {
                let mut kinds = Vec::new();
                let mut bare = cases.iter().filter(|case| case.ty.is_none()).map(|case| case.name.as_str()).peekable();
                if bare.peek().is_some() {
                    let names = format!("{name}_Name");
                    self.out.push(enumeration(&names, bare));
                    kinds.push((names, "string"));
                }
                if cases.iter().any(|case| case.ty.is_some()) {
                    let loaded = format!("{name}_Case");
                    let arms = cases.iter().filter_map(|case| {
                        Some((case.name.clone(), format!("{loaded}_{}", pascal(&case.name)), Some(case.ty.as_ref()?)))
                    });
                    let text = self.keyed(&loaded, arms);
                    self.out.push(text);
                    kinds.push((loaded, "map"));
                }
                kinds
            }
            other => vec![(self.refer(name, other).0, kind(other))],
        }
    }

    /// A union of maps with one key. Parts without a type are null.
    fn keyed<'a>(&mut self, name: &str, arms: impl IntoIterator<Item = (String, String, Option<&'a Type>)>) -> String {
        let mut text = format!("type {name} union {{\n");
        for (key, part, ty) in arms {
            let (part, remark) = match ty {
                Some(ty) => self.refer(&part, ty),
                None => {
                    self.null(&part);
                    (part, "")
                }
            };
            let _ = writeln!(text, "  | {part} {key:?}{}", comment(remark));
        }
        text + "} representation keyed\n"
    }

    fn structure(&mut self, name: &str, fields: Vec<(String, &Type)>, end: &str, optional: bool) {
        let place = self.out.len();
        self.out.push(String::new());
        let mut text = format!("type {name} struct {{\n");
        for (field, ty) in fields {
            let (of, remark) = self.refer_nullable(&format!("{name}_{}", pascal(&field)), ty);
            let optional = if optional && matches!(ty, Type::Option(_)) { "optional " } else { "" };
            let camel = camel(&field);
            let rename = if camel == field { String::new() } else { format!(" (rename {field:?})") };
            let _ = writeln!(text, "  {camel} {optional}{of}{rename}{}", comment(remark));
        }
        text += end;
        if let Some(reserved) = self.out.get_mut(place) {
            *reserved = text;
        }
    }
}

/// The kind of a type that has only one.
fn kind(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::F32 | Type::F64 => "float",
        Type::Char | Type::String | Type::Enum(_) => "string",
        Type::List(element) if **element == Type::U8 => "bytes",
        Type::List(_) | Type::Tuple(_) | Type::Flags(_) | Type::Option(_) => "list",
        Type::Record(_) | Type::Result { .. } | Type::Variant(_) => "map",
        Type::Link => "link",
        Type::Node => "any",
        _ => "int",
    }
}

fn enumeration<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("type {name} enum {{\n");
    for name in names {
        let _ = writeln!(text, "  | {} ({name:?})", pascal(name));
    }
    text + "}\n"
}

fn comment(remark: &str) -> String {
    if remark.is_empty() { String::new() } else { format!(" # {remark}") }
}

/// `file-name` as `FileName`.
fn pascal(name: &str) -> String {
    let mut pascal = String::new();
    for word in name.split('-') {
        let mut letters = word.chars();
        pascal.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        pascal.push_str(letters.as_str());
    }
    pascal
}

/// `file-name` as `fileName`.
fn camel(name: &str) -> String {
    let pascal = pascal(name);
    let mut letters = pascal.chars();
    let first: String = name.chars().take(1).collect();
    letters.next();
    first + letters.as_str()
}
