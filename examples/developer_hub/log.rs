//! Ordinary logs: lines of JSON among the audit records on stdout, none of which can pass for one.

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, Write};

use serde_json::Value;
use tracing_subscriber::EnvFilter;

/// Log forwarders tell audit records from other lines by this word, anywhere in the line.
const FLAG: &str = "isAuditLog";

pub(crate) fn to_stdout() -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(|| OrdinaryLines).try_init()
}

/// Is handed one whole line at a time.
struct OrdinaryLines;

impl Write for OrdinaryLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stdout().write_all(&without_flag(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Drops fields that are named like the flag, and escapes one letter of the word wherever else it stands.
fn without_flag(line: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(line);
    if !text.contains(FLAG) {
        return Cow::Borrowed(line);
    }
    let text = match serde_json::from_str(&text) {
        Ok(mut fields) => {
            drop_flag(&mut fields);
            format!("{fields}\n")
        }
        Err(_) => text.into_owned(),
    };
    Cow::Owned(text.replace(FLAG, r"is\u0041uditLog").into_bytes())
}

fn drop_flag(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove(FLAG);
            fields.values_mut().for_each(drop_flag);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_flag),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disarmed(line: &str) -> String {
        String::from_utf8_lossy(&without_flag(line.as_bytes())).into_owned()
    }

    #[test]
    fn a_field_of_the_flags_name_is_dropped_wherever_it_stands() {
        let line =
            r#"{"fields":{"isAuditLog":true,"a":1},"span":{"isAuditLog":"x"},"spans":[{"isAuditLog":1,"b":[]}]}"#;
        assert_eq!(disarmed(line), "{\"fields\":{\"a\":1},\"span\":{},\"spans\":[{\"b\":[]}]}\n");
    }

    #[test]
    fn the_word_is_escaped_in_texts_and_decodes_to_itself() {
        let line = r#"{"message":"\"isAuditLog\":true","notisAuditLogged":"isAuditLog"}"#;
        let disarmed = disarmed(line);
        assert!(!disarmed.contains(FLAG), "{disarmed}");
        let before: Value = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&disarmed).unwrap(), before);
    }

    #[test]
    fn other_lines_pass_as_they_are() {
        assert!(matches!(without_flag(b"{\"b\":1,\"a\":2}\n"), Cow::Borrowed(b"{\"b\":1,\"a\":2}\n")));
    }
}
