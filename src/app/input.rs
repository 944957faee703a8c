//! Single values that a caller writes: ids and labels, and what is said of a value that does not fit. Knows no resource.

use rollcall_events::{Id, SchemaError, names::hidden};

use crate::error::{ErrorKind, Result};

/// An id that a caller gives.
pub(crate) fn id(pointer: &str, text: &str) -> Result<Id> {
    text.parse().map_err(|_| {
        let error = SchemaError::at(pointer, "an id: not empty, at most 256 bytes, no control characters");
        ErrorKind::InvalidBody.because(format!("{error}. Nothing was changed.")).with_field(error)
    })
}

/// A label that a caller gives, at most 100 characters.
pub(crate) fn label(pointer: &str, label: Option<String>) -> Result<Option<String>> {
    let good = |l: &String| l.chars().count() <= 100 && hidden(l).is_none();
    match label {
        Some(label) if !good(&label) => {
            let error = SchemaError::at(pointer, "at most 100 characters, all of them seen");
            let detail = "The label is too long or has characters that are not seen. Nothing was changed.";
            Err(ErrorKind::InvalidBody.because(detail).with_field(error))
        }
        label => Ok(label),
    }
}

/// Reads a member that may be `null`, and tells `null` from absent.
///
/// # Errors
/// It has another shape.
pub(crate) fn null_or_value<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<String>>, D::Error> {
    <Option<String> as serde::Deserialize>::deserialize(deserializer).map(Some)
}
