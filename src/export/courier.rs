//! One destination: takes the segments that wait there, one after another, to their manifests.
//!
//! segment reader → selection → objects → store → manifest → state. Each put is noted before it begins and after
//! it is done, and each can be repeated: what a segment's export puts follows from the segment and from what was noted with its first put.

use std::path::PathBuf;
use std::time::SystemTime;

use super::manifest::{self, Tally};
use super::object::{Facts, Object, ObjectWriter, Row, sha256};
use super::recipe::Recipe;
use super::report::{ExportReport, Failure};
use super::select;
use super::state::{Current, State, StateFile};
use super::store::{NotPut, Put, Store};
use crate::error::Error;
use crate::record::LineReader;
use crate::segment::{Seen, Segment, SegmentKey, SegmentLine, SeqCheck, segment_id};
use crate::{LogType, RecordLine};

/// A destination with its progress.
pub(crate) struct Courier {
    /// For messages, manifests and the state file.
    url: String,
    recipe: Recipe,
    store: Box<dyn Store>,
    file: StateFile,
    spool: String,
    /// As the file has it; `None` until it was read.
    state: Option<State>,
}

/// Why a segment was not exported to its end.
pub(crate) enum Stop {
    Failed(Failure),
    /// Somebody asked for it. What was done counts, and is gone on with the next time.
    Asked,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Whether the run is to end early; asked between steps.
pub(crate) type IsOver<'a> = &'a dyn Fn() -> bool;

/// Lines between two looks at whether the run is to end.
const LINES: u64 = 4_096;

impl Courier {
    pub(crate) fn new(
        url: String,
        store: Box<dyn Store>,
        recipe: Recipe,
        file: PathBuf,
        spool: &std::path::Path,
    ) -> Self {
        let file = StateFile::new(file, spool);
        let spool = spool.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self { url, recipe, store, file, spool, state: None }
    }

    /// Reads the state, if that was not done yet. A destination that has none yet begins a chain of manifests with what the
    /// folder of the spool holds.
    pub(crate) fn load(&mut self) -> Result<(), Failure> {
        if self.state.is_some() {
            return Ok(());
        }
        let state = match self.file.read()? {
            Some(state) if state.destination == self.url => state,
            Some(other) => {
                return Err(Failure::because(format!(
                    "the state file {} is of the destination {}, and not of {}; move it away",
                    self.file.path.display(),
                    other.destination,
                    self.url
                )));
            }
            None => State::new(&self.url),
        };
        self.state = Some(state);
        Ok(())
    }

    /// For messages.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Everything up to this segment is exported; `None` also while the state is unknown.
    pub(crate) fn exported(&self) -> Option<SegmentKey> {
        self.state.as_ref().and_then(|state| state.exported)
    }

    /// The occurrence of the schedule that the last run was made for.
    pub(crate) fn ran(&self) -> Option<SystemTime> {
        self.state.as_ref().and_then(|state| state.ran)
    }

    /// Notes that a run begins, for an occurrence of the schedule.
    pub(crate) fn note_run(&mut self, at: SystemTime) -> Result<(), Failure> {
        self.load()?;
        let Self { state: Some(state), file, .. } = self else { return Ok(()) };
        note(file, state, |state| state.ran = Some(at))
    }

    /// Exports these segments, in their order; `after` is called after each.
    pub(crate) fn run(
        &mut self,
        segments: &[Segment],
        is_over: IsOver<'_>,
        done: &mut ExportReport,
        after: &mut dyn FnMut(Option<SegmentKey>),
    ) -> Result<(), Stop> {
        self.load()?;
        self.check_current(segments)?;
        for segment in segments {
            if is_over() {
                return Err(Stop::Asked);
            }
            self.export(segment, is_over, done)?;
            done.segments += 1;
            after(self.exported());
        }
        Ok(())
    }

    /// A segment whose export has begun must still be there, and be the next.
    fn check_current(&mut self, segments: &[Segment]) -> Result<(), Failure> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let Some(current) = &state.current else { return Ok(()) };
        if segments.first().is_some_and(|segment| segment.key() == current.segment) {
            return Ok(());
        }
        if current.objects.is_empty() && current.manifest.is_none() {
            // Nothing of it is at the destination: its name was taken there, and somebody has moved the segment away.
            state.current = None;
            return Ok(());
        }
        Err(Failure::because(format!(
            "the export of segment {} has begun, and it is not the next in the folder of the spool: it was removed, or the state \
             file is of another folder",
            segment_id(current.segment)
        )))
    }

