//! What the application says of an exchange, through either entry point, within bounds.

use std::borrow::Cow;

use serde_json::Value;

use crate::record::{Actor, Credential, Entity, Failure, Location, Scope};
use crate::text::{ELLIPSIS, head};

/// Longest id or name, in bytes; longer ones are cut with an ellipsis. All that is never cut from a line must fit into it.
const NAME: usize = 512;
/// Longest message, stack, or text of `meta`.
const TEXT: usize = 8 * 1024;
const KEY: usize = 128;
/// Keys of `meta` that this library writes itself. An object with a repeated key is what stores reject, so the
/// application's own gets an underscore.
const RESERVED: [&str; 3] = ["initiatedAs", "abortedAt", "shortened"];
/// Most entries of each kind.
const MAX_META: usize = 64;
const MAX_ERRORS: usize = 16;
const MAX_SECRETS: usize = 64;
/// How many actors may stand behind one another.
const MAX_BEHIND: usize = 2;

/// What was bound late.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late {
    pub(crate) actor: Option<Actor>,
    pub(crate) credential: Option<Credential>,
    pub(crate) object: Option<Entity>,
    pub(crate) target: Option<Entity>,
    pub(crate) scope: Option<Scope>,
    pub(crate) context: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) namespace: Option<String>,
    /// Trace and span, checked.
    pub(crate) trace: Option<(String, String)>,
    pub(crate) meta: Vec<(Cow<'static, str>, Value)>,
    pub(crate) errors: Vec<Failure>,
    /// Values that the application calls secret.
    pub(crate) secrets: Vec<Secret>,
    /// It named more of them than are kept.
    pub(crate) too_many_secrets: bool,
    /// The application said that it failed, whatever the response's status.
    pub(crate) failed: bool,
    /// About how many bytes `meta`, errors and secrets take. The rest is names, which are short.
    bytes: usize,
}

impl Late {
    pub(crate) fn set_actor(&mut self, actor: Actor) {
        self.actor = Some(bounded_actor(actor, MAX_BEHIND));
    }

    pub(crate) fn set_credential(&mut self, credential: Credential) {
        self.credential = Some(bounded_credential(credential));
    }

    pub(crate) fn set_object(&mut self, object: Entity) {
        self.object = Some(bounded_entity(object));
    }

    pub(crate) fn set_target(&mut self, target: Entity) {
        self.target = Some(bounded_entity(target));
    }

    pub(crate) fn set_scope(&mut self, scope: Scope) {
        self.scope = Some(Scope { kind: kind(scope.kind), path: name(scope.path), rules_at: scope.rules_at.map(name) });
    }

    /// Adds a fact, or replaces what was said for its key.
    pub(crate) fn add_meta(&mut self, key: Cow<'static, str>, value: Value) {
        let key = if RESERVED.contains(&&*key) { Cow::Owned(format!("{key}_")) } else { key };
        let key = if key.len() > KEY { Cow::Owned(bounded(key.into_owned(), KEY)) } else { key };
        let value = bounded_value(value);
        let bytes = weight(&value);
        if let Some((_, known)) = self.meta.iter_mut().find(|(known, _)| *known == key) {
            self.bytes = (self.bytes + bytes).saturating_sub(weight(known));
            *known = value;
        } else if self.meta.len() < MAX_META {
            self.bytes += key.len() + bytes;
            self.meta.push((key, value));
        }
    }

    /// Notes that it failed, whatever the response's status, and why.
    pub(crate) fn set_failed(&mut self, failure: Failure) {
        self.failed = true;
        self.add_error(failure);
    }

    /// Notes why it failed; the first failures are kept.
    pub(crate) fn add_error(&mut self, failure: Failure) {
        if self.errors.len() < MAX_ERRORS {
            let failure = Failure {
                name: name(failure.name),
                message: bounded(failure.message, TEXT),
                stack: failure.stack.map(|stack| bounded(stack, TEXT)),
            };
            let stack = failure.stack.as_ref().map_or(0, String::len);
            self.bytes += failure.name.len() + failure.message.len() + stack;
            self.errors.push(failure);
        }
    }

    /// Notes a value that must not show. A longer one than 8 KiB is searched for by its beginning.
    pub(crate) fn add_secret(&mut self, mut text: String) {
        if self.secrets.len() == MAX_SECRETS {
            self.too_many_secrets = true;
            return;
        }
        let is_cut = text.len() > TEXT;
        text.truncate(head(&text, TEXT).len());
        self.bytes += text.len();
        self.secrets.push(Secret { text, is_cut });
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A value that must not show.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) text: String,
    /// It is longer than what is kept of it.
    pub(crate) is_cut: bool,
}

/// An id or name within its bound.
pub(crate) fn name(text: String) -> String {
    bounded(text, NAME)
}

