//! Servers on 127.0.0.1, and clients that say byte for byte what they mean.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::Service;
use tower::util::MapRequest;
use tower_audit::{AuditedRouter, PeerAddr};

use super::bodies::BoxError;

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Serves what `Auditor::wrap_router` has made.
pub(crate) async fn serve(service: AuditedRouter) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// Serves any tower service with hyper, HTTP/1 and HTTP/2, and tells it the peer.
pub(crate) async fn serve_tower<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let service = MapRequest::new(service.clone(), move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(PeerAddr(peer));
                request
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let service = TowerToHyperService::new(service);
                // How a connection ends is what the tests are about.
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// A client that writes bytes and reads bytes.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// A connection on which a request has been sent.
    pub(crate) async fn sending(address: SocketAddr, request: impl AsRef<[u8]>) -> Self {
        let mut raw = Self::connect(address).await;
        raw.send(request).await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Reads until this has come.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = memchr::memmem::find(&self.read, end.as_bytes()) {
                let rest = self.read.split_off(at + end.len());
                let got = std::mem::replace(&mut self.read, rest);
                return String::from_utf8_lossy(&got).into_owned();
            }
            let read = self.stream.read_buf(&mut self.read).await.unwrap();
            assert!(read > 0, "closed before {end:?}: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Reads to the end of the connection, however it ends.
    pub(crate) async fn rest(mut self) -> String {
        let _ = self.stream.read_to_end(&mut self.read).await;
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

/// Sends one request, and gives all that comes back.
pub(crate) async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    Raw::sending(address, request).await.rest().await
}

/// `GET` without anything else.
pub(crate) async fn get(address: SocketAddr, url: &str) -> String {
    ask(address, head("GET", url)).await
}

/// The head of a request without a body, on a connection of its own.
pub(crate) fn head(method: &str, url: &str) -> String {
    format!("{method} {url} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
}

/// `POST` with a body of a known length.
pub(crate) fn post(url: &str, content_type: &str, body: &str) -> String {
    format!(
        "POST {url} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// hyper's HTTP/2 client.
pub(crate) async fn http2<B>(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    send
}
