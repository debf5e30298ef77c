//! Which records a destination gets, and as which log type.

use super::recipe::Recipe;
use crate::LogType;
use crate::segment::SegmentLine;

/// The log type under which the record is exported; `None` if it is not.
///
/// This library's own records are always among the audit logs: an export without them could not tell what is missing.
pub(crate) fn log_type(recipe: &Recipe, line: &SegmentLine<'_>) -> Option<LogType> {
    if line.is_internal() {
        return recipe.log_types.contains(&LogType::Audit).then_some(LogType::Audit);
    }
    let log_type = if line.log_type() == LogType::Client.as_str() { LogType::Client } else { LogType::Audit };
    let is_wanted = recipe.log_types.contains(&log_type)
        && is_event_wanted(recipe, line)
        && is_repository_wanted(recipe, line)
        && is_scope_wanted(recipe, line);
    is_wanted.then_some(log_type)
}

fn is_event_wanted(recipe: &Recipe, line: &SegmentLine<'_>) -> bool {
    let is_listed = |name: &String| name == line.event_name() || name == line.event_kind();
    recipe.events.is_empty() || recipe.events.iter().chain(&recipe.always).any(is_listed)
}

fn is_repository_wanted(recipe: &Recipe, line: &SegmentLine<'_>) -> bool {
    let is_listed = |repository: &str| recipe.repositories.iter().any(|wanted| wanted == repository);
    recipe.repositories.is_empty() || line.repository().is_some_and(|repository| is_listed(&repository))
}

/// Whole segments of the path: `group` has `group/sub` below it, and not `groups`.
fn is_scope_wanted(recipe: &Recipe, line: &SegmentLine<'_>) -> bool {
    let is_within = |path: &str| {
        let below = |wanted: &String| {
            let rest = path.trim_matches('/').strip_prefix(wanted.trim_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        recipe.scopes.iter().any(below)
    };
    recipe.scopes.is_empty() || line.scope_path().is_some_and(|path| is_within(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(recipe: &Recipe, members: &str) -> Option<LogType> {
        let line = format!(
            r#"{{"timestamp":"2026-11-20T07:55:37.720973Z","isAuditLog":true,"instance":"a","seq":1,{members}}}"#
        );
        log_type(recipe, &SegmentLine::parse(line.as_bytes()).unwrap())
    }

    #[test]
    fn names_and_kinds_choose_alike_and_the_always_list_counts_when_any_are_listed() {
        let mut recipe = Recipe { always: vec!["artifact_downloaded".into()], ..Recipe::default() };
        let copied = r#""eventName":"artifact_copied","eventKind":"artifact""#;
        let downloaded = r#""eventName":"artifact_downloaded","eventKind":"artifact""#;
        let cve = r#""eventName":"cve_updated","eventKind":"cve""#;
        let which = |recipe: &Recipe| [copied, downloaded, cve].map(|members| chosen(recipe, members).is_some());
        assert_eq!(which(&recipe), [true, true, true]);
        recipe.events = vec!["cve".into()];
        assert_eq!(which(&recipe), [false, true, true]);
        recipe.events = vec!["artifact_copied".into()];
        assert_eq!(which(&recipe), [true, true, false]);
    }

    #[test]
    fn repositories_scopes_and_log_types_are_chosen_exactly() {
        let event = r#""eventName":"E""#;
        let repositories = Recipe { repositories: vec!["a\"b".into()], ..Recipe::default() };
        assert!(chosen(&repositories, &format!(r#"{event},"repository":"a\"b""#)).is_some());
        assert!(chosen(&repositories, &format!(r#"{event},"repository":"a""#)).is_none());
        assert!(chosen(&repositories, event).is_none());
        let scopes = Recipe { scopes: vec!["group/sub".into()], ..Recipe::default() };
        for (path, is_within) in [("group/sub", true), ("group/sub/p", true), ("group/subs", false), ("group", false)] {
            let members = format!(r#"{event},"scope":{{"kind":"group","path":"{path}"}}"#);
            assert_eq!(chosen(&scopes, &members).is_some(), is_within, "{path}");
        }
        let slashes = Recipe { scopes: vec!["/group/".into()], ..Recipe::default() };
        for (path, is_within) in [("group", true), ("group/sub", true), ("/group/sub", true), ("groups", false)] {
            let members = format!(r#"{event},"scope":{{"kind":"group","path":"{path}"}}"#);
            assert_eq!(chosen(&slashes, &members).is_some(), is_within, "{path}");
        }
        let client = Recipe { log_types: vec![LogType::Client], ..Recipe::default() };
        assert_eq!(chosen(&client, &format!(r#"{event},"logType":"client""#)), Some(LogType::Client));
        assert_eq!(chosen(&client, &format!(r#"{event},"logType":"audit""#)), None);
        assert_eq!(chosen(&Recipe::default(), event), Some(LogType::Audit));
    }

    #[test]
    fn no_filter_removes_the_librarys_own_records_from_the_audit_logs() {
        let own = r#""eventName":"AuditRecordsLost","eventKind":"audit""#;
        let strict = Recipe {
            events: vec!["x".into()],
            repositories: vec!["x".into()],
            scopes: vec!["x".into()],
            ..Recipe::default()
        };
        assert_eq!(chosen(&strict, own), Some(LogType::Audit));
        let client = Recipe { log_types: vec![LogType::Client], ..Recipe::default() };
        assert_eq!(chosen(&client, own), None, "they are among the audit logs, which this destination does not get");
    }
}
