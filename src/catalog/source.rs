//! Where a value of `meta` comes from.

use std::borrow::Cow;

use serde_json::Value;

use super::message::{Piece, pieces};

/// Where a value of a record's `meta` comes from: given to [`Event::meta`](crate::Event::meta).
///
/// A source that finds nothing yields nothing; the next source of the same key is asked then.
/// What it finds goes through redaction like everything else in a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Source(Raw);

/// As given; checked when the auditor is built.
#[derive(Clone, Debug, PartialEq)]
enum Raw {
    Param(Cow<'static, str>),
    Query(Cow<'static, str>),
    RequestBody(Cow<'static, str>),
    ResponseBody(Cow<'static, str>),
    Template(Cow<'static, str>),
    Value(Value),
}

impl Source {
    /// A parameter of the path, percent-decoded: `taskId` of `/v2/tasks/{taskId}`.
    pub fn param(name: impl Into<Cow<'static, str>>) -> Self {
        Self(Raw::Param(name.into()))
    }

    /// A field of the query, decoded; an array of strings where it stands more than once.
    pub fn query(name: impl Into<Cow<'static, str>>) -> Self {
        Self(Raw::Query(name.into()))
    }

    /// A value inside the request's body, by [JSON Pointer](https://www.rfc-editor.org/rfc/rfc6901); `""` is the body.
    ///
    /// The body is then captured even if the record does not show it.
    pub fn request_body(pointer: impl Into<Cow<'static, str>>) -> Self {
        Self(Raw::RequestBody(pointer.into()))
    }

    /// A value inside the response's body, by [JSON Pointer](https://www.rfc-editor.org/rfc/rfc6901); `""` is the body.
    ///
    /// The body is then captured even if the record does not show it. An initiation never has it.
    pub fn response_body(pointer: impl Into<Cow<'static, str>>) -> Self {
        Self(Raw::ResponseBody(pointer.into()))
    }

    /// A text put together: `{kind}:{namespace}/{name}`.
    ///
    /// `{name}` is a parameter of the path, `{/kind}` a string, number or boolean of the request's body by JSON
    /// Pointer; `{{` and `}}` stand for braces. It yields only where every placeholder has a value, so that a
    /// half-known reference never looks like a whole one.
    pub fn template(template: impl Into<Cow<'static, str>>) -> Self {
        Self(Raw::Template(template.into()))
    }

    /// The same value on every record of the event.
    pub fn value(value: impl Into<Value>) -> Self {
        Self(Raw::Value(value.into()))
    }

    pub(super) fn compile(self) -> Result<MetaSource, String> {
        Ok(match self.0 {
            Raw::Param(name) if name.is_empty() => return Err("a path parameter needs a name".to_owned()),
            Raw::Param(name) => MetaSource::Param(name.into()),
            Raw::Query(name) if name.is_empty() => return Err("a query field needs a name".to_owned()),
            Raw::Query(name) => MetaSource::Query(name.into()),
            Raw::RequestBody(pointer) => MetaSource::RequestBody(Pointer::parse(&pointer)?),
            Raw::ResponseBody(pointer) => MetaSource::ResponseBody(Pointer::parse(&pointer)?),
            Raw::Template(template) => MetaSource::Template(TextTemplate::parse(&template)?),
            Raw::Value(value) => MetaSource::Value(value),
        })
    }
}

/// A checked [`Source`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MetaSource {
    Param(Box<str>),
    Query(Box<str>),
    RequestBody(Pointer),
    ResponseBody(Pointer),
    Template(TextTemplate),
    Value(Value),
}

impl MetaSource {
    /// The path parameters that it asks for.
    pub(super) fn params(&self) -> impl Iterator<Item = &str> {
        let parts = match self {
            Self::Template(template) => template.parts(),
            _ => &[],
        };
        let own = match self {
            Self::Param(name) => Some(&**name),
            _ => None,
        };
        own.into_iter().chain(parts.iter().filter_map(|part| match part {
            TextPart::Param(name) => Some(&**name),
            TextPart::Text(_) | TextPart::RequestBody(_) => None,
        }))
    }

    pub(super) fn reads_request_body(&self) -> bool {
        match self {
            Self::RequestBody(_) => true,
            Self::Template(template) => template.parts().iter().any(|part| matches!(part, TextPart::RequestBody(_))),
            Self::Param(_) | Self::Query(_) | Self::ResponseBody(_) | Self::Value(_) => false,
        }
    }

    pub(super) fn reads_response_body(&self) -> bool {
        matches!(self, Self::ResponseBody(_))
    }
}

/// A checked JSON Pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    text: Box<str>,
    tokens: Box<[Box<str>]>,
}

impl Pointer {
    fn parse(text: &str) -> Result<Self, String> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(format!("JSON Pointer `{text}` has to be empty or begin with `/`"));
        }
        let tokens: Result<Box<[_]>, String> = text.split('/').skip(1).map(|token| unescape(token, text)).collect();
        Ok(Self { text: text.into(), tokens: tokens? })
    }

    /// The pointer as written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Its keys, unescaped, from the outside in; none for the whole document.
    pub(crate) fn tokens(&self) -> &[Box<str>] {
        &self.tokens
    }
}

fn unescape(token: &str, pointer: &str) -> Result<Box<str>, String> {
    let mut pieces = token.split('~');
    let mut key = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (character, rest) = match piece.as_bytes().first() {
            Some(b'0') => ('~', &piece[1..]),
            Some(b'1') => ('/', &piece[1..]),
            _ => return Err(format!("JSON Pointer `{pointer}`: `~` has to be written as `~0` (and `/` as `~1`)")),
        };
        key.push(character);
        key.push_str(rest);
    }
    Ok(key.into())
}

