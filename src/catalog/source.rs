//! Where a value of `meta` comes from.

use std::borrow::Cow;

use serde_json::Value;

use super::message::{Piece, pieces};
use crate::json::Pointer;

/// Where a value of a record's `meta` comes from: given to [`Event::meta`](crate::Event::meta).
///
/// If a source finds no value, the next source of the same key is used. The value is redacted like everything else in a
/// record.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a source does nothing until an event has it"]
pub struct Source(Raw);

/// As given; checked when the auditor is built.
#[derive(Clone, Debug, PartialEq)]
enum Raw {
    Param(Cow<'static, str>),
    Query(Cow<'static, str>),
    RequestBody(Cow<'static, str>),
    ResponseBody(Cow<'static, str>),
    Template(Cow<'static, str>),
    Object(Vec<(Cow<'static, str>, Source)>),
    Value(Value),
}

impl Source {
    /// A parameter of the path, percent-decoded: `taskId` of `/v2/tasks/{taskId}`.
    pub fn param(name: impl Into<Cow<'static, str>>) -> Self {
        Self(Raw::Param(name.into()))
    }

    /// A field of the query, decoded; an array of strings if it occurs more than once.
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

    /// A text with placeholders, such as `{kind}:{namespace}/{name}`.
    ///
    /// `{name}` is a parameter of the path, `{/kind}` a string, number or boolean of the request's body by JSON Pointer;
    /// `{{` and `}}` are braces. If a placeholder has no value, the source has none, so that an incomplete reference never
    /// looks like a complete one.
    pub fn template(template: impl Into<Cow<'static, str>>) -> Self {
        Self(Raw::Template(template.into()))
    }

    /// An object with a source for each key, to show a few fields of a body and no others.
    ///
    /// Keys whose source finds no value are left out. If all are left out, this source has no value either.
    pub fn object<K: Into<Cow<'static, str>>>(fields: impl IntoIterator<Item = (K, Source)>) -> Self {
        Self(Raw::Object(fields.into_iter().map(|(key, source)| (key.into(), source)).collect()))
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
            Raw::Object(fields) => MetaSource::Object(compile_fields(fields)?),
            Raw::Value(value) => MetaSource::Value(value),
        })
    }
}

fn compile_fields(fields: Vec<(Cow<'static, str>, Source)>) -> Result<Vec<(Cow<'static, str>, MetaSource)>, String> {
    let mut compiled: Vec<(Cow<'static, str>, MetaSource)> = Vec::with_capacity(fields.len());
    for (key, source) in fields {
        // A repeated key would make a record that stores reject.
        if compiled.iter().any(|(known, _)| *known == key) {
            return Err(format!("the object has the key `{key}` twice"));
        }
        compiled.push((key, source.compile()?));
    }
    if compiled.is_empty() {
        return Err("an object needs a key".to_owned());
    }
    Ok(compiled)
}

/// A checked [`Source`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MetaSource {
    Param(Box<str>),
    Query(Box<str>),
    RequestBody(Pointer),
    ResponseBody(Pointer),
    Template(TextTemplate),
    /// Keys whose source yields nothing are left out; it yields if any of them does.
    Object(Vec<(Cow<'static, str>, MetaSource)>),
    Value(Value),
}

impl MetaSource {
    /// Shows the path parameters that it asks for.
    pub(super) fn each_param<'s>(&'s self, visit: &mut dyn FnMut(&'s str)) {
        match self {
            Self::Param(name) => visit(name),
            Self::Template(template) => {
                for part in template.parts() {
                    if let TextPart::Param(name) = part {
                        visit(name);
                    }
                }
            }
            Self::Object(fields) => fields.iter().for_each(|(_, source)| source.each_param(visit)),
            Self::Query(_) | Self::RequestBody(_) | Self::ResponseBody(_) | Self::Value(_) => {}
        }
    }

    pub(super) fn reads_request_body(&self) -> bool {
        match self {
            Self::RequestBody(_) => true,
            Self::Template(template) => template.parts().iter().any(|part| matches!(part, TextPart::RequestBody(_))),
            Self::Object(fields) => fields.iter().any(|(_, source)| source.reads_request_body()),
            Self::Param(_) | Self::Query(_) | Self::ResponseBody(_) | Self::Value(_) => false,
        }
    }

    pub(super) fn reads_response_body(&self) -> bool {
        match self {
            Self::ResponseBody(_) => true,
            Self::Object(fields) => fields.iter().any(|(_, source)| source.reads_response_body()),
            Self::Param(_) | Self::Query(_) | Self::RequestBody(_) | Self::Template(_) | Self::Value(_) => false,
        }
    }
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

    fn reads(source: Source) -> (Vec<String>, bool, bool) {
        let source = source.compile().unwrap();
        let mut params = Vec::new();
        source.each_param(&mut |name| params.push(name.to_owned()));
        (params, source.reads_request_body(), source.reads_response_body())
    }

    #[test]
    fn a_source_knows_what_it_reads() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(reads(Source::param("id")), (names(&["id"]), false, false));
        assert_eq!(reads(Source::query("id")), (names(&[]), false, false));
        assert_eq!(reads(Source::request_body("/id")), (names(&[]), true, false));
        assert_eq!(reads(Source::response_body("/id")), (names(&[]), false, true));
        assert_eq!(reads(Source::template("{kind}:{/metadata/name}")), (names(&["kind"]), true, false));
        assert_eq!(reads(Source::template("{kind}:{{x}}")), (names(&["kind"]), false, false));
        let object = Source::object([
            ("a", Source::param("a")),
            ("b", Source::response_body("/b")),
            ("c", Source::object([("d", Source::template("{d}{/e}"))])),
        ]);
        assert_eq!(reads(object), (names(&["a", "d"]), true, true));
    }

    #[test]
    fn an_object_has_each_key_once() {
        let twice = Source::object([("a", Source::param("a")), ("a", Source::param("b"))]);
        assert!(twice.compile().unwrap_err().contains("`a` twice"));
        assert!(Source::object::<&str>([]).compile().unwrap_err().contains("needs a key"));
        assert!(Source::object([("a", Source::request_body("x"))]).compile().is_err());
    }
}
