//! Calls of component functions, with byte strings and rows of numbers that do not become a boxed value for each of their parts.
//!
//! wasmtime's dynamic values hold a list as one value of 40 bytes for each item, so a byte costs about 100 ns on its way in
//! and out again. Its typed functions copy bytes as they are, but their types are fixed when Rust is compiled, and a type
//! of one's own cannot take part without unsafe code. So functions of the common shapes that have byte strings are called
//! through typed functions, and all others with dynamic values. Nothing else differs: the guest is asked for the same
//! memory in the same order, and uses the same fuel.

use std::fmt;

use ::wasmtime::component::{ComponentNamedList, Func, Lift, Lower, Val};
use ::wasmtime::{AsContextMut, StoreContextMut};
use ipld_core::ipld::Ipld;

use crate::cbor::{self, Limits, Reader, straight};
use crate::error::{At as _, Failure, Segment};
use crate::read::{self, read};
use crate::source::{Node, Source, Tree};
use crate::value::Scalar;
use crate::write::{Form, Grow, scalar, write};
use crate::{ArgumentBytesError, ArgumentError, ConvertError, Signature, Type, Value};

/// Arguments that fit a function, ready for a call of it.
///
/// Calls are typed (see [`Signature::is_typed`]) for all combinations of
///
/// | parameters | result |
/// |---|---|
/// | `list<u8>`, then nothing; or `list<u8>`, `string`, `u32`, `u64`, `f32`, `bool`; or two more `list<u8>`; or two or four `u32` | `list<u8>`, `result<list<u8>, string>`, `string`, `u32`, `u64`, `bool` |
/// | `string`, then `list<u8>` | the same |
/// | none; or `string`, `u32`, `u64` | `list<u8>`, `result<list<u8>, string>` |
/// | `list<s64>` | `list<s64>`, `s64` |
/// | `list<f64>` | `list<f64>`, `f64` |
pub struct Arguments<'a>(Args<'a>);

enum Args<'a> {
    Dynamic(Vec<Val>),
    Typed(Vec<Arg<'a>>),
}

/// An argument of a typed call.
#[derive(Debug)]
enum Arg<'a> {
    Bytes(&'a [u8]),
    S64s(Vec<i64>),
    F64s(Vec<f64>),
    Text(&'a str),
    U32(u32),
    U64(u64),
    F32(f32),
    Bool(bool),
    /// What a parameter has that was left out. No typed call has such parameters.
    Absent,
}

/// What a function gave.
#[derive(Debug)]
pub struct Given(Got);

#[derive(Debug)]
enum Got {
    Nothing,
    Dynamic(Val),
    Typed(Value),
    Numbers(Numbers),
}

/// Numbers in a row.
#[derive(Debug)]
enum Numbers {
    S64(Vec<i64>),
    F64(Vec<f64>),
}

impl Numbers {
    fn write<F: Form>(&self, element: &Type, form: &mut F) -> Result<F::Out, Failure> {
        fn row<T: Copy, F: Form>(
            numbers: &[T],
            one: fn(T) -> Scalar<'static>,
            element: &Type,
            form: &mut F,
        ) -> Result<F::Out, Failure> {
            let mut numbers = numbers.iter();
            form.list(numbers.len(), |form, index| match numbers.next() {
                Some(number) => scalar(one(*number), element, form).at(|| Segment::Index(index)),
                None => Ok(form.null()),
            })
        }
        match self {
            Self::S64(numbers) => row(numbers, Scalar::S64, element, form),
            Self::F64(numbers) => row(numbers, Scalar::F64, element, form),
        }
    }
}

impl Signature {
    /// Whether calls go through wasmtime's typed functions, in which a byte string is not a boxed value per byte.
    /// [`Arguments`] lists the shapes.
    pub fn is_typed(&self) -> bool {
        shape(self, &mut Fits).is_some()
    }

    /// The arguments, ready for a call. Byte strings and text are borrowed where that is possible.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn arguments<'a>(&self, params: &'a Ipld) -> Result<Arguments<'a>, ArgumentError> {
        if !self.is_typed() {
            return self.vals(params).map(|vals| Arguments(Args::Dynamic(vals)));
        }
        // It is this that finds words for what is wrong.
        self.check(params)?;
        let args = self.bind_at(&mut Tree, params, arg, || Arg::Absent).rooted("params");
        Ok(Arguments(Args::Typed(args?)))
    }

    /// The arguments, ready for a call, straight from canonical DAG-CBOR of what [`arguments`](Self::arguments) takes.
    ///
    /// # Errors
    ///
    /// When the bytes are not canonical DAG-CBOR or exceed a limit; else as [`check`](Self::check).
    pub fn arguments_from_dag_cbor<'a>(
        &self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Arguments<'a>, ArgumentBytesError> {
        let args = |reader: &mut Reader<'a>, at| match self.is_typed() {
            true => self.bind_at(reader, at, arg, || Arg::Absent).map(Args::Typed),
            false => self.bind_at(reader, at, read, || Val::Option(None)).map(Args::Dynamic),
        };
        straight(bytes, limits, args, |tree| Ok(Args::Dynamic(self.vals(tree)?))).map(Arguments)
    }
}

