//! Texts in errors.

/// The start of a text that may be long, and that strangers may have written.
pub(crate) fn excerpt(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
