//! From the builder's values and the settings from outside to a checked plan.

use std::path::Path;
use std::time::Duration;

use super::courier::Courier;
use super::object::MAX_OBJECT;
use super::recipe::Recipe;
use super::schedule::{CRON_ALLOWED, Schedule, ZONE_ALLOWED};
use super::state;
use super::store::Target;
use super::{BucketOptions, CannedAcl, Destination, Export, ExportFormat};
use crate::LogType;
use crate::config::{Location, Refusal, Settings, external_id, kms_key_id, location, role_arn};
use crate::diagnostics::report;
use crate::error::Error;
use crate::export::exporter::RunHook;
use crate::sink::{FileOptions, Spool};

/// What is exported where, checked.
pub(crate) struct Chosen {
    /// A file of its own; none: the file of `TOWER_AUDIT_SINK` is the spool.
    pub(crate) spool: Option<FileOptions>,
    pub(crate) places: Vec<Place>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) jitter: Duration,
    pub(crate) spool_bytes: u64,
    pub(crate) hook: Option<RunHook>,
}

/// A checked destination.
pub(crate) struct Place {
    /// `file:///mnt/archive` or `s3://bucket/prefix`, however it was given: what the state file compares.
    pub(crate) url: String,
    pub(crate) target: Target,
    pub(crate) recipe: Recipe,
}

impl Place {
    /// The one who carries segments there.
    pub(crate) fn courier(self, spool: &Spool) -> Courier {
        let file = state::path(spool.active(), &self.url);
        Courier::new(self.url, self.target.store(), self.recipe, file, spool.active())
    }
}

/// Says which state files are of no destination any more. They keep nothing back from retention.
pub(crate) fn report_abandoned(spool: &Path, places: &[Place]) {
    for file in state::beside(spool) {
        if places.iter().any(|place| state::path(spool, &place.url) == file.path) {
            continue;
        }
        let destination = file.read().ok().flatten().map(|state| state.destination);
        let destination = destination.as_deref().unwrap_or("unknown");
        report(|| {
            tracing::warn!(
                target: "tower_audit", path = %file.path.display(), destination,
                "export: nothing is exported to this destination any more, and nothing is kept for it; remove its state file if \
                 it does not come back"
            );
        });
    }
}

const MIN_OBJECT: u64 = 64 * 1024;
const MIN_SPOOL: u64 = 1024 * 1024;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What holds: the settings from outside over those of the code.
pub(crate) fn choose(outside: &Settings, spool: Option<FileOptions>, export: Option<Export>) -> Result<Chosen, Error> {
    let from_code = export.is_some();
    let mut export = export.unwrap_or_else(|| Export::to(Destination::new("")));
    if let Some(url) = &outside.export_url {
        first(&mut export).url.clone_from(url);
    }
    if let Some(cron) = &outside.export_cron {
        export.cron = Some(cron.clone());
    }
    if !from_code {
        let missing = [("URL", outside.export_url.is_none()), ("CRON", outside.export_cron.is_none())];
        if let Some((name, _)) = missing.into_iter().find(|(_, missing)| *missing) {
            return Err(Error::setting(format!(
                "TOWER_AUDIT_EXPORT_{name}: given nothing, required with TOWER_AUDIT_EXPORT_ENABLED=true"
            )));
        }
    }
    if let Some(timezone) = &outside.export_timezone {
        export.timezone.clone_from(timezone);
    }
    export.jitter = outside.export_jitter.unwrap_or(export.jitter);
    export.spool_bytes = outside.export_spool_bytes.unwrap_or(export.spool_bytes);
    let recipe = &mut first(&mut export).recipe;
    take_recipe(outside, recipe);
    let are_columns_idle = outside.export_csv_columns.is_some() && recipe.format != ExportFormat::Csv;
    take_bucket(outside, &mut first(&mut export).bucket);
    let chosen = check(export, spool)?;
    if are_columns_idle {
        return Err(Error::setting(format!(
            "{}: given without a CSV; allowed with {}",
            outside.name_of("export_csv_columns", "export columns"),
            outside.add_beside("export_csv_columns", "export_format", "csv"),
        )));
    }
    Ok(chosen)
}