impl Arguments<'_> {
    /// Calls `func`, which is of the type `signature` that these arguments were made for.
    ///
    /// # Errors
    ///
    /// What wasmtime says: a trap, a limit of the store, a result that is no value of its type.
    pub fn call(
        &self,
        mut store: impl AsContextMut<Data: 'static>,
        func: &Func,
        signature: &Signature,
    ) -> Result<Given, ::wasmtime::Error> {
        let args = match &self.0 {
            Args::Typed(args) => args,
            Args::Dynamic(vals) => {
                let mut results = [Val::Bool(false)];
                let count = usize::from(signature.result.is_some());
                func.call(store, vals, results.get_mut(..count).unwrap_or_default())?;
                let [result] = results;
                return Ok(Given(if count == 0 { Got::Nothing } else { Got::Dynamic(result) }));
            }
        };
        let mut call = Call { store: store.as_context_mut(), func, args };
        let given = shape(signature, &mut call).unwrap_or_else(|| Err(::wasmtime::Error::msg(OTHER)))?;
        Ok(Given(given))
    }
}

const OTHER: &str = "these arguments were made for another function";

impl fmt::Debug for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Args::Dynamic(vals) => f.debug_list().entries(vals).finish(),
            Args::Typed(args) => f.debug_list().entries(args).finish(),
        }
    }
}

impl Given {
    /// As IPLD; a function without a result gives null.
    ///
    /// # Errors
    ///
    /// As [`to_ipld`](crate::to_ipld), with paths that start at `result`.
    pub fn into_ipld(self, signature: &Signature) -> Result<Ipld, ConvertError> {
        let Some(ty) = &signature.result else { return Ok(Ipld::Null) };
        let ipld = match self.0 {
            Got::Nothing => Ok(Ipld::Null),
            Got::Dynamic(val) => write(&val, ty, &mut Grow),
            Got::Numbers(numbers) => numbers.write(element(ty), &mut Grow),
            // Not copied once more.
            Got::Typed(Value::Bytes(bytes)) if is_bytes(ty) => Ok(Ipld::Bytes(bytes)),
            Got::Typed(value) => write(&value, ty, &mut Grow),
        };
        ipld.rooted("result").map_err(|failure| *failure)
    }

    /// As canonical DAG-CBOR, without a tree in between.
    ///
    /// # Errors
    ///
    /// As [`into_ipld`](Self::into_ipld).
    pub fn into_dag_cbor(self, signature: &Signature) -> Result<Vec<u8>, ConvertError> {
        let bytes = match (self.0, &signature.result) {
            (Got::Dynamic(val), Some(ty)) => cbor::encode(&val, ty),
            (Got::Numbers(numbers), Some(ty)) => cbor::encode_form(|form| numbers.write(element(ty), form)),
            (Got::Typed(Value::Bytes(bytes)), Some(ty)) if is_bytes(ty) => Ok(cbor::encode_bytes(bytes)),
            (Got::Typed(value), Some(ty)) => cbor::encode(&value, ty),
            _ => Ok(vec![cbor::NULL]),
        };
        bytes.rooted("result").map_err(|failure| *failure)
    }

    /// How many bytes [`into_dag_cbor`](Self::into_dag_cbor) gives, found without making them.
    ///
    /// # Errors
    ///
    /// As [`into_ipld`](Self::into_ipld).
    pub fn encoded_len(&self, signature: &Signature) -> Result<u64, ConvertError> {
        let len = match (&self.0, &signature.result) {
            (Got::Dynamic(val), Some(ty)) => cbor::encoded_len(val, ty),
            (Got::Numbers(numbers), Some(ty)) => cbor::form_len(|form| numbers.write(element(ty), form)),
            (Got::Typed(value), Some(ty)) => cbor::encoded_len(value, ty),
            _ => Ok(1),
        };
        len.rooted("result").map_err(|failure| *failure)
    }
}

