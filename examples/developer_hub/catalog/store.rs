//! The catalog in memory: every entity belongs to a location, and lives as long as that does.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::entity::{EntityRef, is_name};
use super::seed;
use crate::error::ApiError;
use crate::hub::lock;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Location {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) target: String,
}

#[derive(Debug)]
pub(crate) struct Catalog {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    sources: Vec<Source>,
    entities: BTreeMap<EntityRef, Entry>,
}

/// A location with what a processing cycle finds there: its own entity first, then its children.
#[derive(Debug)]
struct Source {
    location: Location,
    finds: Vec<Value>,
}

#[derive(Debug)]
struct Entry {
    entity: Value,
    location_id: String,
    parent: Option<EntityRef>,
}

impl Catalog {
    pub(crate) fn seeded() -> Self {
        let mut contents = Contents::default();
        for (location, children) in seed::locations() {
            contents.add(location, children);
        }
        Self { contents: Mutex::new(contents) }
    }

    /// All entities, ordered by reference.
    pub(crate) fn entities(&self) -> Vec<Value> {
        lock(&self.contents).entities.values().map(|entry| entry.entity.clone()).collect()
    }

    pub(crate) fn entity(&self, reference: &EntityRef) -> Option<Value> {
        lock(&self.contents).entities.get(reference).map(|entry| entry.entity.clone())
    }

    pub(crate) fn entity_by_uid(&self, uid: &str) -> Option<Value> {
        let contents = lock(&self.contents);
        contents.entities.values().map(|entry| &entry.entity).find(|entity| has_uid(entity, uid)).cloned()
    }

    /// Whether there was one. Unless its location goes too, the next processing cycle brings it back.
    pub(crate) fn remove_entity(&self, uid: &str) -> bool {
        let mut contents = lock(&self.contents);
        let before = contents.entities.len();
        contents.entities.retain(|_, entry| !has_uid(&entry.entity, uid));
        contents.entities.len() < before
    }

    /// The entity, its parent, the parent of that, each with the references of its own parents.
    pub(crate) fn ancestry(&self, reference: &EntityRef) -> Option<Vec<Value>> {
        let contents = lock(&self.contents);
        let mut items = Vec::new();
        let mut next = Some(contents.entities.get(reference)?);
        while let Some(entry) = next {
            let parents: Vec<_> = entry.parent.iter().map(EntityRef::to_string).collect();
            items.push(json!({"entity": entry.entity, "parentEntityRefs": parents}));
            next = entry.parent.as_ref().and_then(|parent| contents.entities.get(parent));
        }
        Some(items)
    }

    pub(crate) fn locations(&self) -> Vec<Location> {
        lock(&self.contents).sources.iter().map(|source| source.location.clone()).collect()
    }

    pub(crate) fn location(&self, id: &str) -> Option<Location> {
        self.locations().into_iter().find(|location| location.id == id)
    }

    pub(crate) fn location_at(&self, target: &str) -> Option<Location> {
        self.locations().into_iter().find(|location| location.target == target)
    }

    pub(crate) fn location_of(&self, reference: &EntityRef) -> Option<Location> {
        let contents = lock(&self.contents);
        let id = &contents.entities.get(reference)?.location_id;
        contents.sources.iter().map(|source| &source.location).find(|location| location.id == *id).cloned()
    }

    pub(crate) fn add_location(&self, kind: &str, target: &str) -> Result<Location, ApiError> {
        let mut contents = lock(&self.contents);
        if contents.sources.iter().any(|source| source.location.target == target) {
            return Err(ApiError::Conflict(format!("Location {kind}:{target} already exists")));
        }
        let location = Location { id: Uuid::new_v4().to_string(), kind: kind.to_owned(), target: target.to_owned() };
        contents.add(location.clone(), component_at(target).into_iter().collect());
        Ok(location)
    }

