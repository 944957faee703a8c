//! One directory as the operator configures it, parsed. What is not here cannot be set. No file is read here.

use std::{collections::BTreeMap, time::Duration};

use rollcall_events::SourceName;
use rollcall_ingest::connector::Scope;

use crate::wire::{
    connection::{Bind, Limits, Url},
    dn::Dn,
    filter::Filter,
    tls::Trust,
};

/// How a directory is reached and read.
#[derive(Debug, Clone)]
pub struct Config {
    /// The servers, the preferred one first. All hold the same.
    pub urls: Vec<Url>,
    /// Whether clear text is allowed, also for the bind. Then StartTLS is not asked for.
    pub clear_text: bool,
    /// Whom to trust.
    pub trust: Trust,
    /// Who we are.
    pub bind: Bind,
    /// Where people are, at least one.
    pub people: Vec<Base>,
    /// Where groups are; none where only people are read.
    pub groups: Vec<Base>,
    /// What people are among what is there; the usual of the server's kind when absent.
    pub people_filter: Option<Filter>,
    /// What groups are among what is there; the usual of the server's kind when absent.
    pub group_filter: Option<Filter>,
    /// Which attribute says what.
    pub attributes: Attributes,
    /// Whether `memberOf` of people counts beside the lists of groups. Servers keep it in part at best.
    pub member_of: bool,
    /// How it is read.
    pub mode: Mode,
    /// How often changes are asked for, where they have to be asked for.
    pub poll: Duration,
    /// How many entries are asked for at once.
    pub page: u32,
    /// How many members of a group are asked for at once; as many as the server gives when absent.
    pub members: Option<u32>,
    /// An entry that is known to be disabled: as long as it does not look so, nothing is concluded.
    pub disabled_probe: Option<Base>,
    /// How long things may take.
    pub limits: Limits,
}

impl Config {
    /// Servers and a base, and the defaults for everything else.
    #[must_use]
    pub fn new(urls: Vec<Url>, base: Base) -> Self {
        Self {
            urls,
            clear_text: false,
            trust: Trust::default(),
            bind: Bind::Anonymous,
            people: vec![base.clone()],
            groups: vec![base],
            people_filter: None,
            group_filter: None,
            attributes: Attributes::default(),
            member_of: false,
            mode: Mode::Auto,
            poll: Duration::from_secs(2),
            page: 200,
            members: None,
            disabled_probe: None,
            limits: Limits::default(),
        }
    }

    /// Whether one of the filters looks at this attribute.
    pub(crate) fn filters_name(&self, attribute: &str) -> bool {
        let mut names = Vec::new();
        self.people_filter.iter().chain(&self.group_filter).for_each(|filter| filter.names(&mut names));
        names.iter().any(|name| name.eq_ignore_ascii_case(attribute))
    }

    /// What is read, as far as it changes the answer.
    #[must_use]
    pub fn scope(&self) -> Scope {
        // How people sign in changes nothing that is read.
        let Attributes {
            id,
            username,
            email,
            name,
            group_name,
            disabled,
            disabled_values,
            unused,
            links,
            sign_in: _,
            netbios: _,
        } = &self.attributes;
        // As it always was: labels were part of it, so the usual ones stand here still.
        let mut parts = vec![format!("{id:?} {username:?} mail displayName cn {}", self.member_of)];
        parts.extend(self.people.iter().map(|base| format!("people {}", base.dn)));
        parts.extend(self.groups.iter().map(|base| format!("groups {}", base.dn)));
        parts.push(format!("{:?} {:?}", self.people_filter, self.group_filter));
        // Only where it is set, so that a scope of before stays the same.
        parts.extend(disabled.iter().map(|disabled| format!("disabled {disabled} {disabled_values:?}")));
        parts.extend(unused.iter().map(|name| format!("unused {name}")));
        Scope::of(parts)
            .with_links(links.iter().map(|(source, attribute)| format!("link {source} {attribute}")))
            .with_labels([email, name, group_name])
    }
}