/// An argument of one of the types that typed calls take.
fn arg<'a, S: Source<'a>>(source: &mut S, at: S::At, ty: &Type) -> Result<Arg<'a>, S::Fail> {
    match ty {
        Type::String => read::text(source, at, ty).map(Arg::Text),
        Type::List(element) if **element == Type::S64 => {
            row(source, at, ty, |source, at| read::integer(source, at, element)).map(Arg::S64s)
        }
        Type::List(element) if **element == Type::F64 => {
            row(source, at, ty, |source, at| read::double(source, at, element)).map(Arg::F64s)
        }
        Type::U32 => read::integer(source, at, ty).map(Arg::U32),
        Type::U64 => read::integer(source, at, ty).map(Arg::U64),
        Type::F32 => read::single(source, at, ty).map(Arg::F32),
        Type::Bool => match source.look(at)? {
            Node::Bool(it) => Ok(Arg::Bool(it)),
            _ => Err(S::kind(at, ty)),
        },
        _ => read::bytes(source, at, ty).map(Arg::Bytes),
    }
}

/// Numbers in a row.
fn row<'a, T, S: Source<'a>>(
    source: &mut S,
    at: S::At,
    ty: &Type,
    number: impl Fn(&mut S, S::At) -> Result<T, S::Fail>,
) -> Result<Vec<T>, S::Fail> {
    let (count, mut items) = match source.look(at)? {
        Node::List(count, items) => (count, items),
        _ => return Err(S::kind(at, ty)),
    };
    let mut numbers = Vec::with_capacity(count);
    while let Some(at) = source.item(&mut items) {
        let index = numbers.len();
        numbers.push(number(source, at).map_err(|fail| S::step(fail, || Segment::Index(index)))?);
    }
    Ok(numbers)
}

/// A type that a parameter of a typed call has.
trait Param<'a>: Lower + 'a {
    fn fits(ty: &Type) -> bool;
    fn from_arg(arg: &'a Arg<'a>) -> Option<Self>
    where
        Self: Sized;
}

/// The type of a result of a typed call.
trait Gives: Lift + 'static {
    fn fits(ty: &Type) -> bool;
    fn got(self) -> Got;
}

/// The types of the parameters of a typed call.
trait Params<'a>: ComponentNamedList + Lower + Sized {
    fn fit(params: &[(String, Type)]) -> bool;
    fn from_args(args: &'a [Arg<'a>]) -> Option<Self>;
}

/// The type of the items of a list.
fn element(ty: &Type) -> &Type {
    match ty {
        Type::List(element) => element,
        ty => ty,
    }
}

fn is_list_of(ty: &Type, of: &Type) -> bool {
    matches!(ty, Type::List(element) if **element == *of)
}

fn is_bytes(ty: &Type) -> bool {
    matches!(ty, Type::List(element) if **element == Type::U8)
}

macro_rules! param {
    ($($a:lifetime $name:ident: $ty:ty, $fits:expr, |$it:ident| $given:expr;)*) => {$(
        impl<$a> Param<$a> for $ty {
            fn fits(ty: &Type) -> bool {
                $fits(ty)
            }

            fn from_arg(arg: &$a Arg<$a>) -> Option<Self> {
                match arg {
                    Arg::$name($it) => Some($given),
                    _ => None,
                }
            }
        }
    )*};
}

param! {
    'a Bytes: &'a [u8], is_bytes, |it| it;
    'a S64s: &'a [i64], |ty: &Type| is_list_of(ty, &Type::S64), |it| it;
    'a F64s: &'a [f64], |ty: &Type| is_list_of(ty, &Type::F64), |it| it;
    'a Text: &'a str, |ty: &Type| *ty == Type::String, |it| it;
    'a U32: u32, |ty: &Type| *ty == Type::U32, |it| *it;
    'a U64: u64, |ty: &Type| *ty == Type::U64, |it| *it;
    'a F32: f32, |ty: &Type| *ty == Type::F32, |it| *it;
    'a Bool: bool, |ty: &Type| *ty == Type::Bool, |it| *it;
}

macro_rules! gives {
    ($($ty:ty, $fits:expr, |$it:ident| $got:expr;)*) => {$(
        impl Gives for $ty {
            fn fits(ty: &Type) -> bool {
                $fits(ty)
            }

            fn got(self) -> Got {
                let $it = self;
                $got
            }
        }
    )*};
}

/// `result<list<u8>, string>`
fn is_bytes_or_text(ty: &Type) -> bool {
    matches!(ty, Type::Result { ok: Some(ok), err: Some(err) } if is_bytes(ok) && **err == Type::String)
}

