//! Starts a log of which everything was checked: the sinks' threads, the exporter, and the worker.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::Auditor;
use super::check::Checked;
use crate::counters::Counted;
use crate::engine::{Engine, Parts, SinkHook, SinkWatch};
use crate::error::Error;
use crate::queue::Queue;
use crate::running::Running;
use crate::sink::{Need, Outlet, Output, Retry, Start, Stream};
use crate::worker::{Channel, Shape, Worker};

impl Checked {
    /// # Errors
    ///
    /// If the system refuses a thread. Those that were started before have ended then.
    pub(super) fn start(self) -> Result<Auditor, Error> {
        let queue = Arc::new(Queue::new(self.limits));
        let engine = Arc::new(Engine::new(Parts {
            enabled: self.enabled,
            clock: self.clock,
            ids: self.ids,
            routes: self.routes,
            refused: self.refused,
            plans: self.plans,
            defaults: self.defaults,
            head: self.head,
            redactor: self.redactor,
            is_success: self.is_success,
            is_timeout: self.is_timeout,
            max_body_bytes: self.max_body_bytes,
            audit_id_header: self.audit_id_header,
            queue: queue.clone(),
            admission_timeout: self.limits.admission_timeout,
            scoping: self.scoping,
            #[cfg(feature = "geoip")]
            places: self.places,
        }));
        let sinks = start_sinks(self.outputs, self.retry_limit, &queue, self.sink_hook)?;
        #[cfg_attr(not(feature = "export"), expect(unused_mut, reason = "the exporter is counted too"))]
        let mut counted = Counted::new(sinks.outlets.clone());
        #[cfg(feature = "export")]
        if let Some(exports) = self.exports {
            counted.exporter = Some(exports.start(&engine).inspect_err(|_| end_sinks(&sinks.outlets))?);
        }
        let counted = Arc::new(counted);
        let worker = Worker {
            engine: engine.clone(),
            channels: sinks.channels,
            counted: counted.clone(),
            process: self.process,
            filter: self.filter,
            line_budget: self.line_budget,
            settings: self.settings,
            #[cfg(feature = "export")]
            exporter: counted.exporter.clone(),
        };
        worker.start().inspect_err(|_| {
            #[cfg(feature = "export")]
            if let Some(exporter) = &counted.exporter {
                exporter.end_within(END);
            }
            end_sinks(&sinks.outlets);
        })?;
        let running = Running {
            engine,
            counted,
            #[cfg(feature = "tracing-subscriber")]
            log: crate::running::Log { standard: sinks.standard.into(), line_budget: self.line_budget },
        };
        Ok(Auditor { log: Arc::new(running) })
    }
}

/// The sinks, each with its thread.
#[derive(Default)]
struct Sinks {
    channels: Vec<Channel>,
    outlets: Vec<(Outlet, Need)>,
    /// Those that are a standard stream.
    standard: Vec<(Outlet, Stream)>,
}

/// Starts a thread for each sink. If one cannot be started, those before it end.
fn start_sinks(
    outputs: Vec<Output>,
    retry_limit: Duration,
    queue: &Arc<Queue>,
    hook: Option<SinkHook>,
) -> Result<Sinks, Error> {
    let hook = hook.map(Arc::new);
    let mut sinks = Sinks::default();
    let mut names: Vec<String> = Vec::new();
    for (at, output) in outputs.into_iter().enumerate() {
        let name = unique(output.name.unwrap_or_else(|| format!("sink-{}", at + 1)), &names);
        names.push(name.clone());
        let need = output.need.unwrap_or(if at == 0 { Need::Required } else { Need::BestEffort });
        let shape = Shape {
            filter: output.filter,
            format: output.format,
            max_line_bytes: output.max_line_bytes,
            omit: output.omit,
        };
        let mut sink = output.sink;
        if let Some(header) = shape.format.header() {
            sink.header(&one_line(header));
        }
        let start = Start {
            name,
            sink,
            retry: Retry::new(retry_limit, Uuid::new_v4().as_u64_pair().0),
            ends_with_reader: output.standard.is_some(),
            watcher: Arc::new(SinkWatch::new(queue.clone(), hook.clone(), need)),
        };
        let outlet = match Outlet::start(start) {
            Ok(outlet) => outlet,
            Err(error) => {
                end_sinks(&sinks.outlets);
                return Err(error);
            }
        };
        sinks.outlets.push((outlet.clone(), need));
        sinks.standard.extend(output.standard.map(|stream| (outlet.clone(), stream)));
        sinks.channels.push(Channel::new(outlet, need, shape));
    }
    Ok(sinks)
}

