//! Every example does what it says.

#[path = "../own_handler.rs"]
mod own_handler;

#[test]
fn own_handler_runs() -> Result<(), Box<dyn std::error::Error>> {
    own_handler::main()
}
