//! What stands on each record of an event as it is.

use super::wire;

/// The labels of an event, shared by all of its records, and what a line says of them, written once.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    kind: Option<Box<str>>,
    has_service: bool,
    /// The member that tells the kind.
    pub(super) kind_member: Vec<u8>,
    /// The members that tell where in the system it happened.
    pub(super) place_members: Vec<u8>,
}

impl Labels {
    pub(crate) fn new(
        kind: Option<&str>,
        service: Option<&str>,
        plugin: Option<&str>,
        component: Option<&str>,
    ) -> Self {
        Self {
            kind: kind.map(Into::into),
            has_service: service.is_some(),
            kind_member: wire::kind_member(kind),
            place_members: wire::place_members(service, plugin, component),
        }
    }

    pub(crate) fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// Whether they name a service; otherwise the process's stands there.
    pub(super) fn has_service(&self) -> bool {
        self.has_service
    }
}
