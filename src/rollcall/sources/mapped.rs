//! Systems that speak a JSON of their own: the keys of such a source, its mapping among them, made into its hook.

use std::{borrow::Cow, path::Path, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_access::profile::nearest;
use rollcall_entitlements::{
    Format, Listings, Mapping, MappingMistake, MappingText, RuleText, SHIPPED, ShippedMapping,
};
use rollcall_events::Order;
use rollcall_ingest::ReadOptions;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::{
    sources::{
        BuildContext, Finding, Grade, Inspect, KeyError, Place, SECRET_FILE, Source, SourceConfig, senders::Sender,
        upstream::Upstream,
    },
    values::StringList,
};

/// A system that posts a JSON of its own to `/hooks/NAME`; what that means is said here, in rules (`docs/mapping.md`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Mapped {
    /// Who posts.
    #[serde(flatten)]
    sender: Sender,
    /// A mapping that comes with Rollcall: `flexnet`, `keygen` or `stripe` (`rollcall map show NAME`). Keys that are written
    /// here stand in the place of its own, and rules are added to its rules.
    mapping: Option<String>,
    /// What says which of two facts about one subject is newer: `observed` (the order of arrival), `time` (its clock) or
    /// `version` (its own number). Fixed with the first fact. When absent, as `mapping` has it, else `observed`.
    order: Option<Order>,
    /// Whether a person whom it calls inactive is shut out altogether, not only of what this source gives.
    authoritative: bool,
    /// The zone in which its days begin and end, as in `Europe/Berlin`. When absent, as `mapping` has it, else `UTC`.
    time_zone: Option<String>,
    /// Expressions that are true of all that is its: its tenant, its live system. A body of which one is not is quarantined.
    require: Option<StringList>,
    /// Where in a body texts are that hold JSON themselves, as JSON pointers: they are read as that JSON.
    json_texts: Option<StringList>,
    /// The sender's id of a notification, an expression: each event in it is known by it, its type and its subject, for
    /// ever. When absent, an event is the same as another one that says the same at the same time or version; with
    /// `order = "observed"`, as the last one of its subject.
    id: Option<String>,
    /// The instant of an event, an expression. Needed where `order = "time"`.
    time: Option<String>,
    /// The version of an event's subject, an expression. Needed where `order = "version"`.
    sequence: Option<String>,
    /// The rules, each a table `[[source.NAME.map]]` with `when`, `for_each`, `emit` or `ignore`, and `fields`. All that are
    /// for a body are applied to it.
    map: Rules,
    /// What is asked by HTTP, and how.
    #[serde(flatten)]
    upstream: Upstream,
}

/// Rules as they are written. What is wrong in one is told with its place, so they are read later.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
struct Rules(Vec<Map<String, Value>>);

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let tables = Vec::<Map<String, Value>>::deserialize(de);
        tables
            .map(Self)
            .map_err(|_| de::Error::custom("rules are tables: `[[source.NAME.map]]` and their keys below it"))
    }
}

impl JsonSchema for Rules {
    fn schema_name() -> Cow<'static, str> {
        "Rules".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<RuleText>::json_schema(generator)
    }
}

const RULE_KEYS: [&str; 8] = ["emit", "fields", "for_each", "id", "ignore", "sequence", "time", "when"];

