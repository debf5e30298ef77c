//! Properties with `serde_json` as oracle, and the growth of the work. `PROPTEST_CASES` sets how many cases each tries.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::redact::rules::ALWAYS;

const CANARY: &str = "cAnArY7Qx0";

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        // A longer number may be that of a card.
        any::<i32>().prop_map(Value::from),
        "[ -~é\"\\\\]{0,12}".prop_map(Value::from),
        Just(Value::from("name")),
    ];
    let key = prop_oneof![
        "[f-l]{1,6}",
        Just("name".to_owned()),
        Just("value".to_owned()),
        Just("data".to_owned()),
        Just("kind".to_owned()),
        Just("id".to_owned())
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::hash_map(key.clone(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// A document without anything secret does not change, but for its white space.
    #[test]
    fn harmless_documents_stay(value in any_json()) {
        let redactor = Redactor::default();
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let shown = shown_by(&redactor, None, "json", text.as_bytes(), false).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(&shown).unwrap(), &value);
        }
    }

    /// A secret anywhere in a document shows nowhere, at no cut, nor in an error that quotes it.
    #[test]
    fn secrets_never_show(value in any_json(), other in any_json(), shape in 0..6_usize, at in any::<prop::sample::Index>()) {
        let document = match shape {
            0 => json!({ "a": value, "password": CANARY, "x": other, "z": [CANARY] }),
            1 => json!([{ "secrets": { "x": [CANARY, value] } }, other, CANARY]),
            2 => json!({ "value": { "v": [CANARY, value] }, "name": "api_key", "z": other }),
            3 => json!({ "s": json!({ "passphrase": CANARY, "v": value }).to_string(), "o": other }),
            4 => json!({ "u": format!("https://h/?access_token={CANARY}&x=1"), "v": value, "w": other }),
            _ => json!({ "apiVersion": "v1", "data": { "d": CANARY, "e": value }, "kind": "Secret", "x": other }),
        };
        let redactor = Redactor::default();
        let text = document.to_string();
        let shown = shown_by(&redactor, None, "json", text.as_bytes(), false).unwrap();
        prop_assert!(!shown.contains(CANARY), "{}", shown);
        let cut = at.index(text.len());
        if let Some(shown) = shown_by(&redactor, None, "json", &text.as_bytes()[..cut], true) {
            prop_assert!(serde_json::from_str::<Value>(&shown).is_ok(), "{}", shown);
            prop_assert!(!shown.contains(CANARY), "{} of {}", shown, &text[..cut]);
        }
        let error = error_beside("json", text.as_bytes(), false, &format!("cannot use {CANARY}!"));
        prop_assert!(!error.contains(CANARY), "{}", error);
    }

    /// Nothing that a client sends changes evidence.
    #[test]
    fn evidence_is_out_of_reach(name in "[a-z]{3,10}[-/:]?[a-z0-9]{0,12}", secret in prop::sample::select(ALWAYS)) {
        let redactor = Redactor::default();
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let key = secret.replace(' ', "_");
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        session.body(Media::Json, "", json!({ &key: &name }).to_string().as_bytes(), false);
        session.body(Media::Form, "", format!("{key}={name}").as_bytes(), false);
        session.query(&format!("{key}={name}"));
        session.credential_header("x-api-key", &name);
        session.text(&format!("{key}=\"{name}\""));
        let evidence = session.evidence(&name);
        let path = session.path(&format!("/p/{name}"), Some(&[("project", 3..3 + name.len())]));
        let params = session.params([("project", name.as_str().into())].into_iter()).unwrap();
        let meta = session.meta("project", &json!([&name]));
        session.finish();
        prop_assert_eq!(out.get(evidence), &name);
        prop_assert_eq!(out.get(path), format!("/p/{name}"));
        prop_assert_eq!(out.get(params), json!({ "project": &name }).to_string());
        prop_assert_eq!(out.get(meta), json!([&name]).to_string());
    }
}

/// Repeats one to three fragments to two lengths: the work may grow with the text and not with its square.
#[test]
fn no_text_makes_the_work_per_byte_grow() {
    const FRAGMENTS: &[&str] = &[
        "password",
        "token=",
        "token:",
        "\"token\":\"",
        "'pin':'",
        "name",
        "\"",
        "'",
        "\\",
        "\\\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        "=",
        "&",
        "?",
        "#",
        "%",
        "%25",
        "%22",
        "%7b",
        "\\u0022",
        "{\"a\":",
        "[[",
        "\"value\":",
        "\"name\":\"pin\",",
        "https://",
        "token:https://%7b",
        "a:b@",
        "@",
        "eyJ",
        "ghp_",
        "-----BEGIN RSA PRIVATE KEY-----",
        "Bearer ",
        "Basic ",
        "4111 ",
        "--x\r\n",
        "\r\n",
        " ",
        "x",
        "é",
        "a1b2c3",
        "?1pwd={\"a\":",
        "Cookie: ",
        "Cookie: a=",
        "Authorization: x",
        "name: ",
        "=>",
        ";",
        "(",
        "api_key=a1b2c3d4&",
        "\n",
        ",",
        "\\\\\\\"",
        "pwd:[\"",
        "pwd: Some(",
        "u'",
        "\",\"",
        "a;",
        "pwd=111111 pwd=1111111 pwd=11111111 ",
        "pwd=['z',",
        "\"pwd=['z'\",",
        "'pwd=[\"z\"',",
        "\"pwd=[\\'z\\'\",",
        "'pwd=['z','pwd=[',',',",
        "{\\\"token\\\":\"token=",
    ];
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256_usize);
    let redactor = Redactor::default();
    let work = |text: &str| {
        let mut quoted = String::new();
        crate::json::push_json_string(&mut quoted, text);
        let form = format!("a={text}");
        [
            ("json", quoted.as_str()),
            ("json", text),
            ("form", &form),
            ("text", text),
            ("multipart/form-data; boundary=x", text),
        ]
        .map(|(content_type, body)| {
            crate::work::of(|| {
                let _ = error_beside(content_type, body.as_bytes(), true, text);
                let _ = shown_by(&redactor, None, content_type, body.as_bytes(), true);
            })
        })
    };
    // A generator of its own, so that a failing case is found again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % most
    };
    for case in 0..FRAGMENTS.len() + cases / 4 {
        let pick = match FRAGMENTS.get(case) {
            Some(fragment) => (*fragment).to_owned(),
            None => (0..1 + next(4)).map(|_| FRAGMENTS[next(FRAGMENTS.len())]).collect::<String>(),
        };
        // Quotes pair with those before them, so an even and an odd number may differ by a constant factor.
        let [even, odd, large] =
            [(4, 0), (4, 1), (32, 0)].map(|(kib, more)| work(&pick.repeat(kib * 1024 / pick.len() + more)));
        for (at, ((even, odd), large)) in even.into_iter().zip(odd).zip(large).enumerate() {
            let small = even.max(odd);
            assert!(large <= 12 * small.max(1024), "{pick:?} as {at}: {small} bytes of work, then {large}");
        }
    }
}
