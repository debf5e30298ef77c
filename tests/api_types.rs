//! What public types can be used for: shared between threads, moved into tasks, kept in struct fields, printed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use tower_audit::scope::{FileScopeStore, ScopeChange, ScopeRules, Scopes};
use tower_audit::segment::{Seen, Segment, SegmentReader};
use tower_audit::sink::{File, FileOptions, Memory, MemoryRecords, Output, Sink, Stderr, Stdout, Tracing};
use tower_audit::{
    Activity, ActivityBuilder, Actor, Audit, AuditLayer, Auditor, AuditorBuilder, BodyAs, Catalog, Counters, Delivery,
    Error, Event, Field, FieldGroup, Filter, Level, Lists, LogType, Outcome, Reads, Record, RecordLine, Redactor,
    RedactorBuilder, ShutdownReport, SinkState, Stages, Status, UserAgentKey, format,
};

fn sent<T: Send + Debug>() {}
fn shared<T: Send + Sync + Debug>() {}
fn named<T: Copy + Send + Sync + Debug + Display + PartialEq>() {}

#[test]
fn handles_and_values_are_shared_between_threads_and_builders_are_moved_into_them() {
    shared::<Auditor>();
    shared::<Audit>();
    shared::<AuditLayer>();
    shared::<Activity>();
    shared::<Actor>();
    shared::<Catalog>();
    shared::<Event>();
    shared::<Counters>();
    shared::<Error>();
    shared::<Field>();
    shared::<Lists>();
    shared::<MemoryRecords>();
    shared::<RecordLine>();
    shared::<Redactor>();
    shared::<RedactorBuilder>();
    shared::<ShutdownReport>();
    shared::<FileOptions>();
    shared::<FileScopeStore>();
    shared::<ScopeChange>();
    shared::<ScopeRules>();
    shared::<Scopes>();
    shared::<Seen>();
    shared::<Segment>();
    sent::<SegmentReader>();
    sent::<Record<'_>>();
    sent::<AuditorBuilder>();
    sent::<ActivityBuilder>();
    sent::<Filter>();
    sent::<Output>();
    sent::<File>();
    sent::<Memory>();
    sent::<Stdout>();
    sent::<Stderr>();
    sent::<Tracing>();
    sent::<format::Csv>();
    sent::<format::Json>();
    sent::<format::KeyValue>();
}

#[test]
fn names_of_closed_sets_are_printed_and_those_of_settings_are_read() {
    fn setting<T>(names: &[&str])
    where
        T: FromStr<Err = Error> + Display + for<'de> serde::Deserialize<'de> + serde::Serialize,
    {
        for name in names {
            let read: T = name.parse().unwrap();
            assert_eq!(read.to_string(), *name);
            let json = serde_json::to_value(&read).unwrap();
            assert_eq!(json, *name);
            assert_eq!(serde_json::from_value::<T>(json).unwrap().to_string(), *name);
        }
        let error = "Nonsense".parse::<T>().map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), format!("given \"Nonsense\", allowed: {}", names.join(", ")));
    }

    setting::<BodyAs>(&["json", "string"]);
    setting::<Delivery>(&["lossy", "backpressure", "durable", "fail_closed"]);
    setting::<FieldGroup>(&["eula", "location", "addresses", "namespace", "repository", "user_agent", "bodies"]);
    setting::<Level>(&["debug", "info", "warn", "error"]);
    setting::<LogType>(&["audit", "client"]);
    setting::<Reads>(&["skip", "lossy", "debug", "record"]);
    setting::<Stages>(&["completion", "both", "initiation"]);
    setting::<UserAgentKey>(&["client", "userAgent", "both"]);
    #[cfg(feature = "export")]
    setting::<tower_audit::export::ExportFormat>(&["csv", "json", "json_timestamp", "combined"]);

    named::<Outcome>();
    named::<SinkState>();
    named::<Status>();
    named::<format::SeverityLevel>();
}

/// Named types stand in struct fields, in `match` arms, and behind one box.
#[test]
fn sinks_and_errors_are_named_types() {
    struct Server {
        file: Result<File, Error>,
        lines: Memory,
    }

    let folder = tempfile::tempdir().unwrap();
    let server = Server { file: tower_audit::sink::file(folder.path()).open(), lines: tower_audit::sink::memory().0 };
    let boxed: Box<dyn Sink> = match server.file {
        Ok(file) => Box::new(file),
        Err(error) => {
            let error: Box<dyn StdError + Send + Sync> = error.into();
            assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
            Box::new(server.lines)
        }
    };
    let auditor = Auditor::builder().sink(boxed).build().unwrap();
    assert!(auditor.shutdown_blocking(std::time::Duration::from_secs(10)).is_complete());
}
