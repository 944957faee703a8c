//! `serve`: opens what is kept, records the settings where they changed, wires the crates together and listens; on a
//! signal lets go in the reverse order. Holds the order of these steps; every step's work is somebody else's.

pub mod clock;
mod consequences;
mod control;
mod decisions;
mod health;
mod listener;
mod passwords;
mod settings;
mod source_runners;
pub mod telemetry;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use aws_lc_rs::rand;
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use rollcall_access::Effect;
use rollcall_api::{AdminKey as ApiKey, Api, Control};
use rollcall_eventlog::{Append, Filter, Log, Outcome, Tail};
use rollcall_events::{Body, Clock, NewEvent, Position, SourceName};
use rollcall_ingest::{HookRoute, Receiver, RunnerTasks};
use rollcall_projector::{Handle, Projector};
use rollcall_registry::{
    Algorithm, DecisionSink, DenialMode, KeyOptions, Keys, Logins, PasswordCheck, TokenParts, TokenServer, Ttl,
};
use rollcall_store::ops::{Ops, Retention};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{
    clock::SystemClock,
    consequences::OnRoster,
    control::Process,
    health::Health,
    passwords::{ApiLogins, Passwords},
    settings::{differences, event, global_project},
    source_runners::{ReadSource, read_sources},
    telemetry::{Started, Stopped},
};
use crate::{
    cli::{
        args::{Global, Role, Serve},
        output::{Paint, say, shell_word},
    },
    client::{Client, Exit, Failure},
    config::{
        self, Config,
        data_dir::{AdminKey, DataDir},
        load::Loaded,
        merge::FlagValue,
        origin::Problem,
        profile::load_profile,
    },
    demo::{self, Welcome, World},
    sources::{ConfiguredSource, Notifications},
};

/// How long the fold of a command at start may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often keys and records are looked after.
const CARE: Duration = Duration::from_secs(600);
/// How often the numbers are brought up to date while nobody asks.
const BEAT: Duration = Duration::from_secs(5);

/// Runs until a signal.
///
/// # Errors
/// Everything that keeps the server from starting, with what to do.
pub async fn run(global: &Global, args: &Serve, paint: Paint) -> Result<Exit, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut flags = Vec::new();
    if let Some(listen) = args.listen {
        flags.push(FlagValue { key: "server.listen".to_owned(), value: listen.to_string(), flag: "--listen" });
    }
    let configured = |flags: &[FlagValue]| global.load_config(flags).map_err(|problems| refused(&problems));
    let mut loaded = configured(&flags)?;
    let dir = DataDir::at(&loaded.config.server.data_dir);
    dir.make()?;
    let mut world = None;
    if args.demo {
        let (state, more) = demo::prepare(&dir, clock.now(), random()?)?;
        flags.extend(more);
        loaded = configured(&flags)?;
        world = Some(state);
    }
    telemetry::start_logging(&loaded.config.log);
    let admin_key = dir.admin_key(|name| std::env::var(name).ok(), random()?)?;
    let server = Server::open(&loaded, &dir, clock, &admin_key).await?;
    let health = server.health.clone();
    health.fills_demo(matches!(world, Some(World::Missing(_))));
    let listening = server.listen(&loaded.config, &args.roles).await?;
    let url =
        loaded.config.server.public_url.clone().unwrap_or_else(|| format!("http://{}", reachable(listening.address)));
    dir.keep_server_url(url.trim_end_matches('/'))?;
    Started {
        listen: &listening.address.to_string(),
        data_dir: &dir.path().display().to_string(),
        position: listening.position.0,
    }
    .emit();

    let welcome = greet(global, &loaded, &dir, &admin_key, world, listening.address, url.trim_end_matches('/'), paint);
    let greeted = tokio::select! {
        greeted = welcome => greeted,
        () = listening.stop.cancelled() => Ok(()),
    };
    health.fills_demo(false);
    if greeted.is_err() {
        listening.stop.cancel();
    }
    listening.ended().await;
    greeted.map(|()| Exit::Yes)
}

