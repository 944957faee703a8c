//! `serve`: opens what is kept, records the settings where they changed, wires the crates together and listens; on a
//! signal closes all of it in reverse order. Holds the order of these steps; every step's work is somebody else's.

mod ballast;
pub mod clock;
mod configuration_events;
mod consequences;
mod control;
mod cors;
mod databases;
mod decision_queue;
mod health;
mod hooks;
mod listener;
#[cfg(test)]
mod listener_tests;
mod proxy_protocol;
pub mod random;
mod refusal_pace;
mod refusals;
pub mod reload;
pub mod roles;
mod sockets;
mod source_runners;
pub mod telemetry;
mod upkeep;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, middleware};
use chrono::{DateTime, Utc};
use rollcall_access::{Configuration, Effect, SettingDifference, configuration_differences, configuration_to_record};
use rollcall_api::{AnswerKey, Api};
use rollcall_app::{App, AppParts, Control, operations::configuration::missing_global_project};
use rollcall_authn::{Authenticator, AuthenticatorParts};
use rollcall_eventlog::{Append, Filter, Log, Outcome, Tail};
use rollcall_events::{Body, Clock, NewEvent, Position, Settings};
use rollcall_ingest::{HookRoute, Receiver, RunnerTasks};
use rollcall_projector::{Handle, Projector};
use rollcall_registry::{Algorithm, DecisionSink, DenialMode, KeyOptions, Keys, TokenParts, TokenServer, Ttl};
use rollcall_store::{
    ops::{self, Ops},
    read::{self, Origin},
};
use secrecy::ExposeSecret;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{
    configuration_events::{configuration_of, local_event},
    consequences::RosterConsequences,
    control::ServerControl,
    databases::Databases,
    health::{Audience, Health},
    listener::Front,
    random::random_bytes,
    refusal_pace::{RefusalPace, with_pace},
    refusals::Refusals,
    reload::{LiveSources, LoadAgain, Reloader, ReloaderParts},
    roles::Role,
    source_runners::{ReadSource, read_sources},
    telemetry::Stopped,
    upkeep::Upkeep,
};
use crate::{
    config::{
        self, Config,
        data_dir::{AdminKey, DataDir},
        load::Loaded,
    },
    tls::{self, Tls, TlsPaths},
};

/// How long the fold of a command at start may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections beyond `server.max_connections` for whoever only asks whether the server is ready.
const SPARE_CONNECTIONS: usize = 16;
/// The listener of its own for that: probes and collectors, no clients.
const OPS_CONNECTIONS: usize = 64;
const OPS_CONNECTIONS_PER_ADDRESS: usize = 16;

/// Where the machine itself reaches a listener.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    }
}

/// Everything that is open, not yet listening.
pub struct Server {
    log: Log,
    ops: Arc<dyn Ops>,
    handle: Handle,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    /// How it is.
    pub health: Health,
    tls: Option<Arc<Tls>>,
    /// Reads secrets and certificates anew.
    pub reloader: Arc<Reloader>,
    hook_routes: Vec<HookRoute>,
    read_sources: Vec<ReadSource>,
    authenticator: Arc<Authenticator>,
    configuration: Arc<Configuration>,
    refusals: Refusals,
    databases: Databases,
    dir: DataDir,
    stop: CancellationToken,
    projector_task: JoinHandle<()>,
}

