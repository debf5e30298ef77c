//! The request and its response: URL, parameters, query, headers and bodies.

use std::borrow::Cow;
use std::ops::Range;

use http::StatusCode;
use percent_encoding::percent_decode;

use super::people::is_claimed;
use super::{Extent, Scratch};
use crate::capture::{BodyCopy, Draft, EntryPoint, HeaderUse, Progress, Reading, Stage};
use crate::catalog::{Params, Strangers, Template};
use crate::engine::Engine;
use crate::media::Media;
use crate::plan::Plan;
use crate::record::finished::{Body, Fields, Request, Response, Route};
use crate::redact::{self, ClientJson, ClientText, Evidence, EvidenceJson, Reason, Redacted, Session};
use crate::text::lossy;

/// The parts of a request that are used more than once, redacted once.
pub(super) struct Sent {
    /// Absent for work without a request.
    pub(super) target: Option<Target>,
    pub(super) request_body: Body,
    pub(super) response_body: Body,
    shows_request: bool,
    shows_response: bool,
    extent: Extent,
}

/// Method, URL and route of a request.
pub(super) struct Target {
    pub(super) method: Evidence,
    pub(super) path: Evidence,
    url_query: Option<ClientText>,
    pub(super) route: Option<Route>,
    /// Under the catalog's names.
    listed_params: Option<EvidenceJson>,
    /// Under the router's names, where its template differs.
    reported_params: Option<Option<EvidenceJson>>,
    pub(super) query: Option<ClientJson>,
}

impl Sent {
    pub(super) fn of(
        engine: &Engine,
        draft: &Reading<'_>,
        plan: &Plan,
        extent: Extent,
        scratch: &mut Scratch,
        session: &mut Session<'_>,
    ) -> Self {
        let is_hidden = plan.policy.strangers() == Strangers::Hidden && is_stranger(draft);
        let answers = draft.stage != Stage::Initiation;
        let mut body = |side, is_captured: bool| match extent {
            _ if !is_captured => Body::default(),
            Extent::Whole => body(side, draft, plan.shows_text, session),
            Extent::Evidence => {
                failed_body(if side == Side::Request { &draft.request_body } else { &draft.response_body })
            }
        };
        Self {
            request_body: body(Side::Request, plan.captures_request),
            response_body: body(Side::Response, plan.captures_response && answers),
            shows_request: plan.shows_request && !is_hidden,
            shows_response: plan.shows_response && !is_hidden,
            target: (draft.entry_point == EntryPoint::Request)
                .then(|| Target::of(engine, draft, extent, scratch, session)),
            extent,
        }
    }

    /// Writes the request and the response of the record.
    pub(super) fn show(self, draft: &Reading<'_>, session: &mut Session<'_>, fields: &mut Fields) {
        let Some(target) = self.target else { return };
        let is_whole = self.extent == Extent::Whole;
        let shown = draft.headers.iter().filter(|header| is_whole && header.used != HeaderUse::Credential);
        let referer = draft.text(draft.referer);
        fields.request = Some(Request {
            method: target.method,
            path: target.path,
            url_query: target.url_query,
            route: target.route,
            protocol: draft.version,
            referer: (is_whole && !referer.is_empty()).then(|| session.shared_text(&referer)),
            params: target.reported_params.unwrap_or(target.listed_params),
            query: target.query,
            headers: session
                .headers(shown.map(|header| {
                    (header.name(draft), draft.bytes(header.value), header.used == HeaderUse::Sensitive)
                })),
            body: if self.shows_request { self.request_body } else { Body::default() },
        });
        fields.response = answered(draft).map(|status| Response {
            status: Some(status),
            bytes: Some(draft.response_body.total),
            body: if self.shows_response { self.response_body } else { Body::default() },
        });
    }
}

