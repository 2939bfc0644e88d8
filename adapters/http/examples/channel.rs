//! Two processes: a provider that computes for a client who pays by vouchers, over HTTP, and stops when the budget is gone.
//!
//!     cargo run -p ipvm-http --example channel
//!
//! The example starts the provider as a second process of itself. Work is counted in units of gas, one for each step of a Collatz
//! sequence; the client pays for up to 120 steps of each task ahead, and what a task did not use pays for the next.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Stdio;
use std::sync::Arc;

use axum::{
    Router, body::Bytes, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::post,
};
use ipvm_http::{CONTENT_TYPE, HttpTransport, TransportOptions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use ucan_chan::{
    CLOSE_COMMAND, Charge, Close, MemoryChannels, Meter, Metered, OPEN_COMMAND, Open, Purse, PurseError,
    SETTLE_COMMAND, Settle, Terms, Till, Voucher, authorize_metered,
};
use ucan_core::{
    Cid, Clock, Container, ContainerEncoding, Context, Delegation, DidKeys, Ipld, Issuer, SystemClock, Token, verify,
};
use ucan_invocation::{Failure, Invocation, Outcome, Receipt, TaskId, Transport};
use varsig::ed25519::SigningKey;

type Failed = Box<dyn Error + Send + Sync>;

const BUDGET: u64 = 500;
const LIMIT: u64 = 120;
const COLLATZ: &str = "/math/collatz";

#[tokio::main]
async fn main() -> Result<(), Failed> {
    if std::env::args().nth(1).as_deref() == Some("provide") { provide().await } else { client().await }
}

/// Both keys are known to both: an example needs no secrets, and each side uses its own alone.
fn issuer(seed: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
}

// The provider.

struct Provider {
    issuer: Issuer,
    till: Till,
}

async fn provide() -> Result<(), Failed> {
    let issuer = issuer(1);
    let epoch = SystemClock.now().as_secs();
    let till = Till::new(Arc::new(MemoryChannels::default()), issuer.did().clone(), epoch);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    // The client reads where the provider is.
    println!("http://{}/", listener.local_addr()?);
    let routes = Router::new().route("/", post(answer)).with_state(Arc::new(Provider { issuer, till }));
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn answer(State(provider): State<Arc<Provider>>, body: Bytes) -> Result<impl IntoResponse, StatusCode> {
    let container = Container::decode(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let answer = provider.answer(&container).await.map_err(|_| StatusCode::BAD_REQUEST)?;
    let body = Container::from_iter([answer]).encode(ContainerEncoding::Raw);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], body))
}

impl Provider {
    /// Does what the one invocation in a container asks for that is no voucher.
    async fn answer(&self, container: &Container) -> Result<Vec<u8>, Failed> {
        let (mut delegations, mut vouchers, mut asked) = (Vec::new(), Vec::new(), None);
        for token in container.tokens() {
            if let Ok(delegation) = Delegation::decode(token) {
                delegations.push(delegation);
            } else if let Ok(voucher) = Voucher::decode(token) {
                vouchers.push(voucher);
            } else {
                asked = Some(Invocation::decode(token)?);
            }
        }
        let asked = asked.ok_or("nothing is asked for")?;
        let now = SystemClock.now();
        let ctx = Context::new(now, &DidKeys);
        let token = asked.envelope().bytes();
        let task = asked.task().id()?;
        match asked.command().as_str() {
            OPEN_COMMAND => {
                self.till.open(token, &delegations, &ctx).await?;
                self.receipt(task, Outcome::Ok(Ipld::Null), None)
            }
            CLOSE_COMMAND => {
                let channel = *Close::decode(token)?.channel();
                self.till.close(token, &DidKeys, now).await?;
                // The provider knows of no other voucher, and agrees.
                let known = self.till.channel(&channel).await?;
                let agreed = Close::sign(&self.issuer, known.terms(), known.sequence(), known.total())?;
                self.till.close(agreed.bytes(), &DidKeys, now).await?;
                let settle = self.till.settle(&channel, &self.issuer, now).await?;
                let last = self.till.channel(&channel).await?.last_charge()?;
                self.receipt(task, Outcome::Ok(Ipld::Bytes(settle.bytes().to_vec())), Some(&last))
            }
            COLLATZ => match self.work(asked, &vouchers, &delegations, &ctx).await {
                Ok((steps, charge)) => {
                    let receipt = self.receipt(task, Outcome::Ok(Ipld::Integer(steps.into())), Some(&charge));
                    // Here would be the place to keep it.
                    self.till.filed(&charge);
                    receipt
                }
                Err(error) => self.receipt(task, Failure::new("Unpaid", error.to_string()).into(), None),
            },
            other => Err(format!("{other} is not done here").into()),
        }
    }

    /// Takes the voucher, sets the limit aside, computes, charges.
    async fn work(
        &self,
        asked: Invocation,
        vouchers: &[Voucher],
        delegations: &[Delegation],
        ctx: &Context<'_>,
    ) -> Result<(u64, Charge), Failed> {
        let find = |cid: &Cid| delegations.iter().find(|delegation| delegation.cid() == cid).cloned();
        let paid = authorize_metered(asked, vouchers, self.issuer.did(), &find, ctx)?;
        let [voucher] = paid.vouchers() else { return Err("one voucher pays".into()) };
        self.till.draw(voucher.bytes(), &DidKeys, ctx.now).await?;
        let reserved = self.till.reserve(voucher.channel(), *voucher.paid_for(), LIMIT, ctx.now).await?;
        let number = match paid.authorized().invocation().args().get("n") {
            Some(Ipld::Integer(number)) => u64::try_from(*number).unwrap_or(1),
            _ => 1,
        };
        let steps = collatz(number, reserved.limit());
        let charge = self.till.charge(reserved, steps).await?;
        Ok((steps, charge))
    }

