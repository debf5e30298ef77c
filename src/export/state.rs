//! How far an export is: one small file beside the spool, replaced atomically before and after each step.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use uuid::Uuid;

use super::crash;
use super::object::{Facts, sha256};
use super::recipe::Recipe;
use super::report::Failure;
use crate::clock::Micros;
use crate::segment::{Run, Seen, SegmentKey, segment_id};
use crate::sink::disk::{Disk as _, Os, create_new, is_absent, retry};
use crate::sink::file_names::moment;

const VERSION: u64 = 1;
/// A state file of this library is far smaller.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Between the name of the spool and what a URL becomes.
const INFIX: &str = ".export-";
/// Of the SHA-256 of a URL.
const DIGITS: usize = 16;

/// The state of one destination.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// The id of the chain of manifests.
    pub(crate) exporter: String,
    pub(crate) destination: String,
    /// Manifests that are confirmed.
    pub(crate) number: u64,
    /// The SHA-256 of the last of them.
    pub(crate) previous: Option<String>,
    /// Everything up to this segment is exported.
    pub(crate) exported: Option<SegmentKey>,
    /// What was met up to there.
    pub(crate) seen: Seen,
    /// Records that were reported as lost up to there and that no gap has used up, by run.
    pub(crate) told: Vec<(String, u64)>,
    /// The occurrence of the schedule that the last run was made for.
    pub(crate) ran: Option<SystemTime>,
    /// The segment whose export has begun.
    pub(crate) current: Option<Current>,
}

/// A segment whose export has begun.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Current {
    pub(crate) segment: SegmentKey,
    pub(crate) recipe: Recipe,
    /// The version of this crate that began it.
    pub(crate) version: String,
    /// Objects whose put has begun; all but the last are done, and the last if `is_done`, or if the file was not written since.
    pub(crate) objects: Vec<Facts>,
    pub(crate) is_done: bool,
    /// The SHA-256 of the manifest, once its put has begun.
    pub(crate) manifest: Option<String>,
}

/// Where the state is kept.
#[derive(Debug)]
pub(crate) struct StateFile {
    pub(crate) path: PathBuf,
    /// The name of the spool that it belongs to.
    spool: String,
}

impl State {
    pub(crate) fn new(destination: &str) -> Self {
        Self {
            exporter: Uuid::new_v4().to_string(),
            destination: destination.to_owned(),
            number: 0,
            previous: None,
            exported: None,
            seen: Seen::default(),
            told: Vec::new(),
            ran: None,
            current: None,
        }
    }
}

/// The state file of a destination, which follows from its URL alone: `audit.log.export-9f86d081884c7d65`. So the order of
/// destinations, and what is added or removed, changes nobody's progress.
pub(crate) fn path(spool: &Path, url: &str) -> PathBuf {
    let mut path = spool.as_os_str().to_owned();
    path.push(INFIX);
    path.push(&sha256(url.as_bytes())[..DIGITS]);
    path.into()
}

/// All state files of a spool, whether their destinations are still configured or not.
pub(crate) fn beside(spool: &Path) -> Vec<StateFile> {
    let (Some(folder), Some(name)) = (spool.parent(), spool.file_name()) else { return Vec::new() };
    let is_ours = |path: &PathBuf| {
        let rest = path.file_name().and_then(|file| file.as_encoded_bytes().strip_prefix(name.as_encoded_bytes()));
        let digits = rest.and_then(|rest| rest.strip_prefix(INFIX.as_bytes()));
        digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_ours).collect();
    paths.sort();
    paths.into_iter().map(|path| StateFile::new(path, spool)).collect()
}

/// The last moment of sealing that any state file of this spool names.
pub(crate) fn highest_exported(spool: &Path) -> Option<Micros> {
    beside(spool).iter().filter_map(|file| file.read().ok()??.exported).map(|(at, _)| at).max()
}

impl StateFile {
    pub(crate) fn new(path: PathBuf, spool: &Path) -> Self {
        let spool = spool.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self { path, spool }
    }

