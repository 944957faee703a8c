//! Signing in: whose credentials these are, as of one reading of the roster, and one count of wrong guesses for every
//! interface. Decides nothing about rights and knows no request.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use chrono::{DateTime, Utc};
use rollcall_access::{Credential, Principal, Roster, SharedRoster};
use rollcall_events::{Clock, Digest, Id, names::user_name};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    admin_key::AdminKey,
    credentials::Credentials,
    error::{NoRandomness, SignInError},
    passwords::{Checked, Heard, Login, Passwords, Refused, check::PasswordCheck},
    refresh::{REFRESH_PREFIX, RefreshClaims, RefreshKey},
    refusal::{RefusalCause, RefusalSink, RefusedSignIn},
    throttle::{Target, Throttle, Try},
};

/// What the registry secrets, invitation codes, refresh tokens and admin keys that we make begin with. None is ever sent to a directory.
const OWN_PREFIXES: [&str; 4] = ["rcs_", "rci_", REFRESH_PREFIX, "rk_"];

/// Of how many users it is noted at most that one name was tried which all of them have.
const MOST_NOTED: usize = 8;

/// What somebody signs in to. What is good in one realm may be wrong in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm {
    /// The registry side: secrets, passwords, refresh tokens, and nobody in particular.
    Registry,
    /// The API: the admin key, secrets and passwords.
    Api,
}

/// One attempt to sign in.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    /// To what.
    pub realm: Realm,
    /// With what.
    pub credentials: &'a Credentials,
    /// From where.
    pub client: IpAddr,
    /// When.
    pub now: DateTime<Utc>,
}

/// Who signed in, as of one reading of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// Whoever holds the admin key.
    Operator,
    /// A user or a service.
    Principal {
        /// Which.
        principal: Principal,
        /// The secret behind it, directly or through a refresh token. None where a directory checked a password.
        secret: Option<SecretUsed>,
    },
}

/// The secret that somebody signed in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUsed {
    /// Its id.
    pub id: Id,
    /// Until when (exclusive) it is good; without end when absent.
    pub until: Option<DateTime<Utc>>,
}

impl SecretUsed {
    fn of(found: &Credential<'_>) -> Option<Self> {
        Some(Self { id: found.secret.parse().ok()?, until: found.until })
    }
}

/// What an authenticator is put together from.
pub struct AuthenticatorParts {
    /// The facts.
    pub live: Arc<SharedRoster>,
    /// The time, for what is remembered of directories.
    pub clock: Arc<dyn Clock>,
    /// The operator's key.
    pub admin_key: AdminKey,
    /// What refresh tokens are signed with.
    pub refresh_key: RefreshKey,
    /// The registry service that refresh tokens are good for.
    pub service: String,
    /// The directories that check passwords.
    pub directories: Vec<Arc<dyn PasswordCheck>>,
    /// Keeps what was refused.
    pub refusals: Arc<dyn RefusalSink>,
}

/// Signs in users, services and the operator. One for the whole process: it counts wrong guesses and remembers answers.
pub struct Authenticator {
    live: Arc<SharedRoster>,
    admin_key: RwLock<AdminKey>,
    refresh_key: RefreshKey,
    service: String,
    passwords: Option<Passwords>,
    clock: Arc<dyn Clock>,
    refusals: Arc<dyn RefusalSink>,
    /// Guesses at what directories know.
    password_throttle: Throttle,
    /// Wrong secrets and tokens: what never reaches a directory keeps no password out.
    secret_throttle: Throttle,
}

