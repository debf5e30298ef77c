//! What a response says of itself: the status of HTTP, and that of gRPC.

use http::StatusCode;

use super::{Level, Status};

/// The status of a response, for [`AuditorBuilder::classify_status`](crate::AuditorBuilder::classify_status).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseStatus {
    /// The status of HTTP, which is 200 for most answers of gRPC.
    pub http: StatusCode,
    /// `grpc-status`, from the head or the trailers: <https://grpc.io/docs/guides/status-codes/>.
    pub grpc: Option<u32>,
}

impl ResponseStatus {
    pub(crate) fn new(http: StatusCode, grpc: Option<u32>) -> Self {
        Self { http, grpc }
    }

    /// What it means without a classifier: 400 and above, or a `grpc-status` other than 0, is a failure.
    pub fn by_default(self) -> Status {
        let has_failed = self.http.as_u16() >= 400 || self.grpc.is_some_and(|code| code != 0);
        if has_failed { Status::Failed } else { Status::Succeeded }
    }

    /// How bad its failure is: a client's mistake is a warning.
    pub(crate) fn failure_level(self) -> Level {
        let is_clients = match self.grpc {
            Some(code) if code != 0 => is_clients_code(code),
            _ => self.http.is_client_error(),
        };
        if is_clients { Level::Warn } else { Level::Error }
    }
}

/// The codes for which gRPC's mapping to HTTP has a 4xx: CANCELLED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS,
/// PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNAUTHENTICATED.
fn is_clients_code(code: u32) -> bool {
    matches!(code, 1 | 3 | 5..=11 | 16)
}