impl Server {
    /// Opens what is kept, and records of settings and profile what changes nobody's access.
    ///
    /// # Errors
    /// Everything that keeps the server from starting, with what to do.
    pub async fn open(
        loaded: &Arc<Loaded>,
        (sources, load_again): (LiveSources, LoadAgain),
        dir: &DataDir,
        clock: Arc<dyn Clock>,
        admin_key: &AdminKey,
    ) -> anyhow::Result<Self> {
        let Config { token, server, .. } = &loaded.config;
        let read_sources = read_sources(&loaded.sources);
        let tls = open_tls(loaded)?;
        let metrics = telemetry::start_metrics()?;
        ballast::make_room(dir.path());
        let log = Log::open(&dir.log(), Arc::clone(&clock)).await?;
        let newest = newest(&log).await?;
        let ops = ops::open(&dir.sql()).await?;
        // Something was recorded: this is no first start.
        let open_keys = if newest.is_some() { Keys::open_again } else { Keys::open };
        let keys = Arc::new(open_keys(&dir.file("keys"), key_options(token), clock.now())?);
        let tail: Arc<dyn Tail> = Arc::new(log.clone());
        let read = read::open(&dir.sql(), Origin::of(tail.log_id())).await?;
        let options = rollcall_projector::Options {
            history: server.history.map(|span| span.0),
            ..rollcall_projector::Options::default()
        };
        let databases = Databases { log: log.clone(), ops: Arc::clone(&ops), read: Arc::clone(&read) };
        let (projector, handle) = Projector::open(dir.path(), tail, read, Arc::clone(&clock), options).await?;
        let stop = CancellationToken::new();
        let projector_task = tokio::spawn(projector.run(stop.clone().cancelled_owned()));
        let limits = health::Limits { staleness: token.max_staleness.0, skew: token.max_clock_skew.0 };
        let health = Health::new(
            databases.clone(),
            handle.clone(),
            Arc::clone(&keys),
            Arc::clone(&clock),
            limits,
            newest.unwrap_or_default(),
            metrics,
            tls.clone(),
        );
        let refusals = Refusals::default();
        let authenticator = Arc::new(Authenticator::new(AuthenticatorParts {
            live: handle.live(),
            clock: Arc::clone(&clock),
            admin_key: rollcall_authn::AdminKey::of(admin_key.secret().expose_secret()),
            refresh_key: keys.refresh_key(),
            service: token.service.clone(),
            directories: loaded.sources.values().filter_map(|source| source.passwords.clone()).collect(),
            refusals: Arc::new(refusals.clone()),
        })?);
        let dir = dir.clone();
        let reloader = Arc::new(Reloader::new(ReloaderParts {
            loaded: Arc::clone(loaded),
            load_again,
            sources,
            dir: dir.clone(),
            authenticator: Arc::clone(&authenticator),
            keys: Arc::clone(&keys),
            tls: tls.clone(),
            clock: Arc::clone(&clock),
        }));
        let hook_routes = hooks::hook_routes(loaded, &handle.live());
        let mut server = Self {
            reloader,
            log,
            ops,
            handle,
            keys,
            clock,
            health,
            tls,
            hook_routes,
            read_sources,
            authenticator,
            configuration: Arc::new(Configuration { profile: loaded.profile.clone(), settings: Settings::default() }),
            refusals,
            databases,
            dir,
            stop,
            projector_task,
        };
        let recorded = server.record_configuration(loaded).await;
        if recorded.is_err() {
            server.stop.cancel();
            server.log.close().await;
        }
        recorded.map(|()| server)
    }

    /// Records settings and profile where they are not what the log says and change nobody's access, before anybody is
    /// answered. What would change somebody's waits for a person, and the server runs on with what the log says.
    async fn record_configuration(&mut self, loaded: &Loaded) -> anyhow::Result<()> {
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
        let unknown: Vec<String> = {
            let (live, named) = (self.handle.live(), loaded.named_only.iter());
            let roster = live.read();
            let unknown = named.filter(|(other, _)| !roster.sources().any(|source| source == other.as_str()));
            unknown.map(|(_, problem)| problem.to_string()).collect()
        };
        // What is said of people of a source that is none would be in effect nowhere, and told nowhere.
        anyhow::ensure!(unknown.is_empty(), "{}", unknown.join("\n"));
        self.configuration = Arc::new(configuration_of(loaded, &loaded.profile, &self.handle.live())?);
        let (configuration, live, now) = (Arc::clone(&self.configuration), self.handle.live(), self.clock.now());
        // Nobody is answered yet: whoever would wait for the roster is not there.
        let judged = move || configuration_to_record(&live.read(), &configuration, now);
        let bodies = tokio::task::spawn_blocking(judged).await.context("the configuration could not be judged")?;
        if let Some((body, why)) = self.record(&bodies).await? {
            anyhow::bail!("the configuration's {} was refused: {why}", body.subject())
        }
        for SettingDifference { setting, in_force, configured } in self.waiting() {
            tracing::warn!(
                setting,
                %in_force,
                %configured,
                "not in effect, as it would change somebody's access: look at it with `rollcall config plan`"
            );
        }
        // Judged under the profile that has just been recorded. A name that somebody has is no reason not to serve.
        let global: Vec<Body> = missing_global_project(&self.handle.live().read()).into_iter().collect();
        if let Some((_, why)) = self.record(&global).await? {
            tracing::warn!(%why, "the profile has a global project, and it cannot be made");
        }
        Ok(())
    }

    /// What of the configuration is not in effect, as it would change somebody's access.
    #[must_use]
    pub fn waiting(&self) -> Vec<SettingDifference> {
        configuration_differences(&self.handle.live().read(), &self.configuration)
    }

