//! A finished record: one buffer of redacted text, and a struct of pieces of it.
//!
//! The types keep the promises of redaction. A text is a piece of a [`Redacted`], to which only `redact` can add text from
//! outside. Text that says who did what is [`Evidence`]; text that a client or an error may have chosen is [`ClientText`]. Only
//! the second is searched for echoes: [`Fields::each_client`] visits it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Version};
use uuid::Uuid;

use super::wire::Process;
use super::{Labels, Level, Outcome, Record, RouteLabel, Status};
use crate::clock::Micros;
use crate::redact::{ClientJson, ClientText, Evidence, EvidenceJson, Reason, Redacted};

/// One redacted record in memory that is used again. Only of this type can a sink's line be made.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// All text of the record.
    pub(crate) text: Redacted,
    pub(crate) fields: Fields,
}

/// Everything of a record: pieces of its text, numbers, and names of the application's configuration.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) timestamp: Micros,
    pub(crate) level: Level,
    /// The names of the event.
    pub(crate) labels: Option<Arc<Labels>>,
    /// The event's name may hold a secret and does not show.
    pub(crate) is_name_masked: bool,
    pub(crate) stage: StageName,
    pub(crate) status: Status,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) message: Option<Evidence>,
    pub(crate) audit_id: Uuid,
    pub(crate) started_at: Option<Micros>,
    pub(crate) duration: Option<Duration>,
    pub(crate) request_id: Option<Evidence>,
    pub(crate) trace_id: Option<Evidence>,
    pub(crate) span_id: Option<Evidence>,
    /// The actor, then the one on whose behalf it acts, and so on. Empty: no actor is known.
    pub(crate) actors: Vec<Identity>,
    pub(crate) address: Address,
    pub(crate) context: Option<Context>,
    /// The URL was longer than what is captured of one.
    pub(crate) url_cut: bool,
    pub(crate) meta: Vec<(Evidence, EvidenceJson)>,
    pub(crate) errors: Vec<ErrorEntry>,
    pub(crate) response: Option<Response>,
    pub(crate) request: Option<Request>,
}

/// The stage of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StageName {
    Initiation,
    #[default]
    Completion,
    /// The application's own name, of an event that it emits itself.
    Named(Evidence),
}

/// An actor without its address, which belongs to the request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) id: Option<Evidence>,
    pub(crate) kind: Option<Evidence>,
    pub(crate) name: Option<Evidence>,
    pub(crate) url: Option<Evidence>,
    pub(crate) slug: Option<Evidence>,
    pub(crate) is_unverified: bool,
    pub(crate) claimed: Option<Evidence>,
    pub(crate) credential: Option<Key>,
    pub(crate) location: Option<Place>,
}

/// A [`Credential`](super::Credential), redacted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) kind: Evidence,
    pub(crate) id: Option<Evidence>,
    pub(crate) name: Option<Evidence>,
    pub(crate) owner: Option<Evidence>,
}

/// A [`Location`](super::Location), redacted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) city: Option<Evidence>,
    pub(crate) country: Option<Evidence>,
    pub(crate) continent: Option<Evidence>,
}

/// What was acted on and where, if the application set it. Most records have nothing of this.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    pub(crate) object: Option<Thing>,
    pub(crate) target: Option<Thing>,
    pub(crate) scope: Option<Owner>,
    pub(crate) project: Option<Evidence>,
    pub(crate) repository: Option<Evidence>,
    pub(crate) namespace: Option<Evidence>,
    /// The field `context`.
    pub(crate) said: Option<Evidence>,
}

/// An [`Entity`](super::Entity), redacted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thing {
    pub(crate) kind: Evidence,
    pub(crate) id: Option<Evidence>,
    pub(crate) name: Option<Evidence>,
    pub(crate) version: Option<Evidence>,
    pub(crate) slug: Option<Evidence>,
    pub(crate) format: Option<Evidence>,
}

/// A [`Scope`](super::Scope), redacted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) kind: Evidence,
    pub(crate) path: Evidence,
}

/// The address of the actor, from the connection and the request's head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Address {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) peer_ip: Option<IpAddr>,
    /// The host that the actor addressed.
    pub(crate) hostname: Option<Evidence>,
    pub(crate) client: Option<ClientText>,
}

/// One entry of `errors`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorEntry {
    pub(crate) name: Evidence,
    pub(crate) message: ErrorText,
    pub(crate) stack: Option<ClientText>,
}

