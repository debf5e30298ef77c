//! An event as the engine runs it: its policy, its redaction rules, and the defaults of this process filled in.

use std::sync::Arc;

use std::borrow::Cow;

use crate::catalog::{EventPolicy, StreamEnd, Texts};
use crate::error::Error;
use crate::media::Media;
use crate::record::{Delivery, Labels, Level, Reads, Stages};
use crate::redact::EventRules;

/// What the engine decides for events that do not say it themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) stages: Stages,
    pub(crate) delivery: Delivery,
    /// What code demands of all events; a setting from outside never weakens it.
    pub(crate) demanded: Option<Delivery>,
    /// What the outermost catalog says of reads, for events that are beside their routes.
    pub(crate) catalog_reads: Option<Reads>,
    /// What the operator says of reads.
    pub(crate) reads: Option<Reads>,
}

/// One event, ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) policy: EventPolicy,
    pub(crate) rules: EventRules,
    pub(crate) labels: Arc<Labels>,
    pub(crate) stages: Stages,
    pub(crate) delivery: Delivery,
    /// The level of what succeeds.
    pub(crate) level: Level,
    /// Requests of it are not recorded.
    pub(crate) is_skipped: bool,
    pub(crate) captures_request: bool,
    pub(crate) captures_response: bool,
    pub(crate) client_ends_stream: bool,
    pub(crate) shows_text: bool,
    pub(crate) shows_request: bool,
    pub(crate) shows_response: bool,
}

impl Plan {
    /// Whether a copy of such a body is of any use to the redactor.
    pub(crate) fn keeps(&self, media: Media) -> bool {
        match media {
            Media::Json | Media::Form | Media::Multipart => true,
            Media::Text => self.shows_text,
            Media::Binary | Media::Unknown => false,
        }
    }

    pub(crate) fn new(policy: EventPolicy, is_read: bool, defaults: Defaults) -> Result<Self, Error> {
        if policy.stream_end() == StreamEnd::Client && policy.delivery().is_some_and(|class| class >= Delivery::Durable)
        {
            return Err(Error::catalog(format!(
                "event `{}`: a stream that its client ends has no last frame that could wait for a durable record; \
                 `lossy` and `backpressure` are possible",
                policy.name()
            )));
        }
        let reads = if is_read { reads(&policy, defaults) } else { Reads::Record };
        let level = policy.level().unwrap_or(if reads < Reads::Record { Level::Debug } else { Level::Info });
        let delivery = match policy.delivery() {
            None if reads == Reads::Lossy => Delivery::Lossy,
            // What the event does not demand must not make its stream impossible.
            None if policy.stream_end() == StreamEnd::Client => defaults.delivery.min(Delivery::Backpressure),
            said => said.unwrap_or(defaults.delivery),
        };
        Ok(Self {
            rules: rules(&policy)?,
            labels: Arc::new(Labels::new(
                policy.name(),
                policy.kind(),
                policy.log_type(),
                policy.service(),
                policy.plugin(),
                policy.component(),
            )),
            stages: policy.stages().unwrap_or(defaults.stages),
            delivery,
            level,
            is_skipped: reads == Reads::Skip,
            captures_request: policy.captures().show_request(),
            captures_response: policy.captures().show_response(),
            client_ends_stream: policy.stream_end() == StreamEnd::Client,
            shows_text: policy.texts() == Texts::Shown,
            shows_request: policy.bodies().show_request(),
            shows_response: policy.bodies().show_response(),
            policy,
        })
    }
}

/// How much is recorded of an event that is a read: what code says, or more if the operator says so. The operator alone cannot
/// weaken a delivery class that code demands, and nobody skips what demands one.
fn reads(policy: &EventPolicy, defaults: Defaults) -> Reads {
    let (said, demanded) = match (policy.reads().or(defaults.catalog_reads), defaults.reads) {
        (Some(code), outside) => (code.max(outside.unwrap_or(code)), policy.delivery()),
        (None, outside) => (outside.unwrap_or_default(), policy.delivery().or(defaults.demanded)),
    };
    if demanded.is_some_and(|class| class > Delivery::Lossy) { said.max(Reads::Debug) } else { said }
}

fn rules(policy: &EventPolicy) -> Result<EventRules, Error> {
    let owned = |names: &[Cow<'static, str>]| names.iter().map(|name| name.clone().into_owned()).collect::<Vec<_>>();
    EventRules::new(
        &owned(policy.value_masks()),
        &owned(policy.secret_pointers()),
        &owned(policy.not_secret()),
        &owned(policy.shown()),
    )
    .map_err(|error| {
        let lines = error.to_string();
        let named: Vec<String> = lines.lines().map(|line| format!("event `{}`: {line}", policy.name())).collect();
        Error::redaction(named.join("\n"))
    })
}
