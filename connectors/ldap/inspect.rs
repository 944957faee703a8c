//! Looks at a directory as an operator would: does every server answer, who is it, does it let us in, what may we read, how
//! will it be read and why. Changes nothing and states no fact.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rollcall_events::Id;

use crate::{
    client::{Client, Session},
    directory::Directory,
    password::Wanted,
    schema::server::RootDse,
    sync::{accounts, active_directory, method::SyncMethod, read::search_below},
    wire::{connection::Url, fault::Fault, message::Entry, search, tls::fingerprint},
};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Somebody should look at it.
    Odd,
    /// It does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A word: `connect`, `bind`, `server`, `method`, `search`, `entries`, `clock`, `accounts`,
    /// `names`.
    pub what: &'static str,
    /// How much it matters.
    pub grade: Grade,
    /// For people.
    pub text: String,
}

impl Directory {
    /// Looks at every server, and at what the first good one gives. Waits as long as the configuration allows each step.
    pub async fn inspect(&self, now: DateTime<Utc>) -> Vec<Finding> {
        let mut found = Vec::new();
        let client = self.client();
        let mut good = None;
        for url in &client.config.urls {
            match open_session(client, url, &mut found).await {
                Ok(session) => _ = good.get_or_insert(session),
                Err((what, fault)) => found.push(Finding { what, grade: Grade::Bad, text: fault.to_string() }),
            }
        }
        if let Some(mut session) = good {
            look(client, &mut session, now, &mut found).await;
            session.connection.close().await;
            if let Err(fault) = self.find_account(Wanted::Name("rollcall-nobody")).await {
                let what = "whose a name is cannot be looked up when somebody signs in";
                let to_do = "index what people may type (`sign_in_attributes`, the user name), or let them type less";
                found.push(Finding { what: "names", grade: Grade::Bad, text: format!("{what}: {fault}; {to_do}") });
            }
        }
        found
    }
}

async fn open_session(client: &Client, url: &Url, found: &mut Vec<Finding>) -> Result<Session, (&'static str, Fault)> {
    let good = |what, text| Finding { what, grade: Grade::Good, text };
    let mut connection = client.connect(url).await.map_err(|fault| ("connect", fault))?;
    found.push(match connection.certificate() {
        Some(certificate) => good("connect", format!("{url}, TLS, certificate sha256:{}", fingerprint(certificate))),
        None => {
            let text = format!("{url} in clear text, passwords included, because `clear_text` says so");
            Finding { what: "connect", grade: Grade::Odd, text }
        }
    });
    connection.bind(&client.config.bind).await.map_err(|fault| ("bind", fault))?;
    let root = RootDse::read(&mut connection).await.map_err(|fault| ("bind", fault))?;
    found.push(good("bind", format!("{url} lets us in")));
    Ok(client.session_of(connection, root))
}

