//! What a server says about itself (its root entry): what it is, what it can do, what it holds. Reading only; what
//! follows from it is decided by who asks.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

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
    /// OpenDJ and its kin.
    OpenDj,
    /// eDirectory.
    EDirectory,
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
            Self::OpenDj => "OpenDJ",
            Self::EDirectory => "eDirectory",
            Self::Other => "an LDAP server of another kind",
        }
    }

    /// The attribute with the immutable id of an entry.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::OpenLdap | Self::OpenDj | Self::Other => "entryUUID",
            Self::ActiveDirectory => "objectGUID",
            Self::Ds389 => "nsUniqueId",
            Self::EDirectory => "GUID",
        }
    }

    /// What to set, and where, when a limit of such a server ends a read by this account: by result code.
    pub(crate) fn limit_advice(self, account: &str) -> Vec<(u32, String)> {
        let of = |time: String, size: String, looked_at: String| vec![(3, time), (4, size), (11, looked_at)];
        match self {
            Self::OpenLdap => {
                let limits = |what: &str| {
                    format!(
                        "raise it for the account alone: `limits dn.exact=\"{account}\" {what}` (slapd.conf), or the same in `olcLimits` of the database"
                    )
                };
                of(
                    limits("time=unlimited"),
                    limits("size.prtotal=unlimited"),
                    format!(
                        "{}; or index what `people_filter` and `group_filter` look at",
                        limits("size.unchecked=unlimited")
                    ),
                )
            }
            Self::ActiveDirectory => {
                let policy = |what: &str| {
                    format!(
                        "raise {what} in the query policy (`ntdsutil`, \"ldap policies\"; it is `lDAPAdminLimits` of CN=Default Query Policy in the configuration partition)"
                    )
                };
                of(
                    policy("MaxQueryDuration"),
                    format!("lower `page_size` below MaxPageSize (1000 by default), or {}", policy("MaxPageSize")),
                    policy("MaxTempTableSize and MaxResultSetSize"),
                )
            }
            Self::Ds389 => {
                let entry = |what: &str, everywhere: &str| {
                    format!(
                        "give {account} {what}, each -1 (no limit), in its own entry, or raise {everywhere} for everybody"
                    )
                };
                let backend = "in cn=config,cn=ldbm database,cn=plugins,cn=config";
                of(
                    entry("nsTimeLimit", "nsslapd-timelimit in cn=config"),
                    entry(
                        "nsSizeLimit and nsPagedSizeLimit",
                        "nsslapd-sizelimit and nsslapd-pagedsizelimit in cn=config",
                    ),
                    entry(
                        "nsLookThroughLimit, nsPagedLookThroughLimit, nsIDListScanLimit and nsPagedIDListScanLimit",
                        &format!("nsslapd-lookthroughlimit and nsslapd-pagedlookthroughlimit {backend}"),
                    ),
                )
            }
            Self::OpenDj => {
                let entry = |own: &str, all: &str| {
                    format!(
                        "give {account} {own}: 0 (no limit) in its own entry, or raise {all} with `dsconfig set-global-configuration-prop`"
                    )
                };
                of(
                    entry("ds-rlim-time-limit", "time-limit"),
                    entry("ds-rlim-size-limit", "size-limit"),
                    entry("ds-rlim-lookthrough-limit", "lookthrough-limit"),
                )
            }
            Self::EDirectory => {
                let group = |what: &str| {
                    format!(
                        "raise the {what} of the LDAP server object that answers (iManager, \"LDAP Options\"; 0 is no limit)"
                    )
                };
                of(group("search time limit"), group("search entry limit"), group("search entry limit"))
            }
            Self::Other => {
                let raise = |what: &str| format!("raise the server's limit of {what} for {account}");
                of(raise("time"), raise("entries"), raise("entries looked at"))
            }
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
    /// Where its schema is shown.
    pub subschema: Option<String>,
    /// Which domain controller it is, for what is counted per controller.
    pub service: Option<String>,
    /// Its clock.
    pub time: Option<DateTime<Utc>>,
    /// The domain's own context (Active Directory).
    pub default_context: Option<String>,
    /// The context of its configuration (Active Directory).
    pub configuration: Option<String>,
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
            "defaultNamingContext",
            "configurationNamingContext",
            "subschemaSubentry",
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
        } else if ["OpenDJ", "ForgeRock", "PingDS"].iter().any(|name| vendor.iter().any(|text| text.contains(name))) {
            Kind::OpenDj
        } else if vendor.iter().any(|text| text.contains("eDirectory")) {
            Kind::EDirectory
        } else {
            Kind::Other
        };
        Self {
            kind,
            vendor: (!vendor.is_empty()).then(|| vendor.join(" ")),
            controls: list("supportedControl"),
            contexts: list("namingContexts"),
            subschema: entry.text("subschemaSubentry").map(str::to_owned),
            service: entry.text("dsServiceName").map(str::to_owned),
            time: entry.text("currentTime").and_then(time),
            default_context: entry.text("defaultNamingContext").map(str::to_owned),
            configuration: entry.text("configurationNamingContext").map(str::to_owned),
            highest_usn: entry.text("highestCommittedUSN").and_then(|text| text.parse().ok()),
        }
    }

    /// Whether it knows a control.
    #[must_use]
    pub fn knows(&self, control: &str) -> bool {
        self.controls.iter().any(|known| known == control)
    }

    /// The domain as DNS names it (Active Directory): `DC=ex,DC=test` is `ex.test`.
    #[must_use]
    pub fn dns_domain(&self) -> Option<String> {
        let context = self.default_context.as_deref().filter(|_| self.kind == Kind::ActiveDirectory)?;
        let label = |part: &str| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("dc").then(|| value.trim().to_owned())
        };
        let labels: Option<Vec<String>> = context.split(',').map(label).collect();
        labels.map(|labels| labels.join("."))
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

