//! What stands in a finished fragment, by pointers: to tell of no key that the record does not show.

use std::collections::HashSet;
use std::ops::Range;

use super::trail::{ANY, LEFT_OUT, Steps, keys};
use crate::record::fragment::{scalar_end, string_end, unescape};

/// A fragment of a finished record, below a key where it is one member of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'r> {
    pub(super) key: Option<&'r str>,
    pub(super) fragment: &'r str,
}

impl Shown<'_> {
    /// Adds those of the wanted pointers that lead to something.
    pub(super) fn find<'p>(&self, mask: &str, wanted: &HashSet<&'p str>, found: &mut HashSet<&'p str>) {
        if let Some(key) = self.key {
            let mut steps = Steps::bounded();
            steps.go_to(0, key);
            found.extend(wanted.get(steps.text()));
        }
        self.walk(mask, |pointer, _| found.extend(wanted.get(pointer)));
        if let Some(said) = self.as_text() {
            let stands =
                |pointer: &&&str| keys(pointer).all(|key| key == ANY || key == LEFT_OUT || said.contains(&key));
            found.extend(wanted.iter().filter(stands));
        }
    }

    /// Visits the pointers to what differs from what the fragment was before values in it were masked.
    pub(super) fn changes(&self, mask: &str, before: &str, mut visit: impl FnMut(&str)) {
        let mut tokens = Vec::new();
        Shown { key: None, fragment: before }.walk(mask, |_, token| tokens.push(token));
        // Masks change tokens, never their order.
        let mut tokens = tokens.into_iter();
        self.walk(mask, |pointer, token| {
            if tokens.next().is_some_and(|was| before[was] != self.fragment[token]) {
                visit(pointer);
            }
        });
    }

    /// A text, or JSON that stands as one.
    fn as_text(&self) -> Option<String> {
        unescape(self.fragment.strip_prefix('"')?.strip_suffix('"')?)
    }

    /// Visits every key, string, number and word with the pointer that leads to it, and where it stands; elements once more
    /// where a list begins.
    fn walk(&self, mask: &str, mut visit: impl FnMut(&str, Range<usize>)) {
        let mut steps = Steps::bounded();
        if let Some(key) = self.key {
            steps.go_to(0, key);
        }
        let base = steps.len();
        let bytes = self.fragment.as_bytes();
        let mut is_object: Vec<bool> = Vec::new();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let start = at;
            at += 1;
            match byte {
                b'{' => is_object.push(true),
                b'[' => {
                    steps.go_to(base + is_object.len(), ANY);
                    is_object.push(false);
                    visit(steps.text(), start..start);
                }
                b'}' | b']' => {
                    is_object.pop();
                    steps.cut(base + is_object.len());
                }
                b',' | b':' => {}
                b'"' => {
                    at = string_end(bytes, start).unwrap_or(bytes.len());
                    if let (Some(b':'), Some(true)) = (bytes.get(at), is_object.last()) {
                        let key = unescape(&self.fragment[start + 1..at - 1]).unwrap_or_default();
                        steps.go_to(base + is_object.len() - 1, without_suffix(&key, mask));
                    }
                    visit(steps.text(), start..at);
                }
                _ => {
                    at = scalar_end(bytes, start);
                    visit(steps.text(), start..at);
                }
            }
        }
    }
}

/// A masked key without the number by which an object tells several of them apart.
fn without_suffix<'k>(key: &'k str, mask: &str) -> &'k str {
    match key.rsplit_once('~') {
        Some((masked, number)) if masked.contains(mask) && number.bytes().all(|byte| byte.is_ascii_digit()) => masked,
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(key: Option<&str>, fragment: &str, wanted: &[&str]) -> Vec<String> {
        let mut found = HashSet::new();
        Shown { key, fragment }.find("***", &wanted.iter().copied().collect(), &mut found);
        let mut found: Vec<String> = found.into_iter().map(str::to_owned).collect();
        found.sort();
        found
    }

    #[test]
    fn pointers_lead_to_what_stands_there() {
        let fragment = r#"{"a":[{"b":[]},{"c\"d":{"1":"***"}}],"x***~2":1,"e/f":{}}"#;
        let wanted = ["/a", "/a/*", "/a/*/b/*", "/a/*/c\"d/*", "/x***", "/e~1f", "/b", "/a/b", "/x***~02", "/c"];
        assert_eq!(found(None, fragment, &wanted), ["/a", "/a/*", "/a/*/b/*", "/a/*/c\"d/*", "/e~1f", "/x***"]);
        assert_eq!(found(Some("k"), fragment, &["/k", "/k/a", "/a"]), ["/k", "/k/a"]);
        assert_eq!(found(Some("k"), "1", &["/k", "/k/a", ""]), ["/k"]);
        let text = r#""{\"a\":[{\"token\":\"***\"}]}""#;
        assert_eq!(found(None, text, &["/a/*/token", "/b", "/a/pin"]), ["/a/*/token"]);
    }

    #[test]
    fn changes_are_told_by_the_keys_of_now() {
        let before = r#"{"a":["x","secret1",{"secret1":[true,"secret1"]}],"n":123456,"t":"so"}"#;
        let after = r#"{"a":["x","***",{"***~1":[true,"***"]}],"n":"***","t":"so"}"#;
        let mut changes = Vec::new();
        Shown { key: Some("k"), fragment: after }.changes("***", before, |pointer| changes.push(pointer.to_owned()));
        assert_eq!(changes, ["/k/a/*", "/k/a/*/***", "/k/a/*/***/*", "/k/n"]);
        Shown { key: None, fragment: "\"***\"" }.changes("***", "\"a\"", |pointer| changes.push(pointer.to_owned()));
        assert_eq!(changes.last().map(String::as_str), Some(""));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(fragment in "[\\[\\]{}:,\"\\\\a1 ]{0,24}", before in "[\\[\\]{}:,\"\\\\a1 ]{0,24}") {
            let shown = Shown { key: None, fragment: &fragment };
            shown.changes("***", &before, |_| {});
            shown.find("***", &HashSet::from(["/a"]), &mut HashSet::new());
        }
    }
}