/// The text of an error.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ErrorText {
    /// Of this library, such as `404 Not Found`: no client can change it.
    Library(Evidence),
    /// Of the application, which may quote a client.
    Application(ClientText),
}

impl ErrorText {
    /// The text itself.
    pub(crate) fn of(self, text: &Redacted) -> &str {
        match self {
            Self::Library(piece) => text.get(piece),
            Self::Application(piece) => text.get(piece),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Evidence,
    pub(crate) path: Evidence,
    /// The query as sent, without the question mark.
    pub(crate) url_query: Option<ClientText>,
    pub(crate) route: Option<Route>,
    pub(crate) protocol: Version,
    pub(crate) referer: Option<ClientText>,
    pub(crate) params: Option<EvidenceJson>,
    pub(crate) query: Option<ClientJson>,
    pub(crate) headers: Option<ClientJson>,
    pub(crate) body: Body,
}

impl Request {
    /// Longest `url` of a record, in bytes.
    pub(crate) const MAX_URL: usize = 4 * 1024;

    /// The length of path and query, however long they are.
    pub(crate) fn url_len(&self) -> usize {
        self.path.range().len() + self.url_query.map_or(0, |query| query.range().len() + 1)
    }
}

/// The template of the route that matched.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// A template of the catalog.
    Listed(Arc<RouteLabel>),
    /// A template that the router or the application reported.
    Reported(Evidence),
}

#[derive(Debug, Default)]
pub(crate) struct Response {
    /// Absent if the inner service returned no response.
    pub(crate) status: Option<StatusCode>,
    pub(crate) bytes: Option<u64>,
    pub(crate) body: Body,
}

/// A body as a record shows it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Body {
    pub(crate) shown: Option<ClientJson>,
    /// Why it, or the rest of it, is left out.
    pub(crate) omitted: Option<Reason>,
    /// The bytes that passed through the layer.
    pub(crate) bytes: u64,
    pub(crate) content_type: Option<ClientText>,
}

/// A visitor of each piece that a client may have chosen.
pub(crate) trait ClientPieces {
    fn text(&mut self, piece: &mut ClientText);
    /// # Errors
    ///
    /// The reason, if the value must not show.
    fn json(&mut self, piece: &mut ClientJson) -> Result<(), Reason>;
}

impl Finished {
    /// Empties the record for the next one and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }

    /// The record as formats and filters see it.
    pub(crate) fn view<'r>(&'r self, process: &'r Process) -> Record<'r> {
        Record::new(&self.text, &self.fields, process)
    }
}

/// The name of an event whose own name may hold a secret.
pub(crate) const MASKED_NAME: &str = "Masked";

impl Fields {
    fn clear(&mut self) {
        let (mut actors, mut meta, mut errors) =
            (std::mem::take(&mut self.actors), std::mem::take(&mut self.meta), std::mem::take(&mut self.errors));
        actors.clear();
        meta.clear();
        errors.clear();
        *self = Self { actors, meta, errors, ..Self::default() };
    }

    /// Visits each piece that a client may have chosen once. A body that must not show is left out with the reason; query and
    /// headers are left out without one.
    pub(crate) fn each_client(&mut self, visit: &mut impl ClientPieces) {
        let Self { address, errors, request, response, .. } = self;
        address.client.iter_mut().for_each(|piece| visit.text(piece));
        for ErrorEntry { message, stack, .. } in errors {
            if let ErrorText::Application(piece) = message {
                visit.text(piece);
            }
            stack.iter_mut().for_each(|piece| visit.text(piece));
        }
        if let Some(Request { url_query, referer, query, headers, body, .. }) = request {
            url_query.iter_mut().chain(referer).for_each(|piece| visit.text(piece));
            for piece in [query, headers] {
                piece.take_if(|piece| visit.json(piece).is_err());
            }
            body.each_client(visit);
        }
        if let Some(Response { body, .. }) = response {
            body.each_client(visit);
        }
    }
}

impl Body {
    fn each_client(&mut self, visit: &mut impl ClientPieces) {
        self.content_type.iter_mut().for_each(|piece| visit.text(piece));
        if let Some(Err(reason)) = self.shown.as_mut().map(|piece| visit.json(piece)) {
            (self.shown, self.omitted) = (None, Some(reason));
        }
    }
}
