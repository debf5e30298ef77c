//! What is known of an exchange before redaction: one contiguous buffer with ranges, and fixed fields.
//!
//! A draft is not a record. It is private to the crate, and `compose` is the only way from it to one.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Version};
use uuid::Uuid;

use super::body::BodyCopy;
use super::late::Late;
use super::request_id::{self, request_id, traceparent};
use crate::catalog::Params;
use crate::clock::Micros;
use crate::plan::Plan;
use crate::record::{Actor, Delivery, Outcome};
use crate::scope::Scoped;
use crate::text::lossy;

/// A piece of a draft's text. Text from the network is shorter than 4 GiB: every piece is capped when it is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// A piece of this piece.
    fn part(self, range: Range<usize>) -> Self {
        let at = |offset| u32::try_from(offset).map_or(self.end, |offset| (self.start + offset).min(self.end));
        Self { start: at(range.start), end: at(range.end) }
    }
}

/// What an exchange holds whatever is in it: its draft, its handle, a few facts, and later a short line.
const EXCHANGE: usize = 2 * 1024;
/// Facts of so many bytes are within that.
const FEW_FACTS: usize = 1024;

/// Which event a draft belongs to.
#[derive(Clone, Debug, Default)]
pub(crate) enum EventRef {
    /// No event claims the request.
    #[default]
    Unmatched,
    /// No event claims the request, and it is a read.
    UnmatchedRead,
    /// An event of the auditor's own catalog.
    Listed(u32),
    /// An event that was named beside its route, or comes from another auditor's catalog.
    Own(Arc<Plan>),
}

/// Which record of an exchange a draft becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    Initiation,
    #[default]
    Completion,
    /// Free text, for events that the application emits itself.
    Named(Cow<'static, str>),
}

/// What an exchange is: a request, or an activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EntryPoint {
    #[default]
    Request,
    /// Work without a request.
    Activity,
}

/// The path template of a request, and what it binds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    /// The catalog's template and its parameters, as ranges of the path.
    pub(crate) listed: Option<(u32, Params)>,
    /// The template that the router reported.
    pub(crate) reported: Span,
}

/// A header that is kept for the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptHeader {
    pub(super) name: Span,
    pub(crate) value: Span,
    pub(crate) used: HeaderUse,
}

/// What a kept header is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderUse {
    /// The record shows it, redacted.
    Shown,
    /// The record shows a mask: its value is marked as sensitive, and not even copied.
    Sensitive,
    /// A credential: never shown, and masked where anything quotes it.
    Credential,
}

impl KeptHeader {
    /// The name, in lower case.
    pub(crate) fn name<'d>(self, draft: &Reading<'d>) -> &'d str {
        draft.utf8(self.name).unwrap_or_default()
    }
}

/// Everything of an exchange that is known so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    text: Vec<u8>,

    pub(crate) entry_point: EntryPoint,
    pub(crate) event: EventRef,
    pub(crate) stage: Stage,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) audit_id: Uuid,
    /// The class in which its records travel.
    pub(crate) class: Delivery,
    /// The queue has let it in, so each of its records may enter.
    pub(crate) admitted: bool,
    /// Bytes that it holds in the queue's budget, without those of its bodies.
    pub(crate) held: usize,
    pub(crate) started: Micros,
    /// On the monotonic clock.
    pub(crate) began: Duration,
    pub(crate) elapsed: Duration,

    pub(crate) method: Span,
    pub(crate) path: Span,
    pub(crate) query: Span,
    /// A question mark stands in the URL, whatever comes after it.
    pub(crate) has_query: bool,
    /// Bytes of path and query that did not fit.
    pub(crate) url_cut: bool,
    pub(crate) version: Version,
    pub(crate) referer: Span,
    pub(crate) user_agent: Span,
    /// As it was sent, as are the two after it: [`Reading`] knows what of it is right.
    pub(super) authority: Span,
    pub(super) sent_id: Span,
    pub(super) traceparent: Span,
    pub(crate) headers: Vec<KeptHeader>,
    pub(crate) route: Route,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) peer_ip: Option<IpAddr>,
    /// What the resolvers found; late binding overrides it.
    pub(crate) resolved: Option<Box<Actor>>,

    pub(crate) request_type: Span,
    pub(crate) request_encoded: bool,
    pub(crate) request_body: BodyCopy,

    pub(crate) status: Option<StatusCode>,
    pub(crate) grpc_status: Option<u32>,
    /// `grpc-message` as it was sent, percent-encoded.
    pub(crate) grpc_message: Span,
    pub(crate) response_type: Span,
    pub(crate) response_encoded: bool,
    pub(crate) response_body: BodyCopy,

    /// What inner layers, extractors and handlers said. Empty for most requests, and then free.
    pub(crate) late: Option<Box<Late>>,
    /// Under which name the initiation record was written, if it was.
    pub(crate) initiated: Option<EventRef>,
    /// The rules by which its scope decides whether it is recorded; none if it is in any case.
    pub(crate) scoped: Option<Scoped>,
}

