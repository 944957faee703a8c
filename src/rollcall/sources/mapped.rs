//! Systems that speak a JSON of their own: the keys of such a source, its mapping among them, made into its hook.

use std::{borrow::Cow, path::Path, sync::Arc};

use rollcall_entitlements::{Mapped as MappedHook, Mapping, MappingMistake, MappingText, RuleText};
use rollcall_events::Order;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::{
    sources::{BuildContext, KeyError, Notifications, Place, Source, SourceConfig, senders::Sender},
    values::StringList,
};

/// A system that posts a JSON of its own to `/hooks/NAME`; what that means is said here, in rules (`docs/mapping.md`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Mapped {
    /// Who posts.
    #[serde(flatten)]
    sender: Sender,
    /// What says which of two facts about one subject is newer: `observed` (the order of arrival), `time` (its clock) or
    /// `version` (its own number). Fixed with the first fact.
    order: Order,
    /// Whether a person whom it calls inactive is shut out altogether, not only of what this source gives.
    authoritative: bool,
    /// The zone in which its days begin and end, as in `Europe/Berlin`.
    time_zone: String,
    /// Expressions that are true of all that is its: its tenant, its live system. A body of which one is not is quarantined.
    require: StringList,
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
}

impl Default for Mapped {
    fn default() -> Self {
        Self {
            sender: Sender::default(),
            order: Order::Observed,
            authoritative: false,
            time_zone: "UTC".to_owned(),
            require: StringList::default(),
            id: None,
            time: None,
            sequence: None,
            map: Rules::default(),
        }
    }
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
    fn mapping(&self) -> Result<Mapping, Vec<KeyError>> {
        let (rules, mut wrong) = self.map.read();
        let text = MappingText {
            require: &self.require.0,
            rules: &rules,
            id: self.id.as_deref(),
            time: self.time.as_deref(),
            sequence: self.sequence.as_deref(),
            order: self.order,
            time_zone: &self.time_zone,
        };
        let mistake = |MappingMistake { at, text }| KeyError { at: Place::Below(at), text };
        match Mapping::compile(&text) {
            Ok(mapping) if wrong.is_empty() => return Ok(mapping),
            Ok(_) => {}
            Err(mistakes) => wrong.extend(mistakes.into_iter().map(mistake)),
        }
        Err(wrong)
    }
}

impl SourceConfig for Mapped {
    fn order(&self) -> Order {
        self.order
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

    fn check(&self) -> Vec<KeyError> {
        let mut wrong = self.sender.check();
        wrong.extend(self.mapping().err().unwrap_or_default());
        wrong
    }

    fn build(&self, context: &BuildContext<'_>) -> Result<Source, Vec<KeyError>> {
        let authentication = self.sender.authentication(context).map_err(|error| vec![error])?;
        let marks = authentication.marks();
        // What is wrong with it is told by the check.
        let mapping = self.mapping().map_err(|_| Vec::new())?;
        let hook = Arc::new(MappedHook::new(authentication, mapping));
        let (certificates, max_body) = (self.sender.certificates(), self.sender.max_body);
        let notifications = Notifications { hook, marks, certificates, max_body };
        Ok(Source { hook: Some(notifications), ..Source::default() })
    }
}
