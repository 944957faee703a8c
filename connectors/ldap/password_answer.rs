//! What the answer to a bind with somebody's password says of the account. Every server says it in its own way: by the
//! control of draft-behera-ldap-password-policy, by an older one of Netscape's, by a number in its diagnostic text, or not at
//! all. Pure.

use crate::wire::{
    ber::{Reader, SEQUENCE},
    message::{Control, Outcome},
};

/// The control of draft-behera-ldap-password-policy.
const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";
/// Netscape's control for a password that is over (389 Directory Server).
const PASSWORD_EXPIRED: &str = "2.16.840.1.113730.3.4.4";

/// What a directory says of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAnswer {
    /// It is this account's, and the account may be used.
    Good,
    /// It signs nobody in, and why.
    Refused(PasswordRefusal),
}

/// Why a directory lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordRefusal {
    /// The password is wrong, or the directory says no more.
    Wrong,
    /// The account is locked, after too many wrong passwords mostly.
    Locked,
    /// The account may not be used at this hour or from here.
    NotNow,
    /// The account is disabled.
    Disabled,
    /// The account is over.
    AccountExpired,
    /// The password is right, and too old.
    PasswordExpired,
    /// The password is right, and has to be changed first.
    MustChange,
}

/// Asks a server that knows it for the control that says more than a code. Others ignore it.
pub fn request() -> Control {
    Control { oid: PASSWORD_POLICY.to_owned(), critical: false, value: None }
}

/// What an answer says; nothing where it is none: busy, a limit, TLS that is missing.
pub fn answer(outcome: &Outcome, controls: &[Control]) -> Option<PasswordAnswer> {
    let (grace, policy) = policy(controls);
    let expired = controls.iter().any(|control| control.oid == PASSWORD_EXPIRED);
    Some(match (outcome.code, policy) {
        // Bound, and nothing is allowed but to change the password.
        (0, Some(2)) => PasswordAnswer::Refused(PasswordRefusal::MustChange),
        (0, _) if expired && !grace => PasswordAnswer::Refused(PasswordRefusal::MustChange),
        (0, _) => PasswordAnswer::Good,
        // authMethodNotSupported, constraintViolation (a lock), noSuchObject, invalidDNSyntax, inappropriateAuthentication,
        // invalidCredentials, insufficientAccessRights, unwillingToPerform: it is about whose password it is.
        (7 | 19 | 32 | 34 | 48 | 49 | 50 | 53, policy) => PasswordAnswer::Refused(match policy {
            Some(0) => PasswordRefusal::PasswordExpired,
            // 389 Directory Server calls an account so too that somebody disabled, and its text tells.
            Some(1) if by_text(outcome) == PasswordRefusal::Disabled => PasswordRefusal::Disabled,
            Some(1) => PasswordRefusal::Locked,
            Some(2) => PasswordRefusal::MustChange,
            _ if expired => PasswordRefusal::PasswordExpired,
            _ => by_text(outcome),
        }),
        _ => return None,
    })
}

/// Whether a password that is over is good for a while yet, and the error of the policy's control.
fn policy(controls: &[Control]) -> (bool, Option<u8>) {
    let Some(control) = controls.iter().find(|control| control.oid == PASSWORD_POLICY) else { return (false, None) };
    let read = || {
        let mut content = Reader::new(Reader::new(control.value.as_deref()?).expect(SEQUENCE, "").ok()?);
        // graceAuthNsRemaining is the second of the warnings.
        let warning = content.optional(0xa0).ok()?;
        let grace = warning.is_some_and(|warning| warning.first() == Some(&0x81));
        let error = content.optional(0x81).ok()?.and_then(|error| error.first().copied());
        Some((grace, error))
    };
    read().unwrap_or((false, None))
}

