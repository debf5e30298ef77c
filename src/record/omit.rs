//! What a record shows when an output leaves groups of fields out: of its JSON, its URL and its message.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_core::de::IgnoredAny;

use super::finished::Request;
use super::{FieldGroup, FieldValue, Record};
use crate::json::{InString, elements, members, push_json_string, unescape, without_members};

impl<'r> Record<'r> {
    /// The message with the path as the URL shows it, unless it has another value that is left out.
    pub(super) fn shown_message(&self, message: &'r str) -> Option<Cow<'r, str>> {
        let omits_values = self.omitted.has_names() || !self.shows(FieldGroup::Location);
        if !omits_values || self.is_internal() {
            return Some(message.into());
        }
        let path = self.request().map_or("", |request| self.text.get(request.path));
        let shown_path = self.shown_path().unwrap_or_default();
        let is_masked = *path != *shown_path;
        let shown = if is_masked { message.replace(path, &shown_path).into() } else { Cow::Borrowed(message) };
        // What a shortened line no longer has may be in its message.
        let is_shortened = self.fields.meta.iter().any(|(key, _)| self.text.get(*key) == "shortened")
            || self.request().is_some_and(|request| request.url_len() >= Request::MAX_URL);
        let segments = path.split('/').zip(shown_path.split('/')).filter(|(sent, shown)| sent != shown);
        let mut values = self.left_out().into_iter().chain(segments.map(|(sent, _)| sent.into()));
        let names = |value: Cow<'_, str>| !value.is_empty() && shown.contains(&*value);
        (!is_shortened && !values.any(names)).then_some(shown)
    }

    /// The values that are left out by name and that a message could have.
    fn left_out(&self) -> Vec<Cow<'r, str>> {
        let Self { text, fields, omitted, .. } = *self;
        let context = fields.context.as_ref();
        let repository = context.and_then(|context| context.repository).filter(|_| !self.shows(FieldGroup::Repository));
        let namespace = context.and_then(|context| context.namespace).filter(|_| !self.shows(FieldGroup::Namespace));
        let mut values: Vec<Cow<'r, str>> =
            [repository, namespace].into_iter().flatten().map(|piece| text.get(piece).into()).collect();
        let params = self.request().and_then(|request| text.some(request.params));
        let meta = fields.meta.iter().map(|(key, value)| (text.get(*key), text.get(*value)));
        for (key, value) in params.into_iter().flat_map(members).chain(meta) {
            if omitted.has_name(key) || !self.shows(FieldGroup::Location) && key == "edge" {
                values.extend(elements(value).chain([value]).map(text_of));
            } else if *self.without_names(value) != *value {
                values.push(value.into());
            }
        }
        values
    }

    /// JSON without the members that are left out by name, at any depth.
    pub(crate) fn without_names(&self, json: &'r str) -> Cow<'r, str> {
        let omitted = self.omitted;
        if !omitted.has_names() || !json.starts_with(['{', '[']) {
            return Cow::Borrowed(json);
        }
        without_members(json, |key| omitted.has_name(key)).unwrap_or_else(|| "null".to_owned()).into()
    }

    /// The same of the query's parameters, and without those that are more than one where semicolons separate them, if one of these
    /// is left out.
    pub(super) fn without_names_in_query(&self, query: &'r str) -> Cow<'r, str> {
        if !self.omitted.has_names() || !query.contains(';') {
            return self.without_names(query);
        }
        let names = |pair: &str| self.omitted.has_name(pair.split_once('=').map_or(pair, |(name, _)| name));
        let is_left_out = |(key, value): &(String, &str)| {
            let mut texts = elements(value).chain([*value]).map(text_of);
            key.split(';').any(names) || texts.any(|text| text.split(';').skip(1).any(names))
        };
        let unescaped = members(query).filter_map(|(key, value)| Some((unescape(key)?, value)));
        let keys: HashSet<Box<str>> = unescaped.filter(is_left_out).map(|(key, _)| key.into()).collect();
        without_members(query, |key| keys.contains(key)).unwrap_or_else(|| "null".to_owned()).into()
    }

    /// The same of a body, which may be the text of JSON (`BodyAs::String`): that of a line that was read back. None if it is
    /// only a beginning, and may name what is left out.
    pub(crate) fn without_names_in_body(&self, json: &'r str) -> Option<Cow<'r, str>> {
        let inside = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let Some(text) = inside.filter(|_| self.omitted.has_names()).map(|raw| unescape(raw).unwrap_or_default())
        else {
            return Some(self.without_names(json));
        };
        if !text.trim_start().starts_with(['{', '[']) {
            return Some(json.into());
        }
        if serde_json::from_str::<IgnoredAny>(&text).is_err() {
            let may_name = text.contains("\\u") || self.omitted.names().any(|name| text.contains(name));
            return (!may_name).then_some(json.into());
        }
        let packed = without_space(&text);
        let shown = without_members(&packed, |key| self.omitted.has_name(key))?;
        if shown == packed {
            return Some(json.into());
        }
        let mut string = String::new();
        push_json_string(&mut string, &shown);
        Some(string.into())
    }

    /// The path, with the segments masked that are bound to a parameter which is left out.
    pub(crate) fn shown_path(&self) -> Option<Cow<'r, str>> {
        let path = self.text.get(self.request()?.path);
        let Some(route) = self.route().filter(|_| self.omitted.has_names()) else { return Some(path.into()) };
        Some(masked_path(path, route, |name| self.omitted.has_name(name)).into())
    }

    /// The referer. Where names are left out, the values of such query parameters are masked, and so is the path, of a page of any
    /// host: what its segments are bound to is known of no route but this request's, and other routes fit the same paths.
    pub(super) fn shown_referer(&self, referer: &'r str) -> Cow<'r, str> {
        if !self.omitted.has_names() {
            return referer.into();
        }
        let url = referer.split_once('#').map_or(referer, |(url, _)| url);
        let (url, query) = url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query)));
        let (origin, path) = origin_and_path(url);
        let path = match self.route().filter(|route| fits(path, route)) {
            _ if matches!(path, "" | "/") => Cow::Borrowed(path),
            Some(route) => masked_path(path, route, |_| true).into(),
            None => Cow::Borrowed(if origin.is_empty() && !path.starts_with('/') { MASK } else { MASKED_PATH }),
        };
        let query = query.map(|query| self.shown_query(query));
        let query = query.as_deref().map_or(["", ""], |query| ["?", query]);
        [origin, &path, query[0], query[1]].concat().into()
    }

