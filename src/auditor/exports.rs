//! A file that is written and exported: which one it is, and what the exporter begins with.

use std::sync::Arc;
use std::time::Duration;

use super::outputs::{check_exports, check_rotation, chosen_outputs, rotated};
use crate::config::{FormatChoice, Settings, SinkChoice};
use crate::engine::Engine;
use crate::error::{Error, Problems};
use crate::export::{self, Export, Exporter};
use crate::sink::{self, FileOptions, Need, Output};

/// The sinks, and what the exporter begins with, where records are exported. No file is opened where anything is wrong.
pub(super) fn outputs(
    outside: &Settings,
    outputs: Vec<Output>,
    code: Option<(FileOptions, Export)>,
    is_run_named: bool,
    problems: &mut Problems,
) -> (Vec<Output>, Option<Exports>) {
    let is_enabled = outside.export_enabled.unwrap_or(code.as_ref().is_some_and(|(_, export)| export.is_enabled));
    let open = |file: FileOptions| file.open().map(Output::new);
    if !is_enabled {
        check_rotation(outside, false, problems);
        check_exports(outside, problems);
        return (chosen_outputs(outside, outputs, open, problems), None);
    }
    if is_run_named {
        let name = outside.name_of("export_enabled", "export");
        problems.push(Error::setting(format!(
            "{name}: given with AuditorBuilder::instance, allowed: an id that is another at each start, which the default is. A \
             later run with the same id would have the same numbers, and its records would be taken for repeated ones"
        )));
    }
    let (code_spool, export) = code.unzip();
    let spool = outside.export_spool.as_ref().map(sink::file).or(code_spool).map(|spool| rotated(outside, spool));
    check_rotation(outside, spool.is_some(), problems);
    let Some(chosen) = problems.take(export::choose(outside, spool, export)) else {
        return (chosen_outputs(outside, outputs, open, problems), None);
    };
    let export::Chosen { spool, places, schedule, jitter, spool_bytes, hook } = chosen;
    let (outputs, opened) = match spool {
        Some(spool) => beside_sinks(outside, outputs, spool, spool_bytes, problems),
        None => as_first_sink(outside, outputs, spool_bytes, problems),
    };
    let exports = opened.map(|spool| Exports { spool, places, schedule, jitter, hook });
    (outputs, exports)
}

/// The spool is a file of its own beside the sinks.
fn beside_sinks(
    outside: &Settings,
    mut outputs: Vec<Output>,
    spool: FileOptions,
    spool_bytes: u64,
    problems: &mut Problems,
) -> (Vec<Output>, Option<sink::Spool>) {
    if !outputs.is_empty() || outside.sink.is_some() {
        outputs = chosen_outputs(outside, outputs, |file| file.open().map(Output::new), problems);
    } else {
        let formats = [
            ("format", outside.format.is_some_and(|format| format != FormatChoice::Json)),
            ("csv_columns", outside.csv_columns.is_some()),
        ];
        for (key, _) in formats.into_iter().filter(|(_, is_given)| *is_given) {
            problems.push(Error::setting(format!(
                "{}: given without an output beside the spool, which is always json; allowed with {}",
                outside.name_of(key, key),
                outside.add_beside(key, "sink", "stdout"),
            )));
        }
    }
    if !problems.is_empty() {
        problems.take(spool.check());
        return (outputs, None);
    }
    let Some((sink, spool)) = problems.take(spool.open_spool(spool_bytes)) else { return (outputs, None) };
    let mut output = Output::new(sink).name("spool").required();
    output.omit.extend(outside.omit.iter().flatten());
    outputs.push(output);
    (outputs, Some(spool))
}

/// The spool is the file that the operator chose as the sink.
fn as_first_sink(
    outside: &Settings,
    outputs: Vec<Output>,
    spool_bytes: u64,
    problems: &mut Problems,
) -> (Vec<Output>, Option<sink::Spool>) {
    let beside = outside.add_beside("export_enabled", "export_spool", "file:///folder/export.log");
    let wrong = if !matches!(outside.sink, Some(SinkChoice::File(_))) {
        let file = outside.add_beside("export_enabled", "sink", "file:///folder/audit.log");
        let name = outside.name_of("export_enabled", "export");
        Some(format!(
            "{name}: given without a file to export; add {beside}, a file beside the sink, or let {file} be it"
        ))
    } else if outside.format.is_some_and(|format| format != FormatChoice::Json) {
        let name = outside.name_of("format", "format");
        Some(format!("{name}: given another format than json, so that the sink cannot be exported; add {beside}"))
    } else if outputs.first().is_some_and(|first| first.filter.is_some()) {
        let name = outside.name_of("sink", "sink");
        Some(format!(
            "{name}: replaces a sink that the code gives a filter, so that it cannot be exported; add {beside}"
        ))
    } else {
        None
    };
    wrong.into_iter().for_each(|wrong| problems.push(Error::setting(wrong)));
    let mut opened = None;
    let open = |file: FileOptions| {
        let (sink, spool) = file.open_spool(spool_bytes)?;
        opened = Some(spool);
        Ok(Output::new(sink))
    };
    let mut outputs = chosen_outputs(outside, outputs, open, problems);
    if let Some(first) = outputs.first_mut() {
        first.need = Some(Need::Required);
        first.format = Box::new(crate::format::json());
    }
    (outputs, opened)
}

/// What the exporter begins with.
pub(super) struct Exports {
    spool: sink::Spool,
    places: Vec<export::Place>,
    schedule: Option<export::Schedule>,
    jitter: Duration,
    hook: Option<export::RunHook>,
}

impl Exports {
    /// Starts the exporter's thread.
    pub(super) fn start(self, engine: &Arc<Engine>) -> Result<Arc<Exporter>, Error> {
        let Self { spool, places, schedule, jitter, hook } = self;
        export::report_abandoned(spool.active(), &places);
        let couriers = places.into_iter().map(|place| place.courier(&spool)).collect();
        let (clock, control) = (engine.clone(), engine.clone());
        let announce = move |announcement| {
            control.control.announce(announcement);
            control.queue.call();
        };
        let plan = export::Plan {
            spool,
            couriers,
            schedule,
            jitter,
            hook,
            now: Box::new(move || clock.clock.now()),
            announce: Box::new(announce),
        };
        Exporter::start(plan).map(Arc::new)
    }
}
