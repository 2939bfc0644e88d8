use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Args;
use ipvm::{Node, file};
use ipvm_workflow::{Verification, VerifyError};
use ucan_invocation::Receipt;

use super::print::{Unprinted, plain_lines, say, say_json, say_styled};
use super::{FAILED, Outcome, UNKNOWN, cid, stored};

/// What `ipvm verify` takes.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The receipt of a task or of a whole run: its CID, or a file that holds its token; - is standard input.
    receipt: String,
}

impl Verify {
    pub(super) async fn carry_out(self, node: &Node, json: bool) -> Outcome {
        let bytes = self.bytes(node).await?;
        let problem = match Receipt::decode(bytes) {
            Err(error) => error.to_string(),
            Ok(receipt) => match node.engine().verify(receipt.clone()).await {
                Ok(Verification::Run) => return self.whole_run(node, receipt, json).await,
                Ok(verification) => {
                    report(json, &self.receipt, true, &describe(&verification))?;
                    return Ok(ExitCode::SUCCESS);
                }
                Err(error) if error.refutes() => error.to_string(),
                Err(error) => return Err(format!("cannot tell whether the receipt holds: {error}").into()),
            },
        };
        report(json, &self.receipt, false, &problem)?;
        Ok(ExitCode::from(FAILED))
    }

    /// Checks the receipts of all tasks of a run.
    async fn whole_run(&self, node: &Node, receipt: Receipt, json: bool) -> Outcome {
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
                report(json, &self.receipt, false, &error.to_string())?;
                return Ok(ExitCode::from(FAILED));
            }
            Err(error) => return Err(format!("cannot tell whether the run holds: {error}").into()),
        };
        if let Some(error) = unprinted.into_inner().unwrap_or_default() {
            return Err(error.into());
        }
        let (all, refuted, untold) = (verified.steps.len(), verified.refuted(), verified.untold());
        let detail = format!(
            "of the receipts of {all} tasks, {} gave the same when they were run again, {} are attested, {refuted} do not hold, \
             and of {untold} it cannot be told",
            verified.reexecuted(),
            all - verified.reexecuted() - refuted - untold,
        );
        match (refuted, untold) {
            (0, 0) => report(json, &self.receipt, true, &detail).map(|()| Ok(ExitCode::SUCCESS))?,
            (0, _) => {
                step_report(json, &self.receipt, "cannot be told", &detail)?;
                Ok(ExitCode::from(UNKNOWN))
            }
            _ => report(json, &self.receipt, false, &detail).map(|()| Ok(ExitCode::from(FAILED)))?,
        }
    }

    async fn bytes(&self, node: &Node) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        if let Ok(cid) = cid(&self.receipt) {
            let missing = || format!("the receipt {cid} is not in the store; is it from another --state?");
            return Ok(stored(node, &cid).await?.ok_or_else(missing)?);
        }
        let path = Path::new(&self.receipt);
        file::read_bounded(path, file::LARGEST)
            .map_err(|error| format!("{:?} is neither a CID nor a file that can be read: {error}", self.receipt).into())
    }
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
