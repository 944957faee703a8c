//! Folders: the scopes above projects, kept by people.

use chrono::{DateTime, Utc};
use rollcall_access::{FolderIx, Place, Roster};
use rollcall_events::{
    Body, Position,
    body::{Folder, FolderRef},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, CommandOutcome, Commands, Page, PageRequest, Precondition, Reads,
    error::{ErrorKind, Result},
    find, input,
};

/// A scope above projects.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FolderShown {
    /// Its id.
    pub id: String,
    /// The level of the access profile at which it sits: `team`, `region`, ...
    pub kind: String,
    /// The folder above it; `null` below the root.
    pub parent: Option<String>,
    /// A label.
    pub name: Option<String>,
    /// Whether nobody is left in a role of which somebody should stay.
    pub ownerless: bool,
    /// The newest event about it.
    #[schema(value_type = u64)]
    pub position: Position,
}

impl FolderShown {
    fn of(roster: &Roster, folder: FolderIx, now: DateTime<Utc>) -> Self {
        let view = roster.folder(folder);
        Self {
            id: view.id.to_owned(),
            kind: view.kind.to_owned(),
            parent: view.parent.map(|parent| roster.folder(parent).id.to_owned()),
            name: view.name.map(str::to_owned),
            ownerless: roster.is_ownerless(Place::Folder(folder), now),
            position: view.changed,
        }
    }
}

/// Folders that the caller sees, by id.
///
/// # Errors
/// The caller asks for much at once.
pub async fn list(reads: &Reads, page: PageRequest) -> Result<Answer<Page<FolderShown>>> {
    let now = reads.now();
    let list = reads.list(move |roster, view, awaited| {
        let folders = roster.folders_by_id(page.from());
        let rows = folders.map(|folder| view.sees_folder(folder).then(|| FolderShown::of(roster, folder, now)));
        page.gather(awaited, rows, |row| row.id.clone())
    });
    let (position, page) = list.await?;
    Ok(Answer::of_more(position, page))
}

/// One folder.
///
/// # Errors
/// There is none of this id.
pub fn show(reads: &Reads, id: &str) -> Result<Answer<FolderShown>> {
    let roster = reads.live().read();
    let folder = FolderShown::of(&roster, find::folder(&roster, id)?, reads.now());
    Ok(Answer::of_event(roster.position(), folder.position, folder))
}

/// A folder as it is to be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFolder {
    /// The level of the access profile at which it sits. A folder keeps its kind.
    pub kind: String,
    /// The folder above it; none when absent.
    #[serde(default)]
    pub parent: Option<String>,
    /// A label.
    #[serde(default)]
    pub name: Option<String>,
}

/// Whether a folder is new, and what became of the command.
pub struct FolderSet {
    /// There was none of this id.
    pub created: bool,
    /// What became of the command.
    pub outcome: CommandOutcome,
}

/// Makes a folder, or states it anew: another parent, another label.
///
/// # Errors
/// A part of it is not there or does not fit, or the command was refused.
pub async fn set(commands: Commands, id: &str, new: NewFolder, only_if: Precondition) -> Result<FolderSet> {
    let commands = commands.with_precondition(only_if).await;
    let NewFolder { kind, parent, name } = new;
    let found = {
        let roster = commands.live().read();
        if let Some(parent) = &parent {
            commands.view(&roster).folder(parent)?;
        }
        let found = roster.folder_by_id(id).map(|folder| roster.folder(folder));
        if let Some(other) = found.as_ref().filter(|found| found.kind != kind) {
            return Err(ErrorKind::Refused.because(format!(
                "Folder {} is a {} and stays one; make another. Nothing was recorded.",
                other.id, other.kind
            )));
        }
        found.map(|found| found.changed)
    };
    commands.check(found)?;
    let body = Folder {
        folder: input::id("/id", id)?,
        kind: input::id("/kind", &kind)?,
        parent: parent.map(|parent| input::id("/parent", &parent)).transpose()?,
        name: input::label("/name", name)?,
        author: Some(commands.author()),
        made_with: commands.made_with(),
    };
    let outcome = commands.append(&Body::FolderUpserted(body)).await?;
    Ok(FolderSet { created: found.is_none(), outcome })
}

/// Removes a folder that has nothing in it.
///
/// # Errors
/// There is none of this id, or the command was refused.
pub async fn remove(commands: Commands, id: &str, only_if: Precondition) -> Result<CommandOutcome> {
    let commands = commands.with_precondition(only_if).await;
    let newest = {
        let roster = commands.live().read();
        roster.folder(find::folder(&roster, id)?).changed
    };
    commands.check(Some(newest))?;
    let body =
        FolderRef { folder: input::id("/id", id)?, author: Some(commands.author()), made_with: commands.made_with() };
    commands.append(&Body::FolderRemoved(body)).await
}
