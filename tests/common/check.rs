//! What holds for each line of any audit log.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Container runtimes split at 16 KiB.
const LONGEST: usize = 15 * 1024;

const RECORD: &str = "timestamp level isAuditLog schema eventName eventKind logType stage status outcome message auditId instance \
                      seq startedAt durationMs requestId traceId spanId service plugin component host actor object \
                      target scope project repository namespace context meta errors response request";
const ACTOR: &str = "actorId ip port hostname client userAgent kind name url slug verified claimed credential \
                     onBehalfOf location peerIp";
const RESPONSE: &str = "status bytes bodyOmitted body";
const REQUEST: &str = "method url route protocol referer params query headers bodyOmitted body";

/// Checks every line of a log from its beginning, and gives the records.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    let records: Vec<Value> = text.split_inclusive('\n').map(line).collect();
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], at + 1, "a gap: {record}");
    }
    let mut initiated = HashSet::new();
    let mut completed: HashMap<&str, &Value> = HashMap::new();
    for record in &records {
        let id = record["auditId"].as_str().expect("the schema demands it");
        if record["stage"] == "initiation" {
            assert!(initiated.insert(id), "two initiations: {record}");
            assert!(!completed.contains_key(id), "an initiation after its completion: {record}");
        } else if let Some(first) = completed.insert(id, record) {
            panic!("two completions of one exchange:\n{first}\n{record}");
        }
    }
    records
}

/// Checks one line by itself.
pub(crate) fn line(line: &str) -> Value {
    let json = line.strip_suffix('\n').unwrap_or_else(|| panic!("no newline at the end: {line}"));
    assert!(line.len() <= LONGEST, "{} bytes: {line}", line.len());
    assert!(json.contains("\"isAuditLog\":true"), "{line}");
    assert!(!json.contains(must_be_escaped), "control characters: {line:?}");
    let record: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {line}"));
    let problems: Vec<String> =
        schema().iter_errors(&record).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{problems:#?}\n{line}");
    assert_eq!(record["status"] == "failed", record.get("errors").is_some(), "{line}");

    let Members(members) = serde_json::from_str(json).expect("it parsed above");
    in_order(members.iter().map(|(key, _)| key.as_str()), RECORD, line);
    for (key, inner) in &members {
        let order = match key.as_str() {
            "actor" => ACTOR,
            "response" => RESPONSE,
            "request" => REQUEST,
            _ => continue,
        };
        in_order(inner.iter().map(String::as_str), order, line);
    }
    record
}

fn must_be_escaped(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn in_order<'k>(keys: impl Iterator<Item = &'k str>, order: &str, line: &str) {
    let mut order = order.split_whitespace();
    for key in keys {
        assert!(order.any(|known| known == key), "`{key}` is unknown, repeated or out of order: {line}");
    }
}

fn schema() -> &'static Validator {
    static SCHEMA: OnceLock<Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let schema = include_str!("../../schema/audit-record-1.0.schema.json");
        jsonschema::validator_for(&serde_json::from_str(schema).expect("it is JSON")).expect("it is a JSON Schema")
    })
}

/// The keys of an object in their order, and of each value that is an object those of it.
struct Members(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Outer;
        impl<'de> Visitor<'de> for Outer {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let inner = match key.as_str() {
                        "actor" | "response" | "request" => map.next_value::<Keys>()?.0,
                        _ => map.next_value::<IgnoredAny>().map(|_| Vec::new())?,
                    };
                    members.push((key, inner));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Outer)
    }
}

struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Inner;
        impl<'de> Visitor<'de> for Inner {
            type Value = Keys;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Inner)
    }
}
