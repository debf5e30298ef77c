//! The file's part of the settings.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use toml::{Table, Value};

use super::{FileError, OwnedGiven, Pair, env};

/// No settings are that long; the path may lead to anything, such as a device that never ends.
const LONGEST: u64 = 1 << 20;

pub(super) fn read(path: &Path) -> Result<Vec<Pair>, FileError> {
    let text = read_text(path).map_err(|source| FileError {
        line: format!("{}: cannot read {}: {source}", env::variable(env::CONFIG), path.display()),
        source: Some(source),
    })?;
    let table =
        text.parse::<Table>().map_err(|error| FileError { line: no_toml(path, &text, &error), source: None })?;
    Ok(table.into_iter().map(|(key, value)| (key, given(value))).collect())
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(std::io::Error::other("longer than 1 MiB"));
    }
    Ok(text)
}

/// The parser's own message would quote the line, and with it a value that may be secret.
fn no_toml(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.split('\n').count());
    format!("{}: {}, line {line}, is not TOML", env::variable(env::CONFIG), path.display())
}

/// The value as text, or the kind of value that no setting has.
fn given(value: Value) -> Result<OwnedGiven, &'static str> {
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(switch) => Ok(switch.to_string()),
        Value::Float(_) => Err("a floating-point number"),
        Value::Datetime(_) => Err("a date"),
        Value::Array(_) => Err("an array in an array"),
        Value::Table(_) => Err("a table"),
    };
    match value {
        Value::Array(items) => items.into_iter().map(text).collect::<Result<_, _>>().map(OwnedGiven::List),
        value => text(value).map(OwnedGiven::Text),
    }
}