    fn receipt(&self, task: TaskId, outcome: Outcome, charge: Option<&Charge>) -> Result<Vec<u8>, Failed> {
        let mut meta = BTreeMap::new();
        if let Some(charge) = charge {
            charge.put(&mut meta);
        }
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        Ok(Receipt::builder(task, outcome).meta(meta).sign(&self.issuer, nonce)?.bytes().to_vec())
    }
}

/// How many steps it takes to come to 1, at most `limit`.
fn collatz(mut number: u64, limit: u64) -> u64 {
    let mut steps = 0;
    while number > 1 && steps < limit {
        number = if number.is_multiple_of(2) { number / 2 } else { number.saturating_mul(3).saturating_add(1) };
        steps += 1;
    }
    steps
}

// The client.

async fn client() -> Result<(), Failed> {
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .arg("provide")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = child.stdout.take().ok_or("the provider has no output")?;
    let url = BufReader::new(out).lines().next_line().await?.ok_or("the provider did not start")?;
    let (provider, me) = (issuer(1), issuer(2));
    let transport = HttpTransport::new(Arc::new(SystemClock), TransportOptions::default())?;
    transport.insert(provider.did(), &url)?;
    let ask = async |tokens: Vec<&[u8]>| -> Result<Receipt, Failed> {
        let answer = transport.send(provider.did(), &Container::from_iter(tokens)).await?;
        let receipt = Receipt::decode(answer.tokens().next().ok_or("no receipt")?)?;
        if !verify(&receipt, &DidKeys)?.issuer().same_principal(provider.did()) {
            return Err("a receipt by somebody else".into());
        }
        Ok(receipt)
    };

    // The provider's offer: a budget of gas, and the right to compute as long as that pays for it. Where it is sold is not shown here.
    let until = SystemClock.now().saturating_add(3_600);
    let offer = Terms::offer(provider.did(), me.did().clone(), "gas".parse()?, BUDGET, until)?;
    let channel = offer.nonce(b"one channel!".to_vec()).sign(&provider)?;
    let mut meta = BTreeMap::new();
    Metered { channel: *channel.cid(), unit: "gas".parse()? }.put(&mut meta);
    let right = Delegation::builder(me.did().clone(), Some(provider.did().clone()), COLLATZ.parse()?)
        .meta(meta)
        .nonce(b"the right of".to_vec())
        .sign(&provider)?;

    let mut purse = Purse::new(Terms::read(std::slice::from_ref(&channel))?);
    let open = Open::sign(&me, purse.terms(), 60)?;
    ask(vec![channel.bytes(), open.bytes()]).await?;
    println!("opened a channel with a budget of {BUDGET} gas");
    let mut sum = 0;
    for number in [27_u64, 7, 97, 871, 9, 6_171, 25, 703, 1_161] {
        let args = BTreeMap::from([("n".to_owned(), Ipld::Integer(number.into()))]);
        let asked = Invocation::builder(provider.did().clone(), COLLATZ.parse()?, args);
        let asked = asked.proofs(vec![*right.cid()]).sign(&me)?;
        let draft = match purse.reserve(asked.task().id()?, LIMIT) {
            Ok(draft) => draft,
            Err(error @ PurseError::Exhausted { .. }) => {
                println!("collatz({number}): {error}");
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let _durable = purse.encode()?;
        let voucher = draft.sign(&me, purse.terms())?;
        let token = asked.envelope().bytes();
        let receipt = ask(vec![channel.bytes(), right.bytes(), voucher.bytes(), token]).await?;
        let charge = Charge::of(&receipt)?.ok_or_else(|| format!("not charged: {:?}", receipt.outcome()))?;
        purse.settled(LIMIT, &charge)?;
        sum += charge.cost;
        println!(
            "collatz({number}): {:>3} gas, signed for {}, charged {}",
            charge.cost,
            purse.total(),
            purse.charged()
        );
    }
    // Whoever does not look at its own purse is stopped by the provider.
    let args = BTreeMap::from([("n".to_owned(), Ipld::Integer(31))]);
    let asked = Invocation::builder(provider.did().clone(), COLLATZ.parse()?, args).proofs(vec![*right.cid()]);
    let asked = asked.sign(&me)?;
    let over = Voucher::sign(&me, purse.terms(), purse.sequence() + 1, purse.total(), asked.task().id()?)?;
    let refused = ask(vec![channel.bytes(), right.bytes(), over.bytes(), asked.envelope().bytes()]).await?;
    let Outcome::Error(error) = refused.outcome() else { return Err("the provider worked for nothing".into()) };
    println!("the provider: {error:?}");

    // The voucher was in order, and stands: it is the last one.
    let close = Close::sign(&me, purse.terms(), over.sequence(), over.total())?;
    let receipt = ask(vec![channel.bytes(), close.bytes()]).await?;
    let Outcome::Ok(Ipld::Bytes(settle)) = receipt.outcome() else { return Err("it was not settled".into()) };
    let settle = verify(Settle::decode(settle.clone())?, &DidKeys)?;
    if settle.total() != sum {
        return Err(format!("{SETTLE_COMMAND} says {}, and the receipts {sum}", settle.total()).into());
    }
    println!("settled: {} gas are due, as the receipts say", settle.total());
    child.kill().await?;
    Ok(())
}
