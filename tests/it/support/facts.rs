//! Facts as one line each: the language of `tests/scenarios/` (its README explains it) and of the process tests.
//! Turns lines into events; knows nothing of what they do.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rollcall_access::Profile;
use rollcall_events::{Body, NewEvent, Order, Settings};
use serde_json::{Map, Value, json};

/// One line: an event, and the effect that it is expected to have.
#[derive(Debug, Clone)]
pub struct Fact {
    pub event: NewEvent,
    pub effect: Option<String>,
    pub line: String,
}

/// Numbers the facts of one world: an id for each, and an order key where the line states none.
#[derive(Debug, Clone)]
pub struct Clerk {
    orders: BTreeMap<String, Order>,
    next: u64,
    /// What a `settings.set` states besides what its line says.
    settings: Value,
}

impl Default for Clerk {
    fn default() -> Self {
        Self::new([("flexnet".to_owned(), Order::Version)].into())
    }
}

impl Clerk {
    pub fn new(orders: BTreeMap<String, Order>) -> Self {
        Self { orders, next: 0, settings: json!({}) }
    }

    /// What holds where a later `settings.set` says nothing else.
    pub fn with_settings(self, settings: &Settings) -> Self {
        Self { settings: serde_json::to_value(settings).unwrap(), ..self }
    }

    /// The facts of a text, a line each; empty lines and `#` lines say nothing.
    pub fn facts(&mut self, text: &str) -> Vec<Fact> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| self.fact(line).unwrap_or_else(|why| panic!("`{line}`: {why}"))).collect()
    }

    /// One event of one line.
    pub fn event(&mut self, line: &str) -> NewEvent {
        self.fact(line).unwrap_or_else(|why| panic!("`{line}`: {why}")).event
    }

    fn fact(&mut self, line: &str) -> Result<Fact, String> {
        let (said, effect) = match line.split_once(" => ") {
            Some((said, effect)) => (said, Some(effect.trim().to_owned())),
            None => (line, None),
        };
        let mut words = words(said)?;
        if words.len() < 2 + usize::from(!said.contains(" settings.set")) {
            return Err("a fact is SOURCE TYPE WHAT..".into());
        }
        let (source, kind) = (words.remove(0), words.remove(0));
        self.next += 1;
        let mut sequence = None;
        let mut time = None;
        let stated = words.last().and_then(|word| word.strip_prefix('@')).map(str::to_owned);
        if stated.is_some() {
            words.pop();
        }
        let epoch = words.last().and_then(|word| word.strip_prefix('^')).map(str::to_owned);
        if let Some(epoch) = &epoch {
            words.pop();
            if kind.starts_with("snapshot.") {
                words.push(format!("epoch={epoch}"));
            }
        }
        if source != "local" {
            let order = self.orders.get(&source).ok_or_else(|| format!("the source `{source}` has no order"))?;
            match (order, stated) {
                (Order::Version, None) => sequence = Some(self.next),
                (Order::Version, Some(key)) => sequence = Some(key.parse().map_err(|e| format!("@{key}: {e}"))?),
                (Order::Time, None) => {
                    time = DateTime::from_timestamp(1_767_225_600 + i64::try_from(self.next).unwrap(), 0)
                }
                (Order::Time, Some(key)) => {
                    time = Some(key.parse::<DateTime<Utc>>().map_err(|e| format!("@{key}: {e}"))?)
                }
                (Order::Observed, None) => {}
                (Order::Observed, Some(_)) => return Err("a source ordered by observation states no key".into()),
            }
        }
        let kind = format!("rollcall.{kind}.v1");
        let data = match kind.as_str() {
            "rollcall.settings.set.v1" => settings(&self.settings, &words)?,
            "rollcall.profile.set.v1" => {
                let profile = Profile::bundled(&words.concat()).ok_or("there is no such profile")?;
                serde_json::to_value(profile.document()).map_err(|error| error.to_string())?
            }
            _ => data(&kind, &words)?,
        };
        let body = Body::parse(&kind, &data.to_string()).map_err(|error| error.to_string())?;
        let event = NewEvent {
            time,
            sequence,
            correlation: epoch.map(|epoch| format!("run_0.{epoch}").into()),
            data: data.to_string().into(),
            ..NewEvent::of(source.parse().map_err(|e| format!("{e}"))?, format!("e{}", self.next), &body)
        };
        Ok(Fact { event, effect, line: line.to_owned() })
    }
}

/// Splits at spaces; single quotes hold a word with spaces together.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty())),
            c => word.push(c),
        }
    }
    words.extend(Some(word).filter(|w| !w.is_empty()));
    if quoted { Err("a quote is not closed".into()) } else { Ok(words) }
}

