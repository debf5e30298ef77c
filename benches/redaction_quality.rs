//! How much redaction hides and erases on labelled bodies and texts: `cargo bench --bench redaction_quality -- [FOLDER]`.
//!
//! A folder holds `bodies.jsonl` and `texts.jsonl`, each also with `.gz`: one JSON object a line, with the fields of
//! `LabelledBody` and `LabelledText` in `quality/set.rs`. Without a folder it reads the project's own set,
//! `tests/redaction-set`.
//!
//! Each body goes through an `AuditLayer` with the default rules, each text is a handler's error, and the records are
//! compared with what was sent:
//!
//! - recall: labelled secrets that are masked, or below or above a masked place, of all;
//! - precision: masked places at, below or above a labelled secret, of all masked places that are not arguable and were not
//!   null or empty; a changed key counts as a false mask;
//! - texts: those that changed, of all;
//! - evidence: route parameters, actor, object, `meta` and keys of bodies, which nothing that a client sent may change.
//!
//! It fails below a goal: `--recall 93`, `--precision 75`, `--texts 0.2` (percent), and on any altered evidence.
//! `--list 40` sets the rows of each table; `--verbose FILE` writes every finding to a file as JSON lines. `cargo test
//! --bench redaction_quality -- [FOLDER]` does the same sooner after a change, because it builds without optimisation.
#![allow(clippy::print_stdout, reason = "the tables are the result")]

mod quality;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use quality::layer;
use quality::set::Set;
use quality::tally::{Groups, Share, Tally};

/// What is asked for on the command line.
struct Options {
    folder: PathBuf,
    recall: f64,
    precision: f64,
    texts: f64,
    rows: usize,
    verbose: Option<PathBuf>,
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            println!("**{problem}**");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redaction-set");
        let mut options = Self { folder: own, recall: 93.0, precision: 75.0, texts: 0.2, rows: 40, verbose: None };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--recall" => options.recall = value(&arg, args.next())?,
                "--precision" => options.precision = value(&arg, args.next())?,
                "--texts" => options.texts = value(&arg, args.next())?,
                "--list" => options.rows = value(&arg, args.next())?,
                "--verbose" => options.verbose = Some(value(&arg, args.next())?),
                // From cargo.
                "--bench" | "--test" => {}
                _ if arg.starts_with('-') => return Err(format!("there is no option {arg}")),
                _ => options.folder = arg.into(),
            }
        }
        Ok(options)
    }
}

fn value<T: FromStr>(option: &str, given: Option<String>) -> Result<T, String> {
    let given = given.ok_or_else(|| format!("{option} needs a value"))?;
    given.parse().map_err(|_| format!("{option}: `{given}` is not a value of it"))
}

/// Whether the goals are reached.
fn run(options: &Options) -> Result<bool, String> {
    let began = Instant::now();
    let set = Set::read(&options.folder)?;
    let (bodies, texts) = layer::record(&set)?;
    let recorded = began.elapsed();
    let tally = Tally::of(&set, &bodies, &texts)?;

    print_groups("False masks", "key", &tally.false_masks, options.rows);
    print_groups("Missed secrets", "key (set)", &tally.missed_secrets, options.rows);
    print_groups("Changed texts", "text (set)", &tally.changed_texts, options.rows);
    print_groups("Altered evidence", "place", &tally.altered_evidence, options.rows);

    println!("{} bodies, {} texts of {}\n", bodies.len(), texts.len(), options.folder.display());
    println!("| | % | counted | goal |\n|---|---|---|---|");
    let at_least = |name: &str, share: Share, goal: f64| {
        let percent = share.percent(100.0);
        println!("| {name} | {percent:.1} | {} of {} | at least {goal} |", share.part, share.whole);
        percent >= goal
    };
    let recall = at_least("recall", tally.recall, options.recall);
    let precision = at_least("precision", tally.precision, options.precision);
    let changed = tally.texts.percent(0.0);
    println!(
        "| changed texts | {changed:.2} | {} of {} | at most {} |\n",
        tally.texts.part, tally.texts.whole, options.texts
    );
    for (reason, count) in &tally.omitted {
        println!("Bodies left out, `{reason}`: {count}.");
    }
    if tally.lost_labels > 0 {
        println!("Labels that name no place: {}.", tally.lost_labels);
    }
    let altered: usize = tally.altered_evidence.sorted().iter().map(|group| group.count).sum();
    println!("Evidence altered: {altered} places, {} keys of bodies.", tally.changed_keys);
    println!(
        "Recorded in {:.1} s, compared in {:.1} s.",
        recorded.as_secs_f64(),
        (began.elapsed() - recorded).as_secs_f64()
    );

    if let Some(path) = &options.verbose {
        let lines: String = tally.findings.iter().map(|finding| format!("{finding}\n")).collect();
        fs::write(path, lines).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{} findings in {}.", tally.findings.len(), path.display());
    }
    Ok(recall && precision && changed <= options.texts && altered == 0 && tally.changed_keys == 0)
}

fn print_groups(title: &str, by: &str, groups: &Groups, rows: usize) {
    let groups = groups.sorted();
    if groups.is_empty() {
        return;
    }
    let count: usize = groups.iter().map(|group| group.count).sum();
    println!("{title}: {count}\n\n| {by} | count | example |\n|---|---|---|");
    for group in groups.iter().take(rows) {
        println!("| {} | {} | {} |", shortened(&group.name), group.count, shortened(&group.example));
    }
    if groups.len() > rows {
        println!("| {} more | | |", groups.len() - rows);
    }
    println!();
}

/// At most 160 characters, on one line.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 160;
    let line = text.escape_debug().to_string().replace("\\\"", "\"").replace('|', "\\|");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
