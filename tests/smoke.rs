//! Smoke.
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{Method, Request};
use tower::ServiceExt;
use tower_audit::*;

#[tokio::test]
async fn smoke() {
    let (lines, records) = sink::memory();
    let catalog = Catalog::new().mount(
        "/api",
        Catalog::new().event(
            Event::new("TaskCreation")
                .on(Method::POST, "/tasks/:kind")
                .stages(Stages::Both)
                .bodies(Bodies::Both)
                .meta("id", Source::response_body("/id")),
        ),
    );
    let (auditor, guard) = Auditor::builder().catalog(catalog).sink(lines).build().unwrap();
    let app = Router::new()
        .route(
            "/api/tasks/{kind}",
            post(|audit: Audit, Json(v): Json<serde_json::Value>| async move {
                audit.actor(Actor::user("user:default/jane"));
                Json(serde_json::json!({"id": 7, "echo": v}))
            }),
        )
        .route("/x", get(|| async { "x" }));
    let svc = auditor.around(app).into_service();
    let r = svc
        .clone()
        .oneshot(
            Request::post("/api/tasks/a%20b?q=1&token=abcdefgh")
                .header("content-type", "application/json")
                .header("user-agent", "curl")
                .body(axum::body::Body::from(r#"{"a":1.50,"secrets":{"x":"hunter2hunter2"},"note":"hunter2hunter2"}"#))
                .unwrap(),
        )
        .await
        .unwrap();
    let body = http_body_util::BodyExt::collect(r.into_body()).await.unwrap().to_bytes();
    println!("{body:?}");
    let r =
        svc.clone().oneshot(Request::get("/nope/x?token=abc").body(axum::body::Body::empty()).unwrap()).await.unwrap();
    let _ = http_body_util::BodyExt::collect(r.into_body()).await.unwrap().to_bytes();
    assert!(auditor.flush(std::time::Duration::from_secs(5)).await);
    let report = guard.shutdown(std::time::Duration::from_secs(5)).await;
    println!("{report:?}");
    print!("{}", records.text());
}
