//! Debian's docker-registry with token authentication against a Rollcall, and the clients that meet it: skopeo, podman.
//! Each client call has its own home, so that no login leaks from one person to another.

use std::process::Command;

use super::{Dir, Process, Said, found, free_port, image, run, server::Server, skip};

pub struct Registry {
    pub dir: Dir,
    pub port: u16,
    process: Process,
}

impl Registry {
    /// Starts one that trusts this Rollcall. `None`, said aloud, where the programs are missing.
    pub fn start(server: &Server) -> Option<Self> {
        if !found("docker-registry") || !found("skopeo") {
            return None;
        }
        let (dir, port) = (Dir::new(), free_port());
        let bundle = dir.write("bundle.pem", server.cli(&["keys", "bundle"]).ok());
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {blobs}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\", secret: s, host: \"http://127.0.0.1:{port}\"}}\n\
             auth: {{token: {{realm: \"{realm}\", service: rollcall, issuer: rollcall, rootcertbundle: {bundle}}}}}\n",
            blobs = dir.join("blobs").display(),
            bundle = bundle.display(),
            realm = server.url("/token"),
        );
        let file = dir.write("registry.yml", config);
        let mut command = Command::new("docker-registry");
        let mut process = Process::start(command.arg("serve").arg(file), dir.join("registry.log"));
        let url = format!("http://127.0.0.1:{port}/v2/");
        let asked = || server.http.try_send(server.http.get(&url)).ok().filter(|answer| answer.status == 401);
        let challenge = process.ready("docker-registry", asked);
        assert!(
            challenge.header("www-authenticate").is_some_and(|c| c.contains(&server.url("/token"))),
            "{challenge:?}"
        );
        image::write(&dir.join("img"), "hello");
        Some(Self { dir, port, process })
    }

    /// `127.0.0.1:PORT/acme/db:1`.
    pub fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    fn skopeo(&self, args: &[&str]) -> Said {
        let home = self.dir.join("home");
        let mut command = Command::new("skopeo");
        command
            .arg("--insecure-policy")
            .args(args)
            .env("HOME", &home)
            .env("REGISTRY_AUTH_FILE", home.join("none.json"));
        run(&mut command, &self.dir)
    }

    /// Pulls by copying into a directory.
    pub fn pull(&self, user: &str, secret: &str, name: &str) -> Said {
        let target = format!("dir:{}", Dir::new().path().display());
        let image = format!("docker://{}", self.image(name));
        let creds = format!("{user}:{secret}");
        self.skopeo(&["copy", "-q", "--src-tls-verify=false", "--src-creds", &creds, &image, &target])
    }

    pub fn pull_anonymously(&self, name: &str) -> Said {
        let target = format!("dir:{}", Dir::new().path().display());
        let image = format!("docker://{}", self.image(name));
        self.skopeo(&["copy", "-q", "--src-tls-verify=false", "--src-no-creds", &image, &target])
    }

    pub fn push(&self, user: &str, secret: &str, name: &str) -> Said {
        let source = format!("oci:{}:v1", self.dir.join("img").display());
        let image = format!("docker://{}", self.image(name));
        let creds = format!("{user}:{secret}");
        self.skopeo(&["copy", "-q", "--dest-tls-verify=false", "--dest-creds", &creds, &source, &image])
    }

    pub fn skopeo_with_creds(&self, user: &str, secret: &str, args: &[&str]) -> Said {
        let creds = format!("{user}:{secret}");
        let mut all = args.to_vec();
        all.extend(["--tls-verify=false", "--creds", &creds]);
        self.skopeo(&all)
    }

    /// podman with its own storage and login file, or `None`, said aloud, where it is missing or cannot run. Tried with
    /// the image itself: `podman info` also works where no layer can be applied, as in a chroot whose `/` is no mount point.
    pub fn podman(&self) -> Option<Podman<'_>> {
        if !found("podman") {
            return None;
        }
        let podman = Podman { registry: self };
        let image = format!("oci:{}:v1", self.dir.join("img").display());
        for probe in [&["info"][..], &["pull", "-q", &image], &["rmi", "-a", "-f"]] {
            let tried = podman.run(probe);
            if tried.code != 0 {
                let why = tried.err.lines().last().unwrap_or_default();
                skip("podman", &format!("cannot {} here: {why}", probe.first().unwrap()));
                return None;
            }
        }
        Some(podman)
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.ended().is_none()
    }
}

pub struct Podman<'a> {
    registry: &'a Registry,
}

impl Podman<'_> {
    pub fn run(&self, args: &[&str]) -> Said {
        let dir = &self.registry.dir;
        let home = dir.join("podman");
        // podman refuses to pull with a login file that is not there.
        if !home.join("auth.json").exists() {
            dir.write("podman/auth.json", "{}");
        }
        let mut command = Command::new("podman");
        command
            .args(["--root", home.join("s").to_str().unwrap(), "--runroot", home.join("r").to_str().unwrap()])
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
            .args(args)
            .env("HOME", &home)
            .env("REGISTRY_AUTH_FILE", home.join("auth.json"));
        run(&mut command, dir)
    }
}