fn first(export: &mut Export) -> &mut Destination {
    if export.destinations.is_empty() {
        export.destinations.push(Destination::new(""));
    }
    &mut export.destinations[0]
}

fn take_recipe(outside: &Settings, recipe: &mut Recipe) {
    let format = outside.export_format.as_deref();
    let format = format.and_then(|name| ExportFormat::ALL.into_iter().find(|format| format.as_str() == name));
    recipe.format = format.unwrap_or(recipe.format);
    if let Some(columns) = &outside.export_csv_columns {
        recipe.columns.clone_from(columns);
    }
    if let Some(omit) = &outside.export_omit {
        recipe.omit.clone_from(omit);
    }
    recipe.gzip = outside.export_gzip.unwrap_or(recipe.gzip);
    recipe.object_bytes = outside.export_object_bytes.unwrap_or(recipe.object_bytes);
    if let Some(names) = &outside.export_log_types {
        recipe.log_types =
            LogType::ALL.iter().copied().filter(|of| names.iter().any(|name| name == of.as_str())).collect();
    }
    for (given, taken) in [
        (&outside.export_events, &mut recipe.events),
        (&outside.export_repositories, &mut recipe.repositories),
        (&outside.export_scopes, &mut recipe.scopes),
    ] {
        if let Some(given) = given {
            taken.clone_from(given);
        }
    }
}

fn take_bucket(outside: &Settings, bucket: &mut BucketOptions) {
    for (given, taken) in [
        (&outside.export_role_arn, &mut bucket.role_arn),
        (&outside.export_external_id, &mut bucket.external_id),
        (&outside.export_kms_key_id, &mut bucket.kms_key_id),
    ] {
        if given.is_some() {
            taken.clone_from(given);
        }
    }
    if let Some(acl) = outside.export_acl.as_deref() {
        bucket.acl = CannedAcl::ALL.into_iter().find(|of| of.as_str() == acl);
    }
}

/// Where it goes, and the one way of writing that.
fn target(url: &str, bucket: &BucketOptions) -> Result<(String, Target), Error> {
    let wrong = |what: &str, given: &str, allowed: &str| {
        Error::setting(format!("export {what}: given {given}, allowed: {allowed}"))
    };
    let refused = |what: &'static str| move |refusal: Refusal| wrong(what, &refusal.given, &refusal.allowed);
    let location = location(url).map_err(refused("destination (TOWER_AUDIT_EXPORT_URL)"))?;
    for (given, what, check) in [
        (&bucket.role_arn, "role_arn (TOWER_AUDIT_EXPORT_ROLE_ARN)", role_arn as fn(&str) -> Result<String, Refusal>),
        (&bucket.external_id, "external_id (TOWER_AUDIT_EXPORT_EXTERNAL_ID)", external_id),
        (&bucket.kms_key_id, "kms_key_id (TOWER_AUDIT_EXPORT_KMS_KEY_ID)", kms_key_id),
    ] {
        given.as_deref().map(check).transpose().map_err(refused(what))?;
        if given.is_some() && matches!(location, Location::Folder(_)) {
            return Err(wrong(what, "with a folder", "with a destination s3://bucket/prefix"));
        }
    }
    if bucket.external_id.is_some() && bucket.role_arn.is_none() {
        let what = "external_id (TOWER_AUDIT_EXPORT_EXTERNAL_ID)";
        return Err(wrong(what, "without a role", "with role_arn (TOWER_AUDIT_EXPORT_ROLE_ARN)"));
    }
    match location {
        Location::Folder(_) if bucket.acl.is_some() => {
            Err(wrong("acl (TOWER_AUDIT_EXPORT_ACL)", "with a folder", "with a destination s3://bucket/prefix"))
        }
        Location::Folder(folder) => Ok((format!("file://{}", folder.display()), Target::Folder(folder))),
        #[cfg(feature = "s3")]
        Location::Bucket(url) => {
            let text = url.to_string();
            let bucket = super::s3::Bucket::new(url, bucket.clone(), &super::s3::AwsVars::of_process()?)?;
            Ok((text, Target::Bucket(Box::new(bucket))))
        }
        #[cfg(not(feature = "s3"))]
        Location::Bucket(_) => Err(wrong("destination", "a bucket", "a folder")),
    }
}

