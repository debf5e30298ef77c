//! The bounded copy of a body that is kept beside its stream.

use crate::json::InString;
use std::time::Duration;

/// How far a body came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is none.
    #[default]
    Absent,
    /// There is one, and it has not been read to its end.
    Open,
    /// It was read to its end.
    Ended,
    /// Its stream failed.
    Failed,
}

/// A prefix of a body, how many bytes passed, and how the stream ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyCopy {
    pub(crate) bytes: Vec<u8>,
    pub(crate) total: u64,
    pub(crate) progress: Progress,
    /// Not all that passed is in `bytes`.
    pub(crate) cut: bool,
    /// No capacity was left for it in the budget of captured bytes.
    pub(crate) over_budget: bool,
    /// Bytes of the budget that it holds.
    pub(crate) reserved: usize,
    /// Until when it may wait for bytes, once it has had to.
    pub(crate) deadline: Option<Duration>,
    pub(super) limit: usize,
    pub(super) squeezer: Option<Squeezer>,
}

/// How many raw bytes may be looked at to fill one byte of the limit. It bounds the work that a body made
/// of white space can cause on the request's task.
const MAX_SQUEEZED: u64 = 16;

impl BodyCopy {
    pub(crate) fn reset(&mut self) {
        self.bytes.clear();
        self.total = 0;
        self.progress = Progress::Absent;
        self.cut = false;
        self.over_budget = false;
        self.reserved = 0;
        self.deadline = None;
        self.limit = 0;
        self.squeezer = None;
    }

    /// Keeps up to `limit` bytes of what will pass; of JSON, white space between tokens is not counted.
    pub(crate) fn keep(&mut self, limit: usize, json: bool) {
        self.limit = limit;
        self.squeezer = json.then(Squeezer::default);
    }

    /// Everything but the kept bytes.
    pub(crate) fn without_bytes(&self) -> Self {
        Self { bytes: Vec::new(), squeezer: None, reserved: 0, ..*self }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes of the budget that it lacks to keep what it would of `more`.
    pub(crate) fn lacks(&self, more: usize) -> usize {
        if self.cut {
            return 0;
        }
        (self.bytes.len() + more).min(self.limit).saturating_sub(self.reserved)
    }

    /// Forgets what was kept and keeps nothing more, because no memory may be spent on it. Gives back the bytes of the budget
    /// that it held.
    pub(crate) fn give_up(&mut self) -> usize {
        self.bytes = Vec::new();
        self.limit = 0;
        self.over_budget = true;
        std::mem::take(&mut self.reserved)
    }

    /// Notes one frame's data.
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.total = self.total.saturating_add(data.len() as u64);
        if self.limit == 0 {
            self.cut |= !data.is_empty();
        }
        if self.cut {
            return;
        }
        let room = self.limit - self.bytes.len();
        if data.len() <= room && !self.squeezing() {
            self.bytes.extend_from_slice(data);
            return;
        }
        match &mut self.squeezer {
            None => {
                self.bytes.extend_from_slice(&data[..room]);
                self.cut = true;
            }
            Some(squeezer) => {
                squeezer.compact(&mut self.bytes);
                self.cut = !squeezer.append(data, &mut self.bytes, self.limit)
                    || self.total > MAX_SQUEEZED.saturating_mul(self.limit as u64);
            }
        }
    }

    fn squeezing(&self) -> bool {
        self.squeezer.as_ref().is_some_and(|squeezer| squeezer.started)
    }
}

/// Drops white space between JSON tokens; begins its work only when a body does not fit as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Squeezer {
    started: bool,
    string: InString,
}

impl Squeezer {
    /// Squeezes what was kept before anybody knew that it would not fit.
    fn compact(&mut self, kept: &mut Vec<u8>) {
        if !self.started {
            self.started = true;
            kept.retain(|&byte| self.counts(byte));
        }
    }

    /// Appends what counts of `data`; false if some of that did not fit.
    fn append(&mut self, data: &[u8], kept: &mut Vec<u8>, limit: usize) -> bool {
        for &byte in data {
            let before = self.string;
            if self.counts(byte) {
                if kept.len() == limit {
                    self.string = before;
                    return false;
                }
                kept.push(byte);
            }
        }
        true
    }

    fn counts(&mut self, byte: u8) -> bool {
        self.string.take(byte) || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(limit: usize, json: bool, frames: &[&[u8]]) -> BodyCopy {
        let mut copy = BodyCopy::default();
        copy.keep(limit, json);
        frames.iter().for_each(|frame| copy.push(frame));
        copy
    }

    #[test]
    fn what_fits_is_kept_as_it_came() {
        let copy = kept(8, true, &[b"{ \"a\"", b": 1"]);
        assert_eq!((copy.bytes.as_slice(), copy.cut), (&b"{ \"a\": 1"[..], false));
        let copy = kept(9, true, &[b"{ \"a\"", b":1}"]);
        assert_eq!((copy.bytes.as_slice(), copy.cut), (&b"{ \"a\":1}"[..], false));
    }

    #[test]
    fn white_space_between_json_tokens_is_not_counted() {
        let pretty = b"{\n    \"name\": \"a b \\\" c\",\n    \"list\": [\n        1,\n        2\n    ]\n}";
        for split in 0..pretty.len() {
            let copy = kept(34, true, &[&pretty[..split], &pretty[split..]]);
            assert_eq!(copy.bytes, b"{\"name\":\"a b \\\" c\",\"list\":[1,2]}");
            assert_eq!((copy.cut, copy.total), (false, pretty.len() as u64));
        }
    }

    #[test]
    fn a_body_of_white_space_is_given_up_after_a_bounded_look() {
        let copy = kept(4, true, &[&[b' '; 64], b" ", b"{}"]);
        assert_eq!((copy.bytes.as_slice(), copy.cut, copy.total), (&b""[..], true, 67));
    }

    #[test]
    fn other_bodies_are_cut_at_the_limit() {
        let copy = kept(4, false, &[b"a b c d"]);
        assert_eq!((copy.bytes.as_slice(), copy.cut, copy.total), (&b"a b "[..], true, 7));
    }
}
