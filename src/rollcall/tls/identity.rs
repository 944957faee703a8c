//! What a handshake takes, read from PEM: the certificate with its chain, the key that belongs to it, and the authorities
//! whose client certificates count. Pure.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

/// Which file is wrong, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError {
    /// Which.
    pub of: TlsFile,
    /// What, for the operator.
    pub what: String,
}

/// A file of `server.tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificate and its chain.
    Certificate,
    /// Its key.
    Key,
    /// The authorities of client certificates.
    ClientAuthorities,
}

impl TlsFile {
    /// The key of the configuration that names it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Certificate => "server.tls.cert_file",
            Self::Key => "server.tls.key_file",
            Self::ClientAuthorities => "server.tls.client_ca_file",
        }
    }

    fn wrong(self, what: impl Into<String>) -> TlsError {
        TlsError { of: self, what: what.into() }
    }
}

/// A certificate and its key, ready for handshakes.
pub struct Identity {
    /// What a handshake takes.
    pub config: Arc<ServerConfig>,
    /// Whom the certificate is made out to.
    pub names: Vec<String>,
    /// When it ends.
    pub ends: DateTime<Utc>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Identity {
    /// Reads it from PEM.
    ///
    /// # Errors
    /// Which file is wrong.
    pub fn read(certificate: &str, key: &str, client_authorities: Option<&str>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates(certificate, TlsFile::Certificate)?;
        let own = chain.first().and_then(|own| parse_x509_certificate(own).ok());
        let (_, own) = own.ok_or_else(|| TlsFile::Certificate.wrong("the first certificate in it cannot be read"))?;
        let ends =
            DateTime::from_timestamp(own.validity().not_after.timestamp(), 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let names = names(&own);
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| TlsFile::Key.wrong("there is no private key in it (PEM, without a passphrase)"))?;
        let pair = CertifiedKey::from_der(chain.clone(), key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsFile::Key.wrong("the key does not belong to the certificate in `server.tls.cert_file`")
            }
            other => TlsFile::Key.wrong(format!("it cannot be used: {other}")),
        })?;
        let clients = client_authorities.map(client_verifier).transpose()?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsFile::Certificate.wrong(error.to_string()))?;
        let builder = match &clients {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(Asked(Arc::clone(verifier)))),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), names, ends, clients })
    }

    /// The names in a client's certificate, if one of our authorities signed it for clients and it is in force.
    pub fn client_names(&self, chain: &[CertificateDer<'_>], now: DateTime<Utc>) -> Option<Vec<String>> {
        let (own, rest) = chain.split_first()?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.timestamp().try_into().ok()?));
        self.clients.as_ref()?.verify_client_cert(own, rest, now).ok()?;
        let (_, own) = parse_x509_certificate(own).ok()?;
        Some(names(&own))
    }
}

/// The DNS names and URIs that a certificate is made out to.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn certificates(pem: &str, of: TlsFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(list) if list.is_empty() => Err(of.wrong("there is no certificate in it (PEM)")),
        Ok(list) => Ok(list),
        Err(error) => Err(of.wrong(format!("it holds no certificate in PEM: {error}"))),
    }
}

fn client_verifier(pem: &str) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let of = TlsFile::ClientAuthorities;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, of)? {
        roots.add(certificate).map_err(|error| of.wrong(format!("it holds what is no authority: {error}")))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    built.map_err(|error| of.wrong(error.to_string()))
}

/// Asks for a certificate and takes any, or none: a browser or a registry's client shows what it has, and only a source that
/// is known by its certificate has it looked at, by [`Identity::client_names`]. That the client has the key is proved here.
#[derive(Debug)]
struct Asked(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Asked {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    fn pair(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn wrong(certificate: &str, key: &str, authorities: Option<&str>) -> (&'static str, String) {
        let error = Identity::read(certificate, key, authorities).err().unwrap();
        (error.of.key(), error.what)
    }

    #[test]
    fn a_pair_is_taken_only_if_it_fits_and_says_its_names_and_its_end() {
        let ((certificate, key), (_, other_key)) = (pair("registry.test"), pair("other.test"));
        let identity = Identity::read(&certificate, &key, None).unwrap();
        assert_eq!((identity.names, identity.config.alpn_protocols.len()), (vec!["registry.test".to_owned()], 1));
        assert!(identity.ends.timestamp() > 1_800_000_000);
        let (of, what) = wrong(&certificate, &other_key, None);
        assert!(of == "server.tls.key_file" && what.contains("does not belong"), "{what}");
        assert_eq!(wrong("", &key, None).0, "server.tls.cert_file");
        assert_eq!(wrong(&key, &key, None).0, "server.tls.cert_file");
        assert_eq!(wrong(&certificate, &certificate, None).0, "server.tls.key_file");
        assert_eq!(wrong(&certificate, &key, Some("")).0, "server.tls.client_ca_file");
    }

    #[test]
    fn a_client_has_names_only_by_an_authority_of_ours_and_while_it_is_in_force() {
        let (certificate, key) = pair("registry.test");
        let authority = || {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let (ours, theirs) = (authority(), authority());
        let identity = Identity::read(&certificate, &key, Some(&ours.pem())).unwrap();
        let client = |issuer: &CertifiedIssuer<'_, KeyPair>| {
            let params = CertificateParams::new(["licensing.test".to_owned()]).unwrap();
            params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
        };
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let good = [client(&ours)];
        assert_eq!(identity.client_names(&good, at(1_800_000_000)), Some(vec!["licensing.test".to_owned()]));
        assert_eq!(identity.client_names(&[client(&theirs)], at(1_800_000_000)), None);
        assert_eq!(identity.client_names(&good, at(100_000_000_000)), None, "it has ended by then");
        assert_eq!(identity.client_names(&[], at(1_800_000_000)), None);
    }
}
