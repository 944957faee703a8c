//! Pages, and what is kept of them. Whole reads are tests of the product (`tests/it/product/polled.rs`).

use bytes::Bytes;
use chrono::DateTime;
use rollcall_events::Order;
use rollcall_ingest::connector::Failure;
use rollcall_outbound::{Client, Credentials, Limits, Target, Url};

use super::{Inner, Listing, Listings, follow::url_since};
use crate::{Mapping, MappingText, Paging, PagingText, RuleText};

fn listing(items: &str, next: Option<&str>, total: Option<&str>) -> Listing {
    let text = PagingText { items, next, total, time_zone: "UTC" };
    Listing {
        url: "https://api.example.com/v1/all".parse().unwrap(),
        paging: Paging::compile(&text).unwrap(),
        changed: None,
    }
}

fn source(listing: Listing) -> Listings {
    let rule = RuleText {
        emit: Some("product.upserted".to_owned()),
        fields: [("product".to_owned(), "payload.sku".to_owned())].into(),
        ..RuleText::default()
    };
    let text = MappingText {
        require: &[],
        json_texts: &[],
        rules: &[rule],
        id: None,
        time: None,
        sequence: None,
        order: Order::Observed,
        time_zone: "UTC",
    };
    let url: Url = "https://api.example.com/".parse().unwrap();
    let target = Target {
        url: &url,
        private_networks: &[],
        clear_text: false,
        authorities: None,
        credentials: Credentials::None,
        limits: Limits::default(),
    };
    let scope = rollcall_ingest::connector::Scope::of(["all"]);
    let poll = std::time::Duration::from_secs(60);
    Listings::new(
        "portal".parse().unwrap(),
        Client::new(target).unwrap(),
        vec![listing],
        Mapping::compile(&text).unwrap(),
        scope,
        poll,
    )
}

/// How many items and facts a page has, and where the next one is; else why it is not read.
fn page(
    items: &str,
    next: Option<&str>,
    total: Option<&str>,
    body: &str,
) -> Result<(usize, usize, Option<String>), String> {
    let source = source(listing(items, next, total));
    let inner: &Inner = &source.0;
    match inner.read_page(&inner.listings[0], &Bytes::copy_from_slice(body.as_bytes())) {
        Ok(page) => Ok((page.items, page.facts.len(), page.next)),
        Err(Failure::Partial(why)) => Err(why),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_page_says_what_is_on_it_and_where_the_next_one_is() {
    let next = "payload.has_more ? '?after=' + payload.data[size(payload.data) - 1].sku : null";
    let body = |more: bool| format!(r#"{{"data":[{{"sku":"A"}},{{"sku":"B"}}],"has_more":{more}}}"#);
    assert_eq!(page("payload.data", Some(next), None, &body(true)), Ok((2, 2, Some("?after=B".to_owned()))));
    assert_eq!(page("payload.data", Some(next), None, &body(false)), Ok((2, 2, None)));
    assert_eq!(page("payload", None, None, r#"[{"sku":"A"}]"#), Ok((1, 1, None)), "a list is a page too");
    assert_eq!(page("payload.data.map(i, {'sku': i.id})", None, None, r#"{"data":[{"id":"A"}]}"#), Ok((1, 1, None)));
    assert_eq!(page("payload", Some("''"), None, "[]"), Ok((0, 0, None)));
}

#[test]
fn a_page_that_is_not_understood_as_a_whole_is_none() {
    for (items, next, total, body, told) in [
        ("payload.data", None, None, "{}", "`data` is missing"),
        ("payload.data", None, None, r#"{"data":{}}"#, "`items` is no list"),
        ("payload", None, None, "[{\"sku\":\"A\"}", "malformed"),
        ("payload", None, None, r#"[{"sku":"A"},{"sku":NaN}]"#, "malformed at /1/sku"),
        ("payload", None, None, r#"[{"sku":"A"},{}]"#, "item 2: expression-failed at /sku"),
        ("payload", None, None, r#"[{"sku":""}]"#, "item 1: invalid-data"),
        ("payload", Some("7"), None, "[]", "`next` is no text and not null"),
        ("payload.data", None, Some("payload.count"), r#"{"data":[],"count":"many"}"#, "`total` is no whole number"),
    ] {
        let why = page(items, next, total, body).unwrap_err();
        assert!(why.contains(told), "{body}: {why}");
    }
}

#[test]
fn an_instant_takes_its_place_in_the_url_of_what_changed() {
    let since = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
    let url = url_since("https://api.example.com/all?updated_after={since}&limit=9", since).unwrap();
    assert_eq!(url.as_str(), "https://api.example.com/all?updated_after=2026-01-01T00%3A00%3A00.000Z&limit=9");
}
