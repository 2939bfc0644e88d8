//! One signed batch, three executors, and results that pass directly between them: a launch is announced in the DNS,
//! then two people are told of it by mail, then there is a report on the web. Each service is a real server on a socket
//! of this machine, and so is each executor.
//!
//!     cargo run --release -p ipvm-examples --example distributed_invocation

mod distributed;

use std::collections::BTreeMap;
use std::error::Error;

use distributed::network::{Counted, Network, Resource, principal, random};
use distributed::{dns::Zone, http::Site, mail::PostOffice};
use ucan_core::{Clock, Container, Did, DidKeys, Ipld, Issuer, SystemClock, Timestamp, Token, verify};
use ucan_invocation::{Await, Branch, Invocation, Receipt, TaskId, Transport};

/// What happened, for whoever wants to check it.
pub(crate) struct Launch {
    /// The texts of the DNS record.
    pub(crate) record: Vec<String>,
    /// The mails in the mailbox: to whom, and the mail as it came.
    pub(crate) mails: Vec<(Vec<String>, String)>,
    /// The document on the web.
    pub(crate) report: String,
    /// What was asked for, and the receipt of it.
    pub(crate) receipts: Vec<(Invocation, Receipt)>,
    /// How many requests the invoker made.
    pub(crate) requests: usize,
}

/// What the invoker signs: one task for one executor.
fn ask(
    invoker: &Issuer,
    executor: &Did,
    resource: &Resource,
    args: &[(&str, Ipld)],
    until: Timestamp,
) -> Result<Invocation, Box<dyn Error>> {
    let args: BTreeMap<_, _> = args.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let invocation = Invocation::builder(resource.owner.clone(), resource.command.parse()?, args)
        .audience(executor.clone())
        .proofs(resource.grants.iter().map(|grant| *grant.cid()).collect())
        .nonce(random::<12>().to_vec())
        .expiration(until);
    Ok(invocation.sign(invoker)?)
}

/// The place in the arguments that the result of another task will fill.
fn result_of(invocation: &Invocation) -> Result<Ipld, Box<dyn Error>> {
    Ok(Await { branch: Branch::Ok, target: invocation.task().id()? }.to_ipld())
}

pub(crate) async fn launch() -> Result<Launch, Box<dyn Error>> {
    // The services, and the files of the one that has some.
    let folder = tempfile::tempdir()?;
    let (zone, office, site) = (Zone::start(folder.path()).await?, PostOffice::start().await?, Site::start().await?);

    // Whoever owns a resource lets the team use it, and the team lets Alice, within bounds.
    let (team, alice) = (principal(), principal());
    let resource = |command, policy: &str| Resource::new(command, policy, &team, alice.did());
    let domain = resource("/dns/update", r#"[["==", ".zone", "example.com."], ["like", ".name", "launch.*"]]"#)?;
    let mailbox = resource("/msg/send", r#"[["like", ".to", "*@example.com"]]"#)?;
    let origin = resource("/http/put", &format!(r#"[["like", ".url", "{}"]]"#, site.url("/reports/*")))?;

    // An executor for each of them.
    let network = Network::new()?;
    let dns = network.start(&domain, zone.handler()).await?;
    let mail = network.start(&mailbox, office.handler()).await?;
    let web = network.start(&origin, site.handler()).await?;

    // Alice signs all of it up front. What is not known yet, she leaves open.
    let text = |text: &str| Ipld::String(text.to_owned());
    let until = SystemClock.now().saturating_add(120);
    let update = [("zone", text("example.com.")), ("name", text("launch.example.com.")), ("value", text("go"))];
    let update = ask(&alice, &dns.0, &domain, &update, until)?;
    let tell = |to: &str| {
        let args = [("to", text(to)), ("subject", text("Launch")), ("text", text("It is in the DNS:"))];
        ask(&alice, &mail.0, &mailbox, &[args.as_slice(), &[("record", result_of(&update)?)]].concat(), until)
    };
    let mails = [tell("bob@example.com")?, tell("carol@example.com")?];
    let told = Ipld::List(vec![result_of(&mails[0])?, result_of(&mails[1])?]);
    let report = [("url", text(&site.url("/reports/launch.txt"))), ("title", text("Launched")), ("mails", told)];
    let report = ask(&alice, &web.0, &origin, &report, until)?;
    let [bob, carol] = mails;
    let batch = [update, bob, carol, report];

    // The same container to all three at the same time. Who needs a result gets it from the executor that has it, and
    // not from her.
    let grants = [&domain, &mailbox, &origin].into_iter().flat_map(|resource| &resource.grants);
    let tokens = batch.iter().map(|invocation| invocation.envelope().bytes());
    let container: Container = grants.map(|grant| grant.bytes()).chain(tokens).collect();
    let to = Counted::new(&[dns.clone(), mail.clone(), web.clone()])?;
    let answers =
        tokio::try_join!(to.send(&dns.0, &container), to.send(&mail.0, &container), to.send(&web.0, &container))?;

    // Receipts speak for themselves: each is signed by the executor that was asked.
    let mut found: BTreeMap<TaskId, Receipt> = BTreeMap::new();
    for token in [&answers.0, &answers.1, &answers.2].into_iter().flat_map(Container::tokens) {
        let receipt = verify(Receipt::decode(token)?, &DidKeys)?.into_inner();
        found.insert(*receipt.ran(), receipt);
    }
    let mut receipts = Vec::new();
    for invocation in batch {
        let receipt = found.remove(&invocation.task().id()?).ok_or("there is no receipt")?;
        if !receipt.issuer().same_principal(invocation.executor()) {
            return Err("somebody else answered".into());
        }
        receipts.push((invocation, receipt));
    }

    let record = zone.texts("launch.example.com.").await?;
    let report = site.get("/reports/launch.txt").await?;
    Ok(Launch { record, mails: office.letters(), report, receipts, requests: to.requests() })
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let launch = launch().await?;
    println!("The invoker made {} requests, and has {} receipts:", launch.requests, launch.receipts.len());
    for (invocation, receipt) in &launch.receipts {
        println!("  {} by {}: {:?}", invocation.command(), receipt.issuer(), receipt.outcome());
    }
    println!("\nDNS: launch.example.com. TXT {:?}", launch.record);
    for (to, mail) in &launch.mails {
        println!("\nMail to {}:\n{mail}", to.join(", "));
    }
    println!("Web:\n{}", launch.report);
    Ok(())
}
