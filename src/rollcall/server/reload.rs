//! Reading anew, while the server runs, what may be given another value without a restart: the secrets and certificates of
//! sources, the administrator's key, the signing keys. Each by itself, all of it or nothing: where the new one cannot be
//! used the old one stays, and is named. Everything else of the configuration waits for a restart.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use rollcall_app::{ReloadOutcome, Reloaded, ReloadedItem};
use rollcall_authn::{Account, AccountFound, Authenticator, PasswordAnswer, PasswordCheck};
use rollcall_entitlements::SecretMark;
use rollcall_events::{Body, Clock, SourceName};
use rollcall_ingest::connector::{
    ChangeSink, Failure, Headers, Hook, LookupAnswer, MappedEvent, MappingError, Notification, Occasion, Pull,
    Rejection, Scope, SecretUse, Snapshot, SnapshotBuilder,
};
use rollcall_registry::Keys;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    config::{
        data_dir::DataDir,
        effective::effective,
        load::Loaded,
        origin::Problem,
        sources::{BuiltSource, rebuild},
    },
    sources::{Notifications, Source},
    tls::Tls,
};

/// Reads the whole configuration anew.
pub type LoadAgain = Box<dyn Fn() -> Result<Loaded, Vec<Problem>> + Send + Sync>;

/// Something that another takes the place of while it is used.
struct Live<T: ?Sized>(RwLock<Arc<T>>);

impl<T: ?Sized> Live<T> {
    fn new(first: Arc<T>) -> Self {
        Self(RwLock::new(first))
    }

    fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, next: Arc<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

impl Hook for Live<dyn Hook> {
    fn keeps(&self, header: &str) -> bool {
        self.now().keeps(header)
    }

    fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        self.now().verify(headers, body, occasion)
    }

    fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        self.now().map(headers, body)
    }

    fn is_signed(&self, headers: &Headers, body: &[u8]) -> bool {
        self.now().is_signed(headers, body)
    }

    fn notification(&self, headers: &Headers, body: &[u8]) -> Option<Notification> {
        self.now().notification(headers, body)
    }

    fn is_slow(&self) -> bool {
        self.now().is_slow()
    }

    fn allows(&self, origin: &str) -> bool {
        self.now().allows(origin)
    }

    fn secrets(&self) -> Vec<SecretUse> {
        self.now().secrets()
    }

    fn recall(&self, uses: &[SecretUse]) {
        self.now().recall(uses);
    }
}

#[async_trait]
impl Pull for Live<dyn Pull> {
    fn scope(&self) -> Scope {
        self.now().scope()
    }

    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        self.now().read(builder).await
    }

    async fn look_up(
        &self,
        subjects: &[Body],
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<Vec<LookupAnswer>, Failure> {
        self.now().look_up(subjects, now).await
    }

    fn follows(&self) -> bool {
        self.now().follows()
    }

    async fn follow(&self, sink: ChangeSink) -> Failure {
        self.now().follow(sink).await
    }
}

/// A directory's passwords; its name stays.
struct LivePasswords {
    source: SourceName,
    check: Live<dyn PasswordCheck>,
}

#[async_trait]
impl PasswordCheck for LivePasswords {
    fn source(&self) -> &SourceName {
        &self.source
    }

    fn owns(&self, name: &str) -> bool {
        self.check.now().owns(name)
    }

    fn takes_addresses(&self) -> bool {
        self.check.now().takes_addresses()
    }

    async fn find(&self, account: Account<'_>) -> AccountFound {
        self.check.now().find(account).await
    }

    async fn check(&self, entry: Option<&str>, password: &SecretString) -> PasswordAnswer {
        self.check.now().check(entry, password).await
    }
}

/// A source whose parts can be replaced, and a digest of all texts that they were made of.
struct LiveSource {
    made_of: rollcall_events::Digest,
    /// What no other source may have.
    marks: Vec<SecretMark>,
    hook: Option<Arc<Live<dyn Hook>>>,
    pull: Option<Arc<Live<dyn Pull>>>,
    passwords: Option<Arc<LivePasswords>>,
}

impl LiveSource {
    /// Puts the parts of a source behind something that can be replaced.
    fn of(name: &SourceName, source: &mut Source, made_of: rollcall_events::Digest) -> Self {
        let marks = marks_of(source);
        let hook = source.hook.as_mut().map(|Notifications { hook, .. }| {
            let live = Arc::new(Live::new(Arc::clone(hook)));
            *hook = Arc::clone(&live) as Arc<dyn Hook>;
            live
        });
        let pull = source.pull.as_mut().map(|(pull, _)| {
            let live = Arc::new(Live::new(Arc::clone(pull)));
            *pull = Arc::clone(&live) as Arc<dyn Pull>;
            live
        });
        let passwords = source.passwords.as_mut().map(|check| {
            let live = Arc::new(LivePasswords { source: name.clone(), check: Live::new(Arc::clone(check)) });
            *check = Arc::clone(&live) as Arc<dyn PasswordCheck>;
            live
        });
        Self { made_of, marks, hook, pull, passwords }
    }