impl Draft {
    /// Empties the draft for its next exchange and keeps its memory. In place, because a draft is large.
    pub(crate) fn reset(&mut self) {
        let Self {
            text,
            entry_point,
            event,
            stage,
            outcome,
            audit_id,
            class,
            admitted,
            held,
            started,
            began,
            elapsed,
            method,
            path,
            query,
            has_query,
            url_cut,
            version,
            referer,
            user_agent,
            authority,
            sent_id,
            traceparent,
            headers,
            route,
            ip,
            port,
            peer_ip,
            resolved,
            request_type,
            request_encoded,
            request_body,
            status,
            grpc_status,
            grpc_message,
            response_type,
            response_encoded,
            response_body,
            late,
            initiated,
            scoped,
        } = self;
        text.clear();
        headers.clear();
        request_body.reset();
        response_body.reset();
        (*event, *stage, *route) = (EventRef::default(), Stage::default(), Route::default());
        (*entry_point, *outcome, *audit_id, *class) = (EntryPoint::default(), None, Uuid::nil(), Delivery::default());
        (*admitted, *held) = (false, 0);
        (*started, *began, *elapsed) = (Micros::default(), Duration::ZERO, Duration::ZERO);
        (*has_query, *url_cut, *version) = (false, false, Version::default());
        for span in [method, path, query, referer, user_agent, authority, sent_id, traceparent] {
            *span = Span::default();
        }
        for span in [request_type, grpc_message, response_type] {
            *span = Span::default();
        }
        (*ip, *port, *peer_ip, *resolved) = (None, None, None, None);
        (*request_encoded, *response_encoded) = (false, false);
        (*status, *grpc_status) = (None, None);
        (*late, *initiated, *scoped) = (None, None, None);
    }

    /// A copy of `other` in the memory that this draft already has.
    pub(crate) fn copy_of(&mut self, other: &Self) {
        let mut text = std::mem::take(&mut self.text);
        let mut headers = std::mem::take(&mut self.headers);
        let mut request_bytes = std::mem::take(&mut self.request_body.bytes);
        text.clone_from(&other.text);
        headers.clone_from(&other.headers);
        request_bytes.clone_from(&other.request_body.bytes);
        *self = Self {
            text,
            headers,
            request_body: BodyCopy { bytes: request_bytes, ..other.request_body.without_bytes() },
            response_body: other.response_body.without_bytes(),
            event: other.event.clone(),
            stage: other.stage.clone(),
            route: other.route.clone(),
            resolved: other.resolved.clone(),
            late: other.late.clone(),
            initiated: None,
            scoped: None,
            held: 0,
            ..*other
        };
    }

    /// Copies at most `cap` bytes.
    pub(crate) fn keep(&mut self, bytes: &[u8], cap: usize) -> Span {
        let bytes = &bytes[..bytes.len().min(cap)];
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        // Caps are kilobytes, and the pieces of one draft are bounded in number.
        let to_u32 = |at: usize| u32::try_from(at).expect("a draft's text is far below 4 GiB");
        Span { start: to_u32(start), end: to_u32(self.text.len()) }
    }

