//! Reads a folder of labelled bodies and texts: `bodies.jsonl` and `texts.jsonl`, each also with `.gz`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What is sent, and what is known of it.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) bodies: Vec<LabelledBody>,
    pub(crate) texts: Vec<LabelledText>,
}

/// A body with JSON Pointers into it; what no list names is harmless.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LabelledBody {
    /// Where it comes from.
    pub(crate) set: String,
    pub(crate) id: String,
    pub(crate) content_type: String,
    pub(crate) body: String,
    /// Must be masked.
    pub(crate) secret: Vec<String>,
    /// May be masked or not.
    #[serde(default)]
    pub(crate) arguable: Vec<String>,
}

/// An error's text.
#[derive(Debug, Deserialize)]
pub(crate) struct LabelledText {
    pub(crate) set: String,
    pub(crate) text: String,
    /// Parts of it that must not show. The words that hold none of them have to stay.
    #[serde(default)]
    pub(crate) secret: Vec<String>,
}

impl Set {
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        Ok(Self { bodies: lines(folder, "bodies.jsonl")?, texts: lines(folder, "texts.jsonl")? })
    }
}

fn lines<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Vec<T>, String> {
    let (plain, packed) = (folder.join(name), folder.join(format!("{name}.gz")));
    let (path, is_packed) = if packed.exists() { (packed, true) } else { (plain, false) };
    let problem = |what: String| format!("{}: {what}", path.display());
    let file = File::open(&path).map_err(|error| problem(error.to_string()))?;
    let reader: Box<dyn Read> = if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let parsed = |(at, line): (usize, io::Result<String>)| {
        let line = line.map_err(|error| problem(error.to_string()))?;
        serde_json::from_str(&line).map_err(|error| problem(format!("line {}: {error}", at + 1)))
    };
    BufReader::new(reader).lines().enumerate().map(parsed).collect()
}