    /// The state, if there is one yet.
    pub(crate) fn read(&self) -> Result<Option<State>, Failure> {
        let wrong = |what: &str| {
            Failure::because(format!(
                "the state file {} {what}; nothing is exported until it is restored, or moved away to begin a new chain of \
                 manifests, which is refused where the destination has an object already",
                self.path.display()
            ))
        };
        let cannot =
            |error: &io::Error| Failure::new(format!("cannot read the state file {}", self.path.display()), error);
        let text = match fs::metadata(&self.path) {
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(cannot(&error)),
            Ok(metadata) if metadata.len() > MAX_BYTES => return Err(wrong("is too large to be one")),
            Ok(_) => fs::read(&self.path).map_err(|error| cannot(&error))?,
        };
        let value: Value = serde_json::from_slice(&text).map_err(|_| wrong("is no JSON: it is torn or was changed"))?;
        match value["version"].as_u64() {
            Some(VERSION) => {}
            Some(newer) if newer > VERSION => return Err(wrong("was written by a newer version")),
            _ => return Err(wrong("has no version")),
        }
        if value["spool"].as_str() != Some(&self.spool) {
            return Err(wrong("belongs to another spool"));
        }
        from_json(&value).map(Some).ok_or_else(|| wrong("was changed: a member is missing or wrong"))
    }

    /// Replaces the file; durable when it returns.
    pub(crate) fn write(&self, state: &State) -> Result<(), Failure> {
        crash::point();
        self.replace(to_json(state, &self.spool).to_string().as_bytes())
            .map_err(|error| Failure::new(format!("cannot write the state file {}", self.path.display()), &error))?;
        crash::point();
        Ok(())
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        match fs::remove_file(&temporary) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
        let mut file: File = create_new(&temporary, 0o600)?;
        file.write_all(text)?;
        retry(|| file.sync_all())?;
        drop(file);
        crash::point();
        fs::rename(&temporary, &self.path)?;
        self.path.parent().map_or(Ok(()), |folder| Os.sync_folder(folder))
    }
}

fn to_json(state: &State, spool: &str) -> Value {
    let runs: Vec<Value> = state
        .seen
        .runs()
        .map(|run| json!({"instance": run.instance, "upto": run.upto, "missing": run.missing}))
        .collect();
    let current = state.current.as_ref().map(|current| {
        json!({
            "segment": segment_id(current.segment),
            "recipe": current.recipe.to_json(),
            "version": current.version,
            "objects": current.objects.iter().map(Facts::to_json).collect::<Vec<_>>(),
            "isDone": current.is_done,
            "manifest": current.manifest,
        })
    });
    json!({
        "version": VERSION,
        "spool": spool,
        "exporter": state.exporter,
        "destination": state.destination,
        "number": state.number,
        "previous": state.previous,
        "exported": state.exported.map(segment_id),
        "seen": runs,
        "told": state.told,
        "ran": state.ran.and_then(|ran| ran.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs()),
        "current": current,
    })
}

fn from_json(value: &Value) -> Option<State> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let optional = |value: &Value| if value.is_null() { Some(None) } else { text(value).map(Some) };
    let key = |value: &Value| if value.is_null() { Some(None) } else { segment_key(value.as_str()?).map(Some) };
    let pair = |value: &Value| Some((value.get(0)?.as_u64()?, value.get(1)?.as_u64()?));
    let run = |value: &Value| {
        let missing = value["missing"].as_array()?.iter().map(pair).collect::<Option<_>>()?;
        Some(Run { instance: text(&value["instance"])?, upto: value["upto"].as_u64()?, missing })
    };
    let told = |value: &Value| Some((text(value.get(0)?)?, value.get(1)?.as_u64()?));
    let current = |value: &Value| {
        Some(Current {
            segment: segment_key(value["segment"].as_str()?)?,
            recipe: Recipe::from_json(&value["recipe"])?,
            version: text(&value["version"])?,
            objects: value["objects"].as_array()?.iter().map(Facts::from_json).collect::<Option<_>>()?,
            is_done: value["isDone"].as_bool()?,
            manifest: optional(&value["manifest"])?,
        })
    };
    Some(State {
        exporter: text(&value["exporter"])?,
        destination: text(&value["destination"])?,
        number: value["number"].as_u64()?,
        previous: optional(&value["previous"])?,
        exported: key(&value["exported"])?,
        seen: Seen::from_runs(value["seen"].as_array()?.iter().map(run).collect::<Option<Vec<_>>>()?),
        told: value["told"].as_array()?.iter().map(told).collect::<Option<_>>()?,
        ran: value["ran"].as_u64().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds.min(1 << 40))),
        current: if value["current"].is_null() { None } else { Some(current(&value["current"])?) },
    })
}

