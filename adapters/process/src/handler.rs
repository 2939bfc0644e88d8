use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use ucan_core::{Did, Ipld};
use ucan_invocation::{Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task};

use crate::arguments::{Arguments, mismatch};

/// The command that runs a program. Its arguments are `{program, args?: [String], stdin?: String | Bytes}`; it answers
/// `{stdout: Bytes, stderr: Bytes}`.
pub const RUN_COMMAND: &str = "/process/run";

/// How many bytes a program may write to either of its outputs, unless the operator says otherwise.
const OUTPUT: usize = 1 << 20;

/// Runs the programs that an operator names, for whoever was given that authority by their owner.
///
/// Its effect class is mutable: a program can do whatever the user can under whom the node runs. Nothing is run by default. A program
/// gets its arguments as they are, with no shell in between, no environment, and the folder that the operator says. It is killed when
/// the time that the task is given is over, or when it writes too much; what it started itself may live on.
#[derive(Clone, Debug)]
pub struct ProcessHandler {
    owner: Did,
    folder: PathBuf,
    programs: BTreeMap<String, PathBuf>,
    output: usize,
}

impl ProcessHandler {
    /// A handler for tasks whose subject is `owner`, of no program yet; programs run in `folder`.
    #[must_use]
    pub fn new(owner: Did, folder: impl Into<PathBuf>) -> Self {
        Self { owner, folder: folder.into(), programs: BTreeMap::new(), output: OUTPUT }
    }

    /// Runs the program at `path`, which is absolute, by this name.
    #[must_use]
    pub fn with_program(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.programs.insert(name.into(), path.into());
        self
    }

    /// Kills a program that writes more than so many bytes to either of its outputs: 1 MiB, unless it is said.
    #[must_use]
    pub fn with_output_limit(mut self, bytes: usize) -> Self {
        self.output = bytes;
        self
    }

    fn read(&self, task: &Task) -> Result<Arguments, Failure> {
        if !task.subject().same_principal(&self.owner) {
            let message =
                format!("the programs belong to {}, and the task's subject is {}", self.owner, task.subject());
            return Err(Failure::new("WrongSubject", message));
        }
        let arguments = Arguments::read(task)?;
        if let Some(name) = &arguments.program {
            self.path(name)?;
        }
        Ok(arguments)
    }

    fn path(&self, name: &str) -> Result<&PathBuf, Failure> {
        self.programs.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.programs.keys().map(String::as_str).collect();
            Failure::new("NoSuchProgram", format!("no program {name:?} is run here; there are: {}", known.join(", ")))
        })
    }

    async fn run(&self, call: &Call) -> Result<Ipld, Failure> {
        let Arguments { program: Some(program), args: Some(args), stdin: Some(input) } = self.read(call.task())? else {
            return Err(mismatch("an argument is a promise"));
        };
        let mut command = Command::new(self.path(&program)?);
        command.args(args).env_clear().current_dir(&self.folder).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = command.spawn();
        let mut child =
            started.map_err(|error| Failure::new("NotStarted", format!("{program} cannot be started: {error}")))?;
        let ended = self.attend(&mut child, input).await;
        if ended.is_err() {
            // Dropping it kills it as well, and waits for nothing.
            let _gone = child.kill().await;
        }
        let (status, stdout, stderr) = ended?;
        if status.success() {
            let outputs = [("stdout", stdout), ("stderr", stderr)];
            return Ok(Ipld::Map(outputs.map(|(name, bytes)| (name.to_owned(), Ipld::Bytes(bytes))).into()));
        }
        let failure = Failure::new("Exited", format!("{program} ended with {status}"));
        let failure = failure.with("stdout", Ipld::Bytes(stdout)).with("stderr", Ipld::Bytes(stderr));
        Err(match status.code() {
            Some(code) => failure.with("status", Ipld::Integer(code.into())),
            None => failure,
        })
    }

    /// Gives a program what it is to read, takes what it writes, and waits for its end.
    async fn attend(&self, child: &mut Child, input: Vec<u8>) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), Failure> {
        let lost = |error: std::io::Error| Failure::new("Lost", format!("it cannot be told what it does: {error}"));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program need not read all that it is given.
                let _unread = stdin.write_all(&input).await;
            }
            Ok(())
        };
        let (stdout, stderr) = (bounded(stdout, self.output, "stdout"), bounded(stderr, self.output, "stderr"));
        let ((), stdout, stderr) = tokio::try_join!(write, stdout, stderr)?;
        Ok((child.wait().await.map_err(lost)?, stdout, stderr))
    }
}

/// What a program writes to one of its outputs, up to its end.
async fn bounded(output: Option<impl AsyncRead + Unpin>, most: usize, name: &str) -> Result<Vec<u8>, Failure> {
    let mut written = Vec::new();
    let Some(output) = output else { return Ok(written) };
    let read = output.take(most as u64 + 1).read_to_end(&mut written).await;
    read.map_err(|error| Failure::new("Lost", format!("its {name} cannot be read: {error}")))?;
    if written.len() > most {
        return Err(Failure::new("OutputTooLarge", format!("it wrote more than {most} bytes to its {name}")));
    }
    Ok(written)
}

#[async_trait]
impl Handler for ProcessHandler {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Mutable
    }

    async fn check(&self, task: &Task, _: &Config) -> Result<(), Failure> {
        self.read(task).map(drop)
    }

    async fn handle(&self, call: &Call) -> Completion {
        Completion::new(self.run(call).await.map_or_else(Into::into, Outcome::Ok))
    }
}
