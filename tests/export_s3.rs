//! Exports to a real S3 server: single puts that only create, whatever goes wrong in between.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod s3;

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use s3::process::{self, Process};
use s3::{Fault, NODE_ROLE, READER, READER_SECRET, ROLE, SECRET, Server};
use tower_audit::export::{Destination, Export, Finding, Verdict};
use tower_audit::{Auditor, sink};

const URL: &str = "s3://acme-logs/app";

/// Nothing unless the tests below start it.
#[test]
fn the_process_that_exports() {
    process::serve();
}

fn start(settings: &BTreeMap<String, String>) -> Process {
    Process::start("the_process_that_exports", settings).unwrap()
}

fn refused(settings: &BTreeMap<String, String>) -> String {
    match Process::start("the_process_that_exports", settings) {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

fn settings(folder: &Path, server: &Server) -> BTreeMap<String, String> {
    process::settings(folder, server, URL)
}

fn with(settings: &BTreeMap<String, String>, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut settings = settings.clone();
    settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    settings
}

/// Everything that was recorded is there once, and only puts were asked for.
fn assert_complete(server: &Server, records: u64) {
    server.assert_only_puts();
    let found = server.verify("app");
    assert_eq!((found.verdict, found.records), (Verdict::Complete, records), "{found}");
}

#[test]
fn a_segment_is_put_with_its_checksum_its_key_and_its_acl_and_nothing_but_puts_are_asked_for() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let key = "arn:aws:kms:us-east-1:995557609558:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let more = [("TOWER_AUDIT_EXPORT_KMS_KEY_ID", key), ("TOWER_AUDIT_EXPORT_ACL", "bucket-owner-full-control")];
    let mut process = start(&with(&settings(folder.path(), &server), &more));
    process.record(3);
    assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none");
    let puts = server.puts();
    assert_eq!(puts.len(), 2);
    for put in &puts {
        let object =
            std::fs::read(server.bucket().join(put.path.strip_prefix("/acme-logs/").unwrap().replace("%3D", "=")))
                .unwrap();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&object);
        let digest = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, digest);
        assert_eq!(put.header("x-amz-checksum-sha256"), Some(&*digest));
        assert_eq!(put.header("if-none-match"), Some("*"));
        assert_eq!(put.header("x-amz-server-side-encryption"), Some("aws:kms"));
        assert_eq!(put.header("x-amz-server-side-encryption-aws-kms-key-id"), Some(key));
        assert_eq!(put.header("x-amz-acl"), Some("bucket-owner-full-control"));
        assert_eq!(put.header("content-length"), Some(&*object.len().to_string()));
        let signed =
            put.header("authorization").unwrap().split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
        let is_signed = |name: &str| signed.split(';').any(|of| of == name);
        assert!(["if-none-match", "x-amz-acl", "x-amz-checksum-sha256"].into_iter().all(is_signed), "{signed}");
    }
    assert!(puts[0].path.starts_with("/acme-logs/app/audit-logs/date%3D"), "{}", puts[0].path);
    assert!(puts[1].path.starts_with("/acme-logs/app/manifests/date%3D"), "{}", puts[1].path);
    assert_complete(&server, 4); // `AuditStarted` and three.
    assert_eq!(process.shutdown("10000"), "unexported 0 lost 0");
}

#[test]
fn a_large_segment_becomes_many_objects() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut process = start(&with(&settings(folder.path(), &server), &[("TOWER_AUDIT_EXPORT_OBJECT_BYTES", "64KiB")]));
    process.record(400);
    let answer = process.ask("export");
    let objects = server.objects().iter().filter(|name| name.starts_with("app/audit-logs/")).count();
    assert!(objects >= 4, "{objects}");
    assert_eq!(answer, format!("segments 1 objects {objects} waiting 0 error none"));
    assert_complete(&server, 401);
}

