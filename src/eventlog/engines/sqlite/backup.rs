//! A consistent copy of the log, beside a running server, checked before it is called one.
//! Copies the log and what proves it; the other stores are not its business.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use sqlx::{ConnectOptions, Connection};

use super::{error::with_causes, files, open, verify::verify};
use crate::{VerifyError, VerifyOptions, VerifyReport};

/// Copies the log of the data directory `dir` into the directory `target`, which is made and must not hold a log yet.
///
/// The log's key is copied too (0600), so that a restored log can go on signing: whoever holds a backup can sign heads,
/// so keep it as you keep the data directory. `log.lock` is not copied: a backup ends where it ends.
///
/// # Errors
/// When something of it is there already, cannot be read or written, or the copy is not in order.
pub(crate) async fn backup(dir: &Path, target: &Path) -> Result<VerifyReport, VerifyError> {
    let unavailable = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| VerifyError::Unavailable(format!("{path}: {error}"))
    };
    fs::create_dir_all(target).map_err(unavailable(target))?;
    for name in [files::DATABASE, files::KEY, files::HEAD] {
        let there = target.join(name);
        if there.exists() {
            return Err(VerifyError::Unavailable(format!(
                "{} exists already; choose an empty directory",
                there.display()
            )));
        }
    }
    // The signed head first: the log may grow meanwhile, and a head must never be ahead of its log.
    if let Some(signed) = files::read_signed_head(dir)? {
        files::write_signed_head(target, &signed).map_err(unavailable(target))?;
    }
    let key = fs::read(dir.join(files::KEY)).map_err(unavailable(&dir.join(files::KEY)))?;
    files::write_secret(target, files::KEY, &key).map_err(unavailable(&target.join(files::KEY)))?;

    let (from, to) = (files::database(dir), files::database(target));
    let part = target.join("log.db.part");
    let name = part.to_str().ok_or_else(|| VerifyError::Unavailable("the target's name is not UTF-8".into()))?;
    let failed = |error: sqlx::Error| VerifyError::Unavailable(format!("{}: {}", from.display(), with_causes(&error)));
    let mut sql = open::read_only(&from, Duration::from_secs(30)).connect().await.map_err(failed)?;
    sqlx::query("VACUUM INTO $1").bind(name).execute(&mut sql).await.map_err(failed)?;
    sql.close().await.map_err(failed)?;
    File::open(&part).and_then(|file| file.sync_all()).map_err(unavailable(&part))?;
    fs::rename(&part, &to).map_err(unavailable(&to))?;
    files::sync_dir(target).map_err(unavailable(target))?;
    verify(target, VerifyOptions::default(), |_| ()).await
}
