//! A real OpenLDAP server as a child process, filled and changed with its own tools; and a proxy in front of it that cuts,
//! stalls and garbles what it answers.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use sha2::{Digest, Sha256};

use super::{Dir, Process, Said, found, free_port, path, run};

pub const BASE: &str = "dc=ex,dc=test";
pub const SYNC: &str = "uid=sync,ou=people,dc=ex,dc=test";

/// What is particular about a server.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Whether it can be followed.
    pub syncprov: bool,
    /// How many changes it remembers for followers.
    pub session_log: u32,
    /// The largest page that it gives to the account `SYNC`.
    pub page: u32,
    /// Whether deleted people leave the groups.
    pub refint: bool,
}

impl Default for Kind {
    fn default() -> Self {
        Self { syncprov: true, session_log: 100, page: 50, refint: true }
    }
}

/// What `Slapd::backup` does.
pub enum Backup {
    Make,
    Restore,
}

pub struct Slapd {
    pub dir: Dir,
    pub port: u16,
    pub tls_port: u16,
    process: Process,
}

/// The trunk of a directory, and the account that reads it.
pub fn trunk() -> String {
    let mut out = format!("dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: ex\ndc: ex\n\n");
    for ou in ["people", "staff", "groups"] {
        out += &format!("dn: ou={ou},{BASE}\nobjectClass: organizationalUnit\nou: {ou}\n\n");
    }
    out + &person("sync", "people", "sync")
}

/// A person whose password is `password`.
pub fn person(uid: &str, ou: &str, password: &str) -> String {
    format!(
        "dn: uid={uid},ou={ou},{BASE}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid} of {ou}\nsn: {uid}\nmail: {uid}@ex.test\nuserPassword: {password}\n\n"
    )
}

/// A groupOfNames; members are names.
pub fn group<S: AsRef<str>>(cn: &str, members: impl IntoIterator<Item = S>) -> String {
    let mut out = format!("dn: cn={cn},ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: {cn}\n");
    for member in members {
        out += &format!("member: {}\n", member.as_ref());
    }
    out + "\n"
}

pub fn dn(uid: &str) -> String {
    format!("uid={uid},ou=people,{BASE}")
}

impl Slapd {
    /// None, and a skip, where there is no slapd.
    pub fn start(kind: Kind, ldif: &str) -> Option<Self> {
        Self::start_with(kind, ldif, None)
    }

    /// The same, with a certificate.
    pub fn start_with(kind: Kind, ldif: &str, authority: Option<&Authority>) -> Option<Self> {
        if !(found("slapd") && found("ldapmodify")) {
            return None;
        }
        let dir = Dir::new();
        std::fs::create_dir(dir.join("db")).unwrap();
        let d = dir.path().display();
        let mut conf = String::new();
        for schema in ["core", "cosine", "nis", "inetorgperson"] {
            conf += &format!("include /etc/ldap/schema/{schema}.schema\n");
        }
        conf += "modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload syncprov\nmoduleload refint\n";
        conf += &format!("pidfile {d}/slapd.pid\nargsfile {d}/slapd.args\n");
        if let Some(authority) = authority {
            dir.write("ca.crt", &authority.pem);
            dir.write("tls.crt", &authority.leaf);
            dir.write("tls.key", &authority.key);
            conf += &format!(
                "TLSCACertificateFile {d}/ca.crt\nTLSCertificateFile {d}/tls.crt\nTLSCertificateKeyFile {d}/tls.key\n"
            );
        }
        conf += &format!(
            "sizelimit size.soft=500 size.hard=5000 size.pr=200 size.prtotal=unlimited\n\
             database mdb\nsuffix \"{BASE}\"\nrootdn \"cn=admin,{BASE}\"\nrootpw secret\ndirectory {d}/db\n\
             maxsize 1073741824\ndbnosync\nindex objectClass,uid,cn,member,entryUUID,entryCSN eq\n\
             limits dn.exact=\"{SYNC}\" size.soft=100 size.hard=300 size.pr={} size.prtotal=unlimited\n\
             access to attrs=userPassword by anonymous auth by self write by * none\n\
             access to * by users read by anonymous read\n",
            kind.page
        );
        if kind.refint {
            conf += "overlay refint\nrefint_attributes member\n";
        }
        if kind.syncprov {
            conf += &format!("overlay syncprov\nsyncprov-checkpoint 10 1\nsyncprov-sessionlog {}\n", kind.session_log);
        }
        dir.write("slapd.conf", conf);
        dir.write("data.ldif", ldif);
        let conf = dir.join("slapd.conf");
        run(
            Command::new("slapadd")
                .env("PATH", path())
                .arg("-q")
                .arg("-f")
                .arg(&conf)
                .arg("-l")
                .arg(dir.join("data.ldif")),
            &dir,
        )
        .ok();
        let (port, tls_port) = (free_port(), free_port());
        let process = Self::process(&dir, port, authority.map(|_| tls_port));
        let mut slapd = Self { dir, port, tls_port, process };
        slapd.ready();
        Some(slapd)
    }

