use ucan_core::Ipld;
use ucan_invocation::{Failure, Task, is_pending};

use crate::RUN_COMMAND;

/// How many arguments a program may have, and how many bytes they may have together.
const ARGUMENTS: usize = 1_000;
const BYTES: usize = 100 << 10;
/// How many bytes a program may be given to read.
const INPUT: usize = 16 << 20;

/// What a task asks for, as far as it is known: what is a promise is none yet.
pub(crate) struct Arguments {
    pub(crate) program: Option<String>,
    pub(crate) args: Option<Vec<String>>,
    pub(crate) stdin: Option<Vec<u8>>,
}

pub(crate) fn mismatch(problem: &str) -> Failure {
    Failure::new("ArgumentMismatch", format!("{RUN_COMMAND}: {problem}"))
}

impl Arguments {
    pub(crate) fn read(task: &Task) -> Result<Self, Failure> {
        let names = ["program", "args", "stdin"];
        if let Some(key) = task.args().keys().find(|key| !names.contains(&key.as_str())) {
            return Err(mismatch(&format!("unknown argument {key:?}; the arguments are {}", names.join(", "))));
        }
        let known = |name: &str, absent: Ipld| {
            let value = task.args().get(name).cloned().unwrap_or(absent);
            Some(value).filter(|value| !is_pending(value))
        };
        Ok(Self {
            program: known("program", Ipld::Null).map(program).transpose()?,
            args: known("args", Ipld::List(Vec::new())).map(list).transpose()?,
            stdin: known("stdin", Ipld::Bytes(Vec::new())).map(input).transpose()?,
        })
    }
}

fn program(value: Ipld) -> Result<String, Failure> {
    match value {
        Ipld::String(name) => Ok(name),
        _ => Err(mismatch("the argument \"program\" is to be the name of one")),
    }
}

fn list(value: Ipld) -> Result<Vec<String>, Failure> {
    let refused = || mismatch("the argument \"args\" is to be a list of texts without NUL");
    let Ipld::List(items) = value else { return Err(refused()) };
    let text = |item| match item {
        Ipld::String(text) if !text.contains('\0') => Ok(text),
        _ => Err(refused()),
    };
    let args = items.into_iter().map(text).collect::<Result<Vec<String>, _>>()?;
    if args.len() > ARGUMENTS || args.iter().map(String::len).sum::<usize>() > BYTES {
        return Err(mismatch(&format!("a program has at most {ARGUMENTS} arguments of {BYTES} bytes together")));
    }
    Ok(args)
}

fn input(value: Ipld) -> Result<Vec<u8>, Failure> {
    let bytes = match value {
        Ipld::String(text) => text.into_bytes(),
        Ipld::Bytes(bytes) => bytes,
        _ => return Err(mismatch("the argument \"stdin\" is to be text or bytes")),
    };
    if bytes.len() > INPUT {
        return Err(mismatch(&format!("a program is given at most {INPUT} bytes to read")));
    }
    Ok(bytes)
}
