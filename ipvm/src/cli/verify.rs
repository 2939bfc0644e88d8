use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Args;
use indicatif::ProgressBar;
use ipvm::{Node, file};
use ipvm_workflow::{Tally, Verification, VerifyError};
use ucan_core::Did;
use ucan_invocation::{Receipt, ReceiptId};

use super::print::{Unprinted, plain_lines, say, say_json, say_styled};
use super::{FAILED, Outcome, Refused, UNKNOWN, cid, stored};

/// What `ipvm verify` takes.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The receipt of a task or of a whole run: its CID, or a file that holds its token; - is standard input.
    #[arg(required_unless_present = "all")]
    receipt: Option<String>,
    /// Checks all receipts in the store that this node has signed, and those of whom --trust names.
    #[arg(long, conflicts_with = "receipt")]
    all: bool,
}

impl Verify {
    pub(super) async fn carry_out(self, node: &Node, trusted: &BTreeSet<Did>, json: bool) -> Outcome {
        let Some(name) = &self.receipt else { return whole_store(node, trusted, json).await };
        let bytes = read(name, node).await?;
        let problem = match Receipt::decode(bytes) {
            Err(error) => error.to_string(),
            Ok(receipt) => match node.engine().verify(receipt.clone()).await {
                Ok(Verification::Run) => return whole_run(node, name, receipt, json).await,
                Ok(verification) => {
                    report(json, name, true, &describe(&verification))?;
                    return Ok(ExitCode::SUCCESS);
                }
                Err(error) if error.refutes() => error.to_string(),
                Err(error) => return Err(format!("cannot tell whether the receipt holds: {error}").into()),
            },
        };
        report(json, name, false, &problem)?;
        Ok(ExitCode::from(FAILED))
    }
}

/// Checks the receipts of all tasks of a run.
async fn whole_run(node: &Node, receipt_name: &str, receipt: Receipt, json: bool) -> Outcome {
    let unprinted = Mutex::new(None);
    let observe = |label: &str, step: &Result<Verification, VerifyError>| {
        let said = match step {
            Ok(verification) => step_report(json, label, "holds", &describe(verification)),
            Err(error) if error.refutes() => step_report(json, label, "does not hold", &error.to_string()),
            Err(error) => step_report(json, label, "cannot be told", &error.to_string()),
        };
        if let (Err(error), Ok(mut unprinted)) = (said, unprinted.lock()) {
            unprinted.get_or_insert(error);
        }
    };
    let verified = match node.engine().verify_run(receipt, &observe).await {
        Ok(verified) => verified,
        Err(error) if error.refutes() => {
            report(json, receipt_name, false, &error.to_string())?;
            return Ok(ExitCode::from(FAILED));
        }
        Err(error) => return Err(format!("cannot tell whether the run holds: {error}").into()),
    };
    if let Some(error) = unprinted.into_inner().unwrap_or_default() {
        return Err(error.into());
    }
    conclude(json, receipt_name, &verified.tally())
}

/// Checks all receipts that the node and those whom it trusts signed, saying only of what does not hold.
async fn whole_store(node: &Node, trusted: &BTreeSet<Did>, json: bool) -> Outcome {
    let own = node.state().node.did();
    let progress = if json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let unprinted = Mutex::new(None);
    let observe = |id: &ReceiptId, verified: &Result<Verification, VerifyError>| {
        progress.inc(1);
        progress.set_message(format!("{} receipts checked", progress.position()));
        let Err(error) = verified else { return };
        let verdict = if error.refutes() { "does not hold" } else { "cannot be told" };
        let said = progress.suspend(|| step_report(json, &id.to_string(), verdict, &error.to_string()));
        if let (Err(error), Ok(mut unprinted)) = (said, unprinted.lock()) {
            unprinted.get_or_insert(error);
        }
    };
    let mut tally = Ok(Tally::default());
    for issuer in [own].into_iter().chain(trusted) {
        let Ok(sum) = &mut tally else { break };
        match node.engine().verify_issued(issuer, &observe).await {
            Ok(more) => *sum += more,
            Err(error) => tally = Err(error),
        }
    }
    progress.finish_and_clear();
    if let Some(error) = unprinted.into_inner().unwrap_or_default() {
        return Err(error.into());
    }
    conclude(json, own.as_ref(), &tally?)
}

async fn read(name: &str, node: &Node) -> Result<Vec<u8>, Refused> {
    if let Ok(cid) = cid(name) {
        let missing = || format!("the receipt {cid} is not in the store; is it from another --state?");
        return Ok(stored(node, &cid).await?.ok_or_else(missing)?);
    }
    file::read_bounded(Path::new(name), file::LARGEST)
        .map_err(|error| format!("{name:?} is neither a CID nor a file that can be read: {error}").into())
}

/// Says what came of many receipts.
fn conclude(json: bool, what: &str, tally: &Tally) -> Outcome {
    let Tally { reexecuted, attested, refuted, untold } = tally;
    let detail = format!(
        "of {} receipts, {reexecuted} gave the same when their tasks were run again, {attested} are attested, {refuted} do not \
         hold, and of {untold} it cannot be told",
        tally.all()
    );
    let status = match (refuted, untold) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => {
            step_report(json, what, "cannot be told", &detail)?;
            return Ok(ExitCode::from(UNKNOWN));
        }
        _ => ExitCode::from(FAILED),
    };
    report(json, what, *refuted == 0, &detail)?;
    Ok(status)
}

fn report(json: bool, receipt: &str, holds: bool, detail: &str) -> Result<(), Unprinted> {
    if json {
        return say_json(
            &serde_json::json!({"event": "verified", "receipt": receipt, "holds": holds, "detail": detail}).to_string(),
        );
    }
    let verdict =
        if holds { console::style("holds:").green().bold() } else { console::style("does not hold:").red().bold() };
    say_styled(&format!("{verdict} {}", plain_lines(detail)))
}

fn step_report(json: bool, what: &str, verdict: &str, detail: &str) -> Result<(), Unprinted> {
    if json {
        return say_json(
            &serde_json::json!({"event": "checked", "label": what, "verdict": verdict, "detail": detail}).to_string(),
        );
    }
    say(&format!("{what}: {verdict}: {detail}"))
}

fn describe(verification: &Verification) -> String {
    match verification {
        Verification::Reexecuted { fuel: Some(fuel) } => {
            format!(
                "the signature is genuine, and running the task again gave the same result for the same {fuel} units of fuel"
            )
        }
        Verification::Reexecuted { fuel: None } => {
            "the signature is genuine, and running the task again gave the same result".to_owned()
        }
        Verification::Attempt => {
            "the signature is genuine; it states what came of one attempt, which is no result".to_owned()
        }
        Verification::Attested { class } => {
            format!("the signature is genuine; tasks of the class {class:?} are not run again", class = class.name())
        }
        Verification::Run => {
            "the signature is genuine; this is the receipt of a whole run, whose tasks have receipts of their own"
                .to_owned()
        }
        _ => "the receipt holds".to_owned(),
    }
}
