//! A real 389 Directory Server as a child process, made of its own template, filled and changed with OpenLDAP's tools. Large:
//! only where it is asked for (`tests/run --all`).

use std::{fs, net::TcpStream, path::Path, process::Command};

use super::{
    Dir, Process, asked_for, found, free_port, path, run, skip,
    slapd::{BASE, dn},
};

const TEMPLATES: &str = "/usr/share/dirsrv/data";
const ADMIN: &str = "cn=admin";

pub struct Ds389 {
    pub dir: Dir,
    pub port: u16,
    process: Process,
}

impl Ds389 {
    /// A new server with this in it, as [`super::slapd::trunk`] and its like write it. None where it is not asked for; None,
    /// and a skip, where there is none.
    pub fn start(ldif: &str) -> Option<Self> {
        if !(asked_for() && found("ns-slapd") && found("ldapmodify")) {
            return None;
        }
        if !Path::new(TEMPLATES).exists() {
            skip("ns-slapd", "has no templates to make a server of");
            return None;
        }
        let (dir, port) = (Dir::new(), free_port());
        for folder in ["schema", "lock", "cert", "ldif", "bak", "run", "log", "db"] {
            fs::create_dir(dir.join(folder)).unwrap();
        }
        for (from, to) in [("/etc/dirsrv/schema", dir.join("schema")), ("/etc/dirsrv/config", dir.path().to_owned())] {
            for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        dir.write("dse.ldif", settings(&dir, port));
        let process = Self::process(&dir);
        let mut server = Self { dir, port, process };
        server.ready();
        server.change(ldif);
        server.hide("userPassword");
        Some(server)
    }

    fn process(dir: &Dir) -> Process {
        let mut command = Command::new("ns-slapd");
        command.env("PATH", path()).arg("-D").arg(dir.path()).arg("-i").arg(dir.join("pid")).args(["-d", "0"]);
        Process::start(&mut command, dir.join("ns-slapd.log"))
    }

    fn ready(&mut self) {
        let port = self.port;
        self.process.ready("ns-slapd", || TcpStream::connect(("127.0.0.1", port)).ok());
    }

    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// Changes something, as LDIF with or without `changetype`.
    pub fn change(&self, ldif: &str) {
        let file = self.dir.write("change.ldif", ldif);
        let mut command = Command::new("ldapmodify");
        command.env("PATH", path()).args(["-a", "-x", "-H", &self.url(), "-D", ADMIN, "-w", "secret", "-f"]).arg(file);
        run(&mut command, &self.dir).ok();
    }

    /// One change of one attribute of an entry: `add`, `delete` or `replace`.
    pub fn modify(&self, dn: &str, how: &str, attribute: &str, value: &str) {
        self.change(&format!("dn: {dn}\nchangetype: modify\n{how}: {attribute}\n{attribute}: {value}\n"));
    }

    /// Whether it has an entry that it takes this name for.
    pub fn finds(&self, name: &str) -> bool {
        self.answers(ADMIN, "secret", name)
    }

    /// Whether it takes a person's password itself.
    pub fn takes(&self, uid: &str, password: &str) -> bool {
        self.answers(&dn(uid), password, "")
    }

    fn answers(&self, who: &str, password: &str, name: &str) -> bool {
        let mut command = Command::new("ldapsearch");
        command.env("PATH", path()).args(["-x", "-H", &self.url(), "-D", who, "-w", password, "-s", "base"]);
        run(command.args(["-b", name, "1.1"]), &self.dir).code == 0
    }

    /// Everybody may read everything but these, from now on (`a || b`).
    pub fn hide(&self, what: &str) {
        let rule = format!(
            "(targetattr!=\"{what}\")(version 3.0; acl \"everybody\"; allow (read, search, compare) userdn=\"ldap:///anyone\";)"
        );
        self.modify(BASE, "replace", "aci", &rule);
    }
}

/// Its settings, by its own template: one database, which refers to nobody who is gone.
fn settings(dir: &Dir, port: u16) -> String {
    let template = |name: &str| fs::read_to_string(Path::new(TEMPLATES).join(name)).unwrap();
    let mut text = template("template-dse.ldif") + "\n" + &template("template-suffix-db.ldif");
    let user = run(Command::new("id").arg("-un"), dir).ok();
    let d = dir.path().display().to_string();
    let below = |folder: &str| format!("{d}/{folder}");
    for (key, value) in [
        ("schema_dir", below("schema")),
        ("lock_dir", below("lock")),
        ("tmp_dir", below("run")),
        ("cert_dir", below("cert")),
        ("ldif_dir", below("ldif")),
        ("bak_dir", below("bak")),
        ("run_dir", below("run")),
        ("inst_dir", d.clone()),
        ("log_dir", below("log")),
        ("config_dir", d.clone()),
        ("db_dir", below("db")),
        ("db_home_dir", below("db")),
        ("db_lib", "bdb".to_owned()),
        ("fqdn", "localhost".to_owned()),
        ("ds_port", port.to_string()),
        ("ds_user", user.trim().to_owned()),
        ("rootdn", ADMIN.to_owned()),
        ("ds_passwd", "{CLEAR}secret".to_owned()),
        ("ds_suffix", BASE.to_owned()),
        ("ds_bename", "userRoot".to_owned()),
        ("instance_name", "test".to_owned()),
        ("ldapi_enabled", "off".to_owned()),
        ("ldapi_autobind", "off".to_owned()),
        ("ldapi", below("socket")),
    ] {
        text = text.replace(&format!("%{key}%"), &value);
    }
    let switched_on = |entry: &str| {
        let of = entry.starts_with("dn: cn=referential integrity");
        if of { entry.replace("nsslapd-pluginenabled: off", "nsslapd-pluginenabled: on") } else { entry.to_owned() }
    };
    text.split("\n\n").map(|entry| switched_on(entry.trim_start_matches('\n'))).collect::<Vec<_>>().join("\n\n")
}