/// A GeneralizedTime (RFC 4517), as in `20260301120000.0Z`: to the second, with minutes and seconds or without, in UTC or
/// with its distance from it.
pub(crate) fn time(text: &str) -> Option<DateTime<Utc>> {
    let end = text.find(['Z', '+', '-'])?;
    let (digits, zone) = text.split_at_checked(end)?;
    let digits = digits.split(['.', ',']).next()?;
    let (hours, minutes) = match zone.split_at_checked(1)? {
        ("Z", "") => (0, 0),
        (sign, distance) if matches!(distance.len(), 2 | 4) => {
            let sign = if sign == "-" { -1 } else { 1 };
            let number = |text: Option<&str>| text.map_or(Some(0), |text| text.parse::<i64>().ok());
            (sign * number(distance.get(..2))?, sign * number(distance.get(2..).filter(|rest| !rest.is_empty()))?)
        }
        _ => return None,
    };
    let digits = format!("{digits:0<14}");
    let local = NaiveDateTime::parse_from_str(&digits, "%Y%m%d%H%M%S").ok()?;
    local.and_utc().checked_sub_signed(TimeDelta::try_hours(hours)? + TimeDelta::try_minutes(minutes)?)
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
        assert_eq!(kind(&[("vendorVersion", &["OpenDJ Server 4.5.2"])]), Kind::OpenDj);
        assert_eq!(kind(&[("vendorVersion", &["LDAP Agent for NetIQ eDirectory 9.2.4"])]), Kind::EDirectory);
        assert_eq!(kind(&[]), Kind::Other);
    }

    #[test]
    fn a_limit_is_answered_with_what_to_set_where_for_which_account() {
        for (kind, code, parts) in [
            (
                Kind::Ds389,
                11,
                &["uid=sync,dc=x", "nsLookThroughLimit", "nsslapd-pagedlookthroughlimit in cn=config"][..],
            ),
            (Kind::Ds389, 4, &["nsPagedSizeLimit", "nsslapd-pagedsizelimit in cn=config"]),
            (Kind::Ds389, 3, &["nsTimeLimit"]),
            (Kind::OpenLdap, 4, &["limits dn.exact=\"uid=sync,dc=x\" size.prtotal=unlimited", "olcLimits"]),
            (Kind::OpenLdap, 11, &["size.unchecked=unlimited", "index"]),
            (Kind::ActiveDirectory, 4, &["page_size", "MaxPageSize", "lDAPAdminLimits"]),
            (Kind::OpenDj, 11, &["ds-rlim-lookthrough-limit"]),
            (Kind::EDirectory, 4, &["LDAP Options"]),
            (Kind::Other, 3, &["uid=sync,dc=x"]),
        ] {
            let advice = kind.limit_advice("uid=sync,dc=x");
            let (_, text) = advice.iter().find(|(known, _)| *known == code).unwrap();
            assert!(parts.iter().all(|part| text.contains(part)), "{kind:?} {code}: {text}");
        }
    }

    #[test]
    fn a_name_is_in_the_nearest_context() {
        let root = RootDse::of(&entry(&[("namingContexts", &["dc=ex,dc=test", "OU=sub,DC=ex,DC=test"])]));
        let context = |text: &str| root.context_of(&text.parse().unwrap()).map(str::to_owned);
        assert_eq!(context("cn=a,ou=Sub,dc=ex,dc=test").as_deref(), Some("OU=sub,DC=ex,DC=test"));
        assert_eq!(context("cn=a,dc=ex,dc=test").as_deref(), Some("dc=ex,dc=test"));
        assert_eq!(context("dc=other"), None);
        assert_eq!(time("20260301120000.0Z").map(|t| t.timestamp()), Some(1_772_366_400));
        for (text, seconds) in [
            ("2026030112Z", Some(1_772_366_400)),
            ("202603011200Z", Some(1_772_366_400)),
            ("20260301140000+0200", Some(1_772_366_400)),
            ("20260301083000,5-0330", Some(1_772_366_400)),
            ("20260301", None),
            ("2026", None),
            ("", None),
            ("Z", None),
            ("20269901120000Z", None),
            ("20260301120000Zz", None),
            ("20260301120000+2", None),
        ] {
            assert_eq!(time(text).map(|time| time.timestamp()), seconds, "{text}");
        }
    }
}