fn refused(problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failure::Usage(lines.join("\nrollcall: "))
}

/// Bytes that nobody can guess.
///
/// # Errors
/// When the machine gives none.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok().context("the system gives no randomness")?;
    Ok(bytes)
}

/// Where the machine itself reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    }
}

/// Prints where the server is; fills the demo first.
#[expect(clippy::too_many_arguments, reason = "called once, with all that the start knows")]
async fn greet(
    global: &Global,
    loaded: &Loaded,
    dir: &DataDir,
    admin_key: &AdminKey,
    world: Option<World>,
    address: SocketAddr,
    url: &str,
    paint: Paint,
) -> Result<(), Failure> {
    let made = match admin_key {
        AdminKey::Made(key) => Some(key.expose_secret()),
        AdminKey::Known(_) => None,
    };
    let data = format!("{} ({})", dir.path().display(), dir.log().name());
    let Some(world) = world else {
        let mut text =
            format!("{}  data={data}\n  server     {url}\n", paint.bold(&format!("rollcall {}", telemetry::VERSION)));
        if let Some(key) = made {
            text.push_str(&format!(
                "  admin key  {key}   {}\n",
                paint.dim("shown this once; kept in admin.key in the data directory")
            ));
        }
        say(&text);
        return Ok(());
    };
    let mut secret = None;
    if let World::Missing(made_at) = world {
        let own = format!("http://{}", reachable(address));
        let base = own.parse().map_err(|_| Failure::Usage(format!("`{own}` is not an address")))?;
        demo::fill(dir, &base, made_at, SystemClock.now()).await?;
        let client = Client::with(base, admin_key.secret().clone())?;
        let issued = client
            .post(&["api", "v1", "users", crate::demo::sample::ADA, "secrets"], &json!({"label": "demo"}))
            .await?;
        secret = issued.get("secret").and_then(|secret| secret.as_str()).map(str::to_owned);
    }
    // The flags that a pasted command needs to find this server.
    let mut program = demo::program();
    for (flag, path) in [("--config", &global.config), ("--data-dir", &global.data_dir)] {
        if let Some(path) = path {
            program.push_str(&format!(" {flag} {}", shell_word(&path.display().to_string())));
        }
    }
    let (secret, service) = (secret.as_deref(), loaded.config.token.service.as_str());
    say(&Welcome { url, service, program: &program, data: &data, secret, admin_key: made }.text(paint));
    Ok(())
}

/// Everything that is open, not yet listening.
struct Server {
    log: Log,
    ops: Ops,
    handle: Handle,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    health: Health,
    routes: Vec<HookRoute>,
    read_sources: Vec<ReadSource>,
    passwords: Option<Arc<dyn PasswordCheck>>,
    admin_key: ApiKey,
    dir: DataDir,
    stop: CancellationToken,
    projecting: JoinHandle<()>,
}