/// The header's line, its newline included: whatever an application's format has in it, it is one line.
fn one_line(mut header: String) -> Vec<u8> {
    header.truncate(header.find(['\n', '\r']).unwrap_or(header.len()));
    header.push('\n');
    header.into_bytes()
}

/// How long each thread of a log that could not be started is waited for.
const END: Duration = Duration::from_secs(2);

/// Ends sinks that nothing was written to, so that their files are closed and free.
fn end_sinks(outlets: &[(Outlet, Need)]) {
    outlets.iter().for_each(|(outlet, _)| outlet.end());
    outlets.iter().for_each(|(outlet, _)| outlet.end_within(END));
}

/// The name, with a number if another sink has it already.
fn unique(name: String, taken: &[String]) -> String {
    if !taken.contains(&name) {
        return name;
    }
    let numbered = (2..=taken.len() + 2).map(|number| format!("{name}-{number}"));
    numbered.into_iter().find(|numbered| !taken.contains(numbered)).unwrap_or(name)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::mpsc;

    use crate::sink::{self, Output, Sink};
    use crate::sync::starts;
    use crate::{Auditor, AuditorBuilder};

    /// A sink that says when it is dropped.
    struct Watched(mpsc::Sender<()>);

    impl Sink for Watched {
        fn header(&mut self, _line: &[u8]) {}

        fn write(&mut self, lines: &[u8]) -> std::io::Result<usize> {
            Ok(lines.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }

        fn shutdown(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[cfg(feature = "export")]
    #[test]
    fn where_a_later_thread_cannot_be_started_the_spool_is_free_too() {
        use crate::export::{Destination, Export};
        let folder = tempfile::tempdir().unwrap();
        let builder = || {
            let destination = Destination::new(folder.path().join("archive").to_str().unwrap());
            Auditor::builder().export(sink::file(folder.path().join("audit.log")), Export::to(destination))
        };
        // The exporter's thread, then the worker's.
        for threads in [1, 2] {
            starts::limit(Some(threads));
            let error = builder().build().unwrap_err();
            starts::limit(None);
            assert!(error.to_string().contains("thread"), "{error}");
        }
        let auditor = builder().build().expect("nobody has the spool");
        assert_eq!(auditor.shutdown_blocking(std::time::Duration::from_secs(10)).written, 2);
    }

    #[test]
    fn where_a_later_thread_cannot_be_started_the_earlier_ones_have_ended_and_their_files_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        // The second sink's thread, then the worker's.
        for threads in [1, 2] {
            let (dropped, drops) = mpsc::channel();
            let file = sink::file(&path).open().expect("nobody has the file");
            let builder: AuditorBuilder = Auditor::builder().sink(file).sink(Output::new(Watched(dropped)));
            starts::limit(Some(threads));
            let error = builder.build().unwrap_err();
            starts::limit(None);
            assert!(error.to_string().contains("thread"), "{error}");
            drops.recv().expect("the second sink is dropped");
        }
        let auditor = Auditor::builder().sink(sink::file(&path).open().unwrap()).build().unwrap();
        assert_eq!(auditor.shutdown_blocking(std::time::Duration::from_secs(10)).written, 2);
    }
}
