//! What stands before a value: the key of a member, or the index of an element; and what they say of the value.

use super::{Fate, MAX_KEYS, Shape, Walk};
use crate::record::Reason;
use crate::record::fragment::{push_json_string, unescape};
use crate::redact::explain::HitRule;
use crate::redact::pair::Part;
use crate::redact::pointer::{Active, Effect};
use crate::redact::rules::Verdict;
use crate::redact::token::{self, INVALID, Stop, StringToken};

impl Walk<'_, '_> {
    /// Reads what stands before a member's value, from the comma before it, if there is one; what becomes of the value.
    #[inline]
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

    fn key(&mut self, below: Fate, object: u64) -> Result<Fate, Stop> {
        if self.peek()? != b'"' {
            return Err(INVALID);
        }
        self.keys += 1;
        if self.keys > MAX_KEYS {
            return Err(Stop::Because(Reason::TooDeep));
        }
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
        let (fate, part) = if below == Fate::Hide { (below, None) } else { self.judge(below, object, raw, token, key) };
        self.white();
        if self.peek()? != b':' {
            return Err(INVALID);
        }
        self.at += 1;
        self.white();
        match part {
            Some(part) if below == Fate::Show => Ok(self.begin_part(part, fate, key)),
            _ => Ok(fate),
        }
    }

    /// What becomes of the value under a key, and which half of a pair it is.
    #[inline(always)]
    fn judge(&mut self, below: Fate, object: u64, raw: &str, token: StringToken, key: &str) -> (Fate, Option<Part>) {
        let (facts, is_new) = self.pass.meet_key(object, key);
        self.repeated |= !is_new;
        let mut fate = match facts.verdict {
            Verdict::Plain => below,
            Verdict::Secret => Fate::Mask,
            Verdict::Bag => Fate::Leaf,
        };
        self.why = HitRule::Key;
        self.is_excepted = false;
        if facts.tells {
            self.mask_key(object, raw, key);
        } else {
            self.show_string(raw, token);
            self.note_step(key);
        }
        if self.is_guided {
            fate = self.step(key, fate);
        }
        (fate, facts.part)
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
