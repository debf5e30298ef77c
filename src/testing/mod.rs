//! A kit with which an application tests its own audit log.
//!
//! - [`TestLog`]: an audit log in memory whose clock, ids, instance and host never change, so that whole records can be
//!   compared, and which waits by flushing, never by sleeping.
//! - [`Canaries`]: values that no text has by chance. Send them as secrets, then assert that none was written.
//! - [`assert_sink`]: what every sink has to do, for those that an application writes itself.
//! - [`record()`]: a record with chosen members, to test formats and filters.
//! - [`uncovered`] and [`assert_covers`]: a test that fails when a route that changes state has no event name.
//!
//! The page `guide::testing` begins from an ordinary integration test.
//!
//! # Example: no secret of a request is written
//!
//! ```
//! use axum::{Json, Router, routing::post};
//! use http::{Method, Request};
//! use serde_json::{Value, json};
//! use tower::ServiceExt as _;
//! use tower_audit::testing::{Canaries, TestLog};
//! use tower_audit::{Audit, Catalog, Event, Failure};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = TestLog::with(|builder| builder.catalog(Catalog::new().event(Event::new("Login").on(Method::POST, "/login"))))?;
//! let app = Router::new().route("/login", post(|audit: Audit, Json(body): Json<Value>| async move {
//!     audit.failure(Failure::new("LoginError", format!("no user has the password {}", body["password"]))); // it is masked
//! }));
//!
//! let canaries = Canaries::new();
//! let request = Request::post("/login?access_token=".to_owned() + canaries.key())
//!     .header("content-type", "application/json")
//!     .header("authorization", format!("Bearer {}", canaries.jwt()))
//!     .body(axum::body::Body::from(json!({ "password": canaries.odd(), "pin": canaries.number() }).to_string()))?;
//! log.auditor().wrap_router(app).into_service().oneshot(request).await?;
//!
//! let record = log.wait_for(1).await.remove(0);
//! assert_eq!(record["eventName"], "Login");
//! assert_eq!(record["request"]["body"], json!({ "password": "***", "pin": "***" }));
//! canaries.assert_absent(&log.lines().await);
//! # Ok(())
//! # }
//! ```

mod canaries;
mod log;
mod record;
mod routes;
mod sinks;

pub use canaries::{Canaries, Leak};
pub use log::TestLog;
pub use record::record;
pub use routes::{assert_covers, uncovered};
pub use sinks::assert_sink;
