//! What can go wrong with a directory, as far as somebody treats it differently: nobody answers, it is not who it should
//! be, it does not let us in, it refuses what we ask. Each with a sentence for the operator.

use crate::wire::ber::Malformed;

/// Why a directory could not be asked, or what it answered instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection, a lost one, or no answer in time. Another server may answer.
    #[error("{0}")]
    Unreachable(String),
    /// The server is not who it should be, or offers no TLS. Nothing was sent in clear.
    #[error("{0}")]
    Untrusted(String),
    /// The server does not take our client certificate, or wants one. Nothing was asked yet.
    #[error("{0}")]
    Uncertified(String),
    /// The bind was refused.
    #[error("the directory refuses the bind as {dn}: {why}")]
    Unauthorised {
        /// Who wanted in.
        dn: String,
        /// What the server says.
        why: String,
    },
    /// A search ended with another result than success.
    #[error("{what}: the directory answers {code} ({name}){said}", name = name(*.code))]
    Refused {
        /// What was asked.
        what: String,
        /// The LDAP result code.
        code: u32,
        /// What the server says to it, with a colon before, or nothing; and what to do about it, where that is known.
        said: String,
    },
    /// Bytes that are no LDAP, or too many of them. The connection is gone.
    #[error("{0}")]
    Malformed(String),
}

impl Fault {
    /// The LDAP result code, where that was the answer.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether another server of the list may do better.
    pub(crate) fn may_another_server_help(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Untrusted(_) | Self::Uncertified(_) | Self::Malformed(_) => true,
            // busy, unavailable
            Self::Refused { code, .. } => matches!(code, 51 | 52),
            Self::Unauthorised { .. } => false,
        }
    }
}

impl From<Malformed> for Fault {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// The names of RFC 4511, and of RFC 4533 for 4096.
pub(crate) fn name(code: u32) -> &'static str {
    match code {
        0 => "success",
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        16 => "noSuchAttribute",
        18 => "inappropriateMatching",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        80 => "other",
        4096 => "syncRefreshRequired",
        _ => "see RFC 4511",
    }
}
