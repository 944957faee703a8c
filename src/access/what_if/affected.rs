//! Whom a command could concern, and on which scopes: a superset, found on the roster before and after it.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::{
    Body, Command, LOCAL,
    body::{self, Scope},
};

use crate::roster::{
    Roster,
    facts::Holder,
    handles::{FolderIx, Place, Principal, ProjectIx},
};

/// Whom changes may concern, by scope.
#[derive(Default)]
pub(super) struct Affected(BTreeMap<Place, BTreeSet<Principal>>);

impl Affected {
    /// Each scope with those whom it is about.
    pub(super) fn scopes(&self) -> impl Iterator<Item = (Place, &BTreeSet<Principal>)> {
        self.0.iter().map(|(place, callers)| (*place, callers))
    }

    /// Whom a command may concern and where: a superset, asked before and after it.
    pub(super) fn add_command(&mut self, roster: &Roster, command: &Body) {
        let Some(command) = command.as_command() else { return };
        match command {
            Command::BindingSet(data) => self.add_holder(roster, &data.principal, Some(&data.scope)),
            Command::BindingRemoved(data) => self.add_holder(roster, &data.principal, Some(&data.scope)),
            // What was removed comes back with the roles that it had.
            Command::GroupUpserted(body::Group { group, .. }) | Command::GroupRemoved(body::GroupRef { group, .. }) => {
                self.add_group(roster, &format!("{LOCAL}/{group}"));
            }
            Command::GroupMemberAdded(data) | Command::GroupMemberRemoved(data) => {
                let local = match &data.member {
                    body::Member::Person(id) => body::Principal::User(id.clone()),
                    body::Member::Service(id) => body::Principal::Service(id.clone()),
                    body::Member::Group(id) => body::Principal::Group(id.clone()),
                };
                self.add_holder(roster, &local, None);
            }
            Command::ServiceCreated(body::Service { service, .. })
            | Command::ServiceRemoved(body::ServiceRef { service, .. }) => {
                self.add_holder(roster, &body::Principal::Service(service.clone()), None);
            }
            Command::ProjectCreated(data) | Command::ProjectUpdated(data) => {
                self.add_project(roster, data.project.as_str());
            }
            Command::ProjectDeleted(data) => self.add_project(roster, data.project.as_str()),
            Command::FolderUpserted(data) => self.add_folder(roster, data.folder.as_str()),
            Command::FolderRemoved(data) => self.add_folder(roster, data.folder.as_str()),
            Command::SettingsSet(_)
            | Command::ProfileSet(_)
            | Command::SourceRetired(_)
            | Command::SourceSuspended(_)
            | Command::SourceResumed(_)
            | Command::IdentityLinked(_)
            | Command::IdentityUnlinked(_) => self.add_everything(roster),
            // These sign somebody in or out; what anybody may do stays.
            Command::SecretInvited(_)
            | Command::SecretIssued(_)
            | Command::SecretRevoked(_)
            | Command::CredentialsReset(_)
            // What time it is gives nothing that windows do not say.
            | Command::LogClockMended(_)
            // Who can read the log is nobody's access.
            | Command::LogReaderRaised(_)
            // What somebody is called gives nothing.
            | Command::UserNameGiven(_)
            | Command::UserNameFreed(_) => {}
        }
    }

    fn add_scope(&mut self, roster: &Roster, place: Place) {
        let here: BTreeSet<Principal> = match place {
            Place::Project(project) => roster.candidates(project),
            Place::Root | Place::Folder(_) => roster.holders_over(place),
        };
        self.0.entry(place).or_default().extend(here);
    }

    fn add_project(&mut self, roster: &Roster, id: &str) {
        if let Some(project) = roster.project_by_id(&format!("{}/{id}", LOCAL)) {
            self.add_scope(roster, Place::Project(project));
        }
    }

    fn add_folder(&mut self, roster: &Roster, id: &str) {
        if let Some(folder) = roster.folder_by_id(id) {
            for place in roster.places_below(Place::Folder(folder)) {
                self.add_scope(roster, place);
            }
        }
    }

    fn add_everything(&mut self, roster: &Roster) {
        for place in roster.places_below(Place::Root) {
            self.add_scope(roster, place);
        }
    }

    fn add_group(&mut self, roster: &Roster, id: &str) {
        if let Ok(id) = id.parse() {
            self.add_holder(roster, &body::Principal::Group(id), None);
        }
    }

    /// Everybody whom a binding of this principal reaches; on one scope and below it, or wherever it has any.
    fn add_holder(&mut self, roster: &Roster, word: &body::Principal, scope: Option<&Scope>) {
        let holder = match word {
            body::Principal::User(id) => roster.person_of(id.as_str()).map(Holder::Person),
            body::Principal::Service(id) => roster.service_by_id(id.as_str()).map(|ix| Holder::Service(ix.0)),
            body::Principal::Group(id) => roster.group_row_of(id.as_str()).map(Holder::Group),
        };
        let Some(holder) = holder else { return };
        let callers: Vec<Principal> = match holder {
            Holder::Group(group) => roster.principals_in(group, |_| false),
            Holder::Person(_) | Holder::Service(_) => roster.find_principal(word).into_iter().collect(),
        };
        let mut places = BTreeSet::new();
        match scope.map(|scope| roster.resolve_scope(scope)) {
            Some(Ok(place)) => places.extend(roster.places_below(place)),
            Some(Err(_)) => {}
            None => {
                for caller in &callers {
                    roster.each_holder(*caller, |holder| {
                        for ix in roster.index.holder_bindings.get(&holder).into_iter().flatten() {
                            if let Some(row) = roster.facts.bindings.get(*ix).and_then(Option::as_ref) {
                                places.insert(roster.place_on(row.on));
                            }
                        }
                    });
                }
                let given = std::mem::take(&mut places);
                given.into_iter().for_each(|place| places.extend(roster.places_below(place)));
            }
        }
        for place in places {
            self.0.entry(place).or_default().extend(callers.iter().copied());
        }
    }
}

impl Roster {
    /// The personal projects that there are.
    fn personal_projects(&self) -> impl Iterator<Item = ProjectIx> {
        let any = self.profile.document().rules.personal_project.is_some();
        let users = self.users().filter(move |_| any).map(ProjectIx::Personal);
        users.filter(|project| !self.archived(*project))
    }

    /// A place and every scope below it.
    pub(super) fn places_below(&self, place: Place) -> Vec<Place> {
        match place {
            Place::Project(_) => vec![place],
            Place::Root => std::iter::once(Place::Root)
                .chain(self.folders().map(Place::Folder))
                .chain(self.projects().map(Place::Project))
                .chain(self.personal_projects().map(Place::Project))
                .collect(),
            Place::Folder(folder) => {
                let (mut found, mut queue) = (Vec::new(), vec![folder]);
                while let Some(next) = queue.pop() {
                    found.push(Place::Folder(next));
                    let inner = self.index.folder_children.get(&next.0).into_iter().flatten();
                    queue.extend(inner.copied().map(FolderIx).filter(|inner| {
                        self.folder_row(*inner).is_some_and(|row| row.register.stands() && row.parent == next.0)
                    }));
                }
                found.extend(self.projects_in(folder).map(Place::Project));
                found
            }
        }
    }
}
