//! How a sender shows that it is the source, and what of a delivery that covers. Everything that decides anything must be
//! covered: a signature covers the body alone, a token or a certificate the whole call.

use base64::{Engine, prelude::BASE64_STANDARD};
use rollcall_ingest::connector::{Found, Headers, Notification, Occasion, Rejection, SecretUse, Sender};

use crate::{
    KeygenKeys, SecretMark, Secrets, StripeSecrets, Tokens,
    signatures::{SIGNATURE_HEADERS, Scheme},
};

/// How a sender shows that it is the source.
#[derive(Debug)]
pub enum Authentication {
    /// It signs each body (Standard Webhooks). Whoever sees a delivery may send that body again under other headers.
    Signature(Secrets),
    /// It signs each body as Stripe does.
    Stripe(StripeSecrets),
    /// It signs each body as Keygen does.
    Keygen(KeygenKeys),
    /// It sends a token as `Authorization: Bearer`.
    Bearer(Tokens),
    /// It sends a user and a password as `Authorization: Basic`.
    Basic(Tokens),
    /// It shows a client certificate with one of these names.
    Certificate(Vec<String>),
    /// It shows nothing: whoever reaches the hook is believed.
    None,
}

/// The headers of a delivery came from whoever the body came from. Nothing reads a header that decides without it.
pub(crate) struct HeadersCovered(());

impl Authentication {
    /// The scheme by which it signs.
    fn scheme(&self) -> Option<&dyn Scheme> {
        match self {
            Self::Signature(secrets) => Some(secrets),
            Self::Stripe(secrets) => Some(secrets),
            Self::Keygen(keys) => Some(keys),
            Self::Bearer(_) | Self::Basic(_) | Self::Certificate(_) | Self::None => None,
        }
    }

    pub(crate) fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        if let Some(scheme) = self.scheme() {
            return scheme.verify(headers, body, occasion);
        }
        match (self, occasion) {
            (Self::Bearer(tokens), Occasion::Arrival { sender, .. }) => verify_token(tokens, sender, occasion),
            (Self::Basic(credentials), Occasion::Arrival { sender, .. }) => {
                verify_credentials(credentials, sender, occasion)
            }
            (Self::Certificate(names), Occasion::Arrival { now, sender }) => {
                let certificate = sender.certificate.ok_or(CERTIFICATE_MISSING)?;
                let shown = certificate.names(now).ok_or(CERTIFICATE_UNTRUSTED)?;
                let known = shown.iter().any(|shown| names.iter().any(|name| is_same_name(name, shown)));
                if known { Ok(()) } else { Err(CERTIFICATE_MISMATCH) }
            }
            (Self::Bearer(_) | Self::Basic(_) | Self::Certificate(_), Occasion::Replay(Found::Rejected)) => {
                Err(NOT_KEPT)
            }
            _ => Ok(()),
        }
    }

    /// Whether the headers of an authentic delivery can be believed. A kept signature says that the delivery arrived when
    /// nothing else was asked for, whatever the source is configured with now.
    pub(crate) fn covers_headers(&self, kept: &Headers) -> Option<HeadersCovered> {
        let signed = kept.iter().any(|(name, _)| SIGNATURE_HEADERS.contains(&name));
        // Where nothing is shown, headers are worth as much as the body.
        (self.scheme().is_none() && !signed).then_some(HeadersCovered(()))
    }

    /// What the signature says that a delivery is.
    pub(crate) fn notification(&self, kept: &Headers, body: &[u8]) -> Option<Notification> {
        self.scheme()?.notification(kept, body)
    }

    /// Whether what this header (lower case) says is needed to look at a delivery again.
    pub(crate) fn keeps(&self, header: &str) -> bool {
        self.scheme().is_some_and(|scheme| scheme.keeps(header))
    }

    /// The secrets that it sends as they are.
    fn tokens(&self) -> Option<&Tokens> {
        match self {
            Self::Bearer(tokens) | Self::Basic(tokens) => Some(tokens),
            _ => None,
        }
    }

    /// What no other source may have.
    #[must_use]
    pub fn marks(&self) -> Vec<SecretMark> {
        let sent = || self.tokens().map(|tokens| tokens.rotation().marks());
        self.scheme().map(Scheme::marks).or_else(sent).unwrap_or_default()
    }

    /// Each secret without its value, and when it was last used. A certificate is none.
    pub(crate) fn uses(&self) -> Vec<SecretUse> {
        let sent = || self.tokens().map(|tokens| tokens.rotation().uses());
        self.scheme().map(Scheme::uses).or_else(sent).unwrap_or_default()
    }

    /// Takes over when secrets that are here too were last used.
    pub(crate) fn recall(&self, uses: &[SecretUse]) {
        if let Some(scheme) = self.scheme() {
            scheme.recall(uses);
        }
        if let Some(tokens) = self.tokens() {
            tokens.rotation().recall(uses);
        }
    }
}

