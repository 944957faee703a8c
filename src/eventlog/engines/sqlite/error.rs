//! What SQLite's errors mean: damage, or a storage that says no.

use std::{fmt::Write, path::Path};

use super::files::place;
use crate::OpenError;

/// A file that is damaged, or a disk that says no.
pub(crate) fn open_error(file: &Path, error: &sqlx::Error) -> OpenError {
    let (place, what) = (place(file), with_causes(error));
    if is_damage(error) { OpenError::Damaged { place, what } } else { OpenError::Storage { place, what } }
}

/// `SQLITE_CORRUPT` and `SQLITE_NOTADB`, in any of their extended forms, and values that are not of their column's type.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(e) => {
            e.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 11 | 26))
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound => true,
        _ => false,
    }
}

/// An error's text, with that of its causes where they add some.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            let _ = write!(text, ": {more}");
        }
        cause = error.source();
    }
    text
}
