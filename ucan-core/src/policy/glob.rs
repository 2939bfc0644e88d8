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
        let Some(rest) = text.strip_prefix(&self.literal[..*first]) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(&self.literal[*last..]) else {
            return false;
        };
        self.stars.windows(2).all(|stars| {
            let part = &self.literal[stars[0]..stars[1]];
            let found = rest.find(part);
            rest = found.map_or(rest, |at| &rest[at + part.len()..]);
            found.is_some()
        })
    }
}