/// A name below which is looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// As the operator wrote it; so it is sent.
    pub text: String,
    /// What it means.
    pub dn: Dn,
}

impl std::str::FromStr for Base {
    type Err = crate::wire::dn::InvalidDn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { text: text.to_owned(), dn: text.parse()? })
    }
}

/// Which attribute says what. Absent: the usual one of the server's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// The immutable id: entryUUID, objectGUID, nsUniqueId.
    pub id: Option<String>,
    /// The user name: uid, sAMAccountName.
    pub username: Option<String>,
    /// What people may type instead of it: mail, userPrincipalName. Looked up when they sign in, and kept nowhere.
    pub sign_in: Option<Vec<String>>,
    /// The NetBIOS name of the domain, for `DOMAIN\\user`; Active Directory's own when absent.
    pub netbios: Option<String>,
    /// What says that an account is disabled, beside the usual attributes.
    pub disabled: Option<String>,
    /// The values of it that mean so; any where there are none.
    pub disabled_values: Vec<String>,
    /// Which of the usual attributes that say whether an account is in force nobody has, though the server knows them.
    pub unused: Vec<String>,
    /// The e-mail address.
    pub email: String,
    /// What holds the id that another source has for the same person, by that source.
    pub links: BTreeMap<SourceName, String>,
    /// The display name.
    pub name: String,
    /// The label of a group.
    pub group_name: String,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            id: None,
            username: None,
            sign_in: None,
            netbios: None,
            disabled: None,
            disabled_values: Vec::new(),
            unused: Vec::new(),
            links: BTreeMap::new(),
            email: "mail".to_owned(),
            name: "displayName".to_owned(),
            group_name: "cn".to_owned(),
        }
    }
}

/// How a directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Followed where the server can be, else read as a whole on the schedule.
    Auto,
    /// Only read as a whole.
    Full,
}

/// The bases are numbered, those of people first: an entry is heard of in the part of its base. One that leaves a part
/// while another still has it has only moved.
pub(crate) type Part = usize;

#[cfg(test)]
mod tests {
    use super::*;

    type Setting = fn(&mut Config);

    #[test]
    fn only_what_can_make_somebody_of_nobody_is_in_the_first_part_of_the_scope() {
        let usual = || Config::new(vec!["ldap://dc1.test".parse().unwrap()], "dc=ex".parse().unwrap());
        let first = |config: &Config| config.scope().digest().split('+').next().unwrap().to_owned();
        let who: &[Setting] = &[
            |config| config.people.push("ou=more,dc=ex".parse().unwrap()),
            |config| config.groups.clear(),
            |config| config.people_filter = Some("(a=b)".parse().unwrap()),
            |config| config.group_filter = Some("(a=b)".parse().unwrap()),
            |config| config.attributes.id = Some("uidNumber".to_owned()),
            |config| config.attributes.username = Some("cn".to_owned()),
            |config| config.attributes.disabled = Some("employeeType".to_owned()),
            |config| config.member_of = true,
        ];
        for (n, set) in who.iter().enumerate() {
            let mut config = usual();
            set(&mut config);
            assert_ne!(first(&config), first(&usual()), "{n}");
        }
        let others: &[Setting] = &[
            |config| config.attributes.email = "rfc822Mailbox".to_owned(),
            |config| config.attributes.name = "gecos".to_owned(),
            |config| config.attributes.group_name = "description".to_owned(),
            |config| config.attributes.sign_in = Some(Vec::new()),
            |config| config.attributes.netbios = Some("CORP".to_owned()),
            |config| config.page = 7,
        ];
        for (n, set) in others.iter().enumerate() {
            let mut config = usual();
            set(&mut config);
            assert_eq!(config.scope().digest(), usual().scope().digest(), "{n}");
        }
        let mut linked = usual();
        linked.attributes.links.insert("flexnet".parse().unwrap(), "employeeNumber".to_owned());
        assert_eq!(first(&linked), first(&usual()));
        assert_ne!(linked.scope().digest(), usual().scope().digest());
    }
}
