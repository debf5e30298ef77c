//! From settings and the builder's values to checked bounds, addresses, and running sinks.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use uuid::Uuid;

use crate::capture::{ClientIp, TrustedPeer};
use crate::config::{Settings, SinkChoice};
use crate::engine::{SinkHook, SinkWatch};
use crate::error::{Error, Problems};
use crate::queue::{Channel, Limits, Queue};
use crate::record::Delivery;
use crate::sink::{self, Need, Outlet, Output, Retry, Start, Stream};

/// The sinks: what the operator chose replaces the code's first one, and keeps its filter. Where other things are wrong, no
/// file is opened any more.
pub(super) fn outputs(outside: &Settings, mut outputs: Vec<Output>, problems: &mut Problems) -> Vec<Output> {
    let rotation = [
        ("rotate_bytes", outside.rotate_bytes.is_some()),
        ("rotate_every", outside.rotate_every.is_some()),
        ("keep_files", outside.keep_files.is_some()),
    ];
    if !matches!(outside.sink, Some(SinkChoice::File(_))) {
        for (key, _) in rotation.into_iter().filter(|(_, is_given)| *is_given) {
            problems.push(Error::setting(format!(
                "{}: given without a file to rotate; allowed with {}",
                outside.name_of(key, key),
                outside.add_beside(key, "sink", "file:///folder/audit.log"),
            )));
        }
    }
    let chosen = match &outside.sink {
        None if outputs.is_empty() => standard_output().map(Some),
        None => Ok(None),
        Some(SinkChoice::Stdout) => standard_output().map(Some),
        Some(SinkChoice::Stderr) => sink::stderr().map(|stderr| Some(Output::new(stderr).name("stderr"))),
        Some(SinkChoice::File(path)) => {
            let mut file = sink::file(path);
            file = outside.rotate_bytes.into_iter().fold(file, sink::FileOptions::rotate_bytes);
            file = outside.rotate_every.into_iter().fold(file, sink::FileOptions::rotate_every);
            file = outside.keep_files.into_iter().fold(file, sink::FileOptions::keep_files);
            if problems.is_empty() {
                file.open().map(|file| Some(Output::new(file).name("file")))
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
    outputs
}

fn standard_output() -> Result<Output, Error> {
    Ok(Output::new(sink::stdout()?).name("stdout"))
}

/// The sinks, each with its thread.
#[derive(Default)]
pub(super) struct Sinks {
    pub(super) channels: Vec<Channel>,
    pub(super) outlets: Vec<(Outlet, Need)>,
    /// Those that are a standard stream.
    pub(super) standard: Vec<(Outlet, Stream)>,
}

/// Starts a thread for each sink. If one cannot be started, those before it end.
pub(super) fn start_sinks(
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
        let start = Start {
            name,
            sink: output.sink,
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
        sinks.channels.push(Channel::new(outlet, need, output.filter, output.format));
    }
    Ok(sinks)
}

/// Ends sinks that nothing was written to, so that their files are closed and free.
pub(super) fn end_sinks(outlets: &[(Outlet, Need)]) {
    const LIMIT: Duration = Duration::from_secs(2);
    outlets.iter().for_each(|(outlet, _)| outlet.end());
    outlets.iter().for_each(|(outlet, _)| outlet.end_within(LIMIT));
}

/// The name, with a number if another sink has it already.
fn unique(name: String, taken: &[String]) -> String {
    if !taken.contains(&name) {
        return name;
    }
    let numbered = (2..=taken.len() + 2).map(|number| format!("{name}-{number}"));
    numbered.into_iter().find(|numbered| !taken.contains(numbered)).unwrap_or(name)
}

pub(super) fn limits(outside: &Settings, wait: Duration, records: usize, bytes: usize) -> Limits {
    let bytes = outside.queue_bytes.unwrap_or(bytes);
    Limits {
        records: outside.queue_records.unwrap_or(records),
        bytes,
        line_bytes: bytes / 2,
        wait: outside.wait.unwrap_or(wait),
    }
}

/// Sizes, alone and beside one another.
pub(super) fn check_sizes(
    outside: &Settings,
    limits: Limits,
    max_body_bytes: usize,
    line_budget: usize,
    problems: &mut Problems,
) {
    const LEAST_LINE: usize = 4 * 1024;
    const MAX_BODY: usize = 16 * 1024 * 1024;
    const LEAST_BYTES: usize = 64 * 1024;
    let name = |key| outside.name_of(key, key);
    let mut wrong = |text: String| problems.push(Error::setting(text));
    if limits.records == 0 {
        wrong(format!("{}: 0 records would refuse every request; at least 1 is needed", name("queue_records")));
    }
    if line_budget < LEAST_LINE {
        wrong(format!(
            "{}: {line_budget} is too short for what is never cut; at least {LEAST_LINE} are needed",
            name("max_line_bytes")
        ));
    }
    if max_body_bytes > MAX_BODY {
        wrong(format!(
            "{}: {max_body_bytes} is too much to keep; at most {MAX_BODY} are allowed",
            name("max_body_bytes")
        ));
    }
    if limits.bytes < max_body_bytes.saturating_mul(4).max(LEAST_BYTES) {
        wrong(format!(
            "{}: {} is too little for the two bodies of one request and other requests; at least 64 KiB and 4 × {} \
             (4 × {max_body_bytes}) are needed",
            name("queue_bytes"),
            limits.bytes,
            name("max_body_bytes"),
        ));
    }
}

/// What code demands, a setting can only make stronger.
pub(super) fn delivery(outside: Option<Delivery>, code: Option<Delivery>) -> Delivery {
    match (outside, code) {
        (Some(outside), Some(code)) => outside.max(code),
        (one, other) => one.or(other).unwrap_or(Delivery::Backpressure),
    }
}

/// The proxies and their header: neither is of use without the other.
pub(super) fn client_ip(outside: &Settings, code: Option<(Vec<String>, HeaderName)>) -> Result<ClientIp, Error> {
    let (proxies, header) = code.unzip();
    let trusted = match (&outside.trusted_proxies, proxies) {
        (Some(trusted), _) => Some(trusted.clone()),
        (None, Some(proxies)) => Some(parsed(&proxies)?),
        (None, None) => None,
    };
    // An operator who says that there are none switches off what the code says.
    if outside.trusted_proxies.as_ref().is_some_and(Vec::is_empty) && outside.client_ip_header.is_none() {
        return Ok(ClientIp::default());
    }
    match (trusted.filter(|trusted| !trusted.is_empty()), outside.client_ip_header.clone().or(header)) {
        (None, None) => Ok(ClientIp::default()),
        (Some(trusted), Some(header)) => Ok(ClientIp::new(trusted, header)),
        (Some(_), None) => Err(Error::setting(format!(
            "{}: given without the header in which these proxies say for whom they ask, so their own addresses would be recorded \
             as their clients'; add {}, Forwarded or X-Real-IP, whichever they set",
            outside.name_of("trusted_proxies", "behind_proxies"),
            outside.add_beside("trusted_proxies", "client_ip_header", "X-Forwarded-For"),
        ))),
        (None, Some(header)) => Err(Error::setting(format!(
            "{}: given {header} without trusted proxies, so it would never be read; add {}, the networks that the proxies \
             connect from",
            outside.name_of("client_ip_header", "behind_proxies"),
            outside.add_beside("client_ip_header", "trusted_proxies", "10.0.0.0/8"),
        ))),
    }
}

/// The proxies that code names; all that are none at once.
fn parsed(proxies: &[String]) -> Result<Vec<TrustedPeer>, Error> {
    let mut problems = Problems::default();
    let trusted = proxies.iter().filter_map(|one| problems.take(one.parse())).collect();
    problems.finish().map(|()| trusted)
}

/// It is written into every line as it is.
pub(super) fn instance(code: Option<String>) -> Result<String, Error> {
    const MOST: usize = 128;
    let Some(instance) = code else { return Ok(Uuid::new_v4().to_string()) };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if (1..=MOST).contains(&instance.len()) && instance.bytes().all(is_plain) {
        return Ok(instance);
    }
    let shown: String = instance.chars().take(MOST).collect();
    Err(Error::setting(format!(
        "instance: given {shown:?}, allowed: 1 to {MOST} visible ASCII characters without quotes and backslashes"
    )))
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