#[test]
fn what_goes_wrong_in_between_loses_and_repeats_nothing() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut process = start(&settings(folder.path(), &server));
    // What passes within one put, in each combination with whether the object was stored.
    let html = "<html>not here</html>";
    let passing = [
        vec![Fault::Answer(500, "InternalError"), Fault::Answer(503, "SlowDown")],
        vec![Fault::StoreAndAnswer(500, "InternalError")],
        vec![Fault::Answer(409, "ConditionalRequestConflict")],
        vec![Fault::DropInTheMiddle, Fault::DropInTheMiddle],
        vec![Fault::StoreAndDrop, Fault::Answer(503, "SlowDown")],
        vec![Fault::StoreAndAnswer(504, html)],
    ];
    let mut records = 1;
    for faults in passing {
        let what = format!("{faults:?}");
        process.record(2);
        server.fault(faults);
        assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none", "{what}");
        records += 2;
    }
    // What does not: the run fails and names the step; the next one goes on.
    let elsewhere = "https://elsewhere.example/acme-logs/app?X-Amz-Signature=abc".to_owned();
    for (fault, expected) in [
        (Fault::Answer(403, "AccessDenied"), "answered 403 AccessDenied: said the test"),
        (Fault::Answer(404, "NoSuchBucket"), "answered 404 NoSuchBucket: said the test"),
        (Fault::Answer(409, "InvalidBucketState"), "answered 409 InvalidBucketState: said the test"),
        (Fault::Answer(200, html), "answered 200 OK"),
        (Fault::StoreAndAnswer(403, html), "answered 403 Forbidden"),
        (
            Fault::Redirect(307, elsewhere),
            "answered 307 TemporaryRedirect: said the test; redirected to elsewhere.example, which is not followed; the bucket \
             is in eu-west-1",
        ),
        (Fault::Endless, "answered 403 Forbidden"),
    ] {
        let what = format!("{fault:?}");
        process.record(2);
        server.fault([fault]);
        let answer = process.ask("export");
        let (before, step) = answer.split_once(" error ").unwrap();
        assert_eq!(before, "segments 0 objects 0 waiting 1", "{what}");
        assert!(
            step.starts_with("cannot put s3://acme-logs/app/audit-logs/date=") && step.ends_with(expected),
            "{what}: {step}"
        );
        assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none", "{what}");
        // What is recorded of the failure is exported with the next.
        records += 2;
    }
    process.shutdown("10000");
    server.assert_only_puts();
    let found = server.verify("app");
    assert_eq!(found.verdict, Verdict::Complete, "{found}");
    assert!(found.records >= records, "{found}");
}

#[test]
fn a_server_that_is_down_for_long_gets_everything_in_the_end_and_its_failures_are_one_record() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.state(|state| state.lasting = Some(Fault::Answer(503, "SlowDown")));
    let mut process = start(&settings(folder.path(), &server));
    for waiting in 1..=3 {
        process.record(2);
        let answer = process.ask("export");
        assert!(answer.starts_with(&format!("segments 0 objects 0 waiting {waiting} error cannot put ")), "{answer}");
        assert!(answer.ends_with("answered 503 SlowDown: said the test, 4 times"), "{answer}");
    }
    server.state(|state| state.lasting = None);
    process.record(2);
    assert_eq!(process.ask("export"), "segments 4 objects 4 waiting 0 error none");
    process.shutdown("10000");
    server.assert_only_puts();
    let found = server.verify("app");
    assert_eq!(found.verdict, Verdict::Complete, "{found}");
    let texts = server.objects().into_iter().filter(|name| name.starts_with("app/audit-logs/"));
    let text: String = texts.map(|name| std::fs::read_to_string(server.bucket().join(name)).unwrap()).collect();
    let failures: Vec<&str> =
        text.lines().filter(|line| line.contains("\"eventName\":\"AuditExportFailed\"")).collect();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].contains("answered 503 SlowDown"), "{}", failures[0]);
}

#[test]
fn wrong_keys_and_a_missing_bucket_are_named_and_no_secret_is() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let right = settings(folder.path(), &server);
    let mut errors = Vec::new();
    for (more, expected) in [
        (("AWS_SECRET_ACCESS_KEY", "hunter24/wrong"), "answered 403 SignatureDoesNotMatch"),
        (("AWS_ACCESS_KEY_ID", "AKIANOBODY"), "answered 403 InvalidAccessKeyId"),
        (("TOWER_AUDIT_EXPORT_URL", "s3://no-such-bucket/app"), "answered 404 NoSuchBucket"),
    ] {
        let mut process = start(&with(&right, &[more]));
        process.record(1);
        let answer = process.ask("export");
        assert!(answer.contains(" error cannot put s3://") && answer.contains(expected), "{answer}");
        errors.push(answer);
        process.shutdown("1000");
    }
    let mut unreachable = start(&with(&right, &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]));
    unreachable.record(1);
    errors.push(unreachable.ask("export"));
    assert!(errors[3].contains("cannot be reached") && errors[3].contains("refused"), "{}", errors[3]);
    unreachable.shutdown("1000");
    let spool = std::fs::read_to_string(folder.path().join("audit.log")).unwrap();
    for secret in [SECRET, "hunter24"] {
        assert!(!errors.concat().contains(secret) && !spool.contains(secret), "{errors:?}");
    }
    let mut process = start(&right);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    server.assert_only_puts();
    assert_eq!(server.verify("app").verdict, Verdict::Complete);
}

