//! Compares what clients and handlers saw with the records.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;
use tower_audit::{Counters, ShutdownReport};

use crate::common::check;
use crate::ledger::{Delivered, Handled, Ledger, Seen};
use crate::plan::{Case, Class, How, Leaves, Nested, Plan, Reads, SECRET, Sharing, Upload};
use crate::sinks::Witness;

/// What a round amounted to, and what was wrong in it.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) entered: u64,
    pub(crate) records: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) deaths: u64,
    /// Sinks that worked again after that.
    pub(crate) revivals: u64,
    /// How often each outcome, status, kind of client and handler came up.
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) faults: Vec<String>,
}

impl Summary {
    fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.entered += other.entered;
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

/// One record of an exchange, where it stands in its sink.
struct Line {
    record: Value,
    /// The byte after its last.
    end: usize,
    seq: u64,
}

/// The lines of one sink.
#[derive(Default)]
struct Log {
    initiations: HashMap<u64, Line>,
    completions: HashMap<u64, Line>,
    own: Vec<Line>,
    /// Lines of exchanges.
    exchanges: u64,
    /// What each line is without its number.
    texts: HashSet<String>,
}

impl Log {
    fn lines(&self) -> u64 {
        self.exchanges + self.own.len() as u64
    }

    /// What the records of losses for this reason add up to, for all sinks or for the one of this name.
    fn told(&self, reason: &str, sink: Option<&str>) -> u64 {
        let told = self.own.iter().filter(|line| line.record["eventName"] == "AuditRecordsLost");
        let told =
            told.filter(|line| line.record["meta"]["reason"] == reason && line.record["meta"]["sink"].as_str() == sink);
        told.map(count).sum()
    }

