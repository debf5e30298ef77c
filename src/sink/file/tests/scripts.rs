//! Scripts of chance: whatever happens, in whatever order, what was flushed is there, whole and in order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::name::Names;
use super::super::writer::Writer;
use super::super::{Policy, SyncPolicy};
use super::StoppedClock;
use super::memory_disk::MemoryDisk;
use crate::clock::Clock as _;

const PATH: &str = "/x/audit.log";

#[derive(Clone, Debug)]
enum Step {
    /// Lines of these lengths are handed in, with what is left of earlier ones.
    Write(Vec<usize>),
    Flush,
    Tick,
    ShortWrites(Vec<usize>),
    Room(Option<usize>),
    FailSyncs(usize),
    FailFolderSyncs(usize),
    FailRenames(usize),
    Forward(u64),
    Back(u64),
    Move,
    Delete,
    Replace(bool),
    Truncate(usize),
    DeleteFolder,
    DeleteDuringSync,
    Kill,
    CutPower(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(0..30_usize, 1..6).prop_map(Step::Write),
        6 => Just(Step::Flush),
        1 => Just(Step::Tick),
        3 => prop::collection::vec(0..40_usize, 1..5).prop_map(Step::ShortWrites),
        2 => prop::option::of(0..80_usize).prop_map(Step::Room),
        2 => (1..4_usize).prop_map(Step::FailSyncs),
        1 => (1..4_usize).prop_map(Step::FailFolderSyncs),
        1 => (1..3_usize).prop_map(Step::FailRenames),
        2 => (0..4_000_u64).prop_map(Step::Forward),
        1 => (0..4_000_u64).prop_map(Step::Back),
        2 => Just(Step::Move),
        1 => Just(Step::Delete),
        1 => any::<bool>().prop_map(Step::Replace),
        1 => (0..100_usize).prop_map(Step::Truncate),
        1 => Just(Step::DeleteFolder),
        1 => Just(Step::DeleteDuringSync),
        1 => Just(Step::Kill),
        1 => (0..4_usize, 0..40_usize).prop_map(|(changes, bytes)| Step::CutPower(changes, bytes)),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let sync = prop_oneof![
        Just(SyncPolicy::OnFlush),
        Just(SyncPolicy::EachBatch),
        Just(SyncPolicy::Every(Duration::from_millis(1_500)))
    ];
    (prop::option::of(1..200_u64), prop::option::of(Just(Duration::from_secs(2))), sync)
        .prop_map(|(rotate_bytes, rotate_every, sync)| Policy { rotate_bytes, rotate_every, sync, ..Policy::default() })
}

/// What the outlet does, and what it was promised.
struct Script {
    disk: MemoryDisk,
    clock: StoppedClock,
    policy: Policy,
    writer: Option<Writer<MemoryDisk>>,
    next: usize,
    /// Handed in and not taken: the rest of a line, perhaps, and whole lines.
    rest: Vec<u8>,
    /// Of all lines of this process that were taken to their end.
    taken: Vec<usize>,
    /// What must be there: numbers of lines.
    promised: BTreeSet<usize>,
    moved: usize,
    /// How often a line may have been torn.
    torn: usize,
}

impl Script {
    fn new(policy: Policy) -> Self {
        let mut script = Self {
            disk: MemoryDisk::default(),
            clock: StoppedClock::new(),
            policy,
            writer: None,
            next: 0,
            rest: Vec::new(),
            taken: Vec::new(),
            promised: BTreeSet::new(),
            moved: 0,
            torn: 0,
        };
        script.start();
        script
    }

    fn start(&mut self) {
        self.rest.clear();
        self.taken.clear();
        let names = Names::new(Path::new(PATH)).unwrap().unwrap();
        self.disk.state().now = Some(self.clock.now());
        let writer = Writer::open(self.disk.clone(), names, self.policy.clone(), Arc::new(self.clock.clone()));
        self.writer = Some(writer.unwrap());
    }

    fn run(&mut self, step: Step) {
        let before = self.suspects();
        self.step(step);
        self.torn += self.suspects() - before.min(self.suspects());
    }

