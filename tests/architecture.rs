//! The modules of the crate use one another in the order that `guide::architecture` publishes, and where they do not, the page says so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../src/guide/architecture.md");

/// The names in code font of the first column of a table, row by row.
fn first_column(heading: &str) -> Vec<Vec<String>> {
    let section = PAGE.split(heading).nth(1).unwrap_or_else(|| panic!("the page has no {heading:?}"));
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let names =
        |cell: &str| cell.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/').to_owned()).collect();
    rows.map(|row| names(row.split('|').nth(1).unwrap())).collect()
}

/// All modules, from the lowest up.
fn modules() -> Vec<String> {
    first_column("## Modules").concat()
}

/// The arrows that the page admits against the order.
fn admitted() -> BTreeSet<(String, String)> {
    let pairs = first_column("### Dependencies against the order");
    pairs.into_iter().map(|pair| <[String; 2]>::try_from(pair).unwrap().into()).collect()
}

/// The sources of a module: a file, or a folder.
fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a source names, in code that is no test: in `use` lines, and in paths.
fn named(source: &str) -> BTreeSet<String> {
    let code = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let code = code.split("\n#[cfg(all(test, not(shuttle)))]\nmod tests {").next().unwrap();
    let code = code.split("\n#[cfg(feature = \"testing\")]\n#[cfg(test)]\nmod tests {").next().unwrap();
    let code = code.split("\n#[cfg(test)]\n#[cfg(feature = \"testing\")]\nmod tests {").next().unwrap();
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
    let mut modules = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => drop(modules.insert(first_name(rest))),
            Some(group) => modules.extend(members(group).into_iter().map(first_name)),
        }
    }
    modules
}

fn first_name(path: &str) -> String {
    path.trim_start().chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

/// The paths of a group, up to its closing brace.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut members) = (0, 0, Vec::new());
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth > 0 => {}
            ',' | '}' => {
                members.push(&group[from..at]);
                from = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members.retain(|member| !member.trim().is_empty());
    members
}

/// The module of each name that `lib.rs` exports.
fn exports() -> BTreeMap<String, String> {
    let statements =
        include_str!("../src/lib.rs").split(';').filter_map(|statement| statement.split("\npub use ").nth(1));
    let names = |statement: &'static str| {
        let (module, names) = statement.split_once("::").expect("an export names its module");
        let names = names.trim_matches(['{', '}', '\n', ' ']).split(',').map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).map(|name| (name, module.to_owned())).collect::<Vec<_>>()
    };
    statements.flat_map(names).collect()
}

/// Each module of a source, with the modules that it uses.
fn arrows() -> BTreeSet<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (exported, mut found, mut arrows) = (exports(), Vec::new(), BTreeSet::new());
    sources(&src, &mut found);
    for path in found {
        let inner = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        let is_test = inner.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "sample.rs"))
            || inner.starts_with("worker/model");
        let module = inner.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        if is_test || module == "lib" || module == "guide" {
            continue;
        }
        let used = named(&fs::read_to_string(&path).unwrap());
        for used in used {
            let used = exported.get(&used).cloned().unwrap_or(used);
            if used != module {
                arrows.insert((module.clone(), used));
            }
        }
    }
    arrows
}

#[test]
fn each_module_is_on_the_page_once() {
    let modules = modules();
    let once: BTreeSet<_> = modules.iter().cloned().collect();
    assert_eq!(once.len(), modules.len(), "a module is there twice: {modules:?}");
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = fs::read_dir(src).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<_> = names
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .filter(|name| name != "lib" && name != "guide")
        .collect();
    assert_eq!(once, names, "the modules on the page, and those in `src`");
}

#[test]
fn modules_use_lower_modules_and_every_other_arrow_is_on_the_page() {
    let modules = modules();
    let place = |module: &str| {
        modules.iter().position(|known| known == module).unwrap_or_else(|| panic!("`crate::{module}` names no module"))
    };
    let arrows = arrows();
    let upward: BTreeSet<_> = arrows.iter().filter(|(from, to)| place(to) > place(from)).cloned().collect();
    let admitted = admitted();
    let new: Vec<_> = upward.difference(&admitted).collect();
    assert!(
        new.is_empty(),
        "arrows against the order of modules, which `src/guide/architecture.md` does not admit: {new:?}"
    );
    let gone: Vec<_> = admitted.difference(&upward).collect();
    assert!(gone.is_empty(), "arrows that the page admits and nobody needs any more: {gone:?}");
}

#[test]
fn names_are_found_wherever_a_path_stands() {
    let source = "use crate::json::Pointer;\nuse crate::{\n    clock::{Micros, Time}, error::Error,\n};\n// crate::none\nlet x = crate::sink::stdout();\n\
                  #[cfg(test)]\nmod tests {\n use crate::testing;\n}";
    let expected = ["clock", "error", "json", "sink"].map(str::to_owned);
    assert_eq!(named(source), BTreeSet::from(expected));
}