fn segment_key(id: &str) -> Option<(Micros, u64)> {
    let (at, random) = id.split_once('-')?;
    Some((moment(at)?, u64::from_str_radix(random, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::LogType;

    fn state() -> State {
        let mut seen = Seen::default();
        for (instance, seq) in [("a", 1), ("a", 5), ("b", 2)] {
            seen.take(instance, seq);
        }
        let facts = Facts {
            name: "audit-logs/date=2026-11-20/x.json".into(),
            log_type: LogType::Audit,
            records: 2,
            len: 10,
            sha256: "00".into(),
            first: "f".into(),
            last: "l".into(),
        };
        let current = Current {
            segment: (Micros(1_795_169_730_123_456), 7),
            recipe: Recipe::default(),
            version: "0.1.0".into(),
            objects: vec![facts],
            is_done: false,
            manifest: Some("11".into()),
        };
        State {
            number: 3,
            previous: Some("ab".into()),
            exported: Some((Micros(1_795_169_730_123_455), u64::MAX)),
            seen,
            told: vec![("a".into(), 3)],
            ran: Some(UNIX_EPOCH + Duration::from_secs(1_795_169_730)),
            current: Some(current),
            ..State::new("file:///export")
        }
    }

    fn file(folder: &tempfile::TempDir) -> StateFile {
        StateFile::new(folder.path().join("audit.log.export"), Path::new("/somewhere/audit.log"))
    }

    #[test]
    fn a_state_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        assert_eq!(file.read(), Ok(None));
        for state in [state(), State::new("x")] {
            file.write(&state).unwrap();
            assert_eq!(file.read(), Ok(Some(state)));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn each_destination_has_a_state_file_of_its_own_wherever_it_is_in_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("audit.log");
        let (one, two) = (path(&spool, "file:///one"), path(&spool, "file:///two"));
        assert_ne!(one, two);
        // From `printf file:///one | sha256sum`: what a release names is found by the next one.
        assert!(one.ends_with("audit.log.export-a35955adc2c93f91"), "{one:?}");
        for (path, at) in [(&one, 5), (&two, 7)] {
            let state = State { exported: Some((Micros(at), 1)), ..State::new("x") };
            StateFile::new(path.clone(), &spool).write(&state).unwrap();
        }
        for other in [
            "audit.log.export-1",
            "audit.log.export-0123456789abcdef.tmp",
            "audit.log.lock",
            "b.log.export-0123456789abcdef",
        ] {
            fs::write(folder.path().join(other), b"{}").unwrap();
        }
        let mut paths: Vec<PathBuf> = beside(&spool).into_iter().map(|file| file.path).collect();
        paths.sort_by_key(|path| *path != one);
        assert_eq!(paths, [one, two]);
        assert_eq!(highest_exported(&spool), Some(Micros(7)));
        assert_eq!(highest_exported(&folder.path().join("other.log")), None);
    }

    #[test]
    fn a_state_that_is_torn_newer_or_anothers_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        let whole = to_json(&state(), "audit.log").to_string();
        for (text, why) in [
            (whole[..whole.len() / 2].to_owned(), "torn"),
            (String::new(), "torn"),
            ("{}".to_owned(), "no version"),
            (whole.replace("\"version\":1", "\"version\":2"), "newer version"),
            (to_json(&state(), "other.log").to_string(), "another spool"),
            (whole.replace("\"number\":3", "\"number\":\"3\""), "was changed"),
        ] {
            fs::write(&file.path, text).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("audit.log.export"), "{why}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_state_file_is_read_without_a_panic(at in 0..4_000_usize, byte: u8) {
            let folder = tempfile::tempdir().unwrap();
            let file = file(&folder);
            let mut text = to_json(&state(), "audit.log").to_string().into_bytes();
            let at = at % text.len();
            text[at] = byte;
            fs::write(&file.path, text).unwrap();
            let _ = file.read();
        }
    }
}
