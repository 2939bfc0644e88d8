//! A post office that speaks SMTP, and `/msg/send`, which hands it mail.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::{Mailbox, Message, header::ContentType};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use mailin::{Action, Response, Session, SessionBuilder, response};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use ucan_core::Ipld;
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task};

use super::{Argument, argument, field, map, only, refused, text, unreachable};

/// In whose name mail is sent.
const FROM: &str = "launch@example.com";
/// The longest line of a mail that every server takes, in bytes (RFC 5322, 2.1.1).
const LINE: usize = 998;
const PATIENCE: Duration = Duration::from_secs(10);

/// What has arrived: to whom, and the mail as it came.
type Letters = Arc<Mutex<Vec<(Vec<String>, String)>>>;

/// An SMTP server on loopback that keeps what it gets.
pub(crate) struct PostOffice {
    address: SocketAddr,
    letters: Letters,
}

impl PostOffice {
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let (listener, letters) = (TcpListener::bind("127.0.0.1:0").await?, Letters::default());
        let address = listener.local_addr()?;
        let clerk = Clerk { letters: letters.clone(), to: Vec::new(), text: Vec::new() };
        tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                let session = SessionBuilder::new("mail.example.com").build(client.ip(), clerk.clone());
                tokio::spawn(attend(stream, session));
            }
        });
        Ok(Self { address, letters })
    }

    /// What acts in the name of the mailbox.
    pub(crate) fn handler(&self) -> SendMail {
        SendMail { server: self.address }
    }

    /// What is in the mailbox.
    pub(crate) fn letters(&self) -> Vec<(Vec<String>, String)> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Carries on one session, line by line: what is said to each is the library's affair.
async fn attend(stream: TcpStream, mut session: Session<Clerk>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::new();
    // A line that is too long ends early, and is refused as what it is.
    while (&mut stream).take(2 * LINE as u64).read_until(b'\n', &mut line).await? > 0 {
        let response = session.process(&line);
        line.clear();
        if response.action != Action::NoReply {
            stream.write_all(&response.buffer()?).await?;
        }
        if response.action == Action::Close {
            break;
        }
    }
    Ok(())
}

/// Takes mail in, for one session.
#[derive(Clone)]
struct Clerk {
    letters: Letters,
    to: Vec<String>,
    text: Vec<u8>,
}

impl mailin::Handler for Clerk {
    fn data_start(&mut self, _domain: &str, _from: &str, _is8bit: bool, to: &[String]) -> Response {
        (self.to, self.text) = (to.to_vec(), Vec::new());
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).push((std::mem::take(&mut self.to), text));
        response::OK
    }
}

/// `/msg/send`, with `{to, subject, text, record}`: tells somebody of a DNS record, `{name, value}`, which is what an
/// update of it gave. Gives `{to, id}`.
#[derive(Debug)]
pub(crate) struct SendMail {
    server: SocketAddr,
}

impl SendMail {
    /// Checks what is known of the arguments. What would reach into the head of the mail or into the talk with the
    /// server, or go to more people than the delegation saw, is refused.
    fn read(task: &Task) -> Result<(), Failure> {
        only(task, &["to", "subject", "text", "record"])?;
        if let Some(to) = text(task, "to")? {
            mailbox(to)?;
        }
        if text(task, "subject")?.is_some_and(|subject| subject.len() > LINE || subject.chars().any(char::is_control)) {
            return Err(refused("`subject` is one line, without control characters"));
        }
        let shown = |text: &str| text.lines().all(|line| line.len() <= LINE && !line.chars().any(char::is_control));
        if text(task, "text")?.is_some_and(|text| !shown(text)) {
            return Err(refused("`text` has lines of at most 998 bytes, without control characters"));
        }
        match argument(task, "record")? {
            Argument::Pending => Ok(()),
            Argument::Known(record) => field(record, "name").and_then(|_| field(record, "value")).map(drop),
        }
    }

    async fn send(&self, call: &Call) -> Result<Ipld, Failure> {
        let task = call.task();
        Self::read(task)?;
        let (Some(to), Some(subject), Some(body)) = (text(task, "to")?, text(task, "subject")?, text(task, "text")?)
        else {
            return Err(refused("something is still awaited"));
        };
        let Argument::Known(record) = argument(task, "record")? else { return Err(refused("`record` is awaited")) };
        // One id for one task: who gets a mail twice can see that it is one.
        let id = format!("<{}@example.com>", call.id());
        let mail = Message::builder()
            .from(mailbox(FROM)?)
            .to(mailbox(to)?)
            .subject(subject)
            .message_id(Some(id.clone()))
            .header(ContentType::TEXT_PLAIN)
            .body(format!("{body}\r\n\r\n{} TXT {:?}\r\n", field(record, "name")?, field(record, "value")?))
            .map_err(|error| refused(error.to_string()))?;
        let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.server.ip().to_string());
        let server = server.port(self.server.port()).timeout(Some(PATIENCE));
        let server = server.hello_name(ClientId::Domain("executor.example.com".to_owned())).build();
        server.send(mail).await.map_err(unreachable)?;
        Ok(map([("to", to.to_owned()), ("id", id)]))
    }
}

/// One address, and nothing around it: a name could have a line break in it, and a list more recipients than a policy
/// has seen.
fn mailbox(address: &str) -> Result<Mailbox, Failure> {
    let plain = address.is_ascii() && !address.contains(|c: char| c.is_ascii_control() || " ,;:<>()\"".contains(c));
    match address.parse() {
        Ok(address) if plain => Ok(Mailbox::new(None, address)),
        _ => Err(refused("`to` is one plain mail address")),
    }
}

#[async_trait]
impl Handler for SendMail {
    /// Each mail is another one.
    fn effect_class(&self) -> EffectClass {
        EffectClass::Mutable
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        Self::read(task)
    }

    async fn handle(&self, call: &Call) -> Completion {
        Completion::new(self.send(call).await.map_or_else(Outcome::from, Outcome::Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{task, with};
    use super::*;

    #[test]
    fn nothing_reaches_into_the_head_of_a_mail() -> Result<(), Box<dyn Error>> {
        let text = |text: &str| Ipld::String(text.to_owned());
        let record = map([("name", "a.example.com.".to_owned()), ("value", "go".to_owned())]);
        let good =
            [("to", text("bob@example.com")), ("subject", text("Hé")), ("text", text("a\r\nb")), ("record", record)];
        assert_eq!(SendMail::read(&task(&good)?), Ok(()));
        let long = "x".repeat(LINE + 1);
        for (name, value) in [
            ("to", ""),
            ("to", "bob"),
            ("to", "bob@example.com, eve@example.net"),
            ("to", "Bob <bob@example.com>"),
            ("to", "bob@example.com\r\nBcc: eve@example.net"),
            ("to", "bob@example.com>\r\nRCPT TO:<eve@example.net"),
            ("to", "\"a\r\nb\"@example.com"),
            ("subject", "Launch\r\nBcc: eve@example.net"),
            ("subject", "Launch\nBcc: eve@example.net"),
            ("subject", &long),
            ("text", "a\u{0}b"),
            ("text", "a\rb"),
            ("text", &long),
            ("record", "go"),
            ("bcc", "eve@example.net"),
        ] {
            assert!(SendMail::read(&task(&with(&good, name, text(value)))?).is_err(), "{name}: {value:?}");
        }
        assert!(SendMail::read(&task(&good[1..])?).is_err());
        Ok(())
    }
}
