use std::collections::BTreeMap;

use ucan_core::{Command, Context, Delegation, Did, Ipld, Issuer, NoChain, Request, SignError, Timestamp, search};
use ucan_invocation::Invocation;

/// What somebody is about to ask of an executor, about itself: to run a workflow, or to run it at certain times.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The executor.
    pub executor: &'a Did,
    /// What it is asked for.
    pub command: Command,
    /// The arguments.
    pub args: BTreeMap<String, Ipld>,
    /// What tells this request from others for the same.
    pub nonce: Vec<u8>,
    /// Until when the request is valid; for ever, where there is none.
    pub expiration: Option<Timestamp>,
    /// What else it says.
    pub meta: BTreeMap<String, Ipld>,
}

impl Ask<'_> {
    /// Signs it as `issuer`, with the chain among `delegations` that lets them ask for it under `context`.
    ///
    /// # Errors
    /// [`AskError`] where there is no such chain, or the signer fails.
    pub fn sign(
        self,
        issuer: &Issuer,
        delegations: &[Delegation],
        context: &Context<'_>,
    ) -> Result<Invocation, AskError> {
        let args = Ipld::Map(self.args.clone());
        let request = Request { invoker: issuer.did(), subject: self.executor, command: &self.command, args: &args };
        let authority = search(&request, delegations, context).map_err(Box::new)?;
        let ask = Invocation::builder(self.executor.clone(), self.command, self.args)
            .proofs(authority.proofs().to_vec())
            .nonce(self.nonce)
            .issued_at(context.now)
            .meta(self.meta);
        Ok(match self.expiration {
            Some(end) => ask.expiration(end),
            None => ask,
        }
        .sign(issuer)?)
    }
}

/// Why something cannot be asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No chain of delegations lets the issuer ask for it.
    #[error(transparent)]
    NoChain(#[from] Box<NoChain>),
    /// The request could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}
