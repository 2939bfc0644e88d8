//! What a request holds, and reading it in the forms that the protocol has for values.

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::Value;
use ucan_core::{Cid, Command, Context, Did, Ipld, Timestamp, dagcbor, dagjson};

use super::{Failure, excerpt, line};

/// How many bytes the tokens of one list may have together. Decoded, they can take a hundred times as much memory.
const TOKENS: usize = 16 << 20;
/// About how many bytes a decoded value may take in memory.
const MEMORY: usize = 512 << 20;

/// A request whose members have been told apart, and not read yet.
#[derive(Debug)]
pub(super) struct Request<'a> {
    id: &'a str,
    members: BTreeMap<String, &'a str>,
}

impl<'a> Request<'a> {
    /// Takes a line apart; for an error, the id to answer it with comes along.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, (String, Failure)> {
        let nobody = |failure| ("null".to_owned(), failure);
        let line = str::from_utf8(line)
            .map_err(|error| nobody(Failure::request(format!("not UTF-8 at byte {}", error.valid_up_to()))))?;
        let members = line::members(line).map_err(|problem| {
            nobody(match problem {
                line::Problem::Syntax(expected, at) => {
                    Failure::request(format!("the line is not a JSON object: expected {expected} at byte {at}"))
                }
                line::Problem::TooMuch => {
                    Failure::new("LimitExceeded", "the values of the request take too much memory")
                }
            })
        })?;
        let mut request = Self { id: "null", members: BTreeMap::new() };
        let mut twice = None;
        for (name, value) in members {
            let Ok(name) = serde_json::from_str::<String>(name) else {
                return Err(nobody(Failure::request("the name of a member is not a JSON string")));
            };
            if request.members.contains_key(&name) {
                twice.get_or_insert(name);
                continue;
            }
            request.members.insert(name, value);
        }
        if let Some(id) = request.members.remove("id") {
            if serde_json::from_str::<Value>(id).is_err() {
                return Err(nobody(Failure::request("the id is not a JSON value")));
            }
            request.id = id;
        }
        match twice {
            Some(name) => {
                let message = format!("the member {:?} occurs twice", excerpt(&name));
                Err((request.id.to_owned(), Failure::request(message)))
            }
            None => Ok(request),
        }
    }

    /// The id, as it was written.
    pub(super) fn id(&self) -> &'a str {
        self.id
    }

    /// Any JSON as DAG-JSON; none, where it is missing or null.
    fn optional(&self, name: &str) -> Result<Option<Ipld>, Failure> {
        let Some(raw) = self.members.get(name) else { return Ok(None) };
        let value = dagjson::decode(raw.as_bytes());
        let value = value.map_err(|error| Failure::request(format!("`{name}` is not DAG-JSON: {error}")))?;
        Ok(Some(value).filter(|value| *value != Ipld::Null))
    }

    fn required(&self, name: &str) -> Result<Ipld, Failure> {
        self.optional(name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn text(&self, name: &str) -> Result<String, Failure> {
        match self.required(name)? {
            Ipld::String(text) => Ok(text),
            _ => Err(Failure::request(format!("`{name}` is not a string"))),
        }
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Option<String>, Failure> {
        self.optional(name)?.map(|_| self.text(name)).transpose()
    }

    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, Failure> {
        bytes(name, self.required(name)?)
    }

    pub(super) fn optional_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.optional(name)?.map(|value| bytes(name, value)).transpose()
    }

    /// A value: DAG-CBOR in base64, or any other JSON as DAG-JSON.
    pub(super) fn data(&self, name: &str) -> Result<Ipld, Failure> {
        // Null is a value like any other here, and not the lack of one.
        match self.optional(name)? {
            Some(Ipld::String(base64)) => Ok(dagcbor::decode_with(&unbase64(name, &base64)?, &limits())?),
            Some(value) => Ok(value),
            None if self.members.contains_key(name) => Ok(Ipld::Null),
            None => Err(missing(name)),
        }
    }

    pub(super) fn args(&self) -> Result<BTreeMap<String, Ipld>, Failure> {
        match self.data("args")? {
            Ipld::Map(args) => Ok(args),
            _ => Err(Failure::request("`args` is not a map")),
        }
    }

    /// A list of tokens; empty where it is missing.
    pub(super) fn tokens(&self, name: &str) -> Result<Vec<Vec<u8>>, Failure> {
        let items = match self.optional(name)? {
            None => Vec::new(),
            Some(Ipld::List(items)) => items,
            Some(_) => return Err(Failure::request(format!("`{name}` is not a list"))),
        };
        let mut tokens = Vec::with_capacity(items.len());
        let mut total = 0;
        for item in items {
            let token = bytes(name, item)?;
            total += token.len();
            if total > TOKENS {
                let message = format!("the tokens in `{name}` have more than {TOKENS} bytes");
                return Err(Failure::new("LimitExceeded", message));
            }
            tokens.push(token);
        }
        Ok(tokens)
    }

    /// CIDs as strings, or as links; none where the list is missing.
    pub(super) fn cids(&self, name: &str) -> Result<Vec<Cid>, Failure> {
        let malformed = || Failure::request(format!("`{name}` is not a list of CIDs"));
        match self.optional(name)? {
            None => Ok(Vec::new()),
            Some(Ipld::List(items)) => items
                .into_iter()
                .map(|item| match item {
                    Ipld::Link(cid) => Ok(cid),
                    Ipld::String(text) => text.parse().map_err(|_| malformed()),
                    _ => Err(malformed()),
                })
                .collect(),
            Some(_) => Err(malformed()),
        }
    }

    pub(super) fn did(&self, name: &str) -> Result<Did, Failure> {
        Did::parse(&self.text(name)?).map_err(|error| Failure::request(format!("`{name}`: {error}")))
    }

    pub(super) fn optional_did(&self, name: &str) -> Result<Option<Did>, Failure> {
        self.optional(name)?.map(|_| self.did(name)).transpose()
    }

    pub(super) fn command(&self, name: &str) -> Result<Command, Failure> {
        Command::parse(&self.text(name)?).map_err(|error| Failure::request(format!("`{name}`: {error}")))
    }

    pub(super) fn now(&self) -> Result<Timestamp, Failure> {
        let seconds = self.seconds("now")?.ok_or_else(|| missing("now"))?;
        Timestamp::from_secs(seconds).ok_or_else(|| Failure::request("`now` is beyond 2^53 - 1"))
    }

    pub(super) fn skew(&self) -> Result<u64, Failure> {
        Ok(self.seconds("skew")?.unwrap_or(Context::SKEW))
    }

    fn seconds(&self, name: &str) -> Result<Option<u64>, Failure> {
        self.whole(name, "a number of whole seconds")
    }

    /// A limit: units of fuel, bytes.
    pub(super) fn amount(&self, name: &str) -> Result<Option<u64>, Failure> {
        self.whole(name, "a whole number below 2^64")
    }

    fn whole(&self, name: &str, what: &str) -> Result<Option<u64>, Failure> {
        let malformed = || Failure::request(format!("`{name}` is not {what}"));
        match self.optional(name)? {
            None => Ok(None),
            Some(Ipld::Integer(number)) => u64::try_from(number).map(Some).map_err(|_| malformed()),
            Some(_) => Err(malformed()),
        }
    }
}

/// The limits of DAG-CBOR that stands alone in a request.
pub(super) fn limits() -> dagcbor::Limits {
    let mut limits = dagcbor::Limits::default();
    limits.memory = MEMORY;
    limits
}

fn missing(name: &str) -> Failure {
    Failure::request(format!("`{name}` is missing"))
}

fn bytes(name: &str, value: Ipld) -> Result<Vec<u8>, Failure> {
    match value {
        Ipld::Bytes(bytes) => Ok(bytes),
        Ipld::String(base64) => unbase64(name, &base64),
        _ => Err(Failure::request(format!("`{name}` is not bytes in base64"))),
    }
}

/// Standard base64, padded or not.
fn unbase64(name: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let encoding = if text.ends_with('=') { BASE64 } else { BASE64_NOPAD };
    let malformed = |error| Failure::request(format!("`{name}` is not base64: {error}"));
    encoding.decode(text.as_bytes()).map_err(malformed)
}
