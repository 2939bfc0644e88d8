//! What selectors find, looked at where it lies: nothing is copied and no memory is taken.

use std::collections::{BTreeMap, btree_map};

use super::{
    evaluate::{Pending, Work},
    selector::Segment,
};
use crate::{Ipld, dagcbor::canonical_order};

/// What a selector found.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Node(&'a Ipld),
    /// What is selected by a missing key and by a failed optional segment.
    Null,
    /// A byte of a byte string.
    Byte(u8),
    /// A part of a byte string.
    Bytes(&'a [u8]),
    /// A part of a list.
    Slice(&'a [Ipld]),
    /// Some of the values of a map.
    Values(Values<'a>),
}

/// What became of a selection.
pub(super) enum Selection<'a> {
    Found(Found<'a>),
    /// Nothing is there.
    Failed,
    /// It depends on a value that is not known yet.
    Pending,
}

impl<'a> Found<'a> {
    pub(super) fn is_pending<P: Pending + ?Sized>(&self, work: &Work<'_, P>) -> bool {
        matches!(self, Self::Node(node) if work.is_pending(node))
    }

    pub(super) fn to_ipld(self) -> Ipld {
        match self {
            Self::Node(node) => node.clone(),
            Self::Null => Ipld::Null,
            Self::Byte(byte) => Ipld::Integer(byte.into()),
            Self::Bytes(bytes) => Ipld::Bytes(bytes.to_vec()),
            Self::Slice(items) => Ipld::List(items.to_vec()),
            Self::Values(values) => Ipld::List(values.sorted().into_iter().cloned().collect()),
        }
    }

    /// What one segment finds in what was found so far.
    pub(super) fn step<P: Pending + ?Sized>(self, segment: &Segment, work: &Work<'_, P>) -> Option<Self> {
        if !work.spend(1) {
            return None;
        }
        match (segment, self) {
            (Segment::Key(key), Self::Node(Ipld::Map(map))) => {
                work.spend(key.len() / 16).then(|| map.get(key).map_or(Self::Null, Self::Node))
            }
            (Segment::Key(_), _) => None,
            (Segment::Values, Self::Node(Ipld::List(list))) => Some(Self::Slice(list)),
            (Segment::Values, Self::Node(Ipld::Map(map))) => Some(Self::Values(Values::of(map))),
            (Segment::Values, Self::Slice(_) | Self::Values(_)) => Some(self),
            (Segment::Index(at), Self::Node(Ipld::List(list))) => list.get(index(list.len(), *at)?).map(Self::Node),
            (Segment::Index(at), Self::Slice(list)) => list.get(index(list.len(), *at)?).map(Self::Node),
            (Segment::Index(at), Self::Values(values)) => {
                values.in_order(work).nth(index(values.len(), *at)?).map(Self::Node)
            }
            (Segment::Index(at), Self::Node(Ipld::Bytes(bytes))) => byte(bytes, *at),
            (Segment::Index(at), Self::Bytes(bytes)) => byte(bytes, *at),
            (Segment::Slice(from, to), Self::Node(Ipld::List(list))) => Some(Self::Slice(slice(list, *from, *to))),
            (Segment::Slice(from, to), Self::Slice(list)) => Some(Self::Slice(slice(list, *from, *to))),
            (Segment::Slice(from, to), Self::Values(values)) => Some(Self::Values(values.slice(*from, *to))),
            (Segment::Slice(from, to), Self::Node(Ipld::Bytes(bytes))) => Some(Self::Bytes(slice(bytes, *from, *to))),
            (Segment::Slice(from, to), Self::Bytes(bytes)) => Some(Self::Bytes(slice(bytes, *from, *to))),
            (Segment::Values | Segment::Index(_) | Segment::Slice(..), _) => None,
        }
    }
}

fn byte<'a>(bytes: &[u8], at: i64) -> Option<Found<'a>> {
    bytes.get(index(bytes.len(), at)?).copied().map(Found::Byte)
}

/// The place that an index means among so many items; negative ones count from the end.
fn index(len: usize, index: i64) -> Option<usize> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    let place = if index < 0 { len.checked_sub(distance)? } else { distance };
    (place < len).then_some(place)
}

/// The places from one index up to another, which is not included; both are clamped to what is there.
fn bounds(len: usize, from: Option<i64>, to: Option<i64>) -> (usize, usize) {
    let place = |index: i64| {
        let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        if index < 0 { len.saturating_sub(distance) } else { distance.min(len) }
    };
    let from = from.map_or(0, place);
    (from, to.map_or(len, place).max(from))
}

fn slice<T>(items: &[T], from: Option<i64>, to: Option<i64>) -> &[T] {
    let (from, to) = bounds(items.len(), from, to);
    items.get(from..to).unwrap_or_default()
}

/// The values of a map whose keys have some places in the canonical order: shorter keys first, then bytewise.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    map: &'a BTreeMap<String, Ipld>,
    from: usize,
    to: usize,
}

