//! Compares what clients and handlers saw with the records.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;
use tower_audit::{Counters, ShutdownReport};

use crate::common::check;
use crate::ledger::Ledger;
use crate::outcome::{check_client, check_completion, class_of};
use crate::plan::{Case, Class, How, Nested, Plan, SECRET, Sharing, Upload};
use crate::sinks::Witness;

/// The figures of a round, and its faults.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) entered: u64,
    /// Requests that did not come in, in rounds whose log is not stopped before they end.
    pub(crate) kept_out: u64,
    pub(crate) records: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) deaths: u64,
    /// Sinks that worked again after they were given up.
    pub(crate) revivals: u64,
    /// The number of requests by outcome, status, kind of client and kind of handler.
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) faults: Vec<String>,
}

impl Summary {
    fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.entered += other.entered;
        self.kept_out += other.kept_out;
        self.records += other.records;
        self.lost += other.lost;
        self.refused += other.refused;
        self.deaths += other.deaths;
        self.revivals += other.revivals;
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.faults.extend(other.faults);
    }
}

/// One record and its position in its sink.
struct Line {
    record: Value,
    /// The position after its last byte.
    end: usize,
    seq: u64,
}

/// The lines of one sink.
#[derive(Default)]
struct Log {
    initiations: HashMap<u64, Line>,
    completions: HashMap<u64, Line>,
    own: Vec<Line>,
    /// The number of lines that are not this library's own.
    exchanges: u64,
    /// Each line without its `seq`.
    texts: HashSet<String>,
}

impl Log {
    fn lines(&self) -> u64 {
        self.exchanges + self.own.len() as u64
    }

    /// The number of records that `AuditRecordsLost` reports for this reason, for all sinks or for the sink of this name.
    fn reported(&self, reason: &str, sink: Option<&str>) -> u64 {
        let reported = self.own.iter().filter(|line| line.record["eventName"] == "AuditRecordsLost");
        let reported = reported
            .filter(|line| line.record["meta"]["reason"] == reason && line.record["meta"]["sink"].as_str() == sink);
        reported.map(count).sum()
    }

    fn reported_refused(&self) -> u64 {
        self.own.iter().filter(|line| line.record["eventName"] == "AuditRequestsRefused").map(count).sum()
    }

    fn rejected(&self) -> u64 {
        self.completions.values().filter(|line| line.record["outcome"] == "rejected").count() as u64
    }
}

fn count(line: &Line) -> u64 {
    line.record["meta"]["count"].as_u64().unwrap_or_default()
}

/// Everything that is known when a round is over.
pub(crate) struct Round<'r> {
    pub(crate) ledger: &'r Ledger,
    pub(crate) witnesses: &'r [Arc<Witness>],
    pub(crate) report: ShutdownReport,
    pub(crate) counters: Counters,
    /// The admission timeout is so long that no response is broken off for it.
    pub(crate) is_patient: bool,
    /// The log was stopped while requests came in.
    pub(crate) stops_early: bool,
    pub(crate) summary: Summary,
}

