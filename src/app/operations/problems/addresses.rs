//! The problem that an e-mail address is several users'.

use std::collections::BTreeSet;

use rollcall_events::LOCAL;
use rollcall_store::ops::PersonalRow;

use super::{Part, ProblemKind, ProblemShown};
use crate::{
    App,
    error::Result,
    operations::addresses::{Sharing, rows, sharing, who},
};

/// How many addresses are looked at in one go.
const AT_ONCE: u32 = 1_000;

/// Addresses that several users have.
pub(super) async fn shared(app: &App, after: Option<&str>, limit: usize) -> Result<Part> {
    let limit = u32::try_from(limit).unwrap_or(AT_ONCE).min(AT_ONCE);
    let rows = rows(&*app.ops, after.unwrap_or_default(), limit).await?;
    let next = rows.last().filter(|_| rows.len() >= limit as usize).map(|row| key(row));
    let roster = app.live.read();
    let found = rows.iter().filter_map(|row| {
        let sharing = sharing(&roster, &app.authenticator, row, &BTreeSet::new());
        (!sharing.is_empty()).then(|| (key(row), problem(&sharing)))
    });
    Ok(Part { found: found.collect(), next })
}

fn key(rows: &[PersonalRow]) -> String {
    rows.first().map_or_else(String::new, |row| format!("{}/{}", row.source, row.person))
}

fn problem(sharing: &Sharing) -> ProblemShown {
    let sources: BTreeSet<&str> = sharing.keys().filter_map(|key| Some(key.split_once('/')?.0)).collect();
    let mut persons = sharing.keys().map(String::as_str);
    let (one, other) = (persons.next().unwrap_or_default(), persons.next().unwrap_or_default());
    let domains = match sources.len() {
        1 => "",
        _ => ", or say with `sign_in_domains` of which source the addresses of that domain are",
    };
    ProblemShown {
        id: String::new(),
        kind: ProblemKind::SignInName,
        since: None,
        position: None,
        source: sources.first().copied().unwrap_or(LOCAL).to_owned(),
        subject: format!("person/{}", one.split_once('/').map_or(one, |(_, person)| person)),
        said: format!("{} have one e-mail address", who(sharing)),
        why: "a name that several accounts have is nobody's: none of them signs in with the address and a password"
            .to_owned(),
        remedy: format!(
            "link them if they are one person (`rollcall users link {one} {other}`), have another address stated of one{domains}; until then each signs in by the user's own name"
        ),
    }
}
