//! `If-Match` and `If-None-Match` of a request. One that cannot be read is refused and never left out in silence: whoever
//! sends one relies on it. Knows no thing that they are about.

use axum::http::{HeaderMap, HeaderName, header};
use rollcall_app::Precondition;
use rollcall_events::Position;

use crate::http::problem::{Kind, Problem, Result};

/// What a command demands of the thing that it is about.
pub(crate) fn precondition(headers: &HeaderMap) -> Result<Precondition> {
    let (matches, none) = (tags(headers, header::IF_MATCH)?, tags(headers, header::IF_NONE_MATCH)?);
    match (matches.as_deref(), none.as_deref()) {
        (None, None) => Ok(Precondition::None),
        (None, Some(["*"])) => Ok(Precondition::Missing),
        (Some(["*"]), None) => Ok(Precondition::Present),
        (Some(tags), None) => Ok(Precondition::NewestAt(tags.iter().filter_map(|tag| position_of(tag)).collect())),
        _ => Err(Kind::InvalidQuery.because(
            "Send `If-Match` with the `ETag` of what you saw, or `If-None-Match: *` to make something new; not both. Nothing was changed.",
        )),
    }
}

/// Refuses a request that has either header, on a route that takes none.
pub(crate) fn refuse(headers: &HeaderMap, names: &[HeaderName]) -> Result<()> {
    match names.iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(Kind::InvalidQuery.because(format!("This route takes no `{name}`. Nothing was changed."))),
        None => Ok(()),
    }
}

/// The plan that `If-Match` names, where there is one: what its one entity tag has between the quotes.
pub(crate) fn if_match_plan(headers: &HeaderMap) -> Result<Option<String>> {
    match tags(headers, header::IF_MATCH)?.as_deref() {
        None => Ok(None),
        Some([tag]) if tag.starts_with('"') => Ok(Some(tag.trim_matches('"').to_owned())),
        Some(_) => Err(Kind::InvalidQuery
            .because("Send `If-Match` once, with the `ETag` of one plan as it was given. Nothing was changed.")),
    }
}

/// The values of `If-None-Match` of a request that reads, as one list.
pub(crate) fn if_none_match(headers: &HeaderMap) -> Result<Option<String>> {
    tags(headers, header::IF_NONE_MATCH).map(|tags| tags.map(|tags| tags.join(",")))
}

/// The entity tags of a header, or `*`; nothing where it was not sent.
fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<Vec<&str>>> {
    let mut found = Vec::new();
    for value in headers.get_all(&name) {
        let text = value.to_str().map_err(|_| unreadable(&name))?;
        found.extend(text.split(',').map(str::trim));
    }
    let tag = |text: &&str| {
        let inner = text.trim_start_matches("W/").strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inner.is_some_and(|inner| !inner.contains('"'))
    };
    if !headers.contains_key(&name) {
        Ok(None)
    } else if matches!(*found, ["*"]) || found.iter().all(tag) {
        Ok(Some(found))
    } else {
        Err(unreadable(&name))
    }
}

fn unreadable(name: &HeaderName) -> Problem {
    Kind::InvalidQuery.because(format!(
        "`{name}` is `*`, or entity tags as an `ETag` gave them, with their quotes. This is neither. Nothing was changed."
    ))
}

/// The position in an entity tag, `"pos-12"` or `"pos-12-.."`. Weak tags are none for `If-Match`.
fn position_of(tag: &str) -> Option<Position> {
    let inner = tag.strip_prefix("\"pos-")?.strip_suffix('"')?;
    inner.split('-').next()?.parse().ok().map(Position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[(HeaderName, &[u8])]) -> HeaderMap {
        values.iter().map(|(name, value)| (name.clone(), value.to_vec().try_into().unwrap())).collect()
    }

    #[test]
    fn a_condition_that_cannot_be_read_is_refused_and_not_left_out() {
        for value in [&b"\"pos-1\xff\""[..], b"pos-1", b"", b"\"a", b"*,*", b"\"a\" \"b\"", b"\"a\",,"] {
            for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
                let refused = precondition(&headers(&[(name.clone(), value)]));
                assert!(refused.is_err_and(|problem| problem.kind() == Kind::InvalidQuery), "{name}: {value:?}");
            }
        }
        let mut twice = headers(&[(header::IF_MATCH, b"\"pos-1\"")]);
        twice.append(header::IF_MATCH, "*".parse().unwrap());
        assert!(precondition(&twice).is_err());
        assert!(if_match_plan(&twice).is_err() && if_match_plan(&headers(&[(header::IF_MATCH, b"*")])).is_err());
        assert!(precondition(&headers(&[(header::IF_MATCH, b"*"), (header::IF_NONE_MATCH, b"*")])).is_err());
    }

    #[test]
    fn a_condition_holds_of_what_it_names() {
        let read = |name, value: &[u8]| precondition(&headers(&[(name, value)])).unwrap();
        let (one, two) = (Some(Position(1)), Some(Position(2)));
        let listed = read(header::IF_MATCH, b"\"pos-7\", \"pos-2-x\", W/\"pos-1\"");
        assert!(listed.holds(two) && !listed.holds(one) && !listed.holds(None));
        let there = read(header::IF_MATCH, b"*");
        assert!(there.holds(one) && !there.holds(None));
        let missing = read(header::IF_NONE_MATCH, b"*");
        assert!(missing.holds(None) && !missing.holds(one));
        assert_eq!(precondition(&HeaderMap::new()).unwrap(), Precondition::None);
    }
}
