//! A Rollcall as a child process in its own directory: started, asked, killed, started again.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rollcall_events::NewEvent;
use serde_json::{Value, json};

use super::{
    Dir, Process, Said,
    api::{Answer, Http, Secret, signed, unix_now},
    facts::{Clerk, cloud_event},
    free_port, run, wait_for,
};

pub const BINARY: &str = env!("CARGO_BIN_EXE_rollcall");

/// A world in which ada of Globex is entitled to pull `acme/..`, and pia of the producer (and max of its sub-account)
/// may push there.
pub const WORLD: &str = "
flexnet account.upserted vendor kind=producer
flexnet account.upserted lab kind=producer parent=vendor
flexnet person.upserted pia account=vendor
flexnet permission.granted pia
flexnet person.upserted max account=lab
flexnet permission.granted max
flexnet account.upserted globex
flexnet person.upserted ada account=globex
flexnet product.upserted DB
flexnet package.upserted db-suite producer=vendor project_name=acme
flexnet package.product.mapped db-suite DB
flexnet entitlement.upserted ENT-7 account=globex state=active
flexnet entitlement.line.upserted ENT-7/1 product=DB
";

pub struct Server {
    pub dir: Dir,
    pub http: Http,
    pub secret: Secret,
    pub port: u16,
    process: Option<Process>,
    clerk: Mutex<Clerk>,
    deliveries: AtomicU32,
}

impl Server {
    /// One source, `flexnet`, ordered by version; everything else as it is by default.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`Self::start`], with more lines of configuration at the end.
    pub fn start_with(more: &str) -> Self {
        let mut server = Self::prepared(more);
        server.go();
        server
    }

    /// Not started yet.
    pub fn prepared(more: &str) -> Self {
        let (dir, port, secret) = (Dir::new(), free_port(), Secret::new(1));
        dir.write("flexnet.secret", secret.text() + "\n");
        let clerk = Mutex::new(Clerk::default());
        let server =
            Self { dir, http: Http::default(), secret, port, process: None, clerk, deliveries: AtomicU32::new(0) };
        server.configure(more);
        server
    }

