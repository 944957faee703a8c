//! Which fact ends which: what a source says when what it stated is no more.
//! Knows the vocabulary only; whether something ended is found by whoever compares.

use super::{AccountRef, Body, EntitlementRef, GroupRef, LineRef, PackageRef, PersonRef, ProductRef, part};
use crate::Id;

/// What the subject of every member of a group begins with.
#[must_use]
pub fn group_member_subject_prefix(group: &Id) -> String {
    format!("member/{}/", part(group))
}

impl Body {
    /// The name of a type as this vocabulary has it; None for a type that does not exist.
    #[must_use]
    pub fn known_type(kind: &str) -> Option<&'static str> {
        Self::TYPES.iter().copied().find(|known| *known == kind)
    }

    /// The fact with which a source takes this one back: same subject, nothing left of it. None for what is itself such
    /// an end, and for what no source says.
    #[must_use]
    pub fn removal(&self) -> Option<Self> {
        Some(match self {
            Self::AccountUpserted(data) => Self::AccountRemoved(AccountRef { account: data.account.clone() }),
            Self::PersonUpserted(data) => Self::PersonRemoved(PersonRef { person: data.person.clone() }),
            Self::PermissionGranted(data) => Self::PermissionRevoked(data.clone()),
            Self::ProductUpserted(data) => Self::ProductRemoved(ProductRef { product: data.product.clone() }),
            Self::PackageUpserted(data) => Self::PackageRemoved(PackageRef { package: data.package.clone() }),
            Self::PackageProductMapped(data) => Self::PackageProductUnmapped(data.clone()),
            Self::EntitlementUpserted(data) => {
                Self::EntitlementRemoved(EntitlementRef { entitlement: data.entitlement.clone() })
            }
            Self::LineUpserted(data) => Self::LineRemoved(LineRef { line: data.line.clone() }),
            Self::PersonAssigned(data) => Self::PersonUnassigned(data.clone()),
            Self::GroupUpserted(data) => {
                Self::GroupRemoved(GroupRef { group: data.group.clone(), author: None, made_with: None })
            }
            Self::GroupMemberAdded(data) => Self::GroupMemberRemoved(data.clone()),
            _ => return None,
        })
    }

    /// Whether this ends what its source stated of the subject.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        matches!(
            self,
            Self::AccountRemoved(_)
                | Self::PersonRemoved(_)
                | Self::PermissionRevoked(_)
                | Self::ProductRemoved(_)
                | Self::PackageRemoved(_)
                | Self::PackageProductUnmapped(_)
                | Self::EntitlementRemoved(_)
                | Self::LineRemoved(_)
                | Self::PersonUnassigned(_)
                | Self::GroupRemoved(_)
                | Self::GroupMemberRemoved(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Emitter;
    use super::*;

    const STATED: [(&str, &str); 11] = [
        ("account.upserted", r#"{"account":"a","kind":"customer"}"#),
        ("person.upserted", r#"{"person":"a","account":null,"active":true}"#),
        ("permission.granted", r#"{"person":"a","permission":"view_and_manage_download_packages"}"#),
        ("product.upserted", r#"{"product":"a"}"#),
        ("package.upserted", r#"{"package":"a","producer":"b","container_delivery":true}"#),
        ("package.product.mapped", r#"{"package":"a","product":"b"}"#),
        ("entitlement.upserted", r#"{"entitlement":"a","account":"b","state":"active"}"#),
        ("entitlement.line.upserted", r#"{"line":"a","entitlement":"b","product":"c","starts":null,"ends":null}"#),
        ("entitlement.person.assigned", r#"{"entitlement":"a","person":"b"}"#),
        ("group.upserted", r#"{"group":"a"}"#),
        ("group.member.added", r#"{"group":"a","member":{"person":"b"}}"#),
    ];

    #[test]
    fn the_members_of_a_group_are_found_by_what_their_subjects_begin_with() {
        let member = |group: &str| format!(r#"{{"group":"{group}","member":{{"person":"p"}}}}"#);
        let subject = |group: &str| Body::parse("rollcall.group.member.added.v1", &member(group)).unwrap().subject();
        assert!(subject("a/b").starts_with(&group_member_subject_prefix(&"a/b".parse().unwrap())));
        assert!(!subject("a/b").starts_with(&group_member_subject_prefix(&"a".parse().unwrap())));
    }

    #[test]
    fn every_event_of_ingest_is_about_a_run() {
        let of_ingest = |kind: &&&str| Body::emitter_of(kind) == Some(Emitter::Ingest);
        for kind in Body::TYPES.iter().filter(of_ingest) {
            assert!(Body::parse(kind, r#"{"run":"r"}"#).unwrap().run().is_some(), "{kind}");
        }
    }

    #[test]
    fn every_fact_of_a_source_has_an_end_about_the_same_subject() {
        let mut said = Vec::new();
        for (name, data) in STATED {
            let stated = Body::parse(&format!("rollcall.{name}.v1"), data).unwrap();
            let end = stated.removal().unwrap();
            assert_eq!(stated.subject(), end.subject());
            assert!(!stated.is_removal() && end.is_removal() && end.removal().is_none(), "{name}");
            assert!(end.emitter().is_for_connectors());
            said.extend([stated.kind(), end.kind()]);
        }
        let of_connectors =
            Body::TYPES.iter().filter(|kind| Body::emitter_of(kind).is_some_and(Emitter::is_for_connectors));
        assert_eq!(of_connectors.copied().collect::<Vec<_>>(), said);
    }
}