async fn look(client: &Client, session: &mut Session, now: DateTime<Utc>, found: &mut Vec<Finding>) {
    let mut add = |what, grade, text| found.push(Finding { what, grade, text });
    let (config, schema) = (&client.config, session.schema.clone());
    let (mut method, mut why) = SyncMethod::of(config, &session.root, &schema.id);
    if method == SyncMethod::DirSync {
        match active_directory::method(client, session).await {
            Ok(found) => (method, why) = found,
            Err(fault) => add("method", Grade::Bad, fault.to_string()),
        }
    }
    let root = &session.root;
    let vendor = root.vendor.as_deref().map_or_else(String::new, |vendor| format!(" ({vendor})"));
    let paging = if root.pages() { "pages" } else { "no pages: a size limit of it would end every read" };
    let grade = if root.pages() { Grade::Good } else { Grade::Odd };
    add("server", grade, format!("{}{vendor}, {paging}", root.kind.as_str()));
    add("method", Grade::Good, format!("{}: {why}", method.as_str()));
    if let Some(theirs) = root.time {
        let off = (theirs - now).abs().num_seconds();
        let grade = if off <= 300 { Grade::Good } else { Grade::Odd };
        add("clock", grade, format!("the directory's differs from ours by {off} s"));
    }
    look_at_accounts(client, session, now, found).await;
    let mut add = |what, grade, text| found.push(Finding { what, grade, text });
    let Session { connection, root, .. } = session;
    let pages = root.pages().then_some(config.page);
    let mut called: HashMap<Vec<u8>, (BTreeSet<Id>, String)> = HashMap::new();
    let kinds = [
        ("people", &config.people, schema.people.clone(), schema.person_attributes()),
        ("groups", &config.groups, schema.groups.clone(), schema.group_attributes()),
    ];
    for (noun, bases, filter, attributes) in kinds {
        for base in bases {
            let attributes = attributes.iter().chain(&schema.sign_in).cloned().collect();
            let search = search_below(base, filter.clone(), attributes);
            let (mut count, mut wrong) = (0_usize, None);
            let mut take = |entry: Entry| {
                count += 1;
                if noun == "people"
                    && let Ok(id) = schema.id_of(&entry)
                {
                    for name in &schema.sign_in {
                        for value in entry.values(name) {
                            let (people, first) = called.entry(value.to_ascii_lowercase()).or_default();
                            people.insert(id.clone());
                            first.clone_from(&entry.dn);
                        }
                    }
                }
                let read = if noun == "people" {
                    schema.person(&entry, now).map(|person| person.username.is_some())
                } else {
                    schema.group(&entry).map(|_| true)
                };
                match read {
                    Ok(true) => {}
                    Ok(false) => {
                        let text = format!("{}: no {}; its id will be its user name", entry.dn, schema.username);
                        wrong.get_or_insert((Grade::Odd, text));
                    }
                    Err(why) => _ = wrong.insert((Grade::Bad, why.to_string())),
                }
            };
            match search::search_all(connection, &search, pages, &mut take).await {
                Err(fault) => add("search", Grade::Bad, fault.to_string()),
                Ok(_) if count == 0 => {
                    let text = format!("no {noun} below {}: wrong base or filter, or no right to read them", base.text);
                    add("search", Grade::Odd, text);
                }
                Ok(_) => add("search", Grade::Good, format!("{count} {noun} below {}", base.text)),
            }
            if let Some((grade, text)) = wrong {
                add("entries", grade, text);
            }
        }
    }
    let mut shared: Vec<&String> = called.values().filter(|(people, _)| people.len() > 1).map(|(_, dn)| dn).collect();
    shared.sort_unstable();
    if let Some(first) = shared.first() {
        let (count, what) = (shared.len(), schema.sign_in.join(" or "));
        let text =
            format!("{count} values of {what} belong to several people, and so sign nobody in; one is of {first}");
        add("names", Grade::Odd, text);
    }
}

/// Whether what says that an account is disabled or over can be read, and of how many.
async fn look_at_accounts(client: &Client, session: &mut Session, now: DateTime<Utc>, found: &mut Vec<Finding>) {
    let config = &client.config;
    let mut add = |grade, text| found.push(Finding { what: "accounts", grade, text });
    let hidden = match accounts::hidden(session, config, now).await {
        Ok(None) => accounts::hidden_by_example(session, config, now).await,
        found => found,
    };
    match hidden {
        Ok(Some(hidden)) => return add(Grade::Bad, hidden.text(session, config)),
        Err(why) => return add(Grade::Bad, why.to_string()),
        Ok(None) => {}
    }
    let provable = match accounts::provable(session, now).await {
        Ok(provable) => provable,
        Err(fault) => return add(Grade::Bad, fault.to_string()),
    };
    for (what, who) in provable {
        match accounts::count(session, config, &what.name, &who).await {
            Ok((0, _)) => {}
            Ok((all, defined)) if defined < all => {
                let of = format!("{} of {all} people", all - defined);
                add(Grade::Bad, format!("{}, may not be read of {of}", accounts::meaning(&what)));
            }
            Ok((all, _)) => add(Grade::Good, format!("{} can be read of all {all} people who may have it", what.name)),
            Err(fault) => add(Grade::Bad, fault.to_string()),
        }
    }
    let usual = session.schema.accounts.hideable().into_iter().filter(|what| !what.is_own).map(|what| what.name);
    let usual = usual.collect::<Vec<_>>().join(", ");
    if !usual.is_empty() && session.definitions(now).await.is_ok_and(|found| found.is_none()) {
        let text =
            format!("the server shows no schema, so whether {usual} can be read is not proven; set `disabled_probe`");
        add(Grade::Odd, text);
    }
    if let Some(probe) = &config.disabled_probe {
        add(Grade::Good, format!("{} looks disabled, as it should", probe.text));
    }
}
