//! Which scopes and events are audited, as plain data.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::Error;
use crate::json::push_json_string;
use crate::record::Scope;

/// The longest path of a rule, in bytes: records show paths of this length whole.
const MAX_PATH: usize = 512;
const MAX_EVENT: usize = 128;
/// Most rules. Those of 10,000 projects fit ten times, and a change copies all of them.
const MAX_RULES: usize = 100_000;

/// Which scopes and events are audited: plain data, changed by [`ScopeRules::with`].
///
/// For a request with a scope, the rule of the nearest ancestor decides: first the rules of its path, then those of each
/// ancestor, by whole segments, then the default. At each level, a rule for the event comes before the rule for all events.
/// For a request without a scope, the rule of the instance decides, and then the default.
///
/// ```
/// use tower_audit::Scope;
/// use tower_audit::scope::{ScopeChange, ScopeNode, ScopeRules};
///
/// let rules = ScopeRules::off()
///     .with(ScopeChange::on(Scope::group("acme")))?
///     .with(ScopeChange::off(Scope::group("acme/lab")))?
///     .with(ScopeChange::off(Scope::group("acme")).event("PackageDownloaded"))?;
/// let is_audited = |path: &str, event| rules.is_audited(Some(&Scope::group(path.to_owned())), event);
/// assert!(is_audited("acme/tools/cli", "PackagePublished"));
/// assert!(!is_audited("acme/tools", "PackageDownloaded"));
/// assert!(!is_audited("acme/lab/x", "PackagePublished"));
/// assert!(!is_audited("acme-evil", "PackagePublished"));
/// assert!(!rules.is_audited(None, "PackagePublished"));
/// assert_eq!(rules.rule(&ScopeNode::from(Scope::group("acme/tools")), None), None);
/// # Ok::<(), tower_audit::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "rules do nothing until an auditor has them"]
pub struct ScopeRules {
    /// Always says something of all events.
    pub(super) default: Rule,
    pub(super) instance: Rule,
    pub(super) paths: BTreeMap<Box<str>, Rule>,
}

/// What is said of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    /// Of all events.
    pub(super) all: Option<bool>,
    pub(super) events: BTreeMap<Box<str>, bool>,
}

impl Rule {
    /// What it says of an event.
    pub(super) fn of(&self, event: &str) -> Option<bool> {
        if self.events.is_empty() { self.all } else { self.events.get(event).copied().or(self.all) }
    }

    fn get(&self, event: Option<&str>) -> Option<bool> {
        event.map_or(self.all, |event| self.events.get(event).copied())
    }

    fn set(&mut self, event: Option<&str>, audited: Option<bool>) {
        match (event, audited) {
            (None, audited) => self.all = audited,
            (Some(event), Some(audited)) => drop(self.events.insert(event.into(), audited)),
            (Some(event), None) => drop(self.events.remove(event)),
        }
    }

    fn len(&self) -> usize {
        usize::from(self.all.is_some()) + self.events.len()
    }

    fn push_json(&self, json: &mut String) {
        let word = |audited: bool| if audited { "true" } else { "false" };
        if let Some(audited) = self.all.filter(|_| self.events.is_empty()) {
            return json.push_str(word(audited));
        }
        let events = self.events.iter().map(|(event, audited)| (&**event, *audited));
        let members = self.all.map(|audited| ("*", audited)).into_iter().chain(events);
        push_members(json, members, |json, audited| json.push_str(word(audited)));
    }

    fn from_json(value: &Value) -> Option<Self> {
        let mut rule = Self::default();
        match value {
            Value::Bool(audited) => rule.all = Some(*audited),
            Value::Object(members) => {
                for (event, audited) in members {
                    let event = (event != "*").then_some(&**event);
                    rule.set(event.filter(|event| is_event(event)), Some(audited.as_bool()?));
                    event.is_none_or(is_event).then_some(())?;
                }
            }
            _ => return None,
        }
        Some(rule)
    }
}

/// Appends a JSON object.
fn push_members<'m, V>(json: &mut String, members: impl Iterator<Item = (&'m str, V)>, push: impl Fn(&mut String, V)) {
    json.push('{');
    for (at, (name, value)) in members.enumerate() {
        json.push_str(if at == 0 { "" } else { "," });
        push_json_string(json, name);
        json.push(':');
        push(json, value);
    }
    json.push('}');
}

