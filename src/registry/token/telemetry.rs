//! What the token endpoint says about itself: each log line and its metric are one struct, so that they cannot drift
//! apart. Labels are bounded sets; never a person, a repository or a secret.

use crate::client::ClientFamily;

/// How a token request ended, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestResult {
    /// A login that asked for no scope.
    Login,
    /// Everything that was asked.
    Granted,
    /// Less than was asked.
    Reduced,
    /// Nothing of it, as a token without access.
    Empty,
    /// Nothing of it, with a reason.
    Explained,
    /// A wrong credential.
    WrongCredential,
    /// Nobody, who asked for nothing.
    NoCredential,
    /// Too many wrong credentials.
    Throttled,
    /// A wrong request.
    Request,
    /// The roster is not recent enough.
    Stale,
    /// The directory could not be asked.
    Directory,
    /// Signing failed, or the server is put together wrongly.
    Internal,
}

impl RequestResult {
    /// Every one, for a test of the label set.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::Login,
        Self::Granted,
        Self::Reduced,
        Self::Empty,
        Self::Explained,
        Self::WrongCredential,
        Self::NoCredential,
        Self::Throttled,
        Self::Request,
        Self::Stale,
        Self::Directory,
        Self::Internal,
    ];

    /// The labels `result` and `reason`.
    pub(crate) fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Login => ("granted", "login"),
            Self::Granted => ("granted", "all"),
            Self::Reduced => ("granted", "reduced"),
            Self::Empty => ("denied", "no_access"),
            Self::Explained => ("denied", "explained"),
            Self::WrongCredential => ("refused", "wrong_credential"),
            Self::NoCredential => ("refused", "no_credential"),
            Self::Throttled => ("refused", "throttled"),
            Self::Request => ("refused", "request"),
            Self::Stale => ("unavailable", "stale"),
            Self::Directory => ("unavailable", "directory"),
            Self::Internal => ("unavailable", "broken"),
        }
    }
}

/// A token request was answered.
#[derive(Debug)]
pub(crate) struct TokenAnswered {
    pub(crate) result: RequestResult,
    pub(crate) client: ClientFamily,
    pub(crate) seconds: f64,
}

impl TokenAnswered {
    pub(crate) fn emit(self) {
        let (result, reason) = self.result.labels();
        let client = self.client.name();
        match result {
            "unavailable" => tracing::warn!(result, reason, client, "token request not answered"),
            "refused" => tracing::info!(result, reason, client, "token request refused"),
            _ => tracing::debug!(result, reason, client, "token request answered"),
        }
        metrics::counter!("rollcall_token_requests_total", "result" => result, "reason" => reason).increment(1);
        metrics::histogram!("rollcall_token_request_duration_seconds").record(self.seconds);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_result_has_its_own_labels() {
        assert_eq!(
            RequestResult::ALL.iter().map(|result| result.labels()).collect::<BTreeSet<_>>().len(),
            RequestResult::ALL.len()
        );
    }
}
