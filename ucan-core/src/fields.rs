//! Reading the fields of a payload, all of which have to be accounted for.

use std::collections::BTreeMap;

use crate::{Cid, Command, Did, Ipld, Timestamp, TokenError, text::excerpt};

/// The longest nonce that is read, in bytes.
const NONCE: usize = 64 << 10;

/// The fields of a token's payload, once it is known that exactly those are there that may be.
///
/// Every getter is for a field that the caller listed; it says which one is missing or malformed.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a BTreeMap<String, Ipld>);

impl<'a> Fields<'a> {
    /// The fields of a payload that must have all of `required`, and may have the `optional` ones.
    ///
    /// # Errors
    ///
    /// When a required field is missing, or there is one that is in neither list.
    pub fn new(
        payload: &'a BTreeMap<String, Ipld>,
        required: &[&'static str],
        optional: &[&'static str],
    ) -> Result<Self, TokenError> {
        if let Some(missing) = required.iter().find(|field| !payload.contains_key(**field)) {
            return Err(TokenError::MissingField { field: missing });
        }
        let known = |field: &str| required.contains(&field) || optional.contains(&field);
        match payload.keys().find(|field| !known(field)) {
            Some(unknown) => Err(TokenError::UnknownField { field: excerpt(unknown) }),
            None => Ok(Self(payload)),
        }
    }

    /// The value of a field, as it is.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn value(&self, field: &'static str) -> Result<&'a Ipld, TokenError> {
        self.0.get(field).ok_or(TokenError::MissingField { field })
    }

    /// A principal.
    ///
    /// # Errors
    ///
    /// When it is missing or not a DID.
    pub fn did(&self, field: &'static str) -> Result<Did, TokenError> {
        self.nullable_did(field)?.ok_or(TokenError::WrongType { field, expected: "a DID" })
    }

    /// A principal, or null.
    ///
    /// # Errors
    ///
    /// When it is missing, or neither a DID nor null.
    pub fn nullable_did(&self, field: &'static str) -> Result<Option<Did>, TokenError> {
        match self.value(field)? {
            Ipld::Null => Ok(None),
            Ipld::String(text) => Did::parse(text).map(Some).map_err(|error| invalid(field, &error)),
            _ => Err(TokenError::WrongType { field, expected: "a DID" }),
        }
    }

    /// A principal that may be left out, but is never null.
    ///
    /// # Errors
    ///
    /// When it is there and not a DID.
    pub fn optional_did(&self, field: &'static str) -> Result<Option<Did>, TokenError> {
        self.0.get(field).map(|_| self.did(field)).transpose()
    }

    /// A command.
    ///
    /// # Errors
    ///
    /// When it is missing or malformed.
    pub fn command(&self, field: &'static str) -> Result<Command, TokenError> {
        match self.value(field)? {
            Ipld::String(text) => Command::parse(text).map_err(|error| invalid(field, &error)),
            _ => Err(TokenError::WrongType { field, expected: "a command" }),
        }
    }

    /// A time, or null.
    ///
    /// # Errors
    ///
    /// When it is missing, or neither null nor an integer of at most 53 bits.
    pub fn nullable_time(&self, field: &'static str) -> Result<Option<Timestamp>, TokenError> {
        match self.value(field)? {
            Ipld::Null => Ok(None),
            Ipld::Integer(secs) => u64::try_from(*secs)
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
    pub fn optional_time(&self, field: &'static str) -> Result<Option<Timestamp>, TokenError> {
        if !self.0.contains_key(field) {
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
    pub fn nonce(&self, field: &'static str) -> Result<&'a [u8], TokenError> {
        match self.value(field)? {
            Ipld::Bytes(bytes) if bytes.len() <= NONCE => Ok(bytes),
            Ipld::Bytes(_) => Err(TokenError::NonceTooLong { limit: NONCE }),
            _ => Err(TokenError::WrongType { field, expected: "bytes" }),
        }
    }

    /// A map.
    ///
    /// # Errors
    ///
    /// When it is missing or not a map.
    pub fn map(&self, field: &'static str) -> Result<&'a BTreeMap<String, Ipld>, TokenError> {
        match self.value(field)? {
            Ipld::Map(map) => Ok(map),
            _ => Err(TokenError::WrongType { field, expected: "a map" }),
        }
    }

    /// A map that may be left out, but is never null.
    ///
    /// # Errors
    ///
    /// When it is there and not a map.
    pub fn optional_map(&self, field: &'static str) -> Result<Option<&'a BTreeMap<String, Ipld>>, TokenError> {
        self.0.get(field).map(|_| self.map(field)).transpose()
    }

    /// A list of links.
    ///
    /// # Errors
    ///
    /// When it is missing or anything else.
    pub fn links(&self, field: &'static str) -> Result<Vec<Cid>, TokenError> {
        let error = TokenError::WrongType { field, expected: "a list of links" };
        let Ipld::List(list) = self.value(field)? else {
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
    pub fn optional_link(&self, field: &'static str) -> Result<Option<Cid>, TokenError> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Ipld::Link(cid)) => Ok(Some(*cid)),
            Some(_) => Err(TokenError::WrongType { field, expected: "a link" }),
        }
    }
}

fn invalid(field: &'static str, reason: &dyn ToString) -> TokenError {
    TokenError::InvalidField { field, reason: reason.to_string() }
}