    /// Copies what is worth nothing without its end, unless it is longer than `cap`.
    pub(crate) fn keep_whole(&mut self, bytes: Option<&[u8]>, cap: usize) -> Span {
        bytes.filter(|bytes| bytes.len() <= cap).map_or_else(Span::default, |bytes| self.keep(bytes, cap))
    }

    /// A kept piece; what was not UTF-8 shows as U+FFFD.
    pub(crate) fn text(&self, span: Span) -> Cow<'_, str> {
        lossy(&self.text[span.range()])
    }

    /// The draft with its ids and its host checked.
    pub(crate) fn reading(&self) -> Reading<'_> {
        let sent = |span| Some(self.bytes(span));
        let id = request_id(sent(self.sent_id));
        let trace = traceparent(sent(self.traceparent));
        let host = request_id::host(sent(self.authority)).map_or(0, <[u8]>::len);
        Reading {
            draft: self,
            utf8: std::str::from_utf8(&self.text).ok(),
            request_id: id.map_or_else(Span::default, |_| self.sent_id),
            trace: trace
                .map(|_| (self.traceparent.part(request_id::TRACE_ID), self.traceparent.part(request_id::SPAN_ID))),
            host: self.authority.part(0..host),
        }
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        &self.text[span.range()]
    }

    pub(crate) fn late(&mut self) -> &mut Late {
        self.late.get_or_insert_default()
    }

    /// Who acted, as far as it is known: what was bound late, else what a resolver found.
    pub(crate) fn actor(&self) -> Option<&Actor> {
        self.late.as_ref().and_then(|late| late.actor.as_ref()).or(self.resolved.as_deref())
    }

    /// Whether the rules of scopes let it be recorded, as far as its scope is known; `event` is the name of its event.
    pub(crate) fn is_audited(&self, event: &str) -> bool {
        let scope = self.late.as_ref().and_then(|late| late.scope.as_ref());
        self.scoped.as_ref().is_none_or(|scoped| scoped.is_audited(scope, event))
    }

    /// Notes that the queue has admitted it, with so many bytes of the budget.
    pub(crate) fn let_in(&mut self, bytes: usize) {
        self.admitted = true;
        self.held += bytes;
    }

    /// What it needs of the budget without its bodies: its head, and what the application has said of it.
    pub(crate) fn needs(&self) -> usize {
        let late = self.late.as_ref().map_or(0, |late| late.bytes().saturating_sub(FEW_FACTS));
        EXCHANGE + self.text.len() + self.headers.len() * size_of::<KeptHeader>() + late
    }

    /// Bytes that this draft holds in the queue's budget.
    pub(crate) fn reserved(&self) -> usize {
        self.held + self.request_body.reserved + self.response_body.reserved
    }

    /// Gives back buffers that grew far beyond what most exchanges need.
    pub(crate) fn shrink(&mut self) {
        const KEEP: usize = 4 * 1024;
        for buffer in [&mut self.text, &mut self.request_body.bytes, &mut self.response_body.bytes] {
            if buffer.capacity() > KEEP {
                *buffer = Vec::new();
            }
        }
    }
}

/// A draft that is being read: what others sent as ids, trace and host is checked.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'d> {
    draft: &'d Draft,
    /// All kept pieces, if they are UTF-8, as nearly all are: checked once for all of them.
    utf8: Option<&'d str>,
    /// What others called the request.
    pub(crate) request_id: Span,
    /// The trace and the caller's span.
    pub(crate) trace: Option<(Span, Span)>,
    /// The host that was addressed.
    pub(crate) host: Span,
}

impl<'d> Reading<'d> {
    /// A kept piece; what was not UTF-8 shows as U+FFFD.
    pub(crate) fn text(&self, span: Span) -> Cow<'d, str> {
        self.utf8(span).map_or_else(|| self.draft.text(span), Cow::Borrowed)
    }

    /// A kept piece, if it is UTF-8.
    pub(crate) fn utf8(&self, span: Span) -> Option<&'d str> {
        match self.utf8 {
            Some(all) => all.get(span.range()),
            None => std::str::from_utf8(&self.draft.text[span.range()]).ok(),
        }
    }
}

impl Deref for Reading<'_> {
    type Target = Draft;

    fn deref(&self) -> &Draft {
        self.draft
    }
}
