use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use ipld_wit::{Signature, Type, from_wave, to_wave, wit_text};
use ipvm::file;
use ipvm_task::{
    CallError, Compat, Component, Executed, Execution, Inputs, Limits, Params, Runtime, WasmtimeOptions,
    WasmtimeRuntime,
};
use ucan_core::{Cid, Ipld, StoreError, block, dagjson};

use super::print::{complain, mention, say, say_json};
use super::{FAILED, Outcome, Refused};

/// What `ipvm wasm` takes.
#[derive(Debug, Args)]
pub(super) struct Wasm {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Tells what a component is: its functions, what it asks of its host, and how its values look.
    Inspect(Inspect),
    /// Calls a function of a component, without keys, tokens or a store.
    Call(Call),
}

#[derive(Debug, Args)]
struct Inspect {
    /// The component, or a core module that has the types of one.
    file: PathBuf,
    /// Shows the values of the functions as a schema in the place of WIT.
    #[arg(long, value_enum, value_name = "KIND")]
    schema: Option<Schema>,
}

#[derive(Debug, Args)]
struct Call {
    /// The component, or a core module that has the types of one.
    file: PathBuf,
    /// The function: its name, or interface#name for one of an interface.
    fun: String,
    /// The arguments, in order, as WAVE: 3, "text", [1, 2], {x: 1, y: 2}, some(3), ok("done").
    #[arg(allow_hyphen_values = true, conflicts_with = "params")]
    args: Vec<String>,
    /// All arguments at once, as DAG-JSON: a list, or an object by the names of the parameters. The result is then DAG-JSON, too.
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// Files that are at hand as blocks, for a component that reads those that its arguments link to.
    #[arg(long = "block", value_name = "FILE")]
    blocks: Vec<PathBuf>,
    /// The most fuel that the call may use.
    #[arg(long, default_value_t = Limits::STANDARD.fuel, value_name = "UNITS")]
    fuel: u64,
    /// The most memory that it may take, in bytes.
    #[arg(long, default_value_t = Limits::STANDARD.memory, value_name = "BYTES")]
    memory: u64,
    /// The most time that it may take, in seconds.
    #[arg(long, default_value_t = Limits::STANDARD.time.as_secs(), value_name = "SECONDS")]
    time: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Schema {
    /// IPLD Schema.
    Ipld,
    /// JSON Schema of the DAG-JSON form.
    Json,
}

/// A component that was read from a file.
struct Read {
    component: Arc<dyn Component>,
    runtime: WasmtimeRuntime,
    cid: Cid,
    size: usize,
}

impl Read {
    fn file(path: &Path, compat: Option<Compat>) -> Result<Self, Refused> {
        let runtime = WasmtimeRuntime::new(&WasmtimeOptions { compat, ..WasmtimeOptions::default() })?;
        let wasm = file::read_bounded(path, file::LARGEST).map_err(|error| format!("{}: {error}", path.display()))?;
        let cid = block::raw_cid(&wasm);
        let component = runtime.prepare(&cid, &wasm).map_err(|error| {
            let hint = error.hint().map_or_else(String::new, |hint| format!("\n  {hint}"));
            format!("{}: {error}{hint}", path.display())
        })?;
        Ok(Self { component, runtime, cid, size: wasm.len() })
    }
}

impl Wasm {
    pub(super) fn carry_out(self, compat: Option<Compat>, json: bool) -> Outcome {
        match self.command {
            Verb::Inspect(inspect) => inspect.carry_out(compat, json),
            Verb::Call(call) => call.carry_out(compat, json),
        }
    }
}

impl Inspect {
    fn carry_out(self, compat: Option<Compat>, json: bool) -> Outcome {
        let Read { component, runtime, cid, size } = Read::file(&self.file, compat)?;
        let exports = component.exports();
        let (imports, refused) = (component.imports(), component.uncallable());
        if json {
            let functions = exports.iter().map(|(name, signature)| {
                serde_json::json!({
                    "name": name,
                    "type": signature.to_string(),
                    "schema": ipld_json(&signature.json_schema()),
                    "ipldSchema": signature.ipld_schema(&type_name(name)),
                })
            });
            let refused =
                refused.iter().map(|(name, why)| serde_json::json!({"name": name, "reason": why.to_string()}));
            let told = serde_json::json!({
                "event": "component",
                "cid": cid.to_string(),
                "bytes": size,
                "pure": imports.is_empty(),
                "imports": imports,
                "profile": runtime.profile().cid().to_string(),
                "exports": functions.collect::<Vec<_>>(),
                "notCallable": refused.collect::<Vec<_>>(),
                "wit": wit_text(exports.iter().copied()),
            });
            say_json(&told.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        match self.schema {
            Some(Schema::Json) => {
                for (name, signature) in exports {
                    say(&format!("{name}: {}", dagjson::encode_pretty(&signature.json_schema())))?;
                }
            }
            Some(Schema::Ipld) => {
                for (name, signature) in exports {
                    say(&format!("# {name}\n{}", signature.ipld_schema(&type_name(name))))?;
                }
            }
            None => {
                let asks = match imports {
                    [] => "nothing: it is pure".to_owned(),
                    imports => imports.join(", "),
                };
                say(&format!("component  {cid}\nbytes      {size}\nimports    {asks}"))?;
                for (name, why) in refused {
                    say(&format!("not callable  {name}: {why}"))?;
                }
                say(&format!("\n{}", wit_text(exports).trim_end()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A name for the types of a schema: `ns:pkg/api@1.0.0#add-one` is `NsPkgApi100AddOne`.
fn type_name(function: &str) -> String {
    let words = function.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

impl Call {
    fn carry_out(self, compat: Option<Compat>, json: bool) -> Outcome {
        let Read { component, .. } = Read::file(&self.file, compat)?;
        let limits =
            Limits { fuel: self.fuel, memory: self.memory, time: Duration::from_secs(self.time), ..Limits::STANDARD };
        let fun = &self.fun;
        let signature = component.signature(fun).map_err(|error| hinted(&CallError::from(error)))?;
        let params = match &self.params {
            Some(params) => dagjson::decode(params.as_bytes()).map_err(|error| format!("--params: {error}"))?,
            None => Ipld::List(read_args(&self.args, fun, signature)?),
        };
        let inputs = Files::read(&self.blocks)?;
        let execution = Execution::new(fun, Params::Ipld(&params), &limits).with_inputs(Arc::new(inputs));
        let Executed { result, trace, reads, .. } = component.execute(&execution);
        if !json {
            for line in trace.lines() {
                let context = if line.context.is_empty() { String::new() } else { format!("{}: ", line.context) };
                mention(&format!("{}: {context}{}", line.to, line.text));
            }
        }
        let completion = match result {
            Ok(completion) => completion,
            // It never started.
            Err(error @ (CallError::ArgumentMismatch(_) | CallError::Export(_))) => return Err(hinted(&error).into()),
            Err(error) => {
                if json {
                    let failed = serde_json::json!({
                        "event": "failed", "fun": fun, "name": error.name(), "message": error.to_string(),
                        "trace": ipld_json(&trace.to_ipld()),
                    });
                    say_json(&failed.to_string())?;
                }
                complain(&hinted(&error));
                return Ok(ExitCode::from(FAILED));
            }
        };
        let output = &completion.output;
        if json {
            let done = serde_json::json!({
                "event": "result",
                "fun": fun,
                "value": ipld_json(output),
                "fuel": completion.fuel,
                "instantiation": completion.instantiation_fuel,
                "trace": ipld_json(&trace.to_ipld()),
                "reads": reads.iter().map(ToString::to_string).collect::<Vec<_>>(),
            });
            say_json(&done.to_string())?;
        } else {
            let wave = signature.result.as_ref().filter(|_| self.params.is_none() && compat.is_none());
            match wave {
                Some(ty) => say(&to_wave(output, ty)?)?,
                None if signature.result.is_none() => {}
                None => say(&dagjson::encode(output))?,
            }
            mention(&format!("fuel: {}", completion.fuel));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads arguments by the types of the parameters.
fn read_args(args: &[String], fun: &str, signature: &Signature) -> Result<Vec<Ipld>, Refused> {
    if args.len() != signature.params.len() {
        let (given, wanted) = (args.len(), signature.params.len());
        return Err(format!("{fun} takes {wanted} arguments, and {given} were given: {signature}").into());
    }
    let read = |(text, (name, ty)): (&String, &(String, Type))| {
        from_wave(text, ty).map_err(|error| {
            let hint = if *ty == Type::String && !text.starts_with('"') {
                format!("\n  a string is written with quotes, which the shell takes away: '\"{text}\"'")
            } else {
                String::new()
            };
            format!("the argument {name}: {error}{hint}").into()
        })
    };
    args.iter().zip(&signature.params).map(read).collect()
}

fn hinted(error: &CallError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}\n  {hint}"),
        None => error.to_string(),
    }
}

fn ipld_json(ipld: &Ipld) -> serde_json::Value {
    // What is written as DAG-JSON is JSON.
    serde_json::from_str(&dagjson::encode(ipld)).unwrap_or_default()
}

/// Files that are blocks of the raw codec, or of dag-cbor.
#[derive(Debug)]
struct Files(Vec<bytes::Bytes>);

impl Files {
    fn read(paths: &[PathBuf]) -> Result<Self, Refused> {
        let read = |path: &PathBuf| {
            let bytes = file::read_bounded(path, file::LARGEST);
            Ok(bytes.map_err(|error| format!("{}: {error}", path.display()))?.into())
        };
        paths.iter().map(read).collect::<Result<_, Refused>>().map(Self)
    }
}

impl Inputs for Files {
    fn block(&self, cid: &Cid) -> Result<Option<bytes::Bytes>, StoreError> {
        Ok(self.0.iter().find(|bytes| block::verify(cid, bytes).is_ok()).cloned())
    }
}
