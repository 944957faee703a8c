//! A directory of any size in a real slapd, as a child process, and OpenLDAP's own client to search and change it with.
//! Knows nothing of Rollcall.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use super::{Random, cpu_time, memory};

pub const BASE: &str = "dc=ex,dc=test";
/// The account that reads.
pub const SYNC: &str = "uid=sync,ou=people,dc=ex,dc=test";
pub const PASSWORD: &str = "sync";

/// How large it is.
#[derive(Debug, Clone, Copy)]
pub struct Tree {
    pub people: u32,
    pub groups: u32,
    pub memberships: u32,
}

pub fn user(n: u32) -> String {
    format!("u{n:06}")
}

pub fn group(n: u32) -> String {
    format!("g{n:05}")
}

pub fn person_dn(n: u32) -> String {
    format!("uid={},ou=people,{BASE}", user(n))
}

pub fn group_dn(n: u32) -> String {
    format!("cn={},ou=groups,{BASE}", group(n))
}

impl Tree {
    /// The people of a group: `memberships / groups` of them, spread over everybody. Group 0 has nobody but the last.
    fn members(self, group: u32, random: &mut Random) -> Vec<u32> {
        let count = if group == 0 { 1 } else { self.memberships / self.groups };
        let first = if group == 0 { self.people - 1 } else { random.below(self.people) };
        let step = self.people / count;
        (0..count).map(|n| (first + n * step) % self.people).collect()
    }

    fn ldif(self, out: &mut impl std::io::Write) {
        writeln!(out, "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: ex\ndc: ex\n").unwrap();
        for ou in ["people", "groups"] {
            writeln!(out, "dn: ou={ou},{BASE}\nobjectClass: organizationalUnit\nou: {ou}\n").unwrap();
        }
        let mut person = |dn: &str, uid: &str, name: &str| {
            writeln!(
                out,
                "dn: {dn}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {name}\nsn: {uid}\ndisplayName: {name}\n\
                 mail: {uid}@ex.test\nuserPassword: {PASSWORD}\n"
            )
            .unwrap();
        };
        person(SYNC, "sync", "The reader");
        (0..self.people).for_each(|n| person(&person_dn(n), &user(n), &format!("Person {n} of many")));
        let mut random = Random::new(7);
        for n in 0..self.groups {
            writeln!(out, "dn: {}\nobjectClass: groupOfNames\ncn: {}", group_dn(n), group(n)).unwrap();
            for member in self.members(n, &mut random) {
                writeln!(out, "member: {}", person_dn(member)).unwrap();
            }
            writeln!(out).unwrap();
        }
    }
}

pub struct Slapd {
    child: Child,
    dir: PathBuf,
    pub port: u16,
    pub tree: Tree,
}

/// What a search took.
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    /// Seconds from its start to its end, of this many of the server's CPU and of its own.
    pub wall: f64,
    pub server: f64,
    pub client: f64,
    /// The most memory that it had, in bytes.
    pub peak: u64,
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin").stdin(Stdio::null());
    command
}

/// Whether the programs are here; a skip where they are not.
pub fn is_here(bench: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    for program in ["slapd", "slapadd", "ldapsearch", "ldapmodify"] {
        if !path.split(':').any(|folder| Path::new(folder).join(program).is_file()) {
            eprintln!("skipped benchmark {bench}: {program} was not found");
            if let Some(file) = std::env::var_os("ROLLCALL_SKIPS") {
                let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
                writeln!(file, "{program}\tbenchmark {bench}\twas not found").unwrap();
            }
            return false;
        }
    }
    true
}

