use std::process::ExitCode;

use clap::Args;
use ipvm::conformance::serve;

use super::Outcome;

/// What `ipvm conformance` takes.
#[derive(Debug, Args)]
pub(super) struct Conformance {}

impl Conformance {
    pub(super) fn carry_out(&self) -> Outcome {
        serve(std::io::stdin().lock(), std::io::stdout().lock())
            .map_err(|error| format!("the conversation broke off: {error}"))?;
        Ok(ExitCode::SUCCESS)
    }
}