/// The part of the tree that a rule is for.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeNode {
    /// The default, for everything without another rule.
    Default,
    /// Requests without a scope.
    Instance,
    /// A scope and all scopes below it, by its path or [`Scope::rules_at`]. The kind of the scope is ignored.
    Scope(Scope),
}

impl From<Scope> for ScopeNode {
    fn from(scope: Scope) -> Self {
        Self::Scope(scope)
    }
}

impl ScopeNode {
    /// As records show it.
    pub(super) fn to_scope(&self) -> Scope {
        match self {
            Self::Default => Scope::new("default", "*"),
            Self::Instance => Scope::new("instance", "*"),
            Self::Scope(scope) => Scope::new(scope.kind.clone(), scope.rules_path()),
        }
    }
}

/// One change of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a change does nothing until it is made"]
pub struct ScopeChange {
    node: ScopeNode,
    event: Option<Cow<'static, str>>,
    audited: Option<bool>,
}

impl ScopeChange {
    /// This scope and all scopes below it are audited, unless a more specific rule decides otherwise.
    pub fn on(node: impl Into<ScopeNode>) -> Self {
        Self { node: node.into(), event: None, audited: Some(true) }
    }

    /// This scope and all scopes below it are not audited, unless a more specific rule decides otherwise.
    pub fn off(node: impl Into<ScopeNode>) -> Self {
        Self { node: node.into(), event: None, audited: Some(false) }
    }

    /// Removes a rule, so that the rule of the nearest ancestor decides. The default for all events cannot be removed.
    pub fn inherit(node: impl Into<ScopeNode>) -> Self {
        Self { node: node.into(), event: None, audited: None }
    }

    /// Changes the rule for this event only. Without this call, the rule is for all events that have no rule of their own at
    /// this scope.
    pub fn event(mut self, event: impl Into<Cow<'static, str>>) -> Self {
        self.event = Some(event.into());
        self
    }

    pub(super) fn node(&self) -> &ScopeNode {
        &self.node
    }

    pub(super) fn event_name(&self) -> Option<&str> {
        self.event.as_deref()
    }

    fn check(&self) -> Result<(), Error> {
        if let ScopeNode::Scope(scope) = &self.node
            && !is_rule_path(scope.rules_path())
        {
            return Err(Error::setting(format!(
                "scope {:?}: a rule needs a path of 1 to {MAX_PATH} bytes without control characters, whose segments are \
                 separated by `/` and are not empty, `.` or `..`",
                shown(scope.rules_path())
            )));
        }
        if let Some(event) = self.event_name().filter(|event| !is_event(event)) {
            return Err(Error::setting(format!(
                "event {:?}: a rule needs a name of 1 to {MAX_EVENT} of `A-Z`, `a-z`, `0-9`, `_`, `.`, `-` that does not \
                 begin with `Audit`",
                shown(event)
            )));
        }
        if self.audited.is_none() && self.event.is_none() && self.node == ScopeNode::Default {
            return Err(Error::setting("the default for all events cannot be taken away: it is on or off"));
        }
        Ok(())
    }
}

impl ScopeRules {
    /// Everything is audited until a rule says otherwise.
    pub fn on() -> Self {
        Self::all(true)
    }

    /// Nothing is audited until a rule says otherwise.
    pub fn off() -> Self {
        Self::all(false)
    }

    fn all(audited: bool) -> Self {
        let default = Rule { all: Some(audited), ..Rule::default() };
        Self { default, instance: Rule::default(), paths: BTreeMap::new() }
    }

    /// The rules after a change.
    ///
    /// # Errors
    ///
    /// If the path or the event's name is not valid, or there are more than 100,000 rules.
    pub fn with(mut self, change: ScopeChange) -> Result<Self, Error> {
        change.check()?;
        let ScopeChange { node, event, audited } = change;
        match node {
            ScopeNode::Default => self.default.set(event.as_deref(), audited),
            ScopeNode::Instance => self.instance.set(event.as_deref(), audited),
            ScopeNode::Scope(scope) => {
                let path = scope.rules_path();
                let rule = self.paths.entry(path.into()).or_default();
                rule.set(event.as_deref(), audited);
                if rule.len() == 0 {
                    self.paths.remove(path);
                }
            }
        }
        if audited.is_some() && self.len() > MAX_RULES {
            return Err(Error::setting(format!("there can be {MAX_RULES} scope rules, and this would be one more")));
        }
        Ok(self)
    }

