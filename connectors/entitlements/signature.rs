//! Standard Webhooks 1.0: who may have sent these bytes, and when. Looks at the raw body only.

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::DateTime;
use rollcall_ingest::connector::{Headers, Notification, Occasion, Rejection};

use crate::Secrets;

pub(crate) const ID: &str = "webhook-id";
pub(crate) const TIMESTAMP: &str = "webhook-timestamp";
pub(crate) const SIGNATURE: &str = "webhook-signature";

/// How far the signed time may be from ours, in seconds, either way.
const MAX_CLOCK_DIFFERENCE: i64 = 300;
/// How many signatures of one delivery are looked at: enough for every rotation, few enough to be cheap.
const MAX_SIGNATURES: usize = 16;

pub(crate) fn verify(
    secrets: &Secrets,
    headers: &Headers,
    body: &[u8],
    occasion: Occasion<'_>,
) -> Result<(), Rejection> {
    let id = header(headers, ID, ID_MISSING, ID_MALFORMED)?;
    if id.contains('.') || id.len() > 256 {
        return Err(ID_MALFORMED);
    }
    let timestamp = header(headers, TIMESTAMP, TIMESTAMP_MISSING, TIMESTAMP_MALFORMED)?;
    // Digits only: what is signed is the text, and `+5` or ` 5` would be other texts for the same instant.
    let digits = timestamp.len() <= 12 && timestamp.bytes().all(|b| b.is_ascii_digit());
    let signed_at: i64 =
        if digits { timestamp.parse().map_err(|_| TIMESTAMP_MALFORMED)? } else { return Err(TIMESTAMP_MALFORMED) };
    let signatures = header(headers, SIGNATURE, SIGNATURE_MISSING, SIGNATURE_REPEATED)?;
    if let Occasion::Arrival { now, .. } = occasion
        && now.timestamp().abs_diff(signed_at) > MAX_CLOCK_DIFFERENCE.unsigned_abs()
    {
        return Err(TIMESTAMP_STALE);
    }
    // Other versions are other schemes' and no reason to refuse.
    let offered = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,")).take(MAX_SIGNATURES);
    let offered: Vec<Vec<u8>> = offered.filter_map(|base64| BASE64_STANDARD.decode(base64).ok()).collect();
    if secrets.fits(id, timestamp, body, &offered, occasion) { Ok(()) } else { Err(SIGNATURE_MISMATCH) }
}

/// What a signed delivery says it is. Its signature was looked at before it was kept.
pub(crate) fn notification(headers: &Headers) -> Option<Notification> {
    let only = |name| headers.one(name).ok().flatten();
    let signed_at = DateTime::from_timestamp(only(TIMESTAMP)?.parse().ok()?, 0)?;
    Some(Notification { id: only(ID)?.to_owned(), signed_at })
}

/// A header that must be there once and not be empty.
fn header<'a>(headers: &'a Headers, name: &str, missing: Rejection, bad: Rejection) -> Result<&'a str, Rejection> {
    let value = headers.one(name).map_err(|_| bad)?;
    value.filter(|value| !value.is_empty()).ok_or(missing)
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
