//! An event as checked: everything that a request has to know about it, looked up and computed once.

use std::borrow::Cow;

use super::event::{Access, Bodies, Event, Group, Strangers, StreamEnd, Texts};
use super::message::Message;
use super::route::Template;
use super::source::{MetaSource, Source};
use crate::error::Error;
use crate::record::{Delivery, Level, LogType, Reads, Stages};

/// The checked policy of one event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EventPolicy {
    name: Cow<'static, str>,
    kind: Option<Cow<'static, str>>,
    log_type: LogType,
    stages: Option<Stages>,
    bodies: Bodies,
    level: Option<Level>,
    delivery: Option<Delivery>,
    stream_end: StreamEnd,
    strangers: Strangers,
    meta: Vec<MetaField>,
    message: Message,
    value_masks: Vec<Cow<'static, str>>,
    secret_pointers: Vec<Cow<'static, str>>,
    not_secret: Vec<Cow<'static, str>>,
    shown: Vec<Cow<'static, str>>,
    texts: Texts,
    access: Option<Access>,
    group: Group,
    captures: Bodies,
}

/// A key of `meta` with its sources, of which the first that yields something wins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetaField {
    pub(crate) key: Cow<'static, str>,
    pub(crate) sources: Vec<MetaSource>,
}

/// Checks an event that was named next to a route, outside any catalog.
/// With it, whether it says that it is a read: its route's method is not known here.
pub(crate) fn compile_event(event: Event) -> Result<(EventPolicy, bool), Error> {
    let mut problems = Vec::new();
    if let Some((method, route)) = event.routes.first() {
        problems.push(format!(
            "event `{}` is named next to a route and so cannot have one of its own, `{method} {route}`",
            event.name
        ));
    }
    if event.stages == Some(Stages::Initiation) {
        problems.push(initiation_on_a_route(&event.name));
    }
    let policy = EventPolicy::new(event, &Group::default(), None, &mut problems);
    let is_read = policy.access == Some(Access::Read);
    finish(&problems).map(|()| (policy, is_read))
}

/// An event of this library, whose name begins with `Audit` and is not checked.
pub(crate) fn internal_event(event: Event) -> EventPolicy {
    EventPolicy::new(event, &Group::default(), None, &mut Vec::new())
}

/// All problems as one error, so that they can be mended in one go.
pub(super) fn finish(problems: &[String]) -> Result<(), Error> {
    const SHOWN: usize = 8;
    if problems.is_empty() {
        return Ok(());
    }
    let mut message = problems.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    if problems.len() > SHOWN {
        message.push_str(&format!("; and {} more", problems.len() - SHOWN));
    }
    Err(Error::catalog(message))
}

pub(super) fn initiation_on_a_route(name: &str) -> String {
    format!(
        "event `{name}` writes its initiation only but has a route: each request has its completion; \
         `completion` or `both` are possible"
    )
}

/// The rule for `eventName`.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.is_empty() || name.len() > 128 || !name.bytes().all(allowed) {
        return Err(format!("event name `{name}` has to be 1 to 128 of `A-Z`, `a-z`, `0-9`, `_`, `.`, `-`"));
    }
    if name.starts_with("Audit") {
        return Err(format!("event name `{name}`: names that begin with `Audit` are reserved for our own records"));
    }
    Ok(())
}

impl EventPolicy {
    /// Checks everything of an event but its routes, and adds what is wrong to `problems`.
    ///
    /// `params` are the names that its routes bind, if it is known which routes it has.
    pub(super) fn new(event: Event, outer: &Group, params: Option<&[&Template]>, problems: &mut Vec<String>) -> Self {
        if let Err(problem) = check_name(&event.name) {
            problems.push(problem);
        }
        let mut problem = |text: String| problems.push(format!("event `{}`: {text}", event.name));

        let mut message = Message::of_events();
        if let Some(template) = &event.message {
            match Message::parse(template) {
                Ok(parsed) => message = parsed,
                Err(text) => problem(text),
            }
        }
        let meta = collect_meta(event.meta, &mut problem);
        if event.value_masks.iter().any(|key| key.is_empty()) {
            problem("`mask_values_under` needs a name".to_owned());
        }
        if let Some(routes) = params {
            let mut asked: Vec<&str> = message.params().collect();
            meta.iter()
                .flat_map(|field| &field.sources)
                .for_each(|source| source.each_param(&mut |name| asked.push(name)));
            asked.retain(|name| !routes.iter().any(|route| route.names().iter().any(|known| **known == **name)));
            for name in asked {
                problem(format!("none of its routes has the parameter `{name}`"));
            }
        }
        Self {
            captures: captures(event.bodies, &meta),
            name: event.name,
            kind: event.kind,
            log_type: event.log_type,
            stages: event.stages,
            bodies: event.bodies,
            level: event.level,
            delivery: event.delivery,
            stream_end: event.stream_end,
            strangers: event.strangers,
            meta,
            message,
            value_masks: event.value_masks,
            secret_pointers: event.secret_pointers,
            not_secret: event.not_secret,
            shown: event.shown,
            texts: event.texts,
            access: event.access,
            group: event.group.or(outer),
        }
    }

