//! The rules laid out for the look-up: one step for each segment of a path, however many rules there are.

use std::collections::HashMap;

use super::rules::{Rule, ScopeRules, is_path, is_segment};
use crate::record::Scope;

/// The rules, and the same as a tree of segments.
#[derive(Debug)]
pub(crate) struct Tree {
    rules: ScopeRules,
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    rule: Rule,
    below: HashMap<Box<str>, Node>,
}

impl Tree {
    pub(super) fn new(rules: ScopeRules) -> Self {
        let mut root = Node::default();
        for (path, rule) in &rules.paths {
            let node = path.split('/').fold(&mut root, |node, segment| node.below.entry(segment.into()).or_default());
            node.rule = rule.clone();
        }
        root.rule = rules.default.clone();
        Self { rules, root }
    }

    pub(super) fn rules(&self) -> &ScopeRules {
        &self.rules
    }

    /// What holds where no other rule does.
    pub(super) fn default_of(&self, event: &str) -> bool {
        self.root.rule.of(event).unwrap_or(true)
    }

    /// As [`ScopeRules::is_audited`].
    pub(crate) fn is_audited(&self, scope: Option<&Scope>, event: &str) -> bool {
        let default = self.default_of(event);
        let Some(scope) = scope else { return self.rules.instance.of(event).unwrap_or(default) };
        let path = scope.rules_path();
        let mut nearest = default;
        let mut node = &self.root;
        let mut rest = path;
        loop {
            let (segment, behind) =
                rest.split_once('/').map_or((rest, None), |(segment, behind)| (segment, Some(behind)));
            if !is_segment(segment) {
                return true;
            }
            let Some(below) = node.below.get(segment) else { break };
            node = below;
            nearest = node.rule.of(event).unwrap_or(nearest);
            let Some(behind) = behind else { return nearest };
            rest = behind;
        }
        // No rule is below: only whether it is a path at all can change the answer.
        if is_path(path) { nearest } else { true }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scope::{ScopeChange, ScopeNode};

    fn change() -> impl Strategy<Value = ScopeChange> {
        let node = prop_oneof![
            1 => Just(ScopeNode::Default),
            1 => Just(ScopeNode::Instance),
            6 => "[ab]{1,2}(/[ab]{1,2}){0,3}".prop_map(|path| ScopeNode::Scope(Scope::group(path))),
        ];
        (node, 0..3_u8, proptest::option::of(prop_oneof![Just("One"), Just("Two")])).prop_map(|(node, what, event)| {
            let change = match what {
                0 => ScopeChange::on(node),
                1 => ScopeChange::off(node),
                _ => ScopeChange::inherit(node),
            };
            event.into_iter().fold(change, ScopeChange::event)
        })
    }

    proptest! {
        #[test]
        fn the_tree_answers_as_the_rules_do(
            changes in proptest::collection::vec(change(), 0..12),
            paths in proptest::collection::vec("[ab./]{0,10}", 0..12),
        ) {
            let mut rules = ScopeRules::off();
            for change in changes {
                rules = rules.clone().with(change).unwrap_or(rules);
            }
            let tree = Tree::new(rules.clone());
            for event in ["One", "Two", "Three"] {
                prop_assert_eq!(tree.is_audited(None, event), rules.is_audited(None, event));
                for path in rules.paths.keys().map(|path| &**path).chain(paths.iter().map(String::as_str)) {
                    let scope = Scope::group(path);
                    prop_assert_eq!(tree.is_audited(Some(&scope), event), rules.is_audited(Some(&scope), event), "{}", path);
                }
            }
        }
    }

    #[test]
    fn segments_are_whole_and_what_is_no_path_is_audited() {
        let rules = ScopeRules::off().with(ScopeChange::on(Scope::group("acme/tools"))).unwrap();
        let tree = Tree::new(rules);
        let is_audited = |path: &str| tree.is_audited(Some(&Scope::group(path)), "PackagePublished");
        for path in ["acme/tools", "acme/tools/cli", "acme/tools/cli/x"] {
            assert!(is_audited(path), "{path}");
        }
        for path in
            ["acme", "acme/tools-evil", "acme-evil", "acme/Tools", "ACME/tools", "acme/toolss/cli", "tools", "x"]
        {
            assert!(!is_audited(path), "{path}");
        }
        let long = format!("x/{}", "y".repeat(64 * 1024));
        for path in ["", "x//y", "x/../y", "/x", "x/", "acme/../x", &long] {
            assert!(is_audited(path), "{path}");
        }
    }
}