#[test]
fn settings_that_are_wrong_are_refused_at_the_start_with_their_names() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let right = settings(folder.path(), &server);
    for (more, expected) in [
        (
            ("TOWER_AUDIT_EXPORT_URL", "s3://Acme/app"),
            "EXPORT_URL: given \"s3://Acme/app\", allowed: s3://bucket/prefix",
        ),
        (("TOWER_AUDIT_EXPORT_URL", "s3://key:hunter22@acme/app"), "EXPORT_URL: given a URL with user info"),
        (("TOWER_AUDIT_EXPORT_URL", "s3://acme/app?hunter22"), "EXPORT_URL: given a URL with user info"),
        (
            ("TOWER_AUDIT_EXPORT_ROLE_ARN", "LogsWriter"),
            "EXPORT_ROLE_ARN: given \"LogsWriter\", allowed: the ARN of a role",
        ),
        (
            ("TOWER_AUDIT_EXPORT_EXTERNAL_ID", "hunter22 x"),
            "EXPORT_EXTERNAL_ID: given a value that is not repeated here",
        ),
        (("TOWER_AUDIT_EXPORT_EXTERNAL_ID", "hunter22"), "EXPORT_EXTERNAL_ID): given without a role"),
        (("TOWER_AUDIT_EXPORT_KMS_KEY_ID", "a key"), "EXPORT_KMS_KEY_ID: given \"a key\", allowed: the id or ARN"),
        (
            ("TOWER_AUDIT_EXPORT_ACL", "public-read"),
            "EXPORT_ACL: given \"public-read\", allowed: none, bucket-owner-full-control",
        ),
        (("AWS_ENDPOINT_URL", "http://hunter22@x"), "AWS_ENDPOINT_URL: given a URL with user info"),
        (("AWS_SECRET_ACCESS_KEY", ""), "AWS_SECRET_ACCESS_KEY: given nothing"),
        (("AWS_SESSION_TOKEN", "hunter22 x"), "AWS_SESSION_TOKEN: given a value that is not repeated here"),
        (("AWS_ENDPOINT_URL", ""), "AWS_REGION: given nothing, allowed: the bucket's region"),
    ] {
        let error = refused(&with(&right, &[more]));
        assert!(error.contains(expected) && !error.contains("hunter22"), "{more:?}: {error}");
    }
    let archive = folder.path().join("archive").display().to_string();
    for (name, value) in [("ROLE_ARN", ROLE), ("KMS_KEY_ID", "alias/audit"), ("ACL", "bucket-owner-full-control")] {
        let name = format!("TOWER_AUDIT_EXPORT_{name}");
        let error = refused(&with(&right, &[("TOWER_AUDIT_EXPORT_URL", &archive), (&name, value)]));
        assert!(error.contains(&format!("({name}): given with a folder")), "{error}");
    }
}

#[test]
fn a_process_that_is_killed_during_a_put_goes_on_where_it_was() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let settings = with(&settings(folder.path(), &server), &[("TOWER_AUDIT_EXPORT_OBJECT_BYTES", "64KiB")]);
    let mut records = 0;
    // At the first object, the second, and the manifest; stored or not.
    for (pass, at) in [(0, "/audit-logs/"), (1, "/audit-logs/"), (0, "/manifests/")] {
        for fault in [Fault::Hang, Fault::StoreAndHang] {
            let what = format!("{fault:?} at {at} after {pass}");
            let mut process = start(&settings);
            process.record(200);
            records += 201;
            let silent = server.state(|state| {
                (state.pass, state.at, state.lasting) = (pass, at, Some(fault.clone()));
                state.silent
            });
            process.send("export");
            server.wait_until(|state| state.silent > silent);
            process.kill();
            server.state(|state| state.lasting = None);
            let mut process = start(&settings);
            records += 1;
            let answer = process.ask("export");
            assert!(answer.ends_with("waiting 0 error none"), "{what}: {answer}");
            process.kill();
            server.assert_only_puts();
            let found = server.verify("app");
            assert_eq!(found.verdict, Verdict::Complete, "{what}: {found}");
            assert!(found.records >= records, "{what}: {found}");
        }
    }
}

#[test]
fn a_shutdown_abandons_a_put_that_hangs_and_the_next_start_exports_it() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.state(|state| state.lasting = Some(Fault::Hang));
    let settings = settings(folder.path(), &server);
    let mut process = start(&settings);
    process.record(2);
    // A run with a limit ends with it, too.
    let answer = process.ask("export 300");
    assert!(answer.starts_with("segments 0 objects 0 "), "{answer}");
    server.wait_until(|state| state.silent == 1);
    assert_eq!(process.shutdown("300"), "unexported 1 lost 0");
    server.state(|state| state.lasting = None);
    let mut process = start(&settings);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    process.shutdown("10000");
    server.assert_only_puts();
    assert_eq!(server.verify("app").verdict, Verdict::Complete);
}

#[test]
fn two_replicas_and_a_replaced_volume_share_a_prefix() {
    let (server, one, two) = (Server::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut first, mut second) = (start(&settings(one.path(), &server)), start(&settings(two.path(), &server)));
    for _ in 0..2 {
        for process in [&mut first, &mut second] {
            process.record(5);
            assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none");
        }
    }
    first.shutdown("10000");
    for entry in std::fs::read_dir(one.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let mut replaced = start(&settings(one.path(), &server));
    replaced.record(5);
    assert_eq!(replaced.ask("export"), "segments 1 objects 1 waiting 0 error none");
    server.assert_only_puts();
    let found = server.verify("app");
    assert_eq!(found.verdict, Verdict::Complete, "{found}");
    assert_eq!(found.manifests, 6); // With the one of the shutdown.
    assert!(found.records >= 28, "{found}");
}

#[test]
fn what_another_chain_put_is_refused_however_often_it_is_tried() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let settings = settings(folder.path(), &server);
    let mut process = start(&settings);
    process.record(2);
    assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none");
    process.kill();
    // The state is lost, and the segments are not: a new chain begins.
    let state = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let state: Vec<_> = state.filter(|path| path.to_string_lossy().contains(".export-")).collect();
    assert_eq!(state.len(), 1);
    let kept = folder.path().join("kept");
    std::fs::rename(&state[0], &kept).unwrap();
    let before = server.objects();
    let mut process = start(&settings);
    for _ in 0..2 {
        let answer = process.ask("export");
        assert!(answer.contains("the name is taken by an object that this exporter did not begin"), "{answer}");
    }
    process.kill();
    assert_eq!(server.objects(), before);
    std::fs::rename(kept, &state[0]).unwrap();
    let mut process = start(&settings);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    assert_eq!(server.verify("app").verdict, Verdict::Complete);
}

