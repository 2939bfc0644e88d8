//! The bound on what a guest can hand over before its size is known.
//!
//! wasmtime counts the bytes that a result takes on the host while it copies them out of the guest, and stops when they
//! exceed an allowance. The limit on outputs is in bytes of DAG-CBOR, so the allowance is the most that any value of
//! the function's type can take, if its encoding keeps the limit: no output within the limit is stopped, and none
//! beyond it can take more of the host's memory than that.

use ipld_wit::Type;
use wasmtime::component::Val;

/// The size of one value on the host, wherever it stands.
const VALUE: u64 = size_of::<Val>() as u64;
/// The size of the string in which a flag is named.
const STRING: u64 = size_of::<String>() as u64;

/// The most bytes that a value takes on the host: `per_byte` for each byte of its encoding, and `fixed` besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    per_byte: u64,
    fixed: u64,
}

impl Cost {
    /// The cost of a function's result.
    pub(super) fn of_result(result: Option<&Type>) -> Self {
        result.map_or_else(Self::default, Self::of)
    }

    /// The allowance for an output of `limit` bytes.
    pub(super) fn allowance(self, limit: u64) -> usize {
        let bytes = self.per_byte.saturating_mul(limit).saturating_add(self.fixed).saturating_add(VALUE);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn of(ty: &Type) -> Self {
        match ty {
            Type::String => Self { per_byte: 1, fixed: 0 },
            // An encoding has at least a byte for each item.
            Type::List(element) => {
                let element = Self::of(element);
                Self { per_byte: element.per_byte.saturating_add(element.fixed).saturating_add(VALUE), fixed: 0 }
            }
            Type::Tuple(types) => types.iter().map(Self::of).fold(Self::default(), Self::beside),
            Type::Record(fields) => fields
                .iter()
                .map(|field| Self::of(&field.ty).with_name(&field.name))
                .fold(Self::default(), Self::beside),
            Type::Variant(cases) => {
                let case = |ty: Option<&Type>| ty.map_or_else(Self::default, Self::of);
                cases.iter().map(|it| case(it.ty.as_ref()).with_name(&it.name)).fold(Self::default(), Self::or)
            }
            Type::Enum(names) => {
                names.iter().map(|name| Self::default().with_name(name)).fold(Self::default(), Self::or)
            }
            Type::Flags(names) => names.iter().fold(Self::default(), |cost, name| Self {
                fixed: cost.fixed.saturating_add(STRING + VALUE).saturating_add(name.len() as u64),
                ..cost
            }),
            Type::Option(some) => Self::of(some),
            Type::Result { ok, err } => {
                let arm = |ty: Option<&Type>| ty.map_or_else(Self::default, Self::of);
                arm(ok.as_deref()).or(arm(err.as_deref()))
            }
            _ => Self::default(),
        }
    }

    fn with_name(self, name: &str) -> Self {
        Self { fixed: self.fixed.saturating_add(name.len() as u64), ..self }
    }

    /// Both parts are there; the second one is a value of its own.
    fn beside(self, part: Self) -> Self {
        Self {
            per_byte: self.per_byte.max(part.per_byte),
            fixed: self.fixed.saturating_add(part.fixed).saturating_add(VALUE),
        }
    }

    /// One of them is there.
    fn or(self, other: Self) -> Self {
        Self { per_byte: self.per_byte.max(other.per_byte), fixed: self.fixed.max(other.fixed) }
    }
}

/// Whether an error says that the allowance was exceeded. The type of that error is private to wasmtime.
pub(super) fn is_allowance_exceeded(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_costs_its_bytes_and_lists_cost_their_items() {
        let limit = 1_000;
        assert_eq!(Cost::of(&Type::String).allowance(limit) as u64, limit + VALUE);
        assert_eq!(Cost::of(&Type::bytes()).allowance(limit) as u64, limit * VALUE + VALUE);
        let texts = Cost::of(&Type::list(Type::String));
        assert_eq!(texts, Cost { per_byte: VALUE + 1, fixed: 0 });
        assert_eq!(Cost::of_result(None).allowance(limit) as u64, VALUE);
        let point = Type::record([("x", Type::U8), ("y", Type::U8)]);
        assert_eq!(Cost::of(&point), Cost { per_byte: 0, fixed: 2 * (VALUE + 1) });
        assert_eq!(Cost::of(&Type::list(point)).per_byte, 2 * (VALUE + 1) + VALUE);
        assert_eq!(Cost::of(&Type::list(Type::list(Type::U8))).allowance(u64::MAX), usize::MAX);
    }
}
