//! The promises of redaction as a whole: golden cases, hostile cases, and properties with `serde_json`
//! as oracle. `PROPTEST_CASES` sets how many cases each property tries.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Body, EventRules, Pass, Redactor};
use crate::record::Reason;

fn whole(text: &str) -> String {
    match Pass::new(&Redactor::default(), None).json(text.as_bytes(), false) {
        Body::Whole(json) => json,
        other => panic!("{text}: {other:?}"),
    }
}

fn body(bytes: &[u8], cut: bool) -> Body {
    Pass::new(&Redactor::default(), None).json(bytes, cut)
}

fn beginning(text: &str) -> Body {
    Body::Beginning(text.to_owned(), Reason::Truncated)
}

#[test]
fn what_is_not_secret_comes_out_as_it_went_in() {
    for text in [
        "{}",
        "[]",
        "\"\"",
        "0",
        "null",
        r#"{"z":1,"a":-0.0,"m":1e400,"n":12345678901234567890.10}"#,
        r#"{"a":"\u00e9\/\n\"\\é😀\ud83d\ude00","":[true,false,null,[[]],{}]}"#,
        r#"{"a":"{\"b\": 1}","c":"a=b&c=d","d":"https://a/?b=c%20d#e","e":"[1, 2"}"#,
    ] {
        assert_eq!(whole(text), text);
    }
    assert_eq!(whole(" { \"a\" :\t[ 1 ,\r\n2 ] } \n"), r#"{"a":[1,2]}"#);
    assert_eq!(whole("\u{feff}{}"), "{}");
    assert_eq!(whole("\"\u{2028}\u{7f}\u{202e}é\""), "\"\\u2028\\u007f\\u202eé\"");
}

#[test]
fn whatever_stands_under_a_secret_key_is_one_mask() {
    assert_eq!(
        whole(
            r#"{"password":"x","a":{"token":12.5e1,"apiKey":null,"pin":true},"credentials":{"a":[1,{"b":"c"}]},"secret_name":"db"}"#
        ),
        r#"{"password":"***","a":{"token":"***","apiKey":"***","pin":"***"},"credentials":"***","secret_name":"db"}"#
    );
    assert_eq!(whole(r#"[{"tokens":["a","b"]},{"tokens":[]}]"#), r#"[{"tokens":"***"},{"tokens":"***"}]"#);
    assert_eq!(
        whole(r#"{"p\u0061ssword":1,"%70assword":2,"%2570assword":3}"#),
        r#"{"p\u0061ssword":"***","%70assword":"***","%2570assword":"***"}"#
    );
}

#[test]
fn a_bag_keeps_its_keys() {
    assert_eq!(
        whole(r#"{"secrets":{"a":"b","c":{"d":[1,null,{}]},"token":{"x":1},"a_id":1}}"#),
        r#"{"secrets":{"a":"***","c":{"d":["***","***",{}]},"token":"***","a_id":"***"}}"#
    );
    assert_eq!(whole(r#"{"secrets":"b"}"#), r#"{"secrets":"***"}"#);
}

#[test]
fn values_give_themselves_away() {
    assert_eq!(
        whole(r#"{"a":"4111 1111 1111 1111","b":4111111111111111,"c":"x AKIAIOSFODNN7EXAMPLE"}"#),
        r#"{"a":"***","b":"***","c":"x ***"}"#
    );
    assert_eq!(whole(r#"{"4111111111111111":"db://u:p@h"}"#), r#"{"***":"db://u:***@h"}"#);
}

#[test]
fn strings_are_looked_into() {
    for (given, shown) in [
        (r#"{"password":"x","a":1}"#, r#"{"password":"***","a":1}"#),
        (r#" {"a": {"token": [1]}} "#, r#"{"a":{"token":"***"}}"#),
        (r#""{\"pin\":1}""#, r#""{\"pin\":\"***\"}""#),
        ("user=bob&password=x+y&z=1", "user=bob&password=***&z=1"),
        ("password=x y z", "password=***"),
        ("https://h/p?a=1&access_token=abc#t", "https://h/p?a=1&access_token=***#t"),
        ("see https://h/?sig=abc for more", "see https://h/?sig=*** for more"),
        ("https://h/#access_token=abc", "https://h/#access_token=***"),
        (
            "https://h/?next=https%3A%2F%2Fi%2F%3Ftoken%3Dabc&b=1",
            "https://h/?next=https%3A%2F%2Fi%2F%3Ftoken%3D***&b=1",
        ),
        ("a%3D1%26token%3Dabc", "a%3D1%26token%3D***"),
        ("Server=db;Pwd=a b;User=c", "Server=db;Pwd=***;User=c"),
        ("login failed: password = \"a \\\" b\", user = c", "login failed: password = \"***\", user = c"),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature=abc&X-Amz-Credential=x%2Fy",
            "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature=***&X-Amz-Credential=***",
        ),
    ] {
        let document = json!({ "a": given }).to_string();
        assert_eq!(whole(&document), json!({ "a": shown }).to_string());
        assert_eq!(Pass::new(&Redactor::default(), None).string(given), shown);
    }
}

#[test]
fn strings_in_strings_end_somewhere() {
    let mut text = r#"{"password":"hunter2"}"#.to_owned();
    for _ in 0..8 {
        text = json!({ "a": text }).to_string();
        assert!(!whole(&text).contains("hunter2"), "{text}");
    }
    let mut text = "password=hunter2".to_owned();
    for _ in 0..8 {
        text = format!("a={}", form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
        assert!(!whole(&json!([text]).to_string()).contains("hunter2"), "{text}");
    }
}

#[test]
fn a_text_that_was_cut_within_a_card_number_shows_none_of_it() {
    let text = |text: &str| Pass::new(&Redactor::default(), None).text(text.as_bytes(), true);
    for gap in [" ", "\u{a0}", ".", "\u{2013}", " \u{2013} ", "/", "_", "\n", "\r\n", "  "] {
        for digits in 9..16 {
            let card: Vec<char> = "4111111111111111".chars().take(digits).collect();
            let groups: Vec<String> = card.chunks(4).map(|group| group.iter().collect()).collect();
            for end in ["", gap] {
                let given = format!("one two {}{end}", groups.join(gap));
                assert_eq!(text(&given), beginning("\"one two\""), "{given:?}");
            }
        }
    }
    assert_eq!(text("in 2026 and 2027 x"), beginning("\"in 2026 and\""));
}

#[test]
fn repeated_keys_make_text() {
    assert_eq!(body(br#"{"a":1,"a":2}"#, false), Body::Text(r#""{\"a\":1,\"a\":2}""#.to_owned()));
    assert_eq!(
        body(br#"{"b":{"token":"x","\u0074oken":"y"}}"#, false),
        Body::Text(r#""{\"b\":{\"token\":\"***\",\"\\u0074oken\":\"***\"}}""#.to_owned())
    );
    assert_eq!(body(br#"{"a":1,"a":2,"b"#, true), beginning(r#""{\"a\":1,\"a\":2}""#));
    assert_eq!(whole(r#"{"a":{"b":1},"b":{"b":1}}"#), r#"{"a":{"b":1},"b":{"b":1}}"#);
    assert_eq!(whole(r#"{"token":{"b":1,"b":2}}"#), r#"{"token":"***"}"#);
}

#[test]
fn what_is_not_json_is_left_out() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "{}x",
        "{} {}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "01",
        "1.",
        ".5",
        "+1",
        "nul",
        "nulll",
        "True",
        "\"a",
        "\"\n\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "{\"\\udc00\":1}",
        "[1]]",
        "{]",
        "[}",
        "{\"a\":1 \"b\":2}",
        "{\"a\"::1}",
        "{,}",
        "\u{feff}\u{feff}{}",
        "\u{a0}{}",
        "{\"password\":\"x\"",
        "/**/{}",
        "NaN",
    ] {
        assert_eq!(body(text.as_bytes(), false), Body::Omitted(Reason::Invalid), "{text}");
    }
    for bytes in [&b"\"\xff\""[..], b"\xff\xfe{\0}\0", b"{\"a\":\"\xed\xa0\x80\"}", b"\"\xc0\xaf\""] {
        assert_eq!(body(bytes, false), Body::Omitted(Reason::Invalid));
        assert_eq!(body(bytes, true), Body::Omitted(Reason::Invalid));
    }
}

#[test]
fn what_is_beyond_the_limits_is_left_out() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(whole(&nested(64)), nested(64));
    assert_eq!(body(nested(65).as_bytes(), false), Body::Omitted(Reason::TooDeep));
    assert_eq!(body("[".repeat(100_000).as_bytes(), true), Body::Omitted(Reason::TooDeep));
    assert_eq!(body(format!("{{\"token\":{}}}", nested(64)).as_bytes(), false), Body::Omitted(Reason::TooDeep));
    let keys =
        |count: usize| format!("{{{}}}", (0..count).map(|key| format!("\"{key}\":0")).collect::<Vec<_>>().join(","));
    assert_eq!(whole(&keys(4_096)), keys(4_096));
    assert_eq!(body(keys(4_097).as_bytes(), false), Body::Omitted(Reason::TooDeep));
    assert_eq!(whole(&"1".repeat(128)), "1".repeat(128));
    assert_eq!(body("1".repeat(129).as_bytes(), false), Body::Omitted(Reason::TooDeep));
}

#[test]
fn a_cut_document_shows_what_is_certain() {
    for (given, shown) in [
        (r#"{"a":1,"b":"xy"#, r#"{"a":1}"#),
        (r#"{"a":1,"b":{"c":"#, r#"{"a":1}"#),
        (r#"{"a":1,"b":{"c":2,"d"#, r#"{"a":1,"b":{"c":2}}"#),
        (r#"{"a":[1,23"#, r#"{"a":[1]}"#),
        (r#"{"a":[1,23,"#, r#"{"a":[1,23]}"#),
        (r#"{"a":1,"password":"hun"#, r#"{"a":1}"#),
        (r#"{"a":1,"password":{"a":"b","c"#, r#"{"a":1}"#),
        (r#"{"a":1,"password":{"a":"b"},"#, r#"{"a":1,"password":"***"}"#),
        (r#"{"secrets":{"a":"b","c":"d"#, r#"{"secrets":{"a":"***"}}"#),
        (r#"{"a":1} "#, r#"{"a":1}"#),
        ("[true,fal", "[true]"),
    ] {
        assert_eq!(body(given.as_bytes(), true), beginning(shown), "{given}");
    }
    assert_eq!(body("[\"a\",\"é".as_bytes().split_last().unwrap().1, true), beginning("[\"a\"]"));
    for nothing in ["", "{", "{\"a\":", "12", "\"abc", "[{", "\"\\u12"] {
        assert_eq!(body(nothing.as_bytes(), true), Body::Omitted(Reason::Truncated), "{nothing}");
    }
    for invalid in ["{\"a\":1}}", "[1}", "{\"a\":1 x", "\"\\u12x"] {
        assert_eq!(body(invalid.as_bytes(), true), Body::Omitted(Reason::Invalid), "{invalid}");
    }
}

#[test]
fn pointers_mask_and_except() {
    let redactor = Redactor::builder().pointer("/a/*/b").except_pointer("/c/key").except("sort_key").build().unwrap();
    let event =
        EventRules::new(&["values".to_owned()], &["/list/1".to_owned()], &["/token".to_owned(), "pin".to_owned()])
            .unwrap();
    let text = r#"{"a":[{"b":1},{"b":{"c":2}},{"d":3}],"c":{"key":"k","pin":"p","x":{"key":1}},"sort_key":1,"values":{"v":1},"list":[1,2,3],"token":"t"}"#;
    assert_eq!(
        Pass::new(&redactor, Some(&event)).json(text.as_bytes(), false),
        Body::Whole(r#"{"a":[{"b":"***"},{"b":"***"},{"d":3}],"c":{"key":"k","pin":"p","x":{"key":"***"}},"sort_key":1,"values":{"v":"***"},"list":[1,"***",3],"token":"t"}"#.to_owned())
    );
    assert_eq!(
        Pass::new(&redactor, Some(&event)).form(b"token=t&key=k", false),
        Body::Whole(r#"{"token":"t","key":"***"}"#.to_owned())
    );
}

#[test]
fn secrets_can_be_removed() {
    let redactor = Redactor::builder().remove().build().unwrap();
    let mut pass = Pass::new(&redactor, None);
    assert_eq!(
        pass.json(br#"{"token":1,"a":1,"pin":{"x":[1]},"secrets":{"a":1,"b":[1,[2]]},"c":"token=x&b=1","d":4111111111111111}"#, false),
        Body::Whole(r#"{"a":1,"secrets":{"b":[[]]},"c":"token=***&b=1"}"#.to_owned())
    );
    assert_eq!(pass.json(br#"{"token":1,"a""#, true), beginning("{}"));
    assert_eq!(pass.json(b"4111111111111111", false), Body::Whole("null".to_owned()));
    assert_eq!(pass.query("token=1&a=2&token=3").as_deref(), Some(r#"{"a":"2"}"#));
    assert_eq!(pass.query("token=1"), None);
    assert_eq!(pass.url("/x/1", Some("token=1&a=2"), &[("token", 3..4)]), "/x/***?a=2");
    assert_eq!(pass.member("token", &json!(1)), "\"***\"");
}

#[test]
fn secrets_can_be_fingerprints() {
    let redactor = Redactor::builder().fingerprint("k1", b"0123456789abcdef".to_vec()).build().unwrap();
    let hunter = redactor.fingerprint("hunter2").unwrap();
    let mut pass = Pass::new(&redactor, None);
    assert_eq!(pass.json(br#"{"token":"hunter\u0032"}"#, false), Body::Whole(format!(r#"{{"token":"{hunter}"}}"#)));
    assert_eq!(pass.query("token=hunter%32"), Some(format!(r#"{{"token":"{hunter}"}}"#)));
    assert_eq!(pass.string("token=hunter2"), format!("token={hunter}"));
    assert_eq!(Redactor::default().fingerprint("x"), None);
}

#[test]
fn many_keys_are_told_apart_as_few_are() {
    let raw: Vec<String> = (0..100).map(|number| format!("k{}={number}", number % 50)).collect();
    let members: Vec<String> =
        (0..50).map(|number| format!("\"k{number}\":[\"{number}\",\"{}\"]", number + 50)).collect();
    let query = Pass::new(&Redactor::default(), None).query(&raw.join("&"));
    assert_eq!(query, Some(format!("{{{}}}", members.join(","))));
}

#[test]
fn queries_and_forms_are_objects() {
    let redactor = Redactor::default();
    let mut pass = Pass::new(&redactor, None);
    assert_eq!(
        pass.query("b=2&a=x+y%20%ff&b=3&token=t&to%6ben=u&&c&user%5Bpassword%5D=p").as_deref(),
        Some(
            "{\"b\":[\"2\",\"3\"],\"a\":\"x y \u{fffd}\",\"token\":[\"***\",\"***\"],\"c\":\"\",\"user[password]\":\"***\"}"
        )
    );
    assert_eq!(pass.query(""), None);
    assert_eq!(pass.query("&&"), None);
    assert_eq!(
        pass.params([("id", "1".into()), ("token", "x".into())].into_iter()).as_deref(),
        Some(r#"{"id":"1","token":"***"}"#)
    );
    assert_eq!(pass.params(std::iter::empty()), None);
    assert_eq!(pass.form(b"a=1&password=x%26y", false), Body::Whole(r#"{"a":"1","password":"***"}"#.to_owned()));
    assert_eq!(pass.form(b"a={\"pin\":1}", false), Body::Whole(r#"{"a":"{\"pin\":\"***\"}"}"#.to_owned()));
    assert_eq!(pass.form(b"a=1&b=2", true), beginning(r#"{"a":"1"}"#));
    assert_eq!(pass.form(b"a=1", true), Body::Omitted(Reason::Truncated));
    assert_eq!(pass.form(b"", false), Body::Whole("{}".to_owned()));
    for invalid in [
        &br#"{"password":"x"}"#[..],
        b"hunter2",
        b"<a b=\"c\">",
        b"--x\r\nContent-Disposition: form-data; name=\"password\"",
        b"a=1&hunter2",
    ] {
        assert_eq!(pass.form(invalid, false), Body::Omitted(Reason::Invalid));
    }
    assert_eq!(pass.form("a=1&".repeat(5_000).as_bytes(), false), Body::Omitted(Reason::TooDeep));
}

#[test]
fn a_url_is_redacted_as_it_was_sent() {
    let redactor = Redactor::default();
    let mut pass = Pass::new(&redactor, None);
    assert_eq!(pass.url("/a/b%20c", Some("x=%41&y"), &[]), "/a/b%20c?x=%41&y");
    assert_eq!(pass.url("/a", Some(""), &[]), "/a?");
    assert_eq!(pass.url("/reset/abc123/x", None, &[("token", 7..13)]), "/reset/***/x");
    assert_eq!(pass.url("/f/v1.abc123", None, &[("id", 3..5), ("token", 6..12)]), "/f/v1.***");
    assert_eq!(pass.url("/a/b/c", None, &[("token", 3..6), ("x", 100..200)]), "/a/***");
    assert_eq!(pass.url("/a", Some("to%6ben=x&b=1&access_token=y"), &[]), "/a?to%6ben=***&b=1&access_token=***");
    assert_eq!(
        pass.url("/a;jsessionid=abc;x=1", Some("n=%7B%22pin%22%3A1%7D"), &[]),
        "/a;jsessionid=***;x=1?n=%7B%22pin%22:%22***%22%7D"
    );
    assert_eq!(pass.url("/k/AKIAIOSFODNN7EXAMPLE", None, &[]), "/k/***");
    assert_eq!(pass.url_of_no_route("/reset-token/abc/x", Some("a=1")), "/reset-token/***/x?a=1");
    assert_eq!(pass.url("/login/abc", Some("hunter2hunter2"), &[]), "/login/abc?hunter2hunter2");
}

#[test]
fn a_url_is_capped_between_its_pieces() {
    let redactor = Redactor::default();
    let mut pass = Pass::new(&redactor, None);
    let long = "x".repeat(4_090);
    assert_eq!(pass.url(&format!("/{long}/ab/cd"), None, &[]), format!("/{long}/ab/"));
    assert_eq!(pass.url(&format!("/{long}"), Some("token=abcdef&a"), &[]), format!("/{long}"));
    assert_eq!(pass.url(&format!("/{long}{long}"), None, &[]), "/");
    let mut text = "abcdef".to_owned();
    pass.scrub_text(&mut text);
    assert_eq!(text, "***");
}

#[test]
fn a_member_has_its_key_read() {
    let redactor = Redactor::default();
    let mut pass = Pass::new(&redactor, None);
    assert_eq!(pass.member("taskId", &json!({ "b": 1, "token": 2 })), r#"{"b":1,"token":"***"}"#);
    assert_eq!(pass.member("token", &json!({ "b": 1 })), r#""***""#);
    assert_eq!(pass.member("secrets", &json!({ "b": 1 })), r#"{"b":"***"}"#);
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert_eq!(pass.member("a", &deep), r#""***""#);
}

#[test]
fn headers_are_read_by_name_and_mark() {
    let redactor = Redactor::default();
    let mut pass = Pass::new(&redactor, None);
    assert_eq!(pass.header("authorization", b"Bearer abcdef", false).as_deref(), Some("***"));
    assert_eq!(pass.header("x-api-key", b"k", false).as_deref(), Some("***"));
    assert_eq!(pass.header("x-custom", b"c", true).as_deref(), Some("***"));
    assert_eq!(pass.header("accept", b"a/b; token=x\xff", false).as_deref(), Some("a/b; token=***"));
    assert_eq!(pass.header("content-type", b"a/b", false).as_deref(), Some("a/b"));
    let mut text = "abcdef".to_owned();
    pass.scrub_text(&mut text);
    assert_eq!(text, "***");
}

#[test]
fn a_masked_value_is_masked_wherever_it_stands() {
    let redactor = Redactor::default();
    let mut pass = Pass::new(&redactor, None);
    let Body::Whole(mut body) =
        pass.json(br#"{"password":"hunter 2/3","again":"hunter 2/3","b":{"token":[1234567]},"n":1234567}"#, false)
    else {
        panic!()
    };
    let mut url = pass.url("/x/hunter%202%2F3", Some("q=hunter+2%2f3"), &[]);
    let mut error = pass.string("invalid type: string \"hunter 2/3\", expected u32");
    pass.scrub_json(&mut body);
    pass.scrub_text(&mut url);
    pass.scrub_text(&mut error);
    assert_eq!(body, r#"{"password":"***","again":"***","b":{"token":"***"},"n":"***"}"#);
    assert_eq!(url, "/x/***?q=***");
    assert_eq!(error, "invalid type: string \"***\", expected u32");
    let mut cut = Pass::new(&redactor, None);
    cut.json(br#"{"a":1,"password":"hunter2\u00"#, true);
    cut.form(b"a=1&token=abcdef%2", true);
    let mut error = "string \"hunter2000\", x\nand abcdefghi".to_owned();
    cut.scrub_text(&mut error);
    assert_eq!(error, "string \"***\nand ***");
}

/// A word that no generator below makes by chance.
const CANARY: &str = "cAnArY7Qx";

/// Keys that the rule calls secret, in odd spellings.
fn secret_key() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "password",
        "client_secret",
        "apiKey",
        "AccessToken",
        "x-auth",
        "PIN",
        "user[pwd]",
        "card.number",
        "cookie",
    ]);
    ("([a-z]{1,4}[_.-])?", word, prop::sample::select(vec!["", "2", "_value", "Hash"]))
        .prop_map(|(before, word, after)| format!("{before}{word}{after}"))
}

/// Keys that no rule calls secret.
fn plain_key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a", "b", "name", "token_id", "author", "é", "", "x y", "a\"b\\", "monkey", "%41", "100%",
    ])
    .prop_map(str::to_owned)
}

fn plain_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z {}\\[\\],:\"\\\\/é\u{2028}\u{1}😀+%?#<>-]{0,12}",
        Just("{\"a\": [1, \"b\"]}".to_owned()),
        Just("https://h/p?a=b&c=d%20e".to_owned()),
    ]
}

/// A string that holds the canary, after which nothing tells that it is secret but its key.
fn canary_text() -> impl Strategy<Value = String> {
    ("[a-z \"\\\\é/%]{0,5}", "[a-z \"\\\\é/%]{0,5}").prop_map(|(before, after)| format!("{before}{CANARY}{after}"))
}

/// JSON text of a string, some characters written as escapes.
fn spelled(text: &str, escapes: u32) -> String {
    let mut out = String::from("\"");
    for (at, char) in text.chars().enumerate() {
        if escapes >> (at % 32) & 1 == 1 {
            let mut units = [0; 2];
            char.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            let quoted = serde_json::to_string(&char).unwrap();
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    out + "\""
}

fn joined(open: char, members: &[String], space: &str, close: char) -> String {
    format!("{open}{space}{}{space}{close}", members.join(&format!("{space},")))
}

/// Text of a JSON document without secrets.
fn plain_document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (plain_text(), any::<u32>()).prop_map(|(text, escapes)| spelled(&text, escapes)),
        prop::sample::select(vec!["0", "-1.50", "1e5", "true", "null", "12345678901234567890"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let member = (plain_key(), any::<u32>(), inner.clone())
            .prop_map(|(key, escapes, value)| format!("{} : {value}", spelled(&key, escapes)));
        prop_oneof![
            (prop::collection::vec(inner, 0..4), "[ \n]?").prop_map(|(all, space)| joined('[', &all, &space, ']')),
            (prop::collection::vec(member, 0..4), "[ \n]?").prop_map(|(all, space)| joined('{', &all, &space, '}')),
        ]
    })
}

/// Text of a document with canaries under secret keys, in bags, in strings that are JSON, forms or URLs.
fn canary_document() -> impl Strategy<Value = String> {
    let member = |key: String, escapes: u32, value: String| format!("{}: {value}", spelled(&key, escapes));
    let under_key =
        (secret_key(), any::<u32>(), canary_text(), any::<u32>()).prop_map(move |(key, escapes, text, more)| {
            let value = spelled(&text, more);
            let value = match escapes % 5 {
                0 => format!("[{value}, 1]"),
                1 => format!("{{\"a\": [{value}]}}"),
                2 => format!("{{{}: {value}}}", spelled("name", more)),
                _ => value,
            };
            format!("{{{}}}", member(key, escapes, value))
        });
    let in_bag = (canary_text(), any::<u32>())
        .prop_map(|(text, escapes)| format!("{{\"secrets\": {{\"a\": [{}]}}}}", spelled(&text, escapes)));
    let in_form = (secret_key(), canary_text(), any::<bool>(), any::<u32>()).prop_map(|(key, text, url, escapes)| {
        let mut form = form_urlencoded::Serializer::new(if url { "https://h/p?".to_owned() } else { String::new() });
        if url {
            form = form_urlencoded::Serializer::for_suffix("https://h/p?".to_owned(), 12);
        }
        spelled(&form.append_pair("a", "b").append_pair(&key, &text).append_pair("c", "d").finish(), escapes)
    });
    let leaf = prop_oneof![4 => under_key, 1 => in_bag, 1 => in_form];
    leaf.prop_recursive(4, 12, 3, move |inner| {
        let nested = (inner.clone(), any::<u32>()).prop_map(|(text, escapes)| spelled(&text, escapes));
        let members = prop::collection::vec((plain_key(), any::<u32>(), inner.clone()), 1..4);
        prop_oneof![
            1 => nested,
            2 => prop::collection::vec(inner, 1..4).prop_map(|all| joined('[', &all, " ", ']')),
            2 => members.prop_map(|all| joined('{', &all.into_iter().map(|(key, escapes, value)| format!("{}:{value}", spelled(&key, escapes))).collect::<Vec<_>>(), "", '}')),
        ]
    })
}

fn fragment_of(body: Body) -> Option<String> {
    match body {
        Body::Whole(json) | Body::Beginning(json, _) | Body::Text(json) => Some(json),
        Body::Omitted(_) => None,
    }
}

/// Whether an object in the text repeats a key: `serde_json` keeps the last.
fn repeats(text: &str, value: &Value) -> bool {
    serde_json::to_string(value).unwrap().matches(':').count()
        != serde_json::to_string(&serde_json::from_str::<Value>(text).unwrap()).unwrap().matches(':').count()
}

proptest! {
    #[test]
    fn no_canary_of_a_document_appears(text in canary_document(), cut in prop::option::of(any::<prop::sample::Index>())) {
        prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        let bytes = match cut {
            Some(cut) => &text.as_bytes()[..cut.index(text.len())],
            None => text.as_bytes(),
        };
        let shown = body(bytes, cut.is_some());
        if cut.is_none() {
            prop_assert!(!matches!(shown, Body::Omitted(_)), "{} was {:?}", text, shown);
        }
        if let Some(json) = fragment_of(shown) {
            prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{} became {}", text, json);
            prop_assert!(!json.contains(&CANARY[..6]), "{} became {}", text, json);
        }
    }

    #[test]
    fn a_document_without_secrets_comes_out_equal(text in plain_document()) {
        let value: Value = serde_json::from_str(&text).unwrap();
        match body(text.as_bytes(), false) {
            Body::Whole(json) => {
                prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value.clone());
                prop_assert!(!repeats(&json, &value));
                // White space aside, and what a record escapes, it is the same text.
                prop_assert_eq!(without_space(&json), without_space(&text.replace('\u{2028}', "\\u2028")));
            }
            Body::Text(json) => {
                let inner: String = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(serde_json::from_str::<Value>(&inner).unwrap(), value);
            }
            other => prop_assert!(false, "{} was {:?}", text, other),
        }
    }

    #[test]
    fn any_beginning_of_a_document_parses(text in plain_document(), cut in any::<prop::sample::Index>()) {
        let bytes = &text.as_bytes()[..cut.index(text.len())];
        match body(bytes, true) {
            Body::Beginning(json, Reason::Truncated) => prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{}", json),
            Body::Omitted(Reason::Truncated) => {}
            other => prop_assert!(false, "{} was {:?}", text, other),
        }
    }

    #[test]
    fn what_serde_json_refuses_is_refused(text in "([{}\\[\\],:]|\"[a-c]?\"|[0-9.eE+-]|true|null| ){0,10}") {
        let theirs = serde_json::from_str::<Value>(&text);
        let ours = body(text.as_bytes(), false);
        let beyond_floats = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        prop_assert!(beyond_floats || theirs.is_ok() != matches!(ours, Body::Omitted(_)), "{} was {:?}", text, ours);
    }

    #[test]
    fn no_canary_of_a_query_form_or_url_appears(
        pairs in prop::collection::vec((secret_key(), canary_text(), plain_key(), plain_text()), 1..5),
        twice in any::<bool>(),
    ) {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (secret, canary, key, value) in &pairs {
            let secret = if twice { form_urlencoded::byte_serialize(secret.as_bytes()).collect() } else { secret.clone() };
            form.append_pair(key, value).append_pair(&secret, canary);
        }
        let raw = form.finish();
        let redactor = Redactor::default();
        let mut pass = Pass::new(&redactor, None);
        let query = pass.query(&raw).unwrap();
        prop_assert!(serde_json::from_str::<Value>(&query).is_ok(), "{}", query);
        let object = fragment_of(pass.form(raw.as_bytes(), false)).unwrap();
        let path = format!("/x/{}", form_urlencoded::byte_serialize(pairs[0].1.as_bytes()).collect::<String>());
        let url = pass.url(&path, Some(&raw), &[("token", 3..path.len())]);
        let mut nested = pass.query(&format!("next={}", form_urlencoded::byte_serialize(raw.as_bytes()).collect::<String>())).unwrap();
        prop_assert!(serde_json::from_str::<Value>(&nested).is_ok(), "{}", nested);
        for shown in [&query, &object, &url, &nested] {
            prop_assert!(!shown.contains(CANARY), "{} became {}", raw, shown);
        }
        pass.scrub_json(&mut nested);
        prop_assert!(serde_json::from_str::<Value>(&nested).is_ok(), "{}", nested);
    }

    #[test]
    fn a_masked_value_survives_nowhere_in_its_exchange(
        secret in "[a-zA-Z0-9 +%/\"\\\\é&=]{8,14}",
        key in secret_key(),
        around in ("[a-z :,]{0,6}", "[a-z :,]{0,6}"),
        escapes in any::<u32>(),
    ) {
        let secret = secret.trim();
        prop_assume!(secret.len() >= 6);
        let encoded: String = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
        let said = format!("{}{secret}{}", around.0, around.1);
        let text = format!(r#"{{"a":{},{}:{},"b":{}}}"#, spelled(&said, escapes), spelled(&key, 0), spelled(secret, 0), spelled(&encoded, 0));
        let redactor = Redactor::default();
        let mut pass = Pass::new(&redactor, None);
        let mut json = fragment_of(pass.json(text.as_bytes(), false)).unwrap();
        let mut url = pass.url(&format!("/x/{encoded}"), Some(&format!("q={encoded}")), &[]);
        let mut query = pass.query(&format!("q={encoded}")).unwrap();
        let mut error = pass.string(&format!("{secret:?} and {said}"));
        pass.scrub_json(&mut json);
        pass.scrub_json(&mut query);
        pass.scrub_text(&mut url);
        pass.scrub_text(&mut error);
        let json: Value = serde_json::from_str(&json).unwrap();
        let query: Value = serde_json::from_str(&query).unwrap();
        for shown in [json["a"].as_str().unwrap(), json["b"].as_str().unwrap(), query["q"].as_str().unwrap(), &url, &error] {
            prop_assert!(!shown.contains(secret) && !shown.contains(&encoded), "{:?} in {}", secret, shown);
        }
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), text in ".{0,40}", cut in any::<bool>(), place in 0_usize..50) {
        let redactor = Redactor::default();
        let mut pass = Pass::new(&redactor, None);
        let _ = pass.json(&bytes, cut);
        let _ = pass.json(text.as_bytes(), cut);
        let _ = pass.form(&bytes, cut);
        let _ = pass.form(text.as_bytes(), cut);
        let mut query = pass.query(&text).unwrap_or_default();
        let mut url = pass.url(&text, Some(&text), &[("token", place / 2..place)]);
        let _ = pass.url_of_no_route(&text, None);
        let _ = pass.string(&text);
        let _ = pass.member(&text, &json!({ &text: &text }));
        pass.scrub_json(&mut query);
        pass.scrub_text(&mut url);
    }

    #[test]
    fn no_pair_text_panics(text in "(password|a|token|%3D|%25|=|&|;| |\"|'|https://|@|:|\\{|\\}|\\[|\\?|#|4111|é|Bearer |eyJ|\\.){0,20}") {
        let redactor = Redactor::default();
        let _ = Pass::new(&redactor, None).string(&text);
    }
}

fn without_space(text: &str) -> String {
    text.chars().filter(|char| !matches!(char, ' ' | '\n')).collect()
}

/// The body of `PERFORMANCE.md`: 330 bytes that create a task.
const TASK: &str = r#"{"templateRef":"template:default/create-react-app","values":{"name":"billing-frontend","owner":"group:default/payments","description":"Frontend of the billing service","repoUrl":"github.com?repo=billing&owner=acme","replicas":3,"public":false,"tags":["react","billing","web"]},"secrets":{"githubToken":"ghp_0123456789abcdef","npm":"x"}}"#;

/// Shapes that would make a careless redactor slow, of about so many bytes.
fn hostile(bytes: usize) -> Vec<(&'static str, String)> {
    let repeat = |text: &str| text.repeat(bytes / text.len());
    let keys = |key: &dyn Fn(usize) -> String| {
        let mut all = String::from("{");
        for number in 0.. {
            all.push_str(&format!("\"{}\":1,", key(number)));
            if all.len() > bytes || number == 4_000 {
                break;
            }
        }
        all.pop();
        all + "}"
    };
    let string = |text: &str| serde_json::to_string(&repeat(text)).unwrap();
    vec![
        ("the task", format!("[{}]", vec![TASK; bytes / TASK.len()].join(","))),
        ("nested", format!("[{}]", vec![format!("{}{}", "[".repeat(60), "]".repeat(60)); bytes / 120].join(","))),
        ("keys", keys(&|number| format!("k{number}"))),
        ("secret keys", keys(&|number| format!("token{number}"))),
        ("almost secret keys", keys(&|number| format!("tokenpasswor_tokentoke{number}_id"))),
        ("encoded keys", keys(&|number| format!("%252525{number}"))),
        (
            "secrets",
            format!(
                "{{\"secrets\":[{}]}}",
                (0..bytes / 11).map(|number| format!("\"x{number:07}\"")).collect::<Vec<_>>().join(",")
            ),
        ),
        ("backslashes", string("\\")),
        ("quotes", string("\"")),
        ("odd characters", string("\u{2028}é")),
        ("jwt beginnings", string("eyJ")),
        ("jwt with a dot", string("eyJ.")),
        ("pem beginnings", string("-----BEGIN ")),
        ("tokens", string("ghp_")),
        ("bearers", string("Bearer ")),
        ("digits", string("4")),
        ("digit groups", string("4111 ")),
        ("url beginnings", string("a://")),
        ("ats", string("http://@")),
        ("equals", string("=")),
        ("pairs", string("a=b&")),
        ("pairs with commas", string("a=b,")),
        ("secret pairs", string("pin=b&")),
        ("spaced pairs", string("pin = b ")),
        ("spaces", string("pin=b   ")),
        ("percents", string("%25")),
        ("open percents", string("%")),
        ("encoded pairs", string("a%3Db%26")),
        ("braces", serde_json::to_string(&format!("{{{}}}", repeat("{"))).unwrap()),
        ("json in json", (0..6).fold("{\"a\":1}".to_owned(), |text, _| serde_json::to_string(&json!([text])).unwrap())),
    ]
}

#[test]
#[ignore = "measures time: run it alone, in release"]
fn time_per_byte_is_flat() {
    let redactor = Redactor::default();
    let time = |text: &str, scrub: bool| {
        let mut best = f64::MAX;
        for _ in 0..std::env::var("ROUNDS").map_or(15, |rounds| rounds.parse().unwrap()) {
            let start = std::time::Instant::now();
            for _ in 0..20 {
                let mut pass = Pass::new(&redactor, None);
                let body = pass.json(text.as_bytes(), false);
                if scrub && let Some(mut json) = fragment_of(body) {
                    pass.scrub_json(&mut json);
                }
            }
            best = best.min(start.elapsed().as_secs_f64() / 20.0 * 1e9);
        }
        best
    };
    let mut oracle = f64::MAX;
    for _ in 0..100 {
        let start = std::time::Instant::now();
        for _ in 0..100 {
            std::hint::black_box(serde_json::from_str::<Value>(TASK).unwrap().to_string());
        }
        oracle = oracle.min(start.elapsed().as_secs_f64() / 100.0 * 1e9);
    }
    println!("serde_json reads and writes the task in {oracle:.0} ns");
    println!("the task, {} B: {:.0} ns, with scrub {:.0} ns", TASK.len(), time(TASK, false), time(TASK, true));
    if std::env::var_os("TASK_ONLY").is_some() {
        return;
    }
    for ((name, small), (_, large)) in hostile(1 << 10).iter().zip(&hostile(1 << 14)) {
        let per_byte = |text: &str, scrub| time(text, scrub) / text.len() as f64;
        let (few, many) = (per_byte(small, false), per_byte(large, false));
        println!(
            "{name}: {few:.2} and {many:.2} ns/B, with scrub {:.2} and {:.2}",
            per_byte(small, true),
            per_byte(large, true)
        );
    }
}

/// As much as a cut left of a secret number is no less secret than the beginning of a string.
#[test]
fn a_secret_number_that_a_cut_goes_through_is_remembered() {
    for text in [r#"{"a":1,"pin":12345678"#, r#"{"a":1,"secrets":{"b":12345678"#, r#"{"a":1,"password":[12345678"#] {
        let redactor = Redactor::default();
        let mut pass = Pass::new(&redactor, None);
        pass.json(text.as_bytes(), true);
        let mut error = "wrong pin 1234567890".to_owned();
        pass.scrub_text(&mut error);
        assert_eq!(error, "wrong pin ***", "{text}");
    }
}

#[test]
fn signs_of_full_width_are_signs() {
    for (given, shown) in [
        ("password：x y", "password:***"),
        ("密码：x", "密码:***"),
        ("a＝1&password＝x", "a=1&password=***"),
        ("メモ：ｘ", "メモ：ｘ"),
    ] {
        assert_eq!(Pass::new(&Redactor::default(), None).string(given), shown, "{given}");
    }
}
