//! What the command line says, and who carries it out.

mod chan;
mod conformance;
mod delegate;
mod display;
mod forget;
mod guest;
mod import;
mod inspect;
mod key;
mod moment;
mod moves;
mod pointed;
mod print;
mod run;
mod runs;
mod schedule;
mod secret;
mod show;
mod task;
mod verify;
mod wasm;
mod wish;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ipvm::{Compat, Node, NodeError, NodeOptions, SystemEntropy};
use ipvm_workflow::{Entropy, RunError};
use tracing_subscriber::filter::LevelFilter;
use ucan_core::{Cid, Did};
use ucan_invocation::{BlockStore, ReceiptId, ReceiptStore};

use print::{Unprinted, complain, say_json};

/// Runs workflows of content-addressed tasks: signed, memoized, verifiable.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = STATUSES)]
pub(crate) struct Arguments {
    /// The folder with keys, delegations and the store; it is set up on first use.
    #[arg(long, global = true, env = "IPVM_STATE", default_value = ".ipvm", value_name = "FOLDER")]
    state: PathBuf,
    /// Prints one JSON object a line, for programs.
    #[arg(long, global = true)]
    json: bool,
    /// What to log on standard error: off, error, warn, info, debug or trace.
    #[arg(long, global = true, env = "IPVM_LOG", default_value = "error", value_name = "LEVEL")]
    log: LevelFilter,
    /// Runs guests that were made for another runtime on its terms: homestar.
    #[arg(long, global = true, value_name = "RUNTIME")]
    compat: Option<Compat>,
    /// Reuses receipts of this executor too; can be given several times. Who is in the state folder's quarantine is not believed.
    #[arg(long = "trust", global = true, value_name = "DID")]
    trusted: Vec<Did>,
    /// Does in the own output folder what runs that were handed over ask of this owner's; can be given several times.
    #[arg(long, global = true, value_name = "DID")]
    output_for: Vec<Did>,
    /// Lends the secret of this name to the workflows that are asked for now; can be given several times.
    #[arg(long = "secret", global = true, value_name = "NAME")]
    secrets: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a workflow; what is known already is reused.
    Run(run::Run),
    /// Checks a workflow, and says what a run of it would do.
    Plan(run::Planned),
    /// Makes a document of a workflow that was written for homestar.
    Import(import::Import),
    /// Lists the runs that are not over.
    List,
    /// Goes on with a run that is not over, or with one that another executor hands over.
    Resume(runs::Resume),
    /// Pauses a run that another process has under way.
    Pause(wish::Pause),
    /// Cancels a run that is not over, and undoes what it did where its workflow says how.
    Cancel(runs::Cancel),
    /// Says how far a run has come, task by task.
    Status(runs::Status),
    /// Hands a run that is not over to another executor: writes the archive by which that one resumes it.
    Checkpoint(moves::Checkpoint),
    /// Runs a workflow of the store again with another value somewhere; what does not hang on it is reused.
    Fork(moves::Fork),
    /// Has workflows run at certain times.
    Schedule(schedule::Schedule),
    /// Runs single tasks.
    Task(task::Task),
    /// Checks a receipt: its signature, and its result by running the task again.
    Verify(verify::Verify),
    /// Takes out of the store what somebody signed, and all that rests on it.
    Forget(forget::Forget),
    /// Prints a stored token, task, receipt or workflow as DAG-JSON.
    Show(show::Show),
    /// Makes, shows, imports and exports keys.
    Key(key::Key),
    /// Keeps secrets that workflows can use.
    Secret(secret::Secret),
    /// Passes authority on: signs a delegation.
    Delegate(delegate::Delegate),
    /// Is paid, and pays: channels with a budget, vouchers, closing and settling.
    Chan(chan::Chan),
    /// Tells what is in a token or container, and whether it holds.
    Inspect(inspect::Inspect),
    /// Writes projects for new guests.
    Guest(guest::Guest),
    /// Inspects Wasm components, and calls their functions.
    Wasm(wasm::Wasm),
    /// Answers conformance requests, JSON lines from standard input (docs/conformance.md).
    Conformance(conformance::Conformance),
}

const STATUSES: &str = "Exit status: 0 where all went well; 1 where a task failed, or a token or receipt does not hold; 2 where \
nothing was done; 3 where something broke off what had begun: a run after tasks had started, or what is printed; 4 where it \
cannot be told whether a token holds; 5 where a run is paused, and waits for somebody.";

