//! Reading the fields of a payload, all of which have to be accounted for.

use std::collections::BTreeMap;

use crate::{
    Cid, Command, Did, Ipld, Timestamp, TokenError,
    dagcbor::{DecodeError, Reader},
    text::excerpt,
};

/// The longest nonce that is read, in bytes.
const NONCE: usize = 64 << 10;
/// The most fields that a kind of token has.
const FIELDS: usize = 12;

/// What a kind of token looks like: its tags, and the fields of its payload.
///
/// ```
/// use ucan_core::{Shape, tag};
///
/// /// Something that carries a subject and nothing else.
/// const BARE: Shape = Shape { kind: "a bare token", tags: &[tag::INVOCATION], required: &["sub"], optional: &[] };
/// assert_eq!(BARE.required.len() + BARE.optional.len(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What it is called in errors: "a delegation".
    pub kind: &'static str,
    /// The tags that it comes under, each one of [`tag`](crate::tag).
    pub tags: &'static [&'static str],
    /// The fields that have to be there. With the optional ones they are at most 12.
    pub required: &'static [&'static str],
    /// The fields that may be there.
    pub optional: &'static [&'static str],
}

/// The fields of a token's payload, once it is known that exactly those are there that may be.
///
/// Every getter is for a field of the [`Shape`]; it says which one is missing or malformed. Lists and maps are handed out
/// once: whoever asks again is told that the field is missing.
#[derive(Debug)]
pub struct Fields<'a> {
    shape: &'static Shape,
    /// In the order of the shape: the required ones, then the optional ones.
    values: [Option<Value<'a>>; FIELDS],
    unknown: Option<&'a str>,
}

/// A value: small ones as they stand in the bytes, the others decoded.
#[derive(Debug)]
enum Value<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Other(Ipld),
}

impl<'a> Fields<'a> {
    /// Reads a payload, whatever is in it.
    pub(crate) fn read(reader: &mut Reader<'a>, shape: &'static Shape) -> Result<Self, DecodeError> {
        let mut fields = Self { shape, values: [const { None }; FIELDS], unknown: None };
        let mut entries = reader.entries("a payload map")?;
        while let Some(key) = entries.next_key(reader)? {
            let value = if let Some(text) = reader.text_if()? {
                Value::Text(text)
            } else if let Some(bytes) = reader.bytes_if()? {
                Value::Bytes(bytes)
            } else {
                Value::Other(reader.value_of_entry()?)
            };
            match fields.slot(key) {
                Some(slot) => *slot = Some(value),
                None => fields.unknown = fields.unknown.or(Some(key)),
            }
        }
        Ok(fields)
    }

    /// Checks that all required fields are there, and none that is not defined.
    pub(crate) fn check(&self) -> Result<(), TokenError> {
        let missing = self.shape.required.iter().zip(&self.values).find(|(_, value)| value.is_none());
        if let Some((field, _)) = missing {
            return Err(TokenError::MissingField { field });
        }
        match self.unknown {
            Some(unknown) => Err(TokenError::UnknownField { field: excerpt(unknown) }),
            None => Ok(()),
        }
    }

