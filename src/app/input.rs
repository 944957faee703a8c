//! Single values that a caller writes: ids and labels, and what is said of a value that does not fit. Knows no resource.

use rollcall_events::{Id, SchemaError, names::hidden};

use crate::error::{ErrorKind, Result};

/// An id that a caller gives.
pub(crate) fn id(pointer: &str, text: &str) -> Result<Id> {
    text.parse().map_err(|_| {
        let error = SchemaError::at(pointer, "an id: not empty, at most 256 bytes, no control characters");
        ErrorKind::InvalidBody.because("This is not an id. Nothing was changed.").with_field(error)
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

/// Says what was expected as callers say it, not as the reader does.
pub fn explain_field(error: &mut SchemaError) {
    if let Some((text, place)) = error.expected.rsplit_once(" at line ")
        && place.chars().all(|c| c.is_ascii_digit() || " column".contains(c))
    {
        error.expected = text.to_owned();
    }
    let last = error.pointer.rsplit('/').next().unwrap_or_default();
    if ["starts", "ends", "expires", "at", "since", "until"].contains(&last) && !error.expected.contains("field `") {
        "an RFC 3339 instant, as in 2026-12-01T00:00:00Z".clone_into(&mut error.expected);
    } else if last == "scope" && (error.expected == "expected value" || error.expected.starts_with("unknown variant")) {
        "one of \"root\", {\"folder\": \"emea\"} and {\"project\": \"acme\"}".clone_into(&mut error.expected);
    } else if last == "principal" && !error.expected.contains("field `") {
        "exactly one of user, service, group, as in {\"user\": \"ada\"}".clone_into(&mut error.expected);
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
