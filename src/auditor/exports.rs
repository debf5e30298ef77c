//! A file that is written and exported: which one it is, and what the exporter begins with.

use std::sync::Arc;
use std::time::Duration;

use super::start::{check_rotation, chosen_outputs, rotated};
use crate::config::{FormatChoice, Settings, SinkChoice};
use crate::engine::Engine;
use crate::error::Error;
use crate::export::{self, Export, Exporter};
use crate::sink::{self, FileSink, Need, Output};

/// The sinks, and what the exporter begins with, where records are exported.
pub(super) fn outputs(
    outside: &Settings,
    outputs: Vec<Output>,
    code: Option<(FileSink, Export)>,
) -> Result<(Vec<Output>, Option<Exports>), Error> {
    let is_enabled = outside.export_enabled.unwrap_or(code.as_ref().is_some_and(|(_, export)| export.is_enabled));
    if !is_enabled {
        check_rotation(outside, false)?;
        return Ok((chosen_outputs(outside, outputs, |file| Ok(Output::new(file.open()?)))?, None));
    }
    let (code_spool, export) = code.unzip();
    let spool = outside.export_spool.as_ref().map(|path| rotated(outside, sink::file(path))).or(code_spool);
    check_rotation(outside, spool.is_some())?;
    let chosen = export::choose(outside, spool, export)?;
    let export::Chosen { spool, places, schedule, jitter, spool_bytes, hook } = chosen;
    let (outputs, opened) = match spool {
        Some(spool) => {
            let mut outputs = if outputs.is_empty() && outside.sink.is_none() {
                outputs
            } else {
                chosen_outputs(outside, outputs, |file| Ok(Output::new(file.open()?)))?
            };
            let (sink, opened) = spool.open_spool(spool_bytes)?;
            let mut output = Output::boxed(sink).name("spool").required();
            output.omit.extend(outside.omit.iter().flatten());
            outputs.push(output);
            (outputs, opened)
        }
        None if matches!(outside.sink, Some(SinkChoice::File(_))) => {
            if outputs.first().is_some_and(|first| first.filter.is_some()) {
                return Err(Error::setting(
                    "TOWER_AUDIT_SINK: given a file in the place of a sink that the code gives a filter, so it cannot \
                     be exported; add TOWER_AUDIT_EXPORT_SPOOL=file:///folder/export.log, a file beside it",
                ));
            }
            if outside.format.is_some_and(|format| format != FormatChoice::Json) {
                return Err(Error::setting(
                    "TOWER_AUDIT_FORMAT: given another format than json for the file that is exported; add \
                     TOWER_AUDIT_EXPORT_SPOOL=file:///folder/export.log, a file beside it",
                ));
            }
            let mut opened = None;
            let mut outputs = chosen_outputs(outside, outputs, |file| {
                let (sink, spool) = file.open_spool(spool_bytes)?;
                opened = Some(spool);
                Ok(Output::boxed(sink))
            })?;
            if let Some(first) = outputs.first_mut() {
                first.need = Some(Need::Required);
                first.format = Box::new(crate::format::json());
            }
            let opened = opened.ok_or_else(|| Error::start("the spool was not opened"))?;
            (outputs, opened)
        }
        None => {
            return Err(Error::setting(
                "TOWER_AUDIT_EXPORT_ENABLED: given true without a file to export; add TOWER_AUDIT_EXPORT_SPOOL=file:///folder/audit.log, \
                 a file beside the sink, or let TOWER_AUDIT_SINK=file:///folder/audit.log be it",
            ));
        }
    };
    Ok((outputs, Some(Exports { spool: opened, places, schedule, jitter, hook })))
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
        let couriers = places.into_iter().enumerate().map(|(at, place)| place.courier(&spool, at)).collect();
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
