//! Groups of fields that an output can leave out.

use super::setting::setting_names;

/// A group of fields that [`Output::omit`](crate::sink::Output::omit) leaves out of an output's lines, or `TOWER_AUDIT_OMIT` out of
/// all.
///
/// A key of the group is left out as if its value were unknown; a CSV keeps the column, empty. By name, `eula`, `namespace`,
/// `repository` and `repo` are also left out of `meta`, of params and query, and of bodies at any depth, also of those that
/// are the text of JSON; in the URL, the value of such a query parameter, and a segment of the path that is bound to such a
/// parameter of the route, is `***` (`;` separates parameters of a query like `&`). The same applies to the query of the
/// referer. Its path is masked too, whatever its host is: if the path matches the request's own route, each segment that is
/// bound to any parameter is `***`; any other path is `/***`.
///
/// In the `message` the path is shown as in the URL. The whole message is left out if it has any other value that a group leaves
/// out of the record's keys, `meta`, params or path, or if names are left out and the line was shortened before.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldGroup {
    /// `eula`: all values with this name.
    Eula,
    /// `location`: `actor.location` and `meta.edge`.
    Location,
    /// `addresses`: `actor.ip`, `actor.port`, `actor.peerIp`, and headers that name an address, such as `x-forwarded-for`.
    Addresses,
    /// `namespace`: the key of the record, and all values with this name.
    Namespace,
    /// `repository`: the key of the record, and all values with this name or the name `repo`.
    Repository,
    /// `user_agent`: `actor.client` or `actor.userAgent`, and the header.
    UserAgent,
    /// `bodies`: both bodies, and `bodyOmitted`.
    Bodies,
}

impl FieldGroup {
    const ALL: [Self; 7] =
        [Self::Eula, Self::Location, Self::Addresses, Self::Namespace, Self::Repository, Self::UserAgent, Self::Bodies];

    pub(crate) const ALLOWED: &str =
        "eula, location, addresses, namespace, repository, user_agent and bodies, separated by commas";

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == name)
    }
}

setting_names!(FieldGroup {
    Eula => "eula",
    Location => "location",
    Addresses => "addresses",
    Namespace => "namespace",
    Repository => "repository",
    UserAgent => "user_agent",
    Bodies => "bodies",
});

/// A set of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldGroups(u8);

impl FieldGroups {
    pub(crate) fn extend<'g>(&mut self, groups: impl IntoIterator<Item = &'g FieldGroup>) {
        groups.into_iter().for_each(|group| self.0 |= 1 << *group as u8);
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, group: FieldGroup) -> bool {
        self.0 & (1 << group as u8) != 0
    }

    /// Whether members of this name are left out, wherever they are.
    pub(crate) fn has_name(self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// The names of members that are left out, wherever they are.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(&str, FieldGroup); 4] = [
            ("eula", FieldGroup::Eula),
            ("namespace", FieldGroup::Namespace),
            ("repository", FieldGroup::Repository),
            ("repo", FieldGroup::Repository),
        ];
        NAMES.into_iter().filter(move |(_, group)| self.has(*group)).map(|(name, _)| name)
    }

    /// Whether any name is left out wherever it is.
    pub(crate) fn has_names(self) -> bool {
        // Most records are written with all of their fields.
        !self.is_empty() && self.names().next().is_some()
    }

    /// Whether a request header is left out. Headers of addresses are those of proxies and content networks.
    pub(crate) fn has_header(self, name: &str) -> bool {
        const ADDRESSES: [&str; 12] = [
            "x-forwarded-for",
            "forwarded",
            "x-real-ip",
            "x-client-ip",
            "x-cluster-client-ip",
            "x-original-forwarded-for",
            "x-envoy-external-address",
            "x-remote-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "cf-connecting-ipv6",
            "fastly-client-ip",
        ];
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        self.has(FieldGroup::Addresses) && ADDRESSES.into_iter().any(is)
            || self.has(FieldGroup::UserAgent) && is("user-agent")
    }
}
