//! A small licensing world behind a token server, for tests: initech publishes, globex buys, eve does neither.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method, StatusCode, header};
use rollcall_access::{Effect, Freshness, Profile, Roster, SharedRoster, Stale};
use rollcall_authn::{
    Account, AccountFound, AdminKey, Authenticator, AuthenticatorParts, Credentials, FoundAccount, Identity,
    NoRefusals, PasswordAnswer, PasswordCheck, PasswordRefusal, Realm, SignIn, SignInError,
};
use rollcall_events::{Body as Fact, Clock, Digest, LogId, NewEvent, Position, Recorded, SourceName, body::Principal};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{
    Algorithm, Claims, Decision, DecisionSink, DenialMode, KeyOptions, Keys, TokenParts, TokenServer, Ttl, router,
};

pub(crate) const ADA: &str = "rcs_YWRhLWFkYS1hZGEtYWRhLWFkYS1hZGEtYWRhLWFkYS0";
pub(crate) const BOB: &str = "rcs_Ym9iLWJvYi1ib2ItYm9iLWJvYi1ib2ItYm9iLWJvYi0";
pub(crate) const EVE: &str = "rcs_ZXZlLWV2ZS1ldmUtZXZlLWV2ZS1ldmUtZXZlLWV2ZS0";

pub(crate) const PULL: &str = "repository:acme/db:pull";
pub(crate) const BOTH: &str = "repository:acme/db:pull,push";

pub(crate) const SKOPEO: &str = "skopeo/1.9.3";
pub(crate) const DOCKER: &str = r"docker/20.10.24 go/go1.19 UpstreamClient(Docker-Client/28.2.2 \(linux\))";

/// 2026-01-01, noon.
pub(crate) fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_268_800, 0).unwrap()
}

/// A directory of one test, gone with it.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rollcall-registry-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

#[derive(Default)]
pub(crate) struct RecordedDecisions(Mutex<Vec<Decision>>);

impl DecisionSink for RecordedDecisions {
    fn offer(&self, decision: Decision) {
        self.0.lock().unwrap().push(decision);
    }
}

/// Fresh until a test sets an age.
#[derive(Default)]
pub(crate) struct TestFreshness(AtomicU64);

impl Freshness for TestFreshness {
    fn may_decide(&self, _: DateTime<Utc>) -> Result<(), Stale> {
        match self.0.load(Ordering::SeqCst) {
            0 => Ok(()),
            age => Err(Stale::Old(Duration::from_secs(age))),
        }
    }
}

/// A directory that remembers what it was asked.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) passwords: HashMap<&'static str, &'static str>,
    pub(crate) down: bool,
    pub(crate) asked: Mutex<Vec<String>>,
}

/// The directory whose people the source `flexnet` states.
struct FlexnetPasswords {
    source: SourceName,
    directory: Arc<Directory>,
}

#[async_trait]
impl PasswordCheck for FlexnetPasswords {
    fn source(&self) -> &SourceName {
        &self.source
    }

    fn owns(&self, _: &str) -> bool {
        false
    }

    fn takes_addresses(&self) -> bool {
        true
    }

    async fn find(&self, account: Account<'_>) -> AccountFound {
        match account {
            Account::Person(id) => AccountFound::One(FoundAccount { person: id.clone(), entry: id.to_string() }),
            Account::Named(_) => AccountFound::Nobody,
        }
    }

    async fn check(&self, entry: Option<&str>, password: &SecretString) -> PasswordAnswer {
        let password = password.expose_secret();
        self.directory.asked.lock().unwrap().push(password.to_owned());
        let right = entry.and_then(|id| self.directory.passwords.get(id.trim_start_matches("u-")));
        if self.directory.down {
            PasswordAnswer::Unavailable
        } else if right == Some(&password) {
            PasswordAnswer::Good
        } else {
            PasswordAnswer::Refused(PasswordRefusal::Wrong)
        }
    }
}

pub(crate) struct World {
    pub(crate) live: Arc<SharedRoster>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) log: Mutex<Vec<Recorded>>,
    clock: Arc<TestClock>,
    decisions: Arc<RecordedDecisions>,
    freshness: Arc<TestFreshness>,
    router: Router,
    _dir: Dir,
}

