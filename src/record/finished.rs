//! A finished record: redacted, checked, and ready for any format.
//!
//! Only `redact` makes one. Plain fields hold plain text; what is a JSON value of any shape is a [`Fragment`].

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Version};
use uuid::Uuid;

use super::{Actor, Entity, Eula, Failure, Labels, Level, Outcome, Reason, Scope, Status};
use crate::clock::Micros;

/// A JSON value as compact text.
pub(crate) type Fragment = String;

/// One record, redacted: what filters decide on and formats write.
#[derive(Debug, Default)]
pub struct Record {
    pub(crate) timestamp: Micros,
    pub(crate) level: Level,
    pub(crate) event_name: Cow<'static, str>,
    pub(crate) labels: Option<Arc<Labels>>,
    pub(crate) stage: Cow<'static, str>,
    pub(crate) status: Status,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) message: Option<String>,
    pub(crate) audit_id: Uuid,
    pub(crate) started_at: Option<Micros>,
    pub(crate) duration: Option<Duration>,
    pub(crate) request_id: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) span_id: Option<String>,
    pub(crate) actor: Actor,
    pub(crate) address: Address,
    pub(crate) context: Option<Box<Context>>,
    /// The URL was longer than what is kept of one.
    pub(crate) url_cut: bool,
    pub(crate) meta: Vec<(Cow<'static, str>, Fragment)>,
    pub(crate) errors: Vec<Failure>,
    pub(crate) response: Option<Response>,
    pub(crate) request: Option<Request>,
}

impl Record {
    /// Takes out the texts that most records have, for their memory.
    pub(crate) fn take_texts(&mut self, mut taken: impl FnMut(String)) {
        let Self { message, request_id, trace_id, span_id, address, request, .. } = self;
        let texts = [message, request_id, trace_id, span_id, &mut address.hostname, &mut address.client];
        texts.into_iter().filter_map(Option::take).for_each(&mut taken);
        if let Some(Request { url, route, referer, params, query, .. }) = request {
            taken(std::mem::take(url));
            [route, referer, params, query].into_iter().filter_map(Option::take).for_each(taken);
        }
    }

    /// The event's name, such as `ScaffolderTaskCreation`.
    pub fn event_name(&self) -> &str {
        &self.event_name
    }

    /// The event's group, such as `scaffolder`.
    pub fn event_kind(&self) -> Option<&str> {
        self.labels.as_ref()?.kind()
    }

    /// `initiation`, `completion`, or what the application said.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Whether it succeeded.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The severity.
    pub fn level(&self) -> Level {
        self.level
    }

    /// How the exchange ended; completions only.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// The id that all records of an exchange share.
    pub fn audit_id(&self) -> Uuid {
        self.audit_id
    }

    /// Who acted.
    pub fn actor_id(&self) -> Option<&str> {
        self.actor.id()
    }

    /// The request's method.
    pub fn method(&self) -> Option<&str> {
        self.request.as_ref().map(|request| &*request.method)
    }

    /// The template of the route that matched.
    pub fn route(&self) -> Option<&str> {
        self.request.as_ref()?.route.as_deref()
    }

    /// The response's status.
    pub fn response_status(&self) -> Option<StatusCode> {
        self.response.as_ref()?.status
    }
}

/// What was acted on and where, as far as the application said it: most records have nothing of this.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) object: Option<Entity>,
    pub(crate) target: Option<Entity>,
    pub(crate) scope: Option<Scope>,
    pub(crate) project: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) edge: Option<String>,
    pub(crate) eula: Option<Eula>,
    /// What the application itself calls the context.
    pub(crate) said: Option<String>,
}

/// Where the actor was, as far as the exchange itself tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Address {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) peer_ip: Option<IpAddr>,
    /// The host that the actor addressed.
    pub(crate) hostname: Option<String>,
    pub(crate) client: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: Cow<'static, str>,
    pub(crate) url: String,
    pub(crate) route: Option<String>,
    pub(crate) protocol: Version,
    pub(crate) referer: Option<String>,
    pub(crate) params: Option<Fragment>,
    pub(crate) query: Option<Fragment>,
    pub(crate) headers: Option<Fragment>,
    pub(crate) body: Body,
}

#[derive(Debug, Default)]
pub(crate) struct Response {
    /// A head that was never produced has none.
    pub(crate) status: Option<StatusCode>,
    pub(crate) bytes: Option<u64>,
    pub(crate) body: Body,
}

/// A body as a record shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) shown: Option<Fragment>,
    /// Why it, or the rest of it, is not there.
    pub(crate) omitted: Option<Reason>,
    /// What passed through the layer.
    pub(crate) bytes: u64,
    pub(crate) content_type: Option<String>,
}
