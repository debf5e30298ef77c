//! Filters, lists, groups of fields and formats, through real requests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_audit::format::{Columns, csv, json_timestamp, key_value};
use tower_audit::sink::{self, MemoryRecords, Output};
use tower_audit::{
    Actor, Audit, Auditor, AuditorBuilder, Bodies, Catalog, Event, FieldGroup, Filter, Level, Lists, Location, LogType,
};

/// An auditor with a catalog, and what its first output gets.
fn auditor(set: impl FnOnce(AuditorBuilder) -> AuditorBuilder) -> (Auditor, MemoryRecords) {
    let (lines, records) = sink::memory();
    let catalog = Catalog::new()
        .event(
            Event::new("Download")
                .kind("artifact")
                .log_type(LogType::Client)
                .on(Method::GET, "/{namespace}/{repo}/get"),
        )
        .event(Event::new("Upload").kind("artifact").bodies(Bodies::Both).on(Method::POST, "/{namespace}/{repo}/put"))
        .event(Event::new("ReadInfo").on(Method::GET, "/info"));
    let auditor = set(Auditor::builder().catalog(catalog).sink(lines)).build().unwrap();
    (auditor, records)
}

/// Sends requests, and shuts down.
async fn run(auditor: &Auditor, requests: impl IntoIterator<Item = Request<Body>>) {
    let app = Router::new()
        .route("/late", any(|audit: Audit| async move { drop(audit.event_unlisted("NamedLater")) }))
        .route("/missing", any(|| async { http::StatusCode::NOT_FOUND }))
        .fallback(any(|audit: Audit, body: String| async move {
            audit.actor(Actor::user("jane").location(Location::new().city("Paris").country("FR")));
            audit.meta("eula", json!({ "id": "e-1", "number": 3 }));
            audit.meta("edge", "LHR61");
            audit.meta("deep", json!({ "namespace": "acme", "kept": [{ "repository": "r" }] }));
            audit.namespace("acme");
            audit.repository("acme/npm");
            ([("content-type", "application/json")], body)
        }));
    let service = auditor.wrap_router(app).into_service();
    for request in requests {
        let response = service.clone().oneshot(request).await.unwrap();
        axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    }
    assert!(auditor.shutdown(Duration::from_secs(30)).await.is_complete());
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).header("user-agent", "curl/8").body(Body::empty()).unwrap()
}

fn post(path: &str) -> Request<Body> {
    let body = r#"{"name":"x","namespace":"acme","list":[{"repo":"npm"}]}"#;
    Request::post(path).header("content-type", "application/json").body(Body::from(body)).unwrap()
}

/// The names of the events, without the library's own.
fn names(records: &MemoryRecords) -> Vec<String> {
    let names =
        records.lines().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap()["eventName"].clone());
    names.map(|name| name.as_str().unwrap().to_owned()).filter(|name| !name.starts_with("Audit")).collect()
}

#[tokio::test]
async fn a_url_is_named_as_shortened_only_in_the_outputs_that_show_a_part_of_it() {
    let (lines, masked) = sink::memory();
    let masking = Output::new(lines).omit([FieldGroup::Repository]);
    let (auditor, whole) = auditor(|builder| builder.sink(masking));
    let repo = "r".repeat(3_000);
    let url = format!("/acme/{repo}/get?q={}", "z".repeat(1_200));
    run(&auditor, [Request::get(&url).body(Body::empty()).unwrap()]).await;
    let shown = |records: &MemoryRecords| {
        let records = records.lines().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let record = records.into_iter().find(|record| record["eventName"] == "Download").unwrap();
        (record["request"]["url"].clone(), record["meta"]["shortened"].clone())
    };
    assert_eq!(shown(&whole), (json!(url[..4096]), json!(["url"])));
    assert_eq!(shown(&masked), (json!(url.replace(&repo, "***")), Value::Null));
}

/// What the library reports through `tracing`.
#[derive(Clone, Default)]
struct Reported(Arc<Mutex<Vec<u8>>>);

