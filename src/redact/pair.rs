//! Objects that name a value beside it, `{"name":"DB_PASSWORD","value":"x"}`: lists of environment variables, headers,
//! attributes. The value is secret if its name reads as a secret key.

/// One half of such an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What the value is called.
    Name,
    /// What is called so.
    Value,
}

/// The halves of one such object, in either order.
#[derive(Debug, Default)]
pub(super) struct Pair {
    /// How many containers are open in the object.
    pub(super) depth: usize,
    /// The half that is being read, and where it begins in text and output.
    pub(super) reading: Option<(Part, usize, usize)>,
    /// Whether the other half is the name of a secret; nothing before it has come.
    pub(super) secret: Option<bool>,
    pub(super) value: Option<Half>,
    /// Only to explain.
    pub(super) value_key: String,
}

/// Where the value stands in text and output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    pub(super) text: (usize, usize),
    pub(super) out: (usize, usize),
}

/// Which half stands under a key, if it is one.
pub(super) fn part(key: &str) -> Option<Part> {
    if !(3..=8).contains(&key.len()) {
        return None;
    }
    let is_any = |all: &[&str]| all.iter().any(|one| one.eq_ignore_ascii_case(key));
    if is_any(&["name", "key", "field", "header", "variable"]) {
        Some(Part::Name)
    } else if is_any(&["value", "values", "val"]) {
        Some(Part::Value)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::{Body, Pass, Redactor};
    use crate::record::Reason;

    fn body(text: &str, cut: bool) -> Body {
        Pass::new(&Redactor::default(), None).json(text.as_bytes(), cut)
    }

    #[test]
    fn a_value_beside_a_secret_name_is_masked() {
        for (given, shown) in [
            (r#"{"name":"DB_PASSWORD","value":"x"}"#, r#"{"name":"DB_PASSWORD","value":"***"}"#),
            (r#"{"value":"x","name":"DB_PASSWORD","a":1}"#, r#"{"value":"***","name":"DB_PASSWORD","a":1}"#),
            (r#"{"Value":{"a":["x"]},"b":[2],"Name":"apiKey"}"#, r#"{"Value":"***","b":[2],"Name":"apiKey"}"#),
            ("{\n  \"name\" : \"DB_PASSWORD\" ,\n  \"value\" : \"x\"\n}", r#"{"name":"DB_PASSWORD","value":"***"}"#),
            (
                "[{\"name\":\n\"a\",\"key\":\t\"pin\",\"value\": 1},{\"name\": \"pin\", \"values\":\r\n[1]}]",
                r#"[{"name":"a","key":"***","value":"***"},{"name":"pin","values":"***"}]"#,
            ),
            (r#"{"key":"token","value":1}"#, r#"{"key":"***","value":"***"}"#),
            (r#"{"value":1,"key":"token"}"#, r#"{"value":"***","key":"***"}"#),
            (r#"{"name":"p\u0061ssword","val":[1]}"#, r#"{"name":"p\u0061ssword","val":"***"}"#),
            (
                r#"{"name":"password","name":"a","value":1}"#,
                "\"{\\\"name\\\":\\\"password\\\",\\\"name\\\":\\\"a\\\",\\\"value\\\":\\\"***\\\"}\"",
            ),
            (r#"{"name":"HOME","value":"/root"}"#, r#"{"name":"HOME","value":"/root"}"#),
            (r#"{"name":"token_id","value":7}"#, r#"{"name":"token_id","value":7}"#),
            (r#"{"value":"x","a":{"name":"password"}}"#, r#"{"value":"x","a":{"name":"password"}}"#),
            (r#"{"name":["password"],"value":"x"}"#, r#"{"name":["password"],"value":"x"}"#),
            (
                r#"{"env":[{"value":{"value":"y","name":"pin"},"name":"A"},{"name":"B","value":"{\"name\":\"pin\",\"value\":1}"}]}"#,
                r#"{"env":[{"value":{"value":"***","name":"pin"},"name":"A"},{"name":"B","value":"{\"name\":\"pin\",\"value\":\"***\"}"}]}"#,
            ),
        ] {
            match body(given, false) {
                Body::Whole(json) | Body::Text(json) => assert_eq!(json, shown, "{given}"),
                other => panic!("{given}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_value_is_remembered() {
        let redactor = Redactor::default();
        let mut pass = Pass::new(&redactor, None);
        let mut error = "bad value hunter-2, hunter-3".to_owned();
        pass.json(br#"[{"value":["hunter-2"],"name":"password"},{"name":"password","value":"hunter-3"}]"#, false);
        pass.scrub_text(&mut error);
        assert_eq!(error, "bad value ***, ***");
    }

    #[test]
    fn exceptions_and_ways_hold() {
        let redactor = Redactor::builder().except_pointer("/0/value").except("DB_KEY").remove().build().unwrap();
        let text = r#"[{"name":"password","value":1},{"name":"DB_KEY","value":2},{"name":"pin","value":3,"a":4},{"value":5,"name":"pin"}]"#;
        assert_eq!(
            Pass::new(&redactor, None).json(text.as_bytes(), false),
            Body::Whole(
                r#"[{"name":"password","value":1},{"name":"DB_KEY","value":2},{"name":"pin","a":4},{"value":"***","name":"pin"}]"#
                    .to_owned()
            )
        );
    }

    #[test]
    fn no_value_before_the_name_is_passed_over() {
        for (given, shown) in [
            (r#"{"value":"one","values":["two"],"name":"DB_PASSWORD"}"#, r#"{"value":"***","name":"DB_PASSWORD"}"#),
            (
                r#"{"val":"one","a":[{"value":"x","name":"pin"}],"value":2,"b":1,"name":"pin"}"#,
                r#"{"val":"***","b":1,"name":"pin"}"#,
            ),
            (
                r#"{"value":"one","name":"A","header":"Authorization"}"#,
                r#"{"value":"***","name":"A","header":"Authorization"}"#,
            ),
            (r#"{"value":1,"values":[2],"name":"A"}"#, r#"{"value":1,"values":[2],"name":"A"}"#),
        ] {
            assert_eq!(body(given, false), Body::Whole(shown.to_owned()), "{given}");
        }
        assert_eq!(
            body(r#"[{"value":"one","val":"two","a"#, true),
            Body::Beginning(r#"[{"value":"***"}]"#.to_owned(), Reason::Truncated)
        );
        let redactor = Redactor::default();
        let mut pass = Pass::new(&redactor, None);
        let mut error = "neither hunter-1 nor hunter-2".to_owned();
        pass.json(br#"{"value":"hunter-1","val":["hunter-2"],"name":"password"}"#, false);
        pass.scrub_text(&mut error);
        assert_eq!(error, "neither *** nor ***");
    }

    /// Done at once; not in a minute if the name were read once for each key that follows.
    #[test]
    fn a_long_name_of_a_secret_is_read_once() {
        let long = format!("password{}", "x".repeat(1 << 19));
        for (first, then) in
            [("", r#""name":1"#), ("", r#""key":{}"#), ("", r#""value":1"#), (r#""val":1,"#, r#""name":1"#)]
        {
            let given = format!(r#"{{{first}"name":"{long}",{}}}"#, vec![then; 4_000].join(","));
            assert!(matches!(body(&given, false), Body::Text(_)), "{first}{then}");
        }
    }

    #[test]
    fn a_card_number_that_was_removed_before_its_name_came_is_gone() {
        let redactor = Redactor::builder().remove().build().unwrap();
        for (given, cut, shown) in [
            (r#"{"a":1,"value":4111111111111111,"name":"pin","b":2}"#, false, r#"{"a":1,"name":"pin","b":2}"#),
            (r#"{"value":"x","val":4111111111111111,"name":"pin"}"#, false, r#"{"value":"***","name":"pin"}"#),
            (r#"{"a":1,"value":4111111111111111 ,"n"#, true, r#"{"a":1}"#),
        ] {
            let body = Pass::new(&redactor, None).json(given.as_bytes(), cut);
            let (Body::Whole(json) | Body::Beginning(json, _)) = body else { panic!("{given}: {body:?}") };
            assert_eq!(json, shown, "{given}");
        }
    }

    #[test]
    fn a_cut_before_the_name_hides_the_value() {
        for (given, shown) in [
            (r#"[{"value":"x","a":[1],"na"#, r#"[{"value":"***","a":[1]}]"#),
            (r#"[{"a":1,"value":{"b":"x","c"#, r#"[{"a":1}]"#),
            (r#"[{"value":"y","b":{"value":{"c":"x","d"#, r#"[{"value":"***","b":{}}]"#),
            (r#"[{"name":"A","value":"x","a"#, r#"[{"name":"A","value":"x"}]"#),
            (r#"[{"name":"pin","value":"x","a"#, r#"[{"name":"pin","value":"***"}]"#),
            (r#"[{"value":"x"},{"a"#, r#"[{"value":"x"}]"#),
        ] {
            assert_eq!(body(given, true), Body::Beginning(shown.to_owned(), Reason::Truncated), "{given}");
        }
    }

    proptest! {
        #[test]
        fn no_canary_beside_a_secret_name_appears(
            (name, value) in prop::sample::select(vec![("name", "value"), ("Key", "Value"), ("header", "values"), ("variable", "val")]),
            secret in prop::sample::select(vec!["DB_PASSWORD", "apiKey", "Authorization", "client-secret"]),
            shape in 0..4,
            members in Just(["a", "b", "n", "v"]).prop_shuffle(),
            depth in 0..4,
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let canary = "cAnArY7Qx";
            let held = match shape {
                0 => json!(canary),
                1 => json!({ "b": [canary] }),
                2 => json!({ value: canary, "c": canary }),
                _ => json!([[canary, 1], canary]),
            };
            let members = members.map(|member| match member {
                "n" => format!("{}:{}", json!(name), json!(secret)),
                "v" => format!("{}:{held}", json!(value)),
                other => format!("{}:{{\"x\":[1,\"{other}\"]}}", json!(other)),
            });
            let mut text = format!("{{{}}}", members.join(","));
            for level in 0..depth {
                text = if level % 2 == 0 { format!("[1,{text},2]") } else { format!("{{\"value\":{text},\"z\":0}}") };
            }
            let cut = cut.map(|cut| cut.index(text.len()));
            let shown = body(&text[..cut.unwrap_or(text.len())], cut.is_some());
            match shown {
                Body::Whole(json) | Body::Beginning(json, _) | Body::Text(json) => {
                    prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{} became {}", text, json);
                    prop_assert!(!json.contains("cAnAr"), "{} became {}", text, json);
                }
                Body::Omitted(_) => prop_assert!(cut.is_some(), "{}", text),
            }
        }
    }
}