impl Server {
    async fn open(loaded: &Loaded, dir: &DataDir, clock: Arc<dyn Clock>, admin_key: &AdminKey) -> anyhow::Result<Self> {
        let Config { token, access, .. } = &loaded.config;
        let read = |path: &std::path::Path| std::fs::read_to_string(path);
        let profile = load_profile(access, &loaded.origins.of("access.profile"), &read).map_err(anyhow::Error::msg)?;
        let routes = routes(loaded);
        let read_sources = read_sources(&loaded.sources);
        let metrics = telemetry::start_metrics()?;
        let log = Log::open(&dir.log(), Arc::clone(&clock)).await?;
        let newest = newest(&log).await?;
        let ops = Ops::open(dir.path()).await?;
        let keys = Arc::new(Keys::open(&dir.file("keys"), key_options(token), clock.now())?);
        let tail: Arc<dyn Tail> = Arc::new(log.clone());
        let (projector, handle) =
            Projector::open(dir.path(), tail, Arc::clone(&clock), rollcall_projector::Options::default()).await?;
        let stop = CancellationToken::new();
        let projecting = tokio::spawn(projector.run(stop.clone().cancelled_owned()));
        let limits = health::Limits { staleness: token.max_staleness.0, skew: token.max_clock_skew.0 };
        let health = Health::new(
            log.clone(),
            handle.clone(),
            Arc::clone(&keys),
            Arc::clone(&clock),
            limits,
            newest.unwrap_or_default(),
            metrics,
        );
        let admin_key = ApiKey::of(admin_key.secret().expose_secret());
        let dir = dir.clone();
        let passwords = Passwords::of(loaded, handle.live(), Arc::clone(&clock));
        let passwords = passwords.map(|passwords| Arc::new(passwords) as Arc<dyn PasswordCheck>);
        let server = Self {
            log,
            ops,
            handle,
            keys,
            clock,
            health,
            routes,
            read_sources,
            passwords,
            admin_key,
            dir,
            stop,
            projecting,
        };
        let stated = server.state(loaded, &profile).await;
        if stated.is_err() {
            server.stop.cancel();
            server.log.close().await;
        }
        stated.map(|()| server)
    }

    /// Records settings and profile where they are not what the log says, before anybody is answered (DESIGN 5).
    async fn state(&self, loaded: &Loaded, profile: &rollcall_access::Profile) -> anyhow::Result<()> {
        let head = self.log.newest().position;
        let mut state = self.handle.state();
        // A long log takes its time; only a fold that stopped is an error.
        tokio::select! {
            stopped = state.wait_for(|state| matches!(state, rollcall_projector::State::Stopped(_))) => {
                if let Ok(stopped) = stopped.map(|state| state.clone())
                    && let rollcall_projector::State::Stopped(why) = stopped
                {
                    anyhow::bail!("{why}");
                }
            }
            _ = self.handle.wait_for(head, Duration::MAX) => {}
        }
        let bodies = differences(loaded, profile, &self.handle.live())?;
        if let Some((body, why)) = self.record(&bodies).await? {
            anyhow::bail!("the log takes the configuration's {} not: {why}", body.subject())
        }
        // Judged under the profile that has just been recorded. A name that somebody has is no reason not to serve.
        let global: Vec<Body> = global_project(&self.handle.live().read()).into_iter().collect();
        if let Some((_, why)) = self.record(&global).await? {
            tracing::warn!(%why, "the profile has a global project, and it cannot be made");
        }
        Ok(())
    }

