//! The canonical writer, and its twin that only measures.

use std::borrow::Cow;

use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;

use crate::error::Failure;
use crate::members::canonical_order;
use crate::value::View;
use crate::write::{Form, write};
use crate::{Field, Members, Type};

/// Where an encoding goes.
pub(crate) trait Sink {
    /// Whether the order of what is put in makes a difference.
    const ORDERED: bool;

    fn put(&mut self, bytes: &[u8]);
}

/// The bytes of an encoding.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// The length of an encoding.
#[derive(Debug, Default)]
pub(crate) struct Length(pub(crate) u64);

impl Sink for Bytes {
    const ORDERED: bool = true;

    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

impl Sink for Length {
    const ORDERED: bool = false;

    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len() as u64);
    }
}

pub(crate) fn encoded_len<V: View>(value: &V, ty: &Type) -> Result<u64, Failure> {
    let mut length = Length::default();
    write(value, ty, &mut length)?;
    Ok(length.0)
}

pub(crate) fn encode<V: View>(value: &V, ty: &Type) -> Result<Vec<u8>, Failure> {
    // Most values are small, and grow no more than once.
    let mut bytes = Bytes(Vec::with_capacity(128));
    match write(value, ty, &mut bytes) {
        Ok(()) => Ok(bytes.0),
        // Fields were written in the order of their keys. Of two that are wrong, everybody names the one declared first.
        Err(failure) => Err(encoded_len(value, ty).err().unwrap_or(failure)),
    }
}

/// What `write` puts together.
#[cfg(feature = "wasmtime")]
pub(crate) fn encode_form(write: impl FnOnce(&mut Bytes) -> Result<(), Failure>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Bytes(Vec::with_capacity(128));
    write(&mut bytes).map(|()| bytes.0)
}

/// How many bytes `write` puts together.
#[cfg(feature = "wasmtime")]
pub(crate) fn form_len(write: impl FnOnce(&mut Length) -> Result<(), Failure>) -> Result<u64, Failure> {
    let mut length = Length::default();
    write(&mut length).map(|()| length.0)
}

/// Bytes as an encoding, in the same memory.
#[cfg(feature = "wasmtime")]
pub(crate) fn encode_bytes(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut start = Bytes(Vec::new());
    head(&mut start, 2, bytes.len() as u64);
    bytes.splice(0..0, start.0);
    bytes
}

/// Puts the head of an item, which holds its argument in as few bytes as it can.
fn head(sink: &mut impl Sink, major: u8, argument: u64) {
    let major = major << 5;
    let with = |info: u8| major | info;
    let [a, b, c, d, e, f, g, h] = argument.to_be_bytes();
    match argument {
        0..24 => sink.put(&[with(h)]),
        24..0x100 => sink.put(&[with(24), h]),
        0x100..0x1_0000 => sink.put(&[with(25), g, h]),
        0x1_0000..0x1_0000_0000 => sink.put(&[with(26), e, f, g, h]),
        _ => sink.put(&[with(27), a, b, c, d, e, f, g, h]),
    }
}

fn string(sink: &mut impl Sink, major: u8, content: &[u8]) {
    head(sink, major, content.len() as u64);
    sink.put(content);
}

fn tree<S: Sink>(sink: &mut S, ipld: &Ipld) {
    match ipld {
        Ipld::Null => sink.null(),
        Ipld::Bool(it) => sink.bool(*it),
        Ipld::Integer(it) => sink.integer(*it),
        Ipld::Float(it) => sink.float(*it),
        Ipld::String(it) => string(sink, 3, it.as_bytes()),
        Ipld::Bytes(it) => string(sink, 2, it),
        Ipld::Link(it) => sink.link(it),
        Ipld::List(items) => {
            head(sink, 4, items.len() as u64);
            items.iter().for_each(|item| tree(sink, item));
        }
        Ipld::Map(map) => {
            head(sink, 5, map.len() as u64);
            let mut entries: Vec<(&String, &Ipld)> = map.iter().collect();
            if S::ORDERED {
                entries.sort_by(|(a, _), (b, _)| canonical_order(a, b));
            }
            for (key, value) in entries {
                string(sink, 3, key.as_bytes());
                tree(sink, value);
            }
        }
    }
}

impl<S: Sink> Form for S {
    type Out = ();

    fn null(&mut self) {
        self.put(&[0xf6]);
    }

    fn bool(&mut self, it: bool) {
        self.put(&[0xf4 | u8::from(it)]);
    }

    fn integer(&mut self, it: i128) {
        // A negative number n is written as -1 - n. No WIT type has numbers of more than 64 bits.
        match it {
            0.. => head(self, 0, u64::try_from(it).unwrap_or(u64::MAX)),
            _ => head(self, 1, u64::try_from(-1 - it).unwrap_or(u64::MAX)),
        }
    }

    fn float(&mut self, it: f64) {
        let [a, b, c, d, e, f, g, h] = it.to_bits().to_be_bytes();
        self.put(&[0xfb, a, b, c, d, e, f, g, h]);
    }

    fn string(&mut self, it: &str) {
        string(self, 3, it.as_bytes());
    }

    fn bytes(&mut self, it: Cow<'_, [u8]>) {
        string(self, 2, &it);
    }

    fn link(&mut self, cid: &Cid) {
        self.put(&[0xd8, 42]);
        head(self, 2, 1 + cid.encoded_len() as u64);
        self.put(&[0]);
        self.put(&cid.to_bytes());
    }

    fn ipld(&mut self, it: Cow<'_, Ipld>) {
        tree(self, &it);
    }

    fn list<E>(&mut self, len: usize, mut item: impl FnMut(&mut Self, usize) -> Result<(), E>) -> Result<(), E> {
        head(self, 4, len as u64);
        (0..len).try_for_each(|index| item(self, index))
    }

    fn record<E>(
        &mut self,
        fields: &Members<Field>,
        mut value: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        head(self, 5, fields.len() as u64);
        let mut entry = |place: usize, field: &Field| {
            string(self, 3, field.name.as_bytes());
            value(self, place)
        };
        if !S::ORDERED {
            return fields.iter().enumerate().try_for_each(|(place, field)| entry(place, field));
        }
        let places = fields.canonical().iter().map(|&place| place as usize);
        places.filter_map(|place| Some((place, fields.get(place)?))).try_for_each(|(place, field)| entry(place, field))
    }

    fn entry<E>(&mut self, key: &str, value: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        head(self, 5, 1);
        string(self, 3, key.as_bytes());
        value(self)
    }
}
