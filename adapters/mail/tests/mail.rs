//! Mail to a real server, and what is refused before there is one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipvm_mail::lettre::{AsyncSmtpTransport, Tokio1Executor};
use ipvm_mail::{MailHandler, SEND_COMMAND};
use mailin::{Action, Response, Session, SessionBuilder, response};
use proptest::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use ucan_core::{Command, Context, DidKeys, Ipld, Issuer, Timestamp};
use ucan_invocation::{Call, Config, EffectClass, Handler, Outcome, Task};
use varsig::ed25519::SigningKey;

type Letters = Arc<Mutex<Vec<(Vec<String>, String)>>>;

#[derive(Clone)]
struct Clerk {
    letters: Letters,
    to: Vec<String>,
    text: Vec<u8>,
}

impl mailin::Handler for Clerk {
    fn rcpt(&mut self, to: &str) -> Response {
        if to.starts_with("nobody@") { response::NO_MAILBOX } else { response::OK }
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, to: &[String]) -> Response {
        (self.to, self.text) = (to.to_vec(), Vec::new());
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        self.letters.lock().unwrap().push((std::mem::take(&mut self.to), text));
        response::OK
    }
}

async fn attend(stream: TcpStream, mut session: Session<Clerk>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await? > 0 {
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

async fn server() -> (u16, Letters) {
    let (listener, letters) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Letters::default());
    let port = listener.local_addr().unwrap().port();
    let clerk = Clerk { letters: letters.clone(), to: Vec::new(), text: Vec::new() };
    tokio::spawn(async move {
        while let Ok((stream, client)) = listener.accept().await {
            tokio::spawn(attend(stream, SessionBuilder::new("mail.example.com").build(client.ip(), clerk.clone())));
        }
    });
    (port, letters)
}

fn owner() -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[1; 32]))
}

fn handler(port: u16) -> MailHandler {
    let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(port);
    let server = server.timeout(Some(Duration::from_secs(20))).build();
    MailHandler::new(owner().did().clone(), "Reports <reports@example.com>".parse().unwrap(), server)
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

fn list(items: &[&str]) -> Ipld {
    Ipld::List(items.iter().map(|item| text(item)).collect())
}

fn task(to: Ipld, subject: Ipld, body: Ipld) -> Task {
    let args = [("to", to), ("subject", subject), ("text", body)].map(|(key, value)| (key.to_owned(), value));
    Task::new(owner().did().clone(), Command::parse(SEND_COMMAND).unwrap(), args.into(), vec![1])
}

fn call(task: Task) -> Call {
    let context = Context::new(Timestamp::from_secs(1_800_000_000).unwrap(), &DidKeys);
    Call::authorize(task, Config::new(), owner().did(), &[], &context).unwrap()
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_meant() {
    let (port, letters) = server().await;
    let handler = handler(port);
    assert_eq!(handler.effect_class(), EffectClass::Mutable);
    let call =
        call(task(list(&["bob@example.com", "eve@example.net"]), text("Numbers of Tuesday"), text("one\n.\ntwo")));
    handler.check(call.task(), call.config()).await.unwrap();
    let Outcome::Ok(Ipld::Map(answer)) = handler.handle(&call).await.outcome else { panic!("it was not sent") };
    assert_eq!(answer["to"], list(&["bob@example.com", "eve@example.net"]));
    let (to, mail) = letters.lock().unwrap().pop().unwrap();
    assert_eq!(to, ["bob@example.com", "eve@example.net"]);
    assert!(
        mail.contains("Subject: Numbers of Tuesday\r\n") && mail.contains("From: Reports <reports@example.com>"),
        "{mail}"
    );
    assert!(mail.contains(&format!("Message-ID: <{}@example.com>", call.id())), "{mail}");
    assert!(mail.contains("two"), "a dot does not end it: {mail}");
}

#[tokio::test]
async fn what_is_not_taken_is_told_apart_from_what_is_not_known() {
    let (port, letters) = server().await;
    let mail = |to: &str| call(task(list(&[to]), text("a"), text("b")));
    let refused = handler(port).handle(&mail("nobody@example.com")).await.outcome;
    assert_eq!(refused.failure_name(), Some("Rejected"), "{refused:?}");
    assert!(letters.lock().unwrap().is_empty());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap().port();
    drop(listener);
    let silent = handler(gone).handle(&mail("bob@example.com")).await.outcome;
    assert_eq!(silent.failure_name(), Some("NoAnswer"));
}

#[tokio::test]
async fn nothing_reaches_into_the_head_of_a_mail() {
    let handler = handler(1);
    let check = async |to, subject, body| handler.check(&task(to, subject, body), &Config::new()).await;
    let bob = || list(&["bob@example.com"]);
    assert!(check(bob(), text("Hé"), text("a\r\nb\tc")).await.is_ok());
    let long = "x".repeat(999);
    for to in [
        "",
        "bob",
        "bob@example.com, eve@example.net",
        "Bob <bob@example.com>",
        "bob@example.com\r\nBcc: eve@example.net",
        "bob@example.com>\r\nRCPT TO:<eve@example.net",
        "\"a\r\nb\"@example.com",
    ] {
        assert!(check(list(&[to]), text("a"), text("b")).await.is_err(), "{to:?}");
    }
    for subject in ["Launch\r\nBcc: eve@example.net", "Launch\nBcc: eve@example.net", &long] {
        assert!(check(bob(), text(subject), text("b")).await.is_err(), "{subject:?}");
    }
    for body in ["a\0b", "a\rb", &long] {
        assert!(check(bob(), text("a"), text(body)).await.is_err(), "{body:?}");
    }
    assert!(check(Ipld::List(vec![]), text("a"), text("b")).await.is_err());
    assert!(check(list(&["bob@example.com"; 101]), text("a"), text("b")).await.is_err());
    // What is a promise is looked at when it is resolved.
    let link = Ipld::Link(*task(bob(), text("a"), text("b")).id().unwrap().cid());
    let promise = Ipld::Map([("await/ok".to_owned(), link)].into());
    assert!(check(bob(), text("a"), promise).await.is_ok());
    let stranger = Issuer::ed25519(SigningKey::from_seed(&[9; 32]));
    let args = task(bob(), text("a"), text("b")).args().clone();
    let other = Task::new(stranger.did().clone(), Command::parse(SEND_COMMAND).unwrap(), args, vec![]);
    assert_eq!(handler.check(&other, &Config::new()).await.unwrap_err().name, "WrongSubject");
}

proptest! {
    /// Whatever is accepted has no line of its own in it where there is to be none.
    #[test]
    fn what_is_accepted_is_plain(to in "\\PC{0,30}|[a-z]{1,5}@[a-z]{1,5}[\\r\\n<>,;: ]?[a-z]{0,5}", subject in "(?s).{0,30}") {
        let handler = handler(1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let task = task(list(&[&to]), text(&subject), text("b"));
        if runtime.block_on(handler.check(&task, &Config::new())).is_ok() {
            prop_assert!(to.is_ascii() && to.matches('@').count() == 1 && !to.contains(|c: char| c.is_whitespace() || "<>,;:".contains(c)));
            prop_assert!(!subject.contains(char::is_control));
        }
    }
}
