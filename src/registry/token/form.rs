//! The parameters of a token request, the same in a query and in a form. Reads them once; judges only their shape.

use std::borrow::Cow;

use http::{HeaderMap, header};
use rollcall_authn::{Credentials, MalformedCredentials};

use super::scope::{ScopeError, Scopes};

/// A query or form, as far as it means something here.
#[derive(Debug, Default)]
pub(crate) struct Form<'a> {
    pub(crate) scopes: Scopes<'a>,
    pub(crate) refresh: RefreshWanted,
    pub(crate) account: Option<Cow<'a, str>>,
    pub(crate) client_id: Option<Cow<'a, str>>,
    pub(crate) grant_type: Option<Cow<'a, str>>,
    pub(crate) username: Option<Cow<'a, str>>,
    pub(crate) password: Option<Cow<'a, str>>,
    pub(crate) refresh_token: Option<Cow<'a, str>>,
}

/// Whether a refresh token is wanted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshWanted {
    #[default]
    No,
    Yes,
}

/// What makes a request a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    #[error("{0}")]
    Scope(#[from] ScopeError),
    #[error("this token server serves the service `{0}`; check `service` in the registry's configuration")]
    Service(String),
    #[error("`{0}` is given twice")]
    Twice(&'static str),
}

/// Why no credentials could be taken from a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GrantError {
    /// 401.
    Credentials(MalformedCredentials),
    /// 400, with what is wrong.
    Request(&'static str),
}

impl<'a> Form<'a> {
    /// Reads `application/x-www-form-urlencoded` text for the given service. A client that names no service means ours;
    /// unknown parameters are other people's.
    pub(crate) fn read(text: &'a [u8], service: &str) -> Result<Self, FormError> {
        let mut form = Self::default();
        for (key, value) in form_urlencoded::parse(text) {
            let (slot, name) = match &*key {
                "scope" => {
                    form.scopes.add(value)?;
                    continue;
                }
                "service" if *value == *service => continue,
                "service" => return Err(FormError::Service(service.to_owned())),
                "offline_token" if value == "true" => {
                    form.refresh = RefreshWanted::Yes;
                    continue;
                }
                "access_type" if value == "offline" => {
                    form.refresh = RefreshWanted::Yes;
                    continue;
                }
                "account" => {
                    form.account = Some(value);
                    continue;
                }
                "client_id" => {
                    form.client_id = Some(value);
                    continue;
                }
                "grant_type" => (&mut form.grant_type, "grant_type"),
                "username" => (&mut form.username, "username"),
                "password" => (&mut form.password, "password"),
                "refresh_token" => (&mut form.refresh_token, "refresh_token"),
                _ => continue,
            };
            // Of two credentials in one form nobody can say which was meant.
            if slot.replace(value).is_some() {
                return Err(FormError::Twice(name));
            }
        }
        Ok(form)
    }

    /// Takes the credentials of a `POST`, as OAuth2 has them in the form.
    pub(crate) fn take_credentials(&mut self, headers: &HeaderMap) -> Result<Credentials, GrantError> {
        let wrong = |text| Err(GrantError::Request(text));
        if headers.contains_key(header::AUTHORIZATION) {
            return wrong("a form carries its own credential; send no Authorization header with it");
        }
        match self.grant_type.as_deref() {
            Some("password") => match (self.username.take(), self.password.take()) {
                (Some(name), Some(password)) => {
                    Credentials::password(name.into_owned(), password.into_owned()).map_err(GrantError::Credentials)
                }
                _ => wrong("grant_type=password needs username and password"),
            },
            Some("refresh_token") => match self.refresh_token.take() {
                Some(token) => Ok(Credentials::Refresh(token.into_owned().into())),
                None => wrong("grant_type=refresh_token needs refresh_token"),
            },
            Some(_) => wrong("grant_type is one of password and refresh_token"),
            None => wrong("a POST needs grant_type, one of password and refresh_token"),
        }
    }
}
