use std::fmt;

use ucan_core::Cid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Cid);

        impl $name {
            /// Takes `cid` for an identifier of this kind. Nothing is checked: a CID does not say what it names.
            #[must_use]
            pub const fn new(cid: Cid) -> Self {
                Self(cid)
            }

            /// The CID itself.
            #[must_use]
            pub const fn cid(&self) -> &Cid {
                &self.0
            }
        }

        impl From<$name> for Cid {
            fn from(id: $name) -> Cid {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id! {
    /// The CID of a [`Task`](crate::Task): what receipts answer and what promises await (UCAN Invocation, "Task").
    TaskId
}
id! {
    /// The CID of an [`Instruction`](crate::Instruction): the *input address*, the key of the memo table.
    InstructionId
}
id! {
    /// The CID of a signed [`Invocation`](crate::Invocation) token.
    InvocationId
}
id! {
    /// The CID of a signed [`Receipt`](crate::Receipt) token.
    ReceiptId
}