impl io::Write for Reported {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_entry_that_names_nothing_in_the_catalog_is_reported_whichever_list_has_it() {
    let reported = Reported::default();
    let writer = reported.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || writer.clone()).finish();
    // The auditor is kept, because a log whose last handle is dropped is reported too.
    let _kept = tracing::subscriber::with_default(subscriber, || {
        let of_one = Filter::lists(Lists::new().allow(["Downlaod", "UPLOAD_ERROR", "kind:artifact"]));
        let of_all = Filter::lists(Lists::new().deny(["kind:artefact", "ReadInfo", "Re*"]));
        let output = Output::new(sink::sink_fn(|_| Ok(()))).filter(of_one);
        auditor(|builder| builder.filter(of_all).sink(output))
    });
    let text = String::from_utf8(reported.0.lock().unwrap().clone()).unwrap();
    let expected = ["kind:artefact", "Downlaod"].map(|entry| {
        format!(" WARN tower_audit: a list names an event or kind that the catalog does not have entry=\"{entry}\"\n")
    });
    assert_eq!(text, expected.concat());
}

#[tokio::test]
async fn lists_decide_by_name_kind_and_status() {
    let all = || [get("/acme/npm/get"), post("/acme/npm/put"), get("/info"), get("/missing"), get("/late")];
    for (lists, expected) in [
        (Lists::new(), &["Download", "Upload", "ReadInfo", "HttpRequest", "NamedLater"][..]),
        (Lists::new().allow(["kind:artifact"]), &["Download", "Upload"]),
        (Lists::new().allow(["kind:artifact"]).deny(["Up*"]), &["Download"]),
        (Lists::new().deny(["*"]).always(["ReadInfo"]), &["ReadInfo"]),
        (Lists::new().deny(["READ_INFO_SUCCESS", "HttpRequest"]), &["Download", "Upload", "NamedLater"]),
        (Lists::new().deny(["READ_INFO_ERROR", "kind:artifact"]), &["ReadInfo", "HttpRequest", "NamedLater"]),
        // Only its handler names it, so the first name does not decide.
        (Lists::new().allow(["NamedLater"]), &["NamedLater"]),
    ] {
        let (auditor, records) = auditor(|builder| builder.filter(Filter::lists(lists)));
        run(&auditor, all()).await;
        assert_eq!(names(&records), expected);
        assert_eq!(records.lines().len(), expected.len() + 2, "records of the library pass every list");
    }
}

#[tokio::test]
async fn what_a_filter_or_a_format_does_not_take_leaves_no_gap_and_is_no_loss() {
    let (client, clients) = sink::memory();
    let (errors, bad) = sink::memory();
    let (auditor, records) = auditor(|builder| {
        builder
            .sink(Output::new(client).log_type(LogType::Client).format(csv("seq,eventName,logType".parse().unwrap())))
            .sink(Output::new(errors).filter(Filter::level(Level::Warn)).format(json_timestamp()))
    });
    run(&auditor, [get("/acme/npm/get"), get("/info"), get("/missing"), get("/acme/npm/get")]).await;
    assert_eq!(names(&records), ["Download", "ReadInfo", "HttpRequest", "Download"]);
    let expected = ["seq,eventName,logType", "1,AuditStarted,audit", "2,Download,client", "3,Download,client"];
    assert_eq!(clients.lines()[..4], expected);
    assert_eq!(clients.lines()[4], "4,AuditStopped,audit");
    assert_eq!(bad.lines().len(), 3);
    let (time, line) = bad.lines()[1].split_once(' ').map(|(time, line)| (time.to_owned(), line.to_owned())).unwrap();
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((record["timestamp"].as_str(), record["seq"].as_u64()), (Some(&*time), Some(2)));
}

