//! What a question or a command demands of its caller, and the one door through which callers come in. Whoever is not
//! admitted holds neither [`Reads`] nor [`Commands`], and reaches nothing. Which question demands what, the tables of those
//! who serve it say.

use std::sync::Arc;

use crate::{
    App, Caller, SignedIn,
    caller::forbidden,
    commands::{Commands, Origin},
    error::Result,
    reads::Reads,
};

/// Where an action is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// At the root. Who may not, is told so whatever else is named.
    Root,
    /// At the project `name`. One that the caller does not see is no project to the caller.
    Project,
    /// At the project `name`; who only sees it gets what is about the caller.
    ProjectOrOwn,
    /// At the folder `id`. One that the caller does not see is none to the caller.
    Folder,
    /// The user `name` for itself; of others, at the root.
    User,
    /// The service `id` for itself; of others, at the root.
    Service,
    /// At the scope of the binding `id`, or nowhere for whoever holds it.
    Binding,
    /// At each row: the list has the rows at which the caller may do it.
    Rows,
    /// At the place that the input names: the question or command asks for itself.
    Body,
}

impl At {
    /// The word for it in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Project => "project",
            Self::ProjectOrOwn => "project or own rows",
            Self::Folder => "folder",
            Self::User => "root or own user",
            Self::Service => "root or own service",
            Self::Binding => "scope of the binding or own binding",
            Self::Rows => "each row",
            Self::Body => "place in the body",
        }
    }
}

/// What a question or a command demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// The action of `access/profiles/api.toml`.
    pub action: &'static str,
    /// Where it is asked.
    pub at: At,
}

/// A caller who was held against a permission.
pub struct Admission {
    app: Arc<App>,
    signed_in: SignedIn,
}

impl App {
    /// Holds a caller against a permission. `named`: what the request calls the thing that it is about (`name`, `id`).
    ///
    /// # Errors
    /// The caller may not do this, or does not see the thing.
    pub fn admit<'a>(
        self: &Arc<Self>,
        signed_in: SignedIn,
        permission: Permission,
        named: impl Fn(&str) -> &'a str,
    ) -> Result<Admission> {
        self.demand(&signed_in.caller, permission, named)?;
        Ok(Admission { app: Arc::clone(self), signed_in })
    }

    fn demand<'a>(&self, caller: &Caller, permission: Permission, named: impl Fn(&str) -> &'a str) -> Result<()> {
        let Permission { action, at } = permission;
        let roster = self.live.read();
        let view = caller.view(&roster, self.now());
        let all = |good: bool| if good { Ok(()) } else { Err(forbidden(action)) };
        match at {
            At::Rows | At::Body => Ok(()),
            At::Root => all(view.may_everywhere(action)),
            At::Project => {
                let project = view.project(named("name"))?;
                // Seeing is what this action is about; there are more ways to it than the action.
                all(action == "project.list" || view.may(action, project))
            }
            At::ProjectOrOwn => view.project(named("name")).map(|_| ()),
            // Seeing is what this action is about; there are more ways to it than the action.
            At::Folder => {
                let folder = view.folder(named("id"))?;
                all(action == "folder.list" || view.may(action, folder))
            }
            At::User => view.user_for(named("name"), action).map(|_| ()),
            At::Service => view.service_for(named("id"), action).map(|_| ()),
            At::Binding => view.binding_for(named("id"), action).map(|_| ()),
        }
    }
}

impl Admission {
    /// To ask.
    #[must_use]
    pub fn reads(self) -> Reads {
        Reads::new(self.app, self.signed_in)
    }

    /// To command. `origin`: what the commands come with.
    #[must_use]
    pub fn commands(self, origin: Origin) -> Commands {
        Commands::new(self.app, self.signed_in, origin)
    }
}