/// Whether a name in a certificate is a configured one. DNS names are alike in any case, and so are scheme and host of a URI.
fn is_same_name(known: &str, shown: &str) -> bool {
    let ((known, known_path), (shown, shown_path)) = (split_path(known), split_path(shown));
    known.eq_ignore_ascii_case(shown) && known_path == shown_path
}

/// A URI up to its host, and what follows; all of a DNS name.
fn split_path(name: &str) -> (&str, &str) {
    let end = match (name.split_once("://"), name.find(':')) {
        (Some((scheme, rest)), _) => scheme.len() + 3 + rest.find(['/', '?', '#']).unwrap_or(rest.len()),
        (None, Some(colon)) => colon,
        (None, None) => name.len(),
    };
    name.split_at_checked(end).unwrap_or((name, ""))
}

/// One `Authorization`, of the scheme Bearer, with a token of the source.
fn verify_token(tokens: &Tokens, sender: Sender<'_>, occasion: Occasion<'_>) -> Result<(), Rejection> {
    let token = authorization(sender, b"bearer ", TOKEN_MISSING, TOKEN_MALFORMED)?;
    if tokens.fits(token, occasion) { Ok(()) } else { Err(TOKEN_MISMATCH) }
}

/// One `Authorization`, of the scheme Basic, with a user of the source and its password (RFC 7617).
fn verify_credentials(credentials: &Tokens, sender: Sender<'_>, occasion: Occasion<'_>) -> Result<(), Rejection> {
    let offered = authorization(sender, b"basic ", CREDENTIALS_MISSING, CREDENTIALS_MALFORMED)?;
    let offered = BASE64_STANDARD.decode(offered).map_err(|_| CREDENTIALS_MALFORMED)?;
    if credentials.fits(&offered, occasion) { Ok(()) } else { Err(CREDENTIALS_MISMATCH) }
}

/// What stands behind the scheme in the one `Authorization` of a call.
fn authorization<'a>(
    sender: Sender<'a>,
    scheme: &[u8],
    missing: Rejection,
    malformed: Rejection,
) -> Result<&'a [u8], Rejection> {
    let mut all = sender.headers.get_all("authorization").iter();
    let offered = match (all.next(), all.next()) {
        (None, _) => return Err(missing),
        (Some(_), Some(_)) => return Err(malformed),
        (Some(one), None) => one.as_bytes(),
    };
    let (stated, rest) = offered.split_at_checked(scheme.len()).ok_or(malformed)?;
    if stated.eq_ignore_ascii_case(scheme) { Ok(rest) } else { Err(malformed) }
}

const TOKEN_MISSING: Rejection =
    Rejection { reason: "token-missing", hint: "send the source's token as `Authorization: Bearer ..`" };
const TOKEN_MALFORMED: Rejection = Rejection {
    reason: "token-malformed",
    hint: "send one `Authorization`, and in it `Bearer`, a space and the token",
};
const TOKEN_MISMATCH: Rejection = Rejection { reason: "token-mismatch", hint: "the token is none of the source's" };
const CREDENTIALS_MISSING: Rejection = Rejection {
    reason: "credentials-missing",
    hint: "send the source's user and password as `Authorization: Basic ..`, the base64 of `user:password`",
};
const CREDENTIALS_MALFORMED: Rejection = Rejection {
    reason: "credentials-malformed",
    hint: "send one `Authorization`, and in it `Basic`, a space and the base64 of `user:password`",
};
const CREDENTIALS_MISMATCH: Rejection =
    Rejection { reason: "credentials-mismatch", hint: "user and password are none of the source's" };
const CERTIFICATE_MISSING: Rejection = Rejection {
    reason: "certificate-missing",
    hint: "show the source's client certificate when connecting; a proxy in between ends TLS and cannot pass it on",
};
const CERTIFICATE_UNTRUSTED: Rejection = Rejection {
    reason: "certificate-untrusted",
    hint: "the client certificate is not in force, not made for clients, or of no authority in `server.tls.client_ca_file`",
};
const CERTIFICATE_MISMATCH: Rejection = Rejection {
    reason: "certificate-mismatch",
    hint: "no DNS name or URI in the client certificate is one of the source's `client_names`",
};
const NOT_KEPT: Rejection = Rejection {
    reason: "not-kept",
    hint: "it was rejected when it arrived, and what it showed of its sender is not kept: have it sent again",
};
