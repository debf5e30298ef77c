//! The answer to a request that could not have been recorded.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::body::ResponseBody;
use crate::exchange::Exchange;

/// 503 with `Retry-After`, in seconds: the queue drains in far less, once its reader goes on.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
const BODY: &str = r#"{"error":"audit_unavailable","message":"the request could not be recorded and was not handled"}"#;

/// Builds the answer and notes its head.
pub(super) fn answer<B>(exchange: &Arc<Exchange>) -> Response<ResponseBody<B>> {
    exchange.with(|draft| {
        draft.status = Some(StatusCode::SERVICE_UNAVAILABLE);
        draft.response_body.total = BODY.len() as u64;
    });
    let mut response = Response::new(ResponseBody::own(Bytes::from_static(BODY.as_bytes())));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
