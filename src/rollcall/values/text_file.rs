//! Files that people write, as text: what editors put before it is not a part of it.

use std::{fs, io, path::Path};

/// The text of a file, without a byte order mark.
///
/// # Errors
/// It cannot be read, or is no UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    text_of(&fs::read(path)?)
}

/// The text of what stood in a file, without a byte order mark.
///
/// # Errors
/// It is no UTF-8.
pub fn text_of(bytes: &[u8]) -> io::Result<String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let what = format!("the byte {at} is no UTF-8; save the file as UTF-8");
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_text_and_other_encodings_are_told() {
        let path = std::env::temp_dir().join(format!("rollcall-text-{}", std::process::id()));
        fs::write(&path, b"\xEF\xBB\xBFwhsec_x\n").unwrap();
        assert_eq!(read_text(&path).unwrap(), "whsec_x\n");
        fs::write(&path, b"p\xE4ss").unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("the byte 1 is no UTF-8"));
        fs::remove_file(&path).unwrap();
    }
}
