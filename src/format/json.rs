//! One record as one line of JSON, shortened to fit its limit. Pure: a record is never changed, so each sink's line is shortened
//! separately.

use std::borrow::Cow;

use crate::json::beginning;
use crate::record::finished::{Body, Fields, Record, Request};
use crate::record::wire::{self, BodyCut, Cuts, ELLIPSIS, Process};
use crate::redact::Redacted;
use crate::text::head;

/// Appends the record's line, its newline included, shortened to at most `budget` bytes.
pub(crate) fn line(record: &Record, process: &Process, seq: u64, budget: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let mut cuts = Cuts::default();
    if record.fields.url_cut {
        cuts.named.push(Cow::Borrowed("url"));
    }
    wire::write(record, process, seq, &cuts, out);
    // The second round shortens further for the names of what the first one shortened.
    let mut steps = Step::ALL.iter().chain(&Step::ALL);
    while out.len() - start >= budget {
        let excess = out.len() + 1 - start - budget;
        let is_shorter = match steps.next() {
            Some(step) => step.shorten(record, excess, &mut cuts),
            // Everything is shortened: the names are dropped next.
            None if cuts.named.len() > 1 => cuts.named.pop().is_some(),
            None => break,
        };
        if is_shorter {
            out.truncate(start);
            wire::write(record, process, seq, &cuts, out);
        }
    }
    out.push(b'\n');
}

/// What is shortened, in this order, until a line fits. Never shortened: times, ids, names, outcome, status, actor, method,
/// route.
#[derive(Clone, Copy, Debug)]
enum Step {
    ResponseBody,
    ResponseBodyWhole,
    RequestBody,
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

    /// Removes about `excess` bytes from the line; false if there was nothing to remove.
    fn shorten(self, Record { text, fields }: &Record, excess: usize, cuts: &mut Cuts) -> bool {
        let request = fields.request.as_ref();
        let response = fields.response.as_ref();
        let name = match self {
            Self::ResponseBody => {
                return response.is_some_and(|it| shorten_body(text, &it.body, excess, &mut cuts.response_body));
            }
            Self::RequestBody => {
                return request.is_some_and(|it| shorten_body(text, &it.body, excess, &mut cuts.request_body));
            }
            Self::ResponseBodyWhole => {
                return response.is_some_and(|it| omit_body(&it.body, &mut cuts.response_body));
            }
            Self::RequestBodyWhole => return request.is_some_and(|it| omit_body(&it.body, &mut cuts.request_body)),
            Self::Meta => return shorten_meta(text, fields, excess, cuts),
            Self::Headers => {
                let is_there = request.is_some_and(|request| request.headers.is_some());
                omit(is_there, &mut cuts.headers).then_some("headers")
            }
            Self::Stacks => {
                let is_there = fields.errors.iter().any(|error| error.stack.is_some());
                omit(is_there, &mut cuts.stacks).then_some("errors.stack")
            }
            Self::Query => {
                omit(request.is_some_and(|request| request.query.is_some()), &mut cuts.query).then_some("query")
            }
            Self::Params => {
                omit(request.is_some_and(|request| request.params.is_some()), &mut cuts.params).then_some("params")
            }
            Self::Errors => omit(fields.errors.len() > 1, &mut cuts.further_errors).then_some("errors"),
            Self::ErrorMessage => {
                let len = fields.errors.first().map(|error| error.message.of(text).len());
                cut_middle(len, excess, &mut cuts.error_message).then_some("errors.message")
            }
            Self::Message => {
                let len = fields.message.map(|message| text.get(message).len());
                cut_middle(len, excess, &mut cuts.message).then_some("message")
            }
            Self::Referer => {
                omit(request.is_some_and(|request| request.referer.is_some()), &mut cuts.referer).then_some("referer")
            }
            Self::Client => {
                let len = fields.address.client.map(|client| text.get(client).len());
                cut_middle(len, excess, &mut cuts.client).then_some("client")
            }
            Self::Url => {
                let len = request.map(|request| request.url_len(text).min(Request::MAX_URL));
                cut_middle(len, excess, &mut cuts.url).then_some("url")
            }
        };
        name.is_some_and(|name| cuts.name(Cow::Borrowed(name)))
    }
}

impl Cuts {
    /// Adds a name to `meta.shortened`. Bodies are not named there: they have `bodyOmitted`.
    fn name(&mut self, name: Cow<'static, str>) -> bool {
        const MAX_NAMED: usize = 16;
        if self.named.len() < MAX_NAMED && !self.named.contains(&name) {
            self.named.push(name);
        }
        true
    }
}

/// Leaves something out; false if it is absent or was left out before.
fn omit(is_there: bool, is_omitted: &mut bool) -> bool {
    is_there && !std::mem::replace(is_omitted, true)
}

/// Keeps the beginning of a body that fits, if enough remains to be worth reading.
fn shorten_body(text: &Redacted, body: &Body, excess: usize, cut: &mut BodyCut) -> bool {
    const MARKER: usize = 120;
    const WORTH_READING: usize = 256;
    let (Some(shown), BodyCut::None) = (body.shown, &cut) else { return false };
    let shown = text.get(shown);
    let room = shown.len().checked_sub(excess + MARKER).filter(|&room| room >= WORTH_READING);
    let Some(kept) = room.and_then(|room| beginning(shown, room)) else { return false };
    *cut = BodyCut::Beginning(kept);
    true
}

fn omit_body(body: &Body, cut: &mut BodyCut) -> bool {
    if body.shown.is_none() || matches!(cut, BodyCut::Whole) {
        return false;
    }
    *cut = BodyCut::Whole;
    true
}

/// Leaves out the largest values of `meta` first.
fn shorten_meta(text: &Redacted, fields: &Fields, excess: usize, cuts: &mut Cuts) -> bool {
    const NAMING: usize = 24;
    let mut freed = 0;
    while freed < excess + NAMING {
        let len = |at: &usize| text.get(fields.meta[*at].1).len();
        let left = (0..fields.meta.len()).filter(|at| !cuts.meta.contains(at));
        let Some(largest) = left.max_by_key(len).filter(|at| len(at) > NAMING) else { break };
        let key = text.get(fields.meta[largest].0);
        freed += len(&largest) + key.len() + 4;
        cuts.meta.push(largest);
        let mut name = String::from("meta.");
        name.push_str(key);
        name.truncate(head(&name, 64).len());
        cuts.name(name.into());
    }
    freed > 0
}

/// Removes the middle of a text of `len` bytes; false if that would not make it shorter.
fn cut_middle(len: Option<usize>, excess: usize, kept: &mut Option<usize>) -> bool {
    // Escaping may have made the text longer on the line than it is here, never shorter: cut at least the excess.
    const LEAST: usize = 64;
    let Some(shown) = kept.map(|kept| kept + ELLIPSIS.len()).or(len) else { return false };
    // Both halves have the same length.
    let keep = shown.saturating_sub(excess + ELLIPSIS.len()).max(LEAST) / 2 * 2;
    if keep + ELLIPSIS.len() >= shown {
        return false;
    }
    *kept = Some(keep);
    true
}
