//! From what code and settings say to what the log is made of: everything is checked, and all problems are reported at once.

use std::time::Duration;

use http::HeaderName;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::AuditorBuilder;
#[cfg(feature = "export")]
use super::exports::{Exports, outputs};
#[cfg(not(feature = "export"))]
use super::outputs::outputs;
use crate::capture::{ClientIp, CredentialHeaders, HeadPolicy, TrustedPeer};
use crate::catalog::{Compiled, EventPolicy};
use crate::clock::{Ids, Time};
use crate::config::Settings;
use crate::diagnostics::{contained, report};
use crate::engine::{Plans, SinkHook, StatusClassifier, TimeoutClassifier};
use crate::error::{Error, Problems};
use crate::filter::{Filter, KnownEvent, Lists, status_of};
use crate::format::upper_snake;
#[cfg(feature = "geoip")]
use crate::geoip::Places;
use crate::plan::Defaults;
use crate::queue::Limits;
use crate::record::wire::Process;
use crate::record::{BodyAs, Delivery, Stages, UserAgentKey};
use crate::redact::{self, Redacted, Redactor, Session};
use crate::scope::{ScopeResolver, ScopeRules, ScopeStore, Scoping};
use crate::sink::Output;

/// What is left to do is to start it.
pub(super) struct Checked {
    pub(super) enabled: bool,
    pub(super) limits: Limits,
    pub(super) max_body_bytes: usize,
    pub(super) line_budget: usize,
    pub(super) defaults: Defaults,
    pub(super) redactor: Redactor,
    pub(super) head: HeadPolicy,
    pub(super) process: Process,
    pub(super) routes: Compiled,
    pub(super) plans: Plans,
    pub(super) filter: Option<Filter>,
    /// Which events the filter refuses, whatever their requests are.
    pub(super) refused: Vec<bool>,
    pub(super) is_success: StatusClassifier,
    pub(super) is_timeout: TimeoutClassifier,
    pub(super) clock: Time,
    pub(super) ids: Ids,
    pub(super) audit_id_header: bool,
    pub(super) scoping: Option<Scoping>,
    #[cfg(feature = "geoip")]
    pub(super) places: Option<Places>,
    pub(super) outputs: Vec<Output>,
    #[cfg(feature = "export")]
    pub(super) exports: Option<Exports>,
    pub(super) retry_limit: Duration,
    pub(super) sink_hook: Option<SinkHook>,
    /// For `AuditStarted`.
    pub(super) settings: Value,
}

