//! Sinks that take parts, fail for a while, panic, hang, die and come back; each keeps what it took.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tower_audit::sink::{self, Output, Sink};
use tower_audit::{Clock, Filter, Level, SinkState};

use crate::common::sinks::Gate;
use crate::plan::Random;

/// The message of planned panics, which are not printed.
pub(crate) const AS_PLANNED: &str = "as the chaos plan says";

/// The failures of a sink.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mood {
    /// Of 1,000 writes: takes a part.
    parts: usize,
    /// Of 1,000 writes and flushes: begins to fail, a few times in a row.
    errors: usize,
    /// Of 1,000 writes and flushes: panics.
    panics: usize,
    /// Fails from this write on until it is given up, and then this number of times more.
    dies_at: Option<u64>,
    stays_dead: usize,
    /// Hangs before its first write until the round's gate is opened.
    hangs: bool,
    /// Gets failures only.
    filtered: bool,
}

/// What a sink took, and how often it was given up.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) mood: Mood,
    taken: Mutex<Vec<u8>>,
    synced: AtomicUsize,
    /// How often it was given up.
    pub(crate) deaths: AtomicU64,
    is_dead: AtomicBool,
    is_useless: AtomicBool,
    /// The folder of the file sink that it writes to, if it does.
    pub(crate) file: Option<tempfile::TempDir>,
}

impl Witness {
    pub(crate) fn synced(&self) -> usize {
        self.synced.load(Ordering::SeqCst)
    }

    pub(crate) fn taken(&self) -> Vec<u8> {
        std::mem::take(&mut self.taken.lock().unwrap())
    }

    pub(crate) fn has_died(&self) -> bool {
        self.deaths.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// How often it was given up, if it is now and has not worked since.
    pub(crate) fn given_up(&self) -> Option<u64> {
        self.is_useless.load(Ordering::SeqCst).then(|| self.deaths.load(Ordering::SeqCst))
    }

    pub(crate) fn has_come_back(&self) -> bool {
        self.has_died() && !self.is_dead()
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.mood.filtered
    }

    /// The content of its files, oldest first.
    pub(crate) fn on_disk(&self) -> Option<Vec<u8>> {
        let folder = std::fs::read_dir(self.file.as_ref()?.path()).unwrap();
        let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "log"));
        paths.sort();
        Some(paths.iter().flat_map(|path| std::fs::read(path).unwrap()).collect())
    }
}

/// A sink that fails as its mood says, and otherwise writes to another.
struct Wild {
    witness: Arc<Witness>,
    inner: Box<dyn Sink>,
    random: Random,
    gate: Gate,
    writes: u64,
    /// The number of failures that follow.
    failing: usize,
    /// The number of attempts since it was given up.
    tries_since: usize,
}

impl Wild {
    fn misbehave(&mut self) -> io::Result<()> {
        let mood = self.witness.mood;
        if mood.dies_at.is_some_and(|at| self.writes >= at) && !self.witness.has_died() {
            return Err(io::Error::other("dying"));
        }
        if self.witness.is_dead() && self.tries_since < mood.stays_dead {
            self.tries_since += 1;
            return Err(io::Error::other("dead"));
        }
        if self.failing == 0 && self.random.below(1000) < mood.errors {
            self.failing = 1 + self.random.below(3);
        }
        if self.failing > 0 {
            self.failing -= 1;
            let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::WouldBlock, io::ErrorKind::Other];
            return Err(kinds[self.random.below(kinds.len())].into());
        }
        assert!(self.random.below(1000) >= mood.panics, "{AS_PLANNED}");
        // Before the library can know it.
        self.witness.is_useless.store(false, Ordering::SeqCst);
        Ok(())
    }
}

impl Sink for Wild {
    fn header(&mut self, _line: &[u8]) {}

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if self.witness.mood.hangs {
            self.gate.pass();
        }
        self.misbehave()?;
        let takes_part = self.random.below(1000) < self.witness.mood.parts;
        let most = if takes_part { 1 + self.random.below(lines.len()) } else { lines.len() };
        let taken = self.inner.write(&lines[..most])?;
        self.witness.taken.lock().unwrap().extend_from_slice(&lines[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.misbehave()?;
        self.inner.flush()?;
        self.witness.synced.store(self.witness.taken.lock().unwrap().len(), Ordering::SeqCst);
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.inner.shutdown()
    }
}

/// Takes everything.
struct Nowhere;

impl Sink for Nowhere {
    fn header(&mut self, _line: &[u8]) {}

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sinks of a round.
pub(crate) struct Sinks {
    pub(crate) witnesses: Vec<Arc<Witness>>,
    pub(crate) outputs: Vec<Output>,
    /// Once it is open, no sink hangs.
    pub(crate) gate: Gate,
    /// For how long a sink may fail before it is given up.
    pub(crate) retry_limit: Duration,
}

impl Sinks {
    /// A single sink that works, for a round with an early shutdown.
    pub(crate) fn calm(random: &mut Random) -> Self {
        let gate = Gate::default();
        let mood = Mood { parts: 100, ..Mood::default() };
        let (witness, output) = output("first", mood, true, false, gate.clone(), Random::of(random.next(), 1));
        Self { witnesses: vec![witness], outputs: vec![output], gate, retry_limit: Duration::from_secs(600) }
    }

