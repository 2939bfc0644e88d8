//! What tasks are called: homestar numbers them by CIDs alone.

use std::collections::{BTreeMap, BTreeSet};

use ucan_core::Place;

use super::Notes;
use super::instruction::Instruction;

/// How many bytes a label may have, with a number behind it.
const LONGEST: usize = 240;

/// A label for each task: the name in its metadata; else its function, with a number where several tasks call it.
pub(super) fn choose(instructions: &[(Instruction<'_>, Place)], notes: &mut Notes) -> Vec<String> {
    let usable = |name: &&str| !name.is_empty() && name.len() <= LONGEST;
    let wanted = |instruction: &Instruction<'_>| {
        let function = Some(instruction.function).filter(usable);
        instruction.name.filter(usable).or(function).unwrap_or("task").to_owned()
    };
    let wanted: Vec<String> = instructions.iter().map(|(instruction, _)| wanted(instruction)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &wanted {
        *counts.entry(name).or_default() += 1;
    }
    // Names that only one task has are theirs, whatever numbers come behind others.
    let mut taken: BTreeSet<String> =
        counts.iter().filter(|(_, count)| **count == 1).map(|(name, _)| (*name).to_owned()).collect();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut labels = Vec::with_capacity(wanted.len());
    for ((instruction, place), name) in instructions.iter().zip(&wanted) {
        if counts.get(name.as_str()) == Some(&1) {
            labels.push(name.clone());
            continue;
        }
        let number = numbers.entry(name).or_default();
        let label = loop {
            *number += 1;
            let label = format!("{name}-{number}");
            if taken.insert(label.clone()) {
                break label;
            }
        };
        if instruction.name == Some(name) {
            notes.add(|| place.key("meta"), &format!("several tasks are called {name:?}; this one became {label:?}"));
        }
        labels.push(label);
    }
    labels
}