    fn told_refused(&self) -> u64 {
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
    /// Whoever waits for a record that must be durable gets it, where the sinks live.
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
            // Its deadline came first, and says so: what the sinks go on taking then is counted by nobody.
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

    /// Reads the lines of a sink. One that the first sink has too, but for its number, was checked there.
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

    /// Numbers without gaps, and counters that add up.
    fn check_sink(&mut self, at: usize, witness: &Witness, log: &Log) {
        let counters = self.counters.sinks[at].clone();
        let exchanges = log.initiations.values().chain(log.completions.values());
        let numbers: HashSet<u64> = exchanges.chain(&log.own).map(|line| line.seq).collect();
        let last = numbers.iter().max().copied().unwrap_or_default();
        let gaps = last - numbers.len() as u64;
        let name = &witness.name;
        let handed_over = self.counters.handed_over;
        let filtered = witness.is_filtered();
        // Of a batch that is given up half-way, whose records of the library's own are not counted, too many may count as lost.
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
        let missed = log.told("sink_full", Some(name));
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

    /// Every sink that lives reports what all lost.
    fn check_reports(&mut self, witness: &Witness, log: &Log) {
        let name = &witness.name;
        for (reason, counted) in self.counters.lost.by_reason() {
            let told = log.told(reason, None);
            let is_of_all = !matches!(reason, "sink_full" | "sink_failed");
            if is_of_all && told != counted {
                self.fault(format!("{name}: {counted} lost by `{reason}`, {told} reported"));
            }
        }
        let has_all = log.exchanges == self.counters.handed_over;
        let rejected = has_all.then(|| log.rejected());
        let refused = rejected.map(|rejected| log.told_refused() + rejected);
        if refused.is_some_and(|refused| refused != self.counters.refused) {
            self.fault(format!("{name}: {} refused, {refused:?} reported", self.counters.refused));
        }
    }

    /// What the last record in the first sink says, where it lived.
    fn check_totals(&mut self, log: &Log) {
        let lost = self.counters.lost;
        let last = log.own.last().map(|line| line.record.clone()).unwrap_or_default();
        let meta = &last["meta"];
        let [written, said, refused, open] =
            ["written", "lost", "refused", "open"].map(|what| meta[what].as_u64().unwrap_or(u64::MAX));
        // A sink that dies after the last record has been made is counted, and can be reported nowhere.
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

    /// What may not lose, where the sink lived: each response that a client received whole has its durable record, and no
    /// handler ran before its initiation was durable. Where it died, this holds for what was answered.
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

    /// An upload that nobody reads, because its request was refused or timed out, ends its connection with a reset, and what
    /// was on its way to the client with it.
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
        // Then nothing that may not be lost is.
        let keeps = lives && !self.stops_early;
        // Records that a class which may not lose has, or that nobody let in has, and that may be lost.
        let (mut missing, mut uncertain) = (0, 0);
        for case in &self.ledger.plan.cases {
            let seen = self.ledger.of(case.n);
            self.summary.entered += u64::from(seen.server.entered);
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
                        // Of a request that was refused there is none, of one whose client went there may be.
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

/// The class in which the record travelled.
fn class_of(case: &Case, seen: &Seen) -> Class {
    match case.nested {
        Nested::RouteLayer if seen.server.begun > 0 => case.class.max(Class::Durable),
        _ => case.class,
    }
}

/// Who stayed got the whole answer.
fn check_client(case: &Case, seen: &Seen, confirms: bool, wrong: &mut Vec<String>) {
    let stays = case.leaves == Leaves::Never && !seen.client.disturbed;
    let reads_all = case.reads == Reads::All || case.upload == Upload::None;
    if confirms && stays && reads_all && seen.server.begun > 0 && case.how.is_answered() && !seen.client.whole {
        wrong.push("its client did not get the whole answer".to_owned());
    }
    if seen.server.status.is_some() && seen.client.status.is_some() && !seen.client.refusal && case.how != How::Outer408
    {
        if seen.server.status != seen.client.status {
            wrong.push("its client got another status than the handler gave".to_owned());
        }
    }
}

/// The outcomes that are possible after what was seen.
fn outcomes(case: &Case, seen: &Seen) -> &'static [&'static str] {
    let server = &seen.server;
    match server.handled {
        Handled::NotBegun => &["rejected", "aborted", "shutdown"],
        Handled::Begun => &["aborted", "shutdown"],
        Handled::Failed => &["handler_error"],
        Handled::TimedOut => &["timed_out"],
        Handled::Panicked => &["panicked"],
        Handled::Answered if server.status == Some(101) => &["upgraded"],
        Handled::Answered if server.ends_at_head => &["completed"],
        Handled::Answered => match server.delivered {
            Delivered::Ended => &["completed"],
            Delivered::Failed => &["body_error"],
            Delivered::Panicked => &["panicked"],
            Delivered::Part if case.how == How::Events && case.nested == Nested::No => &["completed"],
            Delivered::Part => &["aborted", "shutdown"],
        },
    }
}

fn check_completion(case: &Case, seen: &Seen, record: &Value, wrong: &mut Vec<String>) {
    let (n, server) = (case.n, &seen.server);
    let outcome = record["outcome"].as_str().unwrap_or_default();
    let expected = outcomes(case, seen);
    if !expected.contains(&outcome) {
        wrong.push(format!("`{outcome}`, not {expected:?}"));
        return;
    }
    if seen.client.refusal && server.begun == 0 && outcome != "rejected" {
        wrong.push("its client was refused".to_owned());
    }
    let mut same = |what: &str, is: &Value, should_be: Value| {
        if *is != should_be {
            wrong.push(format!("{what} is {is}, not {should_be}"));
        }
    };
    let was_answered = server.handled == Handled::Answered;
    let is_grpc = case.content_type() == "application/grpc";
    let status = match outcome {
        "rejected" => Some(if is_grpc { 200 } else { 503 }),
        _ => server.status,
    };
    same("the status", &record["response"]["status"], status.into());
    let begun = server.begun > 0;
    if was_answered {
        same("the length", &record["response"]["bytes"], server.bytes.into());
    }
    let actor = (begun && case.has_actor).then(|| format!("canary-{n}-actor"));
    same("the actor", &record["actor"]["actorId"], actor.into());
    same("the agent", &record["actor"]["client"], format!("canary-{n}-agent").into());
    same("`meta.canary`", &record["meta"]["canary"], begun.then(|| format!("canary-{n}-meta")).into());
    same("the method", &record["request"]["method"], case.method.into());
    if begun {
        let name = match case.nested {
            Nested::RouteLayer => "Nested".to_owned(),
            _ => case.event_name(),
        };
        same("the event", &record["eventName"], name.into());
    }
    if outcome == "aborted" {
        same("where it was aborted", &record["meta"]["abortedAt"], if was_answered { "body" } else { "head" }.into());
    }
    let has_grpc_failed = is_grpc
        && was_answered
        && server.status == Some(200)
        && case.how.grpc_status() != Some(0)
        && (matches!(case.how, How::GrpcHead(_)) || server.delivered == Delivered::Ended);
    let said = case.how == How::ServerError && server.status == Some(500);
    let failed = !matches!(outcome, "completed" | "upgraded")
        || server.status.is_some_and(|status| status >= 400)
        || has_grpc_failed
        || said;
    same("the result", &record["status"], if failed { "failed" } else { "succeeded" }.into());
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
