//! One record as one line, shortened to fit its limit. A record is never changed, so each sink's line is shortened separately.

use std::borrow::Cow;

use super::Format;
use crate::json::{beginning, elements, unescape};
use crate::record::Record;
use crate::record::cuts::{BodyCut, Cuts, ELLIPSIS};
use crate::record::finished::{Body, Fields, Request};
use crate::redact::Redacted;
use crate::text::head;

/// Appends the record's line, its newline included, shortened to at most `budget` bytes.
pub(crate) fn write_line(format: &mut (impl Format + ?Sized), record: Record<'_>, budget: usize, out: &mut Vec<u8>) {
    let start = out.len();
    if record.fields.url_cut || record.has_long_url() {
        let cuts = Cuts { named: vec![Cow::Borrowed("url")], ..Cuts::default() };
        format.write(&record.cut(&cuts), out);
        if out.len() - start >= budget {
            shorten(format, &record, cuts, budget, start, out);
        }
    } else {
        format.write(&record, out);
        if out.len() - start >= budget {
            shorten(format, &record, named_before(&record), budget, start, out);
        }
    }
    out.push(b'\n');
}

/// Leaves out more and more of the record until the line fits.
fn shorten(
    format: &mut (impl Format + ?Sized),
    record: &Record<'_>,
    mut cuts: Cuts,
    budget: usize,
    start: usize,
    out: &mut Vec<u8>,
) {
    // The second round shortens further for the names of what the first one shortened.
    let mut steps = Step::ALL.iter().chain(&Step::ALL);
    let mut write = |cuts: &Cuts, out: &mut Vec<u8>| {
        out.truncate(start);
        format.write(&record.cut(cuts), out);
        out.len()
    };
    while out.len() - start >= budget {
        let (len, excess) = (out.len(), out.len() + 1 - start - budget);
        let before = cuts.clone();
        let Some(step) = steps.next() else {
            // Everything is shortened: the names are dropped next.
            if cuts.named.len() <= 1 {
                break;
            }
            cuts.named.pop();
            write(&cuts, out);
            continue;
        };
        if !step.shorten(record, excess, &mut cuts) {
            continue;
        }
        let named = std::mem::replace(&mut cuts.named, before.named.clone());
        if write(&cuts, out) >= len {
            // This format does not show it.
            cuts = before;
            write(&cuts, out);
        } else if named != cuts.named {
            cuts.named = named;
            write(&cuts, out);
        }
    }
}

/// What a line that was read back names as shortened already: the names are kept, and their member is written anew.
fn named_before(record: &Record<'_>) -> Cuts {
    let mut cuts = Cuts::default();
    let Some(at) = record.fields.meta.iter().position(|(key, _)| record.text.get(*key) == "shortened") else {
        return cuts;
    };
    if record.line.is_some() {
        let names = elements(record.text.get(record.fields.meta[at].1));
        let names = names.filter_map(|name| unescape(name.strip_prefix('"')?.strip_suffix('"')?));
        cuts.named = names.map(Cow::Owned).collect();
        cuts.meta.push(at);
    }
    cuts
}

/// The values that are shortened, in this order, until a line fits. Times, ids, names, outcome, status, method and route are
/// never shortened. Of the actor, only `client` is shortened.
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
    fn shorten(self, &Record { text, fields, .. }: &Record<'_>, excess: usize, cuts: &mut Cuts) -> bool {
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
                let len = request.map(|request| request.url_len().min(Request::MAX_URL));
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
