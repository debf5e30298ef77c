//! Which sinks there are: what code says, and what the operator chose in its place.

use crate::config::{FormatChoice, Settings, SinkChoice};
use crate::error::{Error, Problems};
use crate::format::{self, Format};
use crate::sink::{self, FileOptions, Output};

/// The sinks: what the operator chose replaces the code's first one, and keeps its filter.
#[cfg(not(feature = "export"))]
pub(super) fn outputs(outside: &Settings, outputs: Vec<Output>, problems: &mut Problems) -> Vec<Output> {
    if outside.export_enabled == Some(true) {
        let name = outside.name_of("export_enabled", "export");
        problems.push(Error::setting(format!(
            "{name}: given true, which needs the feature `export` of the crate tower-audit"
        )));
    }
    check_rotation(outside, false, problems);
    check_exports(outside, problems);
    chosen_outputs(outside, outputs, |file| file.open().map(Output::new), problems)
}

/// Settings of an export want one. Whoever switches it off by name may keep the others.
pub(super) fn check_exports(outside: &Settings, problems: &mut Problems) {
    if outside.export_enabled.is_some() {
        return;
    }
    for key in outside.keys_given().filter(|key| key.starts_with("export_")) {
        problems.push(Error::setting(format!(
            "{}: given without an export; allowed with {}, or with false to keep it for later",
            outside.name_of(key, key),
            outside.add_beside(key, "export_enabled", "true"),
        )));
    }
}

/// Settings of a file's segments want a file.
pub(super) fn check_rotation(outside: &Settings, has_spool: bool, problems: &mut Problems) {
    let rotation = [
        ("rotate_bytes", outside.rotate_bytes.is_some()),
        ("rotate_every", outside.rotate_every.is_some()),
        ("keep_files", outside.keep_files.is_some()),
        ("keep_for", outside.keep_for.is_some()),
    ];
    if has_spool || matches!(outside.sink, Some(SinkChoice::File(_))) {
        return;
    }
    for (key, _) in rotation.into_iter().filter(|(_, is_given)| *is_given) {
        problems.push(Error::setting(format!(
            "{}: given without a file to rotate; allowed with {}",
            outside.name_of(key, key),
            outside.add_beside(key, "sink", "file:///folder/audit.log"),
        )));
    }
}

/// The file with what the operator said of its segments.
pub(super) fn rotated(outside: &Settings, file: FileOptions) -> FileOptions {
    let file = outside.rotate_bytes.into_iter().fold(file, FileOptions::rotate_bytes);
    let file = outside.rotate_every.into_iter().fold(file, FileOptions::rotate_every);
    let file = outside.keep_files.into_iter().fold(file, FileOptions::keep_files);
    outside.keep_for.into_iter().fold(file, FileOptions::keep_for)
}

/// Where other things are wrong, no file is opened any more.
pub(super) fn chosen_outputs(
    outside: &Settings,
    mut outputs: Vec<Output>,
    open: impl FnOnce(FileOptions) -> Result<Output, Error>,
    problems: &mut Problems,
) -> Vec<Output> {
    let format = problems.take(format(outside)).flatten();
    let chosen = match &outside.sink {
        None if outputs.is_empty() => standard_output().map(Some),
        None => Ok(None),
        Some(SinkChoice::Stdout) => standard_output().map(Some),
        Some(SinkChoice::Stderr) => sink::stderr().map(|stderr| Some(Output::new(stderr).name("stderr"))),
        Some(SinkChoice::File(path)) => {
            let file = rotated(outside, sink::file(path));
            if problems.is_empty() {
                open(file).map(|output| Some(output.name("file")))
            } else {
                file.check().map(|()| None)
            }
        }
    };
    let chosen = match &outside.sink {
        None => chosen,
        Some(_) => chosen.map_err(|error| error.within(&outside.name_of("sink", "sink"))),
    };
    if let Some(chosen) = problems.take(chosen).flatten() {
        match outputs.first_mut() {
            Some(first) => (first.sink, first.standard, first.name) = (chosen.sink, chosen.standard, chosen.name),
            None => outputs.push(chosen),
        }
    }
    if let (Some(first), Some(format)) = (outputs.first_mut(), format) {
        first.format = format;
    }
    for output in &mut outputs {
        output.omit.extend(outside.omit.iter().flatten());
    }
    outputs
}

/// The format that settings choose for the first output.
fn format(outside: &Settings) -> Result<Option<Box<dyn Format>>, Error> {
    if outside.csv_columns.is_some() && outside.format != Some(FormatChoice::Csv) {
        return Err(Error::setting(format!(
            "{}: given without a CSV; allowed with {}",
            outside.name_of("csv_columns", "csv_columns"),
            outside.add_beside("csv_columns", "format", "csv"),
        )));
    }
    let Some(choice) = outside.format else { return Ok(None) };
    Ok(Some(match choice {
        FormatChoice::Json => Box::new(format::json()),
        FormatChoice::JsonTimestamp => Box::new(format::json_timestamp()),
        FormatChoice::Csv => Box::new(format::csv(outside.csv_columns.clone().unwrap_or_default())),
        FormatChoice::Combined => Box::new(format::combined()),
        FormatChoice::Common => Box::new(format::common()),
        FormatChoice::KeyValue => Box::new(format::key_value()),
    }))
}

fn standard_output() -> Result<Output, Error> {
    Ok(Output::new(sink::stdout()?).name("stdout"))
}
