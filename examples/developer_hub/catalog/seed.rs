//! What the catalog holds when it starts.

use serde_json::{Value, json};

use super::store::Location;

pub(crate) fn locations() -> Vec<(Location, Vec<Value>)> {
    let at = |id: &str, target: &str| Location { id: id.to_owned(), kind: "url".to_owned(), target: target.to_owned() };
    vec![
        (
            at("3b7d4f7e-0f3c-4c55-9d0a-5a1e3a1f0001", "https://github.com/acme/example/blob/main/catalog-info.yaml"),
            vec![example_component()],
        ),
        (
            at(
                "3b7d4f7e-0f3c-4c55-9d0a-5a1e3a1f0002",
                "https://github.com/acme/software-templates/blob/main/example-template/template.yaml",
            ),
            vec![example_template()],
        ),
        (
            at("3b7d4f7e-0f3c-4c55-9d0a-5a1e3a1f0003", "https://github.com/acme/org/blob/main/org.yaml"),
            vec![platform_group(), user("default", "jane", "0-3"), user("development", "guest", "0-4")],
        ),
    ]
}

fn example_component() -> Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": "example",
            "uid": "0-0",
            "title": "Example",
            "description": "A service to look at",
            "tags": ["rust", "axum"],
            "annotations": {"github.com/project-slug": "acme/example"},
        },
        "spec": {"type": "service", "lifecycle": "production", "owner": "group:default/platform"},
    })
}

fn platform_group() -> Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Group",
        "metadata": {"name": "platform", "uid": "0-2"},
        "spec": {"type": "team", "children": [], "members": ["jane"]},
    })
}

fn user(namespace: &str, name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "User",
        "metadata": {"namespace": namespace, "name": name, "uid": uid},
        "spec": {"memberOf": ["group:default/platform"]},
    })
}

/// Five steps: `docs` is skipped unless its value asks for it, `environments` iterates.
fn example_template() -> Value {
    json!({
        "apiVersion": "scaffolder.backstage.io/v1beta3",
        "kind": "Template",
        "metadata": {
            "name": "example-template",
            "uid": "0-1",
            "title": "Example template",
            "description": "Creates a repository, its environments and its entry in the catalog",
            "tags": ["example"],
        },
        "spec": {
            "type": "service",
            "owner": "group:default/platform",
            "parameters": [{
                "title": "About the component",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "title": "Name", "description": "Also the name of the repository"},
                    "owner": {"type": "string", "title": "Owner", "ui:field": "OwnerPicker"},
                    "description": {"type": "string", "title": "Description"},
                    "visibility": {"type": "string", "title": "Visibility", "enum": ["public", "internal", "private"]},
                    "enableDocs": {"type": "boolean", "title": "Add documentation"},
                    "delayMs": {"type": "integer", "title": "Duration of each step", "minimum": 0, "maximum": 60000},
                },
            }],
            "steps": [
                {
                    "id": "fetch", "name": "Fetch the skeleton", "action": "fetch:template",
                    "input": {"url": "./skeleton", "values": {"name": "${{ parameters.name }}"}},
                },
                {
                    "id": "docs", "name": "Fetch the documentation", "action": "fetch:plain",
                    "if": "${{ parameters.enableDocs }}",
                    "input": {"url": "./docs", "targetPath": "docs"},
                },
                {
                    "id": "environments", "name": "Prepare the environments", "action": "debug:log",
                    "each": ["dev", "stage", "prod"],
                    "input": {"message": "Preparing ${{ each.value }} for ${{ parameters.name }}"},
                },
                {
                    "id": "publish", "name": "Publish", "action": "publish:github",
                    "input": {
                        "repoUrl": "github.com?owner=acme&repo=${{ parameters.name }}",
                        "description": "${{ parameters.description }}",
                        "token": "${{ secrets.githubToken }}",
                    },
                },
                {
                    "id": "register", "name": "Register", "action": "catalog:register",
                    "input": {
                        "repoContentsUrl": "${{ steps.publish.output.repoContentsUrl }}",
                        "catalogInfoPath": "/catalog-info.yaml",
                        "optional": true,
                    },
                },
            ],
            "output": {
                "links": [
                    {"title": "Repository", "url": "${{ steps.publish.output.remoteUrl }}"},
                    {"title": "Open in catalog", "entityRef": "${{ steps.register.output.entityRef }}"},
                ],
            },
        },
    })
}