impl Slapd {
    /// Fills a directory and starts its server.
    pub async fn start(dir: &Path, tree: Tree) -> Self {
        fs::create_dir_all(dir.join("db")).unwrap();
        let d = dir.display();
        let mut conf = String::new();
        for schema in ["core", "cosine", "nis", "inetorgperson"] {
            conf += &format!("include /etc/ldap/schema/{schema}.schema\n");
        }
        conf += &format!(
            "modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload syncprov\npidfile {d}/slapd.pid\n\
             argsfile {d}/slapd.args\ndatabase mdb\nsuffix \"{BASE}\"\nrootdn \"cn=admin,{BASE}\"\nrootpw secret\n\
             directory {d}/db\nmaxsize 4294967296\ndbnosync\nindex objectClass,uid,cn,member,entryUUID,entryCSN eq\n\
             limits dn.exact=\"{SYNC}\" size=unlimited\naccess to attrs=userPassword by anonymous auth by * none\n\
             access to * by users read by anonymous read\noverlay syncprov\nsyncprov-checkpoint 1000 10\n\
             syncprov-sessionlog 1000\n"
        );
        fs::write(dir.join("slapd.conf"), conf).unwrap();
        let mut ldif = std::io::BufWriter::new(File::create(dir.join("data.ldif")).unwrap());
        tree.ldif(&mut ldif);
        ldif.flush().unwrap();
        let conf = dir.join("slapd.conf");
        let mut add = command("slapadd");
        let added = add.arg("-q").arg("-f").arg(&conf).arg("-l").arg(dir.join("data.ldif")).output().unwrap();
        assert!(added.status.success(), "slapadd: {}", String::from_utf8_lossy(&added.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let said = File::create(dir.join("slapd.log")).unwrap();
        let mut server = command("slapd");
        server.arg("-f").arg(&conf).args(["-h", &format!("ldap://127.0.0.1:{port}"), "-d", "0"]);
        let child = server.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
        let mut slapd = Self { child, dir: dir.to_owned(), port, tree };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = slapd.child.try_wait().unwrap();
            assert!(ended.is_none() && start.elapsed() < Duration::from_secs(30), "slapd does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slapd
    }

    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that Rollcall asks for, in pages as large, by OpenLDAP's own client, which writes it to nowhere.
    pub async fn search_all(&self, page: u32) -> Plain {
        let people = "(|(objectClass=inetOrgPerson)(objectClass=posixAccount)(objectClass=account))";
        let groups = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)\
                      (objectClass=groupOfMembers)(objectClass=groupOfEntries)(objectClass=groupOfURLs))";
        let of_people = ["entryUUID", "objectClass", "uid", "mail", "displayName", "cn"];
        let of_groups = ["entryUUID", "objectClass", "cn", "member", "uniqueMember", "memberUid"];
        let one = self.search("people", people, &of_people, page).await;
        let two = self.search("groups", groups, &of_groups, page).await;
        Plain {
            wall: one.wall + two.wall,
            server: one.server + two.server,
            client: one.client + two.client,
            peak: one.peak.max(two.peak),
        }
    }

    async fn search(&self, ou: &str, filter: &str, attributes: &[&str], page: u32) -> Plain {
        let before = cpu_time(self.pid());
        let start = Instant::now();
        let mut search = command("ldapsearch");
        search.args(["-x", "-LLL", "-o", "ldif-wrap=no", "-H", &self.url(), "-D", SYNC, "-w", PASSWORD]);
        search.args(["-b", &format!("ou={ou},{BASE}"), "-E", &format!("!pr={page}/noprompt"), filter]).args(attributes);
        let errors = File::create(self.dir.join("search.log")).unwrap();
        let mut child = search.stdout(Stdio::null()).stderr(errors).spawn().unwrap();
        let (pid, mut peak) = (child.id(), 0);
        // A process that has ended keeps its times until somebody asks how it ended.
        while !fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z ") {
            peak = peak.max(memory(pid, "VmHWM"));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let wall = start.elapsed().as_secs_f64();
        let client = cpu_time(pid).as_secs_f64();
        let ended = child.wait().unwrap();
        assert!(ended.success(), "{}", fs::read_to_string(self.dir.join("search.log")).unwrap());
        Plain { wall, server: (cpu_time(self.pid()) - before).as_secs_f64(), client, peak }
    }

    /// The id of a group, which Rollcall knows it by.
    pub fn id_of(&self, group: u32) -> String {
        let mut search = command("ldapsearch");
        search.args(["-x", "-LLL", "-H", &self.url(), "-D", SYNC, "-w", PASSWORD, "-s", "base"]);
        let said = search.args(["-b", &group_dn(group), "entryUUID"]).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        said.lines().find_map(|line| line.strip_prefix("entryUUID: ")).unwrap().to_owned()
    }

    /// Changes of it, one after the other.
    pub fn changes(&self) -> Changes {
        let mut modify = command("ldapmodify");
        modify.args(["-x", "-H", &self.url(), "-D", &format!("cn=admin,{BASE}"), "-w", "secret"]);
        let said = File::create(self.dir.join("modify.log")).unwrap();
        let mut child = modify.stdin(Stdio::piped()).stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
        let input = child.stdin.take();
        Changes { child, input }
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that makes each change as soon as it has read it.
pub struct Changes {
    child: Child,
    input: Option<ChildStdin>,
}

impl Changes {
    /// `how`: `add` or `delete`.
    pub fn member(&mut self, how: &str, group: u32, person: u32) {
        let change =
            format!("dn: {}\nchangetype: modify\n{how}: member\nmember: {}\n\n", group_dn(group), person_dn(person));
        self.input.as_mut().unwrap().write_all(change.as_bytes()).unwrap();
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
