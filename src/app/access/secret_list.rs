//! The secrets of everybody in one list, as far as the caller sees them; never their text.

use rollcall_access::{Principal, Roster, SecretView};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, Page, PageRequest, Reads,
    access::secrets::SecretShown,
    caller::CallerView,
    error::{ErrorKind, Result},
    find,
};

/// Which secrets.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SecretsQuery {
    /// Only of this user, by name or id.
    pub user: Option<String>,
    /// Only of this service.
    pub service: Option<String>,
    /// Only those that this user, by name or id, or `service:` and an id, or `admin` made.
    pub made_by: Option<String>,
    /// Only with this label.
    pub label: Option<String>,
}

/// A secret and whose it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretListed {
    /// The user's name, of a user.
    pub user: Option<String>,
    /// The service's id, of a service.
    pub service: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub secret: SecretShown,
}

impl SecretListed {
    fn of(roster: &Roster, owner: Principal, view: &SecretView<'_>) -> Self {
        let secret = SecretShown::of(roster, view);
        match owner {
            Principal::Service(service) => {
                Self { user: None, service: Some(roster.service(service).id.to_owned()), secret }
            }
            user => Self { user: Some(roster.caller_names(user).1), service: None, secret },
        }
    }
}

/// What the names of a query mean in one reading of the roster.
struct Wanted<'a> {
    owner: Option<Principal>,
    /// Nobody for an administrator.
    maker: Option<Option<Principal>>,
    label: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(roster: &Roster, view: &CallerView<'_>, query: &'a SecretsQuery) -> Result<Self> {
        // Who may not list users and services is told of none but itself.
        let known = |who: Principal| match who {
            Principal::Service(_) => view.may_everywhere("service.list") || view.is(who),
            _ => view.may_everywhere("user.list") || view.is(who),
        };
        let user =
            |name: &str| find::principal(roster, name).ok().filter(|who| known(*who)).ok_or_else(find::no_such_user);
        let service = |id: &str| {
            let found = find::service(roster, id).ok().map(Principal::from).filter(|who| known(*who));
            found.ok_or_else(find::no_such_service)
        };
        let owner = match (query.user.as_deref(), query.service.as_deref()) {
            (None, None) => None,
            (Some(name), None) => Some(user(name)?),
            (None, Some(id)) => Some(service(id)?),
            (Some(_), Some(_)) => {
                return Err(ErrorKind::InvalidQuery.because("A secret is of a `user` or of a `service`, not of both."));
            }
        };
        let maker = match query.made_by.as_deref() {
            None => None,
            Some("admin") => Some(None),
            Some(name) => Some(Some(user(name)?)),
        };
        Ok(Self { owner, maker, label: query.label.as_deref() })
    }

    fn matches(&self, owner: Principal, view: &SecretView<'_>) -> bool {
        self.owner.is_none_or(|wanted| wanted == owner)
            && self.maker.is_none_or(|wanted| wanted == view.maker)
            && self.label.is_none_or(|wanted| view.label == Some(wanted))
    }
}

/// Whether the caller sees a secret in force: as in the list of its owner.
fn is_listed(view: &CallerView<'_>, owner: Principal, id: &str) -> bool {
    match owner {
        Principal::User(user) => view.secrets(user).iter().any(|secret| secret.id == id),
        service => view.may_everywhere("secret.list") || view.is(service),
    }
}

/// Every secret and open invitation in force that the caller sees, in the order in which they were made: of everybody for
/// who may list them, else the own ones. Never their text.
///
/// # Errors
/// The query names what is not there, or the caller asks for much at once.
pub async fn list(reads: &Reads, query: SecretsQuery, page: PageRequest) -> Result<Answer<Page<SecretListed>>> {
    let now = reads.now();
    let list = reads.list(move |roster, view, awaited| {
        let wanted = Wanted::of(roster, view, &query)?;
        let row = |(owner, secret): (Principal, SecretView<'_>)| {
            let shown = wanted.matches(owner, &secret) && is_listed(view, owner, secret.id);
            shown.then(|| SecretListed::of(roster, owner, &secret))
        };
        let key = |row: &SecretListed| row.secret.id.clone();
        let all = view.may_everywhere("secret.list");
        if let Some(owner) = wanted.owner.or(view.itself().filter(|_| !all)) {
            let owner = match owner {
                Principal::Limited(user, _) => Principal::User(user),
                owner => owner,
            };
            let secrets = match owner {
                Principal::User(user) => view.secrets(user),
                owner => roster.secrets_of(owner, now),
            };
            let rows = secrets.into_iter().filter_map(|secret| row((owner, secret)));
            return Ok(page.sorted_page(rows.collect(), key));
        }
        page.gather(awaited, roster.secrets_by_id(page.from(), now).map(row), key)
    });
    let (position, page) = list.await?;
    Ok(Answer::of_more(position, page))
}
