//! Groups of fields that an output can leave out.

use super::setting::setting_names;

/// A group of fields that can be left out. [`Output::omit`](crate::sink::Output::omit) leaves a group out of the lines of one
/// output, and `TOWER_AUDIT_OMIT` leaves a group out of all lines.
///
/// A key of the group is left out as if its value were unknown. In CSV, the column remains, but is empty.
///
/// The groups `eula`, `namespace` and `repository` also leave out all values that have the name of the group. The group
/// `repository` also leaves out values with the name `repo`. Values with such a name are left out of `meta`, params, the query,
/// and bodies at any depth. This includes bodies that are recorded as strings of JSON. In the URL, the value of a query
/// parameter with such a name is `***`, and so is a segment of the path that the route binds to a parameter with such a name.
/// In queries, `;` separates parameters, as `&` does.
///
/// In the query of the referer, the same values are `***`. The path of the referer is masked too, for any host. An empty path
/// and the path `/` are shown. If any other path matches the request's own route, each segment that the route binds to a
/// parameter is `***`. If the path does not match, the whole path is `/***`. The fragment (`#…`) of the referer is left out.
///
/// In the `message`, the path of the request is shown as in the URL. The whole message is left out if it has any other value
/// that a group leaves out of the record's keys, `meta`, params or path. The whole message is also left out if values are left
/// out by name and the line was shortened before.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldGroup {
    /// `eula`: all values with the name `eula`.
    Eula,
    /// `location`: `actor.location` and `meta.edge`.
    Location,
    /// `addresses`: `actor.ip`, `actor.port`, `actor.peerIp`, and headers that name an address, such as `x-forwarded-for`.
    Addresses,
    /// `namespace`: the record's key `namespace`, and all values with this name.
    Namespace,
    /// `repository`: the record's key `repository`, and all values with this name or the name `repo`.
    Repository,
    /// `user_agent`: `actor.client` or `actor.userAgent`, and the request header `user-agent`.
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

    /// Whether values with this name are left out of all parts of a record.
    pub(crate) fn has_name(self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// The names of the values that are left out of all parts of a record.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(&str, FieldGroup); 4] = [
            ("eula", FieldGroup::Eula),
            ("namespace", FieldGroup::Namespace),
            ("repository", FieldGroup::Repository),
            ("repo", FieldGroup::Repository),
        ];
        NAMES.into_iter().filter(move |(_, group)| self.has(*group)).map(|(name, _)| name)
    }

    /// Whether any values are left out by name.
    pub(crate) fn has_names(self) -> bool {
        // Most records are written with all of their fields.
        !self.is_empty() && self.names().next().is_some()
    }

    /// Whether a request header is left out. The headers of the group `addresses` are headers that proxies and content delivery
    /// networks add.
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