    fn replace(&mut self, BuiltSource { source, made_of, .. }: BuiltSource) {
        self.marks = marks_of(&source);
        let Source { hook, pull, passwords, .. } = source;
        if let (Some(live), Some(Notifications { hook, .. })) = (&self.hook, hook) {
            // A secret that was there before keeps when it was used.
            hook.recall(&live.secrets());
            live.replace(hook);
        }
        if let (Some(live), Some((pull, _))) = (&self.pull, pull) {
            live.replace(pull);
        }
        if let (Some(live), Some(check)) = (&self.passwords, passwords) {
            live.check.replace(check);
        }
        self.made_of = made_of;
    }
}

fn marks_of(source: &Source) -> Vec<SecretMark> {
    source.hook.as_ref().map(|hook| hook.marks.clone()).unwrap_or_default()
}

/// The sources of a configuration, made replaceable.
pub struct LiveSources(BTreeMap<SourceName, LiveSource>);

impl LiveSources {
    /// Makes the sources of `loaded` replaceable where they stand, before they are wired.
    pub fn of(loaded: &mut Loaded) -> Self {
        let made_of: BTreeMap<SourceName, _> = loaded
            .sources
            .keys()
            .filter_map(|name| Some((name.clone(), rebuild(loaded, name).ok()?.made_of)))
            .collect();
        let live = loaded.sources.iter_mut().map(|(name, source)| {
            let made_of = made_of.get(name).copied().unwrap_or(rollcall_events::Digest([0; 32]));
            (name.clone(), LiveSource::of(name, source, made_of))
        });
        Self(live.collect())
    }
}

/// What reading anew needs.
pub struct ReloaderParts {
    /// The configuration in force.
    pub loaded: Arc<Loaded>,
    /// Reads it again, to say what has changed.
    pub load_again: LoadAgain,
    /// Its sources.
    pub sources: LiveSources,
    /// Where the administrator's key is kept.
    pub dir: DataDir,
    /// Who knows the administrator's key.
    pub authenticator: Arc<Authenticator>,
    /// The signing keys.
    pub keys: Arc<Keys>,
    /// TLS of the listener.
    pub tls: Option<Arc<Tls>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Reads anew what can be given another value without a restart.
pub struct Reloader {
    loaded: Arc<Loaded>,
    load_again: LoadAgain,
    /// One at a time.
    sources: std::sync::Mutex<LiveSources>,
    dir: DataDir,
    authenticator: Arc<Authenticator>,
    keys: Arc<Keys>,
    tls: Option<Arc<Tls>>,
    clock: Arc<dyn Clock>,
}

fn item(what: impl Into<String>, outcome: ReloadOutcome, detail: impl Into<String>) -> ReloadedItem {
    ReloadedItem { what: what.into(), outcome, detail: detail.into() }
}

/// What a source is to be.
enum Next {
    /// As it is.
    Same,
    /// This.
    Other(Box<BuiltSource>),
    /// As it is, as the new one cannot be used.
    Refused(String),
}

/// A source that would be another, and one that would have a secret of it then.
fn shared(next: &BTreeMap<SourceName, Next>, sources: &LiveSources) -> Option<(SourceName, SourceName)> {
    let marks = |name: &SourceName| match (next.get(name), sources.0.get(name)) {
        (Some(Next::Other(built)), _) => marks_of(&built.source),
        (_, Some(live)) => live.marks.clone(),
        (_, None) => Vec::new(),
    };
    let others = next.iter().filter(|(_, next)| matches!(next, Next::Other(_))).map(|(name, _)| name);
    others.into_iter().find_map(|name| {
        let own = marks(name);
        let other = sources.0.keys().find(|other| *other != name && marks(other).iter().any(|mark| own.contains(mark)));
        Some((name.clone(), other?.clone()))
    })
}

impl Reloader {
    /// Of its parts.
    pub fn new(parts: ReloaderParts) -> Self {
        let ReloaderParts { loaded, load_again, sources, dir, authenticator, keys, tls, clock } = parts;
        Self { loaded, load_again, sources: std::sync::Mutex::new(sources), dir, authenticator, keys, tls, clock }
    }

