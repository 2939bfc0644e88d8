//! Patterns of `like`: `*` stands for any text, `\*` for a star.

/// A pattern.
///
/// The text between the stars is looked for from left to right, first place first, which is never worse than any other: no
/// backtracking, and the time is at most that of one search per part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    pattern: String,
    /// What all parts say, one after the other, without stars and escapes.
    literal: String,
    /// Where in `literal` there is a star. Several in a row are as good as one.
    stars: Vec<usize>,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        let mut literal = String::new();
        let mut stars = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' if chars.peek() == Some(&'*') => {
                    chars.next();
                    literal.push('*');
                }
                '*' if stars.last() == Some(&literal.len()) => {}
                '*' => stars.push(literal.len()),
                other => literal.push(other),
            }
        }
        Self { pattern: pattern.to_owned(), literal, stars }
    }

    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// How much work it is to match a text: sixteenths of both in bytes, and one search for each part.
    pub(super) fn steps(&self, text: &str) -> usize {
        text.len().saturating_add(self.pattern.len()) / 16 + self.stars.len() + 1
    }

    #[cfg(test)]
    pub(super) fn stars(&self) -> usize {
        self.stars.len()
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let (Some(first), Some(last)) = (self.stars.first(), self.stars.last()) else {
            return text == self.literal;
        };
        let rest = text.strip_prefix(self.part(0, *first));
        let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(self.part(*last, self.literal.len()))) else {
            return false;
        };
        let mut from = *first;
        self.stars.iter().skip(1).all(|to| {
            let part = self.part(from, *to);
            from = *to;
            match find(rest, part).and_then(|at| rest.get(at + part.len()..)) {
                Some(after) => {
                    rest = after;
                    true
                }
                None => false,
            }
        })
    }

    /// The text between two places, both of which are ends of parts.
    fn part(&self, from: usize, to: usize) -> &str {
        self.literal.get(from..to).unwrap_or_default()
    }
}

/// Up to how many bytes a text is searched place by place. The search of the standard library takes time in proportion to the
/// text whatever it says, but has to study the part first, which in a short text is most of the work.
const SHORT: usize = 64;

/// Where in a text a part is for the first time.
fn find(text: &str, part: &str) -> Option<usize> {
    if text.len() > SHORT || part.is_empty() {
        return text.find(part);
    }
    let part = part.as_bytes();
    text.as_bytes().windows(part.len()).position(|window| window.first() == part.first() && window == part)
}