    fn process(dir: &Dir, port: u16, tls_port: Option<u16>) -> Process {
        let mut urls = format!("ldap://127.0.0.1:{port}");
        if let Some(tls) = tls_port {
            urls += &format!(" ldaps://127.0.0.1:{tls}");
        }
        let mut command = Command::new("slapd");
        command.env("PATH", path()).arg("-f").arg(dir.join("slapd.conf")).args(["-h", &urls, "-d", "256"]);
        Process::start(&mut command, dir.join("slapd.log"))
    }

    fn ready(&mut self) {
        let port = self.port;
        self.process.ready("slapd", || TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// Stops it and starts it again on the same data. Its memory of changes is gone.
    pub fn restart(&mut self) {
        self.process.terminate();
        self.go();
    }

    fn go(&mut self) {
        let tls = self.dir.join("tls.key").exists().then_some(self.tls_port);
        self.process = Self::process(&self.dir, self.port, tls);
        self.ready();
    }

    /// Changes its configuration and starts it again.
    pub fn reconfigure(&mut self, change: impl FnOnce(String) -> String) {
        let conf = std::fs::read_to_string(self.dir.join("slapd.conf")).unwrap();
        self.dir.write("slapd.conf", change(conf));
        self.restart();
    }

    /// Password policies (overlay ppolicy): accounts lock after three wrong passwords, and `old`, for whom it is set, has
    /// passwords that last a second.
    pub fn with_policies(&mut self) {
        self.reconfigure(|conf| {
            let loaded = conf.replacen("moduleload refint\n", "moduleload refint\nmoduleload ppolicy\n", 1);
            loaded + &format!("overlay ppolicy\nppolicy_default \"cn=usual,{BASE}\"\nppolicy_use_lockout\n")
        });
        let usual = "pwdMustChange: TRUE\npwdLockout: TRUE\npwdMaxFailure: 3\npwdLockoutDuration: 0\n";
        for (name, more) in [("usual", usual), ("old", "pwdMaxAge: 1\n")] {
            self.change(&format!(
                "dn: cn={name},{BASE}\nobjectClass: organizationalRole\nobjectClass: pwdPolicy\ncn: {name}\n\
                 pwdAttribute: userPassword\n{more}\n"
            ));
        }
    }

    /// Whether the server itself takes a password.
    pub fn takes(&self, uid: &str, password: &str) -> bool {
        let mut command = Command::new("ldapsearch");
        command.env("PATH", path()).args([
            "-x",
            "-H",
            &self.url(),
            "-D",
            &dn(uid),
            "-w",
            password,
            "-s",
            "base",
            "-b",
            "",
        ]);
        run(&mut command, &self.dir).code == 0
    }

    /// One change of one attribute of a person: `add`, `delete` or `replace`.
    pub fn modify(&self, uid: &str, how: &str, attribute: &str, value: &str) {
        let dn = dn(uid);
        self.change(&format!("dn: {dn}\nchangetype: modify\n{how}: {attribute}\n{attribute}: {value}\n"));
    }

    /// Nobody but the administrator sees what this part of an ACL names, from now on; nothing is hidden by an empty one.
    pub fn hide(&mut self, what: &str) {
        const ALL: &str = "access to * by users";
        self.reconfigure(|conf| {
            let (head, rest) = conf.split_once(ALL).unwrap();
            let kept: String =
                head.lines().filter(|line| !line.starts_with("access to dn.")).map(|l| format!("{l}\n")).collect();
            let rule = if what.is_empty() { String::new() } else { format!("access to {what} by * none\n") };
            kept + &rule + ALL + rest
        });
    }

    /// Everything below the trunk as an administrator sees it: LDIF, lines not folded.
    pub fn dump(&self, attributes: &[&str]) -> String {
        let admin = format!("cn=admin,{BASE}");
        let mut command = Command::new("ldapsearch");
        command.env("PATH", path()).args(["-LLL", "-o", "ldif-wrap=no", "-x", "-H", &self.url(), "-D", &admin]);
        command.args(["-w", "secret", "-b", BASE]).args(attributes);
        run(&mut command, &self.dir).ok()
    }

    /// Which entries list each of these names as a member, as the server compares names.
    pub fn listing(&self, names: &[&str]) -> Vec<Vec<String>> {
        let escaped =
            |name: &&str| name.replace('\\', "\\5c").replace('(', "\\28").replace(')', "\\29").replace('*', "\\2a");
        let file = self.dir.write("names", names.iter().map(escaped).map(|name| name + "\n").collect::<String>());
        let admin = format!("cn=admin,{BASE}");
        let mut command = Command::new("ldapsearch");
        command.env("PATH", path()).args(["-L", "-o", "ldif-wrap=no", "-x", "-H", &self.url(), "-D", &admin]);
        command.args(["-w", "secret", "-b", BASE, "-f"]).arg(file).args(["(member=%s)", "1.1"]);
        let out = run(&mut command, &self.dir).ok();
        // Each answer is told with the filter that was asked for.
        let answers = out.split("\n# filter: ").skip(1);
        let found: Vec<Vec<String>> = answers
            .map(|answer| answer.lines().filter_map(|line| line.strip_prefix("dn: ")).map(str::to_owned).collect())
            .collect();
        assert_eq!(found.len(), names.len(), "{out}");
        found
    }

    /// Keeps a copy of its data as they are, or goes back to that copy. Its memory of changes is gone each time.
    pub fn backup(&mut self, way: Backup) {
        self.process.terminate();
        let (from, to) = match way {
            Backup::Make => ("db", "kept"),
            Backup::Restore => ("kept", "db"),
        };
        std::fs::create_dir_all(self.dir.join(to)).unwrap();
        for file in std::fs::read_dir(self.dir.join(from)).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), self.dir.join(to).join(file.file_name())).unwrap();
        }
        self.go();
    }

    pub fn stop(&mut self) {
        self.process.kill();
    }

    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// What it wrote about what it was asked.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Changes something, as LDIF with or without `changetype`.
    pub fn change(&self, ldif: &str) {
        self.try_change(ldif).ok();
    }

    pub fn try_change(&self, ldif: &str) -> Said {
        let file = self.dir.write("change.ldif", ldif);
        let admin = format!("cn=admin,{BASE}");
        let mut command = Command::new("ldapmodify");
        command.env("PATH", path()).args(["-a", "-x", "-H", &self.url(), "-D", &admin, "-w", "secret", "-f"]).arg(file);
        run(&mut command, &self.dir)
    }

    pub fn delete(&self, dn: &str) {
        self.change(&format!("dn: {dn}\nchangetype: delete\n"));
    }
}

