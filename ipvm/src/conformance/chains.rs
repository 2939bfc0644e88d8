//! Operations on what is asked for: finding its chain of delegations, and the ids of tasks.

use ucan_core::{Context, Delegation, DidKeys, Ipld, Request as Asked, search};
use ucan_invocation::{Task, TaskError};

use super::{Answer, Failure, map, request::Request, text};

/// Finds the chain that lets an invoker do something.
pub(super) fn chain(request: &Request<'_>) -> Answer {
    let store = request.tokens("store")?;
    let (invoker, subject, command) = (request.did("invoker")?, request.did("subject")?, request.command("cmd")?);
    let args = Ipld::Map(request.args()?);
    let context = Context { skew: request.skew()?, ..Context::new(request.now()?, &DidKeys) };
    let count = store.len();
    // What cannot be read does not serve, like what is not signed properly.
    let store: Vec<Delegation> = store.into_iter().filter_map(|token| Delegation::decode(token).ok()).collect();
    let asked = Asked { invoker: &invoker, subject: &subject, command: &command, args: &args };
    let authority = search(&asked, &store, &context)?;
    let proofs = Ipld::List(authority.proofs().iter().map(text).collect());
    if count == store.len() {
        return Ok(map([("proofs", proofs)]));
    }
    Ok(map([("proofs", proofs), ("warnings", Ipld::List(vec![text("MalformedToken")]))]))
}

/// The id of a task, and of its instruction, unless that waits for a promise.
pub(super) fn task(request: &Request<'_>) -> Answer {
    let nonce = request.bytes("nonce")?;
    let task = Task::new(request.did("sub")?, request.command("cmd")?, request.args()?, nonce);
    let failed = |error: TaskError| Failure::request(error.to_string());
    let cid = text(task.id().map_err(failed)?);
    let instruction = match task.instruction_id() {
        Err(TaskError::Pending) => Ipld::Null,
        instruction => text(instruction.map_err(failed)?),
    };
    Ok(map([("cid", cid), ("instruction", instruction)]))
}