    /// The rule of a node itself: for an event, or with `None` for all events. `None` if there is no such rule.
    pub fn rule(&self, node: &ScopeNode, event: Option<&str>) -> Option<bool> {
        match node {
            ScopeNode::Default => self.default.get(event),
            ScopeNode::Instance => self.instance.get(event),
            ScopeNode::Scope(scope) => self.paths.get(scope.rules_path())?.get(event),
        }
    }

    /// Whether an event of a scope is audited. A scope with an invalid path (empty segments, `.`, `..`, more than 512 bytes)
    /// is audited whatever the rules are.
    pub fn is_audited(&self, scope: Option<&Scope>, event: &str) -> bool {
        let default = || self.default.of(event).unwrap_or(true);
        let Some(scope) = scope else { return self.instance.of(event).unwrap_or_else(default) };
        let path = scope.rules_path();
        if !is_path(path) {
            return true;
        }
        let ancestors = std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above));
        let mut rules = ancestors.filter_map(|path| self.paths.get(path)?.of(event));
        rules.next().unwrap_or_else(default)
    }

    /// The number of rules, without the default for all events.
    pub fn len(&self) -> usize {
        let paths: usize = self.paths.values().map(Rule::len).sum();
        paths + self.instance.len() + self.default.events.len()
    }

    /// Whether there is only the default for all events.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rules as JSON, for a store:
    /// `{"default":false,"instance":true,"scopes":{"acme":true,"acme/lab":{"*":false,"PackageDeleted":true}}}`.
    pub fn to_json(&self) -> String {
        let mut json = r#"{"default":"#.to_owned();
        self.default.push_json(&mut json);
        if self.instance.len() > 0 {
            json.push_str(r#","instance":"#);
            self.instance.push_json(&mut json);
        }
        json.push_str(r#","scopes":"#);
        let scopes = self.paths.iter().map(|(path, rule)| (&**path, rule));
        push_members(&mut json, scopes, |json, rule| rule.push_json(json));
        json.push('}');
        json
    }

    /// Reads what [`ScopeRules::to_json`] writes.
    ///
    /// # Errors
    ///
    /// If the text is not JSON, has other members or values, or contains a path or an event's name that is not valid.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let value = serde_json::from_str(json).map_err(|error| Error::setting("no JSON").with_source(error))?;
        Self::from_value(&value).map_err(Error::setting)
    }

    pub(super) fn from_value(value: &Value) -> Result<Self, String> {
        let Value::Object(members) = value else { return Err("scope rules are a JSON object".to_owned()) };
        let mut rules = Self::on();
        let read = |name: &str, value| {
            let expected = "is neither true, false, nor an object of event names and `*` with such values";
            Rule::from_json(value).ok_or_else(|| format!("the rule of {:?} {expected}", shown(name)))
        };
        for (key, value) in members {
            match key.as_str() {
                "default" => rules.default = read("default", value)?,
                "instance" => rules.instance = read("instance", value)?,
                "scopes" => {
                    let Value::Object(scopes) = value else { return Err("`scopes` is a JSON object".to_owned()) };
                    for (path, value) in scopes {
                        if !is_rule_path(path) {
                            return Err(format!("{:?} cannot be the path of a scope", shown(path)));
                        }
                        let rule = read(path, value)?;
                        if rule.len() > 0 {
                            rules.paths.insert(path.as_str().into(), rule);
                        }
                    }
                }
                other => return Err(format!("unknown member {:?}", shown(other))),
            }
        }
        if !members.contains_key("default") || rules.default.all.is_none() {
            return Err("the default for all events is missing: `\"default\":true` or `false`".to_owned());
        }
        if rules.len() > MAX_RULES {
            return Err(format!("there are {} scope rules; at most {MAX_RULES} are allowed", rules.len()));
        }
        Ok(rules)
    }
}

