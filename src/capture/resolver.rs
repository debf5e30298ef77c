//! Who acts, as far as the request alone shows it: what the layer asks before the handler runs.
//!
//! Authentication usually runs inside the layer and knows better; what it sets on the request replaces what a resolver
//! found. Resolvers are for servers where nobody sets an actor, and for requests that authentication refuses.
//!
//! None of them verifies anything. What a request merely claims is marked [`Actor::unverified`], and after a
//! 401 it is written as `claimed`, with `actorId` null. Names of more than 256 bytes, names with control characters and names
//! that are not UTF-8 name nobody: a shortened or cleaned name could be somebody else's.
//!
//! ```
//! use tower_audit::resolver::{self, ActorResolver, Peer};
//!
//! let (head, ()) = http::Request::get("/")
//!     .header("authorization", "Basic amFuZTpzZWNyZXQ=") // jane:secret
//!     .body(())?
//!     .into_parts();
//! let actor = resolver::basic().resolve(&head, Peer::new(None, false));
//! assert_eq!(actor.as_ref().and_then(|actor| actor.id()), Some("jane"));
//! # Ok::<(), http::Error>(())
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use http::request::Parts;

use super::key_like::looks_like_key;
use crate::record::Actor;

const MAX_NAME: usize = 256;

/// Servers limit a whole head to some such size; what is longer is not worth decoding for a name.
const MAX_CREDENTIALS: usize = 16 * 1024;

/// The other end of the connection: the client, or the last proxy before this server.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; `None` for a Unix socket, and if the server does not pass the address on.
    pub ip: Option<IpAddr>,
    /// Whether it is one of the trusted proxies, so that headers about the client's identity count.
    pub trusted: bool,
}

impl Peer {
    /// A peer, for testing a resolver.
    pub fn new(ip: Option<IpAddr>, trusted: bool) -> Self {
        Self { ip, trusted }
    }
}

/// Finds who acts in the head of a request.
///
/// Runs on the request's task before the handler does, so it must be quick and must not block; ask a database in an
/// authentication layer instead, and set the actor there. Closures become resolvers through [`actor_fn`].
pub trait ActorResolver: Send + Sync + 'static {
    /// The actor, or `None` if this resolver does not find one, so that the next one is asked.
    ///
    /// Believe headers about the client's identity only if `peer` is [trusted](Peer::trusted), and mark with
    /// [`Actor::unverified`] what nobody vouched for.
    fn resolve(&self, request: &Parts, peer: Peer) -> Option<Actor>;
}

impl<R: ActorResolver + ?Sized> ActorResolver for Box<R> {
    fn resolve(&self, request: &Parts, peer: Peer) -> Option<Actor> {
        (**self).resolve(request, peer)
    }
}

impl<R: ActorResolver + ?Sized> ActorResolver for Arc<R> {
    fn resolve(&self, request: &Parts, peer: Peer) -> Option<Actor> {
        (**self).resolve(request, peer)
    }
}

/// A closure as a resolver.
///
/// ```
/// use tower_audit::Actor;
/// use tower_audit::resolver::{self, ActorResolver, Peer};
///
/// let by_path = resolver::actor_fn(|request, _peer| {
///     request.uri.path().starts_with("/internal/").then(|| Actor::service("scheduler").unverified())
/// });
/// let (head, ()) = http::Request::get("/internal/tick").body(())?.into_parts();
/// assert_eq!(by_path.resolve(&head, Peer::new(None, false)), Some(Actor::service("scheduler").unverified()));
/// # Ok::<(), http::Error>(())
/// ```
pub fn actor_fn<F>(resolve: F) -> ActorFn<F>
where
    F: Fn(&Parts, Peer) -> Option<Actor> + Send + Sync + 'static,
{
    ActorFn(resolve)
}

/// A closure as an [`ActorResolver`]; made by [`actor_fn`].
#[derive(Clone, Copy)]
pub struct ActorFn<F>(F);

impl<F> fmt::Debug for ActorFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActorFn")
    }
}

impl<F> ActorResolver for ActorFn<F>
where
    F: Fn(&Parts, Peer) -> Option<Actor> + Send + Sync + 'static,
{
    fn resolve(&self, request: &Parts, peer: Peer) -> Option<Actor> {
        self.0(request, peer)
    }
}

