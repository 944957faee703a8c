//! Events as other versions write them. Within a version of a type a later one may add members and words of a state, which
//! may be passed over, and an earlier one may have had another shape, which is read as what it would be today. What must not
//! be passed over has another type or version (`reader`). Nothing here is asked of what fits as it is.

use serde_json::{Map, Value};

use super::{Body, SCHEMAS, check_size};
use crate::{SchemaError, body::EntitlementState};

/// Of the types that changed since their first shape: how often members or words were added. A sender who uses the newest
/// names it as the minor version.
pub(super) const MINORS: &[(&str, u32)] = &[
    ("rollcall.secret.invited.v1", 1),
    ("rollcall.identity.linked.v1", 1),
    ("rollcall.identity.unlinked.v1", 1),
    ("rollcall.user.name.given.v1", 1),
    ("rollcall.user.name.freed.v1", 1),
];

/// A step from the shape that some events of a type have to the next; data that is not of that shape stays as it is.
struct Step {
    kind: &'static str,
    upcast: fn(&mut Map<String, Value>),
}

/// In the order of time.
const STEPS: &[Step] = &[
    // An invitation said when the secret would end that it fetches, which now follows from the secret of whoever invites. As
    // nothing could hold that end, one that had an end is over: it was good for a day.
    Step {
        kind: "rollcall.secret.invited.v1",
        upcast: |data| {
            if data.remove("secret_expires").is_some_and(|ends| !ends.is_null()) {
                data.insert("expires".to_owned(), "1970-01-01T00:00:00Z".into());
            }
        },
    },
];

/// What a sender said who speaks a newer version of the format.
#[derive(Debug, Clone, PartialEq)]
pub struct Newer {
    /// What it says as far as this version knows.
    pub body: Body,
    /// That as data to be recorded: without the members that this version does not know, as nobody can say what of a person
    /// may be in them; a state that it does not know in the sender's word.
    pub data: String,
    /// What was left out, as JSON pointers under `/data`.
    pub left_out: Vec<String>,
}

impl Body {
    /// Reads what stands in the log, whichever version recorded it: as [`Body::parse`] does, and else as an earlier shape or
    /// without what only a later version knows.
    ///
    /// # Errors
    /// As [`Body::parse`], of what neither explains.
    pub fn recorded(kind: &str, data: &str) -> Result<Self, SchemaError> {
        Self::parse(kind, data).or_else(|error| read_otherwise(kind, data, error).map(|read| read.body))
    }

    /// Reads what somebody says who states to speak a later minor version of the format.
    ///
    /// # Errors
    /// As [`Body::parse_new`], of everything that is not merely unknown.
    pub fn of_newer(kind: &str, data: &str) -> Result<Newer, SchemaError> {
        let read = match Self::parse(kind, data) {
            Ok(body) => Newer { body, data: data.to_owned(), left_out: Vec::new() },
            Err(error) => read_otherwise(kind, data, error)?,
        };
        check_size(kind, &read.data).map_err(|error| error.under("/data")).map(|()| read)
    }

    /// The newest minor version of a type that this version knows.
    #[must_use]
    pub fn minor_of(kind: &str) -> u32 {
        MINORS.iter().find(|(known, _)| *known == kind).map_or(0, |(_, minor)| *minor)
    }
}

fn read_otherwise(kind: &str, data: &str, error: SchemaError) -> Result<Newer, SchemaError> {
    // What is said twice no version means, and no value can hold.
    let twice = error.expected.ends_with("state it once");
    let read = SCHEMAS.get(kind).filter(|_| !twice).zip(serde_json::from_str::<Value>(data).ok());
    let Some((schema, Value::Object(mut document))) = read else { return Err(error) };
    for step in STEPS.iter().filter(|step| step.kind == kind) {
        (step.upcast)(&mut document);
    }
    let mut document = Value::Object(document);
    let mut left_out = Vec::new();
    leave_out_unknown(schema, schema, &mut document, "/data", &mut left_out);
    let recorded = document.to_string();
    let state = take_unknown_state(kind, &mut document);
    let mut body = Body::parse(kind, &document.to_string())?;
    if let (true, Body::EntitlementUpserted(entitlement)) = (state, &mut body) {
        entitlement.state = EntitlementState::Unknown;
    }
    Ok(Newer { body, data: recorded, left_out })
}

/// Takes out of objects what their schemas do not name. Where a value may be of several shapes it stays as it is: which of
/// them is meant the members say.
fn leave_out_unknown(root: &Value, schema: &Value, value: &mut Value, at: &str, left_out: &mut Vec<String>) {
    let schema = resolve(root, schema);
    if let Some(choices) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        let mut some = choices
            .iter()
            .map(|one| resolve(root, one))
            .filter(|one| one.get("type").is_none_or(|kind| kind != "null"));
        if let (Some(only), None) = (some.next(), some.next()) {
            leave_out_unknown(root, only, value, at, left_out);
        }
        return;
    }
    let place = |step: &str| format!("{at}/{}", step.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(members) => {
            let known = |name: &str| schema.get("properties").and_then(|all| all.get(name));
            // Of a map whose keys have a form all values are of one shape.
            let of_keys =
                schema.get("patternProperties").and_then(Value::as_object).and_then(|all| all.values().next());
            let others = of_keys.or_else(|| schema.get("additionalProperties"));
            members.retain(|name, value| match known(name).or(others) {
                Some(Value::Bool(false)) => {
                    left_out.push(place(name));
                    false
                }
                Some(schema) => {
                    leave_out_unknown(root, schema, value, &place(name), left_out);
                    true
                }
                None => true,
            });
        }
        Value::Array(items) => {
            let Some(of) = schema.get("items") else { return };
            for (n, item) in items.iter_mut().enumerate() {
                leave_out_unknown(root, of, item, &place(&n.to_string()), left_out);
            }
        }
        _ => {}
    }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| root.pointer(target.strip_prefix('#')?));
    target.unwrap_or(schema)
}