    fn export(&mut self, segment: &Segment, is_over: IsOver<'_>, done: &mut ExportReport) -> Result<(), Stop> {
        let Self { recipe, store, file, spool, state, .. } = self;
        let Some(state) = state else { return Ok(()) };
        if state.current.is_none() {
            // The note of its first put has it: until then nothing follows from it.
            state.current = Some(Current {
                segment: segment.key(),
                recipe: recipe.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                objects: Vec::new(),
                is_done: true,
                manifest: None,
            });
        }
        let mut putting = Putting { store: &mut **store, is_over, file, state, next: 0, done };
        let (tally, notes, seen) = putting.objects(segment)?;
        putting.manifest(segment, (&tally, &notes), seen, spool)?;
        Ok(())
    }
}

/// The export of one segment under way.
struct Putting<'a> {
    store: &'a mut dyn Store,
    is_over: IsOver<'a>,
    file: &'a StateFile,
    state: &'a mut State,
    /// How many of its objects were made, put or found done.
    next: usize,
    done: &'a mut ExportReport,
}

impl Putting<'_> {
    /// Reads the segment and puts its objects.
    fn objects(&mut self, segment: &Segment) -> Result<(Tally, crate::segment::Notes, Seen), Stop> {
        let cannot_read = |error: Error| Failure::because(error.to_string());
        let recipe = self.current()?.recipe.clone();
        let id = segment.id();
        let writer = |log_type: &LogType| Ok((*log_type, ObjectWriter::new(&recipe, *log_type, &id)?));
        let mut writers: Vec<(LogType, ObjectWriter)> =
            recipe.log_types.iter().map(writer).collect::<Result<_, Failure>>()?;
        let mut seen = self.state.seen.clone();
        let (mut tally, mut lines, mut records) = (Tally::default(), 0_u64, LineReader::default());
        // What comes before the first segment of a chain is not missed.
        let mut begins = self.state.number == 0 && seen.runs().next().is_none();
        let mut reader = segment.open().map_err(cannot_read)?;
        while let Some(line) = reader.next_line().map_err(cannot_read)? {
            if std::mem::take(&mut begins) {
                seen.begin_at(line.instance(), line.seq());
            }
            // Its number stays missing: a later copy of the line may be whole.
            let Ok(record) = read_back(&mut records, &recipe, &line, segment)? else {
                tally.note_unreadable();
                continue;
            };
            let verdict = seen.take(line.instance(), line.seq());
            let log_type = select::log_type(&recipe, &line).filter(|_| verdict != SeqCheck::Repeated);
            let writer = log_type.and_then(|log_type| writers.iter_mut().find(|(of, _)| *of == log_type));
            let mut is_taken = false;
            if let Some((_, writer)) = writer
                && let Some(full) = writer.push(Row { line, record: record.as_ref() }, &mut is_taken)?
            {
                self.object(&full)?;
                writer.recycle(full);
            }
            tally.take(&line, verdict, is_taken);
            lines += 1;
            if lines.is_multiple_of(LINES) && (self.is_over)() {
                return Err(Stop::Asked);
            }
        }
        for (_, writer) in &mut writers {
            if let Some(last) = writer.finish()? {
                self.object(&last)?;
            }
        }
        Ok((tally, reader.notes().clone(), seen))
    }

    fn current(&self) -> Result<&Current, Failure> {
        self.state.current.as_ref().ok_or_else(|| Failure::because("no export of a segment has begun"))
    }

    fn note(&mut self, change: impl FnOnce(&mut Current)) -> Result<(), Failure> {
        note(self.file, self.state, |state| {
            if let Some(current) = &mut state.current {
                change(current);
            }
        })
    }

    /// Puts an object, unless it was put before.
    fn object(&mut self, object: &Object) -> Result<(), Stop> {
        let at = self.next;
        self.next += 1;
        let current = self.current()?;
        let noted = current.objects.get(at).cloned();
        let is_last = at + 1 == current.objects.len();
        match &noted {
            Some(noted) if *noted != object.facts => return Err(changed(noted).into()),
            // All before the last are done.
            Some(_) if !is_last || current.is_done => return Ok(()),
            Some(_) => {}
            None => {
                self.note(|current| {
                    current.objects.push(object.facts.clone());
                    current.is_done = false;
                })?;
            }
        }
        let Facts { name, records, len, .. } = &object.facts;
        let put = Put { name, bytes: &object.bytes, is_repeated: noted.is_some() };
        self.put(&put, |current| {
            current.objects.pop();
            current.is_done = true;
        })?;
        self.note(|current| current.is_done = true)?;
        self.done.objects += 1;
        self.done.records += records;
        self.done.bytes += len;
        Ok(())
    }

    /// Puts an object whose put is noted as begun. If it turns out not to have begun, that is noted too: what has its name
    /// must not be taken for it the next time.
    fn put(&mut self, put: &Put<'_>, has_not_begun: impl FnOnce(&mut Current)) -> Result<(), Stop> {
        match self.store.put(put, self.is_over) {
            Ok(()) => Ok(()),
            Err(NotPut::Failed(failure)) => Err(failure.into()),
            Err(NotPut::NotBegun(failure)) => {
                if !put.is_repeated {
                    self.note(has_not_begun)?;
                }
                Err(failure.map_or(Stop::Asked, Stop::Failed))
            }
            Err(NotPut::Asked) => Err(Stop::Asked),
        }
    }

    /// Puts the manifest, last, and is done with the segment.
    fn manifest(
        &mut self,
        segment: &Segment,
        (tally, notes): (&Tally, &crate::segment::Notes),
        seen: Seen,
        spool: &str,
    ) -> Result<(), Stop> {
        let name = manifest::name(&segment.id());
        let current = self.current()?.clone();
        if let Some(noted) = current.objects.get(self.next) {
            return Err(changed(noted).into());
        }
        let bytes = manifest::write(self.state, &current, segment, (tally, notes), &seen, spool);
        let digest = sha256(&bytes);
        let is_repeated = current.manifest.is_some();
        if !is_repeated {
            self.note(|current| current.manifest = Some(digest.clone()))?;
        } else if current.manifest.as_ref() != Some(&digest) {
            let changed = format!("{name} would be another than the one whose put had begun: the segment was changed");
            return Err(Failure::because(changed).into());
        }
        let put = Put { name: &name, bytes: &bytes.into(), is_repeated };
        self.put(&put, |current| current.manifest = None)?;
        let told = manifest::told_after(self.state, tally, &seen);
        note(self.file, self.state, |state| {
            state.told = told;
            state.number += 1;
            state.previous = Some(digest);
            state.exported = Some(current.segment);
            state.seen = seen;
            state.current = None;
        })?;
        Ok(())
    }
}