impl Authenticator {
    /// Puts an authenticator together.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(parts: AuthenticatorParts) -> Result<Self, NoRandomness> {
        let AuthenticatorParts { live, clock, admin_key, refresh_key, service, directories, refusals } = parts;
        let passwords = match directories.is_empty() {
            true => None,
            false => Some(Passwords::new(directories, Arc::clone(&live), Arc::clone(&clock))?),
        };
        Ok(Self {
            live,
            admin_key: RwLock::new(admin_key),
            refresh_key,
            service,
            passwords,
            clock,
            refusals,
            password_throttle: Throttle::default(),
            secret_throttle: Throttle::default(),
        })
    }

    fn admin_key(&self) -> AdminKey {
        *self.admin_key.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another key in place of the operator's; the former one is over. Says whether it is another one.
    pub fn set_admin_key(&self, key: AdminKey) -> bool {
        let mut current = self.admin_key.write().unwrap_or_else(PoisonError::into_inner);
        let other = !current.is(&key);
        *current = key;
        other
    }

    /// Finds out who signs in and hands it to `then` together with the roster that says so, so that what `then` derives
    /// from it rests on the same facts. It runs under the roster's lock: it must not wait, nor read the roster again.
    ///
    /// # Errors
    /// Says why nobody is signed in; wrong guesses are counted.
    pub async fn authenticate<T>(
        &self,
        sign_in: &SignIn<'_>,
        then: impl FnOnce(&Roster, Identity) -> T,
    ) -> Result<T, SignInError> {
        let directory = self.ask_directory(sign_in).await?;
        {
            let roster = self.live.read();
            if let Some(identity) = self.identify(&roster, sign_in, directory.as_ref()) {
                return Ok(then(&roster, identity));
            }
        }
        Err(self.refuse(sign_in, directory.as_ref()))
    }

    /// Whether an e-mail address of somebody of this source is a name to sign in with, as far as directories check passwords.
    #[must_use]
    pub fn takes_address(&self, roster: &Roster, source: &str, address: &str) -> bool {
        self.passwords.as_ref().is_some_and(|passwords| passwords.takes_address(roster, source, address))
    }

    /// Notes that what a request presents cannot be credentials.
    pub fn note_malformed(&self, client: IpAddr, now: DateTime<Utc>) {
        self.refusals.offer(RefusedSignIn { at: now, principal: None, client, cause: RefusalCause::Malformed });
    }

    /// A refresh token for a user or service, as [`Roster::caller_names`] names it, that signed in with a registry secret.
    /// It is good while that secret is, and no reset follows `epoch`.
    #[must_use]
    pub fn issue_refresh_token(&self, user: &str, secret: &str, epoch: u64, now: DateTime<Utc>) -> String {
        self.refresh_key.sign(&RefreshClaims {
            user: user.to_owned(),
            secret: secret.to_owned(),
            service: self.service.clone(),
            issued: now.timestamp(),
            epoch,
        })
    }

    /// What the directories say of a password, where they have to be asked; nothing where not. A password can be guessed, so
    /// after too many wrong ones nothing is checked for a while.
    async fn ask_directory(&self, sign_in: &SignIn<'_>) -> Result<Option<PasswordAnswered>, SignInError> {
        let SignIn { credentials, client, now, .. } = *sign_in;
        let Credentials::Password { name, password } = credentials else { return Ok(None) };
        let Some(passwords) = &self.passwords else { return Ok(None) };
        if self.is_own_credential(password, now) {
            return Ok(None);
        }
        let normalized = user_name(name).ok();
        let user = {
            let roster = self.live.read();
            roster.user_by_name(name).map(|user| roster.user_id(user))
        };
        let (normalized, user) = (normalized.as_deref(), user.as_deref());
        let target = match (user, normalized) {
            (Some(user), _) => Target::User(user),
            (None, Some(name)) => Target::Stranger(name),
            (None, None) => Target::Nobody,
        };
        // By a clock that nobody sets: one that jumps forgets no guess, and one that is set back keeps nobody out.
        let tried = Try { target, client, credential: password.expose_secret(), now: self.clock.steady(now) };
        if let Err(wait) = self.password_throttle.charge(&tried) {
            self.note(sign_in, RefusalCause::Waiting);
            return Err(SignInError::Throttled(wait));
        }
        // Under another name the account is as much guessed at as under its own.
        let behind = Mutex::new(None);
        let may_try = |user: &str| {
            let may = self.password_throttle.charge_behind(&Try { target: Target::User(user), ..tried });
            *behind.lock().unwrap_or_else(PoisonError::into_inner) = may.then(|| user.to_owned());
            may
        };
        let checked = passwords.check(&Login { name, normalized, user, password }, &may_try).await;
        let behind = behind.into_inner().unwrap_or_else(PoisonError::into_inner);
        let behind = behind.as_deref().map(|user| Try { target: Target::User(user), ..tried });
        match checked {
            Checked::Good(user) => {
                [Some(tried), behind].iter().flatten().for_each(|tried| self.password_throttle.accept(tried));
                Ok(Some(PasswordAnswered::Good(user)))
            }
            Checked::Refused(why, users) => Ok(Some(PasswordAnswered::Refused(why, users))),
            Checked::Open(heard) => {
                if heard == Heard::None {
                    [Some(tried), behind].iter().flatten().for_each(|tried| self.password_throttle.refund(tried));
                }
                let shut_out = user.and_then(|user| self.why_shut_out(user));
                self.note(sign_in, shut_out.unwrap_or(RefusalCause::NoDirectory));
                Err(SignInError::DirectoryUnavailable)
            }
        }
    }

    /// Whether it is, or looks like, a credential of our own. Such a one is never sent to a directory.
    fn is_own_credential(&self, password: &SecretString, now: DateTime<Utc>) -> bool {
        let text = password.expose_secret();
        OWN_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            || self.admin_key().matches(text)
            || self.live.read().credential(&Digest::of(text.as_bytes()).0, now).is_some()
    }

    /// Whose credentials they are. Nothing for wrong, ended and foreign ones, which nobody outside can tell apart.
    fn identify(
        &self,
        roster: &Roster,
        sign_in: &SignIn<'_>,
        directory: Option<&PasswordAnswered>,
    ) -> Option<Identity> {
        match (sign_in.realm, sign_in.credentials) {
            (Realm::Registry, Credentials::Anonymous) => Some(Identity::Anonymous),
            (Realm::Api, Credentials::Bearer(key)) if self.admin_key().matches(key.expose_secret()) => {
                Some(Identity::Operator)
            }
            (Realm::Api, Credentials::Bearer(secret)) => Self::by_secret(roster, sign_in, None, secret),
            (_, Credentials::Password { name, password }) => match directory {
                None => Self::by_secret(roster, sign_in, Some(name), password),
                Some(PasswordAnswered::Good(user)) => Self::by_password(roster, user),
                Some(PasswordAnswered::Refused(..)) => None,
            },
            (Realm::Registry, Credentials::Refresh(token)) => self.by_refresh_token(roster, sign_in, token),
            (Realm::Api, Credentials::Anonymous | Credentials::Refresh(_))
            | (Realm::Registry, Credentials::Bearer(_)) => None,
        }
    }

    /// Whose secret it is, if that is the caller of this name: the secret says who it is, and the name has to agree, so
    /// that nobody is taken for somebody else in a log.
    fn by_secret(roster: &Roster, sign_in: &SignIn<'_>, name: Option<&str>, secret: &SecretString) -> Option<Identity> {
        // 256 random bits: looking up their hash tells nothing about any other secret, in no time.
        let hash = Digest::of(secret.expose_secret().as_bytes()).0;
        let found = roster.credential(&hash, sign_in.now)?;
        let agrees = |name: &str| match found.principal {
            Principal::User(user) | Principal::Limited(user, _) => roster.user_by_name(name) == Some(user),
            Principal::Service(service) => roster.service(service).id == name,
            Principal::Anyone => false,
        };
        if !name.is_none_or(agrees) {
            return None;
        }
        Some(Identity::Principal { principal: found.principal, secret: Some(SecretUsed::of(&found)?) })
    }

    /// The user whom a good password signs in. A directory may still know the password of one who is shut out.
    fn by_password(roster: &Roster, user: &str) -> Option<Identity> {
        let user = roster.user_by_id(user).filter(|user| !roster.user(*user).shut_out)?;
        Some(Identity::Principal { principal: Principal::User(user), secret: None })
    }

    fn by_refresh_token(&self, roster: &Roster, sign_in: &SignIn<'_>, token: &SecretString) -> Option<Identity> {
        let claims = self.refresh_key.verify(token.expose_secret())?;
        let principal = roster.caller_by_id(&claims.user)?;
        if claims.service != self.service || claims.epoch != roster.credential_epoch(principal) {
            return None;
        }
        let found = roster.live_secret(principal, &claims.secret, sign_in.now)?;
        Some(Identity::Principal { principal: found.principal, secret: Some(SecretUsed::of(&found)?) })
    }

    /// Notes that nobody is signed in, and counts what is no guess at a directory's password: that was counted before.
    fn refuse(&self, sign_in: &SignIn<'_>, directory: Option<&PasswordAnswered>) -> SignInError {
        let SignIn { realm, credentials, client, now } = *sign_in;
        let secret = |name: Option<&str>, text: &SecretString| {
            let target = name.map_or(Target::Nobody, Target::Stranger);
            self.secret_throttle.charge(&Try {
                target,
                client,
                credential: text.expose_secret(),
                now: self.clock.steady(now),
            })
        };
        let counted = match (credentials, directory) {
            (Credentials::Anonymous, _) => return SignInError::WrongCredentials,
            (_, Some(PasswordAnswered::Refused(why, users))) => {
                match users.is_empty() {
                    // Whoever was called so, if anybody was.
                    true => self.note(sign_in, (*why).into()),
                    false => self.note_users(sign_in, (*why).into(), users),
                }
                return match why {
                    // Only whoever knows the password is told that it is right.
                    Refused::ByDirectory(why) if why.is_right_but_over() => SignInError::PasswordOver,
                    _ => SignInError::WrongCredentials,
                };
            }
            (_, Some(PasswordAnswered::Good(user))) => {
                let why = self.why_shut_out(user).unwrap_or(RefusalCause::ShutOut);
                self.note_users(sign_in, why, std::slice::from_ref(user));
                return SignInError::WrongCredentials;
            }
            // 256 random bits cannot be guessed.
            (Credentials::Bearer(_), None) => Ok(()),
            (Credentials::Password { name, password }, None) => {
                let name = user_name(name).ok();
                if realm == Realm::Registry { secret(name.as_deref(), password) } else { Ok(()) }
            }
            // One that this server once signed is no guess.
            (Credentials::Refresh(token), None) if self.refresh_key.verify(token.expose_secret()).is_some() => Ok(()),
            (Credentials::Refresh(token), None) => secret(None, token),
        };
        match counted {
            Ok(()) => {
                self.note(sign_in, RefusalCause::WrongSecret);
                SignInError::WrongCredentials
            }
            Err(wait) => {
                self.note(sign_in, RefusalCause::Waiting);
                SignInError::Throttled(wait)
            }
        }
    }

    /// Why a user, an id, can do nothing at all, if that is so.
    fn why_shut_out(&self, user: &str) -> Option<RefusalCause> {
        let roster = self.live.read();
        roster.why_shut_out(roster.user_by_id(user)?).map(RefusalCause::from)
    }

    /// Whose the credentials are or claim to be, and what more is known of why they are refused than that they are wrong.
    fn whose(&self, roster: &Roster, sign_in: &SignIn<'_>) -> (Option<Principal>, Option<RefusalCause>) {
        let now = sign_in.now;
        match sign_in.credentials {
            Credentials::Password { name, password } => {
                let text = password.expose_secret();
                let hash = Digest::of(text.as_bytes()).0;
                // Of a service that was removed only who has its secret knows.
                let removed = || match roster.owner_of_secret(&hash)? {
                    Principal::Service(service) => (roster.service(service).id == name).then_some(service),
                    _ => None,
                };
                let user = roster.user_by_name(name).map(Principal::User);
                let service = || roster.service_by_id(name).or_else(removed).map(Principal::Service);
                let Some(whose) = user.or_else(service) else {
                    return match roster.formerly_called(name) {
                        Some((user, _)) => (Some(Principal::User(user)), Some(RefusalCause::FormerName)),
                        None => (None, Some(RefusalCause::NoSuchName)),
                    };
                };
                let flaw = roster.secret_flaw(whose, &hash, now).map(RefusalCause::from);
                let else_why = || match whose {
                    // It could be the password of a directory that is configured no more.
                    Principal::User(user) if !OWN_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) => {
                        roster.why_shut_out(user).map(RefusalCause::from)
                    }
                    Principal::Service(_) => Some(RefusalCause::WrongSecret),
                    _ => None,
                };
                (Some(whose), flaw.or_else(else_why))
            }
            Credentials::Bearer(secret) => {
                let hash = Digest::of(secret.expose_secret().as_bytes()).0;
                let whose = roster.owner_of_secret(&hash);
                (whose, whose.and_then(|whose| roster.secret_flaw(whose, &hash, now)).map(RefusalCause::from))
            }
            Credentials::Refresh(token) => {
                let claims = self.refresh_key.verify(token.expose_secret());
                let known = claims.and_then(|claims| Some((roster.caller_by_id(&claims.user)?, claims)));
                let Some((whose, claims)) = known else { return (None, None) };
                let is_reset = claims.epoch != roster.credential_epoch(whose);
                let flaw = roster.flaw_of_secret(whose, &claims.secret, now).map(RefusalCause::from);
                (Some(whose), flaw.or(is_reset.then_some(RefusalCause::SecretEnded)))
            }
            Credentials::Anonymous => (None, None),
        }
    }

    /// Tells whoever keeps it that a sign-in was refused, and whose name it was.
    fn note(&self, sign_in: &SignIn<'_>, cause: RefusalCause) {
        let SignIn { client, now, .. } = *sign_in;
        let (principal, known) = {
            let roster = self.live.read();
            let (whose, known) = self.whose(&roster, sign_in);
            (whose.map(|whose| roster.caller_names(whose)), known)
        };
        let cause = match cause {
            RefusalCause::NoSuchName | RefusalCause::WrongSecret => known.unwrap_or(cause),
            cause => cause,
        };
        self.refusals.offer(RefusedSignIn { at: now, principal, client, cause });
    }

    /// The same of these users, by id.
    fn note_users(&self, sign_in: &SignIn<'_>, cause: RefusalCause, users: &[String]) {
        let SignIn { client, now, .. } = *sign_in;
        let principals: Vec<_> = {
            let roster = self.live.read();
            let found = users.iter().take(MOST_NOTED).filter_map(|id| roster.user_by_id(id));
            found.map(|user| Some(roster.caller_names(Principal::User(user)))).collect()
        };
        for principal in principals {
            self.refusals.offer(RefusedSignIn { at: now, principal, client, cause });
        }
    }
}

/// What the directories say of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PasswordAnswered {
    /// It is this user's, an id.
    Good(String),
    /// It signs nobody in, and whose name it was.
    Refused(Refused, Vec<String>),
}
