//! What a task asks for, and the CID by which others wait for it.

use std::collections::BTreeMap;

use multibase::Base;
use multihash::Multihash;
use sha3::{Digest, Sha3_256};
use ucan_core::{Cid, Ipld, Place, block, dagcbor};

use super::error::{fields, list, required, string};
use super::{ImportError, ImportProblem, Notes, limits};

/// The multihash of SHA3-256, by which homestar names what it makes itself.
const SHA3_256: u64 = 0x16;
/// The one operation that homestar has.
const OPERATION: &str = "wasm/run";
/// How resources are written.
const IPFS: &str = "ipfs://";

/// One task, as far as it has a meaning.
#[derive(Clone, Debug)]
pub(super) struct Instruction<'a> {
    /// By this, others wait for it.
    pub(super) cid: Cid,
    /// The component.
    pub(super) resource: Cid,
    /// The function, as homestar spells it.
    pub(super) function: &'a str,
    /// The arguments, as they stand in the workflow.
    pub(super) args: &'a [Ipld],
    /// The nonce; empty where there is none.
    pub(super) nonce: Vec<u8>,
    /// The limits, as a document has them.
    pub(super) config: BTreeMap<String, Ipld>,
    /// How its author calls it.
    pub(super) name: Option<&'a str>,
}

impl<'a> Instruction<'a> {
    pub(super) fn read(task: &'a Ipld, place: &Place, notes: &mut Notes) -> Result<Self, ImportError> {
        let [run, cause, meta, proofs] = fields(task, place, ["run", "cause", "meta", "prf"], notes)?;
        for (value, key, text) in [
            (cause, "cause", "the receipt that caused the task is left out"),
            (proofs, "prf", "proofs are left out: authority is given for the whole run, by who asks for it"),
        ] {
            let says_something = match value {
                None | Some(Ipld::Null) => false,
                Some(Ipld::List(list)) => !list.is_empty(),
                Some(_) => true,
            };
            if says_something {
                notes.add(|| place.key(key), text);
            }
        }
        let (config, name) = limits::read(meta, &place.key("meta"), notes)?;
        let (run, place) = required(run, place, "run")?;
        if let Ipld::Link(cid) = run {
            return Err(ImportError::new(&place, ImportProblem::Elsewhere(*cid)));
        }
        let [resource, operation, input, nonce] = fields(run, &place, ["rsc", "op", "input", "nnc"], notes)?;
        let (operation, operation_place) = string(operation, &place, "op")?;
        if operation != OPERATION {
            return Err(ImportError::new(&operation_place, ImportProblem::Operation(shortened(operation))));
        }
        let (resource, resource_text) = read_resource(resource, &place)?;
        let (nonce, nonce_value) = read_nonce(nonce, &place.key("nnc"))?;
        let (input, input_place) = required(input, &place, "input")?;
        let [function, args] = fields(input, &input_place, ["func", "args"], notes)?;
        let (function, _) = string(function, &input_place, "func")?;
        let (args, _) = list(args, &input_place, "args")?;
        let cid = cid(resource_text, as_read(input), nonce_value).map_err(|error| ImportError::new(&place, error))?;
        Ok(Self { cid, resource, function, args, nonce, config, name })
    }
}

/// The CID of an instruction: of `{rsc, op, input, nnc}` in DAG-CBOR, by SHA3-256.
fn cid(resource: String, input: Ipld, nonce: Ipld) -> Result<Cid, ImportProblem> {
    let fields =
        [("rsc", Ipld::String(resource)), ("op", Ipld::String(OPERATION.to_owned())), ("input", input), ("nnc", nonce)];
    let bytes = dagcbor::encode(&super::entries(fields))?;
    let digest = Sha3_256::digest(&bytes);
    let hash = Multihash::wrap(SHA3_256, &digest).map_err(|_| ImportProblem::Expected("a digest of 32 bytes"))?;
    Ok(Cid::new_v1(block::DAG_CBOR, hash))
}

/// A value as homestar reads it from JSON: integers that fit neither `i64` nor `u64` become floats.
pub(super) fn as_read(value: &Ipld) -> Ipld {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "homestar rounds it, and computes CIDs of that")]
        Ipld::Integer(integer) if i64::try_from(*integer).is_err() && u64::try_from(*integer).is_err() => {
            Ipld::Float(*integer as f64)
        }
        Ipld::List(list) => Ipld::List(list.iter().map(as_read).collect()),
        Ipld::Map(map) => Ipld::Map(map.iter().map(|(key, item)| (key.clone(), as_read(item))).collect()),
        other => other.clone(),
    }
}

/// The CID of the component, and its URL, which is part of the instruction.
fn read_resource(value: Option<&Ipld>, place: &Place) -> Result<(Cid, String), ImportError> {
    let (value, place) = required(value, place, "rsc")?;
    let text = match value {
        Ipld::Link(cid) => return Ok((*cid, format!("{IPFS}{cid}"))),
        Ipld::String(text) => text,
        _ => return Err(ImportError::new(&place, ImportProblem::Expected("a string or a link"))),
    };
    let cid = text.strip_prefix(IPFS).and_then(|cid| cid.parse::<Cid>().ok());
    let cid = cid.ok_or_else(|| ImportError::new(&place, ImportProblem::Resource(shortened(text))))?;
    Ok((cid, text.clone()))
}

/// The bytes of a nonce, and how homestar has it in the instruction.
fn read_nonce(value: Option<&Ipld>, place: &Place) -> Result<(Vec<u8>, Ipld), ImportError> {
    let bytes = match value {
        None | Some(Ipld::Null) => Some(Vec::new()),
        Some(Ipld::String(text)) => Base::Base32HexLower.decode(text).ok(),
        Some(Ipld::Bytes(bytes)) => Some(bytes.clone()).filter(|bytes| !bytes.is_empty()),
        Some(_) => None,
    };
    let bytes = bytes.filter(|bytes| matches!(bytes.len(), 0 | 12 | 16));
    let bytes = bytes.ok_or_else(|| ImportError::new(place, ImportProblem::Nonce))?;
    let in_instruction = match value {
        Some(Ipld::Bytes(_)) => Ipld::Bytes(bytes.clone()),
        _ => Ipld::String(Base::Base32HexLower.encode(&bytes)),
    };
    Ok((bytes, in_instruction))
}

/// Enough of a text to find it by.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}
