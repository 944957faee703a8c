//! What every engine must do, once: each function is a rule, run on each engine by `conformance!`.
//! Knows the facade and nothing of any engine.

use std::sync::Arc;

use chrono::Duration;
use futures_util::{StreamExt, TryStreamExt, future::join_all};
use rollcall_events::{Clock, NewEvent, Position, Raised, Reader, Recorded};

use super::kit::{TestClock, event, events, read_all};
use crate::{Append, Filter, Log, Outcome, PAGE_BYTES, Tail, TailError, When, sequence::to_micros};

/// Makes one test of each rule. `$open` takes the clock and gives `(log, something to keep alive)`.
macro_rules! conformance {
    ($open:expr) => {
        crate::suite::conformance::conformance! { $open;
            an_event_is_recorded_once_and_returns_as_a_duplicate
            a_returning_key_with_other_bytes_is_a_conflict_and_changes_nothing
            duplicates_and_conflicts_inside_a_batch_are_told_apart
            what_brought_an_event_may_differ
            pages_end_where_they_are_told_to
            a_reader_catches_up_while_others_append
            concurrent_appenders_get_one_order_and_each_batch_stays_together
            the_head_is_never_ahead_of_what_can_be_read
            an_empty_batch_is_nothing
            large_data_comes_back_as_it_is
            what_is_read_at_once_is_bounded_in_bytes_however_it_is_asked_for
            every_text_comes_back_as_it_is
            the_largest_numbers_come_back_as_they_are
            recorded_at_never_decreases
            a_page_is_filtered_and_says_where_it_ended
            a_reader_beyond_the_end_is_refused
            records_are_found_by_position_and_one_that_is_not_there_is_damage
            an_event_is_found_by_the_beginning_of_its_id
            a_moment_is_the_last_record_of_then
            time_goes_back_where_the_clock_was_mended_and_moments_are_found_across_it
            the_signed_head_fits_the_chain_and_the_key
            what_an_older_version_cannot_judge_comes_behind_a_record_that_says_so
        }
    };
    ($open:expr; $($rule:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            let clock = crate::suite::kit::TestClock::new();
            let (log, _keep) = $open(clock.clone()).await;
            crate::suite::conformance::$rule(log, clock).await;
        }
    )* };
}
pub(crate) use conformance;

fn positions(outcomes: &[Outcome]) -> Vec<u64> {
    outcomes
        .iter()
        .map(|o| match o {
            Outcome::Recorded(p) => p.0,
            other => panic!("not recorded: {other:?}"),
        })
        .collect()
}

pub(crate) async fn an_event_is_recorded_once_and_returns_as_a_duplicate(log: Log, _: Arc<TestClock>) {
    let first = log.append(events(0..3)).await.unwrap();
    let positions = positions(&first);
    assert!(positions.is_sorted() && positions[0] > 0);
    let again = log.append(events(0..4)).await.unwrap();
    let expected: Vec<_> = positions.iter().map(|p| Outcome::Duplicate(Position(*p))).collect();
    assert_eq!(again[..3], expected);
    assert!(matches!(again[3], Outcome::Recorded(p) if p.0 > positions[2]));
    let read = read_all(&log, 4, 100).await;
    assert_eq!(read.iter().map(|r| r.event.clone()).collect::<Vec<_>>(), events(0..4));
}

pub(crate) async fn a_returning_key_with_other_bytes_is_a_conflict_and_changes_nothing(
    log: Log,
    clock: Arc<TestClock>,
) {
    let mut base = event("k", "{}");
    base.time = Some(clock.now());
    base.sequence = Some(1);
    let at = log.append(vec![base.clone()]).await.unwrap()[0];
    let Outcome::Recorded(at) = at else { panic!("{at:?}") };
    let head = *log.head().borrow();
    let changes: [fn(&mut NewEvent); 5] = [
        |e| e.kind = "rollcall.product.removed.v1".into(),
        |e| e.subject = "product/other".into(),
        |e| e.time = None,
        |e| e.sequence = Some(2),
        |e| e.data = "{ }".into(),
    ];
    for change in changes {
        let mut other = base.clone();
        change(&mut other);
        assert_eq!(log.append(vec![other]).await.unwrap(), [Outcome::Conflict(at)]);
    }
    assert_eq!(*log.head().borrow(), head);
    // The log keeps microseconds: a finer time that comes back is still the same event.
    assert_eq!(log.append(vec![base]).await.unwrap(), [Outcome::Duplicate(at)]);
}