impl AuditorBuilder {
    /// # Errors
    ///
    /// Everything that is wrong. Where settings from outside are, how they fit together is not looked at: what is missing
    /// beside a bad one may be the bad one.
    pub(super) fn check(self) -> Result<Checked, Error> {
        const COMPLETE: &str = "what is missing was a problem";
        let outside = self.outside;
        let mut problems = self.refused;
        let has_settings = problems.is_empty();
        let limits = limits(&outside, self.admission_timeout, self.queue_records, self.queue_bytes);
        let max_body_bytes = outside.max_body_bytes.unwrap_or(self.max_body_bytes);
        let line_budget = outside.max_line_bytes.unwrap_or(self.max_line_bytes);
        if self.has_late_aliases {
            problems.push(Error::setting("aliases: given after `from_env`, which reads them; call it before"));
        }
        if has_settings {
            check_sizes(&outside, limits, max_body_bytes, line_budget, &mut problems);
        }
        let defaults = Defaults {
            stages: outside.stages.or(self.stages).unwrap_or(Stages::Completion),
            delivery: delivery(outside.delivery, self.delivery),
            demanded: self.delivery,
            catalog_reads: self.catalog.said_of_reads(),
            reads: outside.reads,
        };
        if defaults.stages == Stages::Initiation {
            problems.push(Error::setting(
                "stages: `initiation` cannot be the default, each request has its completion; `completion` and `both` can",
            ));
        }
        let keys = outside.redact_keys.iter().flatten();
        let redactor = keys.fold(self.redactor, |rules, key| rules.key(key.as_str()));
        let except = outside.redact_except.iter().flatten();
        let redactor = problems.take(except.fold(redactor, |rules, key| rules.except(key.as_str())).build());
        let client_ip = if has_settings { problems.take(client_ip(&outside, self.proxies)) } else { None };
        #[cfg(feature = "export")]
        let is_run_named = self.instance.is_some();
        let instance = problems.take(instance(self.instance));
        let routes = problems.take(self.catalog.compile());
        let plans = routes.as_ref().and_then(|routes| problems.take(Plans::new(routes, defaults)));
        let scoping = problems.take(scoping(self.scopes));
        #[cfg(not(feature = "geoip"))]
        if outside.geoip_file.is_some() {
            let name = outside.name_of("geoip_file", "geoip_file");
            problems.push(Error::setting(format!("{name}: needs the feature `geoip` of the crate tower-audit")));
        }
        #[cfg(feature = "geoip")]
        let places = outside.geoip_file.clone().or(self.geoip_file).map(Places::open);
        #[cfg(feature = "geoip")]
        let places = places.and_then(|places| problems.take(places));
        // Last, because files are opened only if all else is right.
        #[cfg(not(feature = "export"))]
        let outputs = has_settings.then(|| outputs(&outside, self.outputs, &mut problems));
        #[cfg(feature = "export")]
        let opened = has_settings.then(|| outputs(&outside, self.outputs, self.export, is_run_named, &mut problems));
        problems.finish()?;
        #[cfg(not(feature = "export"))]
        let outputs = outputs.expect(COMPLETE);
        #[cfg(feature = "export")]
        let (outputs, exports) = opened.expect(COMPLETE);
        let redactor = redactor.expect(COMPLETE);
        let head = HeadPolicy {
            client_ip: client_ip.expect(COMPLETE),
            request_id: self.request_id_header,
            shown: self.shown_headers,
            credentials: CredentialHeaders::new(redactor.credential_headers().iter()),
            peer: self.peer,
            resolvers: self.resolvers,
            trace: self.trace,
        };
        let process = process(
            &redactor,
            &instance.expect(COMPLETE),
            self.host.or_else(|| gethostname::gethostname().into_string().ok()).as_deref(),
            outside.service.as_deref().or(self.service.as_deref()),
            (outside.user_agent_key.unwrap_or(self.user_agent_key), outside.body_as.unwrap_or(self.body_as)),
        );
        let (routes, plans, scoping) = (routes.expect(COMPLETE), plans.expect(COMPLETE), scoping.flatten());
        let filter = lists(&outside).into_iter().chain(self.filter).reduce(Filter::and);
        let filters = filter.iter().chain(outputs.iter().filter_map(|output| output.filter.as_ref()));
        filters.for_each(|filter| report_unknown(filter, &routes));
        let mut settings = Map::new();
        let mut add = |key: &str, value: Value| drop(settings.insert(key.to_owned(), value));
        add("stages", defaults.stages.as_str().into());
        add("delivery", defaults.delivery.as_str().into());
        add("queueRecords", limits.records.into());
        add("queueBytes", limits.bytes.into());
        add("admissionTimeoutMs", u64::try_from(limits.admission_timeout.as_millis()).unwrap_or(u64::MAX).into());
        add("maxLineBytes", line_budget.into());
        add("maxBodyBytes", max_body_bytes.into());
        add("events", plans.listed().into());
        add("outside", outside.describe_as_json());
        if let Some(scoping) = &scoping {
            add("scopes", scoping.describe());
        }
        Ok(Checked {
            enabled: outside.enabled.unwrap_or(true),
            limits,
            max_body_bytes,
            line_budget,
            defaults,
            redactor,
            head,
            process,
            refused: filter.as_ref().map(|filter| refused(filter, &routes)).unwrap_or_default(),
            filter,
            routes,
            plans,
            is_success: self.is_success,
            is_timeout: self.is_timeout,
            clock: self.clock,
            ids: self.ids,
            audit_id_header: outside.audit_id_header.unwrap_or(self.audit_id_header),
            scoping,
            #[cfg(feature = "geoip")]
            places,
            outputs,
            #[cfg(feature = "export")]
            exports,
            retry_limit: self.retry_limit,
            sink_hook: self.sink_hook,
            settings: settings.into(),
        })
    }
}

