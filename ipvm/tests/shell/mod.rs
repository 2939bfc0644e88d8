//! What the tests of tokens share: real processes, a real state folder, and tokens of people who are known by a number.
#![allow(dead_code, reason = "each test takes some of it")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use ucan_core::{Delegation, Did, Ipld, Issuer, Token};
use ucan_invocation::Invocation;
use varsig::ed25519::SigningKey;

/// A folder of its own, in which the command is run.
pub(crate) struct Shell {
    folder: TempDir,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipvm"));
        command.current_dir(self.folder.path()).env_remove("IPVM_STATE").args(arguments);
        command
    }

    pub(crate) fn with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // What is refused at once is not read.
        let _ = process.stdin.take().unwrap().write_all(input);
        process.wait_with_output().unwrap()
    }

    /// What is printed where all goes well.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.ok(&[&["--json"], arguments].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What is refused, with its message.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The exit status and the listing of an inspection.
    pub(crate) fn inspect(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(&[&["inspect"], arguments].concat()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// What an inspection says to programs, whatever its status.
    pub(crate) fn inspected(&self, file: &str) -> Vec<Value> {
        let output = self.command(&["--json", "inspect", file]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn did(&self, name: &str) -> Did {
        self.json(&["key", "show", name])[0]["did"].as_str().unwrap().parse().unwrap()
    }
}

pub(crate) fn person(byte: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[byte; 32]))
}

pub(crate) fn grant(from: &Issuer, to: &Issuer, command: &str) -> Delegation {
    Delegation::builder(to.did().clone(), Some(from.did().clone()), command.parse().unwrap()).sign(from).unwrap()
}

/// An invocation of `/file/read` on what is `subject`'s.
pub(crate) fn invoke(by: &Issuer, subject: &Issuer, proofs: &[&Delegation]) -> Vec<u8> {
    let args = [("path".to_owned(), Ipld::String("a\u{1b}[2Jb".to_owned()))].into();
    let invocation = Invocation::builder(subject.did().clone(), "/file/read".parse().unwrap(), args)
        .proofs(proofs.iter().map(|proof| *proof.cid()).collect());
    invocation.sign(by).unwrap().envelope().bytes().to_vec()
}

/// xorshift: any seed can be tried again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}

/// A number that somebody set for a test.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