pub(crate) async fn duplicates_and_conflicts_inside_a_batch_are_told_apart(log: Log, _: Arc<TestClock>) {
    let (a, b) = (event("a", "1"), event("b", "1"));
    let outcomes = log.append(vec![a.clone(), b.clone(), a.clone(), event("a", "2"), b]).await.unwrap();
    let [Outcome::Recorded(first), Outcome::Recorded(second), rest @ ..] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(rest, [Outcome::Duplicate(*first), Outcome::Conflict(*first), Outcome::Duplicate(*second)]);
    assert_eq!(read_all(&log, 2, 10).await[0].event, a);
    // The same id of another source is another key.
    let mut other = a;
    other.key.source = "corp-ldap".parse().unwrap();
    assert!(matches!(log.append(vec![other]).await.unwrap()[..], [Outcome::Recorded(_)]));
}

pub(crate) async fn what_brought_an_event_may_differ(log: Log, _: Arc<TestClock>) {
    let mut first = event("a", "1");
    first.correlation = Some("dlv_1".into());
    log.append(vec![first.clone()]).await.unwrap();
    let mut again = first.clone();
    again.correlation = Some("dlv_2".into());
    again.origin = Some("//elsewhere".into());
    assert!(matches!(log.append(vec![again]).await.unwrap()[..], [Outcome::Duplicate(_)]));
    assert_eq!(read_all(&log, 1, 1).await[0].event, first);
}

pub(crate) async fn pages_end_where_they_are_told_to(log: Log, _: Arc<TestClock>) {
    for from in [0, 7, 8, 30] {
        log.append(events(from..from + 23)).await.unwrap();
    }
    let whole = read_all(&log, 53, 1000).await;
    assert_eq!(whole.len(), 53);
    for page in [1, 2, 7, 23, 52, 53, 54] {
        assert_eq!(read_all(&log, 53, page).await, whole, "page {page}");
    }
    for from in [0, 1, 22, 23, 24, 51] {
        let page = log.read(whole[from].position, 5).next().await;
        assert_eq!(page.unwrap().unwrap()[0], whole[from + 1]);
    }
}

pub(crate) async fn a_reader_catches_up_while_others_append(log: Log, _: Arc<TestClock>) {
    log.append(events(0..300)).await.unwrap();
    let appending = log.clone();
    let writer = tokio::spawn(async move {
        for n in 30..100 {
            appending.append(events(n * 10..n * 10 + 10)).await.unwrap();
        }
    });
    let readers = [1, 3, 64, 5000].map(|page| {
        let log = log.clone();
        tokio::spawn(async move { read_all(&log, 1000, page).await })
    });
    let read = join_all(readers).await;
    writer.await.unwrap();
    for records in read {
        let events_read: Vec<_> = records.unwrap().into_iter().map(|r| r.event).collect();
        assert_eq!(events_read, events(0..1000));
    }
}

pub(crate) async fn concurrent_appenders_get_one_order_and_each_batch_stays_together(log: Log, _: Arc<TestClock>) {
    let appenders = (0..32).map(|n| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut got = Vec::new();
            for m in 0..10 {
                let from = n * 1000 + m * 10;
                got.push((from, positions(&log.append(events(from..from + 5)).await.unwrap())));
            }
            got
        })
    });
    let answers: Vec<_> = join_all(appenders).await.into_iter().flat_map(Result::unwrap).collect();
    let read = read_all(&log, 32 * 50, 77).await;
    assert!(read.windows(2).all(|w| w[0].position < w[1].position));
    for (from, positions) in answers {
        let at = read.iter().position(|r| r.position.0 == positions[0]).unwrap();
        let stored: Vec<_> = read[at..at + 5].to_vec();
        assert_eq!(stored.iter().map(|r| r.position.0).collect::<Vec<_>>(), positions);
        assert_eq!(stored.into_iter().map(|r| r.event).collect::<Vec<_>>(), events(from..from + 5));
    }
}