impl Rules {
    fn read(&self) -> (Vec<RuleText>, Vec<KeyError>) {
        let mut wrong = Vec::new();
        let rules = self.0.iter().enumerate();
        let rules = rules.map(|(n, table)| {
            let mut rule = RuleText::default();
            for (key, value) in table {
                let mut report = |below: &str, what: &str| {
                    wrong.push(KeyError { at: Place::Below(format!("map.{n}.{below}")), text: what.to_owned() });
                };
                const EXPRESSION: &str = "an expression, written as a text";
                let text = value.as_str().map(str::to_owned);
                let slot = match key.as_str() {
                    "when" => &mut rule.when,
                    "for_each" => &mut rule.for_each,
                    "emit" => &mut rule.emit,
                    "id" => &mut rule.id,
                    "time" => &mut rule.time,
                    "sequence" => &mut rule.sequence,
                    "ignore" => {
                        match value.as_bool() {
                            Some(ignore) => rule.ignore = ignore,
                            None => report(key, "`true` or `false`"),
                        }
                        continue;
                    }
                    "fields" => {
                        let Some(fields) = value.as_object() else {
                            report(key, "fields are written one by one, as in `fields.product = \"payload.sku\"`");
                            continue;
                        };
                        for (name, value) in fields {
                            match value.as_str() {
                                Some(source) => drop(rule.fields.insert(name.clone(), source.to_owned())),
                                None => report(&format!("fields.{name}"), EXPRESSION),
                            }
                        }
                        continue;
                    }
                    other => {
                        let near = RULE_KEYS.iter().min_by_key(|known| strsim::damerau_levenshtein(known, other));
                        let near = near.copied().unwrap_or_default();
                        report(other, &format!("a rule has no such key; the nearest is `{near}`"));
                        continue;
                    }
                };
                match text {
                    Some(text) => *slot = Some(text),
                    None => report(key, EXPRESSION),
                }
            }
            rule
        });
        let rules = rules.collect();
        (rules, wrong)
    }
}

impl Mapped {
    /// The mapping that comes with Rollcall and is named; an empty one where none is.
    fn shipped(&self) -> Result<ShippedMapping, KeyError> {
        let Some(name) = &self.mapping else { return Ok(ShippedMapping::default()) };
        ShippedMapping::named(name).ok_or_else(|| {
            let near = nearest(name, SHIPPED.iter().map(|(known, _)| *known));
            let what =
                format!("none of the name `{}` comes with Rollcall; the nearest is `{near}`", name.escape_debug());
            KeyError::of("mapping", what)
        })
    }

    /// What orders its facts. What is read counts as of when it was read.
    fn order_of(&self, shipped: &ShippedMapping) -> Order {
        let read = self.upstream.is_asked().then_some(Order::Observed);
        self.order.or(read).or(shipped.order).unwrap_or(Order::Observed)
    }

    /// The rules of its own, and behind them those of the mapping that it names.
    fn rules(&self, shipped: &ShippedMapping) -> (Vec<RuleText>, Vec<KeyError>) {
        let (mut rules, wrong) = self.map.read();
        rules.extend(shipped.map.iter().cloned());
        (rules, wrong)
    }

    /// The mapping of what comes in `way`.
    fn mapping(&self, way: Way) -> Result<Mapping, Vec<KeyError>> {
        let shipped = self.shipped().map_err(|error| vec![error])?;
        let order = self.order_of(&shipped);
        let (mut rules, mut wrong) = self.rules(&shipped);
        let own = self.map.0.len();
        let list = |own: &Option<StringList>, shipped: Vec<String>| own.as_ref().map_or(shipped, |own| own.0.clone());
        let (require, json_texts) = (list(&self.require, shipped.require), list(&self.json_texts, shipped.json_texts));
        // What orders nothing here is a mistake of whoever wrote it; a shipped one is not his.
        let time = self.time.clone().or(shipped.time.filter(|_| order == Order::Time));
        let sequence = self.sequence.clone().or(shipped.sequence.filter(|_| order == Order::Version));
        let mut id = self.id.clone().or(shipped.id);
        if way == Way::Read {
            // What is read has no id of a notification.
            id = None;
            rules.iter_mut().for_each(|rule| rule.id = None);
        }
        let time_zone = self.time_zone.clone().or(shipped.time_zone);
        let text = MappingText {
            require: &require,
            json_texts: &json_texts,
            rules: &rules,
            id: id.as_deref(),
            time: time.as_deref(),
            sequence: sequence.as_deref(),
            order,
            time_zone: time_zone.as_deref().unwrap_or("UTC"),
        };
        let mistake = |MappingMistake { at, text }| {
            let rule = at.strip_prefix("map.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            match rule.filter(|rule| *rule >= own && self.mapping.is_some()) {
                Some(rule) => KeyError::of("mapping", format!("rule {} of it: {text}", rule + 1 - own)),
                None => KeyError { at: Place::Below(at), text },
            }
        };
        match Mapping::compile(&text) {
            Ok(mapping) if wrong.is_empty() => return Ok(mapping),
            Ok(_) => {}
            Err(mistakes) => wrong.extend(mistakes.into_iter().map(mistake)),
        }
        Err(wrong)
    }
}

