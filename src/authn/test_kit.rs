//! A few people and a directory that says what it is told, for tests.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_access::{Effect, Roster, SharedRoster};
use rollcall_events::{Body, Clock, Digest, LogId, NewEvent, Position, Recorded, SourceName};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::{
    Account, AccountFound, AdminKey, Authenticator, AuthenticatorParts, Credentials, FoundAccount, Identity,
    PasswordAnswer, PasswordCheck, PasswordRefusal, Realm, RefreshKey, RefusalSink, RefusedSignIn, SignIn, SignInError,
};

pub(crate) const ADMIN_KEY: &str = "a key of the operator's own";
pub(crate) const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

/// A clock that a test sets, and for how many seconds the machine has run; none where that is 0.
pub(crate) struct TestClock(AtomicI64, pub(crate) AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
    fn uptime(&self) -> Option<std::time::Duration> {
        let seconds = u64::try_from(self.1.load(Ordering::SeqCst)).unwrap();
        (seconds > 0).then(|| std::time::Duration::from_secs(seconds))
    }
}

/// A directory that remembers what it was asked, and answers when it is let.
pub(crate) struct TestDirectory {
    source: SourceName,
    passwords: Mutex<HashMap<&'static str, &'static str>>,
    down: AtomicBool,
    /// The domain that is its own.
    owned: Mutex<Option<&'static str>>,
    /// Who has no entry any more.
    lost: Mutex<Vec<&'static str>>,
    /// Why accounts are of no use though the password is right.
    over: Mutex<HashMap<&'static str, PasswordRefusal>>,
    /// What else people are called, and whose that is.
    called: Mutex<HashMap<&'static str, Vec<&'static str>>>,
    /// Whom it was asked to find.
    pub(crate) looked_for: Mutex<Vec<String>>,
    /// Whose password it was shown, and which.
    pub(crate) asked: Mutex<Vec<(String, String)>>,
    pub(crate) permits: Semaphore,
    /// How many milliseconds it takes for somebody's password, and not for nobody's.
    pub(crate) slow: AtomicI64,
}

impl TestDirectory {
    pub(crate) fn new(source: &str) -> Arc<Self> {
        Arc::new(Self {
            source: source.parse().unwrap(),
            passwords: Mutex::default(),
            down: AtomicBool::new(false),
            owned: Mutex::default(),
            over: Mutex::default(),
            called: Mutex::default(),
            looked_for: Mutex::default(),
            asked: Mutex::default(),
            lost: Mutex::default(),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
            slow: AtomicI64::new(0),
        })
    }

    pub(crate) fn set(&self, person: &'static str, password: &'static str) {
        self.passwords.lock().unwrap().insert(person, password);
    }

    pub(crate) fn call(&self, name: &'static str, people: &[&'static str]) {
        self.called.lock().unwrap().insert(name, people.to_vec());
    }

    /// It has no entry of this person any more.
    pub(crate) fn lose(&self, person: &'static str) {
        self.lost.lock().unwrap().push(person);
    }

    pub(crate) fn set_over(&self, person: &'static str, why: PasswordRefusal) {
        self.over.lock().unwrap().insert(person, why);
    }

    pub(crate) fn own(&self, domain: &'static str) {
        *self.owned.lock().unwrap() = Some(domain);
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// What it had to do so far.
    pub(crate) fn effort(&self) -> usize {
        self.looked_for.lock().unwrap().len() + self.count()
    }

    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// Of which a test holds on to one half.
struct Shared(Arc<TestDirectory>);

#[async_trait]
impl PasswordCheck for Shared {
    fn source(&self) -> &SourceName {
        &self.0.source
    }

    fn owns(&self, name: &str) -> bool {
        self.0.owned.lock().unwrap().is_some_and(|domain| name.ends_with(domain))
    }

    fn takes_addresses(&self) -> bool {
        true
    }

    async fn find(&self, account: Account<'_>) -> AccountFound {
        let name = match account {
            Account::Person(id) => id.as_str(),
            Account::Named(name) => name,
        };
        self.0.looked_for.lock().unwrap().push(name.to_owned());
        if self.0.down.load(Ordering::SeqCst) {
            return AccountFound::Unavailable;
        }
        let one = |person: &str| FoundAccount { person: person.parse().unwrap(), entry: person.to_owned() };
        let called = self.0.called.lock().unwrap();
        match (account, called.get(name).map(Vec::as_slice)) {
            (Account::Person(id), _) if self.0.lost.lock().unwrap().contains(&id.as_str()) => AccountFound::Nobody,
            (Account::Person(id), _) => AccountFound::One(one(id.as_str())),
            (Account::Named(_), Some([person])) => AccountFound::One(one(person)),
            (Account::Named(_), Some(several)) => {
                AccountFound::Several(several.iter().map(|person| person.parse().unwrap()).collect())
            }
            (Account::Named(_), None) => AccountFound::Nobody,
        }
    }

    async fn check(&self, entry: Option<&str>, password: &SecretString) -> PasswordAnswer {
        let password = password.expose_secret();
        let right = entry.and_then(|id| self.0.passwords.lock().unwrap().get(id).copied());
        let over = entry.and_then(|id| self.0.over.lock().unwrap().get(id).copied());
        self.0.asked.lock().unwrap().push((entry.unwrap_or("nobody").to_owned(), password.to_owned()));
        let _permit = self.0.permits.acquire().await.unwrap();
        let slow = entry.map_or(0, |_| self.0.slow.load(Ordering::SeqCst));
        tokio::time::sleep(std::time::Duration::from_millis(slow.unsigned_abs())).await;
        match over {
            _ if self.0.down.load(Ordering::SeqCst) => PasswordAnswer::Unavailable,
            _ if right != Some(password) => PasswordAnswer::Refused(PasswordRefusal::Wrong),
            Some(why) => PasswordAnswer::Refused(why),
            None => PasswordAnswer::Good,
        }
    }
}

/// What was refused.
#[derive(Default)]
pub(crate) struct Refusals(pub(crate) Mutex<Vec<RefusedSignIn>>);

impl RefusalSink for Refusals {
    fn offer(&self, refused: RefusedSignIn) {
        self.0.lock().unwrap().push(refused);
    }
}

pub(crate) struct World {
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) live: Arc<SharedRoster>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) authenticator: Authenticator,
    log: Mutex<u64>,
}

