//! The public API is what `tests/public-api.txt` lists: whoever changes it sees what, and so does whoever reviews the change.
//!
//! After an intended change: `UPDATE_PUBLIC_API=1 cargo test --all-features --test public_api`.
#![cfg(all(
    unix,
    feature = "axum",
    feature = "gzip",
    feature = "metrics",
    feature = "testing",
    feature = "toml",
    feature = "tracing-subscriber"
))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/public-api.txt");

/// The JSON of rustdoc, which stable gives only where it is told that it may. Told to rustdoc alone, nothing else is built again.
fn rustdoc_json() -> PathBuf {
    let folder = tempfile::tempdir().unwrap();
    let rustdoc = folder.path().join("rustdoc");
    let real = env::var("RUSTDOC").unwrap_or_else(|_| "rustdoc".to_owned());
    fs::write(&rustdoc, format!("#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec '{real}' \"$@\"\n")).unwrap();
    fs::set_permissions(&rustdoc, fs::Permissions::from_mode(0o700)).unwrap();

    // Where this test has been built, so that the dependencies need not be checked once more.
    let test = env::current_exe().unwrap();
    let target = test.ancestors().nth(3).expect("tests are in target/PROFILE/deps");
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["rustdoc", "--lib", "--all-features", "--target-dir"])
        .arg(target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .env("RUSTDOC", &rustdoc)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("doc/tower_audit.json")
}

static JSON: LazyLock<PathBuf> = LazyLock::new(rustdoc_json);

#[test]
fn the_public_api_is_the_one_that_is_listed() {
    let api = public_api::Builder::from_rustdoc_json(&*JSON)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .expect("if rustdoc is newer than this crate knows: `cargo update -p public-api`");
    let actual: BTreeSet<String> = api.items().map(ToString::to_string).collect();
    if env::var_os("UPDATE_PUBLIC_API").is_some() {
        let text: String = actual.iter().map(|line| format!("{line}\n")).collect();
        fs::write(LIST, text).unwrap();
        return;
    }
    let listed = fs::read_to_string(LIST).unwrap();
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let new: Vec<_> = actual.difference(&listed).map(|line| format!("+ {line}")).collect();
    let gone: Vec<_> = listed.difference(&actual).map(|line| format!("- {line}")).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "the public API has changed:\n{}\nIf that is intended: UPDATE_PUBLIC_API=1 cargo test --all-features --test public_api",
        [gone, new].concat().join("\n")
    );
}

/// As the README and the guide do (`tests/plain_english.rs`, which reads those): a request, a report, capacity, a client.
#[test]
fn the_documentation_of_public_items_uses_one_word_for_one_thing() {
    const REPLACED: [&str; 11] =
        ["exchange", "exchanges", "told", "tell", "tells", "room", "rooms", "stranger", "strangers", "stand", "stands"];
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&*JSON).unwrap()).unwrap();
    let mut found = Vec::new();
    let mut seen = 0;
    for item in json["index"].as_object().unwrap().values() {
        let is_public = matches!(item["visibility"].as_str(), Some("public" | "default"));
        let file = item["span"]["filename"].as_str().unwrap_or_default();
        let Some(docs) = item["docs"].as_str().filter(|_| is_public && !file.starts_with("src/guide")) else {
            continue;
        };
        seen += 1;
        for line in docs.split("```").step_by(2).flat_map(str::lines) {
            let prose: String = line.split('`').step_by(2).collect();
            let words = prose.split(|char: char| !char.is_alphanumeric()).map(str::to_lowercase);
            found
                .extend(words.filter(|word| REPLACED.contains(&&**word)).map(|word| format!("{file}: {word}: {line}")));
        }
    }
    assert!(seen > 500, "{seen} items with documentation");
    assert!(found.is_empty(), "{found:#?}");
}
