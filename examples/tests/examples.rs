//! Every example does what it says.

#[path = "../own_handler.rs"]
mod own_handler;
#[path = "../revocation.rs"]
mod revocation;

#[test]
fn own_handler_runs() -> Result<(), Box<dyn std::error::Error>> {
    own_handler::main()
}

#[test]
fn revocation_runs() -> Result<(), Box<dyn std::error::Error>> {
    revocation::main()
}
