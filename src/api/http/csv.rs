//! CSV (RFC 4180) that a spreadsheet takes for what it is: text, and that a terminal shows as it is.

use rollcall_events::visible::visible;

/// One line. A cell that a spreadsheet would take for a formula is disarmed with an apostrophe.
pub(crate) fn line(cells: &[&str]) -> String {
    let one = |cell: &&str| {
        let begins = cell.trim_start_matches([' ', '\u{feff}']);
        let armed = begins.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '|', '%']);
        let cell = if armed { format!("'{}", visible(cell)) } else { visible(cell).into_owned() };
        if cell.contains([',', ';', '"']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    };
    cells.iter().map(one).collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_out_of_its_place() {
        for (cell, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("\t=1", "'\\t=1"),
            ("=1,\"\n", "\"'=1,\"\"\\n\""),
            ("a\u{9b}b\u{202e}", "a\\u{9b}b\\u{202e}"),
        ] {
            assert_eq!(line(&[cell, "b"]), format!("{written},b\r\n"));
        }
    }
}