/// The whole settings: what holds anyway, and `KEY=VALUE` with dots in the key for what is inside.
fn settings(base: &Value, words: &[String]) -> Result<Value, String> {
    let mut whole = base.clone();
    for word in words {
        let (key, value) = word.split_once('=').ok_or("a setting is KEY=VALUE")?;
        let pointer = format!("/{}", key.replace('.', "/"));
        let (above, last) = pointer.rsplit_once('/').unwrap_or_default();
        let value = value.parse::<bool>().map_or_else(|_| json!(value), |truth| json!(truth));
        let slot = whole.pointer_mut(above).ok_or_else(|| format!("no setting `{key}`"))?;
        slot[last] = value;
    }
    Ok(whole)
}

/// The event's data: the words without `=` are its ids in order, the others its members; what is usual may be left out.
fn data(kind: &str, words: &[String]) -> Result<Value, String> {
    let name = kind.trim_start_matches("rollcall.").trim_end_matches(".v1");
    let (mut ids, mut data) = (Vec::new(), Map::new());
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => {
                let value = match value {
                    "true" => json!(true),
                    "false" => json!(false),
                    "null" => Value::Null,
                    number if key == "quantity" || key == "epoch" => {
                        json!(number.parse::<u64>().map_err(|e| e.to_string())?)
                    }
                    text => json!(text),
                };
                if data.insert(key.to_owned(), value).is_some() {
                    return Err(format!("`{key}` is there twice"));
                }
            }
            None => ids.push(word.clone()),
        }
    }
    let tagged = |text: &str| match text.split_once(':') {
        Some((kind, id)) => json!({ kind: id }),
        None => json!(text),
    };
    let person = |text: &String| {
        let (source, person) = text.split_once('/').ok_or(format!("`{text}` is not SOURCE/PERSON"))?;
        Ok::<_, String>(json!({"source": source, "person": person}))
    };
    let fields: &[&str] = match name {
        "account.upserted" | "account.removed" => &["account"],
        "person.upserted" | "person.removed" | "permission.granted" | "permission.revoked" => &["person"],
        "product.upserted" | "product.removed" => &["product"],
        "package.upserted" | "package.removed" => &["package"],
        "package.product.mapped" | "package.product.unmapped" => &["package", "product"],
        "entitlement.upserted" | "entitlement.removed" => &["entitlement"],
        "entitlement.line.upserted" | "entitlement.line.removed" => &["line"],
        "entitlement.person.assigned" | "entitlement.person.unassigned" => &["entitlement", "person"],
        "group.upserted" | "group.removed" => &["group"],
        "group.member.added" | "group.member.removed" => &["group", "member"],
        "folder.upserted" | "folder.removed" => &["folder"],
        "project.created" | "project.updated" | "project.deleted" => &["project"],
        "service.created" | "service.removed" => &["service"],
        "source.retired" | "source.suspended" | "source.resumed" => &["source"],
        "snapshot.started" | "snapshot.sealed" => &["run"],
        "identity.linked" | "identity.unlinked" => &["persons", "persons"],
        "binding.set" | "binding.removed" => &["principal", "role", "scope"],
        _ => return Err(format!("no short form of `{name}`")),
    };
    if ids.len() != fields.len() {
        return Err(format!("`{name}` is said with {fields:?}, not with {ids:?}"));
    }
    for (field, id) in fields.iter().zip(&ids) {
        let value = match *field {
            "persons" => json!([person(&ids[0])?, person(&ids[1])?]),
            "member" | "principal" | "scope" => tagged(id),
            _ => json!(id),
        };
        data.insert((*field).to_owned(), value);
    }
    let first = &ids[0];
    let usual: &[(&str, Value)] = &match name {
        "account.upserted" => vec![("kind", json!("customer"))],
        "person.upserted" => vec![("account", Value::Null), ("active", json!(true))],
        "permission.granted" | "permission.revoked" => vec![("permission", json!("view_and_manage_download_packages"))],
        "package.upserted" => vec![("container_delivery", json!(true))],
        "entitlement.line.upserted" => {
            let entitlement = first.rsplit_once('/').map_or(first.as_str(), |(before, _)| before);
            vec![("entitlement", json!(entitlement)), ("starts", Value::Null), ("ends", Value::Null)]
        }
        "binding.set" | "binding.removed" => vec![("author", json!("admin"))],
        "project.created" | "project.updated" => {
            vec![("name", json!(first)), ("kind", json!("standard")), ("visibility", json!("private"))]
        }
        _ => vec![],
    };
    for (key, value) in usual {
        data.entry(*key).or_insert_with(|| value.clone());
    }
    Ok(Value::Object(data))
}

/// The event as a structured CloudEvent.
pub fn cloud_event(event: &NewEvent) -> Value {
    let mut envelope = json!({
        "specversion": "1.0",
        "id": &*event.key.id,
        "source": event.key.source.as_str(),
        "type": &*event.kind,
        "subject": &*event.subject,
        "datacontenttype": "application/json",
        "data": serde_json::from_str::<Value>(&event.data).unwrap(),
    });
    if let Some(sequence) = event.sequence {
        envelope["sequence"] = json!(sequence.to_string());
    }
    if let Some(time) = event.time {
        envelope["time"] = json!(time);
    }
    envelope
}
