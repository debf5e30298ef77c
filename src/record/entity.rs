//! The object that was acted on, its parent or container, and the owning group, project or tenant.

use std::borrow::Cow;

/// What was acted on (`object`), or its parent or container (`target`).
///
/// ```
/// use tower_audit::Entity;
///
/// let package = Entity::new("package").id("1742").name("left-pad").version("1.3.0").format("npm");
/// assert_eq!(package, package.clone());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an object does nothing until a record has it"]
pub struct Entity {
    pub(crate) kind: Cow<'static, str>,
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) slug: Option<String>,
    pub(crate) format: Option<String>,
}

impl Entity {
    /// Something of a kind, such as `package`, `repository`, `task`.
    pub fn new(kind: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: kind.into(), id: None, name: None, version: None, slug: None, format: None }
    }

    /// Its id.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Its name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Its version.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Its short permanent name.
    pub fn slug(mut self, slug: impl Into<String>) -> Self {
        self.slug = Some(slug.into());
        self
    }

    /// Its format, such as `npm` or `maven`.
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.format = Some(format.into());
        self
    }
}

/// The owning group, project or tenant: a node of the tree of groups, projects and users.
///
/// `path` holds all ancestors, so that a prefix of it selects everything below.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a scope does nothing until a record has it"]
pub struct Scope {
    pub(crate) kind: Cow<'static, str>,
    pub(crate) path: String,
    /// Where its rules are, if not at the path.
    pub(crate) rules_at: Option<String>,
}

impl Scope {
    /// A scope of any kind.
    pub fn new(kind: impl Into<Cow<'static, str>>, path: impl Into<String>) -> Self {
        Self { kind: kind.into(), path: path.into(), rules_at: None }
    }

    /// A group and everything below it.
    pub fn group(path: impl Into<String>) -> Self {
        Self::new("group", path)
    }

    /// A project that belongs to a user's own namespace.
    pub fn project(path: impl Into<String>) -> Self {
        Self::new("project", path)
    }

    /// The path at which the [rules](crate::scope::ScopeRules) are looked up, if not the scope's own: below a group the path of the
    /// project, so that a setting of the project comes before that of its group. Records show the scope's own path.
    pub fn rules_at(mut self, path: impl Into<String>) -> Self {
        self.rules_at = Some(path.into());
        self
    }

    /// The path at which its rules are looked up.
    pub(crate) fn rules_path(&self) -> &str {
        self.rules_at.as_deref().unwrap_or(&self.path)
    }
}
