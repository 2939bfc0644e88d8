//! Writes `seeds/` anew from the vectors in `../fixtures/`: run it in the folder of this package.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use ucan_core::{Container, Ipld, block, dagcbor, dagjson};
use varsig::{SecretKey, SignatureAlgorithm};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut seeds = Seeds::default();
    for file in files(Path::new("../fixtures"))? {
        let vectors = dagjson::decode(&fs::read(&file)?)?;
        seeds.walk("", &vectors)?;
    }
    seeds.keys()?;
    for (target, inputs) in seeds.0 {
        let folder = Path::new("seeds").join(target);
        fs::create_dir_all(&folder)?;
        // Evenly from all of the vectors, which stand together by kind.
        let apart = inputs.len().div_ceil(MOST);
        for (number, input) in inputs.iter().step_by(apart).enumerate() {
            fs::write(folder.join(format!("{number:03}")), input)?;
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// How many seeds a target has: enough to know every form, few enough to be looked through.
const MOST: usize = 60;

#[derive(Default)]
struct Seeds(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Seeds {
    fn add(&mut self, target: &'static str, input: Vec<u8>) {
        let inputs = self.0.entry(target).or_default();
        if input.len() <= 4096 && !inputs.contains(&input) {
            inputs.push(input);
        }
    }

    /// Finds what the vectors consist of, wherever it is.
    fn walk(&mut self, key: &str, value: &Ipld) -> Result<()> {
        match value {
            Ipld::String(text) => self.text(key, text),
            Ipld::List(list) => {
                for item in list {
                    self.walk(key, item)?;
                }
            }
            Ipld::Map(map) => {
                if let (Some(Ipld::List(policy)), Some(args)) = (map.get("policy"), map.get("args")) {
                    let policy = dagcbor::encode(&Ipld::List(policy.clone()))?;
                    self.add("policy", join(&policy, &dagcbor::encode(args)?)?);
                }
                if let (Some(Ipld::String(operation)), Some(Ipld::String(bytes))) = (map.get("op"), map.get("bytes")) {
                    self.bytes(operation, &decode(bytes)?);
                }
                if let Some(Ipld::String(json)) = map.get("json") {
                    self.add("dagjson", json.as_bytes().to_vec());
                }
                if let (Some(Ipld::String(algorithm)), Some(Ipld::String(key))) =
                    (map.get("algorithm"), map.get("public_key"))
                {
                    let algorithm: SignatureAlgorithm = algorithm.parse()?;
                    self.add("key", multicodec(algorithm.public_key_code(), &HEXLOWER.decode(key.as_bytes())?));
                }
                if let (Some(Ipld::String(selector)), Some(data)) = (map.get("selector"), map.get("data")) {
                    self.add("selector", join(selector.as_bytes(), &dagcbor::encode(data)?)?);
                }
                for (key, value) in map {
                    self.walk(key, value)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, key: &str, text: &str) {
        match (key, decode(text)) {
            ("selector" | "json" | "bytes", _) => {}
            // The first byte of a token is that of a list of two.
            (_, Ok(bytes)) if bytes.len() > 64 && bytes.first() == Some(&0x82) => self.add("token", bytes),
            _ if text.starts_with("did:") => self.add("did", text.as_bytes().to_vec()),
            _ if text.starts_with('/') => self.add("command", text.as_bytes().to_vec()),
            _ if text.starts_with('.') => self.add("selector", join(text.as_bytes(), &[0xf6]).unwrap_or_default()),
            _ => {}
        }
    }

    fn bytes(&mut self, operation: &str, bytes: &[u8]) {
        match operation {
            "varsig" => self.add("varsig", bytes.to_vec()),
            "dagcbor" => self.add("dagcbor", bytes.to_vec()),
            "container" => {
                self.add("container", bytes.to_vec());
                if let Ok(container) = Container::decode(bytes) {
                    let roots: Vec<_> = container.tokens().take(1).map(block::dag_cbor_cid).collect();
                    self.add("car", container.to_car(&roots));
                }
            }
            _ => {}
        }
    }

    /// Secret keys, which are nobody's.
    fn keys(&mut self) -> Result<()> {
        for algorithm in ["Ed25519", "ES256", "ES384", "ES512", "ES256K"] {
            let algorithm: SignatureAlgorithm = algorithm.parse()?;
            let key = SecretKey::generate(algorithm, &mut |bytes| {
                bytes.fill(0x5a);
                // Below the order of P-521, whose first byte has one bit.
                bytes[0] = 0;
            })?;
            self.add("key", key.to_multicodec().to_vec());
        }
        let rsa: SignatureAlgorithm = "RS256".parse()?;
        let key = HEXLOWER.decode(include_str!("../../varsig/tests/rsa2048.hex").trim().as_bytes())?;
        self.add("key", multicodec(rsa.secret_key_code(), &key));
        Ok(())
    }
}

fn decode(text: &str) -> Result<Vec<u8>> {
    Ok(BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes())?)
}

fn multicodec(mut code: u64, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while code >= 0x80 {
        bytes.push(code as u8 | 0x80);
        code >>= 7;
    }
    bytes.push(code as u8);
    [&bytes, key].concat()
}

/// Two parts as the targets for policies and selectors take them: the length of the first in two bytes, then both.
fn join(first: &[u8], second: &[u8]) -> Result<Vec<u8>> {
    Ok([&u16::try_from(first.len())?.to_be_bytes()[..], first, second].concat())
}
