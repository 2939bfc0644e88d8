//! Task configuration and the arguments of `/wasm/run`, as documents write them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use ipvm_task::{ArgsError, Bounds, ConfigError, Limits, Module, TaskConfig, Verification, WasmCall};
use ucan_core::{Ipld, block, dagjson};

fn json(text: &str) -> Ipld {
    dagjson::decode(text.as_bytes()).unwrap()
}

fn parse(text: &str) -> Result<TaskConfig, ConfigError> {
    TaskConfig::parse(&json(text))
}

#[test]
fn a_whole_configuration() {
    let config = parse(
        r#"{"secret": true, "check": "attestation", "gas": 5000, "time": [45, "minutes"], "memory": [500, "kilo", "bytes"]}"#,
    );
    let expected = TaskConfig {
        secret: Some(true),
        check: Some(Verification::Attestation),
        time: Some(Duration::from_secs(2700)),
        memory: Some(500_000),
        disk: None,
        gas: Some(5000),
    };
    assert_eq!(config.as_ref(), Ok(&expected));
    assert_eq!(TaskConfig::parse(&expected.to_ipld()), Ok(expected));
    assert_eq!(parse("{}"), Ok(TaskConfig::default()));
    assert_eq!(parse(r#"{"secret": null}"#), Ok(TaskConfig::default()));
    assert_eq!(parse(r#"{"check": "none"}"#).unwrap().check, Some(Verification::None));
}

#[test]
fn a_misspelt_field_is_told_from_the_one_that_was_meant() {
    let error = parse(r#"{"tiem": [5, "minutes"]}"#).unwrap_err();
    assert_eq!(error, ConfigError::UnknownField { name: "tiem".into(), nearest: Some("time".into()) });
    let error = parse(r#"{"check": "atestation"}"#).unwrap_err();
    assert_eq!(error.to_string(), "check: there is no strategy `atestation` (did you mean `attestation`?)");
}

#[test]
fn quantities_have_units() {
    let time = |quantity: &str| parse(&format!(r#"{{"time": {quantity}}}"#)).map(|config| config.time.unwrap());
    assert_eq!(time(r#"[400, "nano", "seconds"]"#), Ok(Duration::from_nanos(400)));
    assert_eq!(time(r#"[500, "milli", "seconds"]"#), Ok(Duration::from_millis(500)));
    assert_eq!(time(r#"[5, "deci", "seconds"]"#), Ok(Duration::from_millis(500)));
    assert_eq!(time(r#"[2, "hours"]"#), Ok(Duration::from_secs(7200)));
    assert_eq!(time(r#"[1, "weeks"]"#), Ok(Duration::from_secs(604_800)));
    assert_eq!(time(r#"[3000, "pico", "seconds"]"#), Ok(Duration::from_nanos(3)));
    assert_eq!(time(r#"[1, "pico", "seconds"]"#), Err(ConfigError::TooFine { field: "time" }));
    assert_eq!(time(r#"[-1, "seconds"]"#), Err(ConfigError::OutOfRange { field: "time" }));
    assert_eq!(time(r#"[1000000000000000, "exa", "years"]"#), Err(ConfigError::OutOfRange { field: "time" }));
    let error = time(r#"[5, "minute"]"#).unwrap_err();
    assert_eq!(error.to_string(), "time: there is no unit or prefix `minute` here (did you mean `minutes`?)");
    assert!(matches!(time(r#"[5, "bytes"]"#), Err(ConfigError::UnknownUnit { .. })));
    assert!(matches!(time(r#"[5, "Milli", "seconds"]"#), Err(ConfigError::UnknownUnit { .. })));
    for shape in
        ["5", r#""5 minutes""#, "[5]", r#"[0.5, "seconds"]"#, r#"["milli", "seconds"]"#, r#"[1, "a", "b", "c"]"#]
    {
        assert!(matches!(time(shape), Err(ConfigError::Kind { field: "time", .. })), "{shape}");
    }

    let memory = |quantity: &str| parse(&format!(r#"{{"memory": {quantity}}}"#)).map(|config| config.memory.unwrap());
    assert_eq!(memory(r#"[10, "mega", "bytes"]"#), Ok(10_000_000));
    assert_eq!(memory(r#"[16, "bits"]"#), Ok(2));
    assert_eq!(memory(r#"[2, "kilo", "nibbles"]"#), Ok(1000));
    assert_eq!(memory(r#"[12, "exa", "bytes"]"#), Ok(12_000_000_000_000_000_000));
    assert_eq!(memory(r#"[378, "exa", "bytes"]"#), Err(ConfigError::OutOfRange { field: "memory" }));
    assert_eq!(memory(r#"[3, "bits"]"#), Err(ConfigError::TooFine { field: "memory" }));
}

#[test]
fn task_over_defaults_over_engine_within_its_ceiling() {
    let defaults = parse(r#"{"gas": 1000, "memory": [1, "mega", "bytes"], "secret": true}"#).unwrap();
    let task = parse(r#"{"gas": 7, "time": [5, "seconds"], "secret": false}"#).unwrap();
    let merged = task.over(&defaults);
    assert_eq!(merged.secret, Some(false));
    let bounds = Bounds::default();
    let expected = Limits { fuel: 7, memory: 1_000_000, time: Duration::from_secs(5), output: bounds.default.output };
    assert_eq!(merged.limits(&bounds), Ok(expected));
    assert_eq!(TaskConfig::default().limits(&bounds), Ok(bounds.default));

    let error = parse(r#"{"time": [2, "hours"]}"#).unwrap().limits(&bounds).unwrap_err();
    assert_eq!(error.to_string(), "time: 7200s is more than this engine's ceiling of 3600s");
    assert_eq!(error.field(), Some("time"));
    // A default above the ceiling is no way around it.
    let low = Bounds { ceiling: Limits { fuel: 5, ..bounds.ceiling }, ..bounds };
    assert_eq!(TaskConfig::default().limits(&low).unwrap().fuel, 5);
}

const CID: &str = "bafkreicgincymfzzumcqcrpmquyildzqppa3s2gv3scfy2csaqpgqpp7ke";

#[test]
fn a_module_is_a_link_or_a_url() {
    let call = |module: &str| WasmCall::parse(&json(&format!(r#"{{"mod": {module}, "fun": "f", "params": [1]}}"#)));
    let link = call(&format!(r#"{{"/": "{CID}"}}"#)).unwrap();
    assert_eq!(link.module, Module::Link(CID.parse().unwrap()));
    assert_eq!(link.fun, "f");
    assert_eq!(link.params, Ipld::List(vec![Ipld::Integer(1)]));
    let ipfs = call(&format!(r#""ipfs://{CID}""#)).unwrap();
    assert_eq!(ipfs.module, Module::Ipfs(CID.parse().unwrap()));
    assert_eq!(ipfs.module.cid(), link.module.cid());
    let inline = call(r#""data:application/wasm;base64,AGFzbQ==""#).unwrap();
    assert_eq!(inline.module.inline(), Some(&b"\0asm"[..]));
    assert_eq!(inline.module.cid(), block::raw_cid(b"\0asm"));
    for call in [link, ipfs, inline] {
        assert_eq!(WasmCall::parse(&call.to_args()), Ok(call));
    }
    for bad in [
        r#""data:application/wasm;base64,AGFzbQ""#,
        r#""data:application/wasm;base64,?""#,
        r#""ipfs://nonsense""#,
        r#""https://example.com/words.wasm""#,
        "1",
        &format!(r#""{CID}""#),
        &format!(r#""ipfs://{CID}/path""#),
    ] {
        assert!(matches!(call(bad), Err(ArgsError::Module { .. })), "{bad}");
    }
}

#[test]
fn other_arguments_are_refused() {
    let parse = |text: &str| WasmCall::parse(&json(&text.replace("CID", CID)));
    assert!(parse(r#"{"mod": {"/": "CID"}, "fun": "f", "params": {"a": 1}}"#).is_ok());
    assert_eq!(parse(r#"{"mod": {"/": "CID"}, "fun": "f"}"#), Err(ArgsError::Missing { name: "params" }));
    assert_eq!(parse(r#"{"fun": "f", "params": []}"#), Err(ArgsError::Missing { name: "mod" }));
    assert!(matches!(parse(r#"{"mod": {"/": "CID"}, "fun": 1, "params": []}"#), Err(ArgsError::Fun { .. })));
    assert!(matches!(parse(r#"{"mod": {"/": "CID"}, "fun": "f", "params": 1}"#), Err(ArgsError::Params { .. })));
    let error = parse(r#"{"mod": {"/": "CID"}, "func": "f", "params": []}"#).unwrap_err();
    assert_eq!(error.to_string(), "there is no argument `func` (did you mean `fun`?)");
    assert!(matches!(parse("[]"), Err(ArgsError::NotAMap { .. })));
}
