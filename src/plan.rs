//! An event as the engine runs it: its policy, its redaction rules, and the defaults of this process filled in.

use std::sync::Arc;

use std::borrow::Cow;

use crate::catalog::{EventPolicy, StreamEnd, Texts};
use crate::error::Error;
use crate::media::Media;
use crate::record::{Delivery, Labels, Stages};
use crate::redact::EventRules;

/// What the engine decides for events that do not say it themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) stages: Stages,
    pub(crate) delivery: Delivery,
}

/// One event, ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) policy: EventPolicy,
    pub(crate) rules: EventRules,
    pub(crate) labels: Arc<Labels>,
    pub(crate) stages: Stages,
    pub(crate) delivery: Delivery,
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

    pub(crate) fn new(policy: EventPolicy, defaults: Defaults) -> Result<Self, Error> {
        if policy.stream_end() == StreamEnd::Client && policy.delivery().is_some_and(|class| class >= Delivery::Durable)
        {
            return Err(Error::catalog(format!(
                "event `{}`: a stream that its client ends has no last frame that could wait for a durable record; \
                 `lossy` and `backpressure` are possible",
                policy.name()
            )));
        }
        let delivery = match policy.delivery() {
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

fn rules(policy: &EventPolicy) -> Result<EventRules, Error> {
    let owned = |names: &[Cow<'static, str>]| names.iter().map(|name| name.clone().into_owned()).collect::<Vec<_>>();
    EventRules::new(
        &owned(policy.value_masks()),
        &owned(policy.secret_pointers()),
        &owned(policy.not_secret()),
        &owned(policy.shown()),
    )
    .map_err(|error| Error::redaction(format!("event `{}`: {error}", policy.name())))
}
