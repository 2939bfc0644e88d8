//! Workflows of other engines.

use std::collections::BTreeMap;
use std::path::{Component as Part, Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ipvm::homestar::{self, Component, Note};
use ipvm::{Format, Source, Text, file};
use ucan_core::{Cid, block, dagjson};

use super::pointed::{self, Pointed};
use super::print::{say, say_json, warn, write_out};
use super::{Outcome, Refused};

/// What `ipvm import` takes.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The workflow of homestar 0.2, a file of JSON.
    workflow: PathBuf,
    /// The file of a component that the workflow names: it is listed beside the document, so that a run finds it. Where the workflow names it
    /// otherwise than by the hash of its bytes, say for which CID it stands. Can be given several times.
    #[arg(long = "module", value_name = "[CID=]FILE", value_parser = module)]
    modules: Vec<(Option<Cid>, PathBuf)>,
    /// Writes YAML; without it, JSON, unless the name of the output ends in .yaml or .yml.
    #[arg(long)]
    yaml: bool,
    /// The file to make, which must not be there yet [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap takes what may fail")]
fn module(text: &str) -> Result<(Option<Cid>, PathBuf), String> {
    let named = text.split_once('=').and_then(|(cid, file)| Some((cid.parse().ok()?, file)));
    Ok(named.map_or_else(|| (None, text.into()), |(cid, file)| (Some(cid), file.into())))
}

impl Import {
    pub(super) fn carry_out(self, json: bool) -> Outcome {
        let text = Source::text(&self.workflow)?;
        let components = self.components()?;
        let imported = homestar::import(&text.value()?, &components).map_err(|error| {
            let spot = text.spot(&error.place).into_iter().collect();
            Pointed::at(format!("{} is not carried over: {error}", self.workflow.display()).into(), spot)
        })?;
        let listed = imported.document.meta().get("blocks");
        if let Some((cid, _)) = components.iter().find(|(_, component)| !lists(listed, &component.file)) {
            return Err(format!("no task of {} is done by the component {cid}", self.workflow.display()).into());
        }
        let format = match &self.output {
            _ if self.yaml => Format::Yaml,
            Some(output) => Format::of(output),
            None => Format::Json,
        };
        let document = imported.document.to_ipld();
        if let Some(output) = &self.output {
            file::write_new(output, format.encode(&document).as_bytes(), false)
                .map_err(|error| format!("cannot write {}: {error}", output.display()))?;
        }
        let tasks = imported.document.tasks().len();
        if json {
            for note in &imported.notes {
                say_json(&in_json(note, &text).to_string())?;
            }
            let output = self.output.as_ref().map(|output| output.display().to_string());
            let document: serde_json::Value = serde_json::from_str(&dagjson::encode(&document))?;
            let line = serde_json::json!({"event": "imported", "tasks": tasks, "output": output, "document": document});
            say_json(&line.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        for note in &imported.notes {
            warn(&for_people(note, &text));
        }
        match &self.output {
            Some(output) => {
                let output = output.display();
                say(&format!("{output}: {tasks} tasks; to run it: ipvm --compat homestar run {output}"))?;
            }
            None => write_out(format.encode(&document).as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The components at hand, by the CIDs that the workflow has for them.
    fn components(&self) -> Result<BTreeMap<Cid, Component>, Refused> {
        let folder = self.output.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let mut components = BTreeMap::new();
        for (named, path) in &self.modules {
            let bytes = file::read_bounded(path, file::LARGEST)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let cid = block::raw_cid(&bytes);
            let named = named.unwrap_or(cid);
            if named != cid && named.codec() == cid.codec() {
                return Err(format!("{} has the CID {cid}, and is not {named}", path.display()).into());
            }
            components.insert(named, Component { cid, file: relative(folder, path)? });
        }
        Ok(components)
    }
}

fn lists(blocks: Option<&ucan_core::Ipld>, file: &str) -> bool {
    let is_it = |block: &ucan_core::Ipld| matches!(block, ucan_core::Ipld::String(listed) if listed == file);
    matches!(blocks, Some(ucan_core::Ipld::List(blocks)) if blocks.iter().any(is_it))
}

/// The way from a folder to a file.
fn relative(folder: &Path, file: &Path) -> Result<String, Refused> {
    let real = |path: &Path| {
        let path = if path == Path::new("") { Path::new(".") } else { path };
        path.canonicalize().map_err(|error| format!("cannot find {}: {error}", path.display()))
    };
    let (folder, file) = (real(folder)?, real(file)?);
    let shared = folder.components().zip(file.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| Part::ParentDir);
    let way: PathBuf = up.chain(file.components().skip(shared)).collect();
    match way.to_str() {
        Some(way) if way_is_relative(way) => Ok(way.to_owned()),
        _ => Err(format!("no document can name {}: its path is no text, or on another drive", file.display()).into()),
    }
}

fn way_is_relative(way: &str) -> bool {
    !way.is_empty() && Path::new(way).is_relative()
}

fn for_people(note: &Note, text: &Text) -> String {
    let more = if note.times > 1 { format!(" (and {} more)", note.times - 1) } else { String::new() };
    let place = match text.spot(&note.place) {
        Some(spot) => format!("{}:{}:{}", spot.path.display(), spot.position.line, spot.position.column),
        None => text.path().display().to_string(),
    };
    format!("{place}: {}: {}{more}", note.place, note.text)
}

fn in_json(note: &Note, text: &Text) -> serde_json::Value {
    let mut line = serde_json::json!({
        "event": "note", "message": note.text, "place": note.place.to_string(), "times": note.times,
    });
    let place = text.spot(&note.place).as_ref().map(pointed::place);
    if let (serde_json::Value::Object(line), Some(serde_json::Value::Object(place))) = (&mut line, place) {
        line.extend(place);
    }
    line
}