/// The name of the object whose put failed.
fn named(answer: &str) -> String {
    answer.split_once("cannot put s3://acme-logs/").unwrap().1.split(": ").next().unwrap().to_owned()
}

/// A proxy's refusal does not say whether the put arrived, and nothing may be read: what is there then is taken for it.
#[test]
fn what_takes_the_name_of_a_put_that_may_have_arrived_is_found_by_verify() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut process = start(&settings(folder.path(), &server));
    process.record(2);
    server.fault([Fault::Answer(403, "<html>not here</html>")]);
    let name = named(&process.ask("export"));
    let path = server.bucket().join(&name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "somebody else's").unwrap();
    assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none");
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody else's");
    process.kill();
    server.assert_only_puts();
    let found = server.verify("app");
    let name = name.strip_prefix("app/").unwrap().to_owned();
    assert_eq!(found.verdict, Verdict::Altered, "{found}");
    let is_altered = |finding: &Finding| matches!(finding, Finding::ObjectAltered { name: at, .. } if *at == name);
    assert!(found.findings.iter().any(is_altered), "{found}");
}

#[test]
fn a_put_that_never_arrived_makes_nobodys_object_its_own() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let right = settings(folder.path(), &server);
    let mut process = start(&right);
    process.record(2);
    // Its name.
    server.fault([Fault::Answer(403, "AccessDenied")]);
    let name = named(&process.ask("export"));
    process.kill();
    let path = server.bucket().join(&name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "somebody else's").unwrap();
    let export = |more: &[(&str, &str)], faults: &[Fault], expected: &str| {
        let mut process = start(&with(&right, more));
        server.fault(faults.to_vec());
        let answer = process.ask("export");
        assert!(answer.contains(expected), "{answer}");
        process.kill();
        let mut process = start(&right);
        let answer = process.ask("export");
        assert_eq!(named(&answer), name);
        assert!(
            answer.contains("the name is taken by an object that this exporter did not begin"),
            "{expected}: {answer}"
        );
        process.kill();
    };
    server.state(|state| state.sts.answers = Some((500, "<html>")));
    export(&role(), &[], "cannot assume the role");
    export(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")], &[], "cannot be reached");
    export(&[], &[Fault::Answer(404, "NoSuchBucket")], "answered 404 NoSuchBucket");
    export(&[], &vec![Fault::Answer(503, "SlowDown"); 4], "answered 503 SlowDown: said the test, 4 times");
    export(&[], &vec![Fault::Answer(409, "OperationAborted"); 4], "answered 409 OperationAborted");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody else's");
    std::fs::remove_file(&path).unwrap();
    let mut process = start(&right);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    server.assert_only_puts();
    assert_eq!(server.verify("app").verdict, Verdict::Complete);
}

/// The settings of Cloudsmith's page.
fn role<'a>() -> [(&'a str, &'a str); 2] {
    [("TOWER_AUDIT_EXPORT_ROLE_ARN", ROLE), ("TOWER_AUDIT_EXPORT_EXTERNAL_ID", "acme-8f1c")]
}

#[test]
fn a_role_is_assumed_with_its_external_id_and_its_keys_are_used_until_they_end() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut process = start(&with(&settings(folder.path(), &server), &role()));
    for _ in 0..2 {
        process.record(2);
        assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none");
    }
    let keys = |server: &Server| -> Vec<String> {
        let key = |put: s3::Seen| put.header("authorization").unwrap().split(['=', '/']).nth(1).unwrap().to_owned();
        server.puts().into_iter().map(key).collect()
    };
    assert_eq!(keys(&server), ["ASIA1"; 4], "one key for all puts of an hour");
    // They end sooner than they said: new ones are asked for at once.
    server.fault([Fault::Answer(400, "ExpiredToken")]);
    process.record(2);
    assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none");
    assert_eq!(keys(&server)[4..], ["ASIA1", "ASIA2", "ASIA2"]);
    process.kill();
    // What a server repeats of the role's keys is not repeated.
    server.fault([Fault::Answer(400, "<Error><Code>InvalidToken</Code><Message>What is t0ken+1=?</Message></Error>")]);
    let mut process = start(&with(&settings(folder.path(), &server), &role()));
    server.state(|state| state.sts.given.clear());
    process.record(2);
    let answer = process.ask("export");
    assert!(answer.ends_with("answered 400, with a secret in its message"), "{answer}");
    process.kill();
    let before = keys(&server).len();
    // Keys that are over are used once, and then asked for again.
    server.state(|state| state.sts.lifetime = std::time::Duration::ZERO);
    let mut process = start(&with(&settings(folder.path(), &server), &role()));
    process.record(2);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    let last = keys(&server).split_off(before);
    assert!(last.len() >= 2 && last.windows(2).all(|pair| pair[0] != pair[1]), "{last:?}");
    server.assert_only_puts();
    let found = server.verify("app");
    assert_eq!(found.verdict, Verdict::Complete, "{found}");
    let spool = std::fs::read_to_string(folder.path().join("audit.log")).unwrap();
    assert!(!spool.contains("acme-8f1c"));
}