/// Changes the state, in the file first: what a restart would not know must neither be gone on from, nor let retention remove
/// anything.
fn note(file: &StateFile, state: &mut State, change: impl FnOnce(&mut State)) -> Result<(), Failure> {
    let mut changed = state.clone();
    change(&mut changed);
    file.write(&changed)?;
    *state = changed;
    Ok(())
}

/// The record of a line, where the format needs it; the inner error is a line that shows none.
fn read_back(
    records: &mut LineReader,
    recipe: &Recipe,
    line: &SegmentLine<'_>,
    segment: &Segment,
) -> Result<Result<Option<RecordLine>, Error>, Failure> {
    /// Within it keys are only added.
    const MAJOR: u32 = 1;
    if !recipe.reads_records() {
        return Ok(Ok(None));
    }
    match records.parse(line.json()) {
        // It may be a record that a newer version reads: nothing of it may be lost.
        Err(_) if major(line.schema()).is_some_and(|major| major > MAJOR) => Err(Failure::because(format!(
            "{} holds records of schema {:?}, which this version cannot write as {} or without some of their fields; export them with the version that wrote \
             them, or as json",
            segment.path().display(),
            line.schema(),
            recipe.format.as_str()
        ))),
        parsed => Ok(parsed.map(Some)),
    }
}

/// The version before the first point; `None` if it is no version.
fn major(schema: &str) -> Option<u32> {
    schema.split('.').next()?.parse().ok()
}

