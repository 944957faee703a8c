//! Searches that are whole or nothing: every page, every last result code, every range of values. A search that ends in
//! any other way is a fault, and what it gave until then counts for nothing. Knows no people and no groups.

use tokio::time::timeout;

use crate::wire::{
    connection::{Connection, SearchItem},
    fault::Fault,
    filter::everything,
    message::{Control, Entry, NO_SUCH_OBJECT, Outcome, PAGED, Scope, Search, page_cookie, paged},
};

/// adminLimitExceeded: also how a server says that a page is larger than it gives.
const ADMIN_LIMIT: u32 = 11;
/// sizeLimitExceeded, by our limit or by the server's.
const SIZE_LIMIT: u32 = 4;
/// So many pages in a row without an entry are no answer.
const MAX_EMPTY_PAGES: u32 = 1000;

/// What a search gave.
#[derive(Debug)]
pub struct Found<T> {
    pub items: Vec<T>,
    /// References to other servers. They are counted and not followed.
    pub references: usize,
}

/// All entries of a search, each through `take` as it comes. `pages` is how many to ask for at once; `None` for a server
/// that knows no pages.
pub async fn search_all<T>(
    connection: &mut Connection,
    search: &Search,
    pages: Option<u32>,
    take: &mut (dyn FnMut(Entry) -> T + Send),
) -> Result<Found<T>, Fault> {
    let mut size = pages;
    let until = connection.bytes_received().saturating_add(connection.limits().search);
    'again: loop {
        let mut found = Found { items: Vec::new(), references: 0 };
        let (mut cookie, mut empty_pages) = (Vec::new(), 0);
        loop {
            let page = size.map(|size| paged(size, &cookie));
            let control: Vec<Control> = search.controls.iter().cloned().chain(page).collect();
            let before = found.items.len();
            let (outcome, controls) = search_page(connection, search, &control, until, &mut found, take).await?;
            match (outcome.code, size) {
                (0, _) => {}
                (ADMIN_LIMIT, Some(last)) if last > 1 => {
                    // Asked again from the beginning, so that no entry is taken twice or left out.
                    size = Some(last / 2);
                    continue 'again;
                }
                _ => return Err(connection.refused(&format!("searching below {}", search.base), &outcome)),
            }
            if size.is_none() {
                return Ok(found);
            }
            let answer = controls.iter().find(|control| control.oid == PAGED);
            let answer = answer.and_then(|control| control.value.as_deref()).ok_or_else(|| {
                let url = connection.url();
                Fault::Malformed(format!(
                    "{url}: a page of {} comes without saying whether it is the last",
                    search.base
                ))
            })?;
            cookie = page_cookie(answer)?;
            if cookie.is_empty() {
                return Ok(found);
            }
            empty_pages = if found.items.len() == before { empty_pages + 1 } else { 0 };
            if empty_pages > MAX_EMPTY_PAGES {
                return Err(Fault::Malformed(format!(
                    "{}: {} sends empty pages for ever",
                    search.base,
                    connection.url()
                )));
            }
        }
    }
}

/// One request's answer, up to its result. `until`: how many bytes may have come on the connection by then.
async fn search_page<T>(
    connection: &mut Connection,
    search: &Search,
    controls: &[Control],
    until: u64,
    found: &mut Found<T>,
    take: &mut (dyn FnMut(Entry) -> T + Send),
) -> Result<(Outcome, Vec<Control>), Fault> {
    let id = connection.search(search, controls).await?;
    loop {
        match connection.next(id).await? {
            SearchItem::Entry(entry, _) => found.items.push(take(entry)),
            SearchItem::Reference => found.references += 1,
            SearchItem::Intermediate(..) => {}
            SearchItem::Done(outcome, controls) => return Ok((outcome, controls)),
        }
        if connection.bytes_received() > until {
            let what = format!("{}: a search below {} goes on beyond all bounds", connection.url(), search.base);
            return Err(Fault::Malformed(format!("{what} (512 MiB); name bases further down, or filters")));
        }
        if search.scope == Scope::Base && found.items.len() > 1 {
            let what = format!("{}: several entries are given for the one name {}", connection.url(), search.base);
            return Err(Fault::Malformed(what));
        }
    }
}

