use std::process::ExitCode;

use clap::Args;
use ipvm::Node;
use ipvm_workflow::{Forgotten, Refuted};
use ucan_core::Did;
use ucan_invocation::ReceiptId;

use super::Outcome;
use super::print::{Unprinted, plain_lines, say, say_json};

/// What `ipvm forget` takes.
#[derive(Debug, Args)]
pub(super) struct Forget {
    /// Whose receipts are taken out.
    signer: Did,
    /// Believes nothing more that they sign, either.
    #[arg(long)]
    quarantine: bool,
}

impl Forget {
    pub(super) async fn carry_out(self, node: &Node, json: bool) -> Outcome {
        let Self { signer, quarantine } = self;
        if quarantine {
            if signer.same_principal(node.state().node.did()) {
                return Err("this node cannot stop believing itself; forget its receipts without --quarantine".into());
            }
            node.state().put_in_quarantine(&signer)?;
        }
        let forgotten = node.engine().forget(&signer).await?;
        let Forgotten { receipts, effects } = &forgotten;
        if json {
            let line = serde_json::json!({
                "event": "forgotten", "signer": signer.to_string(), "receipts": texts(receipts), "effects": texts(effects),
            });
            say_json(&line.to_string())?;
        } else {
            say(&format!(
                "{} receipts were taken out; what they answered is computed again when it is asked for",
                receipts.len()
            ))?;
            for effect in effects {
                say(&format!(
                    "the effect of {effect} was had on the strength of these; see what follows: ipvm show {effect}"
                ))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn texts(ids: &[ReceiptId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Says that a receipt which was reused did not hold.
pub(super) fn report_refuted(json: bool, refuted: &Refuted) -> Result<(), Unprinted> {
    let Refuted { receipt, signer, error, forgotten } = refuted;
    let (receipts, effects) = match forgotten {
        Ok(forgotten) => (texts(&forgotten.receipts), texts(&forgotten.effects)),
        Err(_) => Default::default(),
    };
    if json {
        let line = serde_json::json!({
            "event": "refuted", "receipt": receipt.to_string(), "signer": signer.to_string(), "detail": error.to_string(),
            "receipts": receipts, "effects": effects,
        });
        return say_json(&line.to_string());
    }
    let taken_out = match forgotten {
        Ok(_) => format!("{} receipts were taken out of the store for it", receipts.len()),
        Err(error) => format!("not all that rests on it could be taken out of the store: {error}"),
    };
    let text = format!("refuted: {receipt}, signed by {signer}: {error}; {taken_out}");
    say(&plain_lines(&text))?;
    for effect in effects {
        say(&format!("the effect of {effect} was had on the strength of it"))?;
    }
    Ok(())
}
