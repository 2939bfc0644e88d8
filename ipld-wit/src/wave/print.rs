//! Into text.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use data_encoding::BASE64_NOPAD;
use ipld_core::ipld::Ipld;

use crate::{ConvertError, Type, check};

/// Words that stand for values, so that a name like them is marked.
const KEYWORDS: [&str; 8] = ["true", "false", "some", "none", "ok", "err", "inf", "nan"];

/// Writes the IPLD that stands for a value of type `ty` as WAVE.
///
/// # Errors
///
/// As [`check`].
pub fn to_wave(ipld: &Ipld, ty: &Type) -> Result<String, ConvertError> {
    check(ipld, ty)?;
    let mut text = String::new();
    // A string takes all that is written.
    let _ = value(&mut text, ipld, ty);
    Ok(text)
}

fn value(out: &mut String, ipld: &Ipld, ty: &Type) -> fmt::Result {
    match (ty, ipld) {
        (Type::Option(some), ipld) => match (some.may_be_null(), ipld) {
            (true, Ipld::List(item)) => match item.first() {
                Some(item) => payload(out, "some", Some((item, some))),
                None => out.write_str("none"),
            },
            (false, Ipld::Null) => out.write_str("none"),
            (_, ipld) => payload(out, "some", Some((ipld, some))),
        },
        (Type::F32, Ipld::Float(it)) => {
            #[allow(clippy::cast_possible_truncation, reason = "it was checked to fit")]
            let it = *it as f32;
            write!(out, "{it:?}")
        }
        (Type::F64, Ipld::Float(it)) => write!(out, "{it:?}"),
        (Type::Node, ipld) => whole(out, ipld),
        // A float stands for an integer.
        (_, Ipld::Float(it)) => write!(out, "{it}"),
        (Type::Char, Ipld::String(it)) => {
            out.push('\'');
            escaped(out, it, '\'')?;
            out.write_char('\'')
        }
        (Type::Enum(_), Ipld::String(it)) | (Type::Variant(_), Ipld::String(it)) => label(out, it),
        (Type::List(_), Ipld::Bytes(bytes)) => separated(out, '[', ']', bytes, |out, byte| write!(out, "{byte}")),
        (Type::List(element), Ipld::List(items)) => {
            separated(out, '[', ']', items, |out, item| value(out, item, element))
        }
        (Type::Tuple(types), Ipld::List(items)) => {
            separated(out, '(', ')', items.iter().zip(types.iter()), |out, (item, ty)| value(out, item, ty))
        }
        (Type::Record(fields), Ipld::Map(map)) => separated(out, '{', '}', fields.iter(), |out, field| {
            write!(out, "{}: ", field.name)?;
            match map.get(&*field.name) {
                Some(ipld) => value(out, ipld, &field.ty),
                None => out.write_str("none"),
            }
        }),
        (Type::Variant(cases), Ipld::Map(map)) => {
            let Some((name, ipld)) = map.iter().next() else { return Ok(()) };
            let ty = cases.iter().find(|case| *case.name == **name).and_then(|case| case.ty.as_ref());
            label(out, name)?;
            payload(out, "", ty.map(|ty| (ipld, ty)))
        }
        (Type::Result { ok, err }, Ipld::Map(map)) => match map.iter().next() {
            Some((name, ipld)) if name == "ok" => payload(out, "ok", ok.as_deref().map(|ty| (ipld, ty))),
            Some((_, ipld)) => payload(out, "err", err.as_deref().map(|ty| (ipld, ty))),
            None => Ok(()),
        },
        (Type::Flags(_), Ipld::List(names)) => separated(out, '{', '}', names, |out, name| match name {
            Ipld::String(name) => label(out, name),
            _ => Ok(()),
        }),
        (Type::Link, Ipld::Link(cid)) => write!(out, "\"{cid}\""),
        (_, ipld) => scalar(out, ipld),
    }
}

fn payload(out: &mut String, name: &str, payload: Option<(&Ipld, &Type)>) -> fmt::Result {
    out.push_str(name);
    let Some((ipld, ty)) = payload else { return Ok(()) };
    out.push('(');
    value(out, ipld, ty)?;
    out.write_char(')')
}

/// A value without a type, so that a float is told from an integer.
fn whole(out: &mut String, ipld: &Ipld) -> fmt::Result {
    match ipld {
        Ipld::Float(it) => write!(out, "{it:?}"),
        Ipld::Bytes(it) => write!(out, "bytes(\"{}\")", BASE64_NOPAD.encode(it)),
        Ipld::Link(cid) => write!(out, "link(\"{cid}\")"),
        Ipld::List(items) => separated(out, '[', ']', items, whole),
        Ipld::Map(map) if map.is_empty() => out.write_str("{:}"),
        Ipld::Map(map) => entries(out, map),
        ipld => scalar(out, ipld),
    }
}

fn entries(out: &mut String, map: &BTreeMap<String, Ipld>) -> fmt::Result {
    separated(out, '{', '}', map, |out, (key, ipld)| {
        quoted(out, key)?;
        out.push_str(": ");
        whole(out, ipld)
    })
}

fn scalar(out: &mut String, ipld: &Ipld) -> fmt::Result {
    match ipld {
        Ipld::Null => out.write_str("none"),
        Ipld::Bool(it) => write!(out, "{it}"),
        Ipld::Integer(it) => write!(out, "{it}"),
        Ipld::String(it) => quoted(out, it),
        // All else has a form of its own.
        _ => Ok(()),
    }
}

fn separated<T>(
    out: &mut String,
    open: char,
    close: char,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut String, T) -> fmt::Result,
) -> fmt::Result {
    out.push(open);
    for (index, it) in items.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        item(out, it)?;
    }
    out.write_char(close)
}

fn label(out: &mut String, name: &str) -> fmt::Result {
    if KEYWORDS.contains(&name) {
        out.push('%');
    }
    out.write_str(name)
}

fn quoted(out: &mut String, text: &str) -> fmt::Result {
    out.push('"');
    escaped(out, text, '"')?;
    out.write_char('"')
}

fn escaped(out: &mut String, text: &str, quote: char) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            // Nobody can be misled by what a terminal makes of it.
            c if c.is_control() => write!(out, "\\u{{{:x}}}", u32::from(c))?,
            c => out.push(c),
        }
    }
    Ok(())
}