    /// A query, with the values masked of parameters that are left out. Some servers take semicolons for ampersands.
    pub(super) fn shown_query(&self, query: &'r str) -> Cow<'r, str> {
        if !self.omitted.has_names() {
            return query.into();
        }
        let masked = |pair: &'r str| {
            let (name, _) = pair.split_once('=')?;
            let decoded = name.replace('+', " ");
            let decoded = percent_encoding::percent_decode_str(&decoded).decode_utf8_lossy();
            self.omitted.has_name(&decoded).then(|| [name, "=", MASK].concat())
        };
        // What is a value up to the next ampersand is masked as a whole.
        let shown = |pair: &'r str| -> Cow<'r, str> {
            let part = |part: &'r str| masked(part).map_or(Cow::Borrowed(part), Cow::Owned);
            masked(pair).unwrap_or_else(|| pair.split(';').map(part).collect::<Vec<_>>().join(";")).into()
        };
        query.split('&').map(shown).collect::<Vec<_>>().join("&").into()
    }
}

/// The path, with those segments masked that the route binds to parameters with such names.
fn masked_path(path: &str, route: &str, masks: impl Fn(&str) -> bool) -> String {
    let mut bound = route.split('/').map(|segment| (bound_name(segment).is_some_and(&masks), is_rest(segment)));
    let (mut segments, mut masks_rest) = (Vec::new(), false);
    for segment in path.split('/') {
        let (is_masked, takes_rest) = bound.next().unwrap_or_default();
        masks_rest |= is_masked && takes_rest;
        segments.push(if is_masked || masks_rest { MASK } else { segment });
    }
    segments.join("/")
}

/// The parameter that a segment of a template binds.
fn bound_name(segment: &str) -> Option<&str> {
    segment.rsplit_once(['{', ':', '*']).map(|(_, name)| name.trim_end_matches('}'))
}

/// Whether a segment of a template stands for all further ones.
fn is_rest(segment: &str) -> bool {
    segment.contains("{*") || segment.starts_with('*')
}

/// Whether a path could be one of the route.
fn fits(path: &str, route: &str) -> bool {
    let mut segments = path.split('/');
    for bound in route.split('/') {
        let Some(segment) = segments.next() else { return false };
        if is_rest(bound) {
            return true;
        }
        if bound_name(bound).is_none() && segment != bound {
            return false;
        }
    }
    segments.next().is_none()
}

/// Scheme and authority of a URL, and the rest; a relative one has neither.
fn origin_and_path(url: &str) -> (&str, &str) {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| !scheme.contains('/')) else {
        return ("", url);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    url.split_at(scheme.len() + "://".len() + end)
}

/// A string without its quotes, anything else as JSON text.
fn text_of(json: &str) -> Cow<'_, str> {
    match FieldValue::of_json(json.into()) {
        FieldValue::Text(text) | FieldValue::Json(text) => text,
    }
}

/// Valid JSON without white space between its tokens.
fn without_space(json: &str) -> String {
    let mut state = InString::default();
    let is_kept = |char: &char| {
        let mut bytes = [0; 4];
        let is_inside = char.encode_utf8(&mut bytes).bytes().fold(false, |_, byte| state.take(byte));
        is_inside || !char.is_ascii_whitespace()
    };
    json.chars().filter(is_kept).collect()
}

/// Replaces what is left out of a URL.
const MASK: &str = "***";
/// Replaces a path whose segments are bound to names that are not known.
const MASKED_PATH: &str = "/***";