impl Target {
    fn of(
        engine: &Engine,
        draft: &Reading<'_>,
        extent: Extent,
        scratch: &mut Scratch,
        session: &mut Session<'_>,
    ) -> Self {
        let path = &*draft.text(draft.path);
        let reported = &*draft.text(draft.route.reported);
        let listed = draft.route.listed.as_ref().map(|(route, params)| (engine.routes.template(*route), params));
        let differs = !reported.is_empty() && listed.is_none_or(|(template, _)| template.text() != reported);
        let mut bound = Params::default();
        let other = differs.then(|| scratch.template(reported)).flatten();
        let other = other.filter(|template| template.bind(path, path.len(), &mut bound));

        let mut bindings = Bindings::default();
        if let Some((template, params)) = listed {
            bindings.add(path, template, params);
        }
        let listed_params = params(path, bindings.all(), session);
        let of_catalog = bindings.all().len();
        if let Some(template) = other {
            bindings.add(path, template, &bound);
        }
        let reported_params = differs.then(|| params(path, &bindings.all()[of_catalog..], session));
        // A path that was cut may not match its template: then it is unknown which of its segments are secret.
        let is_known = (listed.is_some() || differs) && !(draft.url_cut && bindings.all().is_empty());
        let sent_query = (draft.has_query && extent == Extent::Whole).then(|| session.query(&draft.text(draft.query)));
        let (url_query, query) = sent_query.map_or((None, None), |(url_query, query)| (Some(url_query), query));
        Self {
            method: match known_method(draft) {
                Some(method) => session.out.constant(method),
                None => session.evidence(&draft.text(draft.method)),
            },
            path: session.path(path, is_known.then_some(bindings.all())),
            url_query,
            route: match listed {
                Some((template, _)) if !differs => Some(Route::Listed(template.label().clone())),
                _ => differs.then(|| Route::Reported(session.evidence(reported))),
            },
            listed_params,
            reported_params,
            query,
        }
    }

    /// The parameters by the names that the event's sources use: the catalog's, or else the router's, if the application
    /// named the event.
    pub(super) fn params(&self) -> Option<EvidenceJson> {
        self.listed_params.or_else(|| self.reported_params.flatten())
    }
}

impl Scratch {
    /// With more templates, all are parsed again.
    const MAX_TEMPLATES: usize = 256;

    fn template(&mut self, text: &str) -> Option<&Template> {
        if !self.templates.contains_key(text) {
            if self.templates.len() == Self::MAX_TEMPLATES {
                self.templates.clear();
            }
            self.templates.insert(text.into(), Template::parse(text).ok());
        }
        self.templates.get(text)?.as_ref()
    }
}

