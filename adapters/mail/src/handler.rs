use std::fmt;

use async_trait::async_trait;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use ucan_core::{Did, Ipld};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task};

use crate::arguments::{Arguments, mismatch};

/// The command that sends mail. Its arguments are `{to, subject, text}`; it answers `{id, to}`.
pub const SEND_COMMAND: &str = "/msg/send";

/// Sends mail from one mailbox, for whoever was given that authority by its owner.
///
/// Its effect class is mutable. What was handed to the server and not acknowledged may have been sent all the same: such a failure is
/// called `NoAnswer`, and one of which the server said so `Rejected`.
pub struct MailHandler {
    owner: Did,
    from: Mailbox,
    server: AsyncSmtpTransport<Tokio1Executor>,
}

impl MailHandler {
    /// A handler for tasks whose subject is `owner`, the principal that controls the mailbox `from`.
    #[must_use]
    pub fn new(owner: Did, from: Mailbox, server: AsyncSmtpTransport<Tokio1Executor>) -> Self {
        Self { owner, from, server }
    }

    fn read(&self, task: &Task) -> Result<Arguments, Failure> {
        if !task.subject().same_principal(&self.owner) {
            let message =
                format!("the mailbox belongs to {}, and the task's subject is {}", self.owner, task.subject());
            return Err(Failure::new("WrongSubject", message));
        }
        Arguments::read(task)
    }

    async fn send(&self, call: &Call) -> Result<Ipld, Failure> {
        let Arguments { to: Some(to), subject: Some(subject), text: Some(text) } = self.read(call.task())? else {
            return Err(mismatch("an argument is a promise"));
        };
        let id = format!("<{}@{}>", call.id(), self.from.email.domain());
        let recipients: Vec<Ipld> = to.iter().map(|address| Ipld::String(address.to_string())).collect();
        let mail = Message::builder().from(self.from.clone()).subject(subject).message_id(Some(id.clone()));
        let mail = to.into_iter().fold(mail, |mail, address| mail.to(Mailbox::new(None, address)));
        let mail = mail.header(ContentType::TEXT_PLAIN).body(text).map_err(|error| mismatch(&error.to_string()))?;
        self.server.send(mail).await.map_err(|error| {
            let name = if error.is_permanent() || error.is_transient() { "Rejected" } else { "NoAnswer" };
            Failure::new(name, format!("the mail was not taken: {error}"))
        })?;
        Ok(Ipld::Map([("id".to_owned(), Ipld::String(id)), ("to".to_owned(), Ipld::List(recipients))].into()))
    }
}

#[async_trait]
impl Handler for MailHandler {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Mutable
    }

    async fn check(&self, task: &Task, _: &Config) -> Result<(), Failure> {
        self.read(task).map(drop)
    }

    async fn handle(&self, call: &Call) -> Completion {
        let sent = self.send(call).await;
        Completion::new(sent.map_or_else(Into::into, Outcome::Ok))
    }
}

impl fmt::Debug for MailHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The server has credentials.
        f.debug_struct("MailHandler").field("owner", &self.owner).field("from", &self.from).finish_non_exhaustive()
    }
}
