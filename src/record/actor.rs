//! Who acted, with which credential, on whose behalf.

use std::borrow::Cow;
use std::fmt;

/// Who acted.
///
/// The layer adds address, port, host name and user agent; an `Actor` is what only the application knows. Mark an identity that
/// was not verified with [`Actor::unverified`].
///
/// ```
/// use tower_audit::{Actor, Credential};
///
/// let actor = Actor::user("user:default/jane").name("Jane").credential(Credential::new("personal_token").id("17"));
/// assert_eq!(actor.id(), Some("user:default/jane"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "an actor does nothing until a record has it"]
pub struct Actor {
    pub(crate) id: Option<String>,
    pub(crate) kind: Option<Cow<'static, str>>,
    pub(crate) name: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) slug: Option<String>,
    pub(crate) unverified: bool,
    pub(crate) claimed: Option<String>,
    pub(crate) credential: Option<Credential>,
    pub(crate) on_behalf_of: Option<Box<Actor>>,
    pub(crate) location: Option<Location>,
}

impl Actor {
    /// An actor of any kind; give it one with [`Actor::kind`].
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }

    /// A person (`kind` is `user`).
    pub fn user(id: impl Into<String>) -> Self {
        Self::new(id).kind("user")
    }

    /// Another program (`kind` is `service`).
    pub fn service(id: impl Into<String>) -> Self {
        Self::new(id).kind("service")
    }

    /// The system itself, for work that no user or program requested (`kind` is `system`).
    pub fn system(id: impl Into<String>) -> Self {
        Self::new(id).kind("system")
    }

    /// No known actor: `actorId` is `null`.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// An identity that was claimed without proof, such as the user name of a failed login: `actorId` stays `null`.
    pub fn claimed(name: impl Into<String>) -> Self {
        Self { claimed: Some(name.into()), unverified: true, ..Self::default() }
    }

    /// The kind of actor: `user`, `service`, `token`, `deploy_token`, `deploy_key`, `job`, `system`, or another.
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// The display name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A URL of a page that describes the actor.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The actor's short permanent name.
    pub fn slug(mut self, slug: impl Into<String>) -> Self {
        self.slug = Some(slug.into());
        self
    }

    /// Marks an identity that was not verified: `verified` is then `false`.
    pub fn unverified(mut self) -> Self {
        self.unverified = true;
        self
    }

    /// The credential that was used; never its value.
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// The actor for whom this one acts, such as the user whom an administrator impersonates.
    pub fn on_behalf_of(mut self, actor: Actor) -> Self {
        self.on_behalf_of = Some(Box::new(actor));
        self
    }

    /// Where the actor is.
    pub fn location(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// An unverified actor after authentication refused it: its id, or else its name, as `claimed`.
    ///
    /// Everything else about it is removed, because formats take the actor from its slug, name or credential too, and would
    /// attribute the request to somebody who may not have sent it. Only the location stays, which comes from the address.
    pub(crate) fn into_claimed(self) -> Self {
        let claimed = self.claimed.or(self.id).or(self.name);
        Self { claimed, unverified: true, location: self.location, ..Self::default() }
    }

    /// The actor's id, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// The credential that was used: its kind, id, name and owner, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a credential does nothing until an actor has it"]
pub struct Credential {
    pub(crate) kind: Cow<'static, str>,
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) owner: Option<String>,
}

impl Credential {
    /// A credential of a kind, such as `personal_token`, `deploy_token`, `deploy_key`, `job`, `session`.
    pub fn new(kind: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: kind.into(), id: None, name: None, owner: None }
    }

    /// The id under which it is administered.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The name that its owner gave it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The owner of the credential.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }
}

/// Which key it was, in words: its kind, its owner, and its name or else its id.
///
/// ```
/// use tower_audit::Credential;
///
/// let credential = Credential::new("deploy_token").id("7").name("ci-publish").owner("acme/tools");
/// assert_eq!(credential.to_string(), "deploy token acme/tools ci-publish");
/// ```
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_credential(f, &self.kind, self.owner.as_deref(), self.name.as_deref().or(self.id.as_deref()))
    }
}

/// `deploy token acme/tools ci-publish`.
pub(crate) fn write_credential(
    out: &mut impl fmt::Write,
    kind: &str,
    owner: Option<&str>,
    name: Option<&str>,
) -> fmt::Result {
    for (at, word) in kind.split('_').enumerate() {
        if at > 0 {
            out.write_char(' ')?;
        }
        out.write_str(word)?;
    }
    for part in [owner, name].into_iter().flatten() {
        out.write_char(' ')?;
        out.write_str(part)?;
    }
    Ok(())
}

/// Where an actor is, by its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a location does nothing until an actor has it"]
pub struct Location {
    pub(crate) city: Option<String>,
    pub(crate) country: Option<String>,
    pub(crate) continent: Option<String>,
}

impl Location {
    /// An unknown place.
    pub fn new() -> Self {
        Self::default()
    }

    /// The city.
    pub fn city(mut self, city: impl Into<String>) -> Self {
        self.city = Some(city.into());
        self
    }

    /// The country's ISO 3166-1 alpha-2 code.
    pub fn country(mut self, country: impl Into<String>) -> Self {
        self.country = Some(country.into());
        self
    }

    /// The continent.
    pub fn continent(mut self, continent: impl Into<String>) -> Self {
        self.continent = Some(continent.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_actor_is_nobody_and_keeps_its_claim() {
        let berlin = Location::new().city("Berlin");
        let actor = Actor::user("u-1").name("Jane").slug("jane").credential(Credential::new("token")).unverified();
        let refused = actor.location(berlin.clone()).into_claimed();
        assert_eq!(refused, Actor::claimed("u-1").location(berlin));
        assert_eq!(refused.id(), None);
    }

    #[test]
    fn a_credential_says_in_words_which_key_it_was() {
        let token = || Credential::new("personal_token").id("17");
        for (credential, words) in [
            (token().name("laptop").owner("jane"), "personal token jane laptop"),
            (token().owner("jane"), "personal token jane 17"),
            (token(), "personal token 17"),
            (Credential::new("session"), "session"),
        ] {
            assert_eq!(credential.to_string(), words);
        }
    }

    #[test]
    fn a_claim_is_an_id_or_else_a_name() {
        assert_eq!(Actor::anonymous().name("Jane").into_claimed(), Actor::claimed("Jane"));
        assert_eq!(Actor::claimed("jane").into_claimed(), Actor::claimed("jane"));
        assert_eq!(Actor::anonymous().into_claimed().claimed, None);
    }
}
