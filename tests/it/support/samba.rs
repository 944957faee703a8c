//! A real Active Directory domain controller: Samba as a child process in a network namespace of its own, because it
//! always listens on 389. Its unix socket leads out of there, so neither root nor a bridge is needed.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::{Dir, Process, Said, found, path, run, skip, wait_for};

pub const BASE: &str = "DC=ex,DC=test";
/// An ordinary account that may replicate changes and see what was deleted.
pub const SYNC: &str = "CN=sync,CN=Users,DC=ex,DC=test";
/// An ordinary account that may see what was deleted, and not replicate.
pub const SEER: &str = "CN=seer,CN=Users,DC=ex,DC=test";
/// An ordinary account with no more rights than anybody.
pub const PLAIN: &str = "CN=plain,CN=Users,DC=ex,DC=test";
/// The password of everybody here.
pub const PASSWORD: &str = "Passw0rd.x1";

/// Gives the controller another invocation, as a restore of its database does.
const RESTORE: &str = r#"
import os, sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
import ldb

lp = LoadParm()
lp.load(sys.argv[1] + "/dc.conf")
db = SamDB(sys.argv[1] + "/private/sam.ldb", session_info=system_session(), lp=lp)
message = ldb.Message(ldb.Dn(db, db.get_dsServiceName()))
message["invocationId"] = ldb.MessageElement(os.urandom(16), ldb.FLAG_MOD_REPLACE, "invocationId")
db.modify(message, ["relax:0"])
"#;

/// Makes a domain below a folder: the trunk of the tree, the two accounts, their rights. `samba-tool` would do, but for
/// the access lists of a share that no test mounts: setting them takes root.
const PROVISION: &str = r#"
import logging, sys
from samba import sd_utils
from samba.auth import system_session
from samba.dcerpc import security
from samba.dsdb import DS_DOMAIN_FUNCTION_2008_R2
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.provision import provision

base, password = "DC=ex,DC=test", sys.argv[2]
lp = LoadParm()
lp.set("interfaces", "lo")
lp.set("bind interfaces only", "yes")
db = provision(logging.getLogger(), session_info=system_session(), lp=lp, targetdir=sys.argv[1], realm="EX.TEST",
               domain="EX", hostname="dc1", hostip="127.0.0.1", serverrole="active directory domain controller",
               dns_backend="NONE", adminpass=password, useeadb=True, skip_sysvolacl=True,
               dom_for_fun_level=DS_DOMAIN_FUNCTION_2008_R2).samdb
db.set_session_info(system_session())
for name in ("people", "staff", "groups", "odd"):
    db.add({"dn": f"OU={name},{base}", "objectClass": "organizationalUnit"})
sids = {}
for name in ("sync", "seer", "plain"):
    db.newuser(name, password)
    found = db.search(f"CN={name},CN=Users,{base}", attrs=["objectSid"])[0]["objectSid"][0]
    sids[name] = ndr_unpack(security.dom_sid, found)
sd = sd_utils.SDUtils(db)
# Replicating Directory Changes
sd.dacl_add_ace(base, "(OA;;CR;1131f6aa-9c07-11d1-f79f-00c04fc2dcd2;;%s)" % sids["sync"])
deleted = f"CN=Deleted Objects,{base}"
may = "".join("(A;;LCRP;;;%s)" % sids[name] for name in ("sync", "seer"))
sddl = sd.get_sd_as_sddl(deleted, controls=["show_deleted:1"]).replace("D:PAI", f"D:PAI{may}", 1)
sd.modify_sd_on_dn(deleted, sddl, controls=["sd_flags:1:4", "show_deleted:1"])
# An id whose bytes happen to be text; over the wire nobody could choose one.
db.add({"dn": f"CN=text,OU=odd,{base}", "objectClass": "user", "sAMAccountName": "text",
        "objectGUID": b"0123456789abcdef"}, ["relax:0"])
"#;

pub struct Samba {
    pub dir: Dir,
    pub port: u16,
    process: Process,
    /// Whether the next cookie that goes to it is spoilt on the way.
    spoil: Arc<AtomicBool>,
}

