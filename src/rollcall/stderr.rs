//! Standard error, for what is said beside an answer. Knows nothing of what that is.

use std::io::{self, Write};

/// Says something, with its end of line. Where standard error is full or closed it is not said, which is no reason to end.
pub fn note(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}
