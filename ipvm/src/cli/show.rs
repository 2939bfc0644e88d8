use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ipvm::Node;
use ucan_core::{Cid, block, dagcbor, dagjson};

use super::print::{say, say_json};
use super::{Outcome, cid, stored};

/// What `ipvm show` takes.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// What to show.
    #[arg(value_parser = cid)]
    cid: Cid,
    /// Writes the bytes to a file instead.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

impl Show {
    pub(super) async fn carry_out(self, node: &Node) -> Outcome {
        let Self { cid, save } = self;
        let Some(bytes) = stored(node, &cid).await? else {
            return Err(
                format!("{cid} is not in the store; what a run prints can be shown with the same --state").into()
            );
        };
        if let Some(path) = save {
            std::fs::write(&path, &bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        if cid.codec() == block::DAG_CBOR {
            say_json(&dagjson::encode_pretty(&dagcbor::decode(&bytes)?))?;
        } else {
            say(&format!("{} bytes without structure; --save FILE writes them to a file", bytes.len()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
