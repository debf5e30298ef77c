//! Message templates: one sentence for a person, with the values of its record filled in.

/// The value that a placeholder names. Only the record knows that value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Placeholder {
    /// `{actor}`: the actor's id; `somebody` where nobody is known.
    Actor,
    /// `{actor.name}`: the actor's name, or else its id; `somebody` where nobody is known.
    ActorName,
    /// `{credential}`: which key acted, in the words of its `Display`.
    Credential,
    /// `{object}`: kind, name or id, and version of what was acted on.
    Object,
    /// `{target}`: the same of its parent or container.
    Target,
    /// `{scope}`: kind and path of the scope.
    Scope,
    /// `{context}`: how it was done.
    Context,
    /// `{event}`: the event's name.
    Event,
    /// `{method}`: the request's method.
    Method,
    /// `{path}`: the path as sent, redacted.
    Path,
    /// `{route}`: the template of the route that matched.
    Route,
    /// `{params.NAME}`: a parameter of the path.
    Param(Box<str>),
    /// `{meta.KEY}`: a value of `meta`.
    Meta(Box<str>),
    /// `{stage}`: `initiation` or `completion`.
    Stage,
    /// `{status}`: the record's status, which is `succeeded` for an initiation.
    Status,
    /// `{outcome}`: how the request ended.
    Outcome,
    /// `{result}`: `initiated` at the first stage, at the second `succeeded` or `failed`: what a sentence ends with.
    Result,
    /// `{response.status}`: the status code of the response.
    ResponseStatus,
}

const ALLOWED: &str = "{actor}, {actor.name}, {credential}, {object}, {target}, {scope}, {context}, {event}, {method}, \
                       {path}, {route}, {params.NAME}, {meta.KEY}, {stage}, {status}, {outcome}, {result}, \
                       {response.status}";

/// A checked message template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Value(Placeholder),
}

impl Message {
    pub(super) fn parse(template: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        for piece in pieces(template) {
            parts.push(match piece.map_err(|problem| format!("message `{template}`: {problem}"))? {
                Piece::Text(text) => Part::Text(text.into()),
                Piece::Name(name) => Part::Value(Placeholder::parse(name).ok_or_else(|| {
                    format!("message `{template}`: `{{{name}}}` is no placeholder; there are {ALLOWED}")
                })?),
            });
        }
        Ok(Self { parts })
    }

    /// The message of an event that names none.
    pub(super) fn of_events() -> Self {
        Self::parse("{event} by {actor} {result}").expect("a template of ours parses")
    }

    /// The message of requests that no event claims.
    pub(super) fn of_unmatched() -> Self {
        Self::parse("{method} {path} by {actor} {result}").expect("a template of ours parses")
    }

    /// Appends the message to `out`; `lookup` appends the value of a placeholder, or nothing where there is none.
    ///
    /// The values have been through redaction: what is rendered is not looked at again.
    pub(crate) fn render(&self, out: &mut String, lookup: &mut dyn FnMut(&Placeholder, &mut String)) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(placeholder) => {
                    let before = out.len();
                    lookup(placeholder, out);
                    if out.len() == before {
                        out.push_str(placeholder.absent());
                    }
                }
            }
        }
    }

    /// The names behind `{params.NAME}`.
    pub(super) fn params(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(Placeholder::Param(name)) => Some(&**name),
            Part::Value(_) | Part::Text(_) => None,
        })
    }
}

impl Placeholder {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "actor" => Self::Actor,
            "actor.name" => Self::ActorName,
            "credential" => Self::Credential,
            "object" => Self::Object,
            "target" => Self::Target,
            "scope" => Self::Scope,
            "context" => Self::Context,
            "event" => Self::Event,
            "method" => Self::Method,
            "path" => Self::Path,
            "route" => Self::Route,
            "stage" => Self::Stage,
            "status" => Self::Status,
            "outcome" => Self::Outcome,
            "result" => Self::Result,
            "response.status" => Self::ResponseStatus,
            _ => match name.split_once('.') {
                Some(("params", param)) if !param.is_empty() => Self::Param(param.into()),
                Some(("meta", key)) if !key.is_empty() => Self::Meta(key.into()),
                _ => return None,
            },
        })
    }

    /// What stands where the record has no value, so that the sentence stays one.
    fn absent(&self) -> &'static str {
        match self {
            Self::Actor | Self::ActorName => "somebody",
            Self::Credential => "no credential",
            _ => "unknown",
        }
    }
}