/// How the world differs from the usual one.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) denial: DenialMode,
    pub(crate) directory: Option<Arc<Directory>>,
    pub(crate) algorithm: Algorithm,
    pub(crate) ttl: Option<Duration>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn denying(denial: DenialMode) -> Self {
        Self::with(Setup { denial, ..Setup::default() })
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let dir = Dir::new();
        let options = KeyOptions { algorithm: setup.algorithm, ..KeyOptions::default() };
        let keys = Arc::new(Keys::open(&dir.keys(), options, noon()).unwrap());
        let live = Arc::new(SharedRoster::new(Roster::new(LogId([1; 8]))));
        let clock = Arc::new(TestClock(AtomicI64::new(noon().timestamp_micros())));
        let (decisions, freshness) = (Arc::<RecordedDecisions>::default(), Arc::<TestFreshness>::default());
        let directory = setup.directory.map(|directory| -> Arc<dyn PasswordCheck> {
            Arc::new(FlexnetPasswords { source: "flexnet".parse().unwrap(), directory })
        });
        let authenticator = AuthenticatorParts {
            live: live.clone(),
            clock: clock.clone(),
            admin_key: AdminKey::of("rk_admin"),
            refresh_key: keys.refresh_key(),
            service: "registry".into(),
            directories: directory.into_iter().collect(),
            refusals: Arc::new(NoRefusals),
        };
        let authenticator = Arc::new(Authenticator::new(authenticator).unwrap());
        let server = TokenServer::new(TokenParts {
            issuer: "rollcall".into(),
            service: "registry".into(),
            ttl: Ttl::try_from(setup.ttl.unwrap_or(Duration::from_secs(300))).unwrap(),
            denial: setup.denial,
            keys: keys.clone(),
            clock: clock.clone(),
            freshness: freshness.clone(),
            decisions: decisions.clone(),
            authenticator: authenticator.clone(),
        });
        let log = Mutex::default();
        let world =
            Self { live, keys, authenticator, log, clock, decisions, freshness, router: router(server), _dir: dir };
        world.add_initial_facts();
        world
    }

    fn add_initial_facts(&self) {
        self.record_fact("account.upserted", json!({"account": "initech", "kind": "producer"}));
        self.record_fact(
            "account.upserted",
            json!({"account": "initech-labs", "kind": "producer", "parent": "initech"}),
        );
        self.record_fact("account.upserted", json!({"account": "globex", "kind": "customer"}));
        for (person, account, secret) in [("ada", "globex", ADA), ("bob", "initech-labs", BOB), ("eve", "globex", EVE)]
        {
            let account = if person == "eve" { Value::Null } else { json!(account) };
            self.person(person, account, true);
            self.issue(person, secret);
        }
        self.permission("bob", "granted");
        for (package, project, product) in [("db-suite", "acme", "DB"), ("tool-box", "tools", "TOOLS")] {
            self.record_fact("product.upserted", json!({"product": product}));
            self.record_fact(
                "package.upserted",
                json!({
                    "package": package, "project_name": project, "producer": "initech", "container_delivery": true,
                }),
            );
            self.record_fact("package.product.mapped", json!({"package": package, "product": product}));
        }
        self.entitle("active");
        self.line(None);
    }

    pub(crate) fn person(&self, name: &str, account: Value, active: bool) {
        let data = json!({"person": format!("u-{name}"), "username": name, "account": account, "active": active});
        self.record_fact("person.upserted", data);
    }

    pub(crate) fn permission(&self, name: &str, what: &str) {
        let data = json!({"person": format!("u-{name}"), "permission": "view_and_manage_download_packages"});
        self.record_fact(&format!("permission.{what}"), data);
    }

    pub(crate) fn entitle(&self, state: &str) {
        self.record_fact("entitlement.upserted", json!({"entitlement": "ENT-7", "account": "globex", "state": state}));
    }

    pub(crate) fn line(&self, ends: Option<DateTime<Utc>>) {
        let data = json!({"line": "ENT-7/1", "entitlement": "ENT-7", "product": "DB", "starts": null, "ends": ends});
        self.record_fact("entitlement.line.upserted", data);
    }

    pub(crate) fn issue(&self, name: &str, secret: &str) {
        self.command(
            "secret.issued",
            json!({
                "secret": format!("sec_{name}"),
                "owner": {"user": format!("flexnet/u-{name}")},
                "sha256": Digest::of(secret.as_bytes()).to_string(),
            }),
        );
    }

    /// The profile with a line more.
    pub(crate) fn profile(&self, more: &str) {
        let base = Profile::bundled("revenera").unwrap();
        let toml = format!("{}\n{more}", toml::to_string(base.document()).unwrap());
        let profile = Profile::from_toml(&toml).unwrap();
        self.command("profile.set", serde_json::to_value(profile.document()).unwrap());
    }

    /// Records a fact of the source.
    pub(crate) fn record_fact(&self, name: &str, data: Value) {
        self.record("flexnet", name, data);
    }

    /// Records a command.
    pub(crate) fn command(&self, name: &str, data: Value) {
        self.record("local", name, data);
    }

    fn record(&self, source: &str, name: &str, data: Value) {
        let mut log = self.log.lock().unwrap();
        let (kind, data) = (format!("rollcall.{name}.v1"), data.to_string());
        let position = Position(log.len() as u64 + 1);
        let recorded = Recorded {
            position,
            recorded_at: self.now(),
            event: NewEvent {
                data: data.as_str().into(),
                ..NewEvent::of(source.parse().unwrap(), position.to_string(), &Fact::parse(&kind, &data).unwrap())
            },
        };
        let folded = self.live.write().apply(&recorded);
        assert!(!matches!(folded.effect, Effect::Parked(_) | Effect::Refused(_)), "{recorded:?}: {:?}", folded.effect);
        log.push(recorded);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn wait(&self, time: TimeDelta) {
        self.clock.0.fetch_add(time.num_microseconds().unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn set_age(&self, age: Duration) {
        self.freshness.0.store(age.as_secs(), Ordering::SeqCst);
    }

    pub(crate) fn decisions(&self) -> Vec<Decision> {
        self.decisions.0.lock().unwrap().clone()
    }

    pub(crate) fn get(&self, query: &str) -> Call<'_> {
        Call::new(self, Method::GET, format!("/token?{query}"), String::new())
    }

    pub(crate) fn post(&self, form: &[(&str, &str)]) -> Call<'_> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        Call::new(self, Method::POST, "/token".into(), body)
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Call<'_> {
        Call::new(self, method, path.into(), String::new())
    }

    /// Signs in to the API, which shares this server's authenticator.
    pub(crate) async fn api_sign_in(&self, name: &str, password: &str) -> Result<Option<Principal>, SignInError> {
        let credentials = Credentials::password(name.to_owned(), password.to_owned());
        let credentials = &credentials.map_err(|_| SignInError::WrongCredentials)?;
        let client = "192.0.2.9".parse().unwrap();
        let sign_in = SignIn { realm: Realm::Api, credentials, client, now: self.now() };
        let found = self.authenticator.authenticate(&sign_in, |roster, identity| match identity {
            Identity::Principal { principal, .. } => roster.event_principal(principal),
            Identity::Anonymous | Identity::Operator => None,
        });
        found.await
    }

    /// GET with Basic for scopes.
    pub(crate) async fn pull(&self, name: &str, secret: &str, scope: &str) -> Reply {
        self.get(&format!("service=registry&scope={scope}")).basic(name, secret).send().await
    }

    /// A refresh token for a user, as docker gets it at login.
    pub(crate) async fn offline(&self, name: &str, secret: &str) -> String {
        let reply = self.get("service=registry&offline_token=true&client_id=docker").basic(name, secret).send().await;
        reply.body["refresh_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn refresh(&self, token: &str, scope: &str) -> Reply {
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", token), ("service", "registry"), ("scope", scope)];
        self.post(&form).send().await
    }
}

/// A request in the making.
pub(crate) struct Call<'a> {
    world: &'a World,
    request: Request,
}