#[tokio::test]
async fn groups_of_fields_are_left_out_of_one_output_and_stand_in_the_other() {
    let (lines, few) = sink::memory();
    let (rows, flat) = sink::memory();
    let all = [
        FieldGroup::Eula,
        FieldGroup::Location,
        FieldGroup::Addresses,
        FieldGroup::Namespace,
        FieldGroup::Repository,
        FieldGroup::UserAgent,
        FieldGroup::Bodies,
    ];
    let some = [FieldGroup::Namespace, FieldGroup::Repository];
    let (auditor, records) = auditor(|builder| {
        builder
            .show_headers(["x-forwarded-for", "x-kept"].map(http::HeaderName::from_static))
            .sink(Output::new(lines).omit(all))
            .sink(Output::new(rows).omit(some).format(csv(Columns::flat())))
    });
    let mut request = post("/acme/npm/put?namespace=acme&a=b&repo");
    request.headers_mut().insert("user-agent", "curl/8".parse().unwrap());
    request.headers_mut().insert("x-forwarded-for", "203.0.113.9".parse().unwrap());
    request.headers_mut().insert("x-kept", "1".parse().unwrap());
    request
        .extensions_mut()
        .insert(axum::extract::ConnectInfo("192.0.2.7:4711".parse::<std::net::SocketAddr>().unwrap()));
    run(&auditor, [request]).await;

    let whole: Value = serde_json::from_str(&records.lines()[1]).unwrap();
    assert_eq!((&whole["actor"]["ip"], &whole["actor"]["client"]), (&json!("192.0.2.7"), &json!("curl/8")));
    assert_eq!((&whole["namespace"], &whole["repository"]), (&json!("acme"), &json!("acme/npm")));
    assert_eq!(whole["request"]["body"]["namespace"], "acme");

    let record: Value = serde_json::from_str(&few.lines()[1]).unwrap();
    assert_eq!(record["actor"], json!({ "actorId": "jane", "kind": "user" }));
    assert_eq!(record["meta"], json!({ "deep": { "kept": [{}] } }));
    assert_eq!((record.get("namespace"), record.get("repository")), (None, None));
    assert_eq!(
        record["request"],
        json!({
            "method": "POST", "url": "/***/***/put?namespace=***&a=b&repo", "route": "/{namespace}/{repo}/put",
            "protocol": "HTTP/1.1", "params": {}, "query": { "a": "b" }, "headers": { "x-kept": "1" },
        })
    );
    assert_eq!(record["response"], json!({ "status": 200, "bytes": whole["response"]["bytes"] }));

    // A CSV keeps its columns.
    let row = &flat.lines()[2];
    assert!(row.contains("/***/***/put") && row.contains("192.0.2.7"), "{row}");
    assert!(row.contains(r#""{""name"":""x"",""list"":[{}]}""#), "{row}");
    assert!(!row.contains("acme") && !row.contains("npm"), "{row}");
}

#[tokio::test]
async fn no_message_says_what_is_left_out() {
    let event = |name: &'static str, path: &'static str, message: &'static str| {
        Event::new(name).on(Method::GET, path).message(message)
    };
    let (lines, few) = sink::memory();
    let (rows, flat) = sink::memory();
    let catalog = Catalog::new()
        .event(event("ByPath", "/repos/{repo}/path", "{method} {path} by {actor}"))
        .event(event("ByParam", "/repos/{repo}/param", "{actor} read {params.repo}"))
        .event(event("ByMeta", "/repos/{repo}/meta", "{actor} read {meta.eula}"))
        .event(event("ByDeep", "/repos/{repo}/deep", "{actor} read {meta.deep}"))
        .event(event("ByEdge", "/repos/{repo}/edge", "{actor} at {meta.edge}"))
        .event(event("Quiet", "/repos/{repo}/quiet", "{event} by {actor}"));
    let groups = [FieldGroup::Repository, FieldGroup::Eula, FieldGroup::Namespace, FieldGroup::Location];
    let columns: Columns = "eventName,message".parse().unwrap();
    let (auditor, records) = auditor(|builder| {
        builder
            .catalog(catalog)
            .sink(Output::new(lines).omit(groups))
            .sink(Output::new(rows).omit(groups).format(csv(columns)))
    });
    let paths = ["path", "param", "meta", "deep", "edge", "quiet"].map(|path| get(&format!("/repos/c%6Fbalt/{path}")));
    run(&auditor, paths).await;
    let messages = |lines: Vec<String>| {
        let message = |line: &String| serde_json::from_str::<Value>(line).unwrap()["message"].clone();
        lines[1..7].iter().map(message).collect::<Vec<_>>()
    };
    let whole = messages(records.lines());
    assert_eq!(whole[0], "GET /repos/c%6Fbalt/path by jane");
    assert_eq!(whole[1], "jane read cobalt");
    assert_eq!(whole[4], "jane at LHR61");
    let shown = [
        "GET /repos/***/path by jane".into(),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        "Quiet by jane".into(),
    ];
    assert_eq!(messages(few.lines()), shown);
    let expected =
        ["ByPath,GET /repos/***/path by jane", "ByParam,", "ByMeta,", "ByDeep,", "ByEdge,", "Quiet,Quiet by jane"];
    assert_eq!(flat.lines()[2..8], expected);
}

#[tokio::test]
async fn what_one_output_shortens_stands_whole_in_another() {
    let (lines, short) = sink::memory();
    let (auditor, records) = auditor(|builder| builder.sink(Output::new(lines).max_line_bytes(1024)));
    let body = format!(r#"{{"long":"{}"}}"#, "x".repeat(4000));
    let request = Request::post("/a/b/put").header("content-type", "application/json").body(Body::from(body)).unwrap();
    run(&auditor, [request]).await;
    let [short, whole] = [&short, &records].map(|lines| lines.lines().swap_remove(1));
    assert!(short.len() < 1024 && whole.len() > 8000, "{} {}", short.len(), whole.len());
    let record: Value = serde_json::from_str(&short).unwrap();
    assert_eq!(record["request"]["bodyOmitted"]["reason"], "line");
}

/// 64 KiB in each value that a client chooses, of what each format has to escape.
#[tokio::test]
async fn no_client_makes_a_line_too_long_or_two_lines_of_one() {
    use tower_audit::format::{Format, backstage_auditor, combined, common, json};

    const LIMIT: usize = 6 * 1024;
    const HEADERS: [&str; 7] =
        ["user-agent", "referer", "x-request-id", "traceparent", "host", "x-forwarded-for", "content-type"];
    let long = |piece: &str| piece.repeat(64 * 1024 / piece.len());
    let odd = |text: &str| http::HeaderValue::from_bytes(text.as_bytes()).unwrap();
    let mut requests = vec![
        get(&format!("/acme/{}/get", long("a%0A;"))[..65_000]),
        get(&format!("/acme/npm/get?{}", long("a=%22;=&"))[..65_000]),
        Request::builder().method(&*long("M")).uri("/x").body(Body::empty()).unwrap(),
    ];
    for header in HEADERS {
        for piece in ["x", "\"", ";=", ", =", "\\", "é", "\t"] {
            requests.push(Request::get("/acme/npm/get").header(header, odd(&long(piece))).body(Body::empty()).unwrap());
        }
    }
    for piece in ["x", "\"", ";=", "\n", "\u{202e}", "\u{0}"] {
        let bodies = [json!(long(piece)), json!({ "name": long(piece) }), json!({ (long(piece)): [long(piece)] })];
        requests.extend(bodies.map(|body| {
            let request = Request::post("/acme/npm/put").header("content-type", "application/json");
            request.body(Body::from(body.to_string())).unwrap()
        }));
    }
    let sent = requests.len();
    let formats: [(Box<dyn Format>, usize); 9] = [
        (Box::new(json()), 0),
        (Box::new(json_timestamp()), 0),
        (Box::new(key_value()), 0),
        (Box::new(combined()), 0),
        (Box::new(common()), 0),
        (Box::new(backstage_auditor(&[])), 0),
        (Box::new(csv(Columns::flat())), 1),
        (Box::new(csv(Columns::client_log())), 1),
        (Box::new(csv(Columns::audit_log())), 1),
    ];
    let mut written = Vec::new();
    let (auditor, _) = auditor(|builder| {
        formats.into_iter().fold(builder, |builder, (format, headers)| {
            let (lines, kept) = sink::memory();
            written.push((kept, headers));
            builder.sink(Output::new(lines).format(format).max_line_bytes(LIMIT))
        })
    });
    run(&auditor, requests).await;
    for (at, (lines, headers)) in written.into_iter().enumerate() {
        let lines = lines.lines();
        // The start and the end of the log too.
        assert_eq!(lines.len(), sent + headers + 2, "format {at}");
        for line in lines {
            assert!(line.len() < LIMIT, "format {at}: {} bytes: {}", line.len(), &line[..200]);
            assert!(!line.chars().any(|char| char.is_control() || char == '\u{202e}'), "format {at}");
        }
    }
}

#[tokio::test]
async fn a_line_that_was_read_back_says_the_same_in_every_format() {
    let (rows, flat) = sink::memory();
    let (pairs, psono) = sink::memory();
    let (auditor, records) = auditor(|builder| {
        builder.sink(Output::new(rows).format(csv(Columns::flat()))).sink(Output::new(pairs).format(key_value()))
    });
    run(&auditor, [post("/acme/npm/put?x=%20"), get("/info"), get("/missing")]).await;
    for (at, line) in records.lines().iter().enumerate() {
        let read = tower_audit::RecordLine::parse(line).unwrap();
        let written = |format: &mut dyn tower_audit::format::Format| {
            let mut out = Vec::new();
            format.write(&read.record(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&mut csv(Columns::flat())), flat.lines()[at + 1]);
        assert_eq!(written(&mut key_value()), psono.lines()[at]);
        assert_eq!(serde_json::to_value(read.record()).unwrap(), serde_json::from_str::<Value>(line).unwrap());
    }
}

/// The record of Cloudsmith's page on log exports, from its facts.
#[tokio::test]
async fn cloudsmiths_client_log_comes_out_byte_for_byte_through_a_real_server() {
    use std::io::{Read as _, Write as _};
    use std::sync::{Arc, Mutex};
    use std::time::{SystemTime, UNIX_EPOCH};
    use tower_audit::{Clock, Credential, Entity, presets};

    #[derive(Clone)]
    struct SetClock(Arc<Mutex<Duration>>);
    impl Clock for SetClock {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + self.monotonic()
        }
        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }
    let micros = |text: &str| {
        let at: jiff::Timestamp = text.parse().unwrap();
        Duration::from_micros(u64::try_from(at.as_microsecond()).unwrap())
    };
    let clock = SetClock(Arc::new(Mutex::new(micros("2021-04-01T19:40:55Z"))));
    let (client, downloads) = sink::memory();
    let (audit, changes) = sink::memory();
    let event = Event::new("PackageDownloaded").log_type(LogType::Client).on(Method::GET, "/rpm/{*file}");
    let auditor = Auditor::builder()
        .catalog(Catalog::new().event(event))
        .sink(presets::cloudsmith::client_log(client))
        .sink(presets::cloudsmith::audit_log(audit))
        .clock(clock.clone())
        .behind_proxies(["127.0.0.1"], http::HeaderName::from_static("x-forwarded-for"))
        .build()
        .unwrap();
    let set = clock.clone();
    let handler = move |audit: Audit| async move {
        let location = Location::new().city("Newmarket").country("GB");
        let credential = Credential::new("entitlement_token").id("wKSkBFHpsNWB");
        audit.actor(Actor::user("17").slug("eP1B3YCtTlJX").credential(credential).location(location));
        audit.object(Entity::new("package").id("vmN1OlMDi3Iy").format("RedHat"));
        audit.repository("cloudsmith/testing-private");
        audit.meta("edge", "LHR61-C2");
        *set.0.lock().unwrap() = micros("2021-04-01T19:46:23.817658Z");
        vec![b'x'; 10421]
    };
    let app = Router::new().route("/rpm/{*file}", any(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let serving = tokio::spawn(axum::serve(listener, auditor.wrap_router(app)).into_future());
    let request = "GET /rpm/fedora/29/x86_64/cloudsmith-redhat-example-1.0.16173057145-1.x86_64.rpm HTTP/1.1\r\n\
                   host: dl.cloudsmith.io\r\nconnection: close\r\nuser-agent: libdnf\r\nx-forwarded-for: 82.1.4.8\r\n\
                   x-request-id: dZ3DmJ8yHU36FyH9uHoyWH4LocmlkzdKXSEuOBmnvLhA4ZF7exa5Qw==\r\n\r\n";
    let asking = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(server).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
    });
    asking.await.unwrap();
    serving.abort();
    assert!(auditor.shutdown(Duration::from_secs(30)).await.is_complete());
    assert_eq!(
        [&downloads.lines()[0], &downloads.lines()[2]],
        [
            "datetime,repository,status,method,uri,host,ip_address,bytes,city,country,edge,eula,format,package,recorded,\
             referer,request_id,token,user,user_agent",
            "2021-04-01T19:40:55+00:00,cloudsmith/testing-private,200,GET,/rpm/fedora/29/x86_64/\
             cloudsmith-redhat-example-1.0.16173057145-1.x86_64.rpm,dl.cloudsmith.io,82.1.4.8,10421,Newmarket,GB,LHR61-C2,,\
             RedHat,vmN1OlMDi3Iy,2021-04-01T19:46:23.817658+00:00,,\
             dZ3DmJ8yHU36FyH9uHoyWH4LocmlkzdKXSEuOBmnvLhA4ZF7exa5Qw==,wKSkBFHpsNWB,eP1B3YCtTlJX,libdnf",
        ]
    );
    assert_eq!(changes.lines().len(), 3, "the header, and the start and the end of the log");
}

#[cfg(feature = "testing")]
#[tokio::test]
async fn no_secret_of_a_request_is_in_any_format() {
    use tower_audit::format::{combined, common};
    use tower_audit::testing::Canaries;

    let canaries = Canaries::new();
    let mut written = Vec::new();
    let (auditor, records) = auditor(|builder| {
        let mut output = |format: Box<dyn tower_audit::format::Format>| {
            let (lines, kept) = sink::memory();
            written.push(kept);
            Output::new(lines).format(format)
        };
        builder
            .sink(output(Box::new(json_timestamp())))
            .sink(output(Box::new(csv(Columns::flat()))))
            .sink(output(Box::new(csv(Columns::client_log()))))
            .sink(output(Box::new(csv(Columns::audit_log()))))
            .sink(output(Box::new(key_value())))
            .sink(output(Box::new(combined())))
            .sink(output(Box::new(common())))
    });
    let body = json!({ "password": canaries.odd(), "pin": canaries.number() }).to_string();
    let request = Request::post(format!("/a/b/put?access_token={}", canaries.key()))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", canaries.jwt()))
        .header("referer", format!("https://x/?token={}", canaries.key()))
        .header("user-agent", format!("x {}", canaries.jwt()))
        .body(Body::from(body))
        .unwrap();
    run(&auditor, [request]).await;
    for lines in written.iter().chain([&records]) {
        assert!(lines.lines().len() >= 3);
        canaries.assert_absent(lines.lines());
    }
}

/// The handler takes from a header who acts, or on whose behalf a verified gateway does.
#[tokio::test]
async fn no_client_leaves_the_log_by_what_it_says_of_those_who_act() {
    for (name, pattern) in [("actor.onBehalfOf.actorId", "svc-probe"), ("message", "*svc-probe*")] {
        for (is_verified, expected) in [(false, &["ReadInfo"][..]), (true, &[])] {
            let event = Event::new("ReadInfo").on(Method::GET, "/info").message("{actor} read");
            let (lines, records) = sink::memory();
            let auditor = Auditor::builder()
                .catalog(Catalog::new().event(event))
                .sink(lines)
                .filter(Filter::field(name.parse().unwrap(), pattern).not())
                .build()
                .unwrap();
            let handler = move |audit: Audit, headers: http::HeaderMap| async move {
                let actor = Actor::service(headers["x-for"].to_str().unwrap());
                let actor = if is_verified { actor } else { actor.unverified() };
                let is_of_gateway = name != "message";
                audit.actor(if is_of_gateway { Actor::service("gateway").on_behalf_of(actor) } else { actor });
            };
            let app = auditor.wrap_router(Router::new().route("/info", any(handler))).into_service();
            let request = Request::get("/info").header("x-for", "svc-probe").body(Body::empty()).unwrap();
            let response = app.oneshot(request).await.unwrap();
            axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert!(auditor.shutdown(Duration::from_secs(30)).await.is_complete());
            assert_eq!(names(&records), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn no_referer_shows_what_is_left_out_whatever_host_the_request_names() {
    for referer in ["https://hub.example/repos/acme", "/acme/npm/get?x=1;repo=acme", "https://hub.example/acme/npm/get"]
    {
        let (lines, few) = sink::memory();
        let (auditor, records) = auditor(|builder| builder.sink(Output::new(lines).omit([FieldGroup::Repository])));
        // A proxy has put another name there.
        let request = Request::get("/acme/npm/get").header("host", "backend.internal").header("referer", referer);
        run(&auditor, [request.body(Body::empty()).unwrap()]).await;
        let shown = |lines: Vec<String>| {
            serde_json::from_str::<Value>(&lines[1]).unwrap()["request"]["referer"].as_str().unwrap().to_owned()
        };
        assert_eq!(shown(records.lines()), referer);
        assert!(!shown(few.lines()).contains("acme"), "{}", shown(few.lines()));
    }
}