/// The first entry that a server gives, as a page of one where it knows pages, so that the limits of a whole read hold and
/// no others: that there are more is no fault.
pub async fn first(connection: &mut Connection, search: Search, has_pages: bool) -> Result<Option<Entry>, Fault> {
    let mut found = Found { items: Vec::new(), references: 0 };
    let until = connection.bytes_received().saturating_add(connection.limits().search);
    let search = Search { limit: u32::from(!has_pages), ..search };
    let mut cookie = Vec::new();
    for _ in 0..MAX_EMPTY_PAGES {
        let controls: Vec<Control> = has_pages.then(|| paged(1, &cookie)).into_iter().collect();
        let (outcome, answered) = search_page(connection, &search, &controls, until, &mut found, &mut |e| e).await?;
        let is_cut = outcome.code == SIZE_LIMIT && !has_pages && !found.items.is_empty();
        if outcome.code != 0 && !is_cut {
            return Err(connection.refused(&format!("searching below {}", search.base), &outcome));
        }
        let page = answered.iter().find(|control| control.oid == PAGED).and_then(|control| control.value.as_deref());
        cookie = page.map(page_cookie).transpose()?.unwrap_or_default();
        if !found.items.is_empty() || cookie.is_empty() {
            break;
        }
    }
    Ok(found.items.pop())
}

/// One entry by its name: `None` where the directory says that there is none, or that it is not what the filter takes.
pub async fn read_entry(
    connection: &mut Connection,
    dn: &str,
    filter: Option<crate::wire::filter::Filter>,
    attributes: Vec<String>,
) -> Result<Option<Entry>, Fault> {
    let filter = filter.unwrap_or_else(everything);
    let search = Search { base: dn.to_owned(), scope: Scope::Base, filter, attributes, controls: Vec::new(), limit: 0 };
    let mut found = Found { items: Vec::new(), references: 0 };
    let limits = connection.limits();
    let until = connection.bytes_received().saturating_add(limits.message as u64);
    let answer =
        timeout(limits.answer, search_page(connection, &search, &[], until, &mut found, &mut |entry| entry)).await;
    let what = if dn.is_empty() { "the root entry" } else { dn };
    let (outcome, _) = answer.unwrap_or_else(|_| {
        Err(Fault::Unreachable(format!("{}: {what} is not read to its end in {:?}", connection.url(), limits.answer)))
    })?;
    match outcome.code {
        0 => Ok(found.items.pop()),
        NO_SUCH_OBJECT => Ok(None),
        _ => Err(connection.refused(&format!("reading {what}"), &outcome)),
    }
}

/// The values of an attribute that came in a range: its name, the first index, the last one (`None` where it is the end).
fn range(description: &str) -> Option<(&str, u64, Option<u64>)> {
    let (name, options) = description.split_once(';')?;
    let (first, last) = options.split(';').find_map(|option| option.strip_prefix("range="))?.split_once('-')?;
    let last = if last == "*" { None } else { Some(last.parse().ok()?) };
    Some((name, first.parse().ok()?, last))
}

/// Whether some of its attributes came in part.
pub fn is_ranged(entry: &Entry) -> bool {
    entry.attributes.iter().any(|(description, _)| range(description).is_some())
}

/// Completes the attributes that came in ranges, so that each stands under its own name with all its values (trap 9).
pub async fn complete_ranges(connection: &mut Connection, entry: &mut Entry) -> Result<(), Fault> {
    while let Some(at) = entry.attributes.iter().position(|(description, _)| range(description).is_some()) {
        let (description, mut values) = entry.attributes.swap_remove(at);
        let Some((name, first, mut last)) = range(&description) else { continue };
        // As many as came the first time; a server with fewer left says `*`.
        let more = last.map_or(0, |last| last.saturating_sub(first));
        while let Some(end) = last {
            let next = end + 1;
            let wanted = format!("{name};range={next}-{}", next.saturating_add(more));
            let again = self::read_entry(connection, &entry.dn, None, vec![wanted]).await?;
            let chunk = again.and_then(|again| {
                again.attributes.into_iter().find_map(|(description, values)| {
                    let (known, first, last) = range(&description)?;
                    (known.eq_ignore_ascii_case(name) && first == next).then_some((values, last))
                })
            });
            // Nothing more where more was promised: the entry changed meanwhile, or is gone.
            let (more, end_of_chunk) = chunk.ok_or_else(|| {
                Fault::Malformed(format!(
                    "{}: {} does not go on with {name} after {end} values",
                    connection.url(),
                    entry.dn
                ))
            })?;
            if end_of_chunk.is_some_and(|last| last < next) || (more.is_empty() && end_of_chunk.is_some()) {
                return Err(Fault::Malformed(format!(
                    "{}: {} gives ranges of {name} that go back",
                    connection.url(),
                    entry.dn
                )));
            }
            values.extend(more);
            last = end_of_chunk;
        }
        // An empty attribute of the same name comes along with the first range.
        let name = name.to_owned();
        entry.attributes.retain(|(known, values)| *known != name || !values.is_empty());
        match entry.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(values),
            None => entry.attributes.push((name, values)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(range("member;range=0-1499"), Some(("member", 0, Some(1499))));
        assert_eq!(range("member;range=1500-*"), Some(("member", 1500, None)));
        for text in ["member", "member;binary", "member;range=", "member;range=a-b", "member;range=5"] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