pub(crate) async fn the_head_is_never_ahead_of_what_can_be_read(log: Log, _: Arc<TestClock>) {
    let mut head = log.head();
    let appending = log.clone();
    let writer = tokio::spawn(async move {
        for n in 0..100 {
            let outcome = appending.append(events(n..n + 1)).await.unwrap()[0];
            let Outcome::Recorded(at) = outcome else { panic!("{outcome:?}") };
            // Acknowledged means that the head says so already.
            assert!(appending.head().borrow().position >= at);
        }
    });
    let mut last = crate::Head::empty(Append::log_id(&log));
    while last.position.0 < 100 {
        head.changed().await.unwrap();
        let now = *head.borrow_and_update();
        assert!(now.position > last.position);
        let (records, ended) = log.page(last.position, 1000, &Filter::default()).await.unwrap();
        assert!(ended >= now.position);
        let chained =
            records.iter().filter(|r| r.position <= now.position).fold(last.hash, rollcall_events::chain_step);
        assert_eq!(chained, now.hash);
        last = now;
    }
    writer.await.unwrap();
}

pub(crate) async fn an_empty_batch_is_nothing(log: Log, _: Arc<TestClock>) {
    assert_eq!(log.append(Vec::new()).await.unwrap(), []);
    assert_eq!(*log.head().borrow(), crate::Head::empty(Append::log_id(&log)));
    assert_eq!(Append::log_id(&log), Tail::log_id(&log));
    let (none, ended) = log.page(Position(0), 10, &Filter::default()).await.unwrap();
    assert_eq!((none.len(), ended), (0, Position(0)));
}