    /// Records commands and waits until they count. The first that the fold did not take, and why.
    async fn record<'a>(&self, bodies: &'a [Body]) -> anyhow::Result<Option<(&'a Body, String)>> {
        if bodies.is_empty() {
            return Ok(None);
        }
        let now = self.clock.now();
        let events: Vec<NewEvent> = bodies.iter().map(|body| event(body, now)).collect::<anyhow::Result<_>>()?;
        let outcomes = self.log.append(events).await?;
        for (body, outcome) in bodies.iter().zip(outcomes) {
            let Outcome::Recorded(position) = outcome else {
                anyhow::bail!("{} was not recorded: {outcome:?}", body.kind())
            };
            anyhow::ensure!(
                self.handle.wait_for(position, PATIENCE).await,
                "{} is recorded and not applied yet",
                body.kind()
            );
            match self.handle.effect(position).await? {
                Some(Effect::Refused(why) | Effect::Parked(why)) => return Ok(Some((body, why))),
                _ => tracing::info!(kind = body.kind(), position = position.0, "configuration recorded"),
            }
        }
        Ok(None)
    }

    /// Wires everything together and listens.
    async fn listen(self, config: &Config, roles: &[Role]) -> anyhow::Result<Listening> {
        let Self {
            log,
            ops,
            handle,
            keys,
            clock,
            health,
            routes,
            read_sources,
            passwords,
            admin_key,
            dir,
            stop,
            projecting,
        } = self;
        let listen = config.server.listen;
        let listener = TcpListener::bind(listen).await;
        let listener =
            listener.with_context(|| format!("{listen} cannot be listened on; choose another with --listen"))?;
        let address = listener.local_addr()?;
        let append: Arc<dyn Append> = Arc::new(log.clone());
        let receiver = Receiver::new(routes, Arc::new(ops.clone()), Arc::clone(&append), Arc::clone(&clock));
        // Before the first delivery is taken, so that nothing newer is overtaken.
        receiver.recover().await?;
        let process =
            Process { log: dir.log(), projector: handle.clone(), keys: Arc::clone(&keys), clock: Arc::clone(&clock) };
        let control: Arc<dyn Control> = Arc::new(process);
        let (sink, deciding) = decisions::start(ops.clone());
        let sink = Arc::new(sink);
        let logins = Arc::new(Logins::new(handle.live(), passwords));
        let tokens = TokenServer::new(TokenParts {
            issuer: config.token.issuer.clone(),
            service: config.token.service.clone(),
            ttl: Ttl::try_from(config.token.ttl.0)?,
            denial: match config.token.denial {
                config::Denial::Auto => DenialMode::Auto,
                config::Denial::Explain => DenialMode::Explain,
                config::Denial::Standard => DenialMode::Standard,
            },
            live: handle.live(),
            keys: Arc::clone(&keys),
            clock: Arc::clone(&clock),
            freshness: Arc::new(health.clone()),
            decisions: Arc::clone(&sink) as Arc<dyn DecisionSink>,
            logins: Arc::clone(&logins),
        });
        let consequences = OnRoster { handle: handle.clone(), clock: Arc::clone(&clock) };
        let (runners, running) =
            source_runners::start(read_sources, Arc::clone(&append), Arc::new(log.clone()), &ops, consequences);
        let public_url = config.server.public_url.clone().unwrap_or_else(|| format!("http://{}", reachable(address)));
        let api = Api {
            decisions: sink,
            public_url: public_url.trim_end_matches('/').to_owned(),
            live: handle.live(),
            append,
            tail: Arc::new(log.clone()),
            ops: ops.clone(),
            receiver,
            runners,
            control,
            passwords: Arc::new(ApiLogins { logins, clock: Arc::clone(&clock) }),
            clock: Arc::clone(&clock),
            admin_key,
        };
        let app = parts(roles, api, tokens)
            .merge(health::router(health.clone()))
            .layer(middleware::from_fn_with_state(config.server.request_timeout.0, listener::in_time));
        let limits = listener::Limits {
            connections: usize::try_from(config.server.max_connections)?,
            head: config.server.header_timeout.0,
            grace: config.server.shutdown_grace.0,
        };
        let serving = tokio::spawn(listener::serve(listener, app, limits, stop.clone()));
        let caring = tokio::spawn(care(keys, ops.clone(), health, Arc::clone(&clock), stop.clone()));
        tokio::spawn(stop_on_signal(stop.clone()));
        let position = log.newest().position;
        Ok(Listening { address, position, stop, serving, caring, deciding, projecting, running, log, ops })
    }
}

/// How the keys of registry tokens are made.
fn key_options(token: &config::Token) -> KeyOptions {
    let algorithm = match token.algorithm {
        config::Algorithm::Es256 => Algorithm::Es256,
        config::Algorithm::Rs256 => Algorithm::Rs256,
    };
    KeyOptions { algorithm, ..KeyOptions::default() }
}

