//! JSON in, redacted JSON out, in one strict pass.
//!
//! What is not secret comes out as it went in: order of keys, text of numbers, escapes. White space
//! between tokens goes, and characters that a record escapes are escaped. Whatever is not exactly JSON,
//! or is beyond the limits, is refused as a whole.

mod members;
mod output;
mod pairs;

use output::Output;

use super::frame::{Fate, Frame, Named, Shape};
use super::hit::HitRule;
use super::keys::Object;
use super::pair::Pair;
use super::pass::Pass;
use super::pointer::Active;
use super::token::{self, INVALID, Stop, StringToken};
use super::values::is_card_number;
use crate::record::Reason;
use crate::record::fragment::{push_json_raw, push_json_string, unescape};

const MAX_DEPTH: usize = 64;
const MAX_KEYS: usize = 4_096;

/// A redacted document, or as much of it as is certain.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) json: String,
    /// Something was masked.
    pub(super) changed: bool,
    /// It ended, and nothing came after it.
    pub(super) whole: bool,
    /// An object in it repeats a key.
    pub(super) repeated: bool,
}

/// Redacts a document of valid UTF-8. With `cut`, it may end anywhere.
pub(super) fn walk(pass: &mut Pass<'_>, text: &str, cut: bool, fate: Fate, level: u8) -> Result<Walked, Reason> {
    let (stack, pairs) = pass.take_open();
    let around = pass.around();
    let root = if level == 0 { pass.pointers_at_root() } else { Active::NONE };
    let is_explaining = pass.is_explaining();
    let is_guided = !root.is_none() || is_explaining;
    let may_drop = cut || pass.removes();
    let pass_has_keys = pass.event_has_keys();
    let mut walk = Walk {
        pass,
        text,
        at: 0,
        cut,
        level,
        out: Output::of(text),
        stack,
        around,
        may_drop,
        is_simple: !is_guided && !pass_has_keys,
        guide: is_guided.then(|| Guide::from(root)),
        why: HitRule::Key,
        is_excepted: false,
        pairs,
        keys: 0,
        kept: None,
        changed: false,
        repeated: false,
    };
    let end = walk.run(fate);
    let whole = match end {
        Ok(()) => !cut,
        Err(Stop::End) if cut => false,
        Err(Stop::End) => return walk.give_up(Reason::Invalid),
        Err(Stop::Because(reason)) => return walk.give_up(reason),
    };
    if !whole && !walk.close_what_is_kept() {
        return walk.give_up(Reason::Truncated);
    }
    walk.pass.put_open(walk.stack, walk.pairs);
    Ok(Walked { json: walk.out.finish(), changed: walk.changed, whole, repeated: walk.repeated })
}

struct Walk<'w, 'a> {
    pass: &'w mut Pass<'a>,
    text: &'w str,
    at: usize,
    cut: bool,
    /// How many strings this document is inside of.
    level: u8,
    out: Output<'w>,
    stack: Vec<Frame>,
    /// What stands around the document.
    around: Object,
    /// Members may go once they have been written: one that is removed, or that the cut went through.
    may_drop: bool,
    /// A key means what it always means.
    is_simple: bool,
    /// Only if each step matters: pointers lead on, or somebody asks where.
    guide: Option<Guide>,
    /// Why the value that is read next would be masked.
    why: HitRule,
    /// A pointer says that the value that is read next shows.
    is_excepted: bool,
    /// Open objects that have named a value, or the other way round; see [`Pair`].
    pairs: Vec<Pair>,
    keys: usize,
    /// The end of the output, and how much was open, after the last value that was complete.
    kept: Option<(usize, usize)>,
    changed: bool,
    repeated: bool,
}

/// The pointers on the way down.
#[derive(Debug)]
struct Guide {
    /// Those that lead to the value that is read next.
    next: Active,
    /// Those that lead to each open container.
    open: Vec<Active>,
}

impl Guide {
    fn from(root: Active) -> Self {
        Self { next: root, open: Vec::new() }
    }
}