/// Puts a word in the place of an entitlement's state that this version knows, where the one that is there could be a later
/// version's; whether it was.
fn take_unknown_state(kind: &str, data: &mut Value) -> bool {
    let Some(Value::String(word)) = data.get_mut("state").filter(|_| kind == "rollcall.entitlement.upserted.v1") else {
        return false;
    };
    let known = serde_json::from_value::<EntitlementState>(word.as_str().into()).is_ok();
    let is_word = (1..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if known || !is_word {
        return false;
    }
    "inactive".clone_into(word);
    true
}

/// The version of a type that this version knows, where another version of it is named.
pub(super) fn older_version_of(kind: &str) -> Option<&'static str> {
    let (name, version) = kind.rsplit_once(".v")?;
    let newer = version.parse::<u32>().is_ok_and(|version| version > 1);
    let same = |known: &&&str| known.rsplit_once(".v").is_some_and(|(known, _)| known == name);
    Body::TYPES.iter().find(same).copied().filter(|_| newer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTITLEMENT: &str = "rollcall.entitlement.upserted.v1";

    #[test]
    fn what_a_later_version_adds_is_passed_over_in_the_log_and_nothing_else_is() {
        let state = |data: &str| match Body::recorded(ENTITLEMENT, data) {
            Ok(Body::EntitlementUpserted(read)) => Ok(read.state),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.pointer),
        };
        let with = |more: &str| format!(r#"{{"entitlement":"E","account":"A","state":"on_hold"{more}}}"#);
        assert_eq!(state(&with("")), Ok(EntitlementState::OnHold));
        assert_eq!(state(&with(r#","region":{"of":["x"]}"#)), Ok(EntitlementState::OnHold));
        assert_eq!(
            state(r#"{"entitlement":"E","account":"A","state":"paused","until":null}"#),
            Ok(EntitlementState::Unknown)
        );
        // A word of none, a number, a member that is missing or of another kind, one that is there twice: poison.
        assert_eq!(state(r#"{"entitlement":"E","account":"A","state":"Active!"}"#), Err("/data/state".into()));
        assert_eq!(state(r#"{"entitlement":"E","account":"A","state":7}"#), Err("/data/state".into()));
        assert_eq!(state(r#"{"entitlement":"E","state":"active","x":1}"#), Err("/data".into()));
        assert_eq!(state(&with(r#","account":"B""#)), Err("/data/account".into()));
        assert!(state("[]").is_err() && state("{").is_err());
    }

    #[test]
    fn members_are_passed_over_at_every_depth_and_keys_of_maps_are_no_members() {
        let data = r#"{"person":"p","account":null,"active":true,
            "same_as":[{"source":"corp","person":"7","since":3}],"x/y":1}"#;
        let read = Body::of_newer("rollcall.person.upserted.v1", data).unwrap();
        assert_eq!(read.left_out, ["/data/same_as/0/since", "/data/x~1y"]);
        assert_eq!(Body::parse("rollcall.person.upserted.v1", &read.data).unwrap(), read.body);
        let settings = r#"{"switches":{"push":"open"},"sources":{"flexnet":{"order":"version","x":1}},"later":[]}"#;
        let read = Body::of_newer("rollcall.settings.set.v1", settings).unwrap();
        assert_eq!(read.left_out, ["/data/later", "/data/sources/flexnet/x"]);
        assert!(matches!(read.body, Body::SettingsSet(read) if read.switches.len() == 1 && read.sources.len() == 1));
    }

    #[test]
    fn what_is_recorded_of_a_newer_sender_has_no_unknown_member_and_its_own_word() {
        let data = r#"{"state":"paused","entitlement":"E","account":"A","contact":"ada@acme.example"}"#;
        let read = Body::of_newer(ENTITLEMENT, data).unwrap();
        assert_eq!(read.data, r#"{"account":"A","entitlement":"E","state":"paused"}"#);
        assert_eq!(read.left_out, ["/data/contact"]);
        assert_eq!(Body::recorded(ENTITLEMENT, &read.data).unwrap(), read.body);
        assert_eq!(Body::of_newer(ENTITLEMENT, r#"{"state":"paused"}"#).unwrap_err().pointer, "/data");
    }

    #[test]
    fn an_invitation_whose_secret_was_to_end_is_over() {
        let with = |expires: &str, more: &str| {
            let sha256 = "ab".repeat(32);
            let data = format!(r#"{{"secret":"s","user":"u","expires":"{expires}","sha256":"{sha256}"{more}}}"#);
            Body::recorded("rollcall.secret.invited.v1", &data).unwrap()
        };
        let day = "2026-01-02T00:00:00Z";
        assert_eq!(with(day, r#","secret_expires":null"#), with(day, ""));
        assert_eq!(with(day, r#","secret_expires":"2026-02-01T00:00:00Z""#), with("1970-01-01T00:00:00Z", ""));
    }

    #[test]
    fn a_later_version_of_a_type_is_told_from_a_type_that_does_not_exist() {
        let told = |kind: &str| Body::parse(kind, "{}").unwrap_err().expected;
        assert!(
            told("rollcall.person.upserted.v2").contains("upgrade Rollcall, or send `rollcall.person.upserted.v1`")
        );
        assert!(told("rollcall.persn.upserted.v2").contains("the nearest is"));
        assert!(told("rollcall.person.upserted.v").contains("the nearest is"));
    }
}
