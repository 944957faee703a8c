//! How a sender shows that it is the source, and what of a delivery that covers. Everything that decides anything must be
//! covered: a signature covers the body alone, a token or a certificate the whole call.

use rollcall_ingest::connector::{Found, Headers, Occasion, Rejection, SecretUse, Sender};

use crate::{SecretMark, Secrets, Tokens, signature};

/// How a sender shows that it is the source.
#[derive(Debug)]
pub enum Authentication {
    /// It signs each body (Standard Webhooks). Whoever sees a delivery may send that body again under other headers.
    Signature(Secrets),
    /// It sends a token as `Authorization: Bearer`.
    Bearer(Tokens),
    /// It shows a client certificate with one of these names.
    Certificate(Vec<String>),
}

/// The headers of a delivery came from whoever the body came from. Nothing reads a header that decides without it.
pub(crate) struct HeadersCovered(());

impl Authentication {
    pub(crate) fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        match (self, occasion) {
            (Self::Signature(secrets), _) => signature::verify(secrets, headers, body, occasion),
            (Self::Bearer(tokens), Occasion::Arrival { sender, .. }) => verify_token(tokens, sender, occasion),
            (Self::Certificate(names), Occasion::Arrival { now, sender }) => {
                let certificate = sender.certificate.ok_or(CERTIFICATE_MISSING)?;
                let shown = certificate.names(now).ok_or(CERTIFICATE_UNTRUSTED)?;
                let known = shown.iter().any(|shown| names.iter().any(|name| is_same_name(name, shown)));
                if known { Ok(()) } else { Err(CERTIFICATE_MISMATCH) }
            }
            (Self::Bearer(_) | Self::Certificate(_), Occasion::Replay(Found::Authentic)) => Ok(()),
            (Self::Bearer(_) | Self::Certificate(_), Occasion::Replay(Found::Rejected)) => Err(NOT_KEPT),
        }
    }

    /// Whether the headers of an authentic delivery can be believed. A kept signature says that the delivery arrived when
    /// nothing else was asked for, whatever the source is configured with now.
    pub(crate) fn covers_headers(&self, kept: &Headers) -> Option<HeadersCovered> {
        let signed = kept.iter().any(|(name, _)| name == signature::SIGNATURE);
        match self {
            Self::Signature(_) => None,
            Self::Bearer(_) | Self::Certificate(_) => (!signed).then_some(HeadersCovered(())),
        }
    }

    /// Whether what this header (lower case) says is needed to look at a delivery again.
    pub(crate) fn keeps(&self, header: &str) -> bool {
        let signature = [signature::ID, signature::TIMESTAMP, signature::SIGNATURE].contains(&header);
        signature && matches!(self, Self::Signature(_))
    }

    /// What no other source may have.
    #[must_use]
    pub fn marks(&self) -> Vec<SecretMark> {
        match self {
            Self::Signature(secrets) => secrets.marks(),
            Self::Bearer(tokens) => tokens.rotation().marks(),
            Self::Certificate(_) => Vec::new(),
        }
    }

    /// Each secret without its value, and when it was last used. A certificate is none.
    pub(crate) fn uses(&self) -> Vec<SecretUse> {
        match self {
            Self::Signature(secrets) => secrets.rotation().uses(),
            Self::Bearer(tokens) => tokens.rotation().uses(),
            Self::Certificate(_) => Vec::new(),
        }
    }

    /// Takes over when secrets that are here too were last used.
    pub(crate) fn recall(&self, uses: &[SecretUse]) {
        match self {
            Self::Signature(secrets) => secrets.rotation().recall(uses),
            Self::Bearer(tokens) => tokens.rotation().recall(uses),
            Self::Certificate(_) => {}
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
    let mut all = sender.headers.get_all("authorization").iter();
    let offered = match (all.next(), all.next()) {
        (None, _) => return Err(TOKEN_MISSING),
        (Some(_), Some(_)) => return Err(TOKEN_MALFORMED),
        (Some(one), None) => one.as_bytes(),
    };
    let (scheme, token) = offered.split_at_checked(7).ok_or(TOKEN_MALFORMED)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(TOKEN_MALFORMED);
    }
    if tokens.fits(token, occasion) { Ok(()) } else { Err(TOKEN_MISMATCH) }
}

const TOKEN_MISSING: Rejection =
    Rejection { reason: "token-missing", hint: "send the source's token as `Authorization: Bearer ..`" };
const TOKEN_MALFORMED: Rejection = Rejection {
    reason: "token-malformed",
    hint: "send one `Authorization`, and in it `Bearer`, a space and the token",
};
const TOKEN_MISMATCH: Rejection = Rejection { reason: "token-mismatch", hint: "the token is none of the source's" };
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