#[test]
fn a_role_that_is_not_given_is_named_with_its_step() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let right = with(&settings(folder.path(), &server), &role());
    let step = format!("error cannot assume the role {ROLE} at {}: ", server.url());
    let mut errors = String::new();
    let other = ROLE.replace("Writer", "Reader");
    for (more, expected) in [
        (("TOWER_AUDIT_EXPORT_EXTERNAL_ID", "hunter22"), "answered 403 AccessDenied: said the test"),
        (("AWS_SECRET_ACCESS_KEY", "hunter24"), "answered 403 SignatureDoesNotMatch: said the test"),
        (("AWS_ACCESS_KEY_ID", "AKIANOBODY"), "answered 403 InvalidClientTokenId: said the test"),
        (("AWS_REGION", "eu-central-1"), "answered 403 SignatureDoesNotMatch: said the test"),
        (("TOWER_AUDIT_EXPORT_ROLE_ARN", &*other), "answered 403 AccessDenied: said the test"),
    ] {
        let mut process = start(&with(&right, &[more]));
        process.record(1);
        let answer = process.ask("export");
        assert!(answer.ends_with(expected) && (answer.contains(&step) || other == more.1), "{more:?}: {answer}");
        errors += &answer;
        process.kill();
    }
    for (status, body, expected) in [
        (200, "<html>welcome</html>", "answered 200 without keys: is it an STS?"),
        (200, "<Credentials><AccessKeyId>A</AccessKeyId></Credentials>", "answered 200 without keys: is it an STS?"),
        (500, "<html>", "answered 500 Internal Server Error"),
    ] {
        server.state(|state| state.sts.answers = Some((status, body)));
        let mut process = start(&right);
        process.record(1);
        let answer = process.ask("export");
        assert!(answer.contains(&step) && answer.ends_with(expected), "{answer}");
        process.kill();
    }
    server.state(|state| state.sts.answers = None);
    let mut process = start(&with(&right, &[("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")]));
    process.record(1);
    let answer = process.ask("export");
    assert!(answer.contains("at http://127.0.0.1:1: cannot be reached"), "{answer}");
    process.kill();
    assert!(!errors.contains("hunter2") && !errors.contains("acme-8f1c"), "{errors}");
    assert!(server.puts().is_empty());
    let mut process = start(&right);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    server.assert_only_puts();
    assert_eq!(server.verify("app").verdict, Verdict::Complete);
}

#[test]
fn a_bucket_is_verified_with_other_keys_and_says_what_a_folder_would() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let settings = with(&settings(folder.path(), &server), &[("TOWER_AUDIT_EXPORT_OBJECT_BYTES", "64KiB")]);
    let mut process = start(&settings);
    for _ in 0..2 {
        process.record(200);
        assert!(process.ask("export").ends_with("waiting 0 error none"));
    }
    let told = |server: &Server| server.verify("app").to_string().replace('\n', " // ");
    let denied = process.ask(&format!("verify {URL}"));
    assert_eq!(
        denied,
        "export destination s3://acme-logs/app: cannot be listed: answered 403 AccessDenied: said the test"
    );
    process.shutdown("10000");
    server.state(|state| state.refused.clear());
    let reader = tempfile::tempdir().unwrap();
    let keys = [("AWS_ACCESS_KEY_ID", READER), ("AWS_SECRET_ACCESS_KEY", READER_SECRET)];
    let mut reader = start(&with(&process::settings(reader.path(), &server, URL), &keys));
    let verified = reader.ask(&format!("verify {URL}"));
    assert!(verified.starts_with("complete: "), "{verified}");
    assert_eq!(verified, told(&server));
    // A byte changed, an object gone, one added, a manifest gone.
    let names = server.objects();
    let of = |kind: &str| names.iter().filter(|name| name.starts_with(&format!("app/{kind}/"))).collect::<Vec<_>>();
    let (objects, manifests) = (of("audit-logs"), of("manifests"));
    let path = |name: &str| server.bucket().join(name);
    let mut bytes = std::fs::read(path(objects[0])).unwrap();
    bytes[20] ^= 1;
    std::fs::write(path(objects[0]), bytes).unwrap();
    std::fs::remove_file(path(objects[1])).unwrap();
    std::fs::write(path("app/audit-logs/date=2026-11-20/other.json"), "{}")
        .or_else(|_| {
            std::fs::create_dir_all(path("app/audit-logs/date=2026-11-20"))?;
            std::fs::write(path("app/audit-logs/date=2026-11-20/other.json"), "{}")
        })
        .unwrap();
    std::fs::remove_file(path(manifests[0])).unwrap();
    let verified = reader.ask(&format!("verify {URL}"));
    assert!(verified.starts_with("altered: "), "{verified}");
    assert_eq!(verified, told(&server));
    // Keys that have no name here do not end it.
    server.state(|state| {
        state.listed = ("app/manifests/", "<CommonPrefixes><Prefix>app/manifests//</Prefix></CommonPrefixes>");
    });
    let with_stray = reader.ask(&format!("verify {URL}"));
    assert_eq!(with_stray.replace(" // object that no manifest names: manifests//", ""), verified);
    assert_ne!(with_stray, verified);
    let nothing = reader.ask("verify s3://acme-logs/nothing");
    assert!(nothing.starts_with("unverifiable: 0 manifests") && nothing.contains("no manifest"), "{nothing}");
    let missing = reader.ask("verify s3://no-such-bucket/app");
    assert!(
        missing.starts_with("export destination s3://no-such-bucket/app: cannot be listed: answered 404"),
        "{missing}"
    );
    assert!(
        server.puts().iter().all(|put| put.header("authorization").unwrap().contains(s3::KEY)),
        "verify changes nothing"
    );
}