    fn suspects(&self) -> usize {
        self.disk.state().paths().iter().filter(|path| path.to_str().unwrap().contains("suspect")).count()
    }

    fn step(&mut self, step: Step) {
        let path = Path::new(PATH);
        match step {
            Step::Write(lengths) => {
                for length in lengths {
                    self.rest.extend_from_slice(line(self.next, length).as_bytes());
                    self.next += 1;
                }
                self.write();
            }
            Step::Flush => self.flush(),
            Step::Tick => {
                self.writer().tick();
            }
            Step::ShortWrites(lengths) => self.disk.state().short_writes.extend(lengths),
            Step::Room(room) => self.disk.state().room = room,
            Step::FailSyncs(times) => self.disk.state().failing_syncs = times,
            Step::FailFolderSyncs(times) => self.disk.state().failing_folder_syncs = times,
            Step::FailRenames(times) => self.disk.state().failing_renames = times,
            Step::Forward(millis) => self.clock.forward(Duration::from_millis(millis)),
            Step::Back(millis) => self.clock.back(Duration::from_millis(millis)),
            Step::Move => {
                self.moved += 1;
                self.torn += 1;
                self.disk.state().move_away(path, &PathBuf::from(format!("/x/moved-{}", self.moved)));
            }
            Step::Delete => self.destroy(|disk| disk.state().delete(path)),
            Step::Replace(closed) => {
                self.destroy(|disk| disk.state().put(path, if closed { "foreign\n" } else { "foreign" }));
            }
            Step::Truncate(len) => self.destroy(|disk| disk.state().truncate(path, len)),
            Step::DeleteFolder => self.destroy(|disk| disk.state().delete_folder()),
            Step::DeleteDuringSync => {
                // What was durable would be destroyed in the middle of a call: so only a file without such.
                let text = self.disk.state().text(path).unwrap_or_default();
                if self.durable().is_disjoint(&numbers(&text).into_iter().collect()) {
                    self.disk.state().during_sync = Some(|state| state.delete(Path::new(PATH)));
                    self.flush();
                    self.disk.state().during_sync = None;
                }
            }
            Step::Kill => {
                self.torn += 1;
                self.writer = None;
                self.disk.state().kill();
                self.start();
            }
            Step::CutPower(changes, bytes) => {
                self.torn += 1 + self.disk.state().paths().len();
                self.writer = None;
                self.disk.state().cut_power(changes, bytes);
                self.start();
            }
        }
    }

    fn writer(&mut self) -> &mut Writer<MemoryDisk> {
        self.writer.as_mut().unwrap()
    }

    fn write(&mut self) {
        while !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            let result = self.writer().write(&rest);
            let taken = *result.as_ref().unwrap_or(&0);
            assert!(taken <= rest.len() && !matches!(result, Ok(0)));
            self.note_taken(&rest, taken);
            self.rest = rest[taken..].to_vec();
            if result.is_err() {
                return;
            }
        }
        if self.policy.sync == SyncPolicy::EachBatch {
            self.promise();
        }
    }

    /// Lines that end within what was taken. The first may be the rest of one: its number is known from those behind it.
    fn note_taken(&mut self, rest: &[u8], taken: usize) {
        let behind = rest[taken..].iter().filter(|&&byte| byte == b'\n').count();
        let ended = rest[..taken].iter().filter(|&&byte| byte == b'\n').count();
        let first = self.next - behind - ended;
        self.taken.extend(first..first + ended);
    }

    fn flush(&mut self) {
        if self.writer().flush().is_ok() {
            self.promise();
        }
    }

    /// Everything that was taken is durable, in the sense of a disk whose power is cut right now.
    fn promise(&mut self) {
        self.promised.extend(self.taken.iter());
        let durable = self.durable();
        let missing: Vec<&usize> = self.promised.difference(&durable).collect();
        assert!(missing.is_empty(), "flushed, and not durable: {missing:?}");
    }

