use lettre::Address;
use ucan_core::Ipld;
use ucan_invocation::{Failure, Task, is_pending};

use crate::SEND_COMMAND;

/// The longest line of a mail that every server takes, in bytes (RFC 5322, section 2.1.1).
const LINE: usize = 998;
/// How many recipients a mail may have, and how long its text may be, in bytes.
const RECIPIENTS: usize = 100;
const TEXT: usize = 1 << 20;

/// What a task asks for, as far as it is known: what is a promise is none yet.
pub(crate) struct Arguments {
    pub(crate) to: Option<Vec<Address>>,
    pub(crate) subject: Option<String>,
    pub(crate) text: Option<String>,
}

pub(crate) fn mismatch(problem: &str) -> Failure {
    Failure::new("ArgumentMismatch", format!("{SEND_COMMAND}: {problem}"))
}

impl Arguments {
    pub(crate) fn read(task: &Task) -> Result<Self, Failure> {
        let names = ["to", "subject", "text"];
        if let Some(key) = task.args().keys().find(|key| !names.contains(&key.as_str())) {
            return Err(mismatch(&format!("unknown argument {key:?}; the arguments are {}", names.join(", "))));
        }
        let known = |name: &str| match task.args().get(name) {
            None => Err(mismatch(&format!("the argument {name:?} is missing"))),
            Some(value) => Ok(Some(value).filter(|value| !is_pending(value))),
        };
        let (to, subject, text) = (known("to")?, known("subject")?, known("text")?);
        let subject = subject.map(|subject| line(subject, "subject")).transpose()?;
        Ok(Self { to: to.map(recipients).transpose()?, subject, text: text.map(body).transpose()? })
    }
}

fn recipients(to: &Ipld) -> Result<Vec<Address>, Failure> {
    let Ipld::List(items) = to else { return Err(mismatch("the argument \"to\" is to be a list of addresses")) };
    if items.is_empty() || items.len() > RECIPIENTS {
        return Err(mismatch(&format!("a mail goes to 1 to {RECIPIENTS} addresses")));
    }
    items.iter().map(address).collect()
}

/// One address and nothing around it: a name could have a line break in it, and a list more recipients than a policy has seen.
fn address(item: &Ipld) -> Result<Address, Failure> {
    let refused = || mismatch("each of \"to\" is to be one plain mail address, such as \"bob@example.com\"");
    let Ipld::String(text) = item else { return Err(refused()) };
    let plain = text.is_ascii() && !text.contains(|c: char| c.is_ascii_control() || " ,;:<>()\"".contains(c));
    if plain { text.parse().map_err(|_| refused()) } else { Err(refused()) }
}

fn line(value: &Ipld, name: &str) -> Result<String, Failure> {
    match value {
        Ipld::String(text) if text.len() <= LINE && !text.chars().any(char::is_control) => Ok(text.clone()),
        _ => Err(mismatch(&format!("the argument {name:?} is to be one line of at most {LINE} bytes"))),
    }
}

fn body(value: &Ipld) -> Result<String, Failure> {
    let shown = |line: &str| line.len() <= LINE && !line.chars().any(|c| c.is_control() && c != '\t');
    match value {
        Ipld::String(text) if text.len() <= TEXT && text.lines().all(shown) => Ok(text.clone()),
        _ => Err(mismatch(&format!(
            "the argument \"text\" is to be text of at most {TEXT} bytes, in lines of at most {LINE}, without control characters"
        ))),
    }
}
