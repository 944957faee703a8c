//! What one event may say, whoever sends it.

use chrono::DateTime;
use rollcall_events::{Clock, Order};

use super::{deliveries::product, kit::TestClock};
use crate::{
    connector::{MappedEvent, Problem, ProblemType, SenderId},
    delivery::{DeliveryId, validate},
};

fn validated(order: Order, said: MappedEvent) -> Result<crate::ValidEvent, Problem> {
    let now = TestClock::default().now();
    validate(&"flexnet".parse().unwrap(), order, &DeliveryId::new(now, [0; 10]), now, now, said)
}

#[test]
fn an_event_needs_its_source_s_order_key_and_no_other() {
    let time = DateTime::from_timestamp(1, 1_999).unwrap();
    let said = |sequence, time| MappedEvent { sequence, time, ..product("a", 0) };
    let pointer = |order, said| validated(order, said).unwrap_err().pointer;
    assert!(validated(Order::Version, said(Some(1), None)).is_ok());
    assert_eq!(pointer(Order::Version, said(None, Some(time))), "/sequence");
    assert_eq!(pointer(Order::Time, said(Some(1), None)), "/time");
    assert!(validated(Order::Observed, said(None, None)).is_ok());
    let event = validated(Order::Time, said(None, Some(time))).unwrap().event;
    assert_eq!(event.time.unwrap().timestamp_subsec_nanos(), 1_000, "kept to the microsecond");
}

#[test]
fn every_type_that_is_not_a_connector_s_is_refused_whatever_its_data() {
    use rollcall_events::{Body, Emitter};
    let refused =
        |kind: &str| validated(Order::Version, MappedEvent { kind: kind.into(), ..product("a", 1) }).unwrap_err().kind;
    for kind in Body::TYPES.iter().filter(|kind| !Body::emitter_of(kind).is_some_and(Emitter::is_for_connectors)) {
        assert_eq!(refused(kind), ProblemType::NotYours, "{kind}");
    }
    assert_eq!(refused(&"x".repeat(1 << 20)), ProblemType::UnknownType);
}

#[test]
fn personal_data_is_cut_out_and_its_absence_changes_no_byte() {
    let person =
        |data: &str| MappedEvent { kind: "rollcall.person.upserted.v1".into(), data: data.into(), ..product("p", 3) };
    let with = r#"{"person":"p","personal":{"email":"p@x.example","name":"Pat"},"account":null, "active":true}"#;
    let without = r#"{"person":"p","account":null,"active":true}"#;
    let (with, without) =
        (validated(Order::Version, person(with)).unwrap(), validated(Order::Version, person(without)).unwrap());
    assert_eq!(with.event.content(), without.event.content());
    assert!(!format!("{:?}", with).contains("p@x.example"), "not even printed");
    let personal = with.personal.unwrap();
    assert_eq!((personal.email.as_deref(), personal.name.as_deref()), (Some("p@x.example"), Some("Pat")));
    assert_eq!(without.personal, None);
    let twice = r#"{"person":"p","personal":{},"personal":{},"account":null,"active":true}"#;
    assert_eq!(validated(Order::Version, person(twice)).unwrap_err().kind, ProblemType::InvalidData);
}

#[test]
fn what_is_larger_than_it_may_be_goes_to_quarantine_with_its_place() {
    let said = |kind: &str, data: String| MappedEvent { kind: format!("rollcall.{kind}.v1"), data, ..product("p", 3) };
    let long = "n".repeat(900_000);
    let person = |personal: String| {
        said("person.upserted", format!(r#"{{"person":"p","account":null,"active":true,"personal":{personal}}}"#))
    };
    for (event, pointer) in [
        (said("product.upserted", format!(r#"{{"product":"p","name":"{long}"}}"#)), "/data/name"),
        (said("product.upserted", format!(r#"{{"product":{}"p"}}"#, " ".repeat(900_000))), "/data"),
        (person(format!(r#"{{"email":"{long}"}}"#)), "/data/personal/email"),
        (person(format!(r#"{{"name":"{long}"}}"#)), "/data/personal/name"),
        (MappedEvent { origin: Some(long.clone()), ..product("p", 3) }, "/source"),
        (MappedEvent { id: SenderId::OfEvent(long.clone()), ..product("p", 3) }, "/id"),
    ] {
        let problem = validated(Order::Version, event).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem:?}");
        assert!(problem.detail.len() < 600, "{pointer}");
    }
}
