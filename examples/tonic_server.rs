//! Run with `cargo run --example tonic_server`: the audit layer in a tonic server. A call is `POST /package.Service/Method`, and
//! has failed if its gRPC status says so.
//!
//! So that no generated code is needed, its messages are bytes as they are: a name, and a greeting.

mod support;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::Method;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tower::Service;
use tower_audit::{Actor, Audit, Auditor, Catalog, Entity, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let events = Catalog::new().event(Event::new("Greeting").on(Method::POST, "/example.Greeter/Greet"));
    let auditor = Auditor::builder()
        .catalog(events)
        // tonic's own knowledge of who is at the other end.
        .peer_fn(|extensions| extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr))
        .from_env()?
        .build()?;

    let (listener, stopped) = support::listen().await?;
    tonic::transport::Server::builder()
        .layer(auditor.layer())
        .add_service(Greeter)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped)
        .await?;
    auditor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// A method of a service: the handle is among the extensions of tonic's request too.
struct Greet;

impl UnaryService<Bytes> for Greet {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let audit = request.extensions().get::<Audit>().cloned().unwrap_or_else(Audit::disabled);
        audit.actor(Actor::service("service:caller")); // whomever your interceptor has found
        let name = String::from_utf8_lossy(request.get_ref()).into_owned();
        ready(if name == "ghost" {
            Err(tonic::Status::not_found("nobody has this name"))
        } else {
            audit.object(Entity::new("person").id(&*name));
            Ok(tonic::Response::new(Bytes::from(format!("hello {name}"))))
        })
    }
}

// ---- what `tonic-prost-build` generates for a service

#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "example.Greeter";
}

impl Service<http::Request<tonic::body::Body>> for Greeter {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/example.Greeter/Greet" => tonic::server::Grpc::new(AsItIs).unary(Greet, request).await,
                _ => tonic::Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

#[derive(Clone, Copy, Default)]
struct AsItIs;

impl Codec for AsItIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsItIs {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for AsItIs {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
