//! What stands before a value: the key of a member, or the index of an element; and what they say of the value.

use super::{MAX_KEYS, Walk};
use crate::record::Reason;
use crate::record::fragment::{push_json_string, unescape};
use crate::redact::frame::{Fate, Shape};
use crate::redact::hit::HitRule;
use crate::redact::keys::KeyFacts;
use crate::redact::pointer::{Active, Effect};
use crate::redact::rules::Verdict;
use crate::redact::token::{self, INVALID, Stop};

impl Walk<'_, '_> {
    /// Reads what stands before a member's value, from the comma before it, if there is one; what becomes of the value.
    #[inline(always)]
    pub(super) fn member(&mut self, comma: usize) -> Result<Fate, Stop> {
        // The loop that calls this found a frame.
        let Some(frame) = self.stack.last_mut() else { return Err(INVALID) };
        frame.fresh = false;
        frame.before_member = self.out.end(self.at);
        if !frame.written {
            self.out.instead(self.at, self.at + comma);
        }
        frame.wrote = std::mem::replace(&mut frame.written, true);
        let (shape, below, count) = (frame.shape, frame.below, frame.count);
        frame.count += u64::from(shape == Shape::Array);
        self.at += comma;
        self.white();
        if shape == Shape::Object {
            return self.key(below, count);
        }
        if !self.is_guided {
            return Ok(below);
        }
        let index = count.to_string();
        self.note_step(&index);
        Ok(self.step(&index, below))
    }

    #[inline(always)]
    fn key(&mut self, below: Fate, object: u64) -> Result<Fate, Stop> {
        if self.peek()? != b'"' {
            return Err(INVALID);
        }
        self.keys += 1;
        if self.keys > MAX_KEYS {
            return Err(Stop::Because(Reason::TooDeep));
        }
        let start = self.at + 1;
        if below != Fate::Hide
            && let Some((len, facts, is_new)) = self.pass.meet_expected(object, self.text, start)
        {
            let text = self.text;
            self.at = start + len + 1;
            self.repeated |= !is_new;
            return self.said_by(|| &text[start..start + len], facts, below);
        }
        self.read_key(below, object)
    }

    /// Reads a key that was not expected.
    #[inline(never)]
    fn read_key(&mut self, below: Fate, object: u64) -> Result<Fate, Stop> {
        let start = self.at + 1;
        let token = token::string(self.text.as_bytes(), start)?;
        self.at = token.end + 1;
        let text = self.text;
        let raw = &text[start..token.end];
        let unescaped;
        let key = if token.has_escapes() {
            unescaped = unescape(raw).ok_or(INVALID)?;
            &unescaped
        } else {
            raw
        };
        if below == Fate::Hide {
            self.colon()?;
            return Ok(below);
        }
        let (facts, is_new) = self.pass.meet_key(object, key);
        self.repeated |= !is_new;
        if facts.tells {
            self.mask_key(object, raw, key);
        } else {
            self.show_string(raw, token);
        }
        self.said_by(|| key, facts, below)
    }

    /// What a key says of its value, and on to that.
    #[inline(always)]
    fn said_by<'k>(&mut self, key: impl Fn() -> &'k str, facts: KeyFacts, below: Fate) -> Result<Fate, Stop> {
        let mut fate = match facts.verdict {
            Verdict::Plain => below,
            Verdict::Secret => Fate::Mask,
            Verdict::Bag => Fate::Leaf,
        };
        self.why = HitRule::Key;
        self.is_excepted = false;
        if self.is_guided {
            if !facts.tells {
                self.note_step(key());
            }
            fate = self.step(key(), fate);
        }
        self.colon()?;
        match facts.part {
            Some(part) if below == Fate::Show => Ok(self.begin_part(part, fate, key())),
            _ => Ok(fate),
        }
    }

    #[inline(always)]
    fn colon(&mut self) -> Result<(), Stop> {
        self.white();
        if self.peek()? != b':' {
            return Err(INVALID);
        }
        self.at += 1;
        self.white();
        Ok(())
    }

    /// Masks what gives itself away in a key.
    fn mask_key(&mut self, object: u64, raw: &str, key: &str) {
        let Some(masked) = self.pass.inspect_key(key) else { return };
        self.note_step(&masked);
        self.note_hit(HitRule::Value);
        self.changed = true;
        self.repeated |= !self.pass.meet_key(object, &masked).1;
        push_json_string(self.out.instead(self.at - raw.len() - 2, self.at), &masked);
    }

    /// Follows the pointers to a member or element; what becomes of its value.
    fn step(&mut self, key: &str, fate: Fate) -> Fate {
        if !self.pointers.any {
            return fate;
        }
        let active = self.pointers.open.last().copied().unwrap_or(Active::NONE);
        let (next, reached) = self.pass.step(active, self.stack.len() - 1, key);
        self.pointers.next = next;
        match reached {
            None => fate,
            Some(_) if fate == Fate::Hide => fate,
            Some(Effect::Mask) => {
                self.why = HitRule::Pointer;
                Fate::Mask
            }
            Some(Effect::Except) => {
                self.is_excepted = true;
                Fate::Show
            }
        }
    }

    /// To explain: where the walk stands. What is inside of a string has the string's place.
    #[inline]
    pub(super) fn note_step(&mut self, key: &str) {
        if !self.is_guided {
            return;
        }
        let depth = self.stack.len().saturating_sub(1);
        if let Some(trail) = self.pass.trail_of(self.level) {
            trail.go_to(depth, key);
        }
    }

    #[inline]
    pub(super) fn note_hit(&mut self, rule: HitRule) {
        if !self.is_guided {
            return;
        }
        let depth = self.stack.len();
        if let Some(trail) = self.pass.trail_of(self.level) {
            trail.hit(depth, rule);
        }
    }
}
