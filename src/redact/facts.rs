//! What of a request is used more than once, redacted once: URL, parameters, query, bodies.

use std::borrow::Cow;
use std::ops::Range;

use http::{Method, StatusCode};

use super::Pass;
use super::memory::Memory;
use super::percent::percent_decoded;
use super::texts::{headers, is_claimed};
use super::trail::Place;
use crate::capture::{Door, Draft, Media, Progress, Reading, Stage};
use crate::catalog::{Strangers, bind, param_names};
use crate::engine::Engine;
use crate::plan::Plan;
use crate::record::Reason;
use crate::record::finished::{Body, Fragment, Request, Response};

/// What of a request is used more than once, redacted.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) method: Cow<'static, str>,
    pub(super) url: String,
    pub(super) route: Option<String>,
    /// Under the catalogue's names, which the sources of `meta` use.
    listed_params: Option<Fragment>,
    /// Under the router's names, where they differ.
    reported_params: Option<Option<Fragment>>,
    pub(super) query: Option<Fragment>,
    pub(super) request_body: Body,
    pub(super) response_body: Body,
    shows: Shown,
}

/// Which bodies the record shows; what is only pointed into stays out of sight.
#[derive(Clone, Copy, Default)]
struct Shown {
    request: bool,
    response: bool,
}

impl Facts {
    pub(super) fn of(
        engine: &Engine,
        draft: &Reading<'_>,
        plan: &Plan,
        memory: &mut Memory,
        pass: &mut Pass<'_>,
    ) -> Self {
        let stranger = is_stranger(draft) && plan.policy.strangers() == Strangers::Hidden;
        let shows = Shown { request: plan.shows_request && !stranger, response: plan.shows_response && !stranger };
        let mut body_of = |side, captured| match captured {
            true => body(side, draft, plan.shows_text, memory, pass),
            false => Body::default(),
        };
        let request_body = body_of(Side::Request, plan.captures_request);
        let response_body = body_of(Side::Response, plan.captures_response && draft.stage != Stage::Initiation);
        if draft.door == Door::Activity {
            return Self { request_body, response_body, shows, ..Self::default() };
        }

        let path = draft.text(draft.path);
        let listed = draft.route.listed.as_ref().map(|(route, params)| {
            let names = engine.routes.param_names(*route).iter().map(|name| &**name);
            (engine.routes.template(*route), within(&path, names.zip(params.iter()).collect()))
        });
        let reported = draft.text(draft.route.reported);
        let reported = Some(&*reported).filter(|reported| !reported.is_empty());
        let listed_route = listed.as_ref().map(|(route, _)| *route);
        let other = reported.filter(|reported| listed_route != Some(*reported)).map(|other| bound(other, &path));
        // The record shows those of the router.
        pass.at(other.is_none().then_some("request.params"));
        let listed_params = listed.as_ref().and_then(|(_, bindings)| params(&path, bindings, pass));
        pass.at(Some("request.params"));
        let reported_params = other.as_ref().map(|bindings| params(&path, bindings, pass));
        let mut bindings = listed.map(|(_, bindings)| bindings).unwrap_or_default();
        bindings.extend(other.into_iter().flatten());
        let query = draft.text(draft.query);
        let sent_query = draft.has_query.then_some(&*query);
        // A path that was cut may not bind any more: then nobody knows what in it is a secret.
        let is_known = (listed_route.is_some() || reported.is_some()) && !(draft.url_cut && bindings.is_empty());
        pass.at(Some("request.url"));
        let url = match is_known {
            true => pass.url(&path, sent_query, &bindings),
            false => pass.url_of_no_route(&path, sent_query),
        };
        pass.at(Some("request.query"));
        Self {
            query: pass.query(&query),
            method: method(draft, pass),
            url,
            route: reported.or(listed_route).map(|route| memory.copy(route)),
            listed_params,
            reported_params,
            request_body,
            response_body,
            shows,
        }
    }

    /// The parameters as the event's sources know them: by the catalogue's names, and by the router's where the event was
    /// named beside its route.
    pub(super) fn params(&self) -> Option<&str> {
        self.listed_params.as_deref().or_else(|| self.reported_params.as_ref()?.as_deref())
    }

    /// What of it the record shows.
    pub(super) fn shown(
        self,
        draft: &Reading<'_>,
        memory: &mut Memory,
        pass: &mut Pass<'_>,
    ) -> (Option<Request>, Option<Response>) {
        let request = Request {
            method: self.method,
            url: self.url,
            route: self.route,
            protocol: draft.version,
            referer: memory.familiar_at(pass, Place::of("request.referer", ""), draft.bytes(draft.referer)),
            params: self.reported_params.unwrap_or(self.listed_params),
            query: self.query,
            headers: headers(draft, pass),
            body: if self.shows.request { self.request_body } else { Body::default() },
        };
        let response = answered(draft).map(|status| Response {
            status: Some(status),
            bytes: Some(draft.response_body.total),
            body: if self.shows.response { self.response_body } else { Body::default() },
        });
        (Some(request), response)
    }
}

/// The response's status, on records that come after its head.
pub(super) fn answered(draft: &Draft) -> Option<StatusCode> {
    draft.status.filter(|_| draft.stage != Stage::Initiation && draft.door == Door::Request)
}