/// A person; enabled, because somebody whom plain LDAP adds without a password is disabled (546).
pub fn person(name: &str, ou: &str) -> String {
    let quoted: Vec<u8> = format!("\"{PASSWORD}\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
    format!(
        "dn: CN={name},OU={ou},{BASE}\nobjectClass: user\nsAMAccountName: {name}\nuserPrincipalName: {name}@ex.test\n\
         mail: {name}@ex.test\nunicodePwd:: {}\nuserAccountControl: 512\n\n",
        BASE64_STANDARD.encode(quoted)
    )
}

/// A group; members are names.
pub fn group<S: AsRef<str>>(name: &str, members: impl IntoIterator<Item = S>) -> String {
    let mut out = format!("dn: CN={name},OU=groups,{BASE}\nobjectClass: group\nsAMAccountName: {name}\n");
    for member in members {
        out += &format!("member: {}\n", member.as_ref());
    }
    out + "\n"
}

pub fn dn(name: &str) -> String {
    format!("CN={name},OU=people,{BASE}")
}

pub fn group_dn(name: &str) -> String {
    format!("CN={name},OU=groups,{BASE}")
}

impl Samba {
    /// A new domain with this in it. None, and a skip, where there is no Samba or no namespace to put it in.
    pub fn start(ldif: &str) -> Option<Self> {
        if !["samba", "unshare", "ip", "ldapmodify"].into_iter().all(found) {
            return None;
        }
        if !Path::new("/usr/share/samba/setup/provision.ldif").exists() {
            skip("samba", "has no files to make a domain with (samba-ad-provision)");
            return None;
        }
        let Some(unshare) = namespace() else {
            skip("unshare", "can make no network namespace here");
            return None;
        };
        let dir = Dir::new();
        copy(&domain(), dir.path());
        let d = dir.path().display();
        dir.write(
            "dc.conf",
            format!(
                "[global]\nnetbios name = DC1\nrealm = EX.TEST\nworkgroup = EX\n\
                 server role = active directory domain controller\nserver services = ldap\ntls enabled = no\n\
                 ldap server require strong auth = no\ninterfaces = lo\nbind interfaces only = yes\n\
                 private dir = {d}/private\nstate directory = {d}/state\nlock directory = {d}\npid directory = {d}\n\
                 cache directory = {d}/cache\nbinddns dir = {d}/bind-dns\nncalrpc dir = {d}/ncalrpc\n\
                 log file = {d}/samba.log\nposix:eadb = {d}/private/eadb.tdb\n"
            ),
        );
        let spoil = Arc::new(AtomicBool::new(false));
        let port = bridge(dir.join("private/ldapi"), &spoil);
        let process = Self::process(&dir, &unshare);
        let mut samba = Self { dir, port, process, spoil };
        samba.ready();
        if !ldif.is_empty() {
            samba.change(ldif);
        }
        Some(samba)
    }

    fn process(dir: &Dir, unshare: &[&str]) -> Process {
        // The end of `unshare` is that of the namespace and of everything in it.
        let script = format!("ip link set lo up && exec samba -i -M single -s {}", dir.join("dc.conf").display());
        let mut command = Command::new("unshare");
        command.env("PATH", path()).args(unshare).args(["sh", "-c", &script]);
        Process::start(&mut command, dir.join("samba.out"))
    }

    fn ready(&mut self) {
        let url = self.socket();
        let Self { dir, process, .. } = self;
        process.ready("samba", || {
            let mut command = Command::new("ldapsearch");
            let said = run(command.env("PATH", path()).args(["-x", "-H", &url, "-s", "base", "-b", ""]), dir);
            (said.code == 0).then_some(())
        });
    }

    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Self::stop`], on the same data.
    pub fn go_on(&mut self) {
        self.process = Self::process(&self.dir, &namespace().unwrap());
        self.ready();
    }

    /// Starts it again after [`Self::stop`], as if its database had been restored.
    pub fn go_on_restored(&mut self) {
        let script = self.dir.write("restore.py", RESTORE);
        run(Command::new("/usr/bin/python3").env("PATH", path()).arg(script).arg(self.dir.path()), &self.dir).ok();
        self.go_on();
    }

    /// Spoils the next cookie of DirSync that goes to it. Waits until that has happened.
    pub fn spoil_a_cookie(&self) {
        self.spoil.store(true, Ordering::SeqCst);
        wait_for("a cookie to spoil", || (!self.spoil.load(Ordering::SeqCst)).then_some(()));
    }

    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    fn socket(&self) -> String {
        format!("ldapi://{}", self.dir.join("private/ldapi").display().to_string().replace('/', "%2f"))
    }

    /// Changes something, as LDIF with or without `changetype`.
    pub fn change(&self, ldif: &str) {
        self.try_change(ldif).ok();
    }

    pub fn try_change(&self, ldif: &str) -> Said {
        let file = self.dir.write("change.ldif", ldif);
        let admin = format!("CN=Administrator,CN=Users,{BASE}");
        let mut command = Command::new("ldapmodify");
        command.env("PATH", path()).args(["-a", "-x", "-H", &self.socket(), "-D", &admin, "-w", PASSWORD, "-f"]);
        run(command.arg(file), &self.dir)
    }

    /// One change of one attribute: `add`, `delete` or `replace`.
    pub fn modify(&self, dn: &str, how: &str, attribute: &str, value: &str) {
        self.change(&format!("dn: {dn}\nchangetype: modify\n{how}: {attribute}\n{attribute}: {value}\n"));
    }

    /// Gives an entry another name, and another place if there is one.
    pub fn rename(&self, dn: &str, rdn: &str, below: Option<&str>) {
        let below = below.map_or_else(String::new, |below| format!("newsuperior: {below}\n"));
        self.change(&format!("dn: {dn}\nchangetype: modrdn\nnewrdn: {rdn}\ndeleteoldrdn: 1\n{below}"));
    }

    /// The last number of an entry's SID.
    pub fn rid(&self, dn: &str) -> u32 {
        let admin = format!("CN=Administrator,CN=Users,{BASE}");
        let mut command = Command::new("ldapsearch");
        command.env("PATH", path()).args(["-x", "-LLL", "-o", "ldif-wrap=no", "-H", &self.socket(), "-D", &admin]);
        let said = run(command.args(["-w", PASSWORD, "-s", "base", "-b", dn, "objectSid"]), &self.dir).ok();
        let sid = said.lines().find_map(|line| line.strip_prefix("objectSid:: ")).unwrap();
        let sid = BASE64_STANDARD.decode(sid).unwrap();
        u32::from_le_bytes(sid[sid.len() - 4..].try_into().unwrap())
    }

    pub fn delete(&self, dn: &str) {
        self.change(&format!("dn: {dn}\nchangetype: delete\n"));
    }
}

/// How a namespace with a network and processes of its own is made here: with a user namespace, or as root without.
fn namespace() -> Option<Vec<&'static str>> {
    const ITS_OWN: [&str; 4] = ["--net", "--pid", "--fork", "--kill-child"];
    let ways = [&["--user", "--map-root-user"][..], &[]].map(|more| [more, &ITS_OWN].concat());
    ways.into_iter().find(|way| {
        let probe =
            Command::new("unshare").env("PATH", path()).args(way).args(["ip", "link", "set", "lo", "up"]).output();
        probe.is_ok_and(|output| output.status.success())
    })
}

/// A domain to copy, made once and kept with what was built: it takes five seconds.
fn domain() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one = MAKING.lock().unwrap();
    let version = Command::new("samba").env("PATH", path()).arg("--version").output().unwrap().stdout;
    let print = Sha256::new().chain_update(PROVISION).chain_update(PASSWORD).chain_update(version).finalize();
    let print: String = print.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("domain-{print}"));
    if kept.exists() {
        return kept;
    }
    let dir = Dir::new();
    let made = dir.join("domain");
    fs::create_dir(&made).unwrap();
    let script = dir.write("provision.py", PROVISION);
    // Debian's own Python, which has Samba's modules.
    run(Command::new("/usr/bin/python3").env("PATH", path()).arg(script).arg(&made).arg(PASSWORD), &dir).ok();
    // Beside it first: another process may do the same, and half a domain is none.
    let beside = kept.with_extension(std::process::id().to_string());
    copy(&made, &beside);
    if fs::rename(&beside, &kept).is_err() {
        fs::remove_dir_all(&beside).unwrap();
    }
    kept
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let status = Command::new("cp").args(["-a", "--sparse=always"]).arg(from.join(".")).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "{} could not be copied", from.display());
}

/// A port that leads to a socket. The socket may come and go.
fn bridge(socket: PathBuf, spoil: &Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let spoil = Arc::clone(spoil);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if let Ok(server) = UnixStream::connect(&socket) {
                join(&client, &server, &spoil);
            }
        }
    });
    port
}

/// Passes on what either says, until one of them ends. A request is small and comes in one piece.
fn join(client: &TcpStream, server: &UnixStream, spoil: &Arc<AtomicBool>) {
    const COOKIE: &[u8] = b"MSDS";
    let spoil = Arc::clone(spoil);
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(count @ 1..) = from_client.read(&mut buffer) {
            let said = &mut buffer[..count];
            let cookie = said.windows(COOKIE.len()).position(|part| part == COOKIE);
            if let Some(at) = cookie.filter(|_| spoil.swap(false, Ordering::SeqCst)) {
                // A version that nobody knows; the server cares for little else.
                said[at + 68] = 0x7f;
            }
            if to_server.write_all(said).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
}
