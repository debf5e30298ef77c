//! Pairs such as `{"name":"DB_PASSWORD","value":"x"}`: one half names the secret that the other one is.

use std::borrow::Cow;

use super::{Walk, walk};
use crate::record::fragment::unescape;
use crate::redact::frame::{Fate, Named};
use crate::redact::hit::HitRule;
use crate::redact::pair::{Half, Pair, Part};
use crate::redact::rules::Verdict;
use crate::redact::token;

impl Walk<'_, '_> {
    /// A key that names another value, as most do that have a value of their own: whether there is nothing to it yet.
    #[inline(always)]
    pub(super) fn begin_name(&mut self) -> bool {
        let is_pair = self.pairs.last().is_some_and(|pair| pair.depth == self.stack.len());
        match self.stack.last_mut() {
            Some(frame) if !is_pair && frame.named == Named::Nothing => {
                frame.named = Named::At(self.at);
                true
            }
            _ => false,
        }
    }

    /// What becomes of a value that is one half of a pair: masked if the other half has named a secret.
    pub(super) fn begin_part(&mut self, part: Part, fate: Fate, key: &str) -> Fate {
        let depth = self.stack.len();
        if self.pairs.last().is_none_or(|pair| pair.depth != depth) {
            // A name may be long, and is not read again for each key that follows.
            let secret = match self.stack.last().map_or(Named::Nothing, |frame| frame.named) {
                Named::Nothing => None,
                Named::At(colon) => Some(self.names_a_secret_at(colon)),
                Named::Secret => Some(true),
            };
            if part == Part::Name {
                // Nothing to do until there is a value; the first name of a secret stays.
                if let Some(frame) = self.stack.last_mut() {
                    frame.named = if secret == Some(true) { Named::Secret } else { Named::At(self.at) };
                }
                return fate;
            }
            self.pairs.push(Pair { depth, secret, ..Pair::default() });
        }
        // What a pointer or an exception shows stays out of this.
        let is_open = fate == Fate::Show && !self.is_excepted;
        let (at, written) = (self.at, self.out.end(self.at));
        if part == Part::Value && !is_open {
            return fate;
        }
        if part == Part::Value && self.pairs.last().is_some_and(|pair| pair.secret == Some(true)) {
            return Fate::Mask;
        }
        if let Some(pair) = self.pairs.last_mut() {
            pair.reading = Some((part, at, written));
            if part == Part::Value && self.pass.is_explaining() {
                pair.value_key = key.to_owned();
            }
        }
        fate
    }

    pub(super) fn complete_part(&mut self) {
        let Some(pair) = self.pairs.last_mut().filter(|pair| pair.depth == self.stack.len()) else { return };
        let Some((part, from, written)) = pair.reading.take() else { return };
        match part {
            Part::Value => {
                // Several values are one, with what is between them.
                let (text, out) = pair.value.map_or((from, written), |first| (first.text.0, first.out.0));
                let end = self.out.end(self.at);
                // A card number may have been removed already, and its key with it.
                if written <= end {
                    pair.value = Some(Half { text: (text, self.at), out: (out, end) });
                }
            }
            // The first that names a secret stays.
            Part::Name if pair.secret == Some(true) => {}
            Part::Name => {
                let is_secret = self.names_a_secret((from, self.at));
                let Some(pair) = self.pairs.last_mut() else { return };
                pair.secret = Some(is_secret);
                if is_secret && let Some(value) = pair.value.take() {
                    self.mask_behind(value);
                }
            }
        }
    }

    /// Whether the token behind a colon is a string that reads as a secret key.
    fn names_a_secret_at(&mut self, colon: usize) -> bool {
        let behind = self.text.get(colon..).unwrap_or_default().trim_ascii_start();
        let at = self.text.len() - behind.len();
        behind.starts_with('"')
            && token::string(self.text.as_bytes(), at + 1).is_ok_and(|name| self.names_a_secret((at, name.end + 1)))
    }

    /// Whether a token is a string that reads as a secret key.
    pub(super) fn names_a_secret(&mut self, (from, to): (usize, usize)) -> bool {
        let raw = self.text[from..to].strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let Some(raw) = raw else { return false };
        let name = if raw.contains('\\') { unescape(raw).map(Cow::Owned) } else { Some(Cow::Borrowed(raw)) };
        name.is_some_and(|name| self.pass.verdict(&name) != Verdict::Plain)
    }

    /// Masks a value of the innermost object that has been written already; a secret is never removed so late.
    pub(super) fn mask_behind(&mut self, value: Half) {
        let text = &self.text[value.text.0..value.text.1];
        let mask = match walk(self.pass, text, false, Fate::Mask, self.level + 1) {
            Ok(walked) if !walked.json.is_empty() => walked.json,
            Ok(_) => self.pass.masked(),
            Err(_) => {
                // Several members, from the first value on: all of them are remembered.
                let _ = walk(self.pass, &format!("{{\"\":{text}}}"), false, Fate::Mask, self.level + 1);
                self.pass.masked()
            }
        };
        if self.pass.is_explaining()
            && let Some(pair) = self.pairs.last()
        {
            let key = pair.value_key.clone();
            self.note_step(&key);
            self.why = HitRule::Key;
            self.note_hit(HitRule::Key);
        }
        let (from, to) = value.out;
        self.out.replace(from..to, &mask, self.at);
        self.changed = true;
        if let Some(frame) = self.stack.last_mut().filter(|frame| frame.before_member >= to) {
            frame.before_member = frame.before_member - (to - from) + mask.len();
        }
    }

    /// At a cut: a value whose name has not come yet may be a secret. What of the output is kept then.
    pub(super) fn mask_what_may_be_named(&mut self) -> Option<(usize, usize)> {
        let mut kept = self.kept?;
        let is_unnamed = |pair: &Pair| pair.secret.is_none();
        let reads_value = |pair: &Pair| matches!(pair.reading, Some((Part::Value, ..)));
        let open = self.pairs.iter().find(|pair| is_unnamed(pair) && reads_value(pair)).map(|pair| pair.depth);
        if let Some(depth) = open.filter(|depth| *depth <= kept.1) {
            kept = (self.stack[depth - 1].before_member.min(kept.0), depth);
        }
        while let Some(pair) = self.pairs.pop() {
            let Some(value) = pair.value.filter(|value| is_unnamed(&pair) && value.out.1 <= kept.0) else { continue };
            let before = self.out.end(self.at);
            self.mask_behind(value);
            kept.0 = kept.0 + self.out.end(self.at) - before;
        }
        Some(kept)
    }
}
