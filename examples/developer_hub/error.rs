//! Typed errors of the handlers, and their one way to the wire: Backstage's JSON error body.

use std::error::Error;
use std::fmt;

use axum::Json;
use axum::extract::Request;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tower_audit::{Audit, Failure};

#[derive(Clone, Debug)]
pub(crate) enum ApiError {
    Input(String),
    /// Several problems at once, which Backstage answers as a bare list.
    Invalid(Vec<Value>),
    Authentication(String),
    NotFound(String),
    MethodNotAllowed(String),
    Conflict(String),
    PayloadTooLarge(String),
    Unavailable(String),
}

impl ApiError {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Input(_) | Self::Invalid(_) => "InputError",
            Self::Authentication(_) => "AuthenticationError",
            Self::NotFound(_) => "NotFoundError",
            Self::MethodNotAllowed(_) => "MethodNotAllowedError",
            Self::Conflict(_) => "ConflictError",
            Self::PayloadTooLarge(_) => "PayloadTooLargeError",
            Self::Unavailable(_) => "ServiceUnavailableError",
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Input(_) | Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Authentication(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::PayloadTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn body(&self, method: &Method, uri: &Uri) -> Value {
        match self {
            Self::Invalid(errors) => json!({ "errors": errors }),
            _ => json!({
                "error": {"name": self.name(), "message": self.to_string()},
                "request": {"method": method.as_str(), "url": uri.path_and_query().map_or("", |url| url.as_str())},
                "response": {"statusCode": self.status().as_u16()},
            }),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(message)
            | Self::Authentication(message)
            | Self::NotFound(message)
            | Self::MethodNotAllowed(message)
            | Self::Conflict(message)
            | Self::PayloadTooLarge(message)
            | Self::Unavailable(message) => f.write_str(message),
            Self::Invalid(errors) => {
                let messages = errors.iter().filter_map(|error| error["message"].as_str());
                f.write_str(&messages.collect::<Vec<_>>().join("; "))
            }
        }
    }
}

impl Error for ApiError {}

impl IntoResponse for ApiError {
    /// Only the status yet: the body names the request, which `describe` knows.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if matches!(self, Self::Authentication(_)) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Middleware: turns the error that a handler, an extractor or a fallback left on the response into its body.
pub(crate) async fn describe(audit: Audit, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    let Some(error) = response.extensions_mut().remove::<ApiError>() else {
        return response;
    };
    audit.failure(Failure::new(error.name(), error.to_string()));

    let (mut empty, _) = response.into_parts();
    empty.headers.remove(header::CONTENT_LENGTH);
    let mut described = (error.status(), Json(error.body(&method, &uri))).into_response();
    described.headers_mut().extend(empty.headers);
    described
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge("request entity too large".to_owned()),
            _ => Self::Input(format!("Malformed request: {}", rejection.body_text())),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::Input(format!("Malformed path: {}", rejection.body_text()))
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::Input(format!("Malformed query: {}", rejection.body_text()))
    }
}
