//! Functions: what they take and give, and arguments checked against that without running anything.

use std::collections::BTreeMap;
use std::fmt;

use ipld_core::ipld::Ipld;

use crate::cbor::{ArgumentBytesError, Limits, Reader, straight};
use crate::error::{At as _, Segment, did_you_mean};
use crate::read::read;
use crate::source::{Node, Source, Tree};
use crate::text::{describe, nearest, shorten};
use crate::types::separated;
use crate::value::Build;
use crate::{ConvertError, Type, Value};

/// The type of a WIT function.
///
/// `Display` writes WIT syntax: `func(text: string) -> list<string>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Names and types of the parameters, in order.
    pub params: Vec<(String, Type)>,
    /// What the function gives, if anything.
    pub result: Option<Type>,
}

impl Signature {
    /// Checks arguments against the parameters. Nothing is run, and no value is made.
    ///
    /// Arguments are a list in declared order, or a map by parameter name, from which parameters of an `option` type may
    /// be absent.
    ///
    /// # Errors
    ///
    /// The first argument that does not fit, and why.
    pub fn check(&self, params: &Ipld) -> Result<(), ArgumentError> {
        self.check_known(params, &|_| false)
    }

    /// Checks arguments of which some are not known yet: those for which `open` says so are taken to fit.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_known(&self, params: &Ipld, open: &dyn Fn(&Ipld) -> bool) -> Result<(), ArgumentError> {
        match params {
            Ipld::List(items) => self.bind_list::<()>(items, open).map(drop),
            Ipld::Map(map) => self.bind_map::<()>(map, open).map(drop),
            other if open(other) => Ok(()),
            other => Err(ArgumentError::NotArguments { found: describe(other) }),
        }
    }

    /// Checks arguments that are canonical DAG-CBOR, without making a tree of those that fit.
    ///
    /// # Errors
    ///
    /// When the bytes are not canonical DAG-CBOR or exceed a limit; else as [`check`](Self::check).
    pub fn check_dag_cbor(&self, bytes: &[u8], limits: &Limits) -> Result<(), ArgumentBytesError> {
        straight(
            bytes,
            limits,
            |reader, at| self.bind_at(reader, at, read, || ()).map(drop),
            |tree| Ok(self.check(tree)?),
        )
    }

    /// The arguments as values, in declared order, straight from canonical DAG-CBOR.
    ///
    /// # Errors
    ///
    /// As [`check_dag_cbor`](Self::check_dag_cbor).
    pub fn values_from_dag_cbor(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<Value>, ArgumentBytesError> {
        let values = |reader: &mut Reader<'_>, at| self.bind_at(reader, at, read, || Value::Option(None));
        straight(bytes, limits, values, |tree| Ok(self.values(tree)?))
    }

    /// The arguments as values, in declared order.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn values(&self, params: &Ipld) -> Result<Vec<Value>, ArgumentError> {
        self.bind(params)
    }

    pub(crate) fn bind<T: Build>(&self, params: &Ipld) -> Result<Vec<T>, ArgumentError> {
        match params {
            Ipld::List(items) => self.bind_list(items, &|_| false),
            Ipld::Map(map) => self.bind_map(map, &|_| false),
            other => Err(ArgumentError::NotArguments { found: describe(other) }),
        }
    }

    /// Arguments in declared order, from a list or a map by name. What is wrong with them is said elsewhere.
    pub(crate) fn bind_at<'a, T, S: Source<'a>>(
        &self,
        source: &mut S,
        at: S::At,
        take: impl Fn(&mut S, S::At, &Type) -> Result<T, S::Fail>,
        absent: impl Fn() -> T,
    ) -> Result<Vec<T>, S::Fail> {
        let params = &self.params;
        let wrong = || S::kind(at, &Type::Bool);
        match source.look(at)? {
            Node::List(len, mut items) if len == params.len() => {
                let mut args = Vec::with_capacity(len);
                for (_, ty) in params {
                    let at = source.item(&mut items).ok_or_else(wrong)?;
                    args.push(take(source, at, ty)?);
                }
                Ok(args)
            }
            Node::Map(_, mut entries) => {
                let mut args: Vec<Option<T>> = params.iter().map(|_| None).collect();
                while let Some((key, at)) = source.entry(&mut entries)? {
                    let place = params.iter().position(|(name, _)| name == key).ok_or_else(wrong)?;
                    let (Some((_, ty)), Some(arg)) = (params.get(place), args.get_mut(place)) else {
                        return Err(wrong());
                    };
                    *arg = Some(take(source, at, ty)?);
                }
                let args = args.into_iter().zip(params).map(|(arg, (_, ty))| match (arg, ty) {
                    (Some(arg), _) => Ok(arg),
                    (None, Type::Option(_)) => Ok(absent()),
                    (None, _) => Err(wrong()),
                });
                args.collect()
            }
            _ => Err(wrong()),
        }
    }

    fn bind_list<T: Build>(&self, items: &[Ipld], open: &dyn Fn(&Ipld) -> bool) -> Result<Vec<T>, ArgumentError> {
        if items.len() != self.params.len() {
            let signature = shorten(&self.to_string(), 240);
            return Err(ArgumentError::Count { expected: self.params.len(), found: items.len(), signature });
        }
        let pairs = items.iter().zip(&self.params).enumerate();
        let values = pairs.map(|(index, (item, (_, ty)))| match open(item) {
            true => Ok(T::option(None)),
            false => read(&mut Tree, item, ty).at(|| Segment::Index(index)).rooted("params"),
        });
        Ok(values.collect::<Result<_, _>>()?)
    }

    fn bind_map<T: Build>(
        &self,
        map: &BTreeMap<String, Ipld>,
        open: &dyn Fn(&Ipld) -> bool,
    ) -> Result<Vec<T>, ArgumentError> {
        if let Some(name) = map.keys().find(|key| self.params.iter().all(|(name, _)| name != *key)) {
            let absent = self.params.iter().map(|(name, _)| name.as_str()).filter(|it| !map.contains_key(*it));
            return Err(ArgumentError::Unknown { nearest: nearest(name, absent), name: shorten(name, 60) });
        }
        let values = self.params.iter().map(|(name, ty)| match (map.get(name), ty) {
            (Some(item), _) if open(item) => Ok(T::option(None)),
            (Some(item), _) => Ok(read(&mut Tree, item, ty).at(|| Segment::Key(name.clone())).rooted("params")?),
            (None, Type::Option(_)) => Ok(T::option(None)),
            (None, _) => Err(ArgumentError::Missing { name: name.clone(), expected: shorten(&ty.to_string(), 240) }),
        });
        values.collect()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("func(")?;
        separated(f, &self.params, |f, (name, ty)| write!(f, "{name}: {ty}"))?;
        f.write_str(")")?;
        self.result.as_ref().map_or(Ok(()), |result| write!(f, " -> {result}"))
    }
}

