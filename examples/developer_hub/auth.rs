//! Who is asking: three known bearer tokens, and nobody where that is allowed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_audit::{Actor, Audit};

use crate::error::ApiError;
use crate::hub::Hub;

/// The caller, as handlers find it in the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    User(&'static str),
    Service(&'static str),
    Anonymous,
}

impl Principal {
    /// `user:default/jane`, `external:ci`, or nothing for an anonymous caller.
    pub(crate) fn reference(&self) -> Option<&'static str> {
        match *self {
            Self::User(reference) | Self::Service(reference) => Some(reference),
            Self::Anonymous => None,
        }
    }

    fn actor(&self) -> Actor {
        match *self {
            Self::User(reference) => Actor::user(reference),
            Self::Service(reference) => Actor::service(reference),
            Self::Anonymous => Actor::anonymous(),
        }
    }
}

/// Middleware: names the caller or refuses it.
pub(crate) async fn authenticate(
    State(hub): State<Arc<Hub>>,
    audit: Audit,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let principal = identify(request.headers())?;
    audit.actor(principal.actor());
    if principal == Principal::Anonymous && hub.settings.require_auth {
        return Err(ApiError::Authentication("Missing credentials".to_owned()));
    }
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

fn identify(headers: &HeaderMap) -> Result<Principal, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(Principal::Anonymous);
    };
    let token = match (value.to_str().unwrap_or_default().split_once(' '), values.next()) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    };
    match token {
        "guest" => Ok(Principal::User("user:development/guest")),
        "jane" => Ok(Principal::User("user:default/jane")),
        "ci" => Ok(Principal::Service("external:ci")),
        // The token itself is not repeated: it may be somebody's.
        _ => Err(ApiError::Authentication("Illegal token".to_owned())),
    }
}
