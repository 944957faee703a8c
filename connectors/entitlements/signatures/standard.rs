//! Standard Webhooks 1.0: who may have sent these bytes, and when. Looks at the raw body only. Its first senders call the
//! headers `svix-*`; what is signed is the same.

use base64::{Engine, prelude::BASE64_STANDARD};
use rollcall_ingest::connector::{Headers, Notification, Occasion, Rejection, SecretUse};

use super::{
    MAX_SIGNATURES, Scheme, Secrets, header, instant, is_fresh, seconds,
    secrets::{Offered, Signed},
};
use crate::SecretMark;

/// What the three headers are called.
pub(super) struct Names {
    pub id: &'static str,
    pub timestamp: &'static str,
    pub signature: &'static str,
}

pub(super) const WEBHOOK: Names =
    Names { id: "webhook-id", timestamp: "webhook-timestamp", signature: "webhook-signature" };
pub(super) const SVIX: Names = Names { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" };

impl Names {
    /// As a delivery calls them: a mixture is none.
    fn of(headers: &Headers) -> &'static Self {
        let has = |names: &Self| headers.iter().any(|(name, _)| names.has(name));
        if !has(&WEBHOOK) && has(&SVIX) { &SVIX } else { &WEBHOOK }
    }

    fn has(&self, header: &str) -> bool {
        [self.id, self.timestamp, self.signature].contains(&header)
    }
}

impl Scheme for Secrets {
    fn keeps(&self, header: &str) -> bool {
        WEBHOOK.has(header) || SVIX.has(header)
    }

    fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        let names = Names::of(headers);
        let id = header(headers, names.id, ID_MISSING, ID_MALFORMED)?;
        if id.contains('.') || id.len() > 256 {
            return Err(ID_MALFORMED);
        }
        let timestamp = header(headers, names.timestamp, TIMESTAMP_MISSING, TIMESTAMP_MALFORMED)?;
        let signed_at = seconds(timestamp).ok_or(TIMESTAMP_MALFORMED)?;
        let signatures = header(headers, names.signature, SIGNATURE_MISSING, SIGNATURE_REPEATED)?;
        if !is_fresh(signed_at, occasion) {
            return Err(TIMESTAMP_STALE);
        }
        // Other versions are other schemes' and no reason to refuse.
        let offered = signatures.split(' ').filter_map(|one| {
            let (version, base64) = one.split_once(',')?;
            let bytes = || BASE64_STANDARD.decode(base64).ok();
            match version {
                "v1" => bytes().map(Offered::Hmac),
                "v1a" => bytes().map(Offered::Ed25519),
                _ => None,
            }
        });
        let offered: Vec<Offered> = offered.take(MAX_SIGNATURES).collect();
        if self.fit(&Signed { id, timestamp, body }, &offered, occasion) { Ok(()) } else { Err(SIGNATURE_MISMATCH) }
    }

    /// What a signed delivery says it is. Its signature was looked at before it was kept.
    fn notification(&self, headers: &Headers, _: &[u8]) -> Option<Notification> {
        let names = Names::of(headers);
        let only = |name| headers.one(name).ok().flatten();
        let signed_at = instant(only(names.timestamp)?.parse().ok()?)?;
        Some(Notification { id: only(names.id)?.to_owned(), signed_at })
    }

    fn marks(&self) -> Vec<SecretMark> {
        Self::marks(self)
    }

    fn uses(&self) -> Vec<SecretUse> {
        self.rotation().uses()
    }

    fn recall(&self, uses: &[SecretUse]) {
        self.rotation().recall(uses);
    }
}

const ID_MISSING: Rejection = Rejection { reason: "id-missing", hint: "send the header `webhook-id`" };
const ID_MALFORMED: Rejection =
    Rejection { reason: "id-malformed", hint: "send one `webhook-id` of at most 256 characters, without `.`" };
const TIMESTAMP_MISSING: Rejection = Rejection {
    reason: "timestamp-missing",
    hint: "send the header `webhook-timestamp`: seconds since 1970-01-01T00:00:00Z",
};
const TIMESTAMP_MALFORMED: Rejection = Rejection {
    reason: "timestamp-malformed",
    hint: "send one `webhook-timestamp`: seconds since 1970-01-01T00:00:00Z, digits only",
};
const TIMESTAMP_STALE: Rejection = Rejection {
    reason: "timestamp-stale",
    hint: "`webhook-timestamp` is more than 300 s away from the time here: check the clock, and sign anew when sending again",
};
const SIGNATURE_MISSING: Rejection = Rejection {
    reason: "signature-missing",
    hint: "send the header `webhook-signature`: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`",
};
const SIGNATURE_REPEATED: Rejection = Rejection {
    reason: "signature-repeated",
    hint: "send `webhook-signature` once; several signatures stand in it with a space between them",
};
const SIGNATURE_MISMATCH: Rejection = Rejection {
    reason: "signature-mismatch",
    hint: "no signature fits: sign `id.timestamp.body`, the body as raw bytes, with the source's secret decoded from base64",
};