    /// Records commands and waits until they count. The first that the fold did not take, and why.
    async fn record<'a>(&self, bodies: &'a [Body]) -> anyhow::Result<Option<(&'a Body, String)>> {
        if bodies.is_empty() {
            return Ok(None);
        }
        let now = self.clock.now();
        let events: Vec<NewEvent> = bodies.iter().map(|body| local_event(body, now)).collect::<anyhow::Result<_>>()?;
        let outcomes = self.log.append(events).await?;
        for (body, outcome) in bodies.iter().zip(outcomes) {
            let Outcome::Recorded(position) = outcome else {
                anyhow::bail!("{} was not recorded: {outcome:?}", body.kind())
            };
            anyhow::ensure!(
                self.handle.wait_for(position, COMMAND_TIMEOUT).await,
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
    pub async fn listen(self, config: &Config, roles: &[Role]) -> anyhow::Result<RunningServer> {
        let Self {
            log,
            ops,
            handle,
            keys,
            clock,
            health,
            tls,
            reloader,
            hook_routes,
            read_sources,
            authenticator,
            configuration,
            refusals,
            databases,
            dir,
            stop,
            projector_task,
        } = self;
        let listen = config.server.listen;
        let listener = TcpListener::bind(listen).await;
        let listener =
            listener.with_context(|| format!("{listen} cannot be listened on; choose another with --listen"))?;
        let address = listener.local_addr()?;
        let ops_listener = match config.server.ops_listen {
            None => None,
            Some(at) => Some(TcpListener::bind(at).await.with_context(|| format!("server.ops_listen: {at}"))?),
        };
        let append: Arc<dyn Append> = Arc::new(log.clone());
        let receiver =
            Receiver::new(hook_routes, ops.clone(), (Arc::clone(&append), Arc::new(log.clone())), Arc::clone(&clock));
        // Before the first delivery is taken, so that nothing newer is overtaken.
        receiver.recover().await?;
        let control = ServerControl {
            log: dir.log(),
            databases,
            projector: handle.clone(),
            keys: Arc::clone(&keys),
            clock: Arc::clone(&clock),
            reloader,
        };
        let control: Arc<dyn Control> = Arc::new(control);
        let decided = CancellationToken::new();
        let (sink, decision_task) = decision_queue::start(ops.clone(), decided.clone());
        let sink = Arc::new(sink);
        let refusal_task = refusals.start(ops.clone(), decided.clone());
        let tokens = TokenServer::new(TokenParts {
            issuer: config.token.issuer.clone(),
            service: config.token.service.clone(),
            ttl: Ttl::try_from(config.token.ttl.0)?,
            denial: match config.token.denial {
                config::Denial::Auto => DenialMode::Auto,
                config::Denial::Explain => DenialMode::Explain,
                config::Denial::Standard => DenialMode::Standard,
            },
            keys: Arc::clone(&keys),
            clock: Arc::clone(&clock),
            freshness: Arc::new(health.clone()),
            decisions: Arc::clone(&sink) as Arc<dyn DecisionSink>,
            authenticator: Arc::clone(&authenticator),
        });
        let consequences = RosterConsequences { handle: handle.clone(), clock: Arc::clone(&clock) };
        let (runners, runner_tasks) =
            source_runners::start(read_sources, Arc::clone(&append), Arc::new(log.clone()), ops.clone(), consequences);
        let public_url = config.server.public_url.clone().unwrap_or_else(|| config.server.url_of(reachable(address)));
        let connections = usize::try_from(config.server.max_connections)?;
        let app = App::new(AppParts {
            live: handle.live(),
            append,
            tail: Arc::new(log.clone()),
            ops: ops.clone(),
            decisions: sink,
            receiver,
            runners,
            control,
            clock: Arc::clone(&clock),
            freshness: Arc::new(health.clone()),
            authenticator,
            configuration,
            registry: config.token.registry.clone(),
            connections,
        });
        let operations = match ops_listener {
            Some(_) => Router::new(),
            None => health::router(health.clone(), Audience::Auditors(Arc::clone(&app))),
        };
        let api = Api {
            app: Arc::clone(&app),
            answers: ops.clone(),
            answer_key: AnswerKey::new(&dir.answer_key(random_bytes()?)?),
            public_url: public_url.trim_end_matches('/').to_owned(),
            max_unverified_bodies: config.server.max_unverified_bodies.bytes(),
        };
        let routes = roles::router(roles, api, tokens, cors::origins(&config.server.cors_origins.0))
            .merge(operations)
            .layer(middleware::from_fn_with_state(RefusalPace::new(connections), with_pace))
            .layer(middleware::from_fn_with_state(config.server.request_timeout.0, listener::with_timeout));
        let limits = listener::Limits {
            connections,
            per_address: usize::try_from(config.server.max_connections_per_address)?,
            spare: if ops_listener.is_some() { 0 } else { SPARE_CONNECTIONS },
            urgent: health::ROUTES,
            write: config.server.write_timeout.0,
            head: config.server.header_timeout.0,
            grace: config.server.shutdown_grace.0,
        };
        let proxies = config.server.proxies().map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
        // Before anybody is answered: whoever was answered may send a signal.
        let mut signals = StopSignals::listen().context("signals cannot be received")?;
        let stop_on_signal = stop.clone();
        if let Some(ops_listener) = ops_listener {
            let apart = listener::Limits {
                connections: OPS_CONNECTIONS,
                per_address: OPS_CONNECTIONS_PER_ADDRESS,
                spare: 0,
                ..limits
            };
            let routes = health::router(health.clone(), Audience::Anybody);
            tracing::info!(listen = %ops_listener.local_addr()?, "operations are answered apart");
            tokio::spawn(listener::serve(ops_listener, routes, apart, Front::default(), stop.clone()));
        }
        if let Some(tls) = &tls {
            tokio::spawn(tls::watch(Arc::clone(tls), Arc::clone(&clock), stop.clone()));
        }
        let listener_task =
            tokio::spawn(listener::serve(listener, routes, limits, Front { proxies, tls }, stop.clone()));
        let upkeep = Upkeep {
            app,
            handle,
            keys,
            ops: ops.clone(),
            health,
            clock,
            dir: dir.path().to_owned(),
            stop: stop.clone(),
        };
        let upkeep_task = tokio::spawn(upkeep.run());
        tokio::spawn(async move {
            signals.received().await;
            tracing::info!("stopping");
            stop_on_signal.cancel();
        });
        let position = log.newest().position;
        Ok(RunningServer {
            address,
            position,
            stop,
            listener_task,
            upkeep_task,
            decided,
            decision_task,
            refusal_task,
            projector_task,
            runner_tasks,
            log,
            ops,
        })
    }
}

/// TLS of our own, where the configuration names a certificate.
fn open_tls(loaded: &Loaded) -> anyhow::Result<Option<Arc<Tls>>> {
    let config::TlsFiles { cert_file, key_file, client_ca_file } = &loaded.config.server.tls;
    let (Some(certificate), Some(key)) = (cert_file, key_file) else { return Ok(None) };
    let path = |name: &str, path: &std::path::Path| loaded.origins.of(&format!("server.tls.{name}")).resolve(path);
    let paths = TlsPaths {
        certificate: path("cert_file", certificate),
        key: path("key_file", key),
        client_authorities: client_ca_file.as_ref().map(|file| path("client_ca_file", file)),
    };
    Ok(Some(Arc::new(Tls::open(paths, config::files::read_trusted)?)))
}

/// How the keys of registry tokens are made.
/// The keys that are configured.
pub fn key_options(token: &config::Token) -> KeyOptions {
    let algorithm = match token.algorithm {
        config::Algorithm::Es256 => Algorithm::Es256,
        config::Algorithm::Rs256 => Algorithm::Rs256,
    };
    KeyOptions { algorithm, ..KeyOptions::default() }
}

/// A running server.
pub struct RunningServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// How far its log is.
    pub position: Position,
    /// Cancelled when it is to stop.
    pub stop: CancellationToken,
    listener_task: JoinHandle<usize>,
    upkeep_task: JoinHandle<()>,
    /// Cancelled when nothing more is decided.
    decided: CancellationToken,
    decision_task: JoinHandle<()>,
    refusal_task: JoinHandle<()>,
    projector_task: JoinHandle<()>,
    runner_tasks: RunnerTasks,
    log: Log,
    ops: Arc<dyn Ops>,
}

impl RunningServer {
    /// Waits for the signal and closes everything: requests first, then what they wrote into.
    pub async fn run_to_end(self) {
        let Self {
            stop,
            listener_task,
            upkeep_task,
            decided,
            decision_task,
            refusal_task,
            projector_task,
            runner_tasks,
            log,
            ops,
            ..
        } = self;
        stop.cancelled().await;
        // What they were at is begun anew at the next start.
        drop(runner_tasks);
        let cut = listener_task.await.unwrap_or_default();
        let _ = upkeep_task.await;
        // A connection that was cut may still hold the queue's other end.
        decided.cancel();
        let _ = decision_task.await;
        let _ = refusal_task.await;
        let _ = projector_task.await;
        ops.close().await;
        log.close().await;
        Stopped { cut }.emit();
    }
}

/// The signals that stop the server.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on a signal no longer ends the process at once.
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
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
