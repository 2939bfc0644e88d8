//! From text.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use data_encoding::BASE64_NOPAD;
use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;
use wasm_wave::ast::{Node, NodeType};
use wasm_wave::parser::ParserError;
use wasm_wave::untyped::UntypedValue;

use super::WaveError;
use crate::text::shorten;
use crate::{Case, Field, Type};

/// Reads WAVE as the IPLD that stands for a value of type `ty`.
///
/// What WAVE leaves open is left to [`check`](crate::check) and to calls: whether an integer is in range, whether all fields of a
/// record are there and known, whether a case exists.
///
/// # Errors
///
/// When the text is not WAVE, is nested deeper than 100, or holds something else than the type; the error says where.
pub fn from_wave(text: &str, ty: &Type) -> Result<Ipld, WaveError> {
    let value = UntypedValue::parse(text).map_err(|error| syntax(&error))?;
    Reader { text }.value(value.node(), ty)
}

fn syntax(error: &ParserError) -> WaveError {
    let kind = error.kind().to_string();
    let detail = error.detail().map_or_else(|| kind.clone(), |detail| format!("{kind}: {detail}"));
    WaveError::Syntax { at: error.span().start, detail: shorten(&detail, 200) }
}

struct Reader<'a> {
    text: &'a str,
}

type Read<T> = Result<T, WaveError>;