/// The routes of these parts; of all when none is named.
fn parts(roles: &[Role], api: Api, tokens: TokenServer) -> Router {
    let wanted = |role: Role| roles.is_empty() || roles.contains(&role);
    let mut app = Router::new();
    if wanted(Role::Registry) {
        app = app.merge(rollcall_registry::router(tokens));
    }
    if wanted(Role::Hooks) || wanted(Role::Api) {
        let closed = match (wanted(Role::Hooks), wanted(Role::Api)) {
            (true, false) => Some("/api/"),
            (false, true) => Some("/hooks/"),
            _ => None,
        };
        let mut routes = rollcall_api::router(api);
        if let Some(prefix) = closed {
            routes = routes.layer(middleware::from_fn_with_state(prefix, not_here));
        }
        app = app.merge(routes);
    }
    app
}

/// Answers for a part that this process does not serve.
async fn not_here(State(prefix): State<&'static str>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(prefix) {
        return (StatusCode::NOT_FOUND, "this process does not serve that part (see --role)\n").into_response();
    }
    next.run(request).await
}

/// A running server.
struct Listening {
    address: SocketAddr,
    position: Position,
    stop: CancellationToken,
    serving: JoinHandle<usize>,
    caring: JoinHandle<()>,
    deciding: JoinHandle<()>,
    projecting: JoinHandle<()>,
    running: RunnerTasks,
    log: Log,
    ops: Ops,
}

impl Listening {
    /// Waits for the signal and lets go of everything: requests first, then what they wrote into.
    async fn ended(self) {
        let Self { stop, serving, caring, deciding, projecting, running, log, ops, .. } = self;
        stop.cancelled().await;
        // What they were at is begun anew at the next start.
        drop(running);
        let cut = serving.await.unwrap_or_default();
        let _ = caring.await;
        // A connection that was cut may still hold the queue's other end.
        let _ = tokio::time::timeout(Duration::from_secs(2), deciding).await;
        let _ = projecting.await;
        ops.close().await;
        log.close().await;
        Stopped { cut }.emit();
    }
}

async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
}

/// Looks after keys, records and numbers.
async fn care(keys: Arc<Keys>, ops: Ops, health: Health, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let (mut beat, mut care) = (tokio::time::interval(BEAT), tokio::time::interval(CARE));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = beat.tick() => health.beat(),
            _ = care.tick() => {
                let (tended, now) = (Arc::clone(&keys), clock.now());
                match tokio::task::spawn_blocking(move || tended.tend(now)).await {
                    Ok(Ok(Some(key))) => tracing::info!(kid = key.kid, "signing key renewed"),
                    Ok(Ok(None)) => {}
                    Ok(Err(error)) => tracing::error!(%error, "signing key not renewed"),
                    Err(error) => tracing::error!(%error, "signing key not renewed"),
                }
                if let Err(error) = ops.prune(now, &Retention::default()).await {
                    tracing::warn!(%error, "old records not deleted");
                }
            }
        }
    }
}

/// The hooks of the sources that post.
fn routes(loaded: &Loaded) -> Vec<HookRoute> {
    let server_max_body = loaded.config.server.max_body;
    let route = |(name, source): (&SourceName, &ConfiguredSource)| {
        let Notifications { hook, max_body } = loaded.sources.get(name)?.hook.as_ref()?;
        Some(HookRoute {
            source: name.clone(),
            order: source.order(),
            hook: Arc::clone(hook),
            max_body: max_body.unwrap_or(server_max_body).bytes(),
            max_in_flight: HookRoute::MAX_IN_FLIGHT,
        })
    };
    loaded.config.source.iter().filter_map(route).collect()
}

/// When the newest record was taken: no present is before it.
async fn newest(log: &Log) -> anyhow::Result<Option<DateTime<Utc>>> {
    let head = log.newest().position;
    let before = Position(head.0.saturating_sub(1));
    let (records, _) = log.page(before, 1, &Filter::default()).await?;
    Ok(records.last().map(|record| record.recorded_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_on_the_machine_itself() {
        let shown = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(shown("[::]:80"), "[::1]:80");
        assert_eq!(shown("10.0.0.1:80"), "10.0.0.1:80");
    }
}