#[test]
fn keys_come_from_a_container_or_from_the_instance_where_none_are_given() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut settings = settings(folder.path(), &server);
    settings.remove("AWS_ACCESS_KEY_ID");
    settings.remove("AWS_SECRET_ACCESS_KEY");
    let token = folder.path().join("pod-token");
    std::fs::write(&token, "pod-t0ken").unwrap();
    let container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", server.url())),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.display().to_string()),
    ];
    let instance = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url())];
    for vars in [&container[..], &instance[..]] {
        let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (*name, &**value)).collect();
        let mut process = start(&with(&settings, &vars));
        process.record(1);
        let answer = process.ask("export");
        assert!(answer.ends_with("waiting 0 error none"), "{answer}");
        process.shutdown("10000");
    }
    assert_eq!(server.verify("app").verdict, Verdict::Complete);
    std::fs::write(&token, "other").unwrap();
    let vars: Vec<(&str, &str)> = container.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut process = start(&with(&settings, &vars));
    process.record(1);
    let answer = process.ask("export");
    let step =
        "error cannot get the container's credentials of AWS_CONTAINER_CREDENTIALS_FULL_URI: answered 401 Unauthorized";
    assert!(answer.contains(step), "{answer}");
    process.kill();
    let mut process = start(&with(&settings, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")]));
    process.record(1);
    let answer = process.ask("export");
    assert!(answer.contains("error cannot get the instance's metadata: cannot be reached"), "{answer}");
}

/// A service account of Kubernetes: a token in a file, for the keys of a role, from an STS that is asked through TLS.
#[test]
fn a_web_identity_is_exchanged_for_keys_and_its_file_is_read_anew() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let (settings, token) = web_identity(&server, folder.path());
    let rotate = |to: &str| {
        std::fs::write(&token, to).unwrap();
        server.state(|state| state.sts.web_token = to.to_owned());
    };
    rotate("eyJ.hunter22.one");
    let mut process = start(&settings);
    process.record(1);
    assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none");
    let last_key = |server: &Server| server.puts().last().unwrap().header("authorization").unwrap().to_owned();
    assert!(last_key(&server).contains("Credential=ASIA1/"), "{}", last_key(&server));
    // The platform has put another token there, and the keys of the one before have ended.
    rotate("eyJ.hunter22.two");
    server.fault([Fault::Answer(400, "ExpiredToken")]);
    process.record(1);
    assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none");
    assert!(last_key(&server).contains("Credential=ASIA2/"), "{}", last_key(&server));
    assert_eq!(server.state(|state| state.sts.web_tokens.clone()), ["eyJ.hunter22.one", "eyJ.hunter22.two"]);
    process.shutdown("10000");
    // With its keys another role is assumed.
    let mut process = start(&with(&settings, &role()));
    process.record(1);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    assert!(last_key(&server).contains("Credential=ASIA4/"), "{}", last_key(&server));
    process.shutdown("10000");
    server.assert_only_puts();
    assert_eq!(server.verify("app").verdict, Verdict::Complete);
}

/// Settings with a web identity in place of keys, and the file of its token, which is not there yet.
fn web_identity(server: &Server, folder: &Path) -> (BTreeMap<String, String>, std::path::PathBuf) {
    let token = folder.join("token");
    let (url, authority) = (server.secure_url(), Server::authority());
    let more = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", NODE_ROLE),
        ("AWS_ROLE_SESSION_NAME", "exporter-1"),
        ("AWS_ENDPOINT_URL_STS", &url),
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
    ];
    let mut settings = with(&settings(folder, server), &more);
    settings.retain(|name, _| !name.starts_with("AWS_ACCESS") && !name.starts_with("AWS_SECRET"));
    (settings, token)
}

