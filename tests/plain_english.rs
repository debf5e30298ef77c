//! The README and the guide use one word for one thing, one scheme of headings, and links that work wherever they are read.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::fs;
use std::path::PathBuf;

/// What has another word: request, report, capacity, unauthenticated client, entry point. `guide::architecture` explains the
/// exchange, a term of the code.
const REPLACED: [&str; 12] = [
    "exchange",
    "exchanges",
    "told",
    "tell",
    "tells",
    "room",
    "rooms",
    "stranger",
    "strangers",
    "doors",
    "stands",
    "stand",
];

/// Each page, with its text outside of code.
fn pages() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_dir(root.join("src/guide")).unwrap().map(|entry| entry.unwrap().path());
    let pages = guide.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
        .chain([root.join("README.md")])
        .map(|path| (path.display().to_string(), prose(&fs::read_to_string(&path).unwrap())))
        .collect()
}

/// The text without fenced code and code spans.
fn prose(page: &str) -> String {
    let mut is_code = false;
    let mut prose = String::new();
    for line in page.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if !is_code && !line.trim_start().starts_with("```") {
            prose.extend(line.split('`').step_by(2));
        }
        prose.push('\n');
    }
    prose
}

#[test]
fn one_word_for_one_thing() {
    let pages = pages();
    assert!(pages.len() > 15, "{}", pages.len());
    let mut found = Vec::new();
    for (page, prose) in pages {
        let is_allowed = |word: &str| page.ends_with("architecture.md") && word.starts_with("exchange");
        for (number, line) in prose.lines().enumerate() {
            let words = line.split(|char: char| !char.is_alphanumeric()).map(str::to_lowercase);
            let replaced = words.filter(|word| REPLACED.contains(&&**word) && !is_allowed(word));
            found.extend(replaced.map(|word| format!("{page}:{}: {word}", number + 1)));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// A page of the guide is the text of a module, whose name is the title: it begins with a sentence, and its sections with `##`.
#[test]
fn pages_of_the_guide_begin_with_a_sentence_and_have_sections_of_the_second_level() {
    for (page, prose) in pages() {
        if page.ends_with("README.md") {
            continue;
        }
        let first = prose.lines().next().unwrap();
        assert!(first.starts_with(char::is_uppercase), "{page}: {first:?}");
        let mut above = 1;
        for heading in prose.lines().filter(|line| line.starts_with('#')) {
            let level = heading.chars().take_while(|char| *char == '#').count();
            assert!(level >= 2 && level <= above + 1, "{page}: {heading}");
            above = level;
        }
    }
}

/// The registry and docs.rs show the README without the repository around it.
#[test]
fn no_link_of_the_readme_is_relative() {
    let (_, readme) = pages().into_iter().find(|(page, _)| page.ends_with("README.md")).unwrap();
    let targets: Vec<&str> = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(targets.len() > 5, "{targets:?}");
    assert!(targets.iter().all(|target| target.starts_with("https://")), "{targets:?}");
}
