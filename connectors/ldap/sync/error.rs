//! Why reading or following a directory came to an end, and what that says about the source.

use rollcall_ingest::connector::{Failure, SinkError};

use crate::{
    schema::model::Unreadable,
    sync::read::ReadError,
    wire::{ber::Malformed, fault::Fault},
};

/// Why a read or a follow came to an end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    SinkError(#[from] SinkError),
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<ReadError> for SyncError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fault(fault) => Self::Fault(fault),
            ReadError::Unreadable(why) => Self::Unreadable(why),
            ReadError::Hidden(why) => Self::Failure(Failure::Unauthorised(why)),
        }
    }
}

impl From<Malformed> for SyncError {
    fn from(error: Malformed) -> Self {
        Self::Fault(error.into())
    }
}

impl From<SyncError> for Failure {
    fn from(ended: SyncError) -> Self {
        match ended {
            SyncError::Fault(fault) => fault.into(),
            SyncError::Unreadable(why) => Self::Partial(why.to_string()),
            SyncError::SinkError(stop) => stop.into(),
            SyncError::Failure(failure) => failure,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let text = fault.to_string();
        match fault {
            Fault::Unreachable(_) | Fault::Untrusted(_) => Self::Unreachable(text),
            Fault::Unauthorised { .. } | Fault::Uncertified(_) => Self::Unauthorised(text),
            // strongerAuthRequired, confidentialityRequired, inappropriateAuthentication, insufficientAccessRights
            Fault::Refused { code: 8 | 13 | 48 | 50, .. } => Self::Unauthorised(text),
            // busy, unavailable
            Fault::Refused { code: 51 | 52, .. } => Self::Blind { reason: text, retry_after: None },
            Fault::Refused { .. } | Fault::Malformed(_) => Self::Partial(text),
        }
    }
}
