//! Workflows that were written for homestar 0.2, as documents.
//!
//! A homestar workflow is a list of tasks, each with an instruction `{rsc, op, input: {func, args}, nnc}`. A task waits for another by
//! the CID of its instruction, which is computed here as homestar does, so that promises become labels. Everything that a document
//! cannot say is either refused, where leaving it out would change what is computed, or left out and noted. Both name the part of
//! the workflow, for which [`Text::spot`](crate::Text::spot) has the line.
//!
//! Guests that were made for homestar take its looser forms of arguments: run them with [`Compat::Homestar`](crate::Compat).

mod arguments;
mod error;
mod instruction;
mod labels;
mod limits;

use std::collections::{BTreeMap, BTreeSet};

use ipvm_task::WASM_RUN_COMMAND;
use ipvm_workflow::{Document, VERSION};
use ucan_core::{Cid, Ipld, Place};

use arguments::Arguments;
pub use error::{ImportError, ImportProblem};
use error::{fields, list};
use instruction::Instruction;

/// The multicodec of the nodes that UnixFS files consist of.
const DAG_PB: u64 = 0x70;
/// How many notes are made: who has more to say has said enough.
const MOST: usize = 1_000;

/// A component at hand, for what a workflow names as a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The CID of its raw bytes.
    pub cid: Cid,
    /// Its file, as `meta.blocks` of the document is to have it.
    pub file: String,
}

/// What became of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The document. Its `meta.homestar` has the CIDs of the instructions that its tasks were.
    pub document: Document,
    /// What it does not say, or says in another way: the first thousand of such things.
    pub notes: Vec<Note>,
}

/// Something that a document does not say as the workflow did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The first part of the workflow that it is about.
    pub place: Place,
    /// What became of it.
    pub text: String,
    /// How many parts it is about.
    pub times: usize,
}

/// Notes as they come, each text once.
#[derive(Debug, Default)]
struct Notes {
    notes: Vec<Note>,
    positions: BTreeMap<String, usize>,
}

impl Notes {
    fn add(&mut self, place: impl FnOnce() -> Place, text: &str) {
        if let Some(at) = self.positions.get(text) {
            if let Some(note) = self.notes.get_mut(*at) {
                note.times += 1;
            }
        } else if self.notes.len() < MOST {
            self.positions.insert(text.to_owned(), self.notes.len());
            self.notes.push(Note { place: place(), text: text.to_owned(), times: 1 });
        }
    }
}

/// Makes a document of a homestar workflow. `components` are those at hand, by the CIDs of the resources that the workflow names.
///
/// # Errors
/// [`ImportError`] says which part cannot be carried over, and why.
pub fn import(workflow: &Ipld, components: &BTreeMap<Cid, Component>) -> Result<Imported, ImportError> {
    let mut notes = Notes::default();
    let root = Place::root();
    let [tasks] = fields(workflow, &root, ["tasks"], &mut notes)?;
    let (listed, place) = list(tasks, &root, "tasks")?;
    let mut instructions: Vec<(Instruction<'_>, Place)> = Vec::new();
    let mut positions: BTreeMap<Cid, usize> = BTreeMap::new();
    for (at, task) in listed.iter().enumerate() {
        let place = place.index(at);
        let instruction = Instruction::read(task, &place, &mut notes)?;
        if let Some(first) = positions.get(&instruction.cid) {
            notes.add(|| place, &format!("the same instruction as tasks[{first}], and one task with it"));
            continue;
        }
        positions.insert(instruction.cid, at);
        instructions.push((instruction, place));
    }
    let labels = labels::choose(&instructions, &mut notes);
    let own = instructions.iter().zip(&labels).map(|((task, _), label)| (task.cid, label.clone())).collect();
    let (mut tasks, mut ids, mut blocks) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    for ((instruction, place), label) in instructions.iter().zip(&labels) {
        let module = match components.get(&instruction.resource) {
            Some(component) => {
                blocks.insert(component.file.clone());
                component.cid
            }
            None => {
                notes.add(|| place.key("run").key("rsc"), &not_at_hand(&instruction.resource));
                instruction.resource
            }
        };
        let args_place = place.key("run").key("input").key("args");
        let params = Arguments { own: &own, notes: &mut notes }.all(instruction.args, &args_place)?;
        tasks.insert(label.clone(), task(instruction, module, params));
        ids.insert(label.clone(), Ipld::String(instruction.cid.to_string()));
    }
    let mut meta = BTreeMap::from([("homestar".to_owned(), Ipld::Map(ids))]);
    if !blocks.is_empty() {
        meta.insert("blocks".to_owned(), Ipld::List(blocks.into_iter().map(Ipld::String).collect()));
    }
    let document =
        entries([("v", Ipld::String(VERSION.to_owned())), ("meta", Ipld::Map(meta)), ("tasks", Ipld::Map(tasks))]);
    let document = Document::parse(&document).map_err(|error| ImportError::new(&place, error.into()))?;
    Ok(Imported { document, notes: notes.notes })
}

fn task(instruction: &Instruction<'_>, module: Cid, params: Ipld) -> Ipld {
    let args =
        [("mod", Ipld::Link(module)), ("fun", Ipld::String(instruction.function.to_owned())), ("params", params)];
    let mut task = BTreeMap::from([
        ("cmd".to_owned(), Ipld::String(WASM_RUN_COMMAND.to_owned())),
        ("args".to_owned(), entries(args)),
    ]);
    if !instruction.nonce.is_empty() {
        task.insert("nonce".to_owned(), Ipld::Bytes(instruction.nonce.clone()));
    }
    if !instruction.config.is_empty() {
        task.insert("config".to_owned(), Ipld::Map(instruction.config.clone()));
    }
    Ipld::Map(task)
}

fn entries<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn not_at_hand(resource: &Cid) -> String {
    if resource.codec() == DAG_PB {
        format!(
            "the component {resource} is named as a file of UnixFS, which is not read here: give its file, by --module {resource}=FILE"
        )
    } else {
        format!(
            "the component {resource} has to be in the store: give its file, by --module FILE, to have it put there"
        )
    }
}