/// How something comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is posted.
    Posted,
    /// It is read.
    Read,
}

impl Mapped {
    /// The source as it is read; nothing where it only posts.
    fn polled(&self, context: &BuildContext<'_>) -> Result<Option<(Listings, ReadOptions)>, Vec<KeyError>> {
        if !self.upstream.is_asked() {
            return Ok(None);
        }
        let shipped = self.shipped().map_err(|_| Vec::new())?;
        let mapping = self.mapping(Way::Read).map_err(|_| Vec::new())?;
        let time_zone =
            self.time_zone.clone().or_else(|| shipped.time_zone.clone()).unwrap_or_else(|| "UTC".to_owned());
        let (rules, _) = self.rules(&shipped);
        let list =
            |own: &Option<StringList>, shipped: &[String]| own.as_ref().map_or(shipped.to_vec(), |own| own.0.clone());
        let texts = [list(&self.require, &shipped.require), list(&self.json_texts, &shipped.json_texts)];
        let of_mapping =
            texts.concat().into_iter().chain(rules.iter().flat_map(RuleText::parts)).chain([time_zone.clone()]);
        self.upstream.polled(context, mapping, of_mapping.collect(), &time_zone).map(Some)
    }
}

/// What is asked, as an operator looks at it.
struct Inspection(Listings);

#[async_trait]
impl Inspect for Inspection {
    fn subject(&self) -> &'static str {
        "listing"
    }

    async fn inspect(&self, now: DateTime<Utc>) -> Vec<Finding> {
        let Self(polled) = self;
        let finding = |(url, came): (String, Result<(usize, usize), String>)| match came {
            Ok((items, facts)) => {
                let text = format!("{url}: {items} items on its first page, {facts} facts of them");
                Finding { check: "answer", grade: Grade::Good, text }
            }
            Err(why) => Finding { check: "answer", grade: Grade::Bad, text: format!("{url}: {why}") },
        };
        polled.inspect(now).await.into_iter().map(finding).collect()
    }
}

impl SourceConfig for Mapped {
    fn order(&self) -> Order {
        self.order_of(&self.shipped().unwrap_or_default())
    }

    fn authoritative(&self) -> bool {
        self.authoritative
    }

    fn states_entitlements(&self) -> bool {
        true
    }

    fn secret_file(&self) -> Option<&Path> {
        self.sender.secret_file()
    }

    fn private_files(&self) -> Vec<(&'static str, &Path)> {
        let secret = self.secret_file().map(|path| (SECRET_FILE, path));
        secret.into_iter().chain(self.upstream.private_file()).collect()
    }

    fn check(&self) -> Vec<KeyError> {
        let mut wrong = self.sender.check();
        wrong.extend(self.mapping(Way::Posted).err().unwrap_or_default());
        if !self.upstream.is_asked() && self.upstream != Upstream::default() {
            let what = "nothing is asked: say what by `[[source.NAME.read]]`, or leave out what says how";
            wrong.push(KeyError::of("read", what));
        }
        if self.upstream.is_asked() && self.order() != Order::Observed {
            let what = "what is read counts as of when it was read: leave it out, or `order = \"observed\"`";
            wrong.push(KeyError::of("order", what));
        }
        wrong
    }

    fn format(&self) -> Option<Result<Format, Vec<KeyError>>> {
        Some(self.mapping(Way::Posted).map(Format::Mapped))
    }

    fn build(&self, context: &BuildContext<'_>) -> Result<Source, Vec<KeyError>> {
        // What is wrong with it is told by the check.
        let mapping = self.mapping(Way::Posted).map_err(|_| Vec::new())?;
        let polled = self.polled(context)?;
        // One that is read need not post.
        let posts = polled.is_none() || self.sender.is_stated(context);
        let hook = posts.then(|| self.sender.notifications(context, Format::Mapped(mapping))).transpose()?;
        let Some((polled, options)) = polled else { return Ok(Source { hook, ..Source::default() }) };
        let inspect: Arc<dyn Inspect> = Arc::new(Inspection(polled.clone()));
        Ok(Source { hook, pull: Some((Arc::new(polled), options)), inspect: Some(inspect), ..Source::default() })
    }
}