/// A checked text of [`Source::template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextTemplate(Vec<TextPart>);

/// A part of a [`TextTemplate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextPart {
    /// Stands as it is.
    Text(Box<str>),
    /// A parameter of the path, decoded.
    Param(Box<str>),
    /// A scalar of the request's body.
    RequestBody(Pointer),
}

impl TextTemplate {
    fn parse(template: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        for piece in pieces(template) {
            parts.push(match piece.map_err(|problem| format!("template `{template}`: {problem}"))? {
                Piece::Text(text) => TextPart::Text(text.into()),
                Piece::Name("") => return Err(format!("template `{template}`: a placeholder needs a name")),
                Piece::Name(pointer) if pointer.starts_with('/') => TextPart::RequestBody(Pointer::parse(pointer)?),
                Piece::Name(name) => TextPart::Param(name.into()),
            });
        }
        Ok(Self(parts))
    }

    pub(crate) fn parts(&self) -> &[TextPart] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_split_and_unescaped() {
        let pointer = Pointer::parse("/a~1b//c~0d~01/0").unwrap();
        assert_eq!(pointer.tokens().iter().map(|token| &**token).collect::<Vec<_>>(), ["a/b", "", "c~d~1", "0"]);
        assert_eq!(pointer.as_str(), "/a~1b//c~0d~01/0");
        assert!(Pointer::parse("").unwrap().tokens().is_empty());
        assert_eq!(Pointer::parse("/").unwrap().tokens().len(), 1);
    }

    #[test]
    fn malformed_sources_are_refused() {
        for (source, reason) in [
            (Source::request_body("id"), "begin with `/`"),
            (Source::response_body("/a~2"), "`~0`"),
            (Source::response_body("/a~"), "`~0`"),
            (Source::template("{a"), "without its `}`"),
            (Source::template("{}"), "needs a name"),
            (Source::template("{/a~}"), "`~0`"),
            (Source::param(""), "needs a name"),
            (Source::query(""), "needs a name"),
        ] {
            let problem = source.clone().compile().unwrap_err();
            assert!(problem.contains(reason), "{source:?}: {problem}");
        }
    }

    #[test]
    fn a_template_knows_what_it_reads() {
        let source = Source::template("{kind}:{/metadata/name}").compile().unwrap();
        assert_eq!(source.params().collect::<Vec<_>>(), ["kind"]);
        assert!(source.reads_request_body() && !source.reads_response_body());
        let source = Source::template("{kind}:{{x}}").compile().unwrap();
        assert!(!source.reads_request_body());
        let source = Source::param("id").compile().unwrap();
        assert_eq!(source.params().collect::<Vec<_>>(), ["id"]);
    }
}
