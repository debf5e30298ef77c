//! The answers to a request that could not be recorded.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::body::ResponseBody;
use crate::exchange::Exchange;

/// In seconds: the queue drains in far less, once its reader goes on.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
const NOT_HANDLED: &str =
    r#"{"error":"audit_unavailable","message":"the request could not be recorded and was not handled"}"#;
const UNCONFIRMED: &str =
    r#"{"error":"audit_unavailable","message":"the request was handled, but its record is not confirmed"}"#;
/// UNAVAILABLE: <https://grpc.io/docs/guides/status-codes/>.
const GRPC_UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");

/// Builds the answer to a request that was not handled, and notes its status.
pub(super) fn answer<B>(exchange: &Arc<Exchange>) -> Response<ResponseBody<B>> {
    // Whatever outer layer let it in: it was not handled, so its record is that of somebody outside.
    exchange.with(|draft| draft.admitted = false);
    let is_grpc =
        exchange.with(|draft| draft.bytes(draft.request_type).starts_with(b"application/grpc")).unwrap_or(false);
    if is_grpc {
        exchange.with(|draft| {
            draft.status = Some(StatusCode::OK);
            draft.grpc_status = Some(14);
        });
        return grpc_unavailable();
    }
    let is_head = exchange.with(|draft| {
        let is_head = draft.bytes(draft.method) == b"HEAD";
        draft.status = Some(StatusCode::SERVICE_UNAVAILABLE);
        draft.response_body.total = if is_head { 0 } else { NOT_HANDLED.len() as u64 };
        is_head
    });
    let mut response = unavailable(NOT_HANDLED, is_head.unwrap_or(false));
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// In place of a response without a body that was handled, but whose record is not durable in time. It asks nobody to try
/// again: what was done would be done twice.
pub(super) fn unconfirmed<B>(is_head: bool) -> Response<ResponseBody<B>> {
    unavailable(UNCONFIRMED, is_head)
}

/// The answer to `HEAD` has no body: over HTTP/2 nobody else takes it away, and the client would see a broken stream.
fn unavailable<B>(body: &'static str, is_head: bool) -> Response<ResponseBody<B>> {
    let body = if is_head { ResponseBody::empty() } else { ResponseBody::own(Bytes::from_static(body.as_bytes())) };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Trailers only: a gRPC client reads nothing else.
fn grpc_unavailable<B>() -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", GRPC_UNAVAILABLE);
    headers.insert("grpc-message", HeaderValue::from_static("the request could not be recorded and was not handled"));
    response
}