/// Requests of nobody known that were refused: strangers must not be able to fill the log.
fn is_stranger(draft: &Draft) -> bool {
    const REFUSED: [u16; 5] = [401, 403, 404, 405, 429];
    let known = draft.actor().is_some_and(|actor| actor.id().is_some() && !is_claimed(draft, actor));
    !known && draft.status.is_some_and(|status| REFUSED.contains(&status.as_u16()))
}

fn bound<'t>(template: &'t str, path: &str) -> Vec<(&'t str, Range<usize>)> {
    let ranges = bind(template, path).unwrap_or_default();
    param_names(template).zip(ranges.iter()).collect()
}

/// A path that was cut still has the beginnings of its parameters: what is secret in them is masked.
fn within<'n>(path: &str, mut bindings: Vec<(&'n str, Range<usize>)>) -> Vec<(&'n str, Range<usize>)> {
    bindings.retain(|(_, range)| range.start < path.len());
    bindings.iter_mut().for_each(|(_, range)| range.end = range.end.min(path.len()));
    bindings
}

fn params(path: &str, bindings: &[(&str, Range<usize>)], pass: &mut Pass<'_>) -> Option<Fragment> {
    pass.params(bindings.iter().map(|(name, range)| {
        let raw = path.get(range.clone()).map(percent_decoded);
        let bytes = || path.as_bytes().get(range.clone()).unwrap_or_default();
        (*name, raw.unwrap_or_else(|| percent_encoding::percent_decode(bytes()).decode_utf8_lossy()))
    }))
}

/// Whose body it is: one that nobody read to its end is unread where the handler had to read it, cut where the client had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

impl Side {
    fn body(self) -> &'static str {
        match self {
            Self::Request => "request.body",
            Self::Response => "response.body",
        }
    }

    fn omitted(self) -> &'static str {
        match self {
            Self::Request => "request.bodyOmitted",
            Self::Response => "response.bodyOmitted",
        }
    }
}

/// A body as the record may show it, or why not.
fn body(side: Side, draft: &Reading<'_>, shows_text: bool, memory: &mut Memory, pass: &mut Pass<'_>) -> Body {
    let (copy, content_type, encoded) = match side {
        Side::Request => (&draft.request_body, draft.request_type, draft.request_encoded),
        Side::Response => (&draft.response_body, draft.response_type, draft.response_encoded),
    };
    if copy.progress == Progress::Absent || (copy.progress == Progress::Ended && copy.total == 0) {
        return Body::default();
    }
    let content_type = &*draft.text(content_type);
    let media = Media::of(content_type.as_bytes());
    let looks_into = match media {
        Media::Json | Media::Form | Media::Multipart => true,
        Media::Text => shows_text,
        Media::Binary | Media::Unknown => false,
    };
    // A stream that did not end shows its beginning, and why there is no more.
    let unfinished = match copy.progress {
        Progress::Failed => Some(Reason::Failed),
        Progress::Open => Some(if side == Side::Request { Reason::Unread } else { Reason::Truncated }),
        // Of a type that is not looked into nothing was kept: its type is the reason.
        Progress::Ended | Progress::Absent => (copy.cut && looks_into).then_some(Reason::Truncated),
    };
    pass.at(Some(side.body()));
    let (shown, omitted) = if encoded {
        (None, Some(Reason::Encoded))
    } else if copy.over_budget {
        (None, Some(Reason::Budget))
    } else if copy.bytes.is_empty() && unfinished.is_some() {
        (None, unfinished)
    } else {
        let redacted = match media {
            Media::Json => pass.json(&copy.bytes, unfinished.is_some()),
            Media::Form => pass.form(&copy.bytes, unfinished.is_some()),
            Media::Multipart => pass.multipart(content_type, &copy.bytes, unfinished.is_some()),
            Media::Text if shows_text => pass.text_of(content_type, &copy.bytes, unfinished.is_some()),
            Media::Text => super::Body::Omitted(Reason::Text),
            Media::Binary => super::Body::Omitted(Reason::Binary),
            Media::Unknown => super::Body::Omitted(Reason::Unsupported),
        };
        match redacted {
            super::Body::Whole(shown) | super::Body::Text(shown) => (Some(shown), None),
            super::Body::Beginning(shown, reason) => (Some(shown), Some(unfinished.unwrap_or(reason))),
            super::Body::Omitted(Reason::Truncated) => (None, Some(unfinished.unwrap_or(Reason::Truncated))),
            super::Body::Omitted(reason) => (None, Some(reason)),
        }
    };
    let place = Place::of(side.omitted(), "/contentType");
    let content_type = omitted.and_then(|_| memory.familiar_at(pass, place, content_type.as_bytes()));
    Body { shown, omitted, bytes: copy.total, content_type }
}

/// The method as it was sent.
fn method(draft: &Reading<'_>, pass: &mut Pass<'_>) -> Cow<'static, str> {
    match known_method(draft) {
        OTHER_METHOD => pass.string_at(Place::of("request.method", ""), &draft.text(draft.method)).into(),
        known => known.into(),
    }
}

pub(super) const OTHER_METHOD: &str = "OTHER";

/// The method, if it is one that everybody knows; anything else is the client's own text.
pub(super) fn known_method(draft: &Draft) -> &'static str {
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::CONNECT,
        Method::PATCH,
        Method::TRACE,
    ];
    let names = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "PATCH", "TRACE"];
    let sent = draft.bytes(draft.method);
    known
        .iter()
        .zip(names)
        .find(|(method, _)| method.as_str().as_bytes() == sent)
        .map_or(OTHER_METHOD, |(_, name)| name)
}