/// A piece of a template with `{name}` placeholders, in which doubled braces stand for themselves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    Name(&'t str),
}

/// Splits a template; the first malformed piece is the last item.
pub(super) fn pieces(template: &str) -> impl Iterator<Item = Result<Piece<'_>, &'static str>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let brace = rest.find(['{', '}']).unwrap_or(rest.len());
        if brace > 0 {
            let (text, behind) = rest.split_at(brace);
            rest = behind;
            return Some(Ok(Piece::Text(text)));
        }
        if rest.starts_with("{{") || rest.starts_with("}}") {
            let text = &rest[..1];
            rest = &rest[2..];
            return Some(Ok(Piece::Text(text)));
        }
        let name = rest.strip_prefix('{').and_then(|behind| behind.split_once('}'));
        let Some((name, behind)) = name else {
            let problem = if rest.starts_with('{') { "a `{` without its `}`" } else { "a `}` without its `{`" };
            rest = "";
            return Some(Err(problem));
        };
        rest = behind;
        Some(Ok(Piece::Name(name)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(template: &str) -> String {
        let mut out = String::new();
        Message::parse(template).unwrap().render(&mut out, &mut |placeholder, out| match placeholder {
            Placeholder::Meta(key) if **key == *"taskId" => out.push_str("42"),
            Placeholder::Param(name) => out.push_str(&format!("<{name}>")),
            Placeholder::Outcome => out.push_str("completed"),
            Placeholder::ResponseStatus => out.push_str("201"),
            _ => {}
        });
        out
    }

    #[test]
    fn values_stand_where_their_placeholders_stood() {
        assert_eq!(
            render("{actor} created task {meta.taskId} ({outcome}, {response.status})"),
            "somebody created task 42 (completed, 201)"
        );
        assert_eq!(render("{params.id}{{not}} {meta.other.key}"), "<id>{not} unknown");
        assert_eq!(render(""), "");
        assert_eq!(render("no placeholder, é"), "no placeholder, é");
    }

    #[test]
    fn an_unknown_placeholder_is_refused_with_those_that_exist() {
        for template in ["{who}", "{params.}", "{meta}", "{}", "{Actor}", "{ actor }"] {
            let problem = Message::parse(template).unwrap_err();
            assert!(problem.contains("is no placeholder; there are {actor}, {actor.name}"), "{problem}");
        }
    }

    #[test]
    fn every_allowed_placeholder_parses() {
        for name in ALLOWED.split(", ") {
            let message = Message::parse(name).unwrap();
            assert!(matches!(message.parts.as_slice(), [Part::Value(_)]), "{name}");
        }
    }

    #[test]
    fn braces_without_their_other_half_are_refused() {
        assert!(Message::parse("{actor").unwrap_err().contains("without its `}`"));
        assert!(Message::parse("actor}").unwrap_err().contains("without its `{`"));
    }

    #[test]
    fn an_event_without_a_message_has_one() {
        let mut out = String::new();
        Message::of_events().render(&mut out, &mut |_, _| {});
        assert_eq!(out, "unknown by somebody unknown");
        let mut out = String::new();
        Message::of_unmatched().render(&mut out, &mut |placeholder, out| match placeholder {
            Placeholder::Method => out.push_str("GET"),
            Placeholder::Path => out.push_str("/x"),
            Placeholder::Result => out.push_str("failed"),
            _ => {}
        });
        assert_eq!(out, "GET /x by somebody failed");
    }

    proptest! {
        #[test]
        fn no_template_panics(template in "[{}a.é]{0,16}") {
            let _ = Message::parse(&template);
        }
    }
}