gives! {
    Vec<u8>, is_bytes, |it| Got::Typed(Value::Bytes(it));
    Vec<i64>, |ty: &Type| is_list_of(ty, &Type::S64), |it| Got::Numbers(Numbers::S64(it));
    Vec<f64>, |ty: &Type| is_list_of(ty, &Type::F64), |it| Got::Numbers(Numbers::F64(it));
    i64, |ty: &Type| *ty == Type::S64, |it| Got::Typed(Value::S64(it));
    f64, |ty: &Type| *ty == Type::F64, |it| Got::Typed(Value::F64(it));
    String, |ty: &Type| *ty == Type::String, |it| Got::Typed(Value::String(it));
    u32, |ty: &Type| *ty == Type::U32, |it| Got::Typed(Value::U32(it));
    u64, |ty: &Type| *ty == Type::U64, |it| Got::Typed(Value::U64(it));
    bool, |ty: &Type| *ty == Type::Bool, |it| Got::Typed(Value::Bool(it));
    Result<Vec<u8>, String>, is_bytes_or_text, |it| Got::Typed(Value::Result(
        it.map(|ok| Some(Box::new(Value::Bytes(ok)))).map_err(|err| Some(Box::new(Value::String(err)))),
    ));
}

macro_rules! params {
    ($(($($name:ident),*);)*) => {$(
        impl<'a, $($name: Param<'a>),*> Params<'a> for ($($name,)*) {
            fn fit(params: &[(String, Type)]) -> bool {
                #[allow(non_snake_case, reason = "each stands for a type")]
                match params {
                    [$((_, $name)),*] => true $(&& $name::fits($name))*,
                    _ => false,
                }
            }

            fn from_args(args: &'a [Arg<'a>]) -> Option<Self> {
                #[allow(non_snake_case, reason = "each stands for a type")]
                match args {
                    [$($name),*] => Some(($($name::from_arg($name)?,)*)),
                    _ => None,
                }
            }
        }
    )*};
}

params! {
    ();
    (A);
    (A, B);
    (A, B, C);
    (A, B, C, D, E);
}

/// What is done with the shape that a function has.
trait Shaped<'a> {
    type Out;

    fn with<P: Params<'a>, R: Gives>(&mut self) -> Self::Out;
}

/// Asks whether there is one.
struct Fits;

impl<'a> Shaped<'a> for Fits {
    type Out = ();

    fn with<P: Params<'a>, R: Gives>(&mut self) {}
}

/// Calls a function.
struct Call<'s, 'a, T: 'static> {
    store: StoreContextMut<'s, T>,
    func: &'s Func,
    args: &'a [Arg<'a>],
}

impl<'a, T: 'static> Shaped<'a> for Call<'_, 'a, T> {
    type Out = Result<Got, ::wasmtime::Error>;

    fn with<P: Params<'a>, R: Gives>(&mut self) -> Self::Out {
        let params = P::from_args(self.args).ok_or_else(|| ::wasmtime::Error::msg(OTHER))?;
        let func = self.func.typed::<P, (R,)>(&self.store)?;
        let (given,) = func.call(&mut self.store, params)?;
        Ok(given.got())
    }
}

/// Finds the shape of a function among those of the module's table, and does with it what is asked for.
fn shape<'a, V: Shaped<'a>>(signature: &Signature, visit: &mut V) -> Option<V::Out> {
    let (params, result) = (&*signature.params, signature.result.as_ref()?);
    macro_rules! shapes {
        ($($params:ty),* => $results:tt) => {$(
            if <$params as Params>::fit(params) {
                shapes!(@ $params, $results)
            }
        )*};
        (@ $params:ty, [$($result:ty),*]) => {{
            $(if <$result as Gives>::fits(result) {
                return Some(visit.with::<$params, $result>());
            })*
            return None;
        }};
    }
    type Bytes<'a> = &'a [u8];
    type Text<'a> = &'a str;
    type BytesOrText = Result<Vec<u8>, String>;
    shapes!(
        (Bytes<'a>,),
        (Bytes<'a>, Bytes<'a>),
        (Bytes<'a>, Text<'a>),
        (Text<'a>, Bytes<'a>),
        (Bytes<'a>, u32),
        (Bytes<'a>, u64),
        (Bytes<'a>, f32),
        (Bytes<'a>, bool),
        (Bytes<'a>, u32, u32),
        (Bytes<'a>, Bytes<'a>, Bytes<'a>),
        (Bytes<'a>, u32, u32, u32, u32)
        => [Vec<u8>, BytesOrText, String, u32, u64, bool]
    );
    shapes!((), (Text<'a>,), (u32,), (u64,) => [Vec<u8>, BytesOrText]);
    shapes!((&'a [i64],) => [Vec<i64>, i64]);
    shapes!((&'a [f64],) => [Vec<f64>, f64]);
    None
}
