//! What a source can state: a fact, and which facts something is about.

use rollcall_events::{Body, Id, body::group_member_subject_prefix};

use crate::connector::PersonalData;

/// A fact as the source states it, personal data apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The fact; one that a connector may say, and not the end of one.
    pub body: Body,
    /// E-mail and display name of a person. None leaves what is kept as it is.
    pub personal: Option<PersonalData>,
}

impl From<Body> for Fact {
    fn from(body: Body) -> Self {
        Self { body, personal: None }
    }
}

/// Which facts something is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactSelector {
    /// One subject, as [`Body::subject`] writes it.
    Subject(String),
    /// Every member of a group.
    MembersOf(Id),
}

impl FactSelector {
    /// What the subjects of a group's members begin with, where it is about those.
    pub(crate) fn members(&self) -> Option<String> {
        match self {
            Self::Subject(_) => None,
            Self::MembersOf(group) => Some(group_member_subject_prefix(group)),
        }
    }
}

impl std::fmt::Display for FactSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subject(subject) => f.write_str(subject),
            Self::MembersOf(group) => write!(f, "the members of group/{group}"),
        }
    }
}
