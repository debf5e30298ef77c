//! Which keys are secret.

use serde_json::json;

use super::*;
use crate::redact::rules::{ALWAYS, AS_TEXT, CODES, DROPPED, HARMLESS, MASK_VALUES_UNDER};

/// What the guide lists below a heading, as text in backticks.
fn listed_below(heading: &str) -> Vec<&'static str> {
    let guide = include_str!("../../guide/redaction.md");
    let (_, below) = guide.split_once(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let list = below.split("\n\n").find(|paragraph| paragraph.lines().all(|line| line.trim().starts_with('`')));
    list.unwrap_or_default().split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_guide_lists_every_word_of_the_rules_and_no_other() {
    for (heading, phrases) in [
        ("Always secret", ALWAYS),
        ("Codes", CODES),
        ("Secret as text", AS_TEXT),
        ("Not secret", HARMLESS),
        ("Objects whose values are masked", MASK_VALUES_UNDER),
    ] {
        assert_eq!(listed_below(heading), phrases, "{heading}");
    }
    let dropped: Vec<String> = DROPPED.iter().map(|word| format!("`{word}`")).collect();
    assert!(include_str!("../../guide/redaction.md").contains(&format!("\n\n{}\n\n", dropped.join(" "))));
}

#[test]
fn every_listed_phrase_makes_a_key_secret_in_every_spelling() {
    for (phrases, number) in [(ALWAYS, true), (CODES, true), (AS_TEXT, false)] {
        for phrase in phrases {
            let words: Vec<&str> = phrase.split(' ').collect();
            let pascal: String = words.iter().map(|word| word[..1].to_uppercase() + &word[1..]).collect();
            let camel = pascal[..1].to_lowercase() + &pascal[1..];
            for key in [
                words.join("_"),
                words.join("-").to_uppercase(),
                words.concat(),
                pascal.clone(),
                camel,
                format!("user{pascal}"),
                format!("my_{}s", words.join("_")),
                format!("{}_2", words.join("_")),
                format!("user[{}]", words.join("_")),
            ] {
                let shown = json_of(&json!({ &key: "some value" }).to_string());
                assert_eq!(shown, json!({ &key: "***" }).to_string(), "{phrase}");
                let shown = json_of(&json!({ &key: 4711 }).to_string());
                assert_eq!(shown.contains("***"), number, "{key}: {shown}");
                assert_eq!(json_of(&json!({ &key: true }).to_string()), json!({ &key: true }).to_string());
                // Another word at the end makes it a different key.
                let other = format!("{key}_policy");
                assert_eq!(json_of(&json!({ &other: "strict" }).to_string()), json!({ &other: "strict" }).to_string());
            }
            for dropped in DROPPED {
                let key = format!("{}_{dropped}", words.join("_"));
                assert_eq!(json_of(&json!({ &key: "some value" }).to_string()), json!({ &key: "***" }).to_string());
            }
        }
    }
    for phrase in HARMLESS {
        let key = phrase.replace(' ', "_");
        assert_eq!(json_of(&json!({ &key: "some value" }).to_string()), json!({ &key: "some value" }).to_string());
    }
}

#[test]
fn what_only_looks_like_a_secret_shows() {
    let body = r#"{"max_tokens":4096,"token_id":"t-4711-abc","public_key":"AAAAB3","secretName":"db-credentials","key":"theme","keys":["a-long-key"],"sid":"SM123456789","session":"morning","signature":"0xabcdef","primary_key":"user_id","sort_key":"created","secret_scanning_enabled":"enabled","github_com_two_factor_auth":true,"password_policy":"strict","next_page_token":"CAUQAA-and-more","idempotency_token":"a-b-c-d-e","author":"jane","token":"short","pass":null,"opinion":"strong","shipping":12,"compass":"north","philippines":"Manila","tokenizer":"cl100k_base"}"#;
    assert_eq!(json_of(body), body);
}

#[test]
fn each_class_of_keys_reaches_as_far_as_it_says() {
    let body = r#"{"password":{"a":"x","b":[1,{"c":true,"d":null}]},"pin":{"id":7,"by":"jane"},"token":{"id":"t-1","access_token":"abcdefg"},"tokens":["abcdefg","short",1,{"id":"shown"}],"secrets":{"A":"x","B":{"c":1,"d":false}},"pins":[1,"2"]}"#;
    let expected = r#"{"password":{"a":"***","b":["***",{"c":true,"d":null}]},"pin":{"id":7,"by":"jane"},"token":{"id":"t-1","access_token":"***"},"tokens":["***","short",1,{"id":"shown"}],"secrets":{"A":"***","B":{"c":"***","d":"***"}},"pins":["***","***"]}"#;
    assert_eq!(json_of(body), expected);
    let nested = r#"{"secrets":{"list":["a",1,{"b":true}]},"accesstoken":"abcdefg","monkey":"banana"}"#;
    let expected = r#"{"secrets":{"list":["***","***",{"b":"***"}]},"accesstoken":"***","monkey":"banana"}"#;
    assert_eq!(json_of(nested), expected);
    let pointed = Redactor::builder().pointer("/phones").build().unwrap();
    let shown = shown_by(&pointed, None, "json", br#"{"phones":["1",7,{"a":"b"}]}"#, false).unwrap();
    assert_eq!(shown, r#"{"phones":["***","***",{"a":"***"}]}"#);
    let listed = r#"{"secrets":[{"name":"DB_PASSWORD","updated":"today"},"plain-text"]}"#;
    assert_eq!(json_of(listed), r#"{"secrets":[{"name":"DB_PASSWORD","updated":"today"},"***"]}"#);
}