/// The user name of `Authorization: Basic`, unverified.
///
/// A name that looks like a key (some services take the key as user name), or that has no password, gives no actor, so that
/// keys do not get into the audit log as names. User names that only announce a token, such as `oauth2` and
/// `x-access-token`, are treated like any other name.
///
/// ```
/// use tower_audit::Actor;
/// use tower_audit::resolver::{self, ActorResolver, Peer};
///
/// let name = |authorization: &str| {
///     let (head, ()) = http::Request::get("/").header("authorization", authorization).body(()).ok()?.into_parts();
///     resolver::basic().resolve(&head, Peer::new(None, false))
/// };
/// assert_eq!(name("Basic amFuZTpzZWNyZXQ="), Some(Actor::new("jane").unverified())); // jane:secret
/// assert_eq!(name("Basic c2tfbGl2ZV80ZUMzOUhxTHlq"), None); // sk_live_4eC39HqLyj
/// ```
pub fn basic() -> Basic {
    Basic(())
}

/// Resolves the user name of `Authorization: Basic`: see [`basic`].
#[derive(Clone, Copy, Debug)]
pub struct Basic(());

impl ActorResolver for Basic {
    fn resolve(&self, request: &Parts, _peer: Peer) -> Option<Actor> {
        let decoded = BASE64.decode(credentials(&request.headers, "basic")?).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let (name, password) = (valid_name(&decoded[..colon])?, &decoded[colon + 1..]);
        (!password.is_empty() && !looks_like_key(name)).then(|| Actor::new(name).unverified())
    }
}

/// A claim of a JWT in `Authorization: Bearer`, unverified: neither its signature nor its time is checked.
///
/// For servers whose authentication does not pass on who was authenticated. The claim is a member of the payload itself
/// (`sub`, `preferred_username`, `client_id`) and is a string or a whole number. The token itself is not kept.
///
/// ```
/// use tower_audit::Actor;
/// use tower_audit::resolver::{self, ActorResolver, Peer};
///
/// let (head, ()) = http::Request::get("/")
///     .header("authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJqYW5lIn0.") // {"sub":"jane"}
///     .body(())?
///     .into_parts();
/// let actor = resolver::jwt_claim("sub").resolve(&head, Peer::new(None, false));
/// assert_eq!(actor, Some(Actor::new("jane").unverified()));
/// # Ok::<(), http::Error>(())
/// ```
pub fn jwt_claim(claim: impl Into<String>) -> JwtClaim {
    JwtClaim { claim: claim.into() }
}

/// Resolves a claim of a JWT: see [`jwt_claim`].
#[derive(Clone, Debug)]
pub struct JwtClaim {
    claim: String,
}

impl ActorResolver for JwtClaim {
    fn resolve(&self, request: &Parts, _peer: Peer) -> Option<Actor> {
        let token = credentials(&request.headers, "bearer")?;
        // Three parts are a signed token; five would be an encrypted one, whose payload is not for us.
        let mut parts = token.split('.');
        let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let payload = BASE64_URL.decode(payload).ok()?;
        match serde_json::from_slice::<serde_json::Value>(&payload).ok()?.get(&self.claim)? {
            serde_json::Value::String(name) => valid_name(name.as_bytes()).map(|name| Actor::new(name).unverified()),
            // A fraction, or a number too large to be exact, would not be the id that was meant.
            serde_json::Value::Number(id) if id.is_i64() || id.is_u64() => {
                Some(Actor::new(id.to_string()).unverified())
            }
            _ => None,
        }
    }
}

/// A header in which a trusted proxy names the user that it has authenticated, such as `X-Forwarded-User`.
///
/// It is used only if the connection comes from a trusted proxy, which must remove this header from clients' requests. The
/// actor is then verified. If the header occurs twice, there is no actor, because one of the two may come from the client.
///
/// ```
/// use tower_audit::Actor;
/// use tower_audit::resolver::{self, ActorResolver, Peer};
///
/// let resolver = resolver::header(http::HeaderName::from_static("x-forwarded-user"));
/// let (head, ()) = http::Request::get("/").header("x-forwarded-user", "jane").body(())?.into_parts();
/// assert_eq!(resolver.resolve(&head, Peer::new(None, true)), Some(Actor::new("jane")));
/// assert_eq!(resolver.resolve(&head, Peer::new(None, false)), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn header(name: HeaderName) -> Header {
    Header { name }
}

/// Resolves the header of a trusted proxy: see [`header`].
#[derive(Clone, Debug)]
pub struct Header {
    name: HeaderName,
}

impl ActorResolver for Header {
    fn resolve(&self, request: &Parts, peer: Peer) -> Option<Actor> {
        if !peer.trusted {
            return None;
        }
        valid_name(only_value(&request.headers, &self.name)?.trim_ascii()).map(Actor::new)
    }
}