impl World {
    /// Ada and Bob of the directory `corp`, asked of these directories.
    pub(crate) fn with(directories: &[&Arc<TestDirectory>]) -> Self {
        let live = Arc::new(SharedRoster::new(Roster::new(LogId([1; 8]))));
        let clock = Arc::new(TestClock(AtomicI64::new(1_767_268_800_000_000), AtomicI64::new(0)));
        let refusals = Arc::new(Refusals::default());
        let shared =
            |directory: &&Arc<TestDirectory>| -> Arc<dyn PasswordCheck> { Arc::new(Shared(Arc::clone(directory))) };
        let authenticator = Authenticator::new(AuthenticatorParts {
            live: Arc::clone(&live),
            clock: clock.clone(),
            admin_key: AdminKey::of(ADMIN_KEY),
            refresh_key: RefreshKey::new(&[7; 32]),
            service: "registry".to_owned(),
            directories: directories.iter().map(shared).collect(),
            refusals: refusals.clone(),
        })
        .unwrap();
        let world = Self { refusals, live, clock, authenticator, log: Mutex::new(0) };
        world.person("corp", "ada", true);
        world.person("corp", "bob", true);
        world
    }

    pub(crate) fn person(&self, source: &str, name: &str, active: bool) {
        let data = format!(r#"{{"person":"u-{name}","username":"{name}","account":null,"active":{active}}}"#);
        self.record(source, "person.upserted", &data);
    }

    /// Gives a user a secret; the operator makes it.
    pub(crate) fn issue(&self, name: &str, secret: &str) {
        let hash = Digest::of(secret.as_bytes());
        let data = format!(r#"{{"secret":"sec_{name}","owner":{{"user":"corp/u-{name}"}},"sha256":"{hash}"}}"#);
        self.record("local", "secret.issued", &data);
    }

    pub(crate) fn record(&self, source: &str, name: &str, data: &str) {
        let mut log = self.log.lock().unwrap();
        *log += 1;
        let body = Body::parse(&format!("rollcall.{name}.v1"), data).unwrap();
        let event = NewEvent { data: data.into(), ..NewEvent::of(source.parse().unwrap(), log.to_string(), &body) };
        let recorded = Recorded { position: Position(*log), recorded_at: self.clock.now(), event };
        let effect = self.live.write().apply(&recorded).effect;
        assert!(matches!(effect, Effect::Applied), "{effect:?}");
    }

    pub(crate) fn pass(&self, time: TimeDelta) {
        self.clock.0.fetch_add(time.num_microseconds().unwrap(), Ordering::SeqCst);
    }

    pub(crate) async fn authenticate(&self, realm: Realm, credentials: &Credentials) -> Result<Identity, SignInError> {
        self.authenticate_from(CLIENT, realm, credentials).await
    }

    async fn authenticate_from(
        &self,
        client: IpAddr,
        realm: Realm,
        credentials: &Credentials,
    ) -> Result<Identity, SignInError> {
        let sign_in = SignIn { realm, credentials, client, now: self.clock.now() };
        self.authenticator.authenticate(&sign_in, |_, identity| identity).await
    }

    pub(crate) async fn password(&self, realm: Realm, name: &str, password: &str) -> Result<Identity, SignInError> {
        let credentials = Credentials::password(name.to_owned(), password.to_owned());
        self.authenticate(realm, &credentials.map_err(|_| SignInError::WrongCredentials)?).await
    }
    /// The same from another client.
    pub(crate) async fn password_from(&self, client: u32, name: &str, password: &str) -> Result<Identity, SignInError> {
        let credentials = Credentials::password(name.to_owned(), password.to_owned());
        let credentials = credentials.map_err(|_| SignInError::WrongCredentials)?;
        self.authenticate_from(IpAddr::V4(client.into()), Realm::Registry, &credentials).await
    }
}
