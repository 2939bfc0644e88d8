//! The arguments of `/wasm/run`.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64;
use ipld_wit::text::{describe, nearest, shorten};
use ucan_core::{Cid, Ipld, block};

use crate::config::suggestion;

const DATA: &str = "data:application/wasm;base64,";
const IPFS: &str = "ipfs://";

/// What `/wasm/run` is asked to do: `{mod, fun, params}`.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmCall {
    /// The component.
    pub module: Module,
    /// The export: `name`, or `interface#name` for a function of an exported interface.
    pub fun: String,
    /// The arguments: a list, or a map by parameter name.
    pub params: Ipld,
}

/// Where a component is found.
#[derive(Clone, PartialEq, Eq)]
pub enum Module {
    /// A link.
    Link(Cid),
    /// The bytes themselves, as a `data:application/wasm;base64,..` URL.
    Inline(Vec<u8>),
    /// An `ipfs://..` URL. It says the same as a link, and is kept apart because it is written differently.
    Ipfs(Cid),
}

impl Module {
    /// The content address: that of the raw bytes where they are inline.
    pub fn cid(&self) -> Cid {
        match self {
            Self::Link(cid) | Self::Ipfs(cid) => *cid,
            Self::Inline(bytes) => block::raw_cid(bytes),
        }
    }

    /// The bytes, where they are inline.
    pub fn inline(&self) -> Option<&[u8]> {
        match self {
            Self::Inline(bytes) => Some(bytes),
            Self::Link(_) | Self::Ipfs(_) => None,
        }
    }

    fn parse(ipld: &Ipld) -> Result<Self, ArgsError> {
        let malformed = |detail: &str| ArgsError::Module { detail: detail.to_owned() };
        match ipld {
            Ipld::Link(cid) => Ok(Self::Link(*cid)),
            Ipld::String(url) => {
                if let Some(base64) = url.strip_prefix(DATA) {
                    let bytes = BASE64.decode(base64.as_bytes());
                    bytes.map(Self::Inline).map_err(|error| malformed(&format!("the data URL is not base64: {error}")))
                } else if let Some(cid) = url.strip_prefix(IPFS) {
                    let cid = Cid::try_from(cid);
                    cid.map(Self::Ipfs).map_err(|error| malformed(&format!("not a CID after `{IPFS}`: {error}")))
                } else {
                    let found = shorten(url, 40);
                    Err(malformed(&format!("expected a link, `{DATA}..` or `{IPFS}..`, found the string {found:?}")))
                }
            }
            other => Err(malformed(&format!("expected a link, `{DATA}..` or `{IPFS}..`, found {}", describe(other)))),
        }
    }

    fn to_ipld(&self) -> Ipld {
        match self {
            Self::Link(cid) => Ipld::Link(*cid),
            Self::Inline(bytes) => Ipld::String(format!("{DATA}{}", BASE64.encode(bytes))),
            Self::Ipfs(cid) => Ipld::String(format!("{IPFS}{cid}")),
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(cid) => write!(f, "Link({cid})"),
            Self::Ipfs(cid) => write!(f, "Ipfs({cid})"),
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
        }
    }
}

impl WasmCall {
    /// Reads the arguments of `/wasm/run`, in which every promise has been resolved.
    ///
    /// # Errors
    ///
    /// What is missing, unknown or malformed.
    pub fn parse(args: &Ipld) -> Result<Self, ArgsError> {
        let Ipld::Map(map) = args else {
            return Err(ArgsError::NotAMap { found: describe(args) });
        };
        if let Some(name) = map.keys().find(|key| !["mod", "fun", "params"].contains(&key.as_str())) {
            let nearest = nearest(name, ["mod", "fun", "params"]);
            return Err(ArgsError::Unknown { nearest, name: shorten(name, 40) });
        }
        let field = |name: &'static str| map.get(name).ok_or(ArgsError::Missing { name });
        let module = Module::parse(field("mod")?)?;
        let fun = match field("fun")? {
            Ipld::String(fun) => fun.clone(),
            other => {
                return Err(ArgsError::Fun { found: describe(other) });
            }
        };
        let params = match field("params")? {
            params @ (Ipld::List(_) | Ipld::Map(_)) => params.clone(),
            other => {
                return Err(ArgsError::Params { found: describe(other) });
            }
        };
        Ok(Self { module, fun, params })
    }

    /// Writes the arguments that [`parse`](Self::parse) reads.
    pub fn to_args(&self) -> Ipld {
        let fields =
            [("mod", self.module.to_ipld()), ("fun", Ipld::String(self.fun.clone())), ("params", self.params.clone())];
        Ipld::Map(BTreeMap::from(fields.map(|(name, value)| (name.to_owned(), value))))
    }
}

/// Arguments that `/wasm/run` cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// No map.
    #[error("the arguments of /wasm/run are a map {{mod, fun, params}}, found {found}")]
    NotAMap {
        /// What stands there, in a few words.
        found: String,
    },
    /// `mod`, `fun` or `params` is missing.
    #[error("`{name}` is missing")]
    Missing {
        /// Which one.
        name: &'static str,
    },
    /// A key that has no meaning.
    #[error("there is no argument `{name}`{}", suggestion(nearest.as_deref()))]
    Unknown {
        /// The key.
        name: String,
        /// The argument that is spelled most alike, if one is.
        nearest: Option<String>,
    },
    /// `mod` names no component.
    #[error("mod: {detail}")]
    Module {
        /// What is wrong with it.
        detail: String,
    },
    /// `fun` is no string.
    #[error("fun: expected the name of an export, found {found}")]
    Fun {
        /// What stands there, in a few words.
        found: String,
    },
    /// `params` is neither a list nor a map.
    #[error("params: expected a list, or a map by parameter name, found {found}")]
    Params {
        /// What stands there, in a few words.
        found: String,
    },
}