#[cfg(feature = "testing")]
#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::format::sample::line;
    use crate::record::{FieldGroup, FieldGroups};

    #[test]
    fn a_referer_shows_no_name_that_is_left_out() {
        let mut omitted = FieldGroups::default();
        omitted.extend(&[FieldGroup::Repository]);
        for (referer, shown) in [
            // By the route of this request.
            ("https://hub.example/repos/acme/tags", "https://hub.example/repos/***/tags"),
            (
                "https://HUB.example:8443/repos/acme/tags?repo=acme&x=1#acme",
                "https://HUB.example:8443/repos/***/tags?repo=***&x=1",
            ),
            ("/repos/acme/tags", "/repos/***/tags"),
            // Another route, whose template is not known.
            ("https://hub.example/repos/acme", "https://hub.example/***"),
            ("https://hub.example/acme/repos/tags?page=2", "https://hub.example/***?page=2"),
            ("https://u@hub.example/acme", "https://u@hub.example/***"),
            ("acme/x", "***"),
            ("https://hub.example/", "https://hub.example/"),
            ("https://hub.example", "https://hub.example"),
            // Any other host, which may be this one behind a proxy.
            ("https://outside.example/repos/acme/tags", "https://outside.example/repos/***/tags"),
            ("https://outside.example/repos/acme", "https://outside.example/***"),
            ("https://search.example/?repository=acme", "https://search.example/?repository=***"),
            ("//hub.example/acme", "/***"),
            // Some servers take semicolons for ampersands, others for a part of the value.
            ("https://hub.example/?a=1;repo=acme;b=2", "https://hub.example/?a=1;repo=***;b=2"),
            ("https://hub.example/?repo=acme;npm&b=2", "https://hub.example/?repo=***&b=2"),
            ("https://hub.example/?a=1;%72epo=acme;repository", "https://hub.example/?a=1;%72epo=***;repository"),
        ] {
            let read = line(&json!({
                "actor": { "actorId": "u", "hostname": "hub.example" },
                "request": {
                    "method": "GET", "protocol": "HTTP/2", "url": "/repos/acme/tags", "route": "/repos/{repo}/tags",
                    "referer": referer,
                },
            }));
            assert_eq!(read.record().referer().as_deref(), Some(referer));
            assert_eq!(read.record().without(omitted).referer().as_deref(), Some(shown));
        }
    }

    #[test]
    fn a_query_shows_no_name_that_stands_behind_a_semicolon() {
        let mut omitted = FieldGroups::default();
        omitted.extend(&[FieldGroup::Repository]);
        let read = line(&json!({ "request": {
            "method": "GET", "protocol": "HTTP/2", "url": "/x?a=1;repo=acme&b=;2&c=0&c=1;repository=acme&d%22;repo=acme&repo=acme",
            "query": {
                "a": "1;repo=acme", "b": ";2", "c": ["0", "1;repository=acme"], "d\";repo": "acme", "repo": "acme",
                "e": "repo;f=1",
            },
        }}));
        let record = read.record().without(omitted);
        assert_eq!(record.query().as_deref(), Some(r#"{"b":";2","e":"repo;f=1"}"#));
        assert_eq!(record.url().as_deref(), Some("/x?a=1;repo=***&b=;2&c=0&c=1;repository=***&d%22;repo=***&repo=***"));
        assert!(read.record().query().is_some_and(|query| query.contains("1;repo=acme")));
    }

    #[test]
    fn a_route_that_fits_many_paths_shows_no_segment_that_it_binds() {
        let mut omitted = FieldGroups::default();
        omitted.extend(&[FieldGroup::Repository]);
        for (route, shown) in [
            ("/{*path}", "/***/***/***"),
            ("/repos/{*path}", "/repos/***/***"),
            ("/{a}/{b}/{c}", "/***/***/***"),
            ("/repos/:name/*rest", "/repos/***/***"),
            ("/{a}/{b}", "/***"),
        ] {
            let read = line(&json!({ "request": {
                "method": "GET", "protocol": "HTTP/2", "url": "/x", "route": route,
                "referer": "https://hub.example/repos/acme/tags",
            }}));
            let expected = ["https://hub.example", shown].concat();
            assert_eq!(read.record().without(omitted).referer().as_deref(), Some(&*expected), "{route}");
        }
    }

    #[test]
    fn a_referer_of_a_request_without_host_and_route_has_no_path() {
        let mut omitted = FieldGroups::default();
        omitted.extend(&[FieldGroup::Namespace]);
        let request =
            json!({ "method": "GET", "protocol": "HTTP/1.0", "url": "/", "referer": "http://a.example/acme/b" });
        let read = line(&json!({ "request": request }));
        assert_eq!(read.record().without(omitted).referer().as_deref(), Some("http://a.example/***"));
        let mut others = FieldGroups::default();
        others.extend(&[FieldGroup::UserAgent, FieldGroup::Addresses]);
        assert_eq!(read.record().without(others).referer().as_deref(), Some("http://a.example/acme/b"));
    }
}