/// Whether this can be the path of a scope: whole segments, each with a name.
pub(super) fn is_path(path: &str) -> bool {
    path.len() <= MAX_PATH && path.split('/').all(is_segment)
}

pub(super) fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
}

fn is_rule_path(path: &str) -> bool {
    is_path(path) && !path.chars().any(char::is_control)
}

fn is_event(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=MAX_EVENT).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with("Audit")
}

/// The beginning of what may be long.
fn shown(text: &str) -> String {
    const SHOWN: usize = 80;
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_scope_or_an_event_is_refused_by_name() {
        let long = format!("acme/{}", "x".repeat(64 * 1024));
        for path in ["", "/", "acme/", "/acme", "acme//tools", "acme/../evil", ".", "acme\n", &long] {
            let error = ScopeRules::off().with(ScopeChange::on(Scope::group(path))).unwrap_err();
            assert!(
                error.kind() == crate::ErrorKind::Setting && error.to_string().contains("a rule needs a path"),
                "{path:?}: {error}"
            );
            assert!(error.to_string().len() < 400, "{error}");
        }
        for event in ["", "a b", "AuditScopeChanged", "ä"] {
            let error = ScopeRules::off().with(ScopeChange::on(ScopeNode::Instance).event(event)).unwrap_err();
            assert!(error.to_string().contains("a rule needs a name"), "{error}");
        }
        let error = ScopeRules::off().with(ScopeChange::inherit(ScopeNode::Default)).unwrap_err();
        assert!(error.to_string().contains("on or off"), "{error}");
    }

    #[test]
    fn json_is_read_as_it_was_written_and_nothing_else_is() {
        let rules = ScopeRules::off()
            .with(ScopeChange::on(ScopeNode::Instance))
            .and_then(|rules| rules.with(ScopeChange::on(Scope::group("acme"))))
            .and_then(|rules| rules.with(ScopeChange::off(Scope::group("acme/lab")).event("PackageDeleted")))
            .and_then(|rules| rules.with(ScopeChange::on(ScopeNode::Default).event("RoleUpdate")))
            .unwrap();
        let json = rules.to_json();
        assert_eq!(
            json,
            r#"{"default":{"*":false,"RoleUpdate":true},"instance":true,"scopes":{"acme":true,"acme/lab":{"PackageDeleted":false}}}"#
        );
        assert_eq!(ScopeRules::from_json(&json).unwrap(), rules);
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"scopes":{}}"#,
            r#"{"default":null}"#,
            r#"{"default":{"PackageDeleted":true}}"#,
            r#"{"default":true,"other":1}"#,
            r#"{"default":true,"scopes":[]}"#,
            r#"{"default":true,"scopes":{"acme":"on"}}"#,
            r#"{"default":true,"scopes":{"acme/":true}}"#,
            r#"{"default":true,"scopes":{"acme":{"a b":true}}}"#,
            r#"{"default":true,"scopes":{"acme":{"*":1}}}"#,
        ] {
            assert!(ScopeRules::from_json(bad).unwrap_err().kind() == crate::ErrorKind::Setting, "{bad}");
        }
    }

    #[test]
    fn a_rule_that_is_taken_away_leaves_nothing_behind() {
        let node = || Scope::group("acme");
        let on = ScopeRules::off().with(ScopeChange::on(node())).unwrap();
        assert_eq!((on.len(), on.rule(&node().into(), None)), (1, Some(true)));
        assert_eq!(on.with(ScopeChange::inherit(node())).unwrap(), ScopeRules::off());
    }

    #[test]
    fn there_is_a_limit_on_rules() {
        let scopes: Vec<String> = (0..MAX_RULES).map(|at| format!("\"g{at}\":true")).collect();
        let json = format!(r#"{{"default":false,"scopes":{{{}}}}}"#, scopes.join(","));
        assert!(json.len() > 1024 * 1024);
        let rules = ScopeRules::from_json(&json).unwrap();
        assert_eq!(rules.len(), MAX_RULES);
        let error = rules.clone().with(ScopeChange::on(Scope::group("one-more"))).unwrap_err();
        assert!(error.to_string().contains("100000"), "{error}");
        assert!(rules.with(ScopeChange::inherit(Scope::group("g0"))).is_ok());
    }
}
