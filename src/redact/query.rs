//! Pairs of a query, a form or a route's parameters in, a redacted JSON object out.

use std::borrow::Cow;
use std::collections::HashMap;

use super::fields::{Fields, Origin};
use super::hit::HitRule;
use super::pass::Pass;
use super::pointer::Effect;
use super::rules::Verdict;
use crate::record::Reason;
use crate::record::fragment::push_json_string;

const MAX_PAIRS: usize = 4_096;

/// A redacted object under construction: keys in order of appearance, repeated ones as arrays.
#[derive(Debug)]
pub(super) struct Pairs<'k> {
    fields: Fields,
    members: Vec<Member<'k>>,
    /// Where each key stands, once there are more than a few.
    places: HashMap<String, usize>,
    count: usize,
}

/// So many keys are compared one by one.
const FEW: usize = 16;

#[derive(Debug)]
struct Member<'k> {
    key: Cow<'k, str>,
    /// The values with commas between them.
    values: String,
    count: usize,
}

impl<'k> Pairs<'k> {
    pub(super) fn of(pass: &Pass<'_>, origin: Origin) -> Self {
        Self { fields: Fields::of(pass, origin), members: Vec::new(), places: HashMap::new(), count: 0 }
    }

    /// Adds a decoded pair; false if there are too many.
    pub(super) fn add(&mut self, pass: &mut Pass<'_>, key: Cow<'k, str>, value: &str) -> bool {
        self.count += 1;
        if self.count > MAX_PAIRS {
            return false;
        }
        let pointed = self.fields.next(pass, &key);
        let mut json = String::with_capacity(value.len() + 2);
        let (stays, rule) = push_value(pass, &mut json, &key, value, pointed);
        if let Some(rule) = rule {
            pass.note_pair(&key, rule);
        }
        if !stays {
            return true;
        }
        let key = match pass.inspect_text_key(&key) {
            None => key,
            Some(masked) => {
                pass.note_place(&[&masked]);
                pass.note_hit(HitRule::Value);
                Cow::Owned(masked)
            }
        };
        match self.place(&key) {
            Some(place) => {
                let member = &mut self.members[place];
                member.values.push(',');
                member.values.push_str(&json);
                member.count += 1;
            }
            None => {
                if !self.places.is_empty() {
                    self.places.insert(key.clone().into_owned(), self.members.len());
                }
                self.members.push(Member { key, values: json, count: 1 });
            }
        }
        true
    }

    fn place(&mut self, key: &str) -> Option<usize> {
        if self.members.len() <= FEW {
            return self.members.iter().position(|member| member.key == key);
        }
        if self.places.is_empty() {
            let keys = self.members.iter().map(|member| member.key.clone().into_owned());
            self.places = keys.zip(0..).collect();
        }
        self.places.get(key).copied()
    }

    /// The object; `None` if no pair is left.
    pub(super) fn finish(self) -> Option<String> {
        if self.members.is_empty() {
            return None;
        }
        let len: usize = self.members.iter().map(|member| member.key.len() + member.values.len() + 6).sum();
        let mut out = String::with_capacity(len + 2);
        out.push('{');
        for member in &self.members {
            if out.len() > 1 {
                out.push(',');
            }
            push_json_string(&mut out, &member.key);
            out.push(':');
            if member.count > 1 {
                out.push('[');
            }
            out.push_str(&member.values);
            if member.count > 1 {
                out.push(']');
            }
        }
        out.push('}');
        Some(out)
    }
}

/// Writes a pair's value as JSON; false if the pair goes, and what hit the value.
fn push_value(
    pass: &mut Pass<'_>,
    out: &mut String,
    key: &str,
    value: &str,
    pointed: Option<Effect>,
) -> (bool, Option<HitRule>) {
    let secret = match pointed {
        Some(Effect::Mask) => Some(HitRule::Pointer),
        Some(Effect::Except) => None,
        None => pass.verdict(key).rule(),
    };
    if secret.is_some() {
        pass.remember_encoded(value);
        return (pass.mask_json(out, value), secret);
    }
    let redacted = pass.inspect(value, 0);
    push_json_string(out, redacted.as_deref().unwrap_or(value));
    (true, redacted.map(|_| HitRule::Value))
}

/// A raw query as an object.
pub(super) fn query(pass: &mut Pass<'_>, raw: &str) -> Option<String> {
    if raw.is_empty() {
        return None;
    }
    let mut pairs = Pairs::of(pass, Origin::Url);
    for (key, value) in form_urlencoded::parse(raw.as_bytes()) {
        if !pairs.add(pass, key, &value) {
            break;
        }
    }
    pairs.finish()
}

/// A form as an object; with `cut`, without the pair that the cut went through.
pub(super) fn form(pass: &mut Pass<'_>, bytes: &[u8], cut: bool) -> Result<Option<String>, Reason> {
    let bytes = bytes.trim_ascii();
    let end = if cut { memchr::memrchr(b'&', bytes).map_or(0, |last| last + 1) } else { bytes.len() };
    let (whole, open) = bytes.split_at(end);
    if !whole.split(|byte| *byte == b'&').all(is_well_formed) || !is_well_formed(open) {
        return Err(Reason::Invalid);
    }
    let mut pairs = Pairs::of(pass, Origin::Body);
    // The beginning of a value whose end is not known may stand whole in an error message.
    for (key, value) in form_urlencoded::parse(without_open_escape(open)) {
        if pairs.fields.may_mask(pass, &key) || pass.verdict(&key) != Verdict::Plain {
            pass.remember_beginning(value.trim_end_matches('\u{fffd}'));
        }
    }
    for (key, value) in form_urlencoded::parse(whole) {
        if !pairs.add(pass, key, &value) {
            return Err(Reason::TooDeep);
        }
    }
    Ok(pairs.finish())
}

/// Without the beginning of a percent-encoding at its end.
fn without_open_escape(bytes: &[u8]) -> &[u8] {
    let last = memchr::memrchr(b'%', bytes).filter(|at| at + 3 > bytes.len());
    &bytes[..last.unwrap_or(bytes.len())]
}

/// Whether a piece of a form can be one: its name has only what an encoded name can have. JSON, XML
/// and multipart that are sent as a form fail here, for their secrets would stand in the name.
pub(super) fn is_well_formed(pair: &[u8]) -> bool {
    let Some(equals) = memchr::memchr(b'=', pair) else { return pair.is_empty() };
    pair[..equals].iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || !byte.is_ascii()
            || matches!(
                byte,
                b'%' | b'+'
                    | b'-'
                    | b'_'
                    | b'.'
                    | b'*'
                    | b'['
                    | b']'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'@'
                    | b':'
                    | b'/'
                    | b','
                    | b'('
                    | b')'
                    | b'|'
            )
    })
}