#[test]
fn a_web_identity_that_is_missing_or_refused_names_its_step_and_repeats_no_token() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let (right, token) = web_identity(&server, folder.path());
    server.state(|state| state.sts.web_token = "eyJ.hunter22".to_owned());
    let mut errors = String::new();
    let mut fails = |settings: &BTreeMap<String, String>, expected: &str| {
        let mut process = start(settings);
        process.record(1);
        let answer = process.ask("export");
        let step = "error cannot get the web identity of AWS_WEB_IDENTITY_TOKEN_FILE: ";
        assert!(answer.contains(step) && answer.contains(expected), "{expected}: {answer}");
        errors += &answer;
        process.kill();
    };
    fails(&right, &format!("token file '{}'", token.display()));
    std::fs::write(&token, "").unwrap();
    fails(&right, "answered 400 ValidationError");
    std::fs::write(&token, b"hunter22 \xff").unwrap();
    fails(&right, "UTF-8");
    std::fs::write(&token, "eyJ.hunter22.of-somebody-else").unwrap();
    fails(&right, "answered 400 InvalidIdentityToken");
    std::fs::write(&token, "eyJ.hunter22").unwrap();
    fails(&with(&right, &[("AWS_ROLE_ARN", ROLE)]), "answered 403 AccessDenied");
    // A server whose certificate nobody trusts, and one that asks for nothing to be encrypted.
    let sent = server.state(|state| state.requests.len());
    let other = Server::authority().with_file_name("other-ca.pem");
    fails(&with(&right, &[("SSL_CERT_FILE", other.to_str().unwrap())]), "invalid peer certificate: UnknownIssuer");
    fails(&with(&right, &[("AWS_ENDPOINT_URL_STS", &server.url())]), "URL scheme is not allowed");
    assert_eq!(server.state(|state| state.requests.len()), sent, "the token was sent");
    let spool: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && *path != token)
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert!(!errors.contains("hunter22") && !spool.concat().contains("hunter22"), "{errors}");
    assert!(server.puts().is_empty());
    let mut process = start(&right);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    server.assert_only_puts();
    assert_eq!(server.verify("app").verdict, Verdict::Complete);
}

#[test]
fn a_page_in_place_of_keys_is_an_error_that_names_the_step() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let page = "<html>\n\nhunter22</html>";
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{page}", page.len());
        }
    });
    let right = settings(folder.path(), &server);
    let mut wrong = with(&right, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{address}"))]);
    wrong.retain(|name, _| !name.starts_with("AWS_ACCESS") && !name.starts_with("AWS_SECRET"));
    let mut process = start(&wrong);
    process.record(1);
    for _ in 0..2 {
        let answer = process.ask("export");
        assert!(answer.contains("error cannot get the instance's metadata: panicked"), "{answer}");
        assert!(!answer.contains("hunter22"), "{answer}");
    }
    process.kill();
    let mut process = start(&right);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    server.assert_only_puts();
}

#[test]
fn keys_of_a_machine_that_have_ended_are_asked_for_again() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut settings = with(&settings(folder.path(), &server), &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url())]);
    settings.retain(|name, _| !name.starts_with("AWS_ACCESS") && !name.starts_with("AWS_SECRET"));
    let mut process = start(&settings);
    process.record(1);
    server.fault([Fault::Answer(400, "ExpiredToken")]);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    process.record(1);
    // Once for each put.
    server.fault([Fault::Answer(400, "ExpiredToken"), Fault::Answer(400, "ExpiredToken")]);
    assert!(process.ask("export").ends_with("answered 400 ExpiredToken: said the test"));
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    server.assert_only_puts();
}

#[test]
fn a_server_that_speaks_no_http_is_an_error_and_nothing_is_lost() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\0\xff");
        }
    });
    let right = settings(folder.path(), &server);
    let mut process = start(&with(&right, &[("AWS_ENDPOINT_URL", &format!("http://{address}"))]));
    process.record(1);
    let answer = process.ask("export");
    assert!(answer.contains("error cannot put s3://acme-logs/app/audit-logs/"), "{answer}");
    process.kill();
    let mut process = start(&right);
    assert!(process.ask("export").ends_with("waiting 0 error none"));
    server.assert_only_puts();
    assert_eq!(server.verify("app").verdict, Verdict::Complete);
}

