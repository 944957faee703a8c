//! `serve`: finds the configuration, opens the server, prints where it is, and waits for a signal.

use std::{io::IsTerminal, net::SocketAddr, sync::Arc};

use rollcall_app::access::secrets::{NewSecret, SecretIssued};
use rollcall_events::Clock;
use secrecy::ExposeSecret;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{
        args::{Global, Serve},
        context::{load_config, problems_as_failure},
        output::{ColorMode, greet as print_greeting, shell_quote},
        welcome::{Welcome, program_name},
    },
    client::{Client, Exit, Failure, http_client},
    config::{
        data_dir::{AdminKey, DataDir},
        load::Loaded,
        merge::FlagValue,
    },
    demo::{self, SampleData},
    server::{
        Server,
        clock::SystemClock,
        random::random_bytes,
        reachable,
        reload::{LiveSources, LoadAgain},
        telemetry::{self, Started},
    },
};

/// Runs until a signal.
///
/// # Errors
/// Everything that keeps the server from starting, with what to do.
pub async fn run(global: &Global, args: &Serve, paint: ColorMode) -> Result<Exit, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut flags = Vec::new();
    if let Some(listen) = args.listen {
        flags.push(FlagValue { key: "server.listen".to_owned(), value: listen.to_string(), flag: "--listen" });
    }
    let configured =
        |flags: &[FlagValue]| load_config(global, flags).map_err(|problems| problems_as_failure(&problems));
    // From the first moment on: a signal to read anew never ends the process.
    let mut hangups = signal(SignalKind::hangup()).map_err(anyhow::Error::from)?;
    let mut loaded = configured(&flags)?;
    let dir = DataDir::new(&loaded.config.server.data_dir);
    dir.create()?;
    dir.check_own()?;
    let mut sample_data = None;
    if args.demo {
        let (state, more) = demo::prepare(&dir, clock.now(), random_bytes()?)?;
        flags.extend(more);
        loaded = configured(&flags)?;
        sample_data = Some(state);
    }
    telemetry::start_logging(&loaded.config.log);
    let admin_key = dir.admin_key(|name| std::env::var(name).ok(), random_bytes()?)?;
    let live = LiveSources::of(&mut loaded);
    let loaded = Arc::new(loaded);
    let load_again: LoadAgain = {
        let (global, flags) = (global.clone(), flags.clone());
        Box::new(move || load_config(&global, &flags))
    };
    let server = Server::open(&loaded, (live, load_again), &dir, clock, &admin_key).await?;
    let (health, waiting) = (server.health.clone(), server.waiting().len());
    let reloader = Arc::clone(&server.reloader);
    health.set_filling_demo(matches!(sample_data, Some(SampleData::Missing(_))));
    let listening = server.listen(&loaded.config, &args.roles).await?;
    let url = loaded
        .config
        .server
        .public_url
        .clone()
        .unwrap_or_else(|| loaded.config.server.url_of(reachable(listening.address)));
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let reloader = Arc::clone(&reloader);
            let _ = tokio::task::spawn_blocking(move || reloader.reload()).await;
        }
    });
    dir.write_server_url(url.trim_end_matches('/'))?;
    Started {
        listen: &listening.address.to_string(),
        data_dir: &dir.path().display().to_string(),
        position: listening.position.0,
    }
    .emit();

    let url = url.trim_end_matches('/');
    let welcome = greet(global, &loaded, &dir, &admin_key, sample_data, listening.address, url, waiting, paint);
    let greeted = tokio::select! {
        greeted = welcome => greeted,
        () = listening.stop.cancelled() => Ok(()),
    };
    health.set_filling_demo(false);
    if greeted.is_err() {
        listening.stop.cancel();
    }
    listening.run_to_end().await;
    greeted.map(|()| Exit::Yes)
}

/// Prints where the server is; fills the demo first.
#[expect(clippy::too_many_arguments, reason = "called once, with all that the start knows")]
async fn greet(
    global: &Global,
    loaded: &Loaded,
    dir: &DataDir,
    admin_key: &AdminKey,
    sample_data: Option<SampleData>,
    address: SocketAddr,
    url: &str,
    waiting: usize,
    paint: ColorMode,
) -> Result<(), Failure> {
    let made = match admin_key {
        // What is no terminal is a log, which others read and which is kept.
        AdminKey::Created(_) if !std::io::stdout().is_terminal() => {
            Some(format!("in {} (mode 0600)", dir.file("admin.key").display()))
        }
        AdminKey::Created(key) => {
            let kept = paint.dim("shown only once; kept in admin.key in the data directory");
            Some(format!("{}   {kept}", key.expose_secret()))
        }
        AdminKey::Existing(_) => None,
    };
    let data = format!("{} ({})", dir.path().display(), dir.log().name());
    let Some(sample_data) = sample_data else {
        let mut text =
            format!("{}  data={data}\n  server     {url}\n", paint.bold(&format!("rollcall {}", telemetry::VERSION)));
        if waiting > 0 {
            text.push_str(&format!(
                "  {}  {waiting} of the configuration would change somebody's access and are not in effect: rollcall config plan\n",
                paint.bold("settings")
            ));
        }
        if let Some(key) = made {
            text.push_str(&format!("  admin key  {key}\n"));
        }
        print_greeting(&text);
        return Ok(());
    };
    let mut secret = None;
    if let SampleData::Missing(made_at) = sample_data {
        // The machine itself, but where a certificate is made out to another name.
        let tls = loaded.config.server.tls.cert_file.is_some();
        let own = if tls { url.to_owned() } else { format!("http://{}", reachable(address)) };
        let base: reqwest::Url = own.parse().map_err(|_| Failure::Usage(format!("`{own}` is not an address")))?;
        let http = http_client(&base, global.ca_file.as_deref())?;
        demo::fill(dir, (&http, &base), made_at, SystemClock.now()).await?;
        let client = Client::new(http, base, admin_key.secret().clone());
        let new = NewSecret { label: Some("demo".to_owned()), expires: None };
        let issued = client.post::<SecretIssued>(&["api", "v1", "users", demo::sample::ADA, "secrets"], &new).await?;
        secret = Some(issued.value.secret);
    }
    // The flags that a pasted command needs to find this server.
    let mut program = program_name();
    for (flag, path) in [("--config", &global.config), ("--data-dir", &global.data_dir)] {
        if let Some(path) = path {
            program.push_str(&format!(" {flag} {}", shell_quote(&path.display().to_string())));
        }
    }
    let (secret, service) = (secret.as_deref(), loaded.config.token.service.as_str());
    print_greeting(
        &Welcome { url, service, program: &program, data: &data, secret, admin_key: made.as_deref() }.text(paint),
    );
    Ok(())
}
