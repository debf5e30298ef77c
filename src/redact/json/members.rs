//! What stands before a value: the key of a member, or the index of an element; and what they say of the value.

use super::{MAX_KEYS, Walk};
use crate::record::Reason;
use crate::record::fragment::{push_json_string, unescape};
use crate::redact::frame::Fate;
use crate::redact::hit::HitRule;
use crate::redact::keys::{BEHIND, Expected, KeyFacts, Met, Object, Says};
use crate::redact::pointer::{Active, Effect};
use crate::redact::rules::Verdict;
use crate::redact::token::{self, INVALID, Stop};

impl Walk<'_, '_> {
    /// What becomes of an element, if it matters where it stands.
    #[inline(never)]
    pub(super) fn element(&mut self, below: Fate) -> Fate {
        let Some(frame) = self.stack.last_mut() else { return below };
        let index = frame.index.to_string();
        frame.index += 1;
        self.note_step(&index);
        self.step(&index, below)
    }

    /// Notes what it takes to drop the member that begins.
    #[inline(never)]
    pub(super) fn begin_member(&mut self, comma: usize) {
        let Some(frame) = self.stack.last_mut() else { return };
        frame.before_member = self.out.end(self.at);
        if !frame.written {
            self.out.instead(self.at, self.at + comma);
        }
        frame.wrote = std::mem::replace(&mut frame.written, true);
    }

    /// Reads the key of a member, and the colon; what becomes of its value.
    #[inline(always)]
    pub(super) fn key(&mut self, below: Fate, object: Object) -> Result<Fate, Stop> {
        self.keys += 1;
        if self.keys > MAX_KEYS {
            return Err(Stop::Because(Reason::TooDeep));
        }
        if self.peek()? != b'"' {
            self.skip_white();
            if self.peek()? != b'"' {
                return Err(INVALID);
            }
        }
        let start = self.at + 1;
        if below == Fate::Hide {
            return self.read_key(below, object);
        }
        let Some(Expected { len, is_new, says }) = self.pass.meet_expected(object, self.text, start) else {
            return self.read_key(below, object);
        };
        self.at = start + len;
        self.repeated |= !is_new;
        self.why = HitRule::Key;
        Ok(match says {
            Says::Nothing if self.is_simple => below,
            Says::Secret if self.is_simple => Fate::Mask,
            Says::Bag if self.is_simple => Fate::Leaf,
            Says::Name if self.is_simple && self.begin_name() => below,
            _ => self.expected_key(start, len, below),
        })
    }

    /// What becomes of the value of a key that was expected, if more is said of it.
    #[inline(never)]
    fn expected_key(&mut self, start: usize, len: usize, below: Fate) -> Fate {
        self.skip_white();
        let text = self.text;
        let key = &text[start..start + len - BEHIND.len()];
        let facts = self.pass.facts_of_last(key);
        self.said_by(key, facts, below)
    }

    /// Reads a key that was not expected.
    #[inline(never)]
    fn read_key(&mut self, below: Fate, object: Object) -> Result<Fate, Stop> {
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
        let Met { facts, is_new } = self.pass.meet_key(object, key);
        self.repeated |= !is_new;
        if facts.tells {
            self.mask_key(object, raw, key);
        } else {
            self.show_string(raw, token);
        }
        self.colon()?;
        Ok(self.said_by(key, facts, below))
    }

    /// What a key says of its value.
    #[inline(always)]
    fn said_by(&mut self, key: &str, facts: KeyFacts, below: Fate) -> Fate {
        let mut fate = match facts.verdict {
            Verdict::Plain => below,
            Verdict::Secret => Fate::Mask,
            Verdict::Bag => Fate::Leaf,
        };
        self.why = HitRule::Key;
        self.is_excepted = false;
        if self.guide.is_some() {
            if !facts.tells {
                self.note_step(key);
            }
            fate = self.step(key, fate);
        }
        match facts.part {
            Some(part) if below == Fate::Show => self.begin_part(part, fate, key),
            _ => fate,
        }
    }

    fn colon(&mut self) -> Result<(), Stop> {
        self.skip_white();
        if self.peek()? != b':' {
            return Err(INVALID);
        }
        self.at += 1;
        self.skip_white();
        Ok(())
    }

    /// Masks what gives itself away in a key.
    fn mask_key(&mut self, object: Object, raw: &str, key: &str) {
        let Some(masked) = self.pass.inspect_key(key) else { return };
        self.note_step(&masked);
        self.note_hit(HitRule::Value);
        self.changed = true;
        self.repeated |= !self.pass.meet_key(object, &masked).is_new;
        push_json_string(self.out.instead(self.at - raw.len() - 2, self.at), &masked);
    }

    /// Follows the pointers to a member or element; what becomes of its value.
    fn step(&mut self, key: &str, fate: Fate) -> Fate {
        let Some(guide) = &mut self.guide else { return fate };
        let active = guide.open.last().copied().unwrap_or(Active::NONE);
        let (next, reached) = self.pass.step(active, self.stack.len() - 1, key);
        guide.next = next;
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
        if self.guide.is_none() {
            return;
        }
        let depth = self.stack.len().saturating_sub(1);
        if let Some(trail) = self.pass.trail_of(self.level) {
            trail.go_to(depth, key);
        }
    }

    #[inline]
    pub(super) fn note_hit(&mut self, rule: HitRule) {
        if self.guide.is_none() {
            return;
        }
        let depth = self.stack.len();
        if let Some(trail) = self.pass.trail_of(self.level) {
            trail.hit(depth, rule);
        }
    }
}