impl Round<'_> {
    pub(crate) fn check(mut self) -> Summary {
        self.summary.faults.extend(self.ledger.faults());
        if self.stops_early {
            self.summary.count("round that stops early");
        }
        if self.stops_early && !self.report.flushed {
            // The deadline came first, and the report says so. Sinks write on after it, and nothing counts that.
            self.summary.count("round that stops early, and is not flushed");
            return self.summary;
        }
        let mut first = None;
        for (at, witness) in self.witnesses.iter().enumerate() {
            let taken = witness.taken();
            if let Some(on_disk) = witness.on_disk().filter(|on_disk| *on_disk != taken && !witness.has_died()) {
                let text = format!("{}: {} bytes on disk, {} given", witness.name, on_disk.len(), taken.len());
                self.fault(text);
            }
            let log = self.read(witness, &taken, first.as_ref());
            self.check_sink(at, witness, &log);
            if witness.required {
                self.check_promises(witness, &log);
            }
            first.get_or_insert(log);
        }
        self.check_requests(&first.expect("there is a sink"));
        self.summary
    }

    fn fault(&mut self, what: impl Into<String>) {
        self.summary.faults.push(what.into());
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Each line
    // -----------------------------------------------------------------------------------------------------------------

    /// Reads the lines of a sink. A line that equals one of the first sink, except for `seq`, was checked there.
    fn read(&mut self, witness: &Witness, taken: &[u8], first: Option<&Log>) -> Log {
        let mut log = Log::default();
        let mut end = 0;
        let mut torn = 0;
        for bytes in taken.split_inclusive(|byte| *byte == b'\n') {
            end += bytes.len();
            let text = String::from_utf8_lossy(bytes).into_owned();
            let (seq, numberless) = numberless(&text);
            let known = first.is_some_and(|first| first.texts.contains(&numberless));
            let record = if !text.ends_with('\n') {
                None
            } else if known {
                serde_json::from_str(&text).ok()
            } else {
                catch_unwind(AssertUnwindSafe(|| check::line(&text))).ok()
            };
            let (Some(record), Some(seq)) = (record, seq) else {
                torn += 1;
                if torn > witness.deaths.load(std::sync::atomic::Ordering::SeqCst) {
                    self.fault(format!("{}: no record: {text}", witness.name));
                }
                continue;
            };
            if !known && text.contains(SECRET) {
                self.fault(format!("{}: a secret: {text}", witness.name));
            }
            self.sort(witness, &mut log, Line { record, end, seq }, &text);
            if !log.texts.insert(numberless) {
                self.fault(format!("{}: twice: {text}", witness.name));
            }
        }
        log
    }

    fn sort(&mut self, witness: &Witness, log: &mut Log, line: Line, text: &str) {
        if line.record["eventName"].as_str().is_some_and(|name| name.starts_with("Audit")) {
            log.own.push(line);
            return;
        }
        log.exchanges += 1;
        let Some(n) = number(&line.record).filter(|n| self.knows(*n)) else {
            return self.fault(format!("{}: of nobody: {text}", witness.name));
        };
        if let Some(other) = canaries(text).find(|other| *other != n) {
            self.fault(format!("{}: something of {other} in the record of {n}: {text}", witness.name));
        }
        let id = line.record["auditId"].clone();
        let is_initiation = line.record["stage"] == "initiation";
        let (its, others) = match is_initiation {
            true => (&mut log.initiations, &log.completions),
            false => (&mut log.completions, &log.initiations),
        };
        if is_initiation && others.contains_key(&n) {
            self.summary.faults.push(format!("{}: an initiation after its completion: {text}", witness.name));
        }
        if others.get(&n).is_some_and(|other| other.record["auditId"] != id) {
            self.summary.faults.push(format!("{}: two ids of one exchange: {text}", witness.name));
        }
        if its.insert(n, line).is_some() {
            self.summary.faults.push(format!("{}: a second record of one stage: {text}", witness.name));
        }
    }

    fn knows(&self, n: u64) -> bool {
        let Plan { first, cases, .. } = &self.ledger.plan;
        (*first..first + cases.len() as u64).contains(&n)
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Each sink
    // -----------------------------------------------------------------------------------------------------------------

    /// `seq` has no gaps, and the counters add up.
    fn check_sink(&mut self, at: usize, witness: &Witness, log: &Log) {
        let counters = self.counters.sinks[at].clone();
        let exchanges = log.initiations.values().chain(log.completions.values());
        let numbers: HashSet<u64> = exchanges.chain(&log.own).map(|line| line.seq).collect();
        let last = numbers.iter().max().copied().unwrap_or_default();
        let gaps = last - numbers.len() as u64;
        let name = &witness.name;
        let handed_over = self.counters.handed_over;
        let filtered = witness.is_filtered();
        // A batch that is given up half-way counts its last records as lost, though some are this library's own.
        const OWN: u64 = 64;
        let uncounted = if witness.has_died() { OWN } else { 0 };
        if !(counters.written..=counters.written + uncounted).contains(&log.lines()) {
            self.fault(format!("{name}: {} lines, {} counted", log.lines(), counters.written));
        }
        if witness.has_died() {
            self.summary.deaths += 1;
            let sum = log.exchanges + counters.lost;
            if !filtered && !(handed_over..=handed_over + OWN).contains(&sum) {
                self.fault(format!("{name}: {} and {} lost are not {handed_over}", log.exchanges, counters.lost));
            }
            if gaps > counters.lost + OWN {
                self.fault(format!("{name}: {gaps} are missing, {} are counted", counters.lost));
            }
            return;
        }
        if gaps != 0 {
            self.fault(format!("{name}: {gaps} numbers are missing"));
        }
        let missed = log.reported("sink_full", Some(name));
        if counters.lost != missed {
            self.fault(format!("{name}: {} lost for itself, {missed} reported", counters.lost));
        }
        if !filtered && log.exchanges + counters.lost != handed_over {
            self.fault(format!("{name}: {} and {} lost are not {handed_over}", log.exchanges, counters.lost));
        }
        if !self.stops_early {
            self.check_reports(witness, log);
            if at == 0 {
                self.check_totals(log);
            }
        }
    }

    /// Every sink that works reports the losses that all sinks share.
    fn check_reports(&mut self, witness: &Witness, log: &Log) {
        let name = &witness.name;
        for (reason, counted) in self.counters.lost.by_reason() {
            let reported = log.reported(reason, None);
            let is_of_all = !matches!(reason, "sink_full" | "sink_failed");
            if is_of_all && reported != counted {
                self.fault(format!("{name}: {counted} lost by `{reason}`, {reported} reported"));
            }
        }
        let has_all = log.exchanges == self.counters.handed_over;
        let rejected = has_all.then(|| log.rejected());
        let refused = rejected.map(|rejected| log.reported_refused() + rejected);
        if refused.is_some_and(|refused| refused != self.counters.refused) {
            self.fault(format!("{name}: {} refused, {refused:?} reported", self.counters.refused));
        }
    }

    /// The totals of `AuditStopped` in the first sink, if that works.
    fn check_totals(&mut self, log: &Log) {
        let lost = self.counters.lost;
        let last = log.own.last().map(|line| line.record.clone()).unwrap_or_default();
        let meta = &last["meta"];
        let [written, said, refused, open] =
            ["written", "lost", "refused", "open"].map(|what| meta[what].as_u64().unwrap_or(u64::MAX));
        // The losses of a sink that is given up after the last record was made are in the counters only.
        let of_all = lost.total() - lost.sink_full;
        let some_died = self.witnesses.iter().any(|witness| witness.has_died());
        let least = if some_died { of_all - lost.sink_failed } else { of_all };
        let are_right = (written, refused, open) == (log.lines(), self.counters.refused, 0);
        if last["eventName"] != "AuditStopped" || !are_right || !(least..=of_all).contains(&said) {
            self.fault(format!("the last record does not say what {:?} says: {last}", self.counters));
        }
        if log.own.first().is_none_or(|line| line.record["eventName"] != "AuditStarted" || line.seq != 1) {
            self.fault("the first record is not `AuditStarted`");
        }
    }

    /// The promises of `durable` and `fail_closed`, which hold for a sink that was given up too: a client that received a whole
    /// response has its record synced, and a handler begins only when its initiation is synced and the sink works.
    fn check_promises(&mut self, witness: &Witness, log: &Log) {
        let at =
            self.ledger.required.iter().position(|required| required.name == witness.name).expect("it is required");
        for case in &self.ledger.plan.cases {
            let seen = self.ledger.of(case.n);
            if seen.server.begun == 0 || seen.server.skipped || class_of(case, &seen) < Class::Durable {
                continue;
            }
            let is_durable = |lines: &HashMap<u64, Line>, synced: &[usize]| {
                lines.get(&case.n).is_some_and(|line| synced.get(at).is_some_and(|synced| line.end <= *synced))
            };
            let is_confirmed = seen.client.whole && !seen.client.refusal && case.how != How::Outer408;
            let recorded = !is_confirmed || is_durable(&log.completions, &seen.client.synced_after);
            let was_alive = !seen.server.begun_while_dead || case.nested == Nested::RouteLayer;
            let intended = case.class != Class::FailClosed || is_durable(&log.initiations, &seen.server.synced_before);
            drop(seen);
            if !recorded {
                self.ledger.fault_of(case, "received whole before its record was durable");
            }
            if !was_alive {
                self.ledger.fault_of(case, "handled while a required sink was dead");
            }
            if !intended {
                self.ledger.fault_of(case, "handled before its initiation was durable");
            }
        }
        let faults = self.ledger.faults();
        self.summary.faults.extend(faults.into_iter().map(|fault| format!("{}: {fault}", witness.name)));
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Each request
    // -----------------------------------------------------------------------------------------------------------------

    /// An upload that is not read, because its request was refused or timed out, makes the server reset the connection. Responses
    /// before it that the client has not yet read are lost with it.
    fn note_resets(&self) {
        let Plan { sessions, cases, .. } = &self.ledger.plan;
        for session in sessions.iter().filter(|session| session.sharing == Sharing::Pipelined) {
            let cases = &cases[session.cases.clone()];
            let is_unread = |case: &Case| {
                let is_over = case.how == How::Outer408 || self.ledger.of(case.n).server.begun == 0;
                case.upload != Upload::None && is_over
            };
            if cases.iter().any(is_unread) {
                cases.iter().for_each(|case| self.ledger.of(case.n).client.disturbed = true);
            }
        }
    }

    fn check_requests(&mut self, log: &Log) {
        self.note_resets();
        let lives = self.ledger.required.iter().all(|sink| !sink.has_died());
        // Then nothing is lost of a class that may not lose.
        let keeps = lives && !self.stops_early;
        // Records that are not in the sink and must be counted as lost, and those of which that is not known.
        let (mut missing, mut uncertain) = (0, 0);
        for case in &self.ledger.plan.cases {
            let seen = self.ledger.of(case.n);
            self.summary.entered += u64::from(seen.server.entered);
            self.summary.kept_out += u64::from(!self.stops_early && seen.server.entered == 0);
            self.summary.count(format!("client {:?}", case.leaves));
            self.summary.count(format!("connection {:?}", case.sharing));
            self.summary.count(format!("handler {:?}", case.how));
            if let Some(status) = seen.client.status {
                self.summary.count(format!("status {status}"));
            }
            let completion = log.completions.get(&case.n).map(|line| &line.record);
            let initiation = log.initiations.get(&case.n).map(|line| &line.record);
            let mut wrong = Vec::new();
            if seen.server.entered > 1 || seen.server.begun > 1 {
                wrong.push("it came in twice".to_owned());
            }
            let confirms = lives && !self.stops_early && (self.is_patient || class_of(case, &seen) < Class::Durable);
            check_client(case, &seen, confirms, &mut wrong);
            let expects_none = seen.server.entered == 0 || seen.server.skipped;
            if expects_none && (completion.is_some() || initiation.is_some()) {
                wrong.push("a record of what never came in, or was left out".to_owned());
            }
            if !expects_none {
                let class = class_of(case, &seen);
                let begun = seen.server.begun > 0;
                if keeps && begun && !class.may_lose() && completion.is_none() {
                    wrong.push("its completion is lost".to_owned());
                }
                missing += u64::from(completion.is_none());
                let both = case.both && case.how != How::Events;
                if case.nested == Nested::RouteLayer && case.class == Class::Lossy && completion.is_some() {
                    // The outer layer may have counted it as lost before the route's layer demanded a record.
                    uncertain += 1 + u64::from(both);
                }
                match case.nested {
                    Nested::RouteLayer if begun => {
                        missing += u64::from(self.stops_early && initiation.is_none());
                        if keeps && initiation.is_none() {
                            wrong.push("its initiation is lost".to_owned());
                        }
                    }
                    Nested::RouteLayer => uncertain += u64::from(initiation.is_none()),
                    _ if case.class == Class::Lossy && both => missing += u64::from(initiation.is_none()),
                    _ if both || case.class == Class::FailClosed => match (begun, initiation) {
                        (_, Some(_)) => {}
                        (true, None) if keeps => wrong.push("its initiation is lost".to_owned()),
                        (true, None) => missing += 1,
                        // A refused request has none; one whose client left while it waited may have one.
                        (false, None) if self.stops_early => uncertain += 1,
                        (false, None) => {}
                    },
                    _ if initiation.is_some() => {
                        wrong.push("an initiation that nobody asked for".to_owned());
                    }
                    _ => {}
                }
            }
            if let Some(completion) = completion {
                check_completion(case, &seen, completion, &mut wrong);
                if !self.stops_early && completion["outcome"] == "shutdown" {
                    wrong.push("nobody stops".to_owned());
                }
                self.summary.count(format!("outcome {}", completion["outcome"].as_str().unwrap_or_default()));
            }
            if let Some(initiation) = initiation
                && initiation["startedAt"] != Value::Null
            {
                wrong.push("an initiation that has ended".to_owned());
            }
            for wrong in wrong {
                let completion = completion.map_or_else(String::new, Value::to_string);
                self.summary.faults.push(format!("{wrong}\n    {case:?}\n    {:?}\n    {completion}", *seen));
            }
        }
        self.summary.records += log.exchanges;
        self.summary.lost += self.counters.lost.total();
        self.summary.refused += self.counters.refused;
        self.summary.revivals += self.witnesses.iter().filter(|witness| witness.has_come_back()).count() as u64;
        if lives {
            let unrecorded = self.counters.refused - log.rejected().min(self.counters.refused);
            let lost = self.counters.lost.queue_full + self.counters.lost.shutdown + unrecorded;
            if !(missing..=missing + uncertain).contains(&lost) {
                self.fault(format!("{missing} to {} records are missing, {lost} are counted", missing + uncertain));
            }
            if !self.stops_early
                && self.report.is_complete() != (self.counters.lost.total() == self.counters.lost.sink_full)
            {
                self.fault(format!("{:?} beside {:?}", self.report, self.counters));
            }
        }
        let Counters { open, waiting, unwritten, captured_bytes, .. } = self.counters;
        if lives && (open, waiting, unwritten, captured_bytes) != (0, 0, 0, 0) {
            self.fault(format!("left over: {:?}", self.counters));
        }
    }
}

/// The number of the request that a record is of, from the path.
fn number(record: &Value) -> Option<u64> {
    record["request"]["url"].as_str()?.split('?').next()?.rsplit('/').next()?.parse().ok()
}

/// The numbers of all canaries in a line.
fn canaries(text: &str) -> impl Iterator<Item = u64> {
    text.split("canary-").skip(1).filter_map(|rest| rest.split_once('-')?.0.parse().ok())
}

/// A line's number, and the line without it.
fn numberless(text: &str) -> (Option<u64>, String) {
    const KEY: &str = "\"seq\":";
    let Some((before, after)) = text.split_once(KEY) else { return (None, text.to_owned()) };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    (after[..digits].parse().ok(), format!("{before}{}", &after[digits..]))
}
