//! The metadata of a task: its limits, and how it is called.

use std::collections::BTreeMap;

use ucan_core::{Ipld, Place};

use super::{ImportError, ImportProblem, Notes};

/// What homestar writes where nobody chose a limit: all fuel, 4 GiB and 100 seconds.
const DEFAULTS: [(&str, i128); 3] = [("fuel", u64::MAX as i128), ("memory", 1 << 32), ("time", 100_000)];

/// The limits as a document has them, and a name.
pub(super) fn read<'a>(
    meta: Option<&'a Ipld>,
    place: &Place,
    notes: &mut Notes,
) -> Result<(BTreeMap<String, Ipld>, Option<&'a str>), ImportError> {
    let map = match meta {
        None | Some(Ipld::Null) => return Ok((BTreeMap::new(), None)),
        Some(meta) => super::error::map(meta, place)?,
    };
    let (mut config, mut name, mut are_defaults) = (BTreeMap::new(), None, false);
    for (key, value) in map {
        let place = place.key(key);
        let default = DEFAULTS.iter().find(|(field, _)| field == key).map(|(_, default)| *default);
        match (key.as_str(), default, value) {
            ("label" | "name", _, Ipld::String(text)) => name = name.or(Some(text.as_str())),
            (_, Some(_), Ipld::Null) => {}
            // More fuel than a u64 holds is what JavaScript makes of all fuel.
            ("fuel", Some(most), Ipld::Integer(fuel)) if *fuel >= most => are_defaults = true,
            (_, Some(default), Ipld::Integer(number)) if *number == default => are_defaults = true,
            (field, Some(_), Ipld::Integer(number)) if (0..=i128::from(u64::MAX)).contains(number) => {
                let (key, value) = limit(field, *number);
                config.insert(key.to_owned(), value);
            }
            (_, Some(_), _) => return Err(ImportError::new(&place, ImportProblem::Expected("an integer of 64 bits"))),
            _ => {
                notes.add(|| place.at_key(), "metadata that means nothing to homestar, left out");
            }
        }
    }
    if are_defaults {
        let text = "limits that are homestar's defaults are left out, and those of the node hold instead";
        notes.add(|| place.clone(), text);
    }
    Ok((config, name))
}

fn limit(field: &str, number: i128) -> (&'static str, Ipld) {
    let text = |text: &str| Ipld::String(text.to_owned());
    match field {
        "fuel" => ("gas", Ipld::Integer(number)),
        "memory" => ("memory", Ipld::List(vec![Ipld::Integer(number), text("bytes")])),
        _ => ("time", Ipld::List(vec![Ipld::Integer(number), text("milli"), text("seconds")])),
    }
}