/// An authority, and a certificate for 127.0.0.1 that it signed.
pub struct Authority {
    /// The authority's own certificate.
    pub pem: String,
    /// SHA-256 of the server's certificate.
    pub pin: [u8; 32],
    leaf: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        Self::until(2100)
    }

    /// One whose server certificate has expired.
    pub fn expired() -> Self {
        Self::until(2020)
    }

    fn until(year: i32) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2010, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&leaf_key, &issuer).unwrap();
        let pin = Sha256::digest(leaf.der()).into();
        Self { pem: ca.pem(), pin, leaf: leaf.pem(), key: leaf_key.serialize_pem(), issuer }
    }

    /// A certificate of this common name and its key, to show to a server.
    pub fn client(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// What a proxy does to the answers of a connection after so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Cut,
    /// Says nothing more and keeps the connection open.
    Stall,
    /// Turns every byte into another.
    Garble,
}

/// A TCP proxy in front of a server.
pub struct Proxy {
    pub port: u16,
    limit: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Passes everything on.
    pub fn new(target: u16, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let limit = Arc::new(AtomicU64::new(u64::MAX));
        let connections = Arc::new(AtomicUsize::new(0));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (shared, count, opened) = (Arc::clone(&limit), Arc::clone(&connections), Arc::clone(&open));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let limit = Arc::clone(&shared);
                opened.lock().unwrap().push(client.try_clone().unwrap());
                thread::spawn(move || {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
                    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                    let up = thread::spawn(move || {
                        let _ = std::io::copy(&mut from_client, &mut to_server);
                        let _ = to_server.shutdown(Shutdown::Both);
                    });
                    down(server, &client, &limit, then);
                    if then == Then::Stall {
                        // Open until the client gives up.
                        let _ = up.join();
                    }
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, limit, connections, open }
    }

    /// From now on each connection's answers go wrong after so many bytes.
    pub fn after(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::SeqCst);
    }

    /// Cuts every connection, and each new one at once, until `after` says otherwise.
    pub fn cut(&self) {
        self.after(0);
        self.open.lock().unwrap().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn down(mut server: TcpStream, mut client: &TcpStream, limit: &AtomicU64, then: Then) {
    let (mut passed, mut buffer) = (0_u64, [0; 4096]);
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        let left = limit.load(Ordering::SeqCst).saturating_sub(passed);
        let good = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        if then == Then::Garble {
            buffer[good..count].iter_mut().for_each(|byte| *byte ^= 0x55);
            if client.write_all(&buffer[..count]).is_err() {
                return;
            }
        } else {
            if client.write_all(&buffer[..good]).is_err() || good < count {
                return;
            }
        }
        passed += count as u64;
    }
}
