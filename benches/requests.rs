//! What a request pays: `cargo bench --bench requests`; `-- --quick` in seconds, `-- --instructions` under callgrind too.
//!
//! All variants serve the same requests in turn in one run, so that their ratios hold on a machine whose speed does not.
//! Times are CPU times of the request's thread. Every variant's response is read to its end. Records go into a pipe that a thread drains as fast as it can; its own
//! CPU time is counted for nobody. Timing never fails the run, a record that is missing does.
#![allow(clippy::print_stdout, reason = "the table is the result")]

mod support;

use std::collections::HashMap;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::variants::{AROUND, BARE, HAND, NAMES, Records, TRACE, Variant, variant};
use support::workload::{Handlers, Kind, LEAST_ROUTES, catalog, check, requests, router, serve};
use support::{Asked, Piped, asked, block_on, machine, median, per, process_cpu, thread_cpu};
use tower::Layer as _;
use tower_audit::Auditor;

fn main() -> ExitCode {
    let asked = asked();
    if let Some(at) = asked.args.iter().position(|arg| arg == "--one") {
        return one(&asked.args[at + 1..]);
    }
    let run = Run::of(&asked);
    let mut variants: Vec<Variant> = NAMES.into_iter().map(variant).collect();
    let allocations = allocations(&mut variants);
    let times = times(&mut variants, &run);
    let cpu = cpu(&mut variants, &run);
    let spaced = spaced(&mut variants, &run);
    let wrong: Vec<String> = variants.into_iter().filter_map(|variant| finish(variant).err()).collect();
    let instructions = if run.instructions { instructions() } else { HashMap::new() };

    println!("{}\n", machine());
    print_table(&Results { times, allocations, cpu, instructions });
    print_spaced(&spaced);
    println!("\n{} mapped routes against {LEAST_ROUTES}: a GET takes {:.2} × as long.", ROUTES, routes(&run));
    for problem in &wrong {
        println!("\n**{problem}**");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How much is measured.
struct Run {
    rounds: usize,
    spaced: usize,
    instructions: bool,
}

impl Run {
    fn of(asked: &Asked) -> Self {
        let instructions = asked.args.iter().any(|arg| arg == "--instructions");
        if asked.quick {
            Self { rounds: 5, spaced: 3, instructions }
        } else {
            Self { rounds: 100, spaced: 10, instructions }
        }
    }
}

/// Requests on the clock at once: they take several of the worker's pauses, so that it works while they are served, and takes
/// from them what it takes under traffic (the lock of the queue, the memory of drafts).
const BATCH: usize = 2048;
const WARM: usize = 32;
/// Requests of a run that measures something else than their time.
const FEW: usize = 128;

type PerVariant = HashMap<(&'static str, Kind), f64>;

struct Results {
    /// Nanoseconds a request on its thread, and the ratio to the bare router in the same round.
    times: HashMap<(&'static str, Kind), (f64, f64)>,
    allocations: PerVariant,
    /// Nanoseconds a request over all threads, more than the bare router.
    cpu: PerVariant,
    /// A request's on its thread and on all.
    instructions: HashMap<(&'static str, Kind), (f64, f64)>,
}

/// CPU time, because others use the machine too: a thread that has to wait for its turn does not cost more.
fn times(variants: &mut [Variant], run: &Run) -> HashMap<(&'static str, Kind), (f64, f64)> {
    let mut rounds: HashMap<(&str, Kind), Vec<(f64, f64)>> = HashMap::new();
    for _ in 0..run.rounds {
        for kind in Kind::BOTH {
            let mut bare = f64::NAN;
            for variant in variants.iter_mut() {
                variant.serve(requests(kind, WARM));
                let batch = requests(kind, BATCH);
                let began = thread_cpu();
                variant.serve(batch);
                let time = per(thread_cpu() - began, BATCH);
                variant.settle();
                bare = if variant.name == BARE { time } else { bare };
                rounds.entry((variant.name, kind)).or_default().push((time, time / bare));
            }
        }
    }
    let middle = |rounds: Vec<(f64, f64)>| (median(rounds.iter().map(|it| it.0)), median(rounds.iter().map(|it| it.1)));
    rounds.into_iter().map(|(key, rounds)| (key, middle(rounds))).collect()
}

/// Allocations of the request's thread, once pools are warm.
fn allocations(variants: &mut [Variant]) -> PerVariant {
    let mut found = HashMap::new();
    for kind in Kind::BOTH {
        for variant in variants.iter_mut() {
            for _ in 0..4 {
                variant.serve(requests(kind, FEW));
                variant.settle();
            }
            let batch = requests(kind, FEW);
            let count = allocation_counter::measure(|| variant.serve(batch)).count_total;
            variant.settle();
            found.insert((variant.name, kind), count as f64 / FEW as f64);
        }
    }
    found
}

/// CPU time of all threads but the pipe's reader, with the making of the requests, which is the same for all.
fn cpu(variants: &mut [Variant], run: &Run) -> PerVariant {
    const BATCHES: usize = 2;
    let mut rounds: HashMap<(&str, Kind), Vec<f64>> = HashMap::new();
    for _ in 0..run.rounds.div_ceil(4) {
        for kind in Kind::BOTH {
            let mut bare = f64::NAN;
            for variant in variants.iter_mut() {
                let readers = |variant: &Variant| variant.drained().map_or(Duration::ZERO, support::Drained::cpu);
                let (began, reader) = (process_cpu(), readers(variant));
                for _ in 0..BATCHES {
                    variant.serve(requests(kind, BATCH));
                }
                variant.settle();
                let spent = process_cpu() - began;
                let time = per(spent.saturating_sub(readers(variant) - reader), BATCHES * BATCH);
                bare = if variant.name == BARE { time } else { bare };
                rounds.entry((variant.name, kind)).or_default().push(time - bare);
            }
        }
    }
    rounds.into_iter().map(|(key, rounds)| (key, median(rounds))).collect()
}

/// One request every 30 µs: what flat-out runs hide, such as the waking of a writer, shows here.
fn spaced(variants: &mut [Variant], run: &Run) -> PerVariant {
    const EVERY: Duration = Duration::from_micros(30);
    const REQUESTS: usize = 500;
    let mut found: HashMap<(&str, Kind), Vec<f64>> = HashMap::new();
    for _ in 0..run.spaced {
        for kind in Kind::BOTH {
            for variant in variants.iter_mut().filter(|variant| [BARE, AROUND, TRACE, HAND].contains(&variant.name)) {
                let mut due = Instant::now();
                for request in requests(kind, REQUESTS) {
                    let one = vec![request];
                    while Instant::now() < due {
                        std::hint::spin_loop();
                    }
                    let began = Instant::now();
                    variant.serve(one);
                    found.entry((variant.name, kind)).or_default().push(per(began.elapsed(), 1));
                    due = began + EVERY;
                }
                variant.settle();
            }
        }
    }
    found.into_iter().map(|(key, times)| (key, median(times))).collect()
}

const ROUTES: usize = 10_000;

/// What matching costs in a large catalog.
fn routes(run: &Run) -> f64 {
    let services = [0, ROUTES - LEAST_ROUTES].map(|more| {
        let piped = Piped::new(Auditor::builder().catalog(catalog(more)));
        let service = piped.auditor.layer().layer(router(Handlers::Silent));
        (piped, service)
    });
    let mut ratios = Vec::new();
    for _ in 0..run.rounds {
        let [few, many] = services.each_ref().map(|(piped, service)| {
            let batch = requests(Kind::Get, FEW);
            let began = thread_cpu();
            block_on(async {
                for request in batch {
                    serve(service, request).await;
                }
            });
            let time = per(thread_cpu() - began, FEW);
            piped.flush();
            time
        });
        ratios.push(many / few);
    }
    median(ratios)
}

/// Checks what the first records hold, and that none is missing at the end.
fn finish(variant: Variant) -> Result<(), String> {
    let name = variant.name;
    if let Records::Audit(piped, each) = &variant.records {
        let text = piped.drained.beginning();
        let lines: Vec<Value> = text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        // The first is `AuditStarted`; those of a POST come first.
        let at = usize::try_from(*each).unwrap_or(1);
        let record = lines.get(at).ok_or_else(|| format!("{name}: no records came out"))?;
        check(record, "10.128.3.17").map_err(|problem| format!("{name}: {problem} in {record}"))?;
        if name.contains("handlers") && record["actor"]["actorId"] != "user:default/jane" {
            return Err(format!("{name}: the actor that the handler named is missing"));
        }
    }
    variant.finish()
}

/// `--one VARIANT POST|GET REQUESTS`: what callgrind is run on.
fn one(args: &[String]) -> ExitCode {
    let [at, kind, count, ..] = args else { return ExitCode::FAILURE };
    let (Ok(at), Ok(mut left)) = (at.parse::<usize>(), count.parse::<usize>()) else { return ExitCode::FAILURE };
    let kind = if kind == "POST" { Kind::Post } else { Kind::Get };
    let mut variant = variant(NAMES[at]);
    while left > 0 {
        let batch = left.min(FEW);
        variant.serve(requests(kind, batch));
        variant.settle();
        left -= batch;
    }
    ExitCode::SUCCESS
}

/// Runs callgrind on each variant with two numbers of requests; the difference is what one request takes.
fn instructions() -> HashMap<(&'static str, Kind), (f64, f64)> {
    const FIRST: usize = 256;
    const MANY: usize = 1280;
    let mut found = HashMap::new();
    for kind in Kind::BOTH {
        for (at, name) in NAMES.into_iter().enumerate() {
            let (Some(few), Some(many)) = (callgrind(at, kind, FIRST), callgrind(at, kind, MANY)) else { continue };
            let each = |few: u64, many: u64| many.saturating_sub(few) as f64 / (MANY - FIRST) as f64;
            found.insert((name, kind), (each(few.0, many.0), each(few.1, many.1)));
        }
    }
    found
}

/// Instructions of the first thread, and of all.
fn callgrind(at: usize, kind: Kind, count: usize) -> Option<(u64, u64)> {
    let folder = std::env::temp_dir().join(format!("tower-audit-callgrind-{}", std::process::id()));
    std::fs::create_dir_all(&folder).ok()?;
    let status = Command::new("valgrind")
        .args(["-q", "--tool=callgrind", "--separate-threads=yes"])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(std::env::current_exe().ok()?)
        .args(["--one", &at.to_string(), kind.name(), &count.to_string()])
        .status()
        .ok()?;
    let mut threads: Vec<(std::path::PathBuf, u64)> = Vec::new();
    for file in std::fs::read_dir(&folder).ok()? {
        let path = file.ok()?.path();
        let text = std::fs::read_to_string(&path).ok()?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok()).unwrap_or(0);
        threads.push((path, total));
    }
    std::fs::remove_dir_all(&folder).ok()?;
    let first = threads.iter().find(|(path, _)| path.to_string_lossy().ends_with("-01"))?.1;
    status.success().then(|| (first, threads.iter().map(|thread| thread.1).sum()))
}

fn print_table(results: &Results) {
    println!(
        "| | POST ns | × bare | GET ns | × bare | allocations P / G | CPU of all threads +µs P / G | instructions P / G, \
         request's thread | all threads |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for name in NAMES {
        let mut row = format!("| {name} |");
        for kind in Kind::BOTH {
            let (time, ratio) = results.times[&(name, kind)];
            row.push_str(&format!(" {time:.0} | {ratio:.2} |"));
        }
        let pair = |of: &dyn Fn(Kind) -> String| format!(" {} / {} |", of(Kind::Post), of(Kind::Get));
        let (allocations, cpu) = (&results.allocations, &results.cpu);
        if name == BARE {
            row.push_str(&pair(&|kind| format!("{:.1}", allocations[&(name, kind)])));
            row.push_str(" |");
        } else {
            row.push_str(&pair(&|kind| format!("+{:.1}", allocations[&(name, kind)] - allocations[&(BARE, kind)])));
            row.push_str(&pair(&|kind| format!("{:.2}", cpu[&(name, kind)] / 1000.0)));
        }
        for of in [|it: &(f64, f64)| it.0, |it: &(f64, f64)| it.1] {
            row.push_str(&pair(&|kind| {
                let found = |name| results.instructions.get(&(name, kind)).map(of);
                match (found(name), found(BARE)) {
                    (Some(own), _) if name == BARE => format!("{own:.0}"),
                    (Some(own), Some(bare)) => format!("+{:.0}", own - bare),
                    _ => "–".to_owned(),
                }
            }));
        }
        println!("{row}");
    }
}

fn print_spaced(spaced: &PerVariant) {
    println!("\nOne request every 30 µs, added to the median:");
    for name in [AROUND, TRACE, HAND] {
        let added = Kind::BOTH.map(|kind| (spaced[&(name, kind)] - spaced[&(BARE, kind)]) / 1000.0);
        println!("- {name}: POST +{:.2} µs, GET +{:.2} µs", added[0], added[1]);
    }
}
