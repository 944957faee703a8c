//! Names and passwords that a directory checks: one way of asking and one count of those who guess, for every door of the
//! house. Knows no request, no token and no right.

use std::{net::IpAddr, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_access::{Principal, SharedRoster, UserIx, normalize_user_name};
use rollcall_events::body;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    Login, PasswordAnswer, PasswordCheck, REFRESH_PREFIX, SECRET_PREFIX,
    credentials::{is_password, signs_in},
    throttle::Throttle,
};

/// What credentials of our own begin with, the admin key among them. None is ever sent to a directory.
const OURS: [&str; 3] = [SECRET_PREFIX, REFRESH_PREFIX, "rk_"];

/// What becomes of a name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// They are this user's.
    Known(body::Principal),
    /// They are nobody's. Which of the two is wrong is not said.
    Wrong,
    /// Whoever was wrong too often waits so long before anything is checked.
    Wait(TimeDelta),
    /// The directory could not be asked, and nothing is remembered.
    Unavailable,
}

/// What a directory says of a name and a password, as far as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// No directory is asked about this: there is none, or it is a credential of our own.
    Nobody,
    /// It was, and this is what it says. Never [`PasswordAnswer::Unavailable`].
    Directory(PasswordAnswer),
    Wait(TimeDelta),
    Unavailable,
}

/// The directories behind every sign-in with a password.
pub struct Logins {
    live: Arc<SharedRoster>,
    directory: Option<Arc<dyn PasswordCheck>>,
    throttle: Throttle,
}

impl Logins {
    /// Of what checks passwords; of nothing where no directory is configured.
    #[must_use]
    pub fn new(live: Arc<SharedRoster>, directory: Option<Arc<dyn PasswordCheck>>) -> Self {
        Self { live, directory, throttle: Throttle::default() }
    }

    /// Signs in somebody who is no service and presents no registry secret.
    pub async fn sign_in(&self, name: &str, password: &SecretString, from: IpAddr, now: DateTime<Utc>) -> SignIn {
        if !is_password(name, password.expose_secret()) {
            return SignIn::Wrong;
        }
        match self.ask(name, password, from, now).await {
            Asked::Nobody => SignIn::Wrong,
            Asked::Wait(wait) => SignIn::Wait(wait),
            Asked::Unavailable => SignIn::Unavailable,
            Asked::Directory(answer) => {
                let roster = self.live.read();
                let user = (answer == PasswordAnswer::Good).then(|| signs_in(&roster, name)).flatten();
                match user.and_then(|user| roster.event_principal(Principal::User(user))) {
                    Some(word) => SignIn::Known(word),
                    None => {
                        drop(roster);
                        // Against the name it was counted before the directory was asked.
                        let wait = self.failed(None, password.expose_secret(), from, now);
                        wait.map_or(SignIn::Wrong, SignIn::Wait)
                    }
                }
            }
        }
    }

    /// Asks the directory about a password that is no credential of our own. Such a password can be guessed, so whoever was
    /// wrong too often waits before anything is checked.
    pub(crate) async fn ask(&self, name: &str, password: &SecretString, from: IpAddr, now: DateTime<Utc>) -> Asked {
        let Some(directory) = &self.directory else { return Asked::Nobody };
        if OURS.iter().any(|prefix| password.expose_secret().starts_with(prefix)) {
            return Asked::Nobody;
        }
        let (guessed, credential) = (normalize_user_name(name), password.expose_secret());
        if let Some(wait) = self.throttle.asking(guessed.as_deref(), from, credential, now) {
            return Asked::Wait(wait);
        }
        let user = {
            let roster = self.live.read();
            roster.user_by_name(name).map(|user: UserIx| roster.user_id(user))
        };
        let answer = directory.check(Login { name, user: user.as_deref(), password }).await;
        if answer != PasswordAnswer::Bad {
            self.throttle.not_wrong(guessed.as_deref(), credential);
        }
        match answer {
            PasswordAnswer::Unavailable => Asked::Unavailable,
            answer => Asked::Directory(answer),
        }
    }

    /// Counts a wrong credential against a name and an address; says how long they have to wait, if at all.
    pub(crate) fn failed(
        &self,
        name: Option<&str>,
        credential: &str,
        from: IpAddr,
        now: DateTime<Utc>,
    ) -> Option<TimeDelta> {
        self.throttle.failed(name.and_then(normalize_user_name).as_deref(), from, credential, now)
    }
}