impl Walk<'_, '_> {
    fn run(&mut self, mut fate: Fate) -> Result<(), Stop> {
        loop {
            self.value(fate)?;
            fate = loop {
                let next = self.text.as_bytes().get(self.at).copied();
                let Some(frame) = self.stack.last_mut() else { return self.end() };
                let comma = match (frame.shape, next.ok_or(Stop::End)?) {
                    (Shape::Object, b'}') | (Shape::Array, b']') => {
                        self.close();
                        continue;
                    }
                    (_, b',') if !frame.fresh => 1,
                    (_, byte) if is_white(byte) => {
                        self.skip_white();
                        continue;
                    }
                    _ if frame.fresh => 0,
                    _ => return Err(INVALID),
                };
                frame.fresh = false;
                let Frame { shape, below, object, .. } = *frame;
                if self.may_drop {
                    self.begin_member(comma);
                }
                self.at += comma;
                break match shape {
                    Shape::Object => self.key(below, object)?,
                    Shape::Array if self.guide.is_some() => self.element(below),
                    Shape::Array => below,
                };
            };
        }
    }

    /// After the outermost value: only white space.
    fn end(&mut self) -> Result<(), Stop> {
        self.skip_white();
        if self.at == self.text.len() { Ok(()) } else { Err(INVALID) }
    }

    /// Reads a scalar, or the beginning of a container.
    fn value(&mut self, fate: Fate) -> Result<(), Stop> {
        let start = self.at;
        match self.peek()? {
            b'"' => return self.string(fate),
            b'{' => return self.open(Shape::Object, fate),
            b'[' => return self.open(Shape::Array, fate),
            b'-' | b'0'..=b'9' => {
                let end = token::number(self.text.as_bytes(), start).and_then(|end| self.closed(end));
                self.at = end.inspect_err(|stop| self.remember_open(start, fate, *stop))?;
            }
            byte if is_white(byte) => {
                self.skip_white();
                return self.value(fate);
            }
            _ => self.at = token::literal(self.text.as_bytes(), start)?,
        }
        let text = self.text;
        let token = &text[start..self.at];
        match fate {
            Fate::Show if !is_card_number(token) => {}
            Fate::Show | Fate::Leaf | Fate::Mask => self.mask_scalar(start, token, fate),
            Fate::Hide => self.pass.remember(token),
        }
        self.complete();
        Ok(())
    }

    /// In a cut document, a number at its very end may go on.
    fn closed(&self, end: usize) -> Result<usize, Stop> {
        if self.cut && end == self.text.len() { Err(Stop::End) } else { Ok(end) }
    }

    fn string(&mut self, fate: Fate) -> Result<(), Stop> {
        let start = self.at + 1;
        let text = self.text;
        let token = token::string(text.as_bytes(), start);
        let token = token.inspect_err(|stop| self.remember_open(start, fate, *stop))?;
        self.at = token.end + 1;
        let raw = &text[start..token.end];
        let unescaped;
        let said = if token.has_escapes() {
            unescaped = unescape(raw).ok_or(INVALID)?;
            &unescaped
        } else {
            raw
        };
        match fate {
            Fate::Show => match self.pass.inspect(said, self.level) {
                None => self.show_string(raw, token),
                Some(redacted) => {
                    self.changed = true;
                    self.note_hit(HitRule::Value);
                    push_json_string(self.out.instead(start - 1, self.at), &redacted);
                }
            },
            Fate::Leaf | Fate::Mask => self.mask_scalar(start - 1, said, fate),
            Fate::Hide => self.pass.remember(said),
        }
        self.complete();
        Ok(())
    }

    /// The string token that was just read stays, but for characters that a record escapes.
    #[inline(always)]
    fn show_string(&mut self, raw: &str, token: StringToken) {
        if token.has_odd() {
            push_json_raw(self.out.instead(token.end - raw.len(), token.end), raw);
        }
    }

