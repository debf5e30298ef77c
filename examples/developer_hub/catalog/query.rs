//! The query language of the catalog: `filter`, `fields`, `order`, `limit`, `offset`, cursors and facets.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::ApiError;

#[derive(Debug)]
pub(crate) struct EntityQuery {
    /// Where the query came from, with a cursor already taken apart.
    pub(crate) pairs: Vec<(String, String)>,
    pub(crate) limit: Option<usize>,
    offset: usize,
    /// An entity has to match one of these; each is a list of keys with their allowed values.
    filters: Vec<Vec<Condition>>,
    fields: Vec<String>,
    order: Vec<(String, Direction)>,
    term: Option<String>,
}

#[derive(Debug)]
struct Condition {
    key: String,
    /// None: the key only has to exist.
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Ascending,
    Descending,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    pub(crate) total: usize,
    pub(crate) next: Option<usize>,
    pub(crate) previous: Option<usize>,
}

impl EntityQuery {
    pub(crate) fn parse(pairs: &[(String, String)]) -> Result<Self, ApiError> {
        let cursor = pairs.iter().find(|(key, _)| matches!(key.as_str(), "cursor" | "after"));
        let pairs = match cursor {
            Some((key, cursor)) => {
                decode_cursor(cursor).ok_or_else(|| ApiError::Input(format!("Malformed {key} in query")))?
            }
            None => pairs.to_vec(),
        };

        let mut query = Self {
            pairs: Vec::new(),
            limit: None,
            offset: 0,
            filters: Vec::new(),
            fields: Vec::new(),
            order: Vec::new(),
            term: None,
        };
        for (key, value) in &pairs {
            match key.as_str() {
                "limit" => query.limit = Some(number(key, value)?),
                "offset" => query.offset = number(key, value)?,
                "filter" => query.filters.push(parse_filter(value)?),
                "fields" => query.fields.extend(split(value).map(str::to_owned)),
                "order" => query.order.push(parse_order(value.split_once(':').map(|(way, field)| (field, way)))?),
                "orderField" => query.order.push(parse_order(Some(value.split_once(',').unwrap_or((value, "asc"))))?),
                "fullTextFilterTerm" => query.term = Some(value.to_lowercase()).filter(|term| !term.is_empty()),
                _ => {}
            }
        }
        query.pairs = pairs;
        Ok(query)
    }

    pub(crate) fn matches(&self, entity: &Value) -> bool {
        let rows = rows(entity);
        let meets = |condition: &Condition| rows.iter().any(|row| condition.is_met_by(row));
        let filtered = self.filters.is_empty() || self.filters.iter().any(|filter| filter.iter().all(meets));
        filtered
            && self.term.as_ref().is_none_or(|term| rows.iter().any(|(_, value)| value.to_lowercase().contains(term)))
    }

    /// The entities that match, in order, one page of them, reduced to the wanted fields.
    pub(crate) fn select(&self, entities: Vec<Value>) -> Page {
        let mut found: Vec<_> = entities.into_iter().filter(|entity| self.matches(entity)).collect();
        for (field, direction) in self.order.iter().rev() {
            found.sort_by_cached_key(|entity| first_value(entity, field));
            if matches!(direction, Direction::Descending) {
                found.reverse();
            }
        }

        let total = found.len();
        let limit = self.limit.unwrap_or(usize::MAX);
        let end = self.offset.saturating_add(limit).min(total);
        let items = found.iter().take(end).skip(self.offset).map(|entity| project(entity, &self.fields)).collect();
        Page {
            items,
            total,
            next: (end < total && limit > 0).then_some(end),
            previous: (self.offset > 0 && limit > 0).then(|| self.offset.min(total).saturating_sub(limit)),
        }
    }
}

impl Condition {
    fn is_met_by(&self, (key, value): &(String, String)) -> bool {
        *key == self.key && (self.values.is_empty() || self.values.contains(&value.to_lowercase()))
    }
}

/// `kind=component,metadata.name=a,metadata.name=b`: all keys, any value of one key.
fn parse_filter(text: &str) -> Result<Vec<Condition>, ApiError> {
    let mut conditions: Vec<Condition> = Vec::new();
    for part in split(text) {
        let (key, value) = part.split_once('=').map_or((part, None), |(key, value)| (key, Some(value)));
        let key = key.trim().to_lowercase();
        if key.is_empty() {
            return Err(ApiError::Input(format!("Invalid filter, '{part}' is not a valid statement")));
        }
        let value = value.map(|value| value.trim().to_lowercase());
        match conditions.iter_mut().find(|condition| condition.key == key) {
            Some(condition) => condition.values.extend(value),
            None => conditions.push(Condition { key, values: value.into_iter().collect() }),
        }
    }
    Ok(conditions)
}