/// Arguments do not fit a function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentError {
    /// Neither a list nor a map.
    NotArguments {
        /// What stands there, in a few words.
        found: String,
    },
    /// A list with the wrong number of arguments.
    Count {
        /// How many the function takes.
        expected: usize,
        /// How many were given.
        found: usize,
        /// The function's type in WIT.
        signature: String,
    },
    /// A map lacks a parameter that is not optional.
    Missing {
        /// The parameter.
        name: String,
        /// Its type in WIT.
        expected: String,
    },
    /// A map has a name that is no parameter.
    Unknown {
        /// The name.
        name: String,
        /// The parameter that is spelled most alike, if one is.
        nearest: Option<String>,
    },
    /// One argument, or a part of it, does not fit its type.
    Convert(Box<ConvertError>),
}

impl From<Box<ConvertError>> for ArgumentError {
    fn from(failure: Box<ConvertError>) -> Self {
        Self::Convert(failure)
    }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotArguments { found } => {
                write!(f, "params: expected a list, or a map by parameter name, found {found}")
            }
            Self::Count { expected, found, signature } => {
                write!(f, "params: expected {expected} arguments, found {found}, for {signature}")
            }
            Self::Missing { name, expected } => {
                write!(f, "params: parameter `{name}` ({expected}) is missing")
            }
            Self::Unknown { name, nearest } => {
                write!(f, "params: there is no parameter `{name}`")?;
                did_you_mean(f, nearest.as_slice())
            }
            Self::Convert(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ArgumentError {}
