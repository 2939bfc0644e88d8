//! Every example does what it says.

#[path = "../own_handler.rs"]
mod own_handler;
#[path = "../reverse_lookup.rs"]
mod reverse_lookup;
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

#[test]
fn reverse_lookup_runs() -> Result<(), Box<dyn std::error::Error>> {
    reverse_lookup::main()
}