fn parse_order(parts: Option<(&str, &str)>) -> Result<(String, Direction), ApiError> {
    match parts {
        Some((field, "asc")) if !field.is_empty() => Ok((field.to_lowercase(), Direction::Ascending)),
        Some((field, "desc")) if !field.is_empty() => Ok((field.to_lowercase(), Direction::Descending)),
        _ => Err(ApiError::Input("Invalid order parameter, expected a field and asc or desc".to_owned())),
    }
}

fn number(key: &str, value: &str) -> Result<usize, ApiError> {
    value.parse().map_err(|_| ApiError::Input(format!("Invalid {key}, not a whole number of 0 or more")))
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// An entity as flat keys (in lower case) and values, as Backstage's search table has it.
fn rows(entity: &Value) -> Vec<(String, String)> {
    fn visit(key: &str, value: &Value, rows: &mut Vec<(String, String)>) {
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                for (name, value) in fields {
                    let name = name.to_lowercase();
                    let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                    visit(&key, value, rows);
                }
            }
            Value::Array(items) => {
                for item in items {
                    visit(key, item, rows);
                }
            }
            Value::String(text) => rows.push((key.to_owned(), text.clone())),
            Value::Bool(_) | Value::Number(_) => rows.push((key.to_owned(), value.to_string())),
        }
    }

    let mut found = Vec::new();
    visit("", entity, &mut found);
    for relation in entity["relations"].as_array().into_iter().flatten() {
        if let (Some(kind), Some(target)) = (relation["type"].as_str(), relation["targetRef"].as_str()) {
            found.push((format!("relations.{}", kind.to_lowercase()), target.to_owned()));
        }
    }
    found
}

fn first_value(entity: &Value, field: &str) -> Option<String> {
    rows(entity).into_iter().find(|(key, _)| key == field).map(|(_, value)| value.to_lowercase())
}

/// Only the wanted fields of an entity, or all if none is named.
pub(crate) fn project(entity: &Value, fields: &[String]) -> Value {
    if fields.is_empty() {
        return entity.clone();
    }
    let mut projected = Map::new();
    for field in fields {
        copy(entity, field, &mut projected);
    }
    Value::Object(projected)
}

/// A dot may part two levels or stand within a key (`backstage.io/…`): the longest key that exists wins.
fn copy(from: &Value, path: &str, into: &mut Map<String, Value>) {
    if let Some(value) = from.get(path) {
        into.insert(path.to_owned(), value.clone());
        return;
    }
    for (dot, _) in path.rmatch_indices('.') {
        let (key, rest) = (&path[..dot], &path[dot + 1..]);
        if let Some(inner) = from.get(key).filter(|inner| inner.is_object()) {
            if let Value::Object(map) = into.entry(key).or_insert_with(|| json!({})) {
                copy(inner, rest, map);
            }
            return;
        }
    }
}

/// How often each value of each facet occurs.
pub(crate) fn facets(entities: &[Value], facets: &[&str]) -> BTreeMap<String, Vec<Value>> {
    let rows: Vec<_> = entities.iter().map(rows).collect();
    let count = |facet: &&str| {
        let wanted = facet.to_lowercase();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, value) in rows.iter().flatten().filter(|(key, _)| *key == wanted) {
            *counts.entry(value).or_default() += 1;
        }
        let counts = counts.into_iter().map(|(value, count)| json!({"value": value, "count": count})).collect();
        ((*facet).to_owned(), counts)
    };
    facets.iter().map(count).collect()
}

/// The same query from another place in its results.
pub(crate) fn with_offset(pairs: &[(String, String)], offset: usize) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs.iter().filter(|(key, _)| key != "offset").cloned().collect();
    pairs.push(("offset".to_owned(), offset.to_string()));
    pairs
}

/// A cursor is the whole query again, so that the server has to remember nothing.
pub(crate) fn encode_cursor(pairs: &[(String, String)]) -> String {
    json!(pairs).to_string().bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn decode_cursor(cursor: &str) -> Option<Vec<(String, String)>> {
    let digits: Vec<u8> =
        cursor.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    serde_json::from_slice(&bytes).ok()
}
