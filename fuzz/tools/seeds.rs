//! Writes `seeds/` anew from the vectors in `../fixtures/`: run it in the folder of this package.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use ucan_core::{Ipld, dagcbor, dagjson};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut seeds = Seeds::default();
    for file in files(Path::new("../fixtures"))? {
        let vectors = dagjson::decode(&fs::read(&file)?)?;
        seeds.dagjson(&vectors);
        seeds.walk("", &vectors)?;
    }
    for (target, inputs) in seeds.0 {
        let folder = Path::new("seeds").join(target);
        fs::create_dir_all(&folder)?;
        for (number, input) in inputs.iter().enumerate() {
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
const MOST: usize = 40;

#[derive(Default)]
struct Seeds(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Seeds {
    fn add(&mut self, target: &'static str, input: Vec<u8>) {
        let inputs = self.0.entry(target).or_default();
        if inputs.len() < MOST && input.len() <= 4096 && !inputs.contains(&input) {
            inputs.push(input);
        }
    }

    fn dagjson(&mut self, vectors: &Ipld) {
        if let Ok(Some(Ipld::List(cases))) = vectors.get("cases") {
            for case in cases.iter().take(8) {
                self.add("dagjson", dagjson::encode(case).into_bytes());
            }
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
        let bytes = BASE64_NOPAD.decode(text.as_bytes()).or_else(|_| BASE64.decode(text.as_bytes()));
        match (key, bytes) {
            ("hex", _) => {
                if let Ok(header) = HEXLOWER.decode(text.as_bytes()) {
                    self.add("varsig", header);
                }
            }
            ("selector", _) => {}
            (_, Ok(bytes)) if bytes.len() > 64 => {
                // The first byte of a token is that of a list of two.
                self.add(if bytes.first() == Some(&0x82) { "token" } else { "dagcbor" }, bytes.clone());
                if bytes.first() == Some(&0x82) {
                    self.add("dagcbor", bytes);
                }
            }
            _ if text.starts_with("did:") => self.add("did", text.as_bytes().to_vec()),
            _ if text.starts_with('/') => self.add("command", text.as_bytes().to_vec()),
            _ if text.starts_with('.') => self.add("selector", join(text.as_bytes(), &[0xf6]).unwrap_or_default()),
            _ => {}
        }
    }
}

/// Two parts as the targets for policies and selectors take them: the length of the first in two bytes, then both.
fn join(first: &[u8], second: &[u8]) -> Result<Vec<u8>> {
    Ok([&u16::try_from(first.len())?.to_be_bytes()[..], first, second].concat())
}
