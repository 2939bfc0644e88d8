//! The named members of a type, and the order in which their names stand in canonical DAG-CBOR.

use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

use crate::{Case, Field};

/// The fields of a record, the cases of a variant, or the names of an enum or of flags, in declared order.
///
/// Cloning is cheap. A name is found in logarithmic time: types come from strangers, and so do the values that are looked
/// up in them.
#[derive(Clone, Debug)]
pub struct Members<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    items: Vec<T>,
    /// The places of the items, sorted as keys of a map are in DAG-CBOR: shorter names first, then bytewise.
    canonical: Vec<u32>,
}

/// What has a WIT name.
pub trait Named {
    /// The name, in kebab case.
    fn name(&self) -> &str;
}

impl Named for Field {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Case {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for String {
    fn name(&self) -> &str {
        self
    }
}

/// How keys of a map are ordered in DAG-CBOR.
pub(crate) fn canonical_order(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> Ordering {
    let (a, b) = (a.as_ref(), b.as_ref());
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl<T: Named> Members<T> {
    /// Up to so many names it is faster to look at all.
    const FEW: usize = 12;

    /// The place of the member of this name, in declared order.
    pub fn position(&self, name: &str) -> Option<usize> {
        if self.len() <= Self::FEW {
            return self.iter().position(|item| item.name() == name);
        }
        let places = &self.0.canonical;
        let found = places.binary_search_by(|&place| canonical_order(self[place as usize].name(), name));
        found.ok().map(|found| places[found] as usize)
    }

    /// The place of the member of this name, which is found at once if it is the `nth` in the order of DAG-CBOR: as it is
    /// in a map that has all of them.
    pub(crate) fn position_near(&self, nth: usize, name: &str) -> Option<usize> {
        self.near(nth, name.as_bytes()).or_else(|| self.position(name))
    }

    /// The place of the `nth` member in the order of DAG-CBOR, if these are the bytes of its name.
    pub(crate) fn near(&self, nth: usize, name: &[u8]) -> Option<usize> {
        let near = self.0.canonical.get(nth).map(|&place| place as usize);
        near.filter(|&place| self.get(place).is_some_and(|item| item.name().as_bytes() == name))
    }

    /// The names, in declared order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(Named::name)
    }

    /// The places of the members in the order of keys in DAG-CBOR.
    pub(crate) fn canonical(&self) -> &[u32] {
        &self.0.canonical
    }
}

impl<T: Named> FromIterator<T> for Members<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let items: Vec<T> = items.into_iter().collect();
        // No type has four thousand million members.
        let mut canonical: Vec<u32> = (0..u32::try_from(items.len()).unwrap_or(u32::MAX)).collect();
        canonical.sort_by(|&a, &b| canonical_order(items[a as usize].name(), items[b as usize].name()));
        Self(Arc::new(Inner { items, canonical }))
    }
}

impl<T> Deref for Members<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0.items
    }
}

impl<T: PartialEq> PartialEq for Members<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.items == other.0.items
    }
}

impl<T: Eq> Eq for Members<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for len in [0, 1, 5, 12, 13, 100] {
            let names: Vec<String> = (0..len).rev().map(|at| format!("n{at}")).collect();
            let members: Members<String> = names.iter().cloned().collect();
            for (place, name) in names.iter().enumerate() {
                assert_eq!(members.position(name), Some(place));
                (0..=len).for_each(|nth| assert_eq!(members.position_near(nth, name), Some(place)));
            }
            assert_eq!(members.position("n"), None);
            assert_eq!(members.position(&format!("n{len}")), None);
            let sorted: Vec<&str> = members.canonical().iter().map(|&at| members[at as usize].as_str()).collect();
            assert!(sorted.is_sorted_by(|a, b| canonical_order(a, b).is_lt()));
        }
    }
}