    fn slot(&mut self, field: &str) -> Option<&mut Option<Value<'a>>> {
        let names = self.shape.required.iter().chain(self.shape.optional);
        names.zip(&mut self.values).find(|(name, _)| **name == field).map(|(_, value)| value)
    }

    fn take(&mut self, field: &str) -> Option<Value<'a>> {
        self.slot(field).and_then(Option::take)
    }

    fn get(&mut self, field: &'static str) -> Result<&Value<'a>, TokenError> {
        self.slot(field).and_then(|slot| slot.as_ref()).ok_or(TokenError::MissingField { field })
    }

    fn has(&mut self, field: &str) -> bool {
        self.slot(field).is_some_and(|slot| slot.is_some())
    }

    /// The value of a field, whatever it is.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn value(&mut self, field: &'static str) -> Result<Ipld, TokenError> {
        match self.take(field).ok_or(TokenError::MissingField { field })? {
            Value::Text(text) => Ok(Ipld::String(text.to_owned())),
            Value::Bytes(bytes) => Ok(Ipld::Bytes(bytes.to_vec())),
            Value::Other(value) => Ok(value),
        }
    }

    /// A principal.
    ///
    /// # Errors
    ///
    /// When it is missing or not a DID.
    pub fn did(&mut self, field: &'static str) -> Result<Did, TokenError> {
        self.nullable_did(field)?.ok_or(TokenError::WrongType { field, expected: "a DID" })
    }

    /// A principal, or null.
    ///
    /// # Errors
    ///
    /// When it is missing, or neither a DID nor null.
    pub fn nullable_did(&mut self, field: &'static str) -> Result<Option<Did>, TokenError> {
        match self.get(field)? {
            Value::Text(text) => Did::parse(text).map(Some).map_err(|error| invalid(field, &error)),
            Value::Other(Ipld::Null) => Ok(None),
            _ => Err(TokenError::WrongType { field, expected: "a DID" }),
        }
    }

    /// A principal that may be left out, but is never null.
    ///
    /// # Errors
    ///
    /// When it is there and not a DID.
    pub fn optional_did(&mut self, field: &'static str) -> Result<Option<Did>, TokenError> {
        if self.has(field) { self.did(field).map(Some) } else { Ok(None) }
    }

    /// A command.
    ///
    /// # Errors
    ///
    /// When it is missing or malformed.
    pub fn command(&mut self, field: &'static str) -> Result<Command, TokenError> {
        match self.get(field)? {
            Value::Text(text) => Command::parse(text).map_err(|error| invalid(field, &error)),
            _ => Err(TokenError::WrongType { field, expected: "a command" }),
        }
    }

    /// A time, or null.
    ///
    /// # Errors
    ///
    /// When it is missing, or neither null nor an integer of at most 53 bits.
    pub fn nullable_time(&mut self, field: &'static str) -> Result<Option<Timestamp>, TokenError> {
        match self.get(field)? {
            Value::Other(Ipld::Null) => Ok(None),
            Value::Other(Ipld::Integer(secs)) => u64::try_from(*secs)
                .ok()
                .and_then(Timestamp::from_secs)
                .map(Some)
                .ok_or_else(|| invalid(field, &format!("{secs} is not within 0 ..= 2^53 - 1"))),
            _ => Err(TokenError::WrongType { field, expected: "a time in whole seconds" }),
        }
    }

    /// A time that may be left out, but is never null.
    ///
    /// # Errors
    ///
    /// When it is there and not an integer of at most 53 bits.
    pub fn optional_time(&mut self, field: &'static str) -> Result<Option<Timestamp>, TokenError> {
        if !self.has(field) {
            return Ok(None);
        }
        match self.nullable_time(field)? {
            None => Err(TokenError::WrongType { field, expected: "a time (left out when there is none, never null)" }),
            time => Ok(time),
        }
    }

    /// A nonce: bytes, at most 64 KiB.
    ///
    /// # Errors
    ///
    /// When it is missing, not bytes, or too long.
    pub fn nonce(&mut self, field: &'static str) -> Result<&'a [u8], TokenError> {
        match self.get(field)? {
            Value::Bytes(bytes) if bytes.len() <= NONCE => Ok(bytes),
            Value::Bytes(_) => Err(TokenError::NonceTooLong { limit: NONCE }),
            _ => Err(TokenError::WrongType { field, expected: "bytes" }),
        }
    }

    /// A map.
    ///
    /// # Errors
    ///
    /// When it is missing or not a map.
    pub fn map(&mut self, field: &'static str) -> Result<BTreeMap<String, Ipld>, TokenError> {
        match self.take(field).ok_or(TokenError::MissingField { field })? {
            Value::Other(Ipld::Map(map)) => Ok(map),
            _ => Err(TokenError::WrongType { field, expected: "a map" }),
        }
    }

    /// A map that may be left out, but is never null.
    ///
    /// # Errors
    ///
    /// When it is there and not a map.
    pub fn optional_map(&mut self, field: &'static str) -> Result<Option<BTreeMap<String, Ipld>>, TokenError> {
        if self.has(field) { self.map(field).map(Some) } else { Ok(None) }
    }

    /// A list of links.
    ///
    /// # Errors
    ///
    /// When it is missing or anything else.
    pub fn links(&mut self, field: &'static str) -> Result<Vec<Cid>, TokenError> {
        let error = TokenError::WrongType { field, expected: "a list of links" };
        let Value::Other(Ipld::List(list)) = self.get(field)? else {
            return Err(error);
        };
        let links: Option<_> =
            list.iter().map(|item| if let Ipld::Link(cid) = item { Some(*cid) } else { None }).collect();
        links.ok_or(error)
    }

    /// A link that may be left out, but is never null.
    ///
    /// # Errors
    ///
    /// When it is there and not a link.
    pub fn optional_link(&mut self, field: &'static str) -> Result<Option<Cid>, TokenError> {
        if !self.has(field) {
            return Ok(None);
        }
        match self.get(field)? {
            Value::Other(Ipld::Link(cid)) => Ok(Some(*cid)),
            _ => Err(TokenError::WrongType { field, expected: "a link" }),
        }
    }
}

fn invalid(field: &'static str, reason: &dyn ToString) -> TokenError {
    TokenError::InvalidField { field, reason: reason.to_string() }
}