    /// Reads everything anew, says of each what became of it, and logs it. Blocks: it reads files.
    pub fn reload(&self) -> Reloaded {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut items = self.reload_sources(&mut sources);
        items.extend(self.reload_tls());
        items.extend(self.reload_admin_key());
        items.push(self.reload_keys());
        let (configuration, restart) = self.changed_keys();
        items.extend(configuration);
        for ReloadedItem { what, outcome, detail } in &items {
            match outcome {
                ReloadOutcome::Kept => {
                    tracing::warn!(%what, %detail, "what was read anew cannot be used, the old one stays")
                }
                ReloadOutcome::Reloaded => tracing::info!(%what, "read anew"),
                ReloadOutcome::Unchanged => tracing::debug!(%what, "read anew, unchanged"),
            }
            metrics::counter!("rollcall_reloads_total", "outcome" => outcome.as_str()).increment(1);
        }
        for key in &restart {
            tracing::warn!(key, "changed in the configuration; it counts after a restart");
        }
        Reloaded { items, restart }
    }

    /// All sources are built before one is replaced: two may take each other's secret, and never have one together.
    fn reload_sources(&self, sources: &mut LiveSources) -> Vec<ReloadedItem> {
        let mut next: BTreeMap<SourceName, Next> = BTreeMap::new();
        for (name, live) in &sources.0 {
            let of = match rebuild(&self.loaded, name) {
                // A source of which no file is read has nothing to read anew.
                Ok(built) if built.files == 0 => continue,
                Ok(built) if built.made_of == live.made_of => Next::Same,
                Ok(built) => Next::Other(Box::new(built)),
                Err(problems) => {
                    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    Next::Refused(lines.join("; "))
                }
            };
            next.insert(name.clone(), of);
        }
        while let Some((name, other)) = shared(&next, sources) {
            let detail = format!("the source `{other}` has this secret too; give each its own");
            next.insert(name, Next::Refused(detail));
        }
        let replaced = next.into_iter().map(|(name, next)| {
            let what = format!("source {name}");
            match next {
                Next::Same => item(what, ReloadOutcome::Unchanged, "its secrets and certificates are the same"),
                Next::Refused(why) => item(what, ReloadOutcome::Kept, why),
                Next::Other(built) => {
                    if let Some(live) = sources.0.get_mut(&name) {
                        live.replace(*built);
                    }
                    item(what, ReloadOutcome::Reloaded, "its secrets and certificates are in use")
                }
            }
        });
        replaced.collect()
    }

    /// Its files are looked at by themselves too; this says at once what became of them.
    fn reload_tls(&self) -> Option<ReloadedItem> {
        let tls = self.tls.as_ref()?;
        let before = tls.identity();
        tls.reload(self.clock.now());
        let what = "TLS certificate";
        Some(match tls.refused() {
            Some(why) => item(what, ReloadOutcome::Kept, why),
            None if Arc::ptr_eq(&before, &tls.identity()) => item(what, ReloadOutcome::Unchanged, "it is the same"),
            None => item(what, ReloadOutcome::Reloaded, "new connections get it"),
        })
    }

    /// A key that a variable holds cannot change while the process runs.
    fn reload_admin_key(&self) -> Option<ReloadedItem> {
        let env = |name: &str| std::env::var(name).ok();
        let what = "admin key";
        if env("ROLLCALL_ADMIN_KEY").is_some() {
            return None;
        }
        Some(match self.dir.existing_admin_key(env) {
            Ok(key) => match self.authenticator.set_admin_key(rollcall_authn::AdminKey::of(key.expose_secret())) {
                true => item(what, ReloadOutcome::Reloaded, "the new key is asked for from now on"),
                false => item(what, ReloadOutcome::Unchanged, "it is the same"),
            },
            Err(error) => item(what, ReloadOutcome::Kept, format!("{error:#}")),
        })
    }

    fn reload_keys(&self) -> ReloadedItem {
        let what = "signing keys";
        let before = self.keys.current();
        match self.keys.reload(self.clock.now()) {
            Ok(_) if self.keys.current().list() == before.list() => {
                item(what, ReloadOutcome::Unchanged, "they are the same")
            }
            Ok(key) => item(what, ReloadOutcome::Reloaded, format!("{} signs", key.kid)),
            Err(error) => item(what, ReloadOutcome::Kept, format!("{:#}", anyhow::Error::from(error))),
        }
    }

    /// The keys of the configuration that have another value than the one in force.
    fn changed_keys(&self) -> (Option<ReloadedItem>, Vec<String>) {
        let again = match (self.load_again)() {
            Ok(again) => again,
            Err(problems) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                let what = format!("the server would not start with it: {}", lines.join("; "));
                return (Some(item("configuration", ReloadOutcome::Kept, what)), Vec::new());
            }
        };
        let rows = |loaded: &Loaded| -> BTreeMap<String, serde_json::Value> {
            effective(loaded).into_iter().map(|(key, value, _)| (key, value)).collect()
        };
        let (old, new) = (rows(&self.loaded), rows(&again));
        let keys = old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>();
        let mut changed: Vec<String> = keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect();
        if changed.is_empty() && self.loaded.profile.document() != again.profile.document() {
            changed.push("access.profile".to_owned());
        }
        (None, changed)
    }
}