    /// Whether there was one. Its entities go with it.
    pub(crate) fn remove_location(&self, id: &str) -> bool {
        let mut contents = lock(&self.contents);
        let before = contents.sources.len();
        contents.sources.retain(|source| source.location.id != id);
        contents.entities.retain(|_, entry| entry.location_id != id);
        contents.sources.len() < before
    }

    /// One processing cycle: brings back what was deleted while its location still names it.
    pub(crate) fn process(&self) -> usize {
        let mut contents = lock(&self.contents);
        let before = contents.entities.len();
        let Contents { sources, entities } = &mut *contents;
        for source in sources {
            source.process(entities);
        }
        contents.entities.len() - before
    }
}

impl Contents {
    fn add(&mut self, location: Location, children: Vec<Value>) {
        let mut finds = vec![location_entity(&location)];
        finds.extend(children.into_iter().map(|child| completed(child, &location)));
        let source = Source { location, finds };
        source.process(&mut self.entities);
        self.sources.push(source);
    }
}

impl Source {
    /// An entity that another location found first stays with that one.
    fn process(&self, entities: &mut BTreeMap<EntityRef, Entry>) {
        let own = self.finds.first().map(EntityRef::of);
        for entity in &self.finds {
            let reference = EntityRef::of(entity);
            let parent = own.clone().filter(|own| *own != reference);
            let location_id = self.location.id.clone();
            entities.entry(reference).or_insert_with(|| Entry { entity: entity.clone(), location_id, parent });
        }
    }
}

fn has_uid(entity: &Value, uid: &str) -> bool {
    entity["metadata"]["uid"] == uid
}

/// The entity that stands for a location, named after a hash of its target.
pub(crate) fn location_entity(location: &Location) -> Value {
    let mut hasher = DefaultHasher::new();
    (&location.kind, &location.target).hash(&mut hasher);
    let name = format!("generated-{:016x}", hasher.finish());
    let entity = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Location",
        "metadata": {"name": name},
        "spec": {"type": location.kind, "target": location.target},
    });
    completed(entity, location)
}

/// What the catalog would read from a repository: there is no network here, so it is derived from the URL.
pub(crate) fn component_at(target: &str) -> Option<Value> {
    let repository = Repository::parse(target)?;
    Some(json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": repository.name,
            "annotations": {"github.com/project-slug": format!("{}/{}", repository.owner, repository.name)},
        },
        "spec": {"type": "other", "lifecycle": "unknown", "owner": "group:default/platform"},
    }))
}

/// Adds what the catalog itself writes into each entity.
pub(crate) fn completed(mut entity: Value, location: &Location) -> Value {
    let origin = format!("{}:{}", location.kind, location.target);
    let metadata = &mut entity["metadata"];
    for (key, value) in [
        ("namespace", json!("default")),
        ("uid", json!(Uuid::new_v4().to_string())),
        ("etag", json!(Uuid::new_v4().simple().to_string())),
        ("annotations", json!({})),
    ] {
        if metadata[key].is_null() {
            metadata[key] = value;
        }
    }
    metadata["annotations"]["backstage.io/managed-by-location"] = json!(origin);
    metadata["annotations"]["backstage.io/managed-by-origin-location"] = json!(origin);
    if entity["relations"].is_null() {
        entity["relations"] = match entity["spec"]["owner"].as_str() {
            Some(owner) => json!([{"type": "ownedBy", "targetRef": owner}]),
            None => json!([]),
        };
    }
    entity
}

/// The owner and the name in `https://host/owner/name/…`.
#[derive(Debug)]
struct Repository<'a> {
    owner: &'a str,
    name: &'a str,
}

impl<'a> Repository<'a> {
    fn parse(target: &'a str) -> Option<Self> {
        let (scheme, rest) = target.split_once("://")?;
        let mut parts = rest.split(['/', '?', '#']);
        let (host, owner, name) = (parts.next()?, parts.next()?, parts.next()?);
        let valid = matches!(scheme, "http" | "https") && !host.is_empty() && is_name(owner) && is_name(name);
        valid.then_some(Self { owner, name })
    }
}
