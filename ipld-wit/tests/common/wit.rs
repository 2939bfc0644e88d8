//! Reads the text form of types that vectors have: WIT, with records and the like written in place.

use ipld_wit::Type;

pub(crate) fn parse(text: &str) -> Type {
    let mut parser = Parser { rest: text };
    let ty = parser.ty();
    assert!(parser.rest.is_empty(), "{:?} follows the type in {text:?}", parser.rest);
    ty
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                self.skip();
                true
            }
            None => false,
        }
    }

    fn must(&mut self, token: &str) {
        assert!(self.take(token), "{token:?} expected before {:?}", self.rest);
    }

    fn word(&mut self) -> &'a str {
        self.skip();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        assert!(!word.is_empty(), "a name expected before {rest:?}");
        self.rest = rest;
        word
    }

    /// Items until the closing token, with commas between them.
    fn until<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(item(self));
            if !self.take(",") {
                self.must(close);
                break;
            }
        }
        items
    }

    fn ty(&mut self) -> Type {
        match self.word() {
            "bool" => Type::Bool,
            "s8" => Type::S8,
            "u8" => Type::U8,
            "s16" => Type::S16,
            "u16" => Type::U16,
            "s32" => Type::S32,
            "u32" => Type::U32,
            "s64" => Type::S64,
            "u64" => Type::U64,
            "f32" => Type::F32,
            "f64" => Type::F64,
            "char" => Type::Char,
            "string" => Type::String,
            "link" => Type::Link,
            "node" => Type::Node,
            "list" => {
                self.must("<");
                Type::list(self.until(">", Self::ty).remove(0))
            }
            "option" => {
                self.must("<");
                Type::option(self.until(">", Self::ty).remove(0))
            }
            "tuple" => {
                self.must("<");
                Type::tuple(self.until(">", Self::ty))
            }
            "result" if self.take("<") => {
                let arms = self.until(">", |parser| if parser.take("_") { None } else { Some(parser.ty()) });
                let mut arms = arms.into_iter();
                Type::result(arms.next().flatten(), arms.next().flatten())
            }
            "result" => Type::result(None, None),
            "record" => {
                self.must("{");
                Type::record(self.until("}", |parser| {
                    let name = parser.word();
                    parser.must(":");
                    (name, parser.ty())
                }))
            }
            "variant" => {
                self.must("{");
                Type::variant(self.until("}", |parser| {
                    let name = parser.word();
                    let ty = parser.take("(").then(|| parser.ty());
                    if ty.is_some() {
                        parser.must(")");
                    }
                    (name, ty)
                }))
            }
            "enum" => {
                self.must("{");
                Type::enumeration(self.until("}", Self::word))
            }
            "flags" => {
                self.must("{");
                Type::flags(self.until("}", Self::word))
            }
            other => panic!("no type {other:?}"),
        }
    }
}
