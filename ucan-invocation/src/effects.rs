use std::collections::BTreeMap;

use ucan_core::{Cid, Ipld};

use crate::TaskId;

/// What a task asks to have done next (UCAN Receipt, "Effect"): its receipt names the tasks, and whoever runs things here
/// decides whether and when, each under an authority of its own. Deterministic tasks ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Tasks that can be done side by side.
    pub fork: Vec<TaskId>,
    /// The task that goes on after them.
    pub join: Option<TaskId>,
}

impl Effects {
    /// Whether nothing is asked for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fork.is_empty() && self.join.is_none()
    }

    /// As it stands in a receipt: `{fork: [&Task], join: &Task}`, both where there is something to name.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        let mut map = BTreeMap::new();
        if !self.fork.is_empty() {
            let fork = self.fork.iter().map(|task| Ipld::Link(Cid::from(*task))).collect();
            map.insert("fork".to_owned(), Ipld::List(fork));
        }
        if let Some(join) = self.join {
            map.insert("join".to_owned(), Ipld::Link(Cid::from(join)));
        }
        Ipld::Map(map)
    }

    /// Reads effects: a map of `fork`, a list of links, and `join`, a link; either can be missing. Receipts exist in which `join`
    /// is a list, of one link or none, which is read too.
    #[must_use]
    pub fn from_ipld(value: &Ipld) -> Option<Self> {
        let Ipld::Map(map) = value else { return None };
        if map.keys().any(|key| key != "fork" && key != "join") {
            return None;
        }
        let fork = map.get("fork").map_or(Some(Vec::new()), links)?;
        let join = match map.get("join") {
            None => None,
            Some(Ipld::Link(cid)) => Some(TaskId::new(*cid)),
            Some(list) => match *links(list)?.as_slice() {
                [] => None,
                [join] => Some(join),
                _ => return None,
            },
        };
        Some(Self { fork, join })
    }
}

fn links(value: &Ipld) -> Option<Vec<TaskId>> {
    let Ipld::List(items) = value else { return None };
    let link = |item: &Ipld| match item {
        Ipld::Link(cid) => Some(TaskId::new(*cid)),
        _ => None,
    };
    items.iter().map(link).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ucan_core::block;

    use super::*;

    fn task(seed: u8) -> TaskId {
        TaskId::new(block::raw_cid(&[seed]))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fork in prop::collection::vec(any::<u8>(), 0..4), join: Option<u8>) {
            let effects = Effects { fork: fork.into_iter().map(task).collect(), join: join.map(task) };
            prop_assert_eq!(Effects::from_ipld(&effects.to_ipld()), Some(effects));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let link = || Ipld::Link(task(1).into());
        let map = |key: &str, value| Ipld::Map([(key.to_owned(), value)].into());
        let joined = Effects { fork: Vec::new(), join: Some(task(1)) };
        assert_eq!(Effects::from_ipld(&map("join", Ipld::List(vec![link()]))), Some(joined));
        assert_eq!(Effects::from_ipld(&map("join", Ipld::List(Vec::new()))), Some(Effects::default()));
        for refused in [
            Ipld::Null,
            Ipld::List(Vec::new()),
            map("next", link()),
            map("fork", link()),
            map("fork", Ipld::List(vec![link(), Ipld::Null])),
            map("join", Ipld::Null),
            map("join", Ipld::List(vec![link(), link()])),
        ] {
            assert_eq!(Effects::from_ipld(&refused), None, "{refused:?}");
        }
    }
}
