//! LDAP on the wire: BER, messages, names, filters, controls, connections, searches. Knows no people, no groups and no
//! configuration.

pub mod ber;
pub mod connection;
pub mod dirsync;
pub mod dn;
pub mod fault;
pub mod filter;
pub mod message;
pub mod search;
pub mod syncrepl;
pub mod tls;
