//! Signs a notification as a sender of Standard Webhooks does. The receiving side is the connector's.

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

/// The three headers of a signed body: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
pub fn headers(secret: &SecretString, id: &str, now: DateTime<Utc>, body: &[u8]) -> [(&'static str, String); 3] {
    let encoded = secret.expose_secret().strip_prefix("whsec_").unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64_STANDARD.decode(encoded).unwrap_or_default());
    let time = now.timestamp().to_string();
    let mut signed = hmac::Context::with_key(&key);
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        signed.update(part);
    }
    let signature = format!("v1,{}", BASE64_STANDARD.encode(signed.sign()));
    [("webhook-id", id.to_owned()), ("webhook-timestamp", time), ("webhook-signature", signature)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's reference libraries.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let now = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let signed = headers(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#);
        assert_eq!(signed[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
