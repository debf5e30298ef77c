//! The manifests for OpenShift and Kubernetes are what their versions take, and their filters keep exactly the audit lines.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use regex::Regex;
use serde::Deserialize as _;
use serde_json::Value;

use crate::arrived::{lines, mix};
use crate::hub::Hub;
use crate::programs::Place;
use crate::{REQUESTS, example};

fn documents(text: &str) -> Vec<Value> {
    serde_norway::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn manifest(name: &str) -> Vec<Value> {
    documents(&fs::read_to_string(example(name)).unwrap())
}

/// What the API's version does not take.
fn problems(manifest: &Value) -> Vec<String> {
    let name = format!("{}.{}", manifest["apiVersion"].as_str().unwrap(), manifest["kind"].as_str().unwrap());
    let file = format!("tests/forwarders/schema/{}.json", name.replace('/', "_").to_lowercase());
    let schema = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    schema.iter_errors(manifest).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The two versions of ClusterLogForwarder.
fn forwarders() -> [Value; 2] {
    let forwarder =
        |name| manifest(name).into_iter().find(|document| document["kind"] == "ClusterLogForwarder").unwrap();
    [forwarder("openshift/logging-v1.yaml"), forwarder("openshift/observability-v1.yaml")]
}

#[test]
fn each_manifest_of_openshift_fits_the_version_of_the_api_that_it_names() {
    for document in manifest("openshift/logging-v1.yaml").iter().chain(&manifest("openshift/observability-v1.yaml")) {
        assert_eq!(problems(document), Vec::<String>::new(), "{document}");
    }
}

#[test]
fn a_forwarder_that_mixes_both_versions_fits_neither() {
    // As on the page of Developer Hub 1.4: fields of Logging 6 and of Logging 5 under the name of Logging 5.
    let mixed = r"
metadata: {name: instance, namespace: openshift-logging}
kind: ClusterLogForwarder
spec:
  serviceAccount: {name: log-collector}
  inputs:
    - name: my-app-logs-input
      type: application
      application:
        includes: [{namespace: my-developer-hub-namespace}]
        containerLimit: {maxRecordsPerSecond: 100}
  outputs:
    - name: splunk-receiver-application
      type: splunk
      splunk:
        authentication: {token: {key: hecToken, secretName: splunk-secret}}
        index: main
        url: 'https://my-splunk-instance-url'
        rateLimit: {maxRecordsPerSecond: 250}
        tuning: {delivery: AtLeastOnce, compression: none, minRetryDuration: 1s, maxRetryDuration: 10s}
  pipelines:
    - name: my-app-logs-pipeline
      detectMultilineErrors: true
      inputRefs: [my-app-logs-input]
      outputRefs: [splunk-receiver-application]
";
    let found = |version: &str| problems(&documents(&format!("apiVersion: {version}{mixed}"))[0]).join("\n");
    let old = found("logging.openshift.io/v1");
    assert!(["/spec: ", "/spec/inputs/0: ", "/spec/outputs/0/splunk: "].iter().all(|at| old.contains(at)), "{old}");
    let new = found("observability.openshift.io/v1");
    let wrong =
        ["/spec/inputs/0/application: ", "/spec/outputs/0/splunk: ", "/spec/pipelines/0: ", "minRetryDuration: "];
    assert!(wrong.iter().all(|at| new.contains(at)), "{new}");
}

#[test]
fn what_a_forwarder_refers_to_is_there() {
    let access = manifest("openshift/access.yaml");
    let named = |kind: &str| access.iter().find(|document| document["kind"] == kind).unwrap();
    let (account, secret) = (&named("ServiceAccount")["metadata"], named("Secret"));
    assert_eq!(&named("ClusterRoleBinding")["subjects"][0]["name"], &account["name"]);
    assert_eq!(named("ClusterRoleBinding")["roleRef"]["name"], "collect-application-logs");
    let [old, new] = forwarders();
    for forwarder in [&old, &new] {
        assert_eq!(forwarder["metadata"]["namespace"], account["namespace"]);
        let spec = &forwarder["spec"];
        for (kind, references) in [("inputs", "inputRefs"), ("filters", "filterRefs"), ("outputs", "outputRefs")] {
            for reference in spec["pipelines"][0][references].as_array().unwrap() {
                let defined = spec[kind].as_array().unwrap();
                assert!(defined.iter().any(|definition| definition["name"] == *reference), "{references}: {reference}");
            }
        }
    }
    assert_eq!(old["spec"]["serviceAccountName"], account["name"]);
    assert_eq!(new["spec"]["serviceAccount"]["name"], account["name"]);
    assert_eq!(old["spec"]["outputs"][0]["secret"]["name"], secret["metadata"]["name"]);
    let output = &new["spec"]["outputs"][0];
    for reference in [&output["splunk"]["authentication"]["token"], &output["tls"]["ca"]] {
        assert_eq!(reference["secretName"], secret["metadata"]["name"]);
        assert!(secret["stringData"][reference["key"].as_str().unwrap()].is_string());
    }
}

/// The expression of a filter: a line that does not match is dropped. The collector is Vector, whose engine this is.
fn kept_by(forwarder: &Value, filter: &str) -> Regex {
    let filters = forwarder["spec"]["filters"].as_array().unwrap();
    let test = &filters.iter().find(|found| found["name"] == filter).unwrap()["drop"][0]["test"][0];
    assert_eq!(test["field"], ".message");
    Regex::new(test["notMatches"].as_str().unwrap()).unwrap()
}

#[test]
fn the_recommended_filter_keeps_exactly_the_audit_lines_and_the_documented_one_all_of_them() {
    let place = Place::new();
    let mut hub = Hub::start(Stdio::piped(), &[]);
    let mixed = mix(hub.stdout(), place.stdout());
    hub.load(REQUESTS, || ());
    hub.stop();
    let written = mixed.join().unwrap();
    let all = fs::read(place.stdout()).unwrap();
    let text = |line: &[u8]| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
    for forwarder in &forwarders() {
        let recommended = kept_by(forwarder, "audit-records-only");
        let kept: Vec<&[u8]> = lines(&all).into_iter().filter(|line| recommended.is_match(&text(line))).collect();
        assert!(kept == lines(&written.audit), "{} lines kept of {}", kept.len(), lines(&written.audit).len());
        let documented = kept_by(forwarder, "audit-logs-only");
        assert!(lines(&written.audit).iter().all(|line| documented.is_match(&text(line))));
        // Imitations that others write pass it; nothing that goes through the application's own log layer does.
        let imitations = crate::imitations::lines();
        let passes = lines(&written.rest).into_iter().filter(|line| documented.is_match(&text(line)));
        for line in passes {
            assert!(imitations.iter().any(|imitation| line.strip_suffix(b"\n") == Some(imitation)), "{}", text(line));
        }
    }
}

#[test]
fn every_configuration_selects_on_the_same_beginning() {
    let [old, new] = forwarders();
    let beginning = kept_by(&new, "audit-records-only");
    assert_eq!(kept_by(&old, "audit-records-only").as_str(), beginning.as_str());
    let names =
        |folder: &str| fs::read_dir(example(folder)).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let configurations: Vec<_> = ["rsyslog", "syslog-ng", "vector", "fluent-bit"].into_iter().flat_map(names).collect();
    assert_eq!(configurations.len(), 10);
    for path in configurations {
        // rsyslog escapes backslashes in strings, and its pattern goes on from the runtime's prefix.
        let text = fs::read_to_string(&path).unwrap().replace("\\\\", "\\");
        assert!(text.contains(beginning.as_str().trim_start_matches('^')), "{}", path.display());
    }
}

#[test]
fn each_part_of_a_vector_configuration_reads_from_another() {
    for name in ["file", "pipe", "containers"] {
        let configuration = manifest(&format!("vector/{name}.yaml")).remove(0);
        let parts = |kind: &str| configuration[kind].as_object().unwrap().clone();
        let mut known: Vec<String> = parts("sources").keys().chain(parts("transforms").keys()).cloned().collect();
        known.extend(["split.audit".to_owned(), "split._unmatched".to_owned()]);
        let readers = parts("transforms").into_iter().chain(parts("sinks"));
        for (reader, part) in readers {
            let inputs = part["inputs"].as_array().unwrap();
            assert!(
                inputs.iter().all(|input| known.iter().any(|known| input == known)),
                "{name}: {reader} reads {inputs:?}"
            );
        }
    }
}

/// What a `const NAME: Duration = Duration::from_secs(N);` of the example says.
fn seconds(file: &str, name: &str) -> u64 {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/developer_hub").join(file)).unwrap();
    let declared = format!("const {name}: Duration = Duration::from_secs(");
    let (_, rest) = text.split_once(&declared).unwrap();
    rest.split_once(')').unwrap().0.parse().unwrap()
}

#[test]
fn a_pod_has_time_to_stop_and_may_write_nothing_but_its_records() {
    let stopping = seconds("server.rs", "SHUTDOWN_DEADLINE") + seconds("main.rs", "AUDIT_DEADLINE");
    for (name, sink) in [("deployment", None), ("file-sink", Some("/var/log/audit"))] {
        let workload = manifest(&format!("kubernetes/{name}.yaml")).remove(0);
        let pod = &workload["spec"]["template"]["spec"];
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > stopping);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            assert_eq!(container[probe]["exec"]["command"][2], "http://127.0.0.1:7007/healthz");
        }
        let mounted = container["volumeMounts"].as_array().map(|mounts| mounts[0]["mountPath"].as_str().unwrap());
        assert_eq!(mounted, sink);
    }
}
