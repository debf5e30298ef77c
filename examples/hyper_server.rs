//! Run with `cargo run --example hyper_server`: the audit layer in a server of hyper itself, without a router.
//!
//! ```text
//! curl -d '{"name":"demo","password":"hunter22"}' -H 'Content-Type: application/json' 127.0.0.1:3000/tasks/7
//! ```

mod support;

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tower::{ServiceBuilder, service_fn};
use tower_audit::{Actor, Audit, Auditor, Catalog, Event, PeerAddr, RequestBody};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Without a router, the catalog alone knows what a path means.
    let events = Catalog::new().event(Event::new("TaskUpdate").on(Method::POST, "/tasks/{taskId}"));
    let auditor = Auditor::builder().catalog(events).from_env()?.build()?;

    let (listener, stopped) = support::listen().await?;
    let (connections, mut stopped) = (GracefulShutdown::new(), pin!(stopped));
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut stopped => break,
        };
        let service = ServiceBuilder::new()
            // Who is at the other end only the server knows.
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(PeerAddr(peer));
                request
            })
            .layer(auditor.layer())
            .service(service_fn(handle));
        let server = auto::Builder::new(TokioExecutor::new());
        let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move { connection.await.map_err(drop) });
    }
    connections.shutdown().await;
    auditor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

async fn handle(request: Request<RequestBody<Incoming>>) -> Result<Response<Full<Bytes>>, Infallible> {
    // On a request that the catalog leaves out there is no handle.
    let audit = request.extensions().get::<Audit>().cloned().unwrap_or_else(Audit::disabled);
    audit.actor(Actor::user("user:default/jane")); // whomever your authentication has found
    let answer = match request.into_body().collect().await {
        Ok(body) => Response::new(Full::from(format!("took {} bytes", body.to_bytes().len()))),
        Err(error) => {
            audit.error(&error);
            let mut answer = Response::new(Full::default());
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            answer
        }
    };
    Ok(answer)
}
