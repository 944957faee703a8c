//! The kinds of source that can be configured.

pub mod ldap;
