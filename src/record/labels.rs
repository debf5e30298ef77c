//! Names of events and routes, from the application's configuration. Each is written as JSON once, for all lines.

use super::json_object::{Object, key};
use super::wire::write_event;
use super::{Level, LogType, Outcome, Status};

/// The labels of an event, shared by all of its records.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    name: Box<str>,
    kind: Option<Box<str>>,
    log_type: LogType,
    service: Option<Box<str>>,
    plugin: Option<Box<str>>,
    component: Option<Box<str>>,
    /// The members `eventName`, `eventKind` and `logType`.
    pub(super) head: Vec<u8>,
    /// The members from `level` to `outcome` of most records: those of requests that were completed and succeeded.
    pub(super) usual: Vec<u8>,
    /// The members `service`, `plugin` and `component`.
    pub(super) place: Vec<u8>,
}

/// What labels say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct LabelTexts<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Option<&'a str>,
    pub(super) log_type: LogType,
    pub(super) service: Option<&'a str>,
    pub(super) plugin: Option<&'a str>,
    pub(super) component: Option<&'a str>,
}

impl LabelTexts<'_> {
    /// Bytes of all texts.
    pub(super) fn len(&self) -> usize {
        let others = [self.kind, self.service, self.plugin, self.component];
        others.into_iter().flatten().fold(self.name.len(), |sum, text| sum + text.len())
    }
}

impl Labels {
    pub(crate) fn new(
        name: &str,
        kind: Option<&str>,
        log_type: LogType,
        service: Option<&str>,
        plugin: Option<&str>,
        component: Option<&str>,
    ) -> Self {
        let (mut head, mut place) = (Vec::new(), Vec::new());
        let mut members = Object::of(&mut head);
        members.text(key!("eventName"), name);
        members.some_text(key!("eventKind"), kind);
        members.plain(key!("logType"), log_type.as_str());
        let mut usual = Vec::new();
        let outcome = Some(Outcome::Completed);
        write_event(&mut Object::of(&mut usual), Level::Info, &head, "completion", Status::Succeeded, outcome);
        let mut members = Object::of(&mut place);
        members.some_text(key!("service"), service);
        members.some_text(key!("plugin"), plugin);
        members.some_text(key!("component"), component);
        let [kind, service, plugin, component] = [kind, service, plugin, component].map(|text| text.map(Into::into));
        Self { name: name.into(), kind, log_type, service, plugin, component, head, usual, place }
    }

    /// What they were made of.
    pub(super) fn texts(&self) -> LabelTexts<'_> {
        let Self { name, kind, log_type, service, plugin, component, .. } = self;
        let [kind, service, plugin, component] = [kind, service, plugin, component].map(|text| text.as_deref());
        LabelTexts { name, kind, log_type: *log_type, service, plugin, component }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    pub(crate) fn log_type(&self) -> LogType {
        self.log_type
    }

    /// The service that they name; otherwise records have that of the process.
    pub(super) fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    pub(crate) fn plugin(&self) -> Option<&str> {
        self.plugin.as_deref()
    }

    pub(crate) fn component(&self) -> Option<&str> {
        self.component.as_deref()
    }
}

/// A route's template, shared by all records of its requests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RouteLabel {
    text: Box<str>,
    pub(super) member: Vec<u8>,
}

impl RouteLabel {
    pub(crate) fn new(template: &str) -> Self {
        let mut member = Vec::new();
        Object::of(&mut member).text(key!("route"), template);
        Self { text: template.into(), member }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