/// Names and places of a path's parameters. A few need no allocation.
#[derive(Default)]
struct Bindings<'n> {
    few: [(&'n str, Range<usize>); 4],
    count: usize,
    /// All parameters, if there are more than `few` holds.
    many: Vec<(&'n str, Range<usize>)>,
}

impl<'n> Bindings<'n> {
    /// Adds the parameters of a template. In a path that was cut, a parameter may be incomplete.
    fn add(&mut self, path: &str, template: &'n Template, params: &Params) {
        for (name, range) in template.names().iter().zip(params.iter()) {
            if range.start < path.len() {
                self.push(name, range.start..range.end.min(path.len()));
            }
        }
    }

    fn push(&mut self, name: &'n str, range: Range<usize>) {
        if let Some(place) = self.few.get_mut(self.count).filter(|_| self.many.is_empty()) {
            *place = (name, range);
            self.count += 1;
            return;
        }
        if self.many.is_empty() {
            self.many.extend_from_slice(&self.few);
        }
        self.many.push((name, range));
    }

    fn all(&self) -> &[(&'n str, Range<usize>)] {
        if self.many.is_empty() { &self.few[..self.count] } else { &self.many }
    }
}

fn params(path: &str, bindings: &[(&str, Range<usize>)], session: &mut Session<'_>) -> Option<EvidenceJson> {
    if bindings.is_empty() {
        return None;
    }
    session.params(bindings.iter().map(|(name, range)| {
        let sent = path.as_bytes().get(range.clone()).unwrap_or_default();
        // Most have nothing to decode; to find that out is cheaper than to decode.
        let plain = if memchr::memchr(b'%', sent).is_some() { None } else { path.get(range.clone()) };
        (*name, plain.map_or_else(|| percent_decode(sent).decode_utf8_lossy(), Cow::Borrowed))
    }))
}

/// The response's status; none on initiations and activities.
pub(super) fn answered(draft: &Draft) -> Option<StatusCode> {
    draft.status.filter(|_| draft.stage != Stage::Initiation && draft.entry_point == EntryPoint::Request)
}

/// Whether this is a refused request of an unauthenticated client, which must not be able to flood the log.
fn is_stranger(draft: &Draft) -> bool {
    const REFUSED: [u16; 5] = [401, 403, 404, 405, 429];
    let known = draft.actor().is_some_and(|actor| actor.id().is_some() && !is_claimed(draft, actor));
    !known && draft.status.is_some_and(|status| REFUSED.contains(&status.as_u16()))
}

/// Whose body it is. A request body that was not read to its end is `unread`, because the handler did not read on; a response
/// body is `truncated`, because the client did not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

/// A body as the record shows it, or the reason why it is left out.
fn body(side: Side, draft: &Reading<'_>, shows_text: bool, session: &mut Session<'_>) -> Body {
    let (copy, content_type, encoded) = match side {
        Side::Request => (&draft.request_body, draft.request_type, draft.request_encoded),
        Side::Response => (&draft.response_body, draft.response_type, draft.response_encoded),
    };
    if copy.progress == Progress::Absent || (copy.progress == Progress::Ended && copy.total == 0) {
        return Body::default();
    }
    let content_type = draft.bytes(content_type);
    let media = Media::of(content_type);
    let looks_into = match media {
        Media::Json | Media::Form | Media::Multipart => true,
        Media::Text => shows_text,
        Media::Binary | Media::Unknown => false,
    };
    // Of a stream that did not end, the beginning shows, with the reason.
    let unfinished = match copy.progress {
        Progress::Failed => Some(Reason::Failed),
        Progress::Open => Some(if side == Side::Request { Reason::Unread } else { Reason::Truncated }),
        // Of a type that is not read, nothing was captured: the type is the reason.
        Progress::Ended | Progress::Absent => (copy.cut && looks_into).then_some(Reason::Truncated),
    };
    let cut = unfinished.is_some();
    let redact::Body { shown, omitted } = if encoded {
        redact::Body::omitted(Reason::Encoded)
    } else if copy.over_budget {
        redact::Body::omitted(Reason::Budget)
    } else if copy.bytes.is_empty() && cut {
        redact::Body::omitted(Reason::Truncated)
    } else if media == Media::Text && !shows_text {
        redact::Body::omitted(Reason::Text)
    } else {
        session.body(media, &lossy(content_type), &copy.bytes, cut)
    };
    let omitted = if omitted == Some(Reason::Truncated) { unfinished.or(omitted) } else { omitted };
    let has_type = omitted.is_some() && !content_type.is_empty();
    Body {
        shown,
        omitted,
        bytes: copy.total,
        content_type: has_type.then(|| session.shared_text(&lossy(content_type))),
    }
}

/// The method, if it is a standard one; any other is text of the client.
fn known_method(draft: &Draft) -> Option<&'static str> {
    Some(match draft.bytes(draft.method) {
        b"GET" => "GET",
        b"POST" => "POST",
        b"PUT" => "PUT",
        b"DELETE" => "DELETE",
        b"HEAD" => "HEAD",
        b"OPTIONS" => "OPTIONS",
        b"CONNECT" => "CONNECT",
        b"PATCH" => "PATCH",
        b"TRACE" => "TRACE",
        _ => return None,
    })
}

/// A body whose redaction failed.
fn failed_body(copy: &BodyCopy) -> Body {
    Body {
        omitted: (copy.progress != Progress::Absent).then_some(Reason::RedactorFailed),
        bytes: copy.total,
        ..Body::default()
    }
}

/// The request and response of a record whose redaction failed.
pub(super) fn write_bare(engine: &Engine, draft: &Draft, text: &mut Redacted, fields: &mut Fields) {
    let route = draft.route.listed.as_ref();
    fields.request = Some(Request {
        method: text.constant(known_method(draft).unwrap_or("OTHER")),
        path: text.constant(""),
        url_query: None,
        route: route.map(|(route, _)| Route::Listed(engine.routes.template(*route).label().clone())),
        protocol: draft.version,
        referer: None,
        params: None,
        query: None,
        headers: None,
        body: failed_body(&draft.request_body),
    });
    fields.response = answered(draft).map(|status| Response {
        status: Some(status),
        bytes: Some(draft.response_body.total),
        body: failed_body(&draft.response_body),
    });
}
