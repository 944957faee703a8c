//! How a server proves who it is: the system's roots, one's own authority, or one pinned certificate; and how we do, by
//! a client certificate. Makes the configuration; the handshake is the connection's.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};

/// What is trusted and what we show, as PEM.
#[derive(Clone, Default)]
pub struct Trust {
    /// The authorities that sign the directory's certificate; the system's when absent.
    pub ca: Option<String>,
    /// SHA-256 fingerprints of the server certificates that are trusted, whoever signed them. Where there are any,
    /// nothing else is.
    pub pins: Vec<[u8; 32]>,
    /// Our certificate with its chain, and its key.
    pub client: Option<(String, String)>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("pins", &self.pins.len()).field("client", &self.client.is_some()).finish()
    }
}

/// Reads a fingerprint as OpenSSL prints it: 64 hexadecimal digits, colons allowed, `sha256:` or `SHA256=` in front.
#[must_use]
pub fn pin(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let start = text
        .find([':', '='])
        .filter(|at| text.get(..*at).is_some_and(|word| word.to_ascii_lowercase().contains("sha256")));
    let digits: Vec<u32> = text
        .get(start.map_or(0, |at| at + 1)..)?
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair.first()? << 4 | pair.get(1)?).ok()).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// The fingerprint of a certificate.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> String {
    let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, certificate);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything that a handshake takes.
#[derive(Clone)]
pub struct Handshake {
    pub config: Arc<ClientConfig>,
    pub ours: Arc<ClientIdentity>,
}

/// Our certificate, where there is one, and whether a server ever asked for it: some that miss it just go.
#[derive(Debug)]
pub struct ClientIdentity {
    key: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl ResolvesClientCert for ClientIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

impl Trust {
    /// What a handshake takes.
    ///
    /// # Errors
    /// What cannot be read, for the operator.
    pub fn handshake(&self) -> Result<Handshake, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if self.pins.is_empty() {
            builder.with_root_certificates(self.roots()?)
        } else {
            let verifier = Pinned { pins: self.pins.clone(), provider: Arc::clone(&provider) };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        };
        let key = match &self.client {
            None => None,
            Some((certificate, key)) => {
                let chain = certificates(certificate).map_err(|what| format!("the client certificate: {what}"))?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|error| format!("the client key is not a private key in PEM: {error}"))?;
                let certified = CertifiedKey::from_der(chain, key, &provider)
                    .map_err(|error| format!("the client certificate and its key do not fit: {error}"))?;
                Some(Arc::new(certified))
            }
        };
        let ours = Arc::new(ClientIdentity { key, asked: AtomicBool::new(false) });
        let config = builder.with_client_cert_resolver(Arc::clone(&ours) as _);
        Ok(Handshake { config: Arc::new(config), ours })
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(pem) => {
                for certificate in certificates(pem).map_err(|what| format!("the authority's file: {what}"))? {
                    roots.add(certificate).map_err(|error| format!("the authority's file: {error}"))?;
                }
            }
            None => {
                // One broken certificate of the system is not a reason to trust none of the others.
                let found = rustls_native_certs::load_native_certs();
                let (good, _) = roots.add_parsable_certificates(found.certs);
                if good == 0 {
                    return Err(
                        "this system has no root certificates; name the directory's authority in `ca_file`".into()
                    );
                }
            }
        }
        Ok(roots)
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(list) if list.is_empty() => Err("there is no certificate in it (PEM)".into()),
        Ok(list) => Ok(list),
        Err(error) => Err(format!("not a certificate in PEM: {error}")),
    }
}

/// Trusts these certificates and no others. The server still has to prove that it has the key.
#[derive(Debug)]
struct Pinned {
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, certificate);
        if self.pins.iter().any(|pin| pin == digest.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        let shown = fingerprint(certificate);
        Err(rustls::Error::General(format!("the server shows the certificate sha256:{shown}, which is not pinned")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientIdentity {
    /// What a server has against our certificate, or that we have none, where a connection that broke says that: by an
    /// alert, or by silence before its first answer (`early`; with TLS 1.3 it judges when the handshake is over for us).
    pub(crate) fn refusal(&self, error: &std::io::Error, early: bool) -> Option<String> {
        use rustls::{AlertDescription as A, Error as E};
        let about_it = match error.get_ref().and_then(|inner| inner.downcast_ref::<E>()) {
            Some(E::AlertReceived(alert)) => matches!(
                alert,
                A::CertificateRequired
                    | A::BadCertificate
                    | A::UnsupportedCertificate
                    | A::CertificateRevoked
                    | A::CertificateExpired
                    | A::CertificateUnknown
                    | A::UnknownCA
                    | A::AccessDenied
            ),
            _ => early,
        };
        (about_it && self.asked.load(Ordering::Relaxed)).then(|| {
            if self.key.is_some() {
                format!(
                    "the server asked for a client certificate and does not take ours ({error}): it must be signed by an \
                     authority that the server trusts, be in force, and be made for clients; see \
                     `client_certificate_file`"
                )
            } else {
                format!(
                    "the server asked for a client certificate and ended the connection without one ({error}): write \
                     `client_certificate_file` and `client_key_file`"
                )
            }
        })
    }
}

/// What a failed handshake means, with what to do where that is not plain.
pub(crate) fn explain(error: &std::io::Error) -> String {
    use rustls::{CertificateError as C, Error as E};
    let hint = match error.get_ref().and_then(|inner| inner.downcast_ref::<E>()) {
        Some(E::InvalidCertificate(C::UnknownIssuer | C::BadSignature)) => {
            "; its authority is not among the trusted: name it in `ca_file`, or pin the certificate"
        }
        Some(E::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. })) => {
            "; it is made out to another name: use that one in `url`"
        }
        Some(E::InvalidCertificate(C::Expired | C::ExpiredContext { .. })) => {
            "; it has expired: renew it on the directory"
        }
        // webpki has no variant of its own for it
        Some(E::InvalidCertificate(C::Other(other))) if other.to_string().contains("CaUsedAsEndEntity") => {
            "; it is signed by itself and marked as an authority (CA:TRUE): pin its fingerprint, or make one that is not"
        }
        _ => "",
    };
    format!("TLS failed: {error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_printed() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [
            plain.clone(),
            colons.clone(),
            format!("sha256:{plain}"),
            format!("sha256 Fingerprint={colons}"),
            format!("SHA256:{colons}"),
        ] {
            assert_eq!(pin(&text), Some([0xab; 32]), "{text}");
        }
        for text in
            ["", "sha256:", &plain[..62], &format!("{plain}00"), &format!("sha1:{}", &plain[..40]), &"zz".repeat(32)]
        {
            assert_eq!(pin(text), None, "{text}");
        }
    }
}
