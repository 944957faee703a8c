//! The data directory: its modes, the administrator's key and the small files beside the databases.
//! Knows names and modes; never what is in a database.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::SecretString;

use crate::{
    config::files::{GROUP_AND_OTHERS, check_mode, check_owner, read_trusted},
    values::text_of,
};

/// The least characters of an administrator's key that somebody chose.
const MIN_ADMIN_KEY_LENGTH: usize = 24;

/// The file of what stored answers are named and sealed with.
const ANSWER_KEY: &str = "answers.key";

/// The directory that holds everything.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// The administrator's key, and whether it was made just now.
pub enum AdminKey {
    /// It was there.
    Existing(SecretString),
    /// It was made just now and is shown once.
    Created(SecretString),
}

impl AdminKey {
    /// The key.
    pub fn secret(&self) -> &SecretString {
        match self {
            Self::Existing(key) | Self::Created(key) => key,
        }
    }
}

impl DataDir {
    /// The directory, which may not exist.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the directory with mode 0700 where it does not exist.
    ///
    /// # Errors
    /// Says which path cannot be made.
    pub fn create(&self) -> anyhow::Result<()> {
        let missing: Vec<&Path> = self.0.ancestors().take_while(|dir| !dir.is_dir()).collect();
        let make = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
            // The power may fail: what is synced in a directory is there only if the directory is.
            missing.iter().filter_map(|dir| dir.parent()).try_for_each(sync_dir)
        };
        if missing.is_empty() {
            return Ok(());
        }
        make().with_context(|| format!("the data directory {} cannot be made", self.0.display()))
    }

    /// That nobody else may write here and nothing in it leads elsewhere, so that what is opened and written here later is
    /// what we put there.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn check(&self) -> anyhow::Result<()> {
        let keys = self.file("keys");
        for dir in [&self.0, &keys] {
            let entries = match fs::read_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.with_context(|| format!("{} cannot be read", dir.display()))?,
            };
            check_mode(dir, &fs::metadata(dir)?, GROUP_AND_OTHERS).map_err(|what| {
                let own = dir.join("rollcall");
                anyhow::anyhow!(
                    "{what}, or let `server.data_dir` be a directory below it that is made new, {}",
                    own.display()
                )
            })?;
            for entry in entries {
                let path = entry?.path();
                // One that is gone by now was temporary.
                let Ok(meta) = fs::symlink_metadata(&path) else { continue };
                if meta.is_symlink() {
                    let path = path.display();
                    bail!(
                        "{path} is a link, and in the data directory nothing leads elsewhere: move what it names here, or remove it"
                    );
                }
                check_mode(&path, &meta, GROUP_AND_OTHERS).map_err(anyhow::Error::msg)?;
            }
        }
        Ok(())
    }

    /// As [`Self::check`], of a directory that is written: it is also our own.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn check_own(&self) -> anyhow::Result<()> {
        let meta = fs::metadata(&self.0).with_context(|| format!("{} cannot be read", self.0.display()))?;
        check_owner(&self.0, &meta).map_err(anyhow::Error::msg)?;
        self.check()
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The log that is kept in it.
    pub fn log(&self) -> rollcall_eventlog::EngineConfig {
        rollcall_eventlog::EngineConfig::Embedded { dir: self.0.clone() }
    }

    /// The SQL side that is kept in it.
    pub fn sql(&self) -> rollcall_store::EngineConfig {
        rollcall_store::EngineConfig::Embedded { dir: self.0.clone() }
    }

    /// The administrator's key: the environment's, the one in `admin.key`, or a new one that is kept there.
    ///
    /// # Errors
    /// When it cannot be read or kept, or is too short to be one.
    pub fn admin_key(&self, env: impl Fn(&str) -> Option<String>, random: [u8; 32]) -> anyhow::Result<AdminKey> {
        if let Some(key) = key_from_environment(env)? {
            return Ok(AdminKey::Existing(key));
        }
        let path = self.file("admin.key");
        match read_own(&path) {
            Ok(text) => {
                require_private(&path)?;
                Ok(AdminKey::Existing(parse_admin_key(&text, &path.display().to_string())?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = format!("rk_{}", BASE64_URL_SAFE_NO_PAD.encode(random));
                write_private(&path, &format!("{key}\n"))?;
                Ok(AdminKey::Created(key.into()))
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// What stored answers are named and sealed with, made where there is none. It is in no backup: without it those rows
    /// are nothing, and nobody who has a copy of the records alone can try what is behind them.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    pub fn answer_key(&self, random: [u8; 32]) -> anyhow::Result<Vec<u8>> {
        let path = self.file(ANSWER_KEY);
        match read_own(&path) {
            Ok(text) => {
                require_private(&path)?;
                let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim()).ok().filter(|key| key.len() == 32);
                key.with_context(|| format!("{} is no key: remove it to have a new one made", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_private(&path, &format!("{}\n", BASE64_URL_SAFE_NO_PAD.encode(random)))?;
                Ok(random.to_vec())
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// The administrator's key that is there: the environment's or the one in `admin.key`.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub fn existing_admin_key(&self, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<SecretString> {
        if let Some(key) = key_from_environment(env)? {
            return Ok(key);
        }
        let path = self.file("admin.key");
        let text = read_own(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        require_private(&path)?;
        parse_admin_key(&text, &path.display().to_string())
    }

    /// The key to ask a server with: a file, the environment, or `admin.key`.
    ///
    /// # Errors
    /// Says where a key would be looked for.
    pub fn client_key(
        &self,
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<SecretString> {
        if let Some(path) = file {
            let text = read_trusted(path).with_context(|| format!("{} cannot be read", path.display()))?;
            return parse_admin_key(&text, &path.display().to_string());
        }
        if let Some(key) = key_from_environment(env)? {
            return Ok(key);
        }
        let path = self.file("admin.key");
        let text = read_own(&path).with_context(|| {
            format!(
                "no key to ask with: {} cannot be read; name a file with --token-file or set ROLLCALL_ADMIN_KEY",
                path.display()
            )
        })?;
        parse_admin_key(&text, &path.display().to_string())
    }

    /// The address of the server that last started on this directory.
    pub fn server_url(&self) -> Option<String> {
        let text = read_own(&self.file("server.url")).ok()?;
        Some(text.trim().to_owned()).filter(|url| !url.is_empty())
    }

    /// Keeps the server's address for the commands.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_server_url(&self, url: &str) -> anyhow::Result<()> {
        write_private(&self.file("server.url"), &format!("{url}\n"))
    }
}

fn key_from_environment(env: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<SecretString>> {
    match (env("ROLLCALL_ADMIN_KEY"), env("ROLLCALL_ADMIN_KEY_FILE")) {
        (Some(_), Some(_)) => bail!("ROLLCALL_ADMIN_KEY and ROLLCALL_ADMIN_KEY_FILE are both set; keep one of them"),
        (Some(key), None) => parse_admin_key(&key, "ROLLCALL_ADMIN_KEY").map(Some),
        (None, Some(path)) => {
            let text = read_trusted(Path::new(&path))
                .with_context(|| format!("ROLLCALL_ADMIN_KEY_FILE: {path} cannot be read"))?;
            parse_admin_key(&text, &path).map(Some)
        }
        (None, None) => Ok(None),
    }
}

fn parse_admin_key(text: &str, place: &str) -> anyhow::Result<SecretString> {
    let key = text.trim();
    if key.len() < MIN_ADMIN_KEY_LENGTH || key.chars().any(|c| !c.is_ascii_graphic()) {
        bail!("{place}: an administrator's key has at least {MIN_ADMIN_KEY_LENGTH} visible ASCII characters");
    }
    Ok(key.into())
}

/// Makes the names in a directory durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?.sync_all()
}

/// Opens no link in place of a file.
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Reads a file of the data directory, and nothing elsewhere in its place.
fn read_own(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    OpenOptions::new().read(true).custom_flags(NO_LINK).open(path)?.read_to_end(&mut bytes)?;
    text_of(&bytes)
}

/// Writes a file that nobody else may read, whole or not at all, and durable with its name: a key that a power cut takes
/// back would be another one at the next start.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).custom_flags(NO_LINK).open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), sync_dir)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// A new webhook secret in the notation of Standard Webhooks.
pub fn webhook_secret(random: [u8; 32]) -> SecretString {
    format!("whsec_{}", base64::prelude::BASE64_STANDARD.encode(random)).into()
}

/// Refuses a key that others may read, as every other key file is refused: it may be known already.
fn require_private(path: &Path) -> anyhow::Result<()> {
    let mode = fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    anyhow::bail!(
        "{path} can be read by others (mode {:03o}): chmod 600 {path}, or remove it to have a new key made",
        mode & 0o777
    )
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn the_first_start_makes_a_key_that_nobody_else_may_read_and_the_second_finds_it() {
        let dir = DataDir::new(&std::env::temp_dir().join(format!("rollcall-key-{}", std::process::id())));
        dir.create().unwrap();
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let AdminKey::Created(made) = dir.admin_key(none, [7; 32]).unwrap() else { panic!("there was a key") };
        assert!(made.expose_secret().starts_with("rk_"));
        assert_eq!(fs::metadata(dir.file("admin.key")).unwrap().permissions().mode() & 0o777, 0o600);
        let AdminKey::Existing(known) = dir.admin_key(none, [8; 32]).unwrap() else { panic!("it was made again") };
        fs::set_permissions(dir.file("admin.key"), fs::Permissions::from_mode(0o644)).unwrap();
        let Err(exposed) = dir.admin_key(none, [8; 32]) else { panic!("an exposed key was taken") };
        assert!(exposed.to_string().contains("chmod 600"), "{exposed}");
        fs::set_permissions(dir.file("admin.key"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(known.expose_secret(), made.expose_secret());
        assert_eq!(dir.client_key(None, none).unwrap().expose_secret(), made.expose_secret());
        let env = |name: &str| (name == "ROLLCALL_ADMIN_KEY").then(|| "rk_from_the_environment_and_long".to_owned());
        assert!(dir.admin_key(env, [9; 32]).unwrap().secret().expose_secret().contains("environment"));
        fs::remove_dir_all(dir.path()).unwrap();
    }

    #[test]
    fn a_data_directory_that_others_may_write_or_in_which_something_leads_elsewhere_is_refused() {
        let dir = DataDir::new(&std::env::temp_dir().join(format!("rollcall-own-{}", std::process::id())));
        drop(fs::remove_dir_all(dir.path()));
        dir.create().unwrap();
        fs::create_dir(dir.file("keys")).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = || dir.check_own().err().map(|error| error.to_string()).unwrap_or_default();
        mode(&dir.file("keys"), 0o700);
        assert_eq!(refused(), "");
        for bits in [0o770, 0o777, 0o1777] {
            mode(dir.path(), bits);
            assert!(refused().contains("chmod go-w") && refused().contains("data_dir"), "{bits:o}: {}", refused());
        }
        mode(dir.path(), 0o755);
        fs::write(dir.file("ops.db"), "").unwrap();
        mode(&dir.file("ops.db"), 0o660);
        assert!(refused().contains("ops.db (mode 0660): chmod go-w"), "{}", refused());
        mode(&dir.file("ops.db"), 0o600);
        for planted in ["log.db", "roster.snap.next", "admin.new", "keys/signing-00000009.json"] {
            std::os::unix::fs::symlink("/nowhere", dir.file(planted)).unwrap();
            assert!(refused().contains(planted) && refused().contains("is a link"), "{planted}: {}", refused());
            fs::remove_file(dir.file(planted)).unwrap();
        }
        std::os::unix::fs::symlink(dir.file("ops.db"), dir.file("admin.key")).unwrap();
        assert!(dir.admin_key(none, [7; 32]).is_err() && dir.client_key(None, none).is_err());
        fs::remove_dir_all(dir.path()).unwrap();
    }

    #[test]
    fn a_key_that_is_none_is_refused_with_its_place() {
        for (name, value) in
            [("ROLLCALL_ADMIN_KEY", "short"), ("ROLLCALL_ADMIN_KEY_FILE", "/gone"), ("ROLLCALL_ADMIN_KEY", "")]
        {
            let env = |asked: &str| (asked == name).then(|| value.to_owned());
            let error = key_from_environment(env).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(key_from_environment(|_| Some("rk_0123456789012345678901234".into())).is_err(), "both");
    }
}