/// Another implementation than that of this test: PyPI's `moto[server]`, where it is installed.
#[test]
#[allow(clippy::print_stdout, reason = "it says that it was skipped")]
fn moto_takes_what_is_put_and_gives_a_role() {
    let python = |code: &str| {
        std::process::Command::new("python3").args(["-c", code]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    };
    let is_there = |mut child: std::process::Child| child.wait().is_ok_and(|status| status.success());
    if !python("import moto.server, flask, flask_cors").is_ok_and(is_there) {
        println!("skipped: PyPI's moto[server] is not installed");
        return;
    }
    let serve = "from moto.server import ThreadedMotoServer as S; import time\n\
                 s = S(ip_address='127.0.0.1', port=0, verbose=False); s.start()\n\
                 print(s.get_host_and_port()[1], flush=True); time.sleep(600)";
    struct Moto(std::process::Child);
    impl Drop for Moto {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let mut moto = Moto(python(serve).unwrap());
    let mut port = String::new();
    std::io::BufReader::new(moto.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let url = format!("http://127.0.0.1:{}", port.trim());
    let mut stream = std::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    let create = "PUT /acme-logs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(create.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let settings = with(
        &settings(folder.path(), &server),
        &[("AWS_ENDPOINT_URL", &url), ("TOWER_AUDIT_EXPORT_KMS_KEY_ID", "alias/audit")],
    );
    let mut process = start(&with(&settings, &role()));
    process.record(3);
    assert_eq!(process.ask("export"), "segments 1 objects 1 waiting 0 error none");
    let verified = process.ask(&format!("verify {URL}"));
    assert!(verified.starts_with("complete: 1 manifests, 1 objects, 4 records"), "{verified}");
    process.kill();
    assert!(server.puts().is_empty());
}

#[test]
fn in_code_each_log_type_has_a_destination_a_role_and_a_format_of_its_own() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut settings = settings(folder.path(), &server);
    settings.retain(|name, _| name.starts_with("AWS_"));
    settings.insert(process::IN_CODE.to_owned(), folder.path().join("spool.log").display().to_string());
    let mut process = start(&settings);
    process.record(2);
    assert_eq!(process.ask("download 3"), "recorded");
    assert_eq!(process.ask("export"), "segments 2 objects 2 waiting 0 error none");
    assert_eq!(process.shutdown("10000"), "unexported 0 lost 0");
    server.assert_only_puts();
    let (audit, client) = (server.verify("audit"), server.verify("client"));
    assert_eq!(
        (audit.verdict, client.verdict, client.records),
        (Verdict::Complete, Verdict::Complete, 3),
        "{audit}\n{client}"
    );
    for put in server.puts() {
        let is_audit = put.path.starts_with("/acme-logs/audit/");
        assert_eq!(put.header("authorization").unwrap().contains("Credential=ASIA1/"), is_audit, "{}", put.path);
        assert_eq!(put.header("x-amz-acl").is_some(), is_audit);
        assert_eq!(put.header("x-amz-server-side-encryption-aws-kms-key-id").is_some(), !is_audit);
    }
    let is_named =
        |start: &str, end: &str| server.objects().iter().any(|name| name.starts_with(start) && name.ends_with(end));
    assert!(
        is_named("audit/audit-logs/", ".csv") && is_named("client/client-logs/", ".log.gz"),
        "{:?}",
        server.objects()
    );
}

#[test]
fn what_is_wrong_in_code_is_named_and_no_external_id_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let to = |destination: Destination| {
        let export = Export::to(destination);
        let debug = format!("{export:?}");
        assert!(!debug.contains("hunter22"), "{debug}");
        let spool = sink::file(folder.path().join("spool.log"));
        Auditor::builder().export(spool, export).build().map(drop).map_err(|error| error.to_string())
    };
    let bucket = || Destination::new("s3://acme-logs/app").region("eu-central-1");
    for (destination, expected) in [
        (
            bucket().role_arn("LogsWriter"),
            "export role_arn (TOWER_AUDIT_EXPORT_ROLE_ARN): given \"LogsWriter\", allowed: the ARN",
        ),
        (bucket().external_id("hunter22"), "export external_id (TOWER_AUDIT_EXPORT_EXTERNAL_ID): given without a role"),
        (bucket().role_arn(ROLE).external_id("hunter22 "), "EXTERNAL_ID): given a value that is not repeated here"),
        (bucket().kms_key_id(""), "export kms_key_id (TOWER_AUDIT_EXPORT_KMS_KEY_ID): given nothing"),
        (bucket().region("EU"), "export region: given \"EU\", allowed: a region such as eu-central-1"),
        (
            Destination::new("s3://k:hunter22@acme-logs"),
            "export destination (TOWER_AUDIT_EXPORT_URL): given a URL with user info",
        ),
    ] {
        let error = to(destination).unwrap_err();
        assert!(error.contains(expected) && !error.contains("hunter22"), "{error}");
    }
    let twice = Export::to(bucket()).and_to(Destination::new("s3://acme-logs/app/").region("eu-central-1"));
    let error = Auditor::builder().export(sink::file(folder.path().join("spool.log")), twice).build().unwrap_err();
    assert!(error.to_string().contains("export destination s3://acme-logs/app: given twice"), "{error}");
}

#[test]
fn the_policies_of_the_guide_are_json() {
    let guide = include_str!("../src/guide/export.md");
    let blocks: Vec<&str> = guide.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 4);
    for block in blocks {
        serde_json::from_str::<serde_json::Value>(block).unwrap();
    }
}