impl<'a> Reader<'a> {
    fn value(&self, node: &Node, ty: &Type) -> Read<Ipld> {
        let expected = |error: ParserError| self.expected(node, ty, &error);
        Ok(match ty {
            Type::Bool => Ipld::Bool(node.as_bool().map_err(expected)?),
            Type::S8 | Type::S16 | Type::S32 | Type::S64 | Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
                Ipld::Integer(self.number(node, ty)?)
            }
            // As the nearest number that an f32 has: 0.1 is written for it.
            Type::F32 => Ipld::Float(f64::from(self.number::<f32>(node, ty)?)),
            Type::F64 => Ipld::Float(self.number(node, ty)?),
            Type::Char => Ipld::String(node.as_char(self.text).map_err(expected)?.to_string()),
            Type::String => Ipld::String(self.string(node, ty)?),
            Type::List(element) if **element == Type::U8 => {
                let byte = |node| self.number(node, element);
                Ipld::Bytes(node.as_list().map_err(expected)?.map(byte).collect::<Read<_>>()?)
            }
            Type::List(element) => {
                let items = node.as_list().map_err(expected)?;
                Ipld::List(items.map(|node| self.value(node, element)).collect::<Read<_>>()?)
            }
            Type::Tuple(types) => {
                let items = node.as_tuple().map_err(expected)?;
                if items.len() != types.len() {
                    return Err(self.mismatch(node, ty, format!("a tuple of {}", items.len())));
                }
                Ipld::List(items.zip(types.iter()).map(|(node, ty)| self.value(node, ty)).collect::<Read<_>>()?)
            }
            Type::Record(fields) => self.record(node, ty, fields)?,
            Type::Variant(cases) => {
                let (name, payload) = node.as_variant(self.text).map_err(expected)?;
                self.case(node, ty, name, payload, case(cases, name))?
            }
            Type::Enum(_) => Ipld::String(node.as_enum(self.text).map_err(expected)?.to_owned()),
            Type::Option(some) => self.option(node, some)?,
            Type::Result { ok, err } => self.result(node, ty, ok.as_deref(), err.as_deref())?,
            Type::Flags(_) => {
                let names: BTreeSet<&str> = node.as_flags(self.text).map_err(expected)?.collect();
                Ipld::List(names.into_iter().map(|name| Ipld::String(name.to_owned())).collect())
            }
            Type::Link => Ipld::Link(self.cid(node, &self.string(node, ty)?)?),
            Type::Node => self.whole(node)?,
        })
    }

    fn record(&self, node: &Node, ty: &Type, fields: &[Field]) -> Read<Ipld> {
        let entries = match node.ty() {
            // All that it has are options.
            NodeType::EmptySet => return Ok(Ipld::Map(BTreeMap::new())),
            _ => node.as_record(self.text).map_err(|error| self.expected(node, ty, &error))?,
        };
        let mut map = BTreeMap::new();
        for (name, value) in entries {
            // What there is no field for is refused later, with its name.
            let value = match fields.iter().find(|field| *field.name == *name) {
                Some(field) => self.value(value, &field.ty)?,
                None => Ipld::Null,
            };
            map.insert(name.to_owned(), value);
        }
        Ok(Ipld::Map(map))
    }

    /// A case of a variant, with the type of its payload if there is such a case.
    fn case(
        &self,
        node: &Node,
        ty: &Type,
        name: &str,
        payload: Option<&Node>,
        case: Option<Option<&Type>>,
    ) -> Read<Ipld> {
        let value = match (payload, case) {
            (Some(payload), Some(Some(ty))) => self.value(payload, ty)?,
            (None, Some(None)) | (None, None) => return Ok(Ipld::String(name.to_owned())),
            (Some(_), None) => Ipld::Null,
            (Some(_), Some(None)) => {
                return Err(self.mismatch(node, ty, format!("the case {} with a payload", shorten(name, 40))));
            }
            (None, Some(Some(_))) => {
                return Err(self.mismatch(node, ty, format!("the case {} without its payload", shorten(name, 40))));
            }
        };
        Ok(Ipld::Map([(name.to_owned(), value)].into()))
    }

    fn option(&self, node: &Node, some: &Type) -> Read<Ipld> {
        let value = match node.ty() {
            NodeType::OptionSome | NodeType::OptionNone => {
                node.as_option().map_err(|error| syntax(&error))?.map(|node| self.value(node, some)).transpose()?
            }
            // As WAVE has it: what is neither an option nor a result stands for itself.
            _ => Some(self.value(node, some)?),
        };
        Ok(match (some.may_be_null(), value) {
            (true, value) => Ipld::List(value.into_iter().collect()),
            (false, value) => value.unwrap_or(Ipld::Null),
        })
    }

    fn result(&self, node: &Node, ty: &Type, ok: Option<&Type>, err: Option<&Type>) -> Read<Ipld> {
        let (name, arm, payload) = match node.as_result() {
            Ok(Ok(payload)) => ("ok", ok, payload),
            Ok(Err(payload)) => ("error", err, payload),
            Err(error) => match ok {
                Some(ty) => ("ok", Some(ty), Some(node)),
                None => return Err(self.expected(node, ty, &error)),
            },
        };
        let value = match (arm, payload) {
            (Some(ty), Some(node)) => self.value(node, ty)?,
            (None, None) => Ipld::Null,
            (Some(_), None) => return Err(self.mismatch(node, ty, "an arm without its payload".to_owned())),
            (None, Some(_)) => return Err(self.mismatch(node, ty, "an arm with a payload".to_owned())),
        };
        Ok(Ipld::Map([(name.to_owned(), value)].into()))
    }

    /// A value without a type.
    fn whole(&self, node: &Node) -> Read<Ipld> {
        let expected = |error: ParserError| self.expected(node, &Type::Node, &error);
        Ok(match node.ty() {
            NodeType::BoolTrue => Ipld::Bool(true),
            NodeType::BoolFalse => Ipld::Bool(false),
            NodeType::OptionNone => Ipld::Null,
            NodeType::Number => match self.slice(node).parse() {
                Ok(integer) => Ipld::Integer(integer),
                Err(_) => Ipld::Float(self.number(node, &Type::F64)?),
            },
            NodeType::String | NodeType::MultilineString => Ipld::String(self.string(node, &Type::Node)?),
            NodeType::List => {
                Ipld::List(node.as_list().map_err(expected)?.map(|node| self.whole(node)).collect::<Read<_>>()?)
            }
            NodeType::TupleSet | NodeType::EmptySet => {
                let mut map = BTreeMap::new();
                for (key, value) in node.as_map().map_err(expected)? {
                    let name = match key.as_str(self.text) {
                        Ok(name) => name.into_owned(),
                        Err(_) => key
                            .as_enum(self.text)
                            .map_err(|error| self.expected(key, &Type::String, &error))?
                            .to_owned(),
                    };
                    if map.insert(name, self.whole(value)?).is_some() {
                        return Err(self.mismatch(key, &Type::Node, "a key for the second time".to_owned()));
                    }
                }
                Ipld::Map(map)
            }
            NodeType::VariantWithPayload => match node.as_variant(self.text).map_err(expected)? {
                ("link", Some(text)) => Ipld::Link(self.cid(text, &self.string(text, &Type::String)?)?),
                ("bytes", Some(text)) => {
                    let base64 = self.string(text, &Type::String)?;
                    let bytes = BASE64_NOPAD.decode(base64.as_bytes());
                    let wrong =
                        |_| self.mismatch(text, &Type::Node, "bytes that are not base64 without padding".to_owned());
                    Ipld::Bytes(bytes.map_err(wrong)?)
                }
                (name, _) => return Err(self.mismatch(node, &Type::Node, format!("{}(..)", shorten(name, 40)))),
            },
            _ => return Err(self.mismatch(node, &Type::Node, self.found(node))),
        })
    }

    fn number<T: FromStr>(&self, node: &Node, ty: &Type) -> Read<T> {
        node.as_number(self.text).map_err(|error| self.expected(node, ty, &error))
    }

    fn string(&self, node: &Node, ty: &Type) -> Read<String> {
        node.as_str(self.text).map(|text| text.into_owned()).map_err(|error| self.expected(node, ty, &error))
    }

    fn cid(&self, node: &Node, text: &str) -> Read<Cid> {
        Cid::try_from(text)
            .map_err(|_| self.mismatch(node, &Type::Link, format!("{:?}, which is no CID", shorten(text, 80))))
    }

    fn slice(&self, node: &Node) -> &'a str {
        self.text.get(node.span()).unwrap_or_default()
    }

    /// What the parser says of a node: that it is of another kind, or that what is in it is wrong.
    fn expected(&self, node: &Node, ty: &Type, error: &ParserError) -> WaveError {
        use wasm_wave::parser::ParserErrorKind::{InvalidType, InvalidValue};
        match error.kind() {
            InvalidType if error.detail().is_none() => self.mismatch(node, ty, self.found(node)),
            InvalidValue => self.mismatch(node, ty, shorten(self.slice(node), 40)),
            _ => syntax(error),
        }
    }

    fn mismatch(&self, node: &Node, ty: &Type, found: String) -> WaveError {
        WaveError::Mismatch { at: node.span().start, expected: shorten(&ty.to_string(), 200), found }
    }

    fn found(&self, node: &Node) -> String {
        let what = match node.ty() {
            NodeType::BoolTrue | NodeType::BoolFalse => "a boolean",
            NodeType::Number => "a number",
            NodeType::Char => "a character",
            NodeType::String | NodeType::MultilineString => "a string",
            NodeType::Tuple => "a tuple",
            NodeType::List => "a list",
            NodeType::TupleSet => "a record",
            NodeType::EmptySet => "{}",
            NodeType::OptionSome | NodeType::OptionNone => "an option",
            NodeType::ResultOk | NodeType::ResultErr => "a result",
            NodeType::Flags => "flags",
            NodeType::Label | NodeType::VariantWithPayload => {
                return format!("the case {}", shorten(self.slice(node), 40));
            }
        };
        what.to_owned()
    }
}

/// The type of a case's payload, if there is such a case.
fn case<'a>(cases: &'a [Case], name: &str) -> Option<Option<&'a Type>> {
    cases.iter().find(|case| *case.name == *name).map(|case| case.ty.as_ref())
}
