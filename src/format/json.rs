//! One record as one line of JSON, made to fit the line budget.

use std::borrow::Cow;

use crate::record::finished::{Body, Record};
use crate::record::fragment::{beginning, push_json_string};
use crate::record::text::{head, tail};
use crate::record::wire::{self, Process};
use crate::record::{Failure, Reason};

/// Appends the record's line, its newline included, shortened to at most `budget` bytes.
pub(crate) fn line(record: &mut Record, process: &Process, seq: u64, budget: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let mut shortened = Vec::new();
    // Another sink's line may have named it already, with what it shortened besides.
    if record.url_cut && !record.meta.iter().any(|(key, _)| key == "shortened") {
        shortened.push(Cow::Borrowed("url"));
        name_what_was_shortened(record, &shortened);
    }
    wire::write(record, process, seq, out);
    let mut steps = Step::ALL.iter();
    while out.len() - start >= budget {
        let Some(step) = steps.next() else { break };
        let excess = out.len() + 1 - start - budget;
        if step.shorten(record, excess, &mut shortened) {
            name_what_was_shortened(record, &shortened);
            out.truncate(start);
            wire::write(record, process, seq, out);
        }
    }
    out.push(b'\n');
}

/// What is shortened, in this order, until a line fits. Never: times, ids, names, outcome, status, actor, method, route.
#[derive(Clone, Copy, Debug)]
enum Step {
    ResponseBody,
    RequestBody,
    ResponseBodyWhole,
    RequestBodyWhole,
    Headers,
    Stacks,
    Meta,
    Query,
    Params,
    Errors,
    ErrorMessage,
    Message,
    Referer,
    Client,
    Url,
}

impl Step {
    const ALL: [Self; 15] = [
        Self::ResponseBody,
        Self::ResponseBodyWhole,
        Self::RequestBody,
        Self::RequestBodyWhole,
        Self::Headers,
        Self::Stacks,
        Self::Meta,
        Self::Query,
        Self::Params,
        Self::Errors,
        Self::ErrorMessage,
        Self::Message,
        Self::Referer,
        Self::Client,
        Self::Url,
    ];

    /// Takes about `excess` bytes away; false if there was nothing to take.
    fn shorten(self, record: &mut Record, excess: usize, shortened: &mut Vec<Cow<'static, str>>) -> bool {
        let request = record.request.as_mut();
        let response = record.response.as_mut();
        let name = match self {
            Self::ResponseBody => return response.is_some_and(|response| shorten_body(&mut response.body, excess)),
            Self::RequestBody => return request.is_some_and(|request| shorten_body(&mut request.body, excess)),
            Self::ResponseBodyWhole => return response.is_some_and(|response| omit_body(&mut response.body)),
            Self::RequestBodyWhole => return request.is_some_and(|request| omit_body(&mut request.body)),
            Self::Headers => request.and_then(|request| request.headers.take()).map(|_| "headers"),
            Self::Stacks => drop_stacks(&mut record.errors).then_some("errors.stack"),
            Self::Meta => return shorten_meta(record, excess, shortened),
            Self::Query => request.and_then(|request| request.query.take()).map(|_| "query"),
            Self::Params => request.and_then(|request| request.params.take()).map(|_| "params"),
            Self::Errors => (record.errors.len() > 1).then(|| record.errors.truncate(1)).map(|()| "errors"),
            Self::ErrorMessage => {
                let first = record.errors.first_mut().map(|error| &mut error.message);
                first.is_some_and(|message| cut_middle(message, excess)).then_some("errors.message")
            }
            Self::Message => record.message.as_mut().is_some_and(|text| cut_middle(text, excess)).then_some("message"),
            Self::Referer => request.and_then(|request| request.referer.take()).map(|_| "referer"),
            Self::Client => {
                record.address.client.as_mut().is_some_and(|text| cut_middle(text, excess)).then_some("client")
            }
            Self::Url => request.is_some_and(|request| cut_middle(&mut request.url, excess)).then_some("url"),
        };
        shortened.extend(name.map(Cow::Borrowed));
        name.is_some()
    }
}

/// Keeps the beginning of a body that fits, if that leaves something worth reading.
fn shorten_body(body: &mut Body, excess: usize) -> bool {
    const MARKER: usize = 120;
    const WORTH_READING: usize = 256;
    let Some(shown) = &body.shown else { return false };
    let Some(room) = shown.len().checked_sub(excess + MARKER).filter(|&room| room >= WORTH_READING) else {
        return false;
    };
    let Some(kept) = beginning(shown, room) else { return false };
    body.shown = Some(kept);
    body.omitted = Some(Reason::Line);
    true
}

fn omit_body(body: &mut Body) -> bool {
    if body.shown.take().is_none() {
        return false;
    }
    body.omitted = Some(Reason::Line);
    true
}

fn drop_stacks(errors: &mut [Failure]) -> bool {
    errors.iter_mut().filter_map(|error| error.stack.take()).count() > 0
}

/// Drops the largest values of `meta` first.
fn shorten_meta(record: &mut Record, excess: usize, shortened: &mut Vec<Cow<'static, str>>) -> bool {
    const NAMING: usize = 24;
    let mut freed = 0;
    while freed < excess + NAMING {
        let largest = record.meta.iter().enumerate().max_by_key(|(_, (_, value))| value.len());
        let Some((at, _)) = largest.filter(|(_, (_, value))| value.len() > NAMING) else { break };
        let (key, value) = record.meta.remove(at);
        freed += value.len() + key.len() + 4;
        let mut name = String::from("meta.");
        name.push_str(&key);
        shortened.push(name.into());
    }
    freed > 0
}

/// Takes the middle out of a text and puts an ellipsis there; false if that would not make it shorter.
fn cut_middle(text: &mut String, excess: usize) -> bool {
    const ELLIPSIS: &str = "…";
    // Escaping may have made the text longer on the line than it is here, never shorter: cut at least the excess.
    const KEPT: usize = 64;
    let keep = text.len().saturating_sub(excess + ELLIPSIS.len()).max(KEPT);
    if keep + ELLIPSIS.len() >= text.len() {
        return false;
    }
    *text = [head(text, keep / 2), ELLIPSIS, tail(text, keep / 2)].concat();
    true
}

/// `meta.shortened` lists what does not stand on the line as it was; bodies say it themselves.
fn name_what_was_shortened(record: &mut Record, shortened: &[Cow<'static, str>]) {
    const MOST_NAMED: usize = 16;
    record.meta.retain(|(key, _)| key != "shortened");
    if shortened.is_empty() {
        return;
    }
    let mut names = String::from("[");
    for name in shortened.iter().take(MOST_NAMED) {
        if names.len() > 1 {
            names.push(',');
        }
        push_json_string(&mut names, head(name, 64));
    }
    names.push(']');
    record.meta.push((Cow::Borrowed("shortened"), names));
}
