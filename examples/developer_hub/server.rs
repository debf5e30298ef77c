//! The router, and its life from the first accepted connection to the last answer.

use std::future::IntoFuture;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};
use tower_audit::AuditedRouter;

use crate::error::ApiError;
use crate::hub::Hub;
use crate::{auth, catalog, error, scaffolder};

/// Open requests and running tasks together have this long to end.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);
/// Requests have this long of it, such as one whose client never sends the rest of its body.
const REQUEST_DEADLINE: Duration = Duration::from_secs(2);

pub(crate) fn app(hub: &Arc<Hub>) -> Router {
    Router::new()
        .nest("/api/scaffolder", scaffolder::routes())
        .nest("/api/catalog", catalog::routes())
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(hub), auth::authenticate))
        // Below the layer above, so that a probe needs no token.
        .route("/healthz", get(healthz))
        .layer(middleware::from_fn_with_state(Arc::clone(hub), give_up_at_the_end))
        .layer(middleware::from_fn(error::describe))
        .with_state(Arc::clone(hub))
}

pub(crate) async fn serve(hub: &Arc<Hub>, app: AuditedRouter) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(hub.settings.address).await?;
    let address = listener.local_addr()?;

    let server = axum::serve(listener, app).with_graceful_shutdown(hub.background.stopped());
    let mut server = tokio::spawn(server.into_future());
    writeln!(io::stderr(), "listening on http://{address}")?;

    tokio::select! {
        ended = &mut server => return ended?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }

    tracing::info!("shutting down");
    let deadline = Instant::now() + SHUTDOWN_DEADLINE;
    hub.background.stop();
    let served = timeout_at(deadline, &mut server).await;
    let aborted = hub.background.join_until(deadline).await;
    if aborted > 0 {
        tracing::warn!(aborted, "background jobs were still running at the deadline");
    }
    if let Ok(ended) = served {
        return ended?;
    }
    tracing::warn!("connections were still open at the deadline");
    server.abort();
    Ok(())
}

/// Middleware: answers what would still be open when the server has to end.
async fn give_up_at_the_end(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Result<Response, ApiError> {
    let stopped = hub.background.stopped();
    tokio::select! {
        response = next.run(request) => Ok(response),
        () = async { stopped.await; sleep(REQUEST_DEADLINE).await } => {
            Err(ApiError::Unavailable("the server shuts down".to_owned()))
        }
    }
}

async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

async fn no_such_route(method: Method, uri: Uri) -> ApiError {
    ApiError::NotFound(format!("Cannot {method} {}", uri.path()))
}

async fn no_such_method(method: Method) -> ApiError {
    ApiError::MethodNotAllowed(format!("{method} method not allowed"))
}