    /// The policy of requests that no event claims: they are never worth waiting for.
    pub(super) fn unmatched(name: Cow<'static, str>, outer: &Group, problems: &mut Vec<String>) -> Self {
        let event = Event::new(name).delivery(Delivery::Lossy);
        Self { message: Message::of_unmatched(), ..Self::new(event, outer, None, problems) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the name is a constant of the program, and was not made while it runs.
    pub(crate) fn has_constant_name(&self) -> bool {
        matches!(self.name, Cow::Borrowed(_))
    }

    pub(crate) fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    pub(crate) fn log_type(&self) -> LogType {
        self.log_type
    }

    /// What the code says; where it says nothing, a setting decides.
    pub(crate) fn stages(&self) -> Option<Stages> {
        self.stages
    }

    /// The level of what succeeded.
    pub(crate) fn level(&self) -> Option<Level> {
        self.level
    }

    /// What the code says; where it says nothing, a setting decides.
    pub(crate) fn delivery(&self) -> Option<Delivery> {
        self.delivery
    }

    /// What it says of itself; where it says nothing, its methods decide.
    pub(super) fn access(&self) -> Option<Access> {
        self.access
    }

    /// What the code says of reads; where it says nothing, a setting decides.
    pub(crate) fn reads(&self) -> Option<Reads> {
        self.group.reads
    }

    pub(crate) fn stream_end(&self) -> StreamEnd {
        self.stream_end
    }

    pub(crate) fn strangers(&self) -> Strangers {
        self.strangers
    }

    pub(crate) fn meta(&self) -> &[MetaField] {
        &self.meta
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn secret_pointers(&self) -> &[Cow<'static, str>] {
        &self.secret_pointers
    }

    pub(crate) fn shown(&self) -> &[Cow<'static, str>] {
        &self.shown
    }

    pub(crate) fn not_secret(&self) -> &[Cow<'static, str>] {
        &self.not_secret
    }

    pub(crate) fn texts(&self) -> Texts {
        self.texts
    }

    pub(crate) fn value_masks(&self) -> &[Cow<'static, str>] {
        &self.value_masks
    }

    pub(crate) fn plugin(&self) -> Option<&str> {
        self.group.plugin.as_deref()
    }

    pub(crate) fn service(&self) -> Option<&str> {
        self.group.service.as_deref()
    }

    pub(crate) fn component(&self) -> Option<&str> {
        self.group.component.as_deref()
    }

    /// The bodies that the record shows.
    pub(crate) fn bodies(&self) -> Bodies {
        self.bodies
    }

    /// The bodies that have to be captured: shown, or pointed into by a source of `meta`.
    pub(crate) fn captures(&self) -> Bodies {
        self.captures
    }
}

fn collect_meta(given: Vec<(Cow<'static, str>, Source)>, problem: &mut dyn FnMut(String)) -> Vec<MetaField> {
    let mut fields: Vec<MetaField> = Vec::new();
    for (key, source) in given {
        if key.is_empty() || key.len() > 128 {
            problem(format!("the key `{key}` of `meta` has to have 1 to 128 bytes"));
        }
        if ["initiatedAs", "abortedAt", "shortened"].contains(&&*key) {
            problem(format!("the key `{key}` of `meta` is one that the library writes itself"));
        }
        let source = match source.compile() {
            Ok(source) => source,
            Err(text) => {
                problem(format!("`meta` key `{key}`: {text}"));
                continue;
            }
        };
        match fields.iter_mut().find(|field| field.key == key) {
            Some(field) => field.sources.push(source),
            None => fields.push(MetaField { key, sources: vec![source] }),
        }
    }
    fields
}

fn captures(shown: Bodies, meta: &[MetaField]) -> Bodies {
    let mut sources = meta.iter().flat_map(|field| &field.sources);
    let request = shown.show_request() || sources.clone().any(MetaSource::reads_request_body);
    let response = shown.show_response() || sources.any(MetaSource::reads_response_body);
    match (request, response) {
        (false, false) => Bodies::None,
        (true, false) => Bodies::Request,
        (false, true) => Bodies::Response,
        (true, true) => Bodies::Both,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn problem(event: Event) -> String {
        let error = compile_event(event).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Catalog);
        error.to_string()
    }

    #[test]
    fn an_event_says_nothing_that_a_setting_should_decide() {
        let policy = compile_event(Event::new("Task.Fetch_2-b")).unwrap().0;
        assert_eq!(
            (policy.name(), policy.kind(), policy.stages(), policy.delivery()),
            ("Task.Fetch_2-b", None, None, None)
        );
        assert_eq!((policy.level(), policy.bodies(), policy.captures()), (None, Bodies::Request, Bodies::Request));
        assert_eq!((policy.stream_end(), policy.strangers()), (StreamEnd::Server, Strangers::Hidden));
        assert_eq!((policy.plugin(), policy.service(), policy.component()), (None, None, None));
        assert!(policy.meta().is_empty() && policy.value_masks().is_empty());
        assert_eq!(policy.message(), &Message::of_events());
    }

    #[test]
    fn what_is_set_is_kept() {
        let event = Event::new("A")
            .kind("k")
            .stages(Stages::Both)
            .bodies(Bodies::None)
            .level(Level::Debug)
            .delivery(Delivery::Lossy)
            .client_ends_stream()
            .unauthenticated_bodies()
            .mask_values_under("secrets")
            .plugin("p")
            .service("s")
            .component("c");
        let policy = compile_event(event).unwrap().0;
        assert_eq!(
            (policy.kind(), policy.stages(), policy.level()),
            (Some("k"), Some(Stages::Both), Some(Level::Debug))
        );
        assert_eq!((policy.delivery(), policy.bodies()), (Some(Delivery::Lossy), Bodies::None));
        assert_eq!((policy.stream_end(), policy.strangers()), (StreamEnd::Client, Strangers::Shown));
        assert_eq!((policy.plugin(), policy.service(), policy.component()), (Some("p"), Some("s"), Some("c")));
        assert_eq!(policy.value_masks(), ["secrets"]);
    }

    #[test]
    fn names_follow_their_rule() {
        for name in ["", "a b", "ä", "a/b", &"x".repeat(129)] {
            assert!(problem(Event::new(name.to_owned())).contains("has to be 1 to 128"), "{name}");
        }
        assert!(problem(Event::new("AuditStarted")).contains("reserved"));
        assert!(compile_event(Event::new("x".repeat(128))).is_ok());
        assert!(compile_event(Event::new("PasswordAudit")).is_ok());
    }

    #[test]
    fn a_pointer_captures_a_body_that_is_not_shown() {
        let captures = |event: Event| compile_event(event).unwrap().0.captures();
        let hidden = || Event::new("A").bodies(Bodies::None);
        assert_eq!(captures(hidden()), Bodies::None);
        assert_eq!(captures(hidden().meta("a", Source::request_body("/a"))), Bodies::Request);
        assert_eq!(captures(hidden().meta("a", Source::template("{/a}"))), Bodies::Request);
        assert_eq!(captures(hidden().meta("a", Source::response_body("/a"))), Bodies::Response);
        assert_eq!(captures(Event::new("A").meta("a", Source::response_body("/a"))), Bodies::Both);
        assert_eq!(captures(hidden().meta("a", Source::param("a")).meta("b", Source::value(1))), Bodies::None);
    }

    #[test]
    fn sources_of_one_key_are_asked_in_their_order() {
        let event = Event::new("A")
            .meta("id", Source::param("id"))
            .meta("flag", Source::value(true))
            .meta("id", Source::response_body("/id"));
        let policy = compile_event(event).unwrap().0;
        let keys: Vec<_> = policy.meta().iter().map(|field| (&*field.key, field.sources.len())).collect();
        assert_eq!(keys, [("id", 2), ("flag", 1)]);
        assert!(matches!(policy.meta()[0].sources[..], [MetaSource::Param(_), MetaSource::ResponseBody(_)]));
        assert!(matches!(&policy.meta()[1].sources[..], [MetaSource::Value(value)] if *value == true));
    }

    #[test]
    fn all_problems_come_at_once_and_name_the_event() {
        let event = Event::new("Bad")
            .message("{who}")
            .meta("", Source::value(1))
            .meta("id", Source::request_body("id"))
            .mask_values_under("");
        let problem = problem(event);
        for part in [
            "`{who}` is no placeholder",
            "1 to 128 bytes",
            "`meta` key `id`: JSON Pointer",
            "`mask_values_under` needs a name",
        ] {
            assert!(problem.contains(part), "{problem}");
        }
        assert_eq!(problem.matches("event `Bad`").count(), 4);
    }

    #[test]
    fn an_event_next_to_a_route_has_no_route_and_a_completion() {
        assert!(problem(Event::new("A").on(Method::GET, "/a")).contains("`GET /a`"));
        assert!(problem(Event::new("A").stages(Stages::Initiation)).contains("each request has its completion"));
    }

    #[test]
    fn a_long_list_of_problems_is_cut() {
        let problems: Vec<_> = (0..10).map(|index| format!("problem {index}")).collect();
        let text = finish(&problems).unwrap_err().to_string();
        assert!(text.ends_with("problem 7; and 2 more"), "{text}");
    }
}
