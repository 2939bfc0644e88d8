//! Every example does what it says.

use std::collections::BTreeSet;

use ucan_core::Token;

#[path = "../distributed_invocation.rs"]
mod distributed_invocation;
#[path = "../own_handler.rs"]
mod own_handler;
#[path = "../reverse_lookup.rs"]
mod reverse_lookup;
#[path = "../revocation.rs"]
mod revocation;
#[path = "../telemetry.rs"]
mod telemetry;

#[tokio::test]
async fn distributed_invocation_leaves_what_was_asked_for() -> Result<(), Box<dyn std::error::Error>> {
    let launch = distributed_invocation::launch().await?;
    assert_eq!(launch.requests, 3, "one request for each executor");
    assert_eq!(launch.record, ["go"]);
    assert_eq!(launch.receipts.len(), 4);
    let executors: BTreeSet<&str> = launch.receipts.iter().map(|(_, receipt)| receipt.issuer().principal()).collect();
    assert_eq!(executors.len(), 3);
    for (invocation, receipt) in &launch.receipts {
        assert!(receipt.outcome().is_ok(), "{:?}", receipt.outcome());
        assert_eq!(*receipt.ran(), invocation.task().id()?);
        assert!(receipt.issuer().same_principal(invocation.executor()));
    }
    let recipients: BTreeSet<&str> = launch.mails.iter().flat_map(|(to, _)| to).map(String::as_str).collect();
    assert_eq!(launch.mails.len(), 2);
    assert_eq!(recipients, ["bob@example.com", "carol@example.com"].into());
    for (to, mail) in &launch.mails {
        assert!(mail.contains("launch.example.com. TXT \"go\""), "what came of the update is in the mail: {mail}");
        let id = mail.lines().find_map(|line| line.strip_prefix("Message-ID: ")).ok_or("the mail has no id")?;
        let told = format!("- told {} ({})", to.join(","), id.trim());
        assert!(launch.report.contains(&told), "what came of the mail is in the report: {}", launch.report);
    }
    assert!(launch.report.starts_with("Launched\n"));
    Ok(())
}

#[test]
fn distributed_invocation_runs() -> Result<(), Box<dyn std::error::Error>> {
    distributed_invocation::main()
}

#[test]
fn own_handler_runs() -> Result<(), Box<dyn std::error::Error>> {
    own_handler::main()
}

#[test]
fn revocation_runs() -> Result<(), Box<dyn std::error::Error>> {
    revocation::main()
}

#[test]
fn telemetry_runs() -> Result<(), Box<dyn std::error::Error>> {
    telemetry::main()
}

#[test]
fn reverse_lookup_runs() -> Result<(), Box<dyn std::error::Error>> {
    reverse_lookup::main()
}
