//! What the command line says, and who carries it out.

mod conformance;
mod display;
mod run;
mod show;
mod verify;

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ipvm::{Node, NodeError, NodeOptions};
use ipvm_workflow::RunError;
use tracing_subscriber::filter::LevelFilter;
use ucan_core::Cid;
use ucan_invocation::{BlockStore, ReceiptId, ReceiptStore};

/// Runs workflows of content-addressed tasks: signed, memoized, verifiable.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The folder with keys, delegations and the store; it is set up on first use.
    #[arg(long, global = true, env = "IPVM_STATE", default_value = ".ipvm", value_name = "FOLDER")]
    state: PathBuf,
    /// The folder in which workflows write results [default: the folder "output" in the state folder].
    #[arg(long, global = true, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Prints one JSON object a line, for programs.
    #[arg(long, global = true)]
    json: bool,
    /// What to log on standard error: off, error, warn, info, debug or trace.
    #[arg(long, global = true, env = "IPVM_LOG", default_value = "error", value_name = "LEVEL")]
    log: LevelFilter,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a workflow; what is known already is reused.
    Run(run::Run),
    /// Checks a receipt: its signature, and its result by running the task again.
    Verify(verify::Verify),
    /// Prints a stored token, task, receipt or workflow as DAG-JSON.
    Show(show::Show),
    /// Answers conformance requests, JSON lines from standard input (docs/conformance.md).
    Conformance(conformance::Conformance),
}

/// What came of a command: the exit status, where it was carried out.
type Outcome = Result<ExitCode, Box<dyn Error + Send + Sync>>;

/// A task failed, or a receipt does not hold.
const FAILED: u8 = 1;
/// The command was not carried out.
const REFUSED: u8 = 2;
/// Tasks had started when something else than a task failed.
const CUT_OFF: u8 = 3;

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
        let text = chain(&*error);
        if json {
            say(&serde_json::json!({"event": "error", "message": text}).to_string());
        }
        eprintln!("{} {text}", console::style("error:").red().bold().for_stderr());
        ExitCode::from(if was_cut_off(&*error) { CUT_OFF } else { REFUSED })
    })
}

fn was_cut_off(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(NodeError::Run(RunError::CutOff(_))))
}

/// Prints a line. A reader that has gone away is no reason to stop, or to complain.
fn say(text: &str) {
    let _reader_gone = writeln!(std::io::stdout(), "{text}");
}

async fn carry_out(arguments: Arguments) -> Outcome {
    let Arguments { state, output, json, command, log: _ } = arguments;
    let open = || Node::open(&NodeOptions { state, output });
    match command {
        Command::Run(run) => run.carry_out(open, json).await,
        Command::Verify(verify) => verify.carry_out(&open()?, json).await,
        Command::Show(show) => show.carry_out(&open()?).await,
        Command::Conformance(conformance) => conformance.carry_out(),
    }
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
