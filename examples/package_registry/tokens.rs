//! Who acts, and exactly with which key: four known bearer tokens, one of each kind.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_audit::{Actor, Audit, Credential};

use crate::error::ApiError;

/// Whoever asks, as handlers find it in the request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) actor: Actor,
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// In words: `deploy token acme/tools ci-publish`.
    pub(crate) credential: String,
    /// How what it asks for comes about.
    pub(crate) context: &'static str,
}

/// Middleware: names the caller, or refuses the request.
pub(crate) async fn authenticate(audit: Audit, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let caller = bearer(request.headers()).and_then(known).ok_or(ApiError::Unauthorized)?;
    audit.actor(caller.actor.clone()).context(caller.context);
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The token, if there is exactly one, and as a bearer token. Those in other headers are not read.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn known(token: &str) -> Option<Caller> {
    let jane = || Actor::user("jane").name("Jane Doe");
    let key =
        |kind: &'static str, id: &str, owner: &str, name: &str| Credential::new(kind).id(id).owner(owner).name(name);
    Some(match token {
        "pat-jane" => caller(jane(), "jane", "Jane Doe", key("personal_token", "17", "jane", "laptop"), "api"),
        "deploy-ci" => {
            let actor = Actor::new("deploy_token:7").kind("deploy_token").name("ci-publish");
            caller(actor, "deploy_token:7", "ci-publish", key("deploy_token", "7", "acme/tools", "ci-publish"), "api")
        }
        "key-build" => {
            let actor = Actor::new("deploy_key:3").kind("deploy_key").name("build-server");
            let credential = key("deploy_key", "3", "acme/tools/cli", "build-server");
            caller(actor, "deploy_key:3", "build-server", credential, "api")
        }
        "job-4711" => {
            let actor = Actor::new("job:4711").kind("job").name("publish").on_behalf_of(jane());
            caller(actor, "job:4711", "publish", key("job", "4711", "acme/tools/cli", "publish"), "pipeline")
        }
        _ => return None,
    })
}

fn caller(actor: Actor, id: &'static str, name: &'static str, credential: Credential, context: &'static str) -> Caller {
    Caller { credential: credential.to_string(), actor: actor.credential(credential), id, name, context }
}
