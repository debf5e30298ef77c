//! Where an address is: looked up in a file in MaxMind's format, which may be missing, cut off, of another type, or replaced.
#![cfg(all(feature = "axum", feature = "geoip"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../common/mod.rs"]
mod common;
mod mmdb;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use common::{Log, log_with};
use http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::{Actor, Audit, Auditor, Credential, Location, PeerAddr, sink};

const LONDON: &str = "81.2.69.0/24";

fn cities() -> Vec<u8> {
    mmdb::file(
        "GeoLite2-City",
        [
            (LONDON, mmdb::city("London", "GB", "Europe")),
            ("2a02:e900::/32", mmdb::city("Linköping", "SE", "Europe")),
            ("203.0.113.0/24", mmdb::city("Nowhere", "XX", "Europe")),
            ("10.0.0.0/8", mmdb::city("Nowhere", "XX", "Europe")),
        ],
    )
}

/// A folder with a file in it.
fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("places.mmdb");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn log(path: &Path) -> Log {
    log_with(|builder| builder.geoip_file(path))
}

/// Sends a request from an address; its handler says what `act` does.
async fn ask(log: &Log, from: &str, act: impl Fn(&Audit) + Clone + Send + Sync + 'static) {
    let peer = SocketAddr::new(from.parse().unwrap(), 4711);
    let app = Router::new().route("/", get(move |audit: Audit| async move { act(&audit) }));
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    request.extensions_mut().insert(PeerAddr(peer));
    log.auditor.wrap_router(app).into_service().oneshot(request).await.unwrap();
}

async fn locations(log: &Log, count: usize) -> Vec<Value> {
    log.records(count).await.iter().map(|record| record["actor"]["location"].clone()).collect()
}

