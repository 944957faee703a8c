//! How a directory is read: as a whole, or followed by one of three methods. Decided by what the server is and what is
//! configured.

use crate::{
    config::{Config, Mode},
    schema::server::{Kind, RootDse},
    wire::syncrepl::SYNC,
};

/// How a directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMethod {
    /// As a whole, on the schedule.
    FullRead,
    /// Followed by RFC 4533.
    SyncRepl,
    /// Asked for changes by DirSync.
    DirSync,
    /// Asked for changes by their numbers (`uSNChanged`), each domain controller's own.
    ChangeNumbers,
}

impl SyncMethod {
    /// What fits a server, and why.
    pub(crate) fn of(config: &Config, root: &RootDse, id: &str) -> (Self, String) {
        let whole = |why: &str| (Self::FullRead, why.to_owned());
        match root.kind {
            _ if config.mode == Mode::Full => whole("`mode` says so"),
            Kind::OpenLdap | Kind::ActiveDirectory if config.member_of => {
                whole("`member_of` is on, and a change of it is not announced")
            }
            Kind::OpenLdap | Kind::ActiveDirectory if config.filters_name("memberOf") => {
                whole("a filter looks at memberOf, and a change of it is not announced")
            }
            Kind::ActiveDirectory if !id.eq_ignore_ascii_case("objectGUID") => {
                whole("`id_attribute` is not objectGUID")
            }
            Kind::ActiveDirectory if context(config, root).is_none() => {
                whole("the bases are in several naming contexts, and changes are asked of one")
            }
            Kind::ActiveDirectory => (Self::DirSync, "DirSync".to_owned()),
            Kind::OpenLdap if !root.knows(SYNC) => {
                whole("the server has no RFC 4533: load the overlay syncprov to have it followed")
            }
            Kind::OpenLdap if !id.eq_ignore_ascii_case("entryUUID") => whole("`id_attribute` is not entryUUID"),
            Kind::OpenLdap => (Self::SyncRepl, "OpenLDAP with RFC 4533".to_owned()),
            Kind::Ds389 | Kind::OpenDj | Kind::EDirectory | Kind::Other => {
                whole("only OpenLDAP and Active Directory are followed")
            }
        }
    }

    /// For people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::FullRead => "read as a whole on the schedule",
            Self::SyncRepl => "followed",
            Self::DirSync | Self::ChangeNumbers => "asked for changes",
        }
    }
}

/// The naming context that holds every base.
pub fn context(config: &Config, root: &RootDse) -> Option<String> {
    let mut contexts = config.people.iter().chain(&config.groups).map(|base| root.context_of(&base.dn));
    let first = contexts.next()??;
    contexts.all(|other| other == Some(first)).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Entry;

    fn method(kind: Kind, change: impl FnOnce(&mut Config, &mut RootDse)) -> (SyncMethod, String) {
        let mut config = Config::new(vec!["ldaps://x".parse().unwrap()], "OU=people,DC=ex,DC=test".parse().unwrap());
        let mut root = RootDse::of(&Entry { dn: String::new(), attributes: Vec::new() });
        root.kind = kind;
        root.contexts = vec!["DC=ex,DC=test".to_owned(), "DC=other,DC=test".to_owned()];
        root.controls = vec![SYNC.to_owned()];
        change(&mut config, &mut root);
        let id = config.attributes.id.clone().unwrap_or_else(|| kind.id().to_owned());
        SyncMethod::of(&config, &root, &id)
    }

    #[test]
    fn what_is_not_announced_is_read_as_a_whole_and_the_reason_is_named() {
        let active = Kind::ActiveDirectory;
        assert_eq!(method(active, |_, _| {}), (SyncMethod::DirSync, "DirSync".to_owned()));
        assert_eq!(method(Kind::OpenLdap, |_, _| {}).0, SyncMethod::SyncRepl);
        let filter = "(&(objectClass=user)(memberOf:1.2.840.113556.1.4.1941:=CN=x,DC=ex,DC=test))";
        for (found, reason) in [
            (method(active, |config, _| config.mode = Mode::Full), "`mode`"),
            (method(active, |config, _| config.member_of = true), "`member_of`"),
            (method(active, |config, _| config.people_filter = Some(filter.parse().unwrap())), "looks at memberOf"),
            (method(active, |config, _| config.attributes.id = Some("objectSid".to_owned())), "not objectGUID"),
            (method(active, |config, _| config.groups = vec!["DC=other,DC=test".parse().unwrap()]), "naming contexts"),
            (method(active, |_, root| root.contexts.clear()), "naming contexts"),
            (method(Kind::OpenLdap, |config, _| config.member_of = true), "`member_of`"),
            (method(Kind::OpenLdap, |_, root| root.controls.clear()), "syncprov"),
            (method(Kind::Ds389, |_, _| {}), "only OpenLDAP and Active Directory"),
        ] {
            assert!(found.0 == SyncMethod::FullRead && found.1.contains(reason), "{found:?} for {reason}");
        }
    }
}
