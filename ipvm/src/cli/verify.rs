use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use ipvm::{Node, file};
use ipvm_workflow::Verification;
use ucan_invocation::Receipt;

use super::print::{Unprinted, plain_lines, say_json, say_styled};
use super::{FAILED, Outcome, cid, stored};

/// What `ipvm verify` takes.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The receipt: its CID, or a file that holds its token; - is standard input.
    receipt: String,
}

impl Verify {
    pub(super) async fn carry_out(self, node: &Node, json: bool) -> Outcome {
        let bytes = self.bytes(node).await?;
        let problem = match Receipt::decode(bytes) {
            Err(error) => error.to_string(),
            Ok(receipt) => match node.engine().verify(receipt).await {
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