    /// A secret that the cut went through: as much as can be read of it.
    #[cold]
    fn remember_open(&mut self, start: usize, fate: Fate, stop: Stop) {
        if stop != Stop::End || fate == Fate::Show {
            return;
        }
        let raw = &self.text[start..];
        // The longest escape has 12 bytes.
        let readable = (raw.len().saturating_sub(12)..=raw.len()).rev().find_map(|end| unescape(raw.get(..end)?));
        if let Some(beginning) = readable {
            self.pass.remember_beginning(&beginning);
        }
    }

    fn open(&mut self, shape: Shape, fate: Fate) -> Result<(), Stop> {
        if self.stack.len() == MAX_DEPTH {
            return Err(Stop::Because(Reason::TooDeep));
        }
        if fate == Fate::Mask {
            self.note_hit(self.why);
        }
        let below = if fate == Fate::Mask { Fate::Hide } else { fate };
        if fate == Fate::Mask {
            self.out.hide(self.at);
        }
        let outer = self.stack.last().map_or(self.around, |frame| frame.object);
        let object = if shape == Shape::Object { self.pass.begin_object(outer) } else { outer };
        self.stack.push(Frame {
            shape,
            below,
            masks_from: (fate == Fate::Mask).then_some(self.at),
            fresh: true,
            written: false,
            wrote: false,
            before_member: 0,
            object,
            index: 0,
            named: Named::Nothing,
        });
        if let Some(guide) = &mut self.guide {
            guide.open.push(guide.next);
        }
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.at += 1;
        let Some(frame) = self.stack.pop() else { return };
        if let Some(guide) = &mut self.guide {
            guide.open.pop();
        }
        self.pairs.pop_if(|pair| pair.depth > self.stack.len());
        if let Some(from) = frame.masks_from {
            let text = self.text;
            self.out.show();
            self.mask(from, &text[from..self.at]);
        }
        self.complete();
    }

    /// After each value: it stays, and what is before it is certain.
    fn complete(&mut self) {
        if self.pairs.last().is_some_and(|pair| pair.depth == self.stack.len()) {
            self.complete_part();
        }
        if self.cut && !self.out.hides() {
            self.kept = Some((self.out.end(self.at), self.stack.len()));
        }
    }

    fn mask_scalar(&mut self, start: usize, value: &str, fate: Fate) {
        self.pass.remember(value);
        self.note_hit(match fate {
            Fate::Show => HitRule::Value,
            Fate::Leaf => HitRule::Bag,
            Fate::Mask | Fate::Hide => self.why,
        });
        self.mask(start, value);
    }

    /// Writes a mask for the value that was just read, or takes back what was written of its member.
    fn mask(&mut self, start: usize, value: &str) {
        self.changed = true;
        let out = self.out.instead(start, self.at);
        if !self.pass.mask_json(out, value) {
            let before = self.stack.last_mut().map_or(0, |frame| {
                frame.written = frame.wrote;
                frame.before_member
            });
            out.truncate(before);
        }
    }

    /// Drops what was open at the cut, and closes what held it; false if nothing is left.
    fn close_what_is_kept(&mut self) -> bool {
        let Some((end, open)) = self.mask_what_may_be_named() else { return false };
        let out = self.out.cut_back(end, self.at);
        for frame in self.stack[..open].iter().rev() {
            out.push(if frame.shape == Shape::Object { '}' } else { ']' });
        }
        true
    }

    fn give_up(self, reason: Reason) -> Result<Walked, Reason> {
        self.pass.put_open(self.stack, self.pairs);
        Err(reason)
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.text.as_bytes().get(self.at).copied().ok_or(Stop::End)
    }

    /// Most documents have no white space: where it may stand, something else is looked for first.
    #[inline(never)]
    fn skip_white(&mut self) {
        let start = self.at;
        while self.text.as_bytes().get(self.at).is_some_and(|byte| is_white(*byte)) {
            self.at += 1;
        }
        if self.at > start {
            self.out.instead(start, self.at);
        }
    }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}