impl<'a> Call<'a> {
    fn new(world: &'a World, method: Method, uri: String, body: String) -> Self {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().unwrap();
        Self { world, request }.from("192.0.2.1:4711")
    }

    pub(crate) fn from(mut self, peer: &str) -> Self {
        let peer: SocketAddr = peer.parse().unwrap();
        self.request.extensions_mut().insert(ConnectInfo(peer));
        self
    }

    /// As if the server had been put together without the peer's address.
    pub(crate) fn unconnected(mut self) -> Self {
        self.request.extensions_mut().clear();
        self
    }

    pub(crate) fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        self.request.headers_mut().append(name, value.parse().unwrap());
        self
    }

    pub(crate) fn basic(self, name: &str, secret: &str) -> Self {
        let credential = STANDARD.encode(format!("{name}:{secret}"));
        self.header(header::AUTHORIZATION, &format!("Basic {credential}"))
    }

    pub(crate) fn agent(self, agent: &str) -> Self {
        self.header(header::USER_AGENT, agent)
    }

    pub(crate) async fn send(self) -> Reply {
        let response = self.world.router.clone().oneshot(self.request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        let claims = body["token"].as_str().map(|token| {
            let keys = self.world.keys.current();
            keys.verify(token, "rollcall", "registry", self.world.now()).unwrap()
        });
        Reply { status: head.status, headers: head.headers, body, claims }
    }
}

/// What came back; a token has been verified.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) claims: Option<Claims>,
}

impl Reply {
    /// What the token grants, as scopes; the status where there is no token.
    pub(crate) fn access(&self) -> String {
        match &self.claims {
            None => self.status.as_str().to_owned(),
            Some(claims) => {
                let one =
                    |access: &crate::Access| format!("{}:{}:{}", access.kind, access.name, access.actions.join(","));
                claims.access.iter().map(one).collect::<Vec<_>>().join(" ")
            }
        }
    }

    pub(crate) fn error(&self) -> (&str, &str) {
        let error = &self.body["errors"][0];
        (error["code"].as_str().unwrap(), error["message"].as_str().unwrap())
    }
}
