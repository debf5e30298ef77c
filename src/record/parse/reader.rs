//! Objects of a line → the structs of a record, whose texts are pieces of the line.

use std::borrow::Cow;

use http::{StatusCode, Version};

use super::value::{Read, bad, ip, known, number, string};
use crate::json::members;
use crate::record::UserAgentKey;
use crate::record::finished::{
    Address, Body, ErrorEntry, ErrorText, Identity, Key, Owner, Place, Request, Response, Route, Thing,
};
use crate::record::wire::protocol;
use crate::redact::{Piece, ReadBack, Reason};

/// Most actors of one record, each acting for the next.
const MAX_ACTORS: usize = 64;

/// Makes pieces of a line.
pub(super) struct Reader<'l> {
    pub(super) line: &'l str,
    pub(super) text: ReadBack,
}

impl<'l> Reader<'l> {
    /// A value as it is in the line, which it must be a part of.
    pub(super) fn json<const C: bool, const J: bool>(&self, value: &str) -> Piece<C, J> {
        let start = (value.as_ptr() as usize).wrapping_sub(self.line.as_ptr() as usize);
        self.text.piece(start..start.saturating_add(value.len()))
    }

    pub(super) fn text<const C: bool, const J: bool>(&mut self, key: &str, value: &'l str) -> Read<Piece<C, J>> {
        Ok(self.piece(string(key, value)?))
    }

    /// A part of the line, or a text that had escapes in it.
    pub(super) fn piece<const C: bool, const J: bool>(&mut self, text: Cow<'l, str>) -> Piece<C, J> {
        match text {
            Cow::Borrowed(inside) => self.json(inside),
            Cow::Owned(text) => self.text.add(&text),
        }
    }