    /// Somebody destroys records: what is nowhere else need not be there any more.
    fn destroy(&mut self, destroy: impl FnOnce(&MemoryDisk)) {
        self.torn += 1;
        let before = self.durable();
        destroy(&self.disk);
        let after = self.durable();
        let is_destroyed = |number: &usize| before.contains(number) && !after.contains(number);
        self.promised.retain(|number| !is_destroyed(number));
        // What was not durable yet must still become so.
        self.taken.retain(|number| !is_destroyed(number));
    }

    fn texts(&self) -> Vec<(PathBuf, String)> {
        let state = self.disk.state();
        state.paths().into_iter().map(|path| (path.clone(), state.text(&path).unwrap())).collect()
    }

    fn durable(&self) -> BTreeSet<usize> {
        self.disk.state().durable_texts().iter().flat_map(|text| numbers(text)).collect()
    }

    fn present(&self) -> BTreeSet<usize> {
        self.texts().iter().flat_map(|(_, text)| numbers(text)).collect()
    }

    /// The disk is well again: everything can be written, and all promises hold.
    fn finish(&mut self) {
        {
            let mut state = self.disk.state();
            state.room = None;
            state.short_writes.clear();
            (state.failing_syncs, state.failing_folder_syncs, state.failing_renames) = (0, 0, 0);
        }
        self.write();
        assert!(self.rest.is_empty(), "a disk that is well takes everything");
        self.writer().flush().unwrap();
        self.promise();
        self.writer = None;
        self.disk.state().cut_power(0, 0);
        let present = self.present();
        assert!(self.promised.is_subset(&present));
        self.check_lines();
        self.check_order();
    }

    fn check_lines(&self) {
        let mut torn = 0;
        for (path, text) in self.texts() {
            for piece in text.split('\n').filter(|piece| !piece.is_empty()) {
                let is_whole = number(piece).is_some();
                // Of a torn line, a beginning is left, and nothing is glued to it.
                let is_beginning = piece.starts_with('<') && !piece.contains('>') && piece.matches('<').count() == 1;
                let is_foreign = "foreign".starts_with(piece);
                assert!(is_whole || is_beginning || is_foreign, "{piece:?} in {path:?}");
                torn += usize::from(is_beginning);
            }
        }
        assert!(torn <= self.torn, "{torn} torn lines, and only {} reasons", self.torn);
    }

    /// Segments sort by name; a line that stands first before another was handed in before it.
    fn check_order(&self) {
        let texts = self.texts();
        let sealed = texts.iter().filter(|(path, _)| path.to_str().unwrap().starts_with("/x/audit-"));
        let active = texts.iter().filter(|(path, _)| path == Path::new(PATH));
        let trail: Vec<usize> = sealed.chain(active).flat_map(|(_, text)| numbers(text)).collect();
        assert_order(&trail);
        for (_, text) in &texts {
            assert_order(&numbers(text));
        }
    }
}

/// Repeated lines aside, numbers only grow.
fn assert_order(numbers: &[usize]) {
    let mut seen = BTreeSet::new();
    let firsts: Vec<usize> = numbers.iter().copied().filter(|number| seen.insert(*number)).collect();
    assert!(firsts.is_sorted(), "{numbers:?}");
}

fn line(number: usize, length: usize) -> String {
    format!("<{number}:{length}:{}>\n", "x".repeat(length))
}

/// The number of a line that is whole.
fn number(piece: &str) -> Option<usize> {
    let (number, rest) = piece.strip_prefix('<')?.strip_suffix('>')?.split_once(':')?;
    let (length, filling) = rest.split_once(':')?;
    let is_whole = length.parse() == Ok(filling.len()) && filling.bytes().all(|byte| byte == b'x');
    number.parse().ok().filter(|_| is_whole)
}

/// The numbers of the lines that are whole and closed.
fn numbers(text: &str) -> Vec<usize> {
    let closed = text.rfind('\n').map_or("", |at| &text[..at]);
    closed.split('\n').filter_map(number).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_was_flushed_is_whole_and_in_order_whatever_happens(
        policy in policy(), steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut script = Script::new(policy);
        for step in steps {
            script.run(step);
        }
        script.finish();
    }
}
