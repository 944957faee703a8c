//! TLS of our own: a certificate with its key and the authorities of client certificates, read from PEM, checked to fit, and
//! taken anew while the server runs. Knows files and handshakes; which source wants which certificate is the hook's.

mod identity;
mod live;

pub use self::{
    identity::{Identity, TlsError},
    live::{ShownCertificate, Tls, TlsPaths, watch},
};
