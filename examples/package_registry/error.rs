//! Errors of the handlers, as GitLab answers them.

use std::fmt;
use std::io;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tower_audit::Failure;

#[derive(Debug)]
pub(crate) enum ApiError {
    Input(&'static str),
    Unauthorized,
    NotFound(&'static str),
    /// The audit log cannot record what was asked for, so it is not done.
    NotRecorded(tower_audit::Error),
    Storage(io::Error),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Input(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NotRecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Input(_) => "InputError",
            Self::Unauthorized => "AuthenticationError",
            Self::NotFound(_) => "NotFoundError",
            Self::NotRecorded(_) => "NotRecordedError",
            Self::Storage(_) => "StorageError",
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(what) => f.write_str(what),
            Self::Unauthorized => f.write_str("401 Unauthorized"),
            Self::NotFound(what) => write!(f, "404 {what} Not Found"),
            Self::NotRecorded(error) => write!(f, "{error}"),
            Self::Storage(error) => write!(f, "the registry's storage failed: {error}"),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let failure = Failure::new(self.name(), self.to_string());
        let mut response = (self.status(), Json(json!({ "message": self.to_string() }))).into_response();
        if matches!(self, Self::Unauthorized) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The record takes it from here.
        response.extensions_mut().insert(failure);
        response
    }
}