/// What is the same on every line, through redaction like all text.
fn process(
    redactor: &Redactor,
    instance: &str,
    host: Option<&str>,
    service: Option<&str>,
    keys: (UserAgentKey, BodyAs),
) -> Process {
    let (mut memory, mut text) = (redact::Memory::default(), Redacted::default());
    let mut session = Session::new(redactor, None, &mut memory, &mut text);
    let instance = session.evidence(instance);
    let host = host.map(|host| session.evidence(host));
    let service = service.map(|service| session.evidence(service));
    Process::new(&text, instance, host, service, keys)
}

/// The lists that settings make.
fn lists(outside: &Settings) -> Option<Filter> {
    if outside.allow.is_none() && outside.deny.is_none() {
        return None;
    }
    let entries = |list: &Option<Vec<String>>| list.iter().flatten().cloned().collect::<Vec<_>>();
    Some(Filter::lists(Lists::new().allow(entries(&outside.allow)).deny(entries(&outside.deny))))
}

/// Reports the entries of lists that name nothing in the catalog.
fn report_unknown(filter: &Filter, routes: &Compiled) {
    let events = || routes.events().map(|(event, _)| event).chain(routes.unmatched());
    let is_known = |entry: &str| {
        let name = status_of(entry).map_or(entry, |(name, _)| name);
        events().any(|event| match entry.strip_prefix("kind:") {
            Some(kind) => event.kind() == Some(kind),
            None => [entry, name].contains(&event.name()) || [entry, name].contains(&&*upper_snake(event.name())),
        })
    };
    for entry in filter.unknown(&is_known) {
        report(|| {
            tracing::warn!(target: "tower_audit", entry, "a list names an event or kind that the catalog does not have");
        });
    }
}

/// Which events the filter refuses, whatever their requests are.
fn refused(filter: &Filter, routes: &Compiled) -> Vec<bool> {
    let is_refused = |event: &EventPolicy| {
        let known = KnownEvent { name: event.name(), kind: event.kind(), log_type: event.log_type() };
        filter.decide(known) == Some(false)
    };
    // Only what is in the catalog: a request that matches no event may still be named.
    routes.events().map(|(event, _)| is_refused(event)).collect()
}

fn limits(outside: &Settings, admission_timeout: Duration, records: usize, bytes: usize) -> Limits {
    let bytes = outside.queue_bytes.unwrap_or(bytes);
    Limits {
        records: outside.queue_records.unwrap_or(records),
        bytes,
        line_bytes: bytes / 2,
        admission_timeout: outside.admission_timeout.unwrap_or(admission_timeout),
    }
}

/// Sizes, alone and beside one another.
fn check_sizes(outside: &Settings, limits: Limits, max_body_bytes: usize, line_budget: usize, problems: &mut Problems) {
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
fn delivery(outside: Option<Delivery>, code: Option<Delivery>) -> Delivery {
    match (outside, code) {
        (Some(outside), Some(code)) => outside.max(code),
        (one, other) => one.or(other).unwrap_or(Delivery::Backpressure),
    }
}

/// The proxies and their header: neither is of use without the other.
fn client_ip(outside: &Settings, code: Option<(Vec<String>, HeaderName)>) -> Result<ClientIp, Error> {
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
            "{}: given without the header in which these proxies send the address of the client, so the addresses of the \
             proxies would be recorded; add {}, Forwarded or X-Real-IP, whichever they set",
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
fn scoping(parts: ScopeParts) -> Result<Option<Scoping>, Error> {
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
fn instance(code: Option<String>) -> Result<String, Error> {
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