    /// Writes the configuration anew, with these lines at its end. It counts from the next start.
    pub fn configure(&self, more: &str) {
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\ndata_dir = {data:?}\n\n[source.flexnet]\nkind = \"entitlements\"\n\
             format = \"cloudevents\"\norder = \"version\"\nsecret_file = \"flexnet.secret\"\n{more}",
            port = self.port,
            data = self.dir.join("data"),
        );
        self.dir.write("rollcall.toml", config);
    }

    /// Adds lines to its section `[server]`.
    pub fn set(&self, lines: &str) {
        let path = self.dir.join("rollcall.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("[server]\n", &format!("[server]\n{lines}\n"), 1)).unwrap();
    }

    /// The command that serves; a fault test puts something around it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--config"]).arg(self.dir.join("rollcall.toml")).current_dir(self.dir.path());
        command
    }

    /// Starts, and waits until it is ready.
    pub fn go(&mut self) {
        let command = self.command();
        self.go_as(command);
    }

    /// Starts by this command, and waits until it is ready.
    pub fn go_as(&mut self, mut command: Command) {
        assert!(self.process.is_none(), "it runs already");
        let mut process = Process::start(&mut command, self.dir.join("serve.log"));
        let url = self.url("/readyz");
        let answer = || self.http.try_send(self.http.get(&url)).ok().filter(|answer| answer.status == 200);
        process.ready("rollcall", answer);
        self.process = Some(process);
    }

    /// Starts by this command and does not wait. A start that fails is an answer too.
    pub fn go_unready(&mut self, mut command: Command) {
        self.process = Some(Process::start(&mut command, self.dir.join("serve.log")));
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    pub fn is_ready(&self) -> bool {
        self.http.try_send(self.http.get(&self.url("/readyz"))).is_ok_and(|answer| answer.status == 200)
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Asks it to end and waits for it.
    pub fn stop(&mut self) {
        let status = self.process.take().unwrap().terminate();
        assert!(status.success(), "it stopped with {status}");
    }

    /// Asks it to end, and does not wait.
    pub fn ask_to_end(&mut self) {
        self.process.as_mut().unwrap().ask_to_end();
    }

    pub fn restart(&mut self) {
        self.stop();
        self.go();
    }

    /// Makes the configuration so that waits as a plan.
    #[track_caller]
    pub fn apply_configuration(&self) {
        let plan = self.get("/api/v1/configuration/plan").expect(200).json()["plan"].clone();
        self.post("/api/v1/configuration/apply", &json!({"confirm": plan})).expect(200);
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("serve.log")).unwrap_or_default()
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.dir.join("data").join(name)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn admin_key(&self) -> String {
        fs::read_to_string(self.data("admin.key")).unwrap().trim().to_owned()
    }

    /// The command line, against this server.
    pub fn cli(&self, args: &[&str]) -> Said {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.dir.join("rollcall.toml")).args(args).current_dir(self.dir.path());
        run(command.env("NO_COLOR", "1"), &self.dir)
    }

    /// What it says where it does not start. One that starts all the same is ended, and a failure.
    #[track_caller]
    pub fn refuses_to_start(&self) -> Said {
        let log = self.dir.join("refused.log");
        let _ = std::fs::remove_file(&log);
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.dir.join("rollcall.toml")).arg("serve").current_dir(self.dir.path());
        let mut process = Process::start(command.env("NO_COLOR", "1"), log);
        let status = wait_for("the server to refuse", || {
            let log = process.log();
            assert!(!log.contains("server started"), "it started:\n{log}");
            process.ended()
        });
        Said { code: status.code().unwrap_or(-1), out: String::new(), err: process.log() }
    }

    // --- facts

    /// The event of one line.
    pub fn event(&self, line: &str) -> NewEvent {
        self.clerk.lock().unwrap().event(line)
    }

    /// Posts signed facts in one batch, waits until they count, and gives the position.
    #[track_caller]
    pub fn say(&self, facts: &str) -> u64 {
        let events: Vec<Value> =
            self.clerk.lock().unwrap().facts(facts).iter().map(|fact| cloud_event(&fact.event)).collect();
        let answer = self.post_json("application/cloudevents-batch+json", &json!(events)).expect(202);
        let told = answer.json();
        assert_eq!(
            (&told["quarantined"], told["events"].as_array().map(Vec::len)),
            (&json!(0), Some(events.len())),
            "{told}"
        );
        let positions = told["events"].as_array().unwrap().iter().map(|event| {
            assert_eq!(event["outcome"], "recorded", "{told}");
            event["position"].as_u64().unwrap()
        });
        let position = positions.max().unwrap();
        self.reached(position);
        position
    }

    /// Waits, as a reader does, until the roster has this position.
    #[track_caller]
    pub fn reached(&self, position: u64) {
        self.get(&format!("/api/v1/projects?min_position={position}&wait=5s")).expect(200);
    }

    pub fn delivery_id(&self) -> String {
        format!("msg-{}", self.deliveries.fetch_add(1, Ordering::Relaxed))
    }

    /// Posts a body, rightly signed.
    pub fn post_json(&self, content_type: &str, body: &Value) -> Answer {
        self.post_raw(content_type, body.to_string().into_bytes())
    }

    /// Posts bytes, rightly signed.
    pub fn post_raw(&self, content_type: &str, body: Vec<u8>) -> Answer {
        let request = self.http.post(&self.url("/hooks/flexnet")).header("content-type", content_type);
        self.http.send(signed(request, &self.secret, &self.delivery_id(), unix_now(), body))
    }

    /// Posts one event as a structured CloudEvent.
    pub fn post_event(&self, event: &NewEvent) -> Answer {
        self.post_json("application/cloudevents+json", &cloud_event(event))
    }

    // --- the API

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.http.send(self.http.get(&self.url(path)).bearer_auth(self.admin_key()))
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.http.post(&self.url(path)).bearer_auth(self.admin_key());
        self.http.send(request.header("content-type", "application/json").body(body.to_string()))
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        let request = self.http.request(reqwest::Method::PUT, &self.url(path)).bearer_auth(self.admin_key());
        self.http.send(request.header("content-type", "application/json").body(body.to_string()))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.http.send(self.http.request(reqwest::Method::DELETE, &self.url(path)).bearer_auth(self.admin_key()))
    }

    /// A registry secret for a user.
    #[track_caller]
    pub fn secret_for(&self, user: &str) -> String {
        let answer = self.post(&format!("/api/v1/users/{user}/secrets"), &json!({"label": "test"})).expect(201);
        answer.json()["secret"].as_str().unwrap().to_owned()
    }

    /// `user project role` of every membership, sorted: what must not change when something is refused.
    pub fn memberships(&self) -> Vec<String> {
        let mut all = Vec::new();
        for project in self.pages("/api/v1/projects?limit=500") {
            let name = project["name"].as_str().unwrap().to_owned();
            for member in self.pages(&format!("/api/v1/projects/{name}/members?limit=500")) {
                all.push(format!("{name} {member}"));
            }
        }
        all.sort();
        all
    }

    /// Every item of a list, page by page.
    pub fn pages(&self, path: &str) -> Vec<Value> {
        let (mut items, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(path) = next {
            let answer = self.get(&path).expect(200);
            let page = answer.json();
            let list =
                page.as_array().or_else(|| page["items"].as_array()).unwrap_or_else(|| panic!("no list: {page}"));
            items.extend(list.iter().cloned());
            next = answer.header("link").and_then(|link| {
                let target = link.split(',').find(|l| l.contains("rel=\"next\""))?;
                let url = target.split(['<', '>']).nth(1)?;
                Some(url.find("/api/").map_or(url, |at| &url[at..]).to_owned())
            });
        }
        items
    }

    // --- tokens

    /// Asks for a token as a client with a user name and secret does.
    pub fn token(&self, user: &str, secret: &str, query: &str) -> Answer {
        let url = self.url(&format!("/token?service=rollcall{query}"));
        self.http.send(self.http.get(&url).basic_auth(user, Some(secret)).header("user-agent", "skopeo/1.9.3"))
    }

    /// What a token for this repository lets the user do, e.g. `["pull", "push"]`.
    #[track_caller]
    pub fn granted(&self, user: &str, secret: &str, repository: &str) -> Vec<String> {
        let answer = self.token(user, secret, &format!("&scope=repository:{repository}:pull,push")).expect(200);
        let granted = access(answer.json()["token"].as_str().unwrap());
        assert!(granted.iter().all(|(name, _)| name == repository), "{granted:?}");
        let mut actions: Vec<String> = granted.into_iter().flat_map(|(_, actions)| actions).collect();
        actions.sort();
        actions
    }
}

/// The repositories of a token, each with what it lets its bearer do there.
pub fn access(token: &str) -> Vec<(String, Vec<String>)> {
    let claims = claims(token);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = claims["access"].as_array().unwrap().iter().map(|entry| {
        assert_eq!(entry["type"], "repository", "{claims}");
        (word(&entry["name"]), entry["actions"].as_array().unwrap().iter().map(word).collect())
    });
    entries.collect()
}

/// The claims of a token, not checked.
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The header of a token, not checked.
pub fn header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, nth: usize) -> Value {
    let part = token.split('.').nth(nth).unwrap_or_else(|| panic!("`{token}` is no token"));
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