/// Reads the actor from the request's extensions, where an outer authentication layer has put it.
///
/// ```
/// use tower_audit::Actor;
/// use tower_audit::resolver::{self, ActorResolver, Peer};
///
/// #[derive(Clone)]
/// struct Session {
///     user: String,
/// }
///
/// let resolver = resolver::extension(|session: &Session| Actor::user(&session.user));
/// let session = Session { user: "jane".into() };
/// let (head, ()) = http::Request::get("/").extension(session).body(())?.into_parts();
/// assert_eq!(resolver.resolve(&head, Peer::new(None, false)), Some(Actor::user("jane")));
/// # Ok::<(), http::Error>(())
/// ```
pub fn extension<T: Send + Sync + 'static>(
    actor: impl Fn(&T) -> Actor + Send + Sync + 'static,
) -> Extension<T, impl Fn(&T) -> Actor + Send + Sync + 'static> {
    Extension { actor, of: PhantomData }
}

/// Resolves a request extension: see [`extension`].
pub struct Extension<T, F> {
    actor: F,
    of: PhantomData<fn(&T)>,
}

impl<T, F> fmt::Debug for Extension<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extension<{}>", std::any::type_name::<T>())
    }
}

impl<T, F> ActorResolver for Extension<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> Actor + Send + Sync + 'static,
{
    fn resolve(&self, request: &Parts, _peer: Peer) -> Option<Actor> {
        request.extensions.get().map(&self.actor)
    }
}

/// Clients differ in whether they pad.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// What follows the scheme in the one `Authorization` header.
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = std::str::from_utf8(only_value(headers, &AUTHORIZATION)?).ok()?;
    let (given, credentials) = value.split_once(' ')?;
    let credentials = credentials.trim_ascii();
    (given.eq_ignore_ascii_case(scheme) && credentials.len() <= MAX_CREDENTIALS).then_some(credentials)
}

fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value.as_bytes())
}