    pub(crate) fn draw(random: &mut Random, requests: usize) -> Self {
        let deaths = random.percent(25);
        let wild = Mood { parts: 300, errors: 4, panics: 2, ..Mood::default() };
        let calm = Mood { parts: 100, ..Mood::default() };
        let late = random.below(requests / 8 + 1) as u64;
        let dying = Mood { parts: 300, dies_at: Some(late), stays_dead: random.below(3), ..Mood::default() };
        let mut moods = vec![("first", if random.percent(50) { calm } else { wild }, true)];
        if deaths && random.percent(50) {
            moods[0].1 = dying;
        }
        if random.percent(30) {
            moods.push(("second", if deaths && random.percent(30) { dying } else { calm }, true));
        }
        if random.percent(50) {
            moods.push(("wild", wild, false));
        }
        if random.percent(30) {
            moods.push(("failures", Mood { filtered: true, ..wild }, false));
        }
        if random.percent(20) {
            moods.push(("hanging", Mood { hangs: true, ..calm }, false));
        }
        if deaths {
            moods.push(("dying", dying, false));
        }
        let gate = Gate::default();
        gate.set(true);
        let (witnesses, outputs) = moods
            .into_iter()
            .map(|(name, mood, required)| {
                let is_file = random.percent(40);
                output(name, mood, required, is_file, gate.clone(), Random::of(random.next(), 1))
            })
            .unzip();
        let retry_limit = if deaths { Duration::from_millis(300) } else { Duration::from_secs(600) };
        Self { witnesses, outputs, gate, retry_limit }
    }
}

fn output(
    name: &str,
    mood: Mood,
    required: bool,
    is_file: bool,
    gate: Gate,
    mut random: Random,
) -> (Arc<Witness>, Output) {
    let file = is_file.then(|| tempfile::tempdir().unwrap());
    let inner: Box<dyn Sink> = match &file {
        None => Box::new(Nowhere),
        Some(folder) => {
            let file = sink::file(folder.path().join("audit.log"));
            let file = if random.percent(50) { file.rotate_bytes(256 * 1024) } else { file };
            Box::new(file.open().unwrap())
        }
    };
    let witness = Arc::new(Witness {
        name: name.to_owned(),
        required,
        mood,
        taken: Mutex::default(),
        synced: AtomicUsize::new(0),
        deaths: AtomicU64::new(0),
        is_dead: AtomicBool::new(false),
        is_useless: AtomicBool::new(false),
        file,
    });
    let wild = Wild { witness: witness.clone(), inner, random, gate, writes: 0, failing: 0, tries_since: 0 };
    let output = Output::new(wild).name(name);
    let output = if required { output.required() } else { output.best_effort() };
    let output = if mood.filtered { output.filter(Filter::level(Level::Warn)) } else { output };
    (witness, output)
}

/// The clock of a round. It is moved forward while a sink is given up, so that the library soon tries it again.
#[derive(Clone, Debug, Default)]
pub(crate) struct HastyClock {
    skipped: Arc<AtomicU64>,
}

impl HastyClock {
    /// Longer than the pause before a sink that was given up is tried again.
    const PAUSE: Duration = Duration::from_secs(31);

    pub(crate) fn skip(&self) {
        self.skipped.fetch_add(Self::PAUSE.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for HastyClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed() + Duration::from_secs(self.skipped.load(Ordering::SeqCst))
    }
}

/// Notes which sinks are given up, and which work again.
pub(crate) fn note_states(witnesses: &[Arc<Witness>]) -> impl Fn(&str, SinkState) + Send + Sync + 'static {
    let witnesses = witnesses.to_vec();
    move |name, state| {
        let witness = witnesses.iter().find(|witness| witness.name == name).expect("sinks have these names");
        let is_dead = state == SinkState::GivenUp;
        if is_dead && !witness.is_dead.swap(true, Ordering::SeqCst) {
            witness.deaths.fetch_add(1, Ordering::SeqCst);
            witness.is_useless.store(true, Ordering::SeqCst);
        } else if !is_dead {
            witness.is_dead.store(false, Ordering::SeqCst);
        }
    }
}