    pub(super) fn object(&self, key: &str, value: &'l str) -> Read<impl Iterator<Item = (&'l str, &'l str)> + use<'l>> {
        if value.starts_with('{') { Ok(members(value)) } else { Err(bad(key, "is not an object")) }
    }

    /// The address of the actor, and under which key its user agent is.
    pub(super) fn address(&mut self, actor: &'l str) -> Read<(Address, UserAgentKey)> {
        let (mut address, mut client_keys) = (Address::default(), (false, false));
        for (key, value) in self.object("actor", actor)? {
            match key {
                "ip" => address.ip = Some(ip(key, value)?),
                "port" => address.port = Some(number(key, value)?),
                "hostname" => address.hostname = Some(self.text(key, value)?),
                "client" | "userAgent" => {
                    address.client = Some(self.text(key, value)?);
                    if key == "client" { client_keys.0 = true } else { client_keys.1 = true }
                }
                "peerIp" => address.peer_ip = Some(ip(key, value)?),
                _ => {}
            }
        }
        let user_agent_key = match client_keys {
            (true, true) => UserAgentKey::Both,
            (false, true) => UserAgentKey::UserAgent,
            _ => UserAgentKey::Client,
        };
        Ok((address, user_agent_key))
    }

    /// The actor, and those on whose behalf it acts.
    pub(super) fn actors(&mut self, actor: &'l str) -> Read<Vec<Identity>> {
        let mut actors = Vec::new();
        let mut next = Some(actor);
        while let Some(actor) = next.take() {
            if actors.len() == MAX_ACTORS {
                return Err(bad("actor.onBehalfOf", "has too many levels"));
            }
            let mut identity = Identity::default();
            for (key, value) in self.object("actor", actor)? {
                match key {
                    "actorId" if value == "null" => {}
                    "actorId" => identity.id = Some(self.text(key, value)?),
                    "kind" => identity.kind = Some(self.text(key, value)?),
                    "name" => identity.name = Some(self.text(key, value)?),
                    "url" => identity.url = Some(self.text(key, value)?),
                    "slug" => identity.slug = Some(self.text(key, value)?),
                    "verified" => identity.is_unverified = value == "false",
                    "claimed" => identity.claimed = Some(self.text(key, value)?),
                    "credential" => identity.credential = Some(self.credential(value)?),
                    "location" => identity.location = Some(self.location(value)?),
                    "onBehalfOf" => next = Some(value),
                    _ => {}
                }
            }
            actors.push(identity);
        }
        Ok(actors)
    }

    fn credential(&mut self, credential: &'l str) -> Read<Key> {
        let (mut kind, mut id, mut name, mut owner) = (None, None, None, None);
        for (key, value) in self.object("actor.credential", credential)? {
            match key {
                "kind" => kind = Some(self.text(key, value)?),
                "id" => id = Some(self.text(key, value)?),
                "name" => name = Some(self.text(key, value)?),
                "owner" => owner = Some(self.text(key, value)?),
                _ => {}
            }
        }
        Ok(Key { kind: kind.ok_or_else(|| bad("actor.credential.kind", "is missing"))?, id, name, owner })
    }

    fn location(&mut self, location: &'l str) -> Read<Place> {
        let mut place = Place { city: None, country: None, continent: None };
        for (key, value) in self.object("actor.location", location)? {
            match key {
                "city" => place.city = Some(self.text(key, value)?),
                "country" => place.country = Some(self.text(key, value)?),
                "continent" => place.continent = Some(self.text(key, value)?),
                _ => {}
            }
        }
        Ok(place)
    }

    pub(super) fn thing(&mut self, of: &str, thing: &'l str) -> Read<Thing> {
        let (mut kind, mut id, mut name) = (None, None, None);
        let (mut version, mut slug, mut format) = (None, None, None);
        for (key, value) in self.object(of, thing)? {
            match key {
                "kind" => kind = Some(self.text(key, value)?),
                "id" => id = Some(self.text(key, value)?),
                "name" => name = Some(self.text(key, value)?),
                "version" => version = Some(self.text(key, value)?),
                "slug" => slug = Some(self.text(key, value)?),
                "format" => format = Some(self.text(key, value)?),
                _ => {}
            }
        }
        Ok(Thing { kind: kind.ok_or_else(|| bad(of, "has no `kind`"))?, id, name, version, slug, format })
    }

    pub(super) fn scope(&mut self, scope: &'l str) -> Read<Owner> {
        let (mut kind, mut path) = (None, None);
        for (key, value) in self.object("scope", scope)? {
            match key {
                "kind" => kind = Some(self.text(key, value)?),
                "path" => path = Some(self.text(key, value)?),
                _ => {}
            }
        }
        let missing = || bad("scope", "has no `kind` or no `path`");
        Ok(Owner { kind: kind.ok_or_else(missing)?, path: path.ok_or_else(missing)? })
    }

    pub(super) fn error(&mut self, error: &'l str) -> Read<ErrorEntry> {
        let (mut name, mut message, mut stack) = (None, None, None);
        for (key, value) in self.object("errors", error)? {
            match key {
                "name" => name = Some(self.text(key, value)?),
                "message" => message = Some(ErrorText::Application(self.text(key, value)?)),
                "stack" => stack = Some(self.text(key, value)?),
                _ => {}
            }
        }
        let missing = || bad("errors", "has one without `name` or `message`");
        Ok(ErrorEntry { name: name.ok_or_else(missing)?, message: message.ok_or_else(missing)?, stack })
    }

    pub(super) fn response(&mut self, response: &'l str) -> Read<Response> {
        let mut read = Response::default();
        for (key, value) in self.object("response", response)? {
            match key {
                "status" => {
                    let status = StatusCode::from_u16(number(key, value)?);
                    read.status = Some(status.map_err(|_| bad("response.status", "is no status"))?);
                }
                "bytes" => read.bytes = Some(number(key, value)?),
                _ => self.body(key, value, &mut read.body)?,
            }
        }
        Ok(read)
    }

    fn body(&mut self, key: &str, value: &'l str, body: &mut Body) -> Read<()> {
        match key {
            "body" => body.shown = Some(self.json(value)),
            "bodyOmitted" => {
                for (key, value) in self.object(key, value)? {
                    match key {
                        "reason" => body.omitted = Some(known(key, value, Reason::ALL, Reason::as_str)?),
                        "contentType" => body.content_type = Some(self.text(key, value)?),
                        "bytes" => body.bytes = number(key, value)?,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn request(&mut self, request: &'l str) -> Read<Request> {
        let (mut method, mut url, mut version) = (None, None, None);
        let mut read = (None, None, None, None, None, Body::default());
        for (key, value) in self.object("request", request)? {
            match key {
                "method" => method = Some(self.text(key, value)?),
                "url" => url = Some(string(key, value)?),
                "route" => read.0 = Some(Route::Reported(self.text(key, value)?)),
                "protocol" => {
                    const VERSIONS: [Version; 5] =
                        [Version::HTTP_09, Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3];
                    version = Some(known(key, value, &VERSIONS, |one| protocol(one).unwrap_or_default())?);
                }
                "referer" => read.1 = Some(self.text(key, value)?),
                "params" => read.2 = Some(self.json(value)),
                "query" => read.3 = Some(self.json(value)),
                "headers" => read.4 = Some(self.json(value)),
                _ => self.body(key, value, &mut read.5)?,
            }
        }
        let url = url.ok_or_else(|| bad("request.url", "is missing"))?;
        let (path, query) = url.split_once('?').map_or((&*url, None), |(path, query)| (path, Some(query)));
        let (route, referer, params, query_values, headers, body) = read;
        Ok(Request {
            method: method.ok_or_else(|| bad("request.method", "is missing"))?,
            path: self.text.add(path),
            url_query: query.map(|query| self.text.add(query)),
            route,
            protocol: version.ok_or_else(|| bad("request.protocol", "is missing"))?,
            referer,
            params,
            query: query_values,
            headers,
            body,
        })
    }
}