impl<'a> Values<'a> {
    fn of(map: &'a BTreeMap<String, Ipld>) -> Self {
        Self { map, from: 0, to: map.len() }
    }

    pub(super) fn len(self) -> usize {
        self.to.saturating_sub(self.from)
    }

    fn slice(self, from: Option<i64>, to: Option<i64>) -> Self {
        let (from, to) = bounds(self.len(), from, to);
        Self { map: self.map, from: self.from + from, to: self.from + to }
    }

    /// The whole map, where the order of its values makes no difference.
    pub(super) fn whole(self) -> Option<&'a BTreeMap<String, Ipld>> {
        (self.len() == self.map.len()).then_some(self.map)
    }

    /// The values one after the other, until the work is spent.
    pub(super) fn in_order<'w, P: Pending + ?Sized>(self, work: &'w Work<'w, P>) -> InOrder<'a, 'w, P> {
        let pass = work.spend(self.map.len()).then(|| self.map.iter());
        InOrder { map: self.map, work, pass, length: 0, longer: None, skip: self.from, left: self.len() }
    }

    fn sorted(self) -> Vec<&'a Ipld> {
        let mut entries: Vec<_> = self.map.iter().collect();
        entries.sort_unstable_by(|(a, _), (b, _)| canonical_order(a, b));
        entries.into_iter().map(|(_, value)| value).skip(self.from).take(self.len()).collect()
    }
}

/// Values in the canonical order of their keys.
///
/// A map keeps its keys in bytewise order, which among keys of one length is the canonical one. One pass for each length
/// that there is takes the place of a sorted copy; a pass costs as many steps as there are keys.
pub(super) struct InOrder<'a, 'w, P: ?Sized> {
    map: &'a BTreeMap<String, Ipld>,
    work: &'w Work<'w, P>,
    /// What this pass has not looked at yet; nothing, when the work is spent.
    pass: Option<btree_map::Iter<'a, String, Ipld>>,
    /// How long the keys are that this pass is about.
    length: usize,
    /// How long the keys of the next pass are, as far as this one has seen.
    longer: Option<usize>,
    skip: usize,
    left: usize,
}

impl<'a, P: Pending + ?Sized> Iterator for InOrder<'a, '_, P> {
    type Item = &'a Ipld;

    fn next(&mut self) -> Option<&'a Ipld> {
        while self.left > 0 {
            let Some((key, value)) = self.pass.as_mut()?.next() else {
                self.length = self.longer.take()?;
                self.pass = self.work.spend(self.map.len()).then(|| self.map.iter());
                continue;
            };
            if key.len() > self.length {
                self.longer = Some(self.longer.map_or(key.len(), |longer| longer.min(key.len())));
            } else if key.len() == self.length && self.skip > 0 {
                self.skip -= 1;
            } else if key.len() == self.length {
                self.left -= 1;
                return Some(value);
            }
        }
        None
    }
}