fn bounded(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(head(&text, most).len());
        text.push(ELLIPSIS);
    }
    text
}

fn kind(kind: Cow<'static, str>) -> Cow<'static, str> {
    if kind.len() > KEY { Cow::Owned(bounded(kind.into_owned(), KEY)) } else { kind }
}

fn bounded_actor(actor: Actor, behind: usize) -> Actor {
    let some = |text: Option<String>| text.map(name);
    Actor {
        id: some(actor.id),
        kind: actor.kind.map(kind),
        name: some(actor.name),
        url: some(actor.url),
        slug: some(actor.slug),
        unverified: actor.unverified,
        claimed: some(actor.claimed),
        credential: actor.credential.map(bounded_credential),
        on_behalf_of: match (actor.on_behalf_of, behind.checked_sub(1)) {
            (Some(other), Some(behind)) => Some(Box::new(bounded_actor(*other, behind))),
            _ => None,
        },
        location: actor.location.map(|location| Location {
            city: some(location.city),
            country: some(location.country),
            continent: some(location.continent),
        }),
    }
}

fn bounded_credential(credential: Credential) -> Credential {
    let some = |text: Option<String>| text.map(name);
    Credential {
        kind: kind(credential.kind),
        id: some(credential.id),
        name: some(credential.name),
        owner: some(credential.owner),
    }
}

fn bounded_entity(entity: Entity) -> Entity {
    let some = |text: Option<String>| text.map(name);
    Entity {
        kind: kind(entity.kind),
        id: some(entity.id),
        name: some(entity.name),
        version: some(entity.version),
        slug: some(entity.slug),
        format: some(entity.format),
    }
}

/// A value within its bound: a text is cut, anything else is replaced as a whole, because half a value is another.
fn bounded_value(value: Value) -> Value {
    match value {
        Value::String(text) => bounded(text, TEXT).into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
        Value::Array(_) | Value::Object(_) => match size(&value, TEXT, 0) {
            Some(_) => value,
            None => "… (larger than 8 KiB)".into(),
        },
    }
}

/// About how many bytes a bounded value takes.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        other => size(other, TEXT, 0).unwrap_or(TEXT),
    }
}

/// About how many bytes a value takes; `None` if that is more than `most`, or it is nested too deep to tell.
fn size(value: &Value, most: usize, depth: usize) -> Option<usize> {
    const DEEPEST: usize = 64;
    let mut sum = 2;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => sum += 6,
        Value::String(text) => sum += text.len(),
        Value::Array(_) | Value::Object(_) if depth == DEEPEST => return None,
        Value::Array(items) => {
            for item in items {
                sum += size(item, most.checked_sub(sum)?, depth + 1)?;
            }
        }
        Value::Object(members) => {
            for (key, item) in members {
                sum += key.len() + 3;
                sum += size(item, most.checked_sub(sum)?, depth + 1)?;
            }
        }
    }
    (sum <= most).then_some(sum)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_is_bound_late_has_a_bound() {
        let long = || "x".repeat(100_000);
        let mut late = Late::default();
        let behind = (0..5).fold(Actor::user(long()), |actor, _| Actor::user(long()).name(long()).on_behalf_of(actor));
        late.set_actor(behind.credential(Credential::new(long()).id(long())));
        late.set_object(Entity::new(long()).id(long()).version(long()));
        late.set_scope(Scope::new(long(), long()));
        (0..100).for_each(|n| late.add_meta(Cow::Owned(format!("{n}{}", long())), json!({ "a": [long()] })));
        (0..100).for_each(|_| late.add_error(Failure::new(long(), long()).stack(long())));
        (0..100).for_each(|_| late.add_secret(long()));
        let actor = late.actor.unwrap();
        assert!(actor.on_behalf_of.as_ref().unwrap().on_behalf_of.as_ref().unwrap().on_behalf_of.is_none());
        assert_eq!(actor.id.unwrap().len(), NAME + '…'.len_utf8());
        assert_eq!((late.meta.len(), late.errors.len(), late.secrets.len()), (MAX_META, MAX_ERRORS, MAX_SECRETS));
        assert!(late.too_many_secrets);
        assert_eq!(late.meta[0].1, json!("… (larger than 8 KiB)"));
        assert!(late.meta[0].0.len() <= KEY + '…'.len_utf8());
    }

    #[test]
    fn what_is_within_the_bounds_stays_as_it_is() {
        let mut late = Late::default();
        late.add_meta("a".into(), json!({ "list": [1, "two", null] }));
        late.add_meta("b".into(), json!("text"));
        late.add_meta("a".into(), json!([2.5]));
        assert_eq!(late.meta, [("a".into(), json!([2.5])), ("b".into(), json!("text"))]);
    }
}