fn valid_name(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    ((1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)).then_some(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    const STRANGER: Peer = Peer { ip: None, trusted: false };
    const PROXY: Peer = Peer { ip: None, trusted: true };

    fn head(name: &str, values: &[&[u8]]) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        let name: HeaderName = name.parse().unwrap();
        head.headers.extend(values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).unwrap())));
        head
    }

    fn basic_name(credentials: impl AsRef<[u8]>) -> Option<Actor> {
        let value = format!("Basic {}", BASE64.encode(credentials));
        basic().resolve(&head("authorization", &[value.as_bytes()]), STRANGER)
    }

    fn jwt(payload: &str) -> String {
        format!("Bearer e30.{}.c2ln", BASE64_URL.encode(payload))
    }

    fn sub(authorization: &str) -> Option<Actor> {
        jwt_claim("sub").resolve(&head("authorization", &[authorization.as_bytes()]), STRANGER)
    }

    #[test]
    fn a_basic_name_with_a_password_is_an_unverified_actor() {
        for name in ["jane", "oauth2", "x-access-token", "Jürgen", "user:default/jane".split(':').next().unwrap()] {
            assert_eq!(basic_name(format!("{name}:secret")), Some(Actor::new(name).unverified()));
        }
        assert_eq!(basic_name("jane:se:cr:et"), Some(Actor::new("jane").unverified()));
    }

    #[test]
    fn a_key_in_the_place_of_a_basic_name_names_nobody() {
        for credentials in [
            "glpat-4eC39HqLyjWDarjtT1zd:x",
            "sk_live_4eC39HqLyj:",
            "d41d8cd98f00b204e980:x-oauth-basic",
            "jane:",
            "jane",
            ":secret",
            "",
        ] {
            assert_eq!(basic_name(credentials), None, "{credentials}");
        }
    }

    #[test]
    fn a_name_that_is_long_or_no_text_names_nobody() {
        let longest = "ab ".repeat(85) + "c";
        assert_eq!(basic_name(format!("{longest}:pw")), Some(Actor::new(&longest).unverified()));
        assert_eq!(basic_name(format!("{longest}d:pw")), None);
        for credentials in [&b"ja\nne:pw"[..], b"ja\0ne:pw", b"ja\xffne:pw", "ja\u{85}ne:pw".as_bytes()] {
            assert_eq!(basic_name(credentials), None);
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_only_once() {
        let resolve = |values: &[&[u8]]| basic().resolve(&head("authorization", values), STRANGER);
        assert!(resolve(&[b"bAsIc  amFuZTpwdw "]).is_some());
        assert!(resolve(&[b"Basic amFuZTpwdw=="]).is_some());
        assert_eq!(resolve(&[b"Basic amFuZTpwdw==", b"Basic amFuZTpwdw=="]), None);
        for value in [&b"Basic"[..], b"Basic ", b"Basic jane:pw", b"Bearer amFuZTpwdw==", b"\xff amFuZTpwdw==", b""] {
            assert_eq!(resolve(&[value]), None);
        }
        assert_eq!(resolve(&[]), None);
        assert_eq!(basic_name(format!("jane:{}", "x".repeat(MAX_CREDENTIALS))), None);
    }

    #[test]
    fn a_claim_that_is_text_or_a_whole_number_is_an_unverified_actor() {
        assert_eq!(sub(&jwt(r#"{"sub":"user:default/jane"}"#)), Some(Actor::new("user:default/jane").unverified()));
        assert_eq!(sub(&jwt(r#"{"iss":"x","sub":17}"#)), Some(Actor::new("17").unverified()));
        assert_eq!(sub(&jwt(r#"{"sub":-17}"#)), Some(Actor::new("-17").unverified()));
        let key_like = "auth0|5f7c8ec7c33c6c004bbafe82";
        assert_eq!(sub(&jwt(&format!(r#"{{"sub":"{key_like}"}}"#))), Some(Actor::new(key_like).unverified()));
    }

    #[test]
    fn what_is_no_claim_names_nobody() {
        for payload in [
            r#"{"sub":1.5}"#,
            r#"{"sub":1e30}"#,
            r#"{"sub":123456789012345678901234567890}"#,
            r#"{"sub":null}"#,
            r#"{"sub":["jane"]}"#,
            r#"{"sub":{"id":"jane"}}"#,
            r#"{"sub":""}"#,
            r#"{"sub":"a\nb"}"#,
            r#"{"user":"jane"}"#,
            r#"{"sub":"jane""#,
            r#"["sub"]"#,
            r#""sub""#,
            "",
            &"[".repeat(5000),
            &format!(r#"{{"sub":"{}"}}"#, "x".repeat(257)),
        ] {
            assert_eq!(sub(&jwt(payload)), None, "{payload}");
        }
    }

    #[test]
    fn what_is_no_signed_token_names_nobody() {
        let payload = "eyJzdWIiOiJqYW5lIn0"; // {"sub":"jane"}
        assert!(sub(&format!("bearer e30.{payload}.c2ln")).is_some());
        for token in [
            payload.to_owned(),
            format!("e30.{payload}"),
            format!("e30.{payload}.a.b"),
            format!("e30.{payload}.a.b.c"),
            "e30.!!.a".into(),
            "..".into(),
            String::new(),
            "x".repeat(MAX_CREDENTIALS + 1),
        ] {
            assert_eq!(sub(&format!("Bearer {token}")), None, "{token}");
        }
    }

    #[test]
    fn an_identity_header_counts_only_from_a_trusted_proxy_and_only_once() {
        let user = header(HeaderName::from_static("x-forwarded-user"));
        let head = |values: &[&[u8]]| head("x-forwarded-user", values);
        assert_eq!(user.resolve(&head(&[b"jane "]), PROXY), Some(Actor::new("jane")));
        assert_eq!(user.resolve(&head(&["Jürgen".as_bytes()]), PROXY), Some(Actor::new("Jürgen")));
        assert_eq!(user.resolve(&head(&[b"jane"]), STRANGER), None);
        for values in [&[&b"mallory"[..], b"jane"][..], &[b""], &[b" "], &[b"ja\tne"], &[b"ja\xffne"], &[]] {
            assert_eq!(user.resolve(&head(values), PROXY), None);
        }
    }

    #[test]
    fn resolvers_can_be_stored_together() {
        let mut head = head("authorization", &[b"Basic amFuZTpwdw=="]);
        head.extensions.insert(7_u8);
        let resolvers: [Arc<dyn ActorResolver>; 3] = [
            Arc::new(extension(|id: &u16| Actor::user(id.to_string()))),
            Arc::new(Box::new(extension(|id: &u8| Actor::user(id.to_string()))) as Box<dyn ActorResolver>),
            Arc::new(actor_fn(|request, peer| peer.trusted.then(|| Actor::new(request.method.as_str())))),
        ];
        let actors: Vec<_> = resolvers.iter().map(|resolver| resolver.resolve(&head, PROXY)).collect();
        assert_eq!(actors, [None, Some(Actor::user("7")), Some(Actor::new("GET"))]);
    }

    proptest! {
        #[test]
        fn any_authorization_is_read_without_a_panic(value in proptest::collection::vec(0x20_u8..=0x7e, 0..80)) {
            for scheme in [&b""[..], b"Basic ", b"Bearer ", b"Bearer e30."] {
                let head = head("authorization", &[&[scheme, &value].concat()]);
                basic().resolve(&head, STRANGER);
                jwt_claim("sub").resolve(&head, STRANGER);
            }
        }

        #[test]
        fn any_basic_credentials_give_a_short_clean_name_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(actor) = basic_name(&bytes) {
                let name = actor.id().unwrap();
                prop_assert!(actor.unverified && name.len() <= MAX_NAME && !name.chars().any(char::is_control));
            }
        }
    }
}
