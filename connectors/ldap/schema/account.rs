//! Whether an account is in force: which attributes say so on which kind of server, what their values mean, and which of
//! them can be hidden without a trace. Pure; the time is a parameter.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    config::{Attributes, Config},
    schema::server::{Kind, time},
    wire::message::Entry,
};

/// What it says of an account that it has such an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// That it is disabled.
    Disabled,
    /// When it is over.
    End,
}

/// The attributes of servers that are no Active Directory. Most are operational: they come when they are named.
const USUAL: [(&str, Says); 9] = [
    ("nsAccountLock", Says::Disabled),
    ("pwdAccountLockedTime", Says::Disabled),
    ("pwdEndTime", Says::End),
    ("shadowExpire", Says::End),
    ("loginDisabled", Says::Disabled),
    ("loginExpirationTime", Says::End),
    ("ds-pwp-account-disabled", Says::Disabled),
    ("ds-pwp-account-expiration-time", Says::End),
    ("krbPrincipalExpiration", Says::End),
];

/// What they are called.
pub fn usual_attributes() -> impl Iterator<Item = &'static str> {
    USUAL.into_iter().map(|(name, _)| name)
}

/// Those of Active Directory, which gives every user both.
const ACTIVE_DIRECTORY: [&str; 2] = ["userAccountControl", "accountExpires"];

/// What says whether an account is in force.
#[derive(Debug, Clone)]
pub struct AccountRules {
    kind: Kind,
    /// An attribute of the operator's own.
    own: Option<String>,
    /// The values of it that mean disabled; any where there are none.
    own_values: Vec<String>,
    /// Those of the usual that nobody has, as the operator says.
    unused: Vec<String>,
}

/// What only shows on accounts that are disabled or have an end, so that hiding it makes them look in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hideable {
    pub name: String,
    pub says: Says,
    /// Whether the operator named it: it is to be there, whatever the server is.
    pub is_own: bool,
}

impl AccountRules {
    pub fn of(config: &Config, kind: Kind) -> Self {
        let Attributes { disabled, disabled_values, unused, .. } = &config.attributes;
        Self { kind, own: disabled.clone(), own_values: disabled_values.clone(), unused: unused.clone() }
    }

    /// What is asked of a person.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        let of_all = self.of_every_user().iter().copied();
        of_all.chain(self.usual().map(|(name, _)| name)).chain(self.own.as_deref())
    }

    /// What may be there and hidden. Which of the usual a server has at all its schema says.
    pub fn hideable(&self) -> Vec<Hideable> {
        let usual = self.usual().map(|(name, says)| Hideable { name: name.to_owned(), says, is_own: false });
        let own = self.own.iter().map(|name| Hideable { name: name.clone(), says: Says::Disabled, is_own: true });
        usual.chain(own).collect()
    }

    /// In Active Directory every user has what says so, and nothing else does.
    fn usual(&self) -> impl Iterator<Item = (&'static str, Says)> {
        let usual: &[(&str, Says)] = if self.kind == Kind::ActiveDirectory { &[] } else { &USUAL };
        let is_used = |name: &str| !self.unused.iter().any(|unused| unused.eq_ignore_ascii_case(name));
        usual.iter().copied().filter(move |(name, _)| is_used(name))
    }

    /// What every user has, so that it is hidden from us where one does not show it.
    pub fn of_every_user(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::ActiveDirectory => &ACTIVE_DIRECTORY,
            _ => &[],
        }
    }

    /// Whether an account may be used: neither disabled nor expired. A lock after wrong passwords is no reason: anybody
    /// could cause it. What says when an account ends and is no time ends it, and where Active Directory does not show
    /// whether an account is disabled, it counts as disabled: both are removals, which the removal guard checks.
    pub fn in_force(&self, entry: &Entry, now: DateTime<Utc>) -> bool {
        let number = |name: &str| entry.text(name).and_then(|text| text.trim().parse::<i64>().ok());
        let is_true = |name: &str| entry.text(name).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
        let over = |name: &str| entry.text(name).is_some_and(|text| time(text.trim()).is_none_or(|end| end <= now));
        let disabled = match self.kind {
            Kind::ActiveDirectory => number("userAccountControl").is_none_or(|flags| flags & 2 != 0),
            _ => ["nsAccountLock", "loginDisabled", "ds-pwp-account-disabled"].into_iter().any(is_true),
        };
        let disabled = disabled || self.is_disabled_by_own(entry);
        // 000001010000Z: locked for good. Another time is a lock after wrong passwords.
        let locked = entry.text("pwdAccountLockedTime").is_some_and(|text| text.starts_with("000001010000"));
        let ended = number("accountExpires").filter(|ticks| ![0, i64::MAX].contains(ticks)).is_some_and(|ticks| {
            // Ticks of 100 ns since 1601.
            DateTime::from_timestamp(ticks / 10_000_000 - 11_644_473_600, 0).is_some_and(|end| end <= now)
        });
        let ended = ended
            || number("shadowExpire").filter(|days| *days >= 0).is_some_and(|days| {
                let end = TimeDelta::try_days(days).and_then(|days| DateTime::UNIX_EPOCH.checked_add_signed(days));
                end.is_some_and(|end| end <= now)
            });
        let ends = ["pwdEndTime", "loginExpirationTime", "ds-pwp-account-expiration-time", "krbPrincipalExpiration"];
        !(disabled || locked || ended || ends.into_iter().any(over))
    }

    fn is_disabled_by_own(&self, entry: &Entry) -> bool {
        let Some(own) = &self.own else { return false };
        let means = |text: &str| self.own_values.iter().any(|value| value.trim().eq_ignore_ascii_case(text.trim()));
        let values = entry.values(own);
        if self.own_values.is_empty() {
            return !values.is_empty();
        }
        values.iter().any(|value| std::str::from_utf8(value).is_ok_and(means))
    }
}