fn check(export: Export, spool: Option<FileOptions>) -> Result<Chosen, Error> {
    let wrong =
        |what: &str, given: &str, allowed: &str| Error::setting(format!("{what}: given {given}, allowed: {allowed}"));
    let zone = Schedule::zone(&export.timezone).ok_or_else(|| {
        wrong("export timezone (TOWER_AUDIT_EXPORT_TIMEZONE)", &format!("{:?}", export.timezone), ZONE_ALLOWED)
    })?;
    let parse = |cron: &String| {
        Schedule::parse(cron, &zone)
            .ok_or_else(|| wrong("export cron (TOWER_AUDIT_EXPORT_CRON)", &format!("{cron:?}"), CRON_ALLOWED))
    };
    let schedule = export.cron.as_ref().map(parse).transpose()?;
    if export.jitter > DAY {
        return Err(wrong(
            "export jitter (TOWER_AUDIT_EXPORT_JITTER)",
            &format!("{:?}", export.jitter),
            "at most a day",
        ));
    }
    if export.spool_bytes < MIN_SPOOL {
        return Err(wrong(
            "export spool_bytes (TOWER_AUDIT_EXPORT_SPOOL_BYTES)",
            &export.spool_bytes.to_string(),
            "1MiB or more",
        ));
    }
    let mut places: Vec<Place> = Vec::new();
    for Destination { url, recipe, bucket } in export.destinations {
        let (url, target) = target(&url, &bucket)?;
        if !(MIN_OBJECT..=MAX_OBJECT).contains(&recipe.object_bytes) {
            let given = recipe.object_bytes.to_string();
            return Err(wrong("export object_bytes (TOWER_AUDIT_EXPORT_OBJECT_BYTES)", &given, "64KiB to 1GiB"));
        }
        for log_type in &recipe.log_types {
            recipe.columns(*log_type).map_err(|error| {
                Error::setting(format!(
                    "export columns (TOWER_AUDIT_EXPORT_CSV_COLUMNS): {error}; allowed: flat, cloudsmith, or fields separated by commas"
                ))
            })?;
        }
        if let Some(scope) = recipe.scopes.iter().find(|scope| scope.trim_matches('/').is_empty()) {
            let allowed = "paths of scopes such as group/sub; leave it out for all";
            return Err(wrong("export scopes (TOWER_AUDIT_EXPORT_SCOPES)", &format!("{scope:?}"), allowed));
        }
        if recipe.log_types.is_empty() {
            return Err(wrong("export log_types (TOWER_AUDIT_EXPORT_LOG_TYPES)", "none", "audit, client, or both"));
        }
        if let Some(same) = places.iter().find(|place| place.url == url) {
            return Err(Error::setting(format!(
                "export destination {url}: given twice, for the log types {} and {}; their manifests would have the same names: \
                 give each a folder of its own, such as {url}/one and {url}/two",
                named(&same.recipe),
                named(&recipe)
            )));
        }
        places.push(Place { url, target, recipe });
    }
    Ok(Chosen { spool, places, schedule, jitter: export.jitter, spool_bytes: export.spool_bytes, hook: export.hook })
}

fn named(recipe: &Recipe) -> String {
    let names: Vec<_> = recipe.log_types.iter().map(|log_type| log_type.as_str()).collect();
    format!("[{}]", names.join(", "))
}