/// What came of a command: the exit status, where it was carried out.
type Outcome = Result<ExitCode, Refused>;

/// Why a command is not carried out.
type Refused = Box<dyn Error + Send + Sync>;

/// A task failed, or a token or receipt does not hold.
const FAILED: u8 = 1;
/// The command was not carried out.
const REFUSED: u8 = 2;
/// Tasks had started when something else than a task failed, or not all could be printed.
const CUT_OFF: u8 = 3;
/// It cannot be told whether a token holds.
const UNKNOWN: u8 = 4;
/// A run is paused.
const PAUSED: u8 = 5;

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let _already_set = tracing_subscriber::fmt()
        .with_max_level(arguments.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    let json = arguments.json;
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(carry_out(arguments)));
    outcome.unwrap_or_else(|error| {
        if json {
            // It is said on standard error as well.
            let _unheard = say_json(&pointed::for_programs(&*error).to_string());
        }
        complain(&pointed::for_people(&*error));
        ExitCode::from(if was_cut_off(&*error) { CUT_OFF } else { REFUSED })
    })
}

fn was_cut_off(error: &(dyn Error + 'static)) -> bool {
    let error = pointed::itself(error);
    matches!(error.downcast_ref(), Some(NodeError::Run(RunError::CutOff(_)))) || error.is::<Unprinted>()
}

async fn carry_out(arguments: Arguments) -> Outcome {
    let Arguments { state, json, compat, trusted, output_for, secrets, command, log: _ } = arguments;
    let trusted: BTreeSet<Did> = trusted.into_iter().collect();
    let output_for: BTreeSet<Did> = output_for.into_iter().collect();
    let options = |output| NodeOptions {
        output,
        compat,
        trusted: trusted.clone(),
        output_for: output_for.clone(),
        secrets: secrets.iter().cloned().collect(),
        ..NodeOptions::new(&state)
    };
    let open = |output| Node::open(&options(output));
    match command {
        Command::Run(run) => run.carry_out(open, json).await,
        Command::Plan(plan) => plan.carry_out(open, json).await,
        Command::Import(import) => import.carry_out(json),
        Command::List => runs::list(&open(None)?, json).await,
        Command::Resume(resume) => resume.carry_out(open, json).await,
        Command::Pause(pause) => pause.carry_out(&state, &open, json).await,
        Command::Cancel(cancel) => cancel.carry_out(&state, &open, json).await,
        Command::Status(status) => status.carry_out(&open(None)?, json).await,
        Command::Checkpoint(checkpoint) => checkpoint.carry_out(&open(None)?, json).await,
        Command::Fork(fork) => fork.carry_out(open, json).await,
        Command::Schedule(schedule) => schedule.carry_out(open, json).await,
        Command::Task(task) => task.carry_out(open, json).await,
        Command::Verify(verify) => verify.carry_out(&open(None)?, &trusted, json).await,
        Command::Forget(forget) => forget.carry_out(&open(None)?, json).await,
        Command::Show(show) => show.carry_out(&open(None)?).await,
        Command::Key(key) => key.carry_out(&state, json),
        Command::Secret(secret) => secret.carry_out(&state, json),
        Command::Delegate(delegate) => delegate.carry_out(&state, json),
        Command::Chan(chan) => chan.carry_out(&state, open, json).await,
        Command::Inspect(inspect) => inspect.carry_out(json),
        Command::Guest(guest) => guest.carry_out(json),
        Command::Wasm(wasm) => wasm.carry_out(compat, json),
        Command::Conformance(conformance) => conformance.carry_out(),
    }
}

/// Fills a buffer with random bytes of the operating system.
fn random(buffer: &mut [u8]) {
    SystemEntropy.fill(buffer);
}

/// Reads a CID from an argument.
fn cid(text: &str) -> Result<Cid, String> {
    text.parse().map_err(|error| format!("not a CID: {error}"))
}

/// An error with its causes, as far as they say something new.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}\n  because: {more}");
        }
        cause = error.source();
    }
    text
}

/// The bytes that the store has under `cid`, whatever they are.
async fn stored(node: &Node, cid: &Cid) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
    if let Some(receipt) = ReceiptStore::get(&**node.store(), &ReceiptId::new(*cid)).await? {
        return Ok(Some(receipt.bytes().to_vec()));
    }
    Ok(BlockStore::get(&**node.store(), cid).await?.map(|bytes| bytes.to_vec()))
}