/// What the diagnostic text says, where it is of a server whose texts are known.
fn by_text(Outcome { code, message }: &Outcome) -> PasswordRefusal {
    // Active Directory: `80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1`.
    let data = message.split_once("AcceptSecurityContext error, data ").map(|(_, rest)| rest);
    let data = data.and_then(|rest| rest.split(|c: char| !c.is_ascii_hexdigit()).next());
    if let Some(data) = data {
        return match data {
            "530" | "531" => PasswordRefusal::NotNow,
            "532" => PasswordRefusal::PasswordExpired,
            "533" => PasswordRefusal::Disabled,
            "701" => PasswordRefusal::AccountExpired,
            "773" => PasswordRefusal::MustChange,
            "775" => PasswordRefusal::Locked,
            _ => PasswordRefusal::Wrong,
        };
    }
    // eDirectory: `NDS error: log account expired (-220)`.
    let nds = message.split_once("NDS error: ").and_then(|(_, rest)| rest.rsplit_once('('));
    if let Some((_, number)) = nds {
        return match number.trim_end_matches(')') {
            "-197" => PasswordRefusal::Locked,
            "-220" => PasswordRefusal::Disabled,
            "-222" | "-223" => PasswordRefusal::PasswordExpired,
            _ => PasswordRefusal::Wrong,
        };
    }
    match code {
        // 389 Directory Server: `Account inactivated. Contact system administrator.`, `Exceed password retry limit. ..`.
        53 if message.contains("inactivated") => PasswordRefusal::Disabled,
        19 if message.contains("retry limit") => PasswordRefusal::Locked,
        _ => PasswordRefusal::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(code: u32, message: &str, controls: &[(&str, &[u8])]) -> Option<PasswordAnswer> {
        let control = |(oid, value): &(&str, &[u8])| Control {
            oid: (*oid).to_owned(),
            critical: false,
            value: Some(value.to_vec()),
        };
        let controls: Vec<Control> = controls.iter().map(control).collect();
        answer(&Outcome { code, message: message.to_owned() }, &controls)
    }

    #[test]
    fn what_a_server_says_of_an_account_is_read_however_it_says_it() {
        use PasswordAnswer::{Good, Refused};
        use PasswordRefusal::{AccountExpired, Disabled, Locked, MustChange, NotNow, PasswordExpired, Wrong};
        let ad = |data: &str| {
            format!("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1")
        };
        for (data, why) in [
            ("525", Wrong),
            ("52e", Wrong),
            ("530", NotNow),
            ("531", NotNow),
            ("532", PasswordExpired),
            ("533", Disabled),
            ("701", AccountExpired),
            ("773", MustChange),
            ("775", Locked),
            ("7734", Wrong),
        ] {
            assert_eq!(said(49, &ad(data), &[]), Some(Refused(why)), "{data}");
        }
        let policy = |value: &'static [u8]| [(PASSWORD_POLICY, value)];
        for (code, value, why) in [
            (49, &b"\x30\x03\x81\x01\x00"[..], PasswordExpired),
            (49, b"\x30\x03\x81\x01\x01", Locked),
            (49, b"\x30\x00", Wrong),
            (49, b"\x30\x05", Wrong),
            (0, b"\x30\x03\x81\x01\x02", MustChange),
        ] {
            assert_eq!(said(code, "", &policy(value)), Some(Refused(why)), "{value:x?}");
        }
        // It ends in a while, or is good for two more times.
        assert_eq!(said(0, "", &policy(b"\x30\x05\xa0\x03\x80\x01\x05")), Some(Good));
        let grace: [(&str, &[u8]); 2] = [(PASSWORD_POLICY, b"\x30\x05\xa0\x03\x81\x01\x02"), (PASSWORD_EXPIRED, b"0")];
        assert_eq!(said(0, "", &grace), Some(Good));
        // 389 Directory Server, to whoever does not know the policy's control.
        assert_eq!(said(0, "", &[(PASSWORD_EXPIRED, b"0")]), Some(Refused(MustChange)));
        assert_eq!(said(49, "", &[(PASSWORD_EXPIRED, b"0")]), Some(Refused(PasswordExpired)));
        assert_eq!(said(53, "Account inactivated. Contact system administrator.", &[]), Some(Refused(Disabled)));
        // And to whoever does: with what it says of a lock too.
        let (inactivated, lock) = ("Account inactivated. Contact system administrator.", b"\x30\x03\x81\x01\x01");
        assert_eq!(said(53, inactivated, &policy(lock)), Some(Refused(Disabled)));
        assert_eq!(said(19, "Exceed password retry limit. Please try later.", &policy(lock)), Some(Refused(Locked)));
        assert_eq!(said(19, "Exceed password retry limit. Please try later.", &[]), Some(Refused(Locked)));
        for (text, why) in [
            ("NDS error: log account expired (-220)", Disabled),
            ("NDS error: bad password (-222)", PasswordExpired),
            ("NDS error: login lockout (-197)", Locked),
            ("NDS error: failed authentication (-669)", Wrong),
        ] {
            assert_eq!(said(53, text, &[]), Some(Refused(why)), "{text}");
        }
        assert_eq!(said(49, "", &[]), Some(Refused(Wrong)));
        assert_eq!(said(0, "", &[]), Some(Good));
        for code in [1, 3, 11, 13, 51, 52, 80] {
            assert_eq!(said(code, "", &[]), None, "{code}");
        }
    }

    proptest! {
        #[test]
        fn any_control_and_text_is_an_answer(
            code in 0_u32..100,
            text in ".{0,80}",
            value in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let good = said(code, &text, &[(PASSWORD_POLICY, &value)]) == Some(PasswordAnswer::Good);
            prop_assert!(!good || code == 0);
        }
    }
}
