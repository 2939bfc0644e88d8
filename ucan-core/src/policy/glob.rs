//! Patterns of `like`: `*` stands for any text, `\*` for a star.

/// A pattern.
///
/// The text between the stars is looked for from left to right, first place first, which is never worse than any other: no
/// backtracking, and the time is at most that of one search per part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    pattern: String,
    /// What the text begins with.
    head: String,
    /// What follows each star: the last of them is what the text ends with. Empty, when there are no stars.
    parts: Vec<String>,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        let mut head = None;
        let mut parts = Vec::new();
        let mut part = String::new();
        let mut chars = pattern.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' if chars.peek() == Some(&'*') => {
                    chars.next();
                    part.push('*');
                }
                '*' => {
                    let done = std::mem::take(&mut part);
                    match head {
                        None => head = Some(done),
                        Some(_) => parts.push(done),
                    }
                }
                other => part.push(other),
            }
        }
        let pattern = pattern.to_owned();
        match head {
            None => Self { pattern, head: part, parts },
            Some(head) => {
                parts.push(part);
                Self { pattern, head, parts }
            }
        }
    }

    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(self.head.as_str()) else {
            return false;
        };
        let Some((tail, middle)) = self.parts.split_last() else {
            return rest.is_empty();
        };
        let Some(mut rest) = rest.strip_suffix(tail.as_str()) else {
            return false;
        };
        for part in middle {
            match rest.find(part.as_str()) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}
