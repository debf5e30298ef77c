//! Routes that read entities, and the two that change them: deletion and refresh.

use std::sync::Arc;

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::entity::EntityRef;
use super::query::{self, EntityQuery};
use crate::error::ApiError;
use crate::extract::{JsonBody, Path, Query};
use crate::hub::Hub;

/// Entities in one page of `by-query` when the caller does not say.
const DEFAULT_PAGE: usize = 20;
/// References that one batch may ask for.
const MAX_BATCH: usize = 1_000;

type Pairs = Vec<(String, String)>;
type Name = (String, String, String);

pub(crate) async fn list(
    State(hub): State<Arc<Hub>>,
    OriginalUri(uri): OriginalUri,
    Query(pairs): Query<Pairs>,
) -> Result<(HeaderMap, Json<Vec<Value>>), ApiError> {
    let query = EntityQuery::parse(&pairs)?;
    let page = query.select(hub.catalog.entities());

    let mut headers = HeaderMap::new();
    if let Some(after) = page.next {
        let next = query::with_offset(&pairs, after);
        let link = format!("<{}?after={}>; rel=\"next\"", uri.path(), query::encode_cursor(&next));
        headers.extend(HeaderValue::try_from(link).ok().map(|link| (header::LINK, link)));
    }
    Ok((headers, Json(page.items)))
}

pub(crate) async fn query(State(hub): State<Arc<Hub>>, Query(pairs): Query<Pairs>) -> Result<Json<Value>, ApiError> {
    let mut query = EntityQuery::parse(&pairs)?;
    query.limit.get_or_insert(DEFAULT_PAGE);
    let page = query.select(hub.catalog.entities());

    let mut page_info = json!({});
    for (name, offset) in [("nextCursor", page.next), ("prevCursor", page.previous)] {
        if let Some(offset) = offset {
            let pairs = query::with_offset(&query.pairs, offset);
            page_info[name] = json!(query::encode_cursor(&pairs));
        }
    }
    Ok(Json(json!({"items": page.items, "totalItems": page.total, "pageInfo": page_info})))
}

pub(crate) async fn by_uid(State(hub): State<Arc<Hub>>, Path(uid): Path<String>) -> Result<Json<Value>, ApiError> {
    hub.catalog.entity_by_uid(&uid).map(Json).ok_or_else(|| no_entity_with(&uid))
}

pub(crate) async fn delete(State(hub): State<Arc<Hub>>, Path(uid): Path<String>) -> Result<StatusCode, ApiError> {
    if hub.catalog.remove_entity(&uid) { Ok(StatusCode::NO_CONTENT) } else { Err(no_entity_with(&uid)) }
}

pub(crate) async fn by_name(
    State(hub): State<Arc<Hub>>,
    Path((kind, namespace, name)): Path<Name>,
) -> Result<Json<Value>, ApiError> {
    hub.catalog.entity(&EntityRef::new(&kind, &namespace, &name)).map(Json).ok_or_else(|| {
        ApiError::NotFound(format!("No entity named '{name}' found, with kind '{kind}' in namespace '{namespace}'"))
    })
}

pub(crate) async fn ancestry(
    State(hub): State<Arc<Hub>>,
    Path((kind, namespace, name)): Path<Name>,
) -> Result<Json<Value>, ApiError> {
    let root = EntityRef::new(&kind, &namespace, &name);
    let items = hub.catalog.ancestry(&root).ok_or_else(|| ApiError::NotFound(format!("No such entity {root}")))?;
    Ok(Json(json!({"rootEntityRef": root.to_string(), "items": items})))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Batch {
    entity_refs: Vec<String>,
    #[serde(default)]
    fields: Vec<String>,
}

/// One item for each reference, in its order; `null` where there is no such entity.
pub(crate) async fn by_refs(
    State(hub): State<Arc<Hub>>,
    Query(pairs): Query<Pairs>,
    JsonBody(batch): JsonBody<Batch>,
) -> Result<Json<Value>, ApiError> {
    if batch.entity_refs.len() > MAX_BATCH {
        return Err(ApiError::Input(format!("At most {MAX_BATCH} entity references can be fetched at once")));
    }
    let query = EntityQuery::parse(&pairs)?;
    let mut items = Vec::with_capacity(batch.entity_refs.len());
    for text in &batch.entity_refs {
        let entity = hub.catalog.entity(&EntityRef::parse(text, None)?).filter(|entity| query.matches(entity));
        items.push(entity.map(|entity| query::project(&entity, &batch.fields)));
    }
    Ok(Json(json!({ "items": items })))
}

pub(crate) async fn facets(State(hub): State<Arc<Hub>>, Query(pairs): Query<Pairs>) -> Result<Json<Value>, ApiError> {
    let facets: Vec<_> = pairs.iter().filter(|(key, _)| key == "facet").map(|(_, value)| value.as_str()).collect();
    if facets.is_empty() || facets.contains(&"") {
        return Err(ApiError::Input("Missing facet parameter".to_owned()));
    }
    let query = EntityQuery::parse(&pairs)?;
    let entities: Vec<_> = hub.catalog.entities().into_iter().filter(|entity| query.matches(entity)).collect();
    Ok(Json(json!({ "facets": query::facets(&entities, &facets) })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refresh {
    entity_ref: String,
}

/// Answers when the refresh is scheduled, with an empty body; here it is done by then.
pub(crate) async fn refresh(
    State(hub): State<Arc<Hub>>,
    JsonBody(Refresh { entity_ref }): JsonBody<Refresh>,
) -> Result<StatusCode, ApiError> {
    let reference = EntityRef::parse(&entity_ref, None)?;
    if hub.catalog.entity(&reference).is_none() {
        return Err(ApiError::NotFound(format!("Failed to schedule {reference} for refresh")));
    }
    hub.catalog.process();
    Ok(StatusCode::OK)
}

fn no_entity_with(uid: &str) -> ApiError {
    ApiError::NotFound(format!("No entity with uid {uid}"))
}
