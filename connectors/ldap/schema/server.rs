//! What a server says about itself (its root entry): what it is, what it can do, what it holds. Reading only; what
//! follows from it is decided by who asks.

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::wire::{
    connection::Connection,
    dn::Dn,
    fault::Fault,
    message::{Entry, PAGED},
    search,
};

const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";

/// The kinds of server that are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OpenLDAP.
    OpenLdap,
    /// Active Directory, or Samba as one.
    ActiveDirectory,
    /// 389 Directory Server, FreeIPA among them.
    Ds389,
    /// Anything else.
    Other,
}

impl Kind {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenLdap => "OpenLDAP",
            Self::ActiveDirectory => "Active Directory",
            Self::Ds389 => "389 Directory Server",
            Self::Other => "an LDAP server of another kind",
        }
    }

    /// The attribute with the immutable id of an entry.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::OpenLdap | Self::Other => "entryUUID",
            Self::ActiveDirectory => "objectGUID",
            Self::Ds389 => "nsUniqueId",
        }
    }
}

/// The root entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootDse {
    /// What it is.
    pub kind: Kind,
    /// Its vendor and version in its own words, if it says any.
    pub vendor: Option<String>,
    /// The object identifiers of the controls that it knows.
    pub controls: Vec<String>,
    /// The bases of what it holds.
    pub contexts: Vec<String>,
    /// Which domain controller it is, for what is counted per controller.
    pub service: Option<String>,
    /// Its clock.
    pub time: Option<DateTime<Utc>>,
    /// The highest change number (Active Directory).
    pub highest_usn: Option<u64>,
}

impl RootDse {
    /// Reads it.
    pub async fn read(connection: &mut Connection) -> Result<Self, Fault> {
        let names = [
            "*",
            "+",
            "supportedControl",
            "supportedCapabilities",
            "namingContexts",
            "vendorName",
            "vendorVersion",
            "dsServiceName",
            "currentTime",
            "highestCommittedUSN",
            "objectClass",
        ];
        let found = search::read_entry(connection, "", None, names.map(str::to_owned).to_vec()).await?;
        // A server that hides its root entry is one of which nothing is known.
        Ok(Self::of(&found.unwrap_or_else(|| Entry { dn: String::new(), attributes: Vec::new() })))
    }

    /// What an entry says.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let list = |name: &str| entry.texts(name).map(str::to_owned).collect::<Vec<_>>();
        let vendor: Vec<&str> =
            ["vendorName", "vendorVersion"].into_iter().filter_map(|name| entry.text(name)).collect();
        let kind = if entry.texts("supportedCapabilities").any(|oid| oid == ACTIVE_DIRECTORY) {
            Kind::ActiveDirectory
        } else if entry.is("OpenLDAProotDSE") {
            Kind::OpenLdap
        } else if vendor.iter().any(|text| text.contains("389")) {
            Kind::Ds389
        } else {
            Kind::Other
        };
        Self {
            kind,
            vendor: (!vendor.is_empty()).then(|| vendor.join(" ")),
            controls: list("supportedControl"),
            contexts: list("namingContexts"),
            service: entry.text("dsServiceName").map(str::to_owned),
            time: entry.text("currentTime").and_then(time),
            highest_usn: entry.text("highestCommittedUSN").and_then(|text| text.parse().ok()),
        }
    }

    /// Whether it knows a control.
    #[must_use]
    pub fn knows(&self, control: &str) -> bool {
        self.controls.iter().any(|known| known == control)
    }

    /// Whether it can answer in pages.
    #[must_use]
    pub fn pages(&self) -> bool {
        self.knows(PAGED)
    }

    /// The naming context that holds this name.
    #[must_use]
    pub fn context_of(&self, name: &Dn) -> Option<&str> {
        let holds = |text: &&String| text.parse::<Dn>().is_ok_and(|context| name.seems_within(&context));
        // The longest is the nearest.
        self.contexts.iter().filter(holds).max_by_key(|text| text.len()).map(String::as_str)
    }
}

/// A GeneralizedTime in UTC, as in `20260301120000.0Z`.
pub(crate) fn time(text: &str) -> Option<DateTime<Utc>> {
    let digits = text.strip_suffix('Z')?.split(['.', ',']).next()?;
    NaiveDateTime::parse_from_str(digits, "%Y%m%d%H%M%S").ok().map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attributes: &[(&str, &[&str])]) -> Entry {
        let values = |list: &[&str]| list.iter().map(|value| value.as_bytes().to_vec()).collect();
        let attributes = attributes.iter().map(|(name, list)| (name.to_lowercase(), values(list))).collect();
        Entry { dn: String::new(), attributes }
    }

    #[test]
    fn a_server_is_known_by_its_root_entry() {
        let kind = |attributes: &[(&str, &[&str])]| RootDse::of(&entry(attributes)).kind;
        assert_eq!(kind(&[("objectClass", &["top", "OpenLDAProotDSE"])]), Kind::OpenLdap);
        assert_eq!(kind(&[("supportedCapabilities", &["1.2.840.113556.1.4.800"])]), Kind::ActiveDirectory);
        assert_eq!(kind(&[("vendorVersion", &["389-Directory/2.4.5 B2024.017"])]), Kind::Ds389);
        assert_eq!(kind(&[]), Kind::Other);
    }

    #[test]
    fn a_name_is_in_the_nearest_context() {
        let root = RootDse::of(&entry(&[("namingContexts", &["dc=ex,dc=test", "OU=sub,DC=ex,DC=test"])]));
        let context = |text: &str| root.context_of(&text.parse().unwrap()).map(str::to_owned);
        assert_eq!(context("cn=a,ou=Sub,dc=ex,dc=test").as_deref(), Some("OU=sub,DC=ex,DC=test"));
        assert_eq!(context("cn=a,dc=ex,dc=test").as_deref(), Some("dc=ex,dc=test"));
        assert_eq!(context("dc=other"), None);
        assert_eq!(time("20260301120000.0Z").map(|t| t.timestamp()), Some(1_772_366_400));
        assert_eq!(time("2026"), None);
    }
}
