//! Ids by their beginning, as people type them: what is unambiguous is meant, anything else is refused with what it could be.

use crate::error::{Error, ErrorKind, Result};

/// How many characters of an id say which is meant, behind what all of its kind begin with.
pub(crate) const LEAST: usize = 6;
/// How many candidates are looked for and told.
pub(crate) const TOLD: u32 = 6;

/// A text as the beginning of an id of a kind, `dlv` for one; its `dlv_` may be left away. Nothing where it says too little,
/// or has what no id has.
pub(crate) fn of_kind(kind: &str, text: &str) -> Option<String> {
    let rest = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('_')).unwrap_or(text);
    let enough = rest.len() >= LEAST && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    enough.then(|| format!("{kind}_{rest}"))
}

/// The one that is meant by a text among those whose id begins with it: the id that is the text, or the only one.
///
/// # Errors
/// There is none, or more than one.
pub(crate) fn the_one<T>(
    text: &str,
    found: impl IntoIterator<Item = (String, T)>,
    unknown: impl FnOnce() -> Error,
) -> Result<T> {
    let mut found: Vec<(String, T)> = found.into_iter().collect();
    let mut exact = found.iter().enumerate().filter(|(_, (id, _))| id == text).map(|(at, _)| at);
    let at = match (exact.next(), exact.next(), found.len()) {
        (Some(at), None, _) => at,
        (None, _, 1) => 0,
        (None, _, 0) => return Err(unknown()),
        _ => return Err(ambiguous(text, found.iter().map(|(id, _)| id.as_str()))),
    };
    Ok(found.swap_remove(at).1)
}

/// What is said where a text could mean several things.
pub(crate) fn ambiguous<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Error {
    let most = usize::try_from(TOLD).unwrap_or(usize::MAX);
    let candidates: Vec<&str> = candidates.take(most).collect();
    let more = if candidates.len() == most { ", .." } else { "" };
    ErrorKind::Ambiguous.because(format!(
        "`{}` could be {}{more}. Write more of the one that is meant.",
        text.escape_debug(),
        candidates.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_meant_where_it_is_unambiguous_and_an_id_always() {
        assert_eq!(of_kind("dlv", "dlv_0190a7").as_deref(), Some("dlv_0190a7"));
        assert_eq!(of_kind("dlv", "0190a7").as_deref(), Some("dlv_0190a7"));
        assert_eq!(
            (of_kind("dlv", "dlv_0190a"), of_kind("dlv", "dlv_0190ag"), of_kind("dlv", "pln_0190a7")),
            (None, None, None)
        );
        let unknown = || ErrorKind::UnknownDelivery.because("none");
        let all = |ids: &[&str]| ids.iter().map(|id| ((*id).to_owned(), (*id).to_owned())).collect::<Vec<_>>();
        assert_eq!(the_one("ab", all(&["abc"]), unknown).unwrap(), "abc");
        assert_eq!(the_one("ab", all(&["ab", "abc"]), unknown).unwrap(), "ab");
        assert_eq!(the_one("ab", all(&[]), unknown).unwrap_err().kind, ErrorKind::UnknownDelivery);
        for found in [["abc", "abd"], ["ab", "ab"]] {
            let refused = the_one("ab", all(&found), unknown).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Ambiguous);
            assert!(refused.detail.contains(found[1]), "{refused}");
        }
    }
}
