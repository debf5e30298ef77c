//! From settings and the builder's values to checked bounds, addresses, and running sinks.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use uuid::Uuid;

use crate::capture::{ClientIp, TrustedPeer};
use crate::catalog::{Compiled, EventPolicy};
use crate::config::{FormatChoice, Settings, SinkChoice};
use crate::diagnostics::contained;
use crate::engine::{SinkHook, SinkWatch};
use crate::error::{Error, Problems};
use crate::filter::{Filter, KnownEvent, Lists, status_of};
use crate::format::{self, Format, upper_snake};
use crate::queue::{Channel, Limits, Queue, Shape};
use crate::record::Delivery;
use crate::scope::{ScopeResolver, ScopeRules, ScopeStore, Scoping};
use crate::sink::{self, FileOptions, Need, Outlet, Output, Retry, Start, Stream};

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

/// The lists that settings make.
pub(super) fn lists(outside: &Settings) -> Option<Filter> {
    if outside.allow.is_none() && outside.deny.is_none() {
        return None;
    }
    let entries = |list: &Option<Vec<String>>| list.iter().flatten().cloned().collect::<Vec<_>>();
    Some(Filter::lists(Lists::new().allow(entries(&outside.allow)).deny(entries(&outside.deny))))
}

/// Which events the filter refuses, whatever their requests are. Entries of lists that name nothing in the catalog are reported.
pub(super) fn refused(filter: &Filter, routes: &Compiled) -> Vec<bool> {
    let listed = || routes.events().map(|(event, _)| event);
    let events = || listed().chain(routes.unmatched());
    let is_known = |entry: &str| {
        let name = status_of(entry).map_or(entry, |(name, _)| name);
        events().any(|event| match entry.strip_prefix("kind:") {
            Some(kind) => event.kind() == Some(kind),
            None => [entry, name].contains(&event.name()) || [entry, name].contains(&&*upper_snake(event.name())),
        })
    };
    for entry in filter.unknown(&is_known) {
        tracing::warn!(target: "tower_audit", entry, "a list names an event or kind that the catalog does not have");
    }
    let is_refused = |event: &EventPolicy| {
        let known = KnownEvent { name: event.name(), kind: event.kind(), log_type: event.log_type() };
        filter.decide(known) == Some(false)
    };
    // Only what is in the catalog: a request that matches no event may still be named.
    listed().map(is_refused).collect()
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

/// What was said of scopes.
#[derive(Default)]
pub(super) struct ScopeParts {
    pub(super) resolver: Option<Box<dyn ScopeResolver>>,
    pub(super) rules: Option<ScopeRules>,
    pub(super) store: Option<Box<dyn ScopeStore>>,
}

/// The rules of scopes; none if nothing was said of scopes.
pub(super) fn scoping(parts: ScopeParts) -> Result<Option<Scoping>, Error> {
    let ScopeParts { resolver, rules, store } = parts;
    if resolver.is_none() && rules.is_none() && store.is_none() {
        return Ok(None);
    }
    let kept = match &store {
        Some(store) => {
            let loaded = contained("the scope store", || store.load());
            let loaded = loaded.unwrap_or_else(|| Err(std::io::Error::other("the scope store panicked")));
            loaded.map_err(|error| Error::start(format!("no start without scope rules: {error}")).with_source(error))?
        }
        None => None,
    };
    Ok(Some(Scoping::new(resolver, store, kept.or(rules).unwrap_or_else(ScopeRules::on))))
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