fn error(path: &Path) -> String {
    let error = Auditor::builder().sink(sink::memory().0).geoip_file(path).build().unwrap_err();
    assert!(error.is_setting(), "{error}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("TOWER_AUDIT_GEOIP_FILE"), "{text}");
    text
}

#[tokio::test]
async fn the_location_of_public_addresses_is_recorded_and_of_no_others() {
    let (_folder, path) = written(&cities());
    let log = log(&path);
    let addresses = [
        ("81.2.69.142", json!({ "city": "London", "country": "GB", "continent": "Europe" })),
        ("2a02:e900::7", json!({ "city": "Linköping", "country": "SE", "continent": "Europe" })),
        ("::ffff:81.2.69.143", json!({ "city": "London", "country": "GB", "continent": "Europe" })),
        // Again, from the cache.
        ("81.2.69.142", json!({ "city": "London", "country": "GB", "continent": "Europe" })),
        ("81.2.70.1", Value::Null),
        ("203.0.113.7", Value::Null),
        ("10.1.2.3", Value::Null),
        ("127.0.0.1", Value::Null),
    ];
    for (address, _) in &addresses {
        ask(&log, address, |_| ()).await;
    }
    let found = locations(&log, addresses.len()).await;
    for (found, (address, expected)) in found.iter().zip(&addresses) {
        assert_eq!(found, expected, "{address}");
    }
}

#[tokio::test]
async fn what_the_application_says_comes_first_and_an_actor_keeps_its_location() {
    let (_folder, path) = written(&cities());
    let log = log(&path);
    let berlin = || Location::new().city("Berlin").country("DE");
    ask(&log, "81.2.69.142", move |audit| {
        audit.actor(Actor::user("jane").location(berlin()));
    })
    .await;
    ask(&log, "81.2.69.142", |audit| {
        audit.actor(Actor::user("jane"));
    })
    .await;
    ask(&log, "81.2.69.142", |audit| {
        audit.credential(Credential::new("token").id("7"));
    })
    .await;
    let records = log.records(3).await;
    let london = json!({ "city": "London", "country": "GB", "continent": "Europe" });
    assert_eq!(records[0]["actor"]["location"], json!({ "city": "Berlin", "country": "DE" }));
    assert_eq!((&records[1]["actor"]["location"], &records[1]["actor"]["actorId"]), (&london, &json!("jane")));
    assert_eq!((&records[2]["actor"]["location"], &records[2]["actor"]["actorId"]), (&london, &Value::Null));
    assert_eq!(records[2]["actor"]["credential"]["id"], "7");
}

#[tokio::test]
async fn a_file_of_countries_has_no_cities() {
    let entry = mmdb::Data::Map(vec![
        ("continent", mmdb::Data::Map(vec![("code", mmdb::text("EU"))])),
        ("country", mmdb::Data::Map(vec![("iso_code", mmdb::text("GB"))])),
    ]);
    let (_folder, path) = written(&mmdb::file("GeoLite2-Country", [(LONDON, entry)]));
    let log = log(&path);
    ask(&log, "81.2.69.142", |_| ()).await;
    assert_eq!(locations(&log, 1).await, [json!({ "country": "GB", "continent": "EU" })]);
}

#[tokio::test]
async fn a_replaced_file_is_taken_up_when_it_is_read_again_and_a_broken_one_is_not() {
    let (folder, path) = written(&cities());
    let log = log(&path);
    ask(&log, "81.2.69.142", |_| ()).await;
    assert_eq!(locations(&log, 1).await[0]["city"], "London");
    let replace = |bytes: &[u8]| {
        let beside = folder.path().join("new");
        fs::write(&beside, bytes).unwrap();
        fs::rename(beside, &path).unwrap();
    };
    replace(&mmdb::file("GeoLite2-City", [(LONDON, mmdb::city("Lutetia", "FR", "Europe"))]));
    ask(&log, "81.2.69.142", |_| ()).await;
    assert_eq!(locations(&log, 2).await[1]["city"], "London", "nobody has asked for the new one yet");
    log.auditor.reload_geoip_file().unwrap();
    ask(&log, "81.2.69.142", |_| ()).await;
    assert_eq!(locations(&log, 3).await[2]["city"], "Lutetia");
    let whole = cities();
    replace(&whole[..whole.len() / 2]);
    assert!(log.auditor.reload_geoip_file().unwrap_err().is_setting());
    fs::remove_file(&path).unwrap();
    assert!(log.auditor.reload_geoip_file().unwrap_err().is_setting());
    ask(&log, "81.2.69.142", |_| ()).await;
    assert_eq!(locations(&log, 4).await[3]["city"], "Lutetia", "what was read before stays in use");
}

#[test]
fn a_file_that_is_missing_empty_or_cut_off_anywhere_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    error(&folder.path().join("missing.mmdb"));
    error(folder.path());
    let whole = cities();
    let (_folder, path) = written(b"");
    error(&path);
    for end in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..end]).unwrap();
        error(&path);
        fs::write(&path, &whole[end.max(1)..]).unwrap();
        error(&path);
    }
}

#[test]
fn a_file_of_another_type_is_named_with_its_type() {
    let entry = mmdb::Data::Map(vec![("autonomous_system_number", mmdb::Data::U32(64_500))]);
    let (_folder, path) = written(&mmdb::file("GeoLite2-ASN", [(LONDON, entry)]));
    assert!(error(&path).contains("GeoLite2-ASN"));
    fs::write(&path, b"PK\x03\x04 a zip file").unwrap();
    assert!(error(&path).contains("MaxMind"));
}

#[test]
fn without_a_file_there_is_none_to_read_again() {
    let auditor = Auditor::builder().sink(sink::memory().0).build().unwrap();
    assert!(auditor.reload_geoip_file().unwrap_err().is_setting());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever stands in a file: it is refused, or it is used and no record is lost for it.
    #[test]
    fn a_file_with_other_bytes_in_it_costs_no_record(changes in proptest::collection::vec((0.0..1.0_f64, any::<u8>()), 1..6)) {
        let mut bytes = cities();
        for (at, byte) in changes {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the file")]
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        let (_folder, path) = written(&bytes);
        let builder = Auditor::builder().sink(sink::memory().0).geoip_file(&path);
        let Ok(auditor) = builder.build() else { return Ok(()) };
        drop(auditor);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let log = log(&path);
            for address in ["81.2.69.142", "2a02:e900::7", "9.9.9.9"] {
                ask(&log, address, |_| ()).await;
            }
            log.records(3).await;
        });
    }
}