fn changed(noted: &Facts) -> Failure {
    Failure::because(format!(
        "{} would be another than the one whose put had begun: the segment was changed",
        noted.name
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::export::ExportFormat;

    /// Takes everything; and makes the state file unwritable with the put of this kind.
    struct Blocking {
        temporary: Option<(&'static str, PathBuf)>,
        names: Arc<Mutex<Vec<String>>>,
    }

    impl Store for Blocking {
        fn put(&mut self, put: &Put<'_>, _: IsOver<'_>) -> Result<(), NotPut> {
            let mut names = self.names.lock().unwrap();
            let is_there = names.iter().any(|name| name == put.name);
            assert!(!is_there || put.is_repeated, "{} was put, and a restart does not know it", put.name);
            names.push(put.name.to_owned());
            if let Some((_, temporary)) = self.temporary.take_if(|(kind, _)| put.name.starts_with(*kind)) {
                fs::create_dir(temporary).unwrap();
            }
            Ok(())
        }
    }

    /// Has each name already, of an earlier chain.
    struct Taken;

    impl Store for Taken {
        fn put(&mut self, put: &Put<'_>, _: IsOver<'_>) -> Result<(), NotPut> {
            assert!(!put.is_repeated);
            Err(NotPut::NotBegun(Some(Failure::because(format!("{} is there", put.name)))))
        }
    }

    #[test]
    fn a_segment_that_is_there_already_can_be_moved_away_and_the_next_ones_are_exported() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, file) = (folder.path().join("audit.log"), folder.path().join("state"));
        for (segment, seq) in [
            ("audit-20261120T101530.123456Z-9f86d081884c7d65.log", 1),
            ("audit-20261121T101530.123456Z-9f86d081884c7d65.log", 2),
        ] {
            let line = format!(
                r#"{{"timestamp":"2026-11-20T07:55:37.720973Z","isAuditLog":true,"schema":"1.0","eventName":"E","instance":"a","seq":{seq}}}"#
            );
            fs::write(folder.path().join(segment), line + "\n").unwrap();
        }
        let courier = |store: Box<dyn Store>| {
            let recipe = Recipe { format: ExportFormat::Json, ..Recipe::default() };
            Courier::new("file:///x".into(), store, recipe, file.clone(), &spool)
        };
        let run = |courier: &mut Courier, segments: &[Segment]| {
            let ended = courier.run(segments, &|| false, &mut ExportReport::default(), &mut |_| {});
            ended.map_err(|stop| match stop {
                Stop::Failed(failure) => failure.to_string(),
                Stop::Asked => "asked".into(),
            })
        };
        let segments = crate::segment::list(&spool).unwrap();
        let mut refused = courier(Box::new(Taken));
        assert!(run(&mut refused, &segments).unwrap_err().contains("is there"));
        fs::remove_file(segments[0].path()).unwrap();
        let left = crate::segment::list(&spool).unwrap();
        let store = || Box::new(Blocking { temporary: None, names: Arc::default() });
        // In the same process, and after a restart.
        refused.store = store();
        for mut courier in [courier(store()), refused] {
            assert_eq!(run(&mut courier, &left), Ok(()));
            assert_eq!(courier.exported(), Some(left[0].key()));
            let _ = fs::remove_file(&file);
        }
    }

    /// Keeps what is put, and ends the process with the put of each of these numbers: before it arrives, or after it.
    #[derive(Clone, Default)]
    struct Killed(Arc<Mutex<Puts>>);

    #[derive(Default)]
    struct Puts {
        kills: Vec<(usize, bool)>,
        objects: Vec<(String, Vec<u8>)>,
    }

    impl Store for Killed {
        fn put(&mut self, put: &Put<'_>, _: IsOver<'_>) -> Result<(), NotPut> {
            let Puts { kills, objects } = &mut *self.0.lock().unwrap();
            let kill = kills.pop_if(|(at, _)| *at == objects.len());
            if kill.is_none_or(|(_, arrives)| arrives) {
                match objects.iter().find(|(name, _)| name == put.name) {
                    Some((name, bytes)) => assert!(put.is_repeated && bytes == put.bytes, "{name}"),
                    None => objects.push((put.name.to_owned(), put.bytes.to_vec())),
                }
            }
            if kill.is_some() { Err(Failure::because("killed").into()) } else { Ok(()) }
        }
    }

    #[test]
    fn objects_that_have_become_larger_are_the_same_after_restarts_with_other_settings() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("audit.log");
        let line = |seq: usize| {
            format!(
                r#"{{"timestamp":"2026-11-20T07:55:37.720973Z","isAuditLog":true,"schema":"1.0","eventName":"E","instance":"a","seq":{seq}}}"#
            ) + "\n"
        };
        // 256 objects of one record, and others of two.
        let lines: Vec<String> = (1000..1000 + 256 + 9).map(line).collect();
        fs::write(folder.path().join("audit-20261120T101530.123456Z-9f86d081884c7d65.log"), lines.concat()).unwrap();
        let segments = crate::segment::list(&spool).unwrap();
        let objects = |kills: Vec<(usize, bool)>| {
            let file = folder.path().join(format!("state-{}", kills.len()));
            let (runs, store) = (kills.len() + 1, Killed::default());
            store.0.lock().unwrap().kills = kills;
            for run in 1..=runs as u64 {
                let object_bytes = run * lines[0].len() as u64;
                let recipe = Recipe { format: ExportFormat::Json, gzip: run > 1, object_bytes, ..Recipe::default() };
                let mut courier =
                    Courier::new("file:///x".into(), Box::new(store.clone()), recipe, file.clone(), &spool);
                let ended = courier.run(&segments, &|| false, &mut ExportReport::default(), &mut |_| {});
                assert_eq!(ended.is_ok(), run == runs as u64);
            }
            let mut objects = std::mem::take(&mut store.0.lock().unwrap().objects);
            assert!(objects.pop().unwrap().0.starts_with("manifests/"));
            objects
        };
        let at_once = objects(Vec::new());
        assert_eq!(at_once.len(), 256 + 5);
        let expected = lines[..256].iter().cloned().chain(lines[256..].chunks(2).map(|two| two.concat()));
        assert!(at_once.iter().map(|(_, bytes)| bytes).eq(&expected.map(String::into_bytes).collect::<Vec<_>>()));
        // The last comes first.
        let kills = vec![
            (261, true),
            (260, false),
            (258, true),
            (257, true),
            (257, false),
            (256, true),
            (256, false),
            (99, true),
        ];
        assert!(objects(kills) == at_once);
    }

    #[test]
    fn only_a_version_above_ours_is_newer() {
        for (schema, expected) in [("2.0", Some(2)), ("1.9", Some(1)), ("10", Some(10)), ("", None), ("x.1", None)] {
            assert_eq!(major(schema), expected, "{schema}");
        }
    }

    #[test]
    fn what_the_state_file_does_not_have_is_not_gone_on_from() {
        for kind in ["audit-logs", "manifests"] {
            let folder = tempfile::tempdir().unwrap();
            let (spool, file) = (folder.path().join("audit.log"), folder.path().join("state"));
            let line = concat!(
                r#"{"timestamp":"2026-11-20T07:55:37.720973Z","isAuditLog":true,"schema":"1.0","eventName":"E","#,
                r#""instance":"a","seq":1}"#
            );
            let segment = folder.path().join("audit-20261120T101530.123456Z-9f86d081884c7d65.log");
            fs::write(segment, format!("{line}\n")).unwrap();
            let segments = crate::segment::list(&spool).unwrap();
            let temporary = folder.path().join("state.tmp");
            let names = Arc::<Mutex<Vec<String>>>::default();
            let courier = |temporary| {
                let recipe = Recipe { format: ExportFormat::Json, ..Recipe::default() };
                let store = Box::new(Blocking { temporary, names: names.clone() });
                Courier::new("file:///x".into(), store, recipe, file.clone(), &spool)
            };
            let run = |courier: &mut Courier| {
                let ended = courier.run(&segments, &|| false, &mut ExportReport::default(), &mut |_| {});
                ended.map_err(|stop| matches!(stop, Stop::Failed(_)))
            };
            let mut first = courier(Some((kind, temporary.clone())));
            assert_eq!(run(&mut first), Err(true));
            assert_eq!(first.exported(), None, "retention would remove what a restart has to export");
            // The disk is full still.
            assert_eq!(run(&mut first), Err(true));
            assert_eq!(first.exported(), None);
            drop(first);
            fs::remove_dir(&temporary).unwrap();
            let mut second = courier(None);
            assert_eq!(run(&mut second), Ok(()));
            assert_eq!(second.exported(), Some(segments[0].key()));
        }
    }
}
