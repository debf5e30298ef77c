//! The installed actions: what a step of a template can do.

use std::error::Error;
use std::fmt;

use serde_json::{Value, json};

use crate::catalog::entity::{EntityRef, is_name};
use crate::catalog::store::component_at;
use crate::hub::Hub;

#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) id: &'static str,
    description: &'static str,
    /// Required strings of its input, optional ones, and strings of its output.
    required: &'static [&'static str],
    optional: &'static [&'static str],
    output: &'static [&'static str],
    pub(crate) supports_dry_run: bool,
    run: fn(&Hub, &Value, Mode) -> Result<Value, ActionError>,
}

/// Whether a step leaves traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Real,
    Dry,
}

#[derive(Debug)]
pub(crate) struct ActionError {
    pub(crate) name: &'static str,
    pub(crate) message: String,
}

pub(crate) static INSTALLED: &[Action] = &[
    Action {
        id: "catalog:register",
        description: "Registers entities from a catalog descriptor file in the workspace into the software catalog.",
        required: &["repoContentsUrl"],
        optional: &["catalogInfoPath"],
        output: &["entityRef", "catalogInfoUrl"],
        supports_dry_run: true,
        run: register,
    },
    Action {
        id: "debug:log",
        description: "Writes a message into the log or lists all files in the workspace.",
        required: &[],
        optional: &["message"],
        output: &[],
        supports_dry_run: true,
        run: nothing,
    },
    Action {
        id: "fetch:plain",
        description: "Downloads content and places it in the workspace, or optionally in a subdirectory.",
        required: &["url"],
        optional: &["targetPath"],
        output: &[],
        supports_dry_run: true,
        run: nothing,
    },
    Action {
        id: "fetch:template",
        description: "Downloads a skeleton, templates variables into file and directory names and content.",
        required: &["url"],
        optional: &["targetPath"],
        output: &[],
        supports_dry_run: true,
        run: nothing,
    },
    Action {
        id: "publish:github",
        description: "Initializes a git repository of contents in workspace and publishes it to GitHub.",
        required: &["repoUrl"],
        optional: &["description", "token"],
        output: &["remoteUrl", "repoContentsUrl"],
        supports_dry_run: false,
        run: publish,
    },
];

impl Action {
    pub(crate) fn named(id: &str) -> Result<&'static Self, ActionError> {
        INSTALLED.iter().find(|action| action.id == id).ok_or_else(|| {
            let message = format!("Template action with ID '{id}' is not registered.");
            ActionError { name: "NotFoundError", message }
        })
    }

    pub(crate) fn describe(&self) -> Value {
        let strings = |names: &mut dyn Iterator<Item = &&str>| -> Value {
            names.map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect()
        };
        let input = strings(&mut self.required.iter().chain(self.optional));
        json!({
            "id": self.id,
            "description": self.description,
            "examples": [],
            "schema": {
                "input": {"type": "object", "required": self.required, "properties": input},
                "output": {"type": "object", "properties": strings(&mut self.output.iter())},
            },
        })
    }

    pub(crate) fn run(&self, hub: &Hub, input: &Value, mode: Mode) -> Result<Value, ActionError> {
        if let Some(missing) = self.required.iter().find(|name| !input[**name].is_string()) {
            return Err(input_error(format!(
                "Invalid input passed to action {}, instance requires property \"{missing}\"",
                self.id
            )));
        }
        (self.run)(hub, input, mode)
    }

    /// What stands for the output of an action that a dry run leaves out.
    pub(crate) fn example_output(&self) -> Value {
        self.output.iter().map(|name| ((*name).to_owned(), json!(format!("<{name}>")))).collect()
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ActionError {}

/// There are no files in this miniature.
#[expect(clippy::unnecessary_wraps, reason = "has the shape of all actions")]
fn nothing(_: &Hub, _: &Value, _: Mode) -> Result<Value, ActionError> {
    Ok(json!({}))
}

/// Fails for a name that no repository can have, such as `not a name`.
fn publish(_: &Hub, input: &Value, _: Mode) -> Result<Value, ActionError> {
    let url = input["repoUrl"].as_str().unwrap_or_default();
    let (host, query) = url.split_once('?').unwrap_or((url, ""));
    let part = |name| {
        let mut parts = query.split('&').filter_map(|part| part.split_once('='));
        parts.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    };
    let (owner, repository) = (part("owner"), part("repo"));
    if host.is_empty() || !is_name(owner) || !is_name(repository) {
        return Err(input_error(format!("Invalid repo URL passed to publisher: {url}")));
    }
    let remote = format!("https://{host}/{owner}/{repository}");
    Ok(json!({"remoteUrl": remote, "repoContentsUrl": format!("{remote}/blob/main")}))
}

/// A location that is registered already is as good as a new one.
fn register(hub: &Hub, input: &Value, mode: Mode) -> Result<Value, ActionError> {
    let contents = input["repoContentsUrl"].as_str().unwrap_or_default();
    let path = input["catalogInfoPath"].as_str().unwrap_or("/catalog-info.yaml");
    let target = format!("{contents}{path}");
    if mode == Mode::Dry {
        return Ok(json!({"entityRef": "component:default/<name>", "catalogInfoUrl": target}));
    }
    let component = component_at(&target)
        .ok_or_else(|| input_error(format!("Unable to read url, {target} is not a URL of a repository")))?;
    if hub.catalog.add_location("url", &target).is_err() {
        tracing::debug!("the location was registered before");
    }
    Ok(json!({"entityRef": EntityRef::of(&component).to_string(), "catalogInfoUrl": target}))
}

fn input_error(message: String) -> ActionError {
    ActionError { name: "InputError", message }
}
