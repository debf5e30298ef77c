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
pub struct Scope {
    pub(crate) kind: Cow<'static, str>,
    pub(crate) path: String,
}

impl Scope {
    /// A scope of any kind.
    pub fn new(kind: impl Into<Cow<'static, str>>, path: impl Into<String>) -> Self {
        Self { kind: kind.into(), path: path.into() }
    }

    /// A group and everything below it.
    pub fn group(path: impl Into<String>) -> Self {
        Self::new("group", path)
    }

    /// A project that belongs to a user's own namespace.
    pub fn project(path: impl Into<String>) -> Self {
        Self::new("project", path)
    }
}