pub(crate) async fn large_data_comes_back_as_it_is(log: Log, _: Arc<TestClock>) {
    let large = format!(r#"{{"x":"{}"}}"#, "é\\\"".repeat(1 << 20));
    let batch = vec![event("before", "{}"), event("large", &large), event("after", "{}")];
    log.append(batch.clone()).await.unwrap();
    let read = read_all(&log, 3, 100).await;
    assert!(read.iter().zip(&batch).all(|(r, e)| r.event == *e));
    assert!(matches!(log.append(batch).await.unwrap()[..], [_, Outcome::Duplicate(_), _]));
}

pub(crate) async fn what_is_read_at_once_is_bounded_in_bytes_however_it_is_asked_for(log: Log, _: Arc<TestClock>) {
    let name = "n".repeat(900_000);
    let large: Vec<_> = (0..12).map(|n| event(&format!("large{n}"), &format!(r#"{{"name":"{name}{n}"}}"#))).collect();
    let huge = event("huge", &"h".repeat(PAGE_BYTES + 1));
    let all: Vec<NewEvent> = large.into_iter().chain([huge]).chain(events(0..40)).collect();
    let position = positions(&log.append(all.clone()).await.unwrap());
    let bytes = |page: &[Recorded]| page.iter().map(|r| r.event.data.len() + r.event.subject.len()).sum::<usize>();
    let fits = |page: &[Recorded]| assert!(bytes(page) <= PAGE_BYTES || page.len() == 1, "{} at once", bytes(page));

    let mut tail = log.read(Position(0), 1024);
    let mut read = Vec::new();
    while read.len() < all.len() {
        let page = tail.next().await.unwrap().unwrap();
        fits(&page);
        read.extend_from_slice(&page);
    }
    assert!(read.iter().zip(&all).all(|(r, e)| r.event == *e));

    for filter in [Filter::default(), Filter { source: Some("flexnet".into()), ..Filter::default() }] {
        let (mut found, mut at) = (Vec::new(), Position(0));
        while found.len() < all.len() {
            let (page, ended) = log.page(at, 1024, &filter).await.unwrap();
            fits(&page);
            assert!(ended > at);
            (found, at) = ([found, page].concat(), ended);
        }
        assert!(found == read, "{filter:?}");
    }
    let mut pages = log.records(position.iter().map(|p| Position(*p)).collect());
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        fits(&page);
        found.extend(page);
    }
    assert!(found == read);
    // What returns is told apart whatever its size, and in one batch.
    let mut again = all.clone();
    again[3].data = "other".into();
    let outcomes = log.append(again).await.unwrap();
    assert_eq!(outcomes.iter().filter(|o| matches!(o, Outcome::Duplicate(_))).count(), all.len() - 1);
    assert_eq!(outcomes[3], Outcome::Conflict(Position(position[3])));
}

pub(crate) async fn every_text_comes_back_as_it_is(log: Log, _: Arc<TestClock>) {
    let texts = [
        "",
        " ",
        "é",
        "e\u{301}",
        "İstanbul",
        "名前",
        "\u{1F600}",
        "\u{10FFFF}",
        "\u{FEFF}x",
        "\u{FFFD}",
        "\u{FFFF}",
        "\"\\/\u{8}\u{c}\n\r\t",
        "\\u0041",
        "a\u{0}b",
        "\u{0}",
        "\u{7f}\u{80}\u{9f}",
        "\u{2028}\u{2029}",
        "'; --",
        "null",
        "1e400",
        "-0",
        "0x10",
        "[]",
        "{",
        "- -",
    ];
    let batch: Vec<_> = texts
        .iter()
        .map(|text| {
            let mut e = event(&format!("<{text}>"), text);
            e.kind = (*text).into();
            e.subject = (*text).into();
            e.origin = Some((*text).into());
            e.correlation = Some((*text).into());
            e.traceparent = None;
            e
        })
        .collect();
    log.append(batch.clone()).await.unwrap();
    for (record, event) in read_all(&log, batch.len(), 7).await.iter().zip(&batch) {
        assert_eq!(record.event, *event);
    }
    for outcome in log.append(batch).await.unwrap() {
        assert!(matches!(outcome, Outcome::Duplicate(_)), "{outcome:?}");
    }
}

pub(crate) async fn the_largest_numbers_come_back_as_they_are(log: Log, _: Arc<TestClock>) {
    let times = [
        "-262143-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999Z",
        "2026-03-01T12:00:00.000001Z",
        "+262142-12-31T23:59:59.999999Z",
    ];
    let sequences = [0, 1, u64::from(u32::MAX) + 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];
    let mut batch = events(0..6);
    for (n, event) in batch.iter_mut().enumerate() {
        event.sequence = Some(sequences[n]);
        event.time = times.get(n).map(|t| t.parse().unwrap());
    }
    log.append(batch.clone()).await.unwrap();
    let read: Vec<_> = read_all(&log, 6, 10).await.into_iter().map(|r| r.event).collect();
    assert_eq!(read, batch);
    assert!(log.append(batch).await.unwrap().iter().all(|o| matches!(o, Outcome::Duplicate(_))));
}

pub(crate) async fn recorded_at_never_decreases(log: Log, clock: Arc<TestClock>) {
    for (n, step) in [0, 5, -3600, 1, 7200].into_iter().enumerate() {
        clock.step(Duration::seconds(step));
        log.append(events(n..n + 1)).await.unwrap();
    }
    let times: Vec<_> = read_all(&log, 5, 10).await.into_iter().map(|r| r.recorded_at).collect();
    assert!(times.is_sorted());
    assert_eq!(times[1], times[3], "the clock was behind");
    assert!(times[4] > times[3]);
    assert!(times.iter().all(|t| t.timestamp_subsec_nanos() % 1000 == 0));
}

pub(crate) async fn a_page_is_filtered_and_says_where_it_ended(log: Log, _: Arc<TestClock>) {
    let mut batch = events(0..3000);
    for (n, event) in batch.iter_mut().enumerate() {
        if n % 100 == 7 {
            event.key.source = "corp-ldap".parse().unwrap();
            event.kind = "rollcall.group.upserted.v1".into();
            event.subject = format!("group/{n}").into();
            event.correlation = Some("run_1".into());
        }
    }
    log.append(batch).await.unwrap();
    let whole = read_all(&log, 3000, 5000).await;
    let wanted: Vec<_> = whole.iter().filter(|r| r.event.kind.contains("group")).cloned().collect();
    let text = |s: &str| Some(s.to_owned());
    let filters = [
        Filter { source: text("corp-ldap"), ..Filter::default() },
        Filter { kind: text("rollcall.group.*"), ..Filter::default() },
        Filter { kind: text("rollcall.group.upserted.v1"), subject: text("group/*"), ..Filter::default() },
        Filter { correlation: text("run_1"), ..Filter::default() },
    ];
    for filter in filters {
        let (mut at, mut found) = (Position(0), Vec::new());
        while at < whole[2999].position {
            let (page, ended) = log.page(at, 4, &filter).await.unwrap();
            assert!(page.len() <= 4 && ended > at);
            found.extend(page);
            at = ended;
        }
        assert_eq!(found, wanted, "{filter:?}");
    }
    let none = Filter { subject: text("group"), ..Filter::default() };
    assert_eq!(log.page(whole[2900].position, 10, &none).await.unwrap(), (vec![], whole[2999].position));
    let one = log.page(whole[1233].position, 1, &Filter::default()).await.unwrap();
    assert_eq!(one, (vec![whole[1234].clone()], whole[1234].position));
}

pub(crate) async fn a_reader_beyond_the_end_is_refused(log: Log, _: Arc<TestClock>) {
    log.append(events(0..3)).await.unwrap();
    let end = log.head().borrow().position;
    let beyond = Position(end.0 + 1);
    let error = log.read(beyond, 10).try_next().await.unwrap_err();
    assert!(matches!(error, TailError::Damaged { position, .. } if position == beyond), "{error}");
    assert!(error.to_string().contains(&format!("ends at {end}")), "{error}");
}

pub(crate) async fn records_are_found_by_position_and_one_that_is_not_there_is_damage(log: Log, _: Arc<TestClock>) {
    log.append(events(0..2_500)).await.unwrap();
    let whole = read_all(&log, 2_500, 1_000).await;
    let asked: Vec<Position> = whole.iter().rev().step_by(2).map(|record| record.position).collect();
    let records = async |asked: &[Position]| log.records(asked.to_vec()).try_concat().await;
    let found = records(&asked).await.unwrap();
    let expected: Vec<_> = whole.iter().filter(|record| asked.contains(&record.position)).cloned().collect();
    assert_eq!(found, expected);
    assert_eq!(records(&[]).await.unwrap(), []);
    assert_eq!(log.record(asked[1]).await.unwrap(), whole[whole.len() - 3]);
    let beyond = Position(whole.last().unwrap().position.0 + 1);
    for gone in [records(&[asked[0], beyond]).await.unwrap_err(), log.record(beyond).await.unwrap_err()] {
        assert!(matches!(gone, TailError::Damaged { position, .. } if position == beyond), "{gone}");
    }
}

pub(crate) async fn an_event_is_found_by_the_beginning_of_its_id(log: Log, _: Arc<TestClock>) {
    let ids = ["abc%", "abc", "abd", "ab_", "x"];
    for id in ids {
        log.append(vec![event(id, "1")]).await.unwrap();
    }
    let source = event("x", "1").key.source;
    for (begins, limit, found) in [
        ("abc", 9, vec![2, 1]),
        ("ab", 9, vec![4, 2, 1, 3]),
        ("ab", 2, vec![4, 2]),
        ("ab_", 9, vec![4]),
        ("abc%", 9, vec![1]),
        ("zz", 9, vec![]),
    ] {
        let positions = log.by_id(source.as_str(), begins, limit).await.unwrap();
        assert_eq!(positions.iter().map(|position| position.0).collect::<Vec<_>>(), found, "{begins}");
    }
    assert_eq!(log.by_id("other", "ab", 9).await.unwrap(), []);
    let begins = ["ab", "zz", "abc", "x"].map(str::to_owned);
    for (since, found) in [
        (0, [vec![1, 2, 3, 4], vec![], vec![1, 2], vec![5]]),
        (1, [vec![1, 2, 3, 4], vec![], vec![1, 2], vec![5]]),
        (2, [vec![2, 3, 4], vec![], vec![2], vec![5]]),
        (9, [vec![4], vec![], vec![2], vec![5]]),
    ] {
        let positions = log.since_by_id(source.as_str(), &begins, Position(since)).await.unwrap();
        assert_eq!(positions, found.map(|of| of.into_iter().map(Position).collect::<Vec<_>>()), "since {since}");
    }
    assert_eq!(log.since_by_id("other", &begins, Position(0)).await.unwrap(), vec![vec![]; 4]);
    for begins in ["", "a", "ab", "zz"] {
        let other = (1u64..).zip(ids).filter(|(_, id)| !id.starts_with(begins)).map(|(at, _)| Position(at)).max();
        assert_eq!(log.newest_by_other_id(source.as_str(), begins).await.unwrap(), other, "{begins}");
    }
    assert_eq!(log.newest_by_other_id("other", "ab").await.unwrap(), None);
}

pub(crate) async fn a_moment_is_the_last_record_of_then(log: Log, clock: Arc<TestClock>) {
    assert_eq!(log.moment(When::Instant(clock.now())).await.unwrap(), None);
    let start = clock.now();
    let mut heads = Vec::new();
    for n in 0..5 {
        clock.step(Duration::seconds(10));
        log.append(events(n * 3..n * 3 + 3)).await.unwrap();
        heads.push((clock.now(), *log.head().borrow()));
    }
    assert_eq!(log.moment(When::Instant(start)).await.unwrap(), None);
    assert_eq!(log.moment(When::Position(Position(0))).await.unwrap(), None);
    for (at, head) in &heads {
        for late in [0, 9] {
            let moment = log.moment(When::Instant(*at + Duration::seconds(late))).await.unwrap().unwrap();
            assert_eq!((moment.position, moment.hash), (head.position, head.hash), "{late} s after {at}");
        }
        let moment = log.moment(When::Position(head.position)).await.unwrap().unwrap();
        assert_eq!((moment.position, moment.hash), (head.position, head.hash));
        assert_eq!(moment.recorded_at.timestamp(), at.timestamp());
    }
}

pub(crate) async fn time_goes_back_where_the_clock_was_mended_and_moments_are_found_across_it(
    log: Log,
    clock: Arc<TestClock>,
) {
    let (start, hour, year) = (clock.now(), Duration::hours(1), Duration::days(365));
    let append = async |n: usize| positions(&log.append(events(n..n + 1)).await.unwrap())[0];
    let good = append(0).await;
    clock.step(year);
    let lied = append(1).await;
    clock.step(hour - year);
    let after = append(2).await;
    assert_eq!(read_all(&log, 3, 10).await[2].recorded_at, read_all(&log, 3, 10).await[1].recorded_at);
    clock.step(hour);
    let mended = log.mend_clock(clock.now()).await.unwrap();
    clock.step(hour);
    let last = append(3).await;
    let read = read_all(&log, 6, 10).await;
    let micros = |hours: i32| to_micros(start + hour * hours);
    assert_eq!([read[4].recorded_at, read[5].recorded_at], [micros(2), micros(3)], "time is counted again");
    assert!(read[4].event.mends_clock() && read[4].position == mended && last > mended.0);

    // What was recorded by a clock that lied was recorded no later than it was mended.
    let at = async |when| log.moment(when).await.unwrap().map(|m| (m.position.0, m.recorded_at, m.mended));
    for (instant, position, told) in [
        (micros(0) - hour, None, None),
        (micros(0), Some(good), Some(0)),
        (micros(1), Some(good), Some(0)),
        (micros(2), Some(mended.0), Some(2)),
        (micros(3) + year, Some(last), Some(3)),
    ] {
        let found = at(When::Instant(instant)).await;
        assert_eq!(found.map(|m| (m.0, m.1)), position.zip(told.map(micros)), "{instant}");
    }
    for position in [lied, after] {
        let found = at(When::Position(Position(position))).await;
        assert_eq!(found, Some((position, micros(2), Some(mended))), "the latest that it can have been");
    }
    assert_eq!(at(When::Position(Position(good))).await, Some((good, micros(0), None)));
    // Mended once more, later: what was recorded before the first time stays told by the first.
    clock.step(year);
    append(4).await;
    clock.step(-year);
    let again = log.mend_clock(clock.now()).await.unwrap();
    assert_eq!(at(When::Position(Position(lied))).await, Some((lied, micros(2), Some(mended))));
    assert_eq!(at(When::Position(Position(again.0 - 1))).await, Some((again.0 - 1, micros(3), Some(again))));
    assert_eq!(log.clock_mends().await.unwrap().iter().map(|m| m.position).collect::<Vec<_>>(), [mended, again]);
}

pub(crate) async fn the_signed_head_fits_the_chain_and_the_key(log: Log, clock: Arc<TestClock>) {
    log.append(events(0..3)).await.unwrap();
    let signed = log.signed_head().await.unwrap();
    assert_eq!(signed.check(&log.public_key_pem()), Ok(*log.head().borrow()));
    assert_eq!((signed.log.clone(), signed.signed_at), (Tail::log_id(&log).to_string(), clock.now()));
    let start = rollcall_events::chain_start(Tail::log_id(&log));
    let chained = read_all(&log, 3, 2).await.iter().fold(start, rollcall_events::chain_step);
    assert_eq!(signed.hash, chained.to_string());
}

pub(crate) async fn what_an_older_version_cannot_judge_comes_behind_a_record_that_says_so(
    log: Log,
    clock: Arc<TestClock>,
) {
    assert_eq!(positions(&log.append(events(0..2)).await.unwrap()), [1, 2], "every version judges these");
    let raised = |record: &Recorded| Raised::read(&record.event).map(|raised| raised.reader);
    let mended = log.mend_clock(clock.now()).await.unwrap();
    assert_eq!(mended, Position(4));
    let again = log.mend_clock(clock.now() + Duration::seconds(1)).await.unwrap();
    assert_eq!(again, Position(5), "it is said once");
    let read: Vec<_> = read_all(&log, 5, 10).await.iter().map(raised).collect();
    assert_eq!(read, [None, None, Some(Reader(2)), None, None]);
}
