//! Values that are masked where they are repeated, cut ones too.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_value_that_a_cut_went_through_is_masked_in_an_error_that_quotes_it() {
    let part = |name: &str, value: &str| format!("--x\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}");
    let multipart = "multipart/form-data; boundary=x";
    for (content_type, body) in [
        ("json", r#"{"user":"jane","password":"hunter22"#.to_owned()),
        ("json", r#"{"name":"DB_PASSWORD","value":"hunter22"#.to_owned()),
        ("json", r#"{"value":"hunter22","na"#.to_owned()),
        ("form", "user=jane&password=hunter22".to_owned()),
        ("form", "password=hunter22&nex".to_owned()),
        (multipart, part("name=\"password\"", "hunter22")),
        (multipart, part("name=\"password\"", "hunter22\r\n-")),
        ("text", "user jane\npassword=hunter22".to_owned()),
    ] {
        for error in ["no such password: hunter22", "hunter22 is wrong", "(\"hunter22\")"] {
            let shown = error_beside(content_type, body.as_bytes(), true, error);
            assert!(!shown.contains("hunter22"), "{body:?}: {shown}");
        }
    }
}

#[test]
fn the_rest_of_a_phrase_that_a_cut_went_through_is_masked_too() {
    for beginning in ["correc", "correct", "correct ", "correct horse b"] {
        for (content_type, before) in [("json", r#"{"user":"jane","password":""#), ("form", "user=jane&password=")] {
            let body = format!("{before}{beginning}");
            let shown = |error: &str| error_beside(content_type, body.as_bytes(), true, error);
            assert_eq!(shown("no: correct horse battery, sorry\nat x"), "no: ***\nat x");
            assert_eq!(shown("no: \"correct horse battery\", sorry"), "no: \"***\", sorry");
            assert_eq!(shown("p=correct+horse+battery&q=1"), "p=***&q=1");
            assert_eq!(shown("p=correct%20horse%20battery%26x&q=1"), "p=***&q=1", "{beginning} {content_type}");
            assert_eq!(shown("it is incorrect"), "it is incorrect");
        }
    }
}

#[test]
fn a_long_secret_is_masked_to_its_end_and_no_further() {
    let lines: Vec<String> = (0..200).map(|n| format!("line {n} of it")).collect();
    let long = lines.join("\n");
    let body = json!({ "password": long }).to_string();
    let shown = |error: &str| error_beside("json", body.as_bytes(), false, error);
    assert_eq!(shown(&format!("no {long}, sorry")), "no ***, sorry");
    let other = format!("{} and more", &long[..1500]);
    assert_eq!(shown(&format!("no {other}\nat x")), "no ***\nat x");
}

#[test]
fn what_headers_carried_is_masked_where_it_is_repeated() {
    let basic = "Basic amFuZTpodW50ZXIyMg==";
    for (name, value, secret) in [
        ("authorization", "Bearer opaque-value", "opaque-value"),
        ("proxy-authorization", basic, "hunter22"),
        ("authorization", basic, "amFuZTpodW50ZXIyMg=="),
        ("authorization", "Basic äöüäß", "äöüäß"),
        ("cookie", "theme=dark; sid=\"abc123def\"", "abc123def"),
        ("x-api-key", "k3y-of-jane", "k3y-of-jane"),
        ("x-auth-token", "t0ken-of-jane", "t0ken-of-jane"),
    ] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let redactor = Redactor::default();
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        session.credential_header(name, value);
        let evidence = session.evidence(secret);
        let mut error = session.text(&format!("rejected: '{secret}', theme dark"));
        let mut search = session.finish();
        search.text(&mut error);
        assert_eq!(out.get(error), "rejected: '***', theme dark", "{name}");
        assert_eq!(out.get(evidence), secret);
    }
}

#[test]
fn echoes_are_found_in_every_spelling_and_never_in_keys() {
    let redactor = Redactor::default();
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let mut session = Session::new(&redactor, None, &mut memory, &mut out);
    session.body(Media::Json, "", br#"{"password":"hun ter/22"}"#, false);
    let Body { shown: Some(mut other), omitted: None } = session.body(
        Media::Json,
        "",
        br#"{"hun ter/22":1,"a":"x hun ter/22 y","b":"hun\u0020ter\/22","c":"hun%20ter%2F22"}"#,
        false,
    ) else {
        panic!("it is JSON")
    };
    let mut search = session.finish();
    assert!(search.is_needed());
    search.json(&mut other).unwrap();
    assert_eq!(out.get(other), r#"{"hun ter/22":1,"a":"x *** y","b":"***","c":"***"}"#);
}

#[test]
fn a_secret_that_is_a_word_is_masked_as_a_word_of_its_own_only() {
    let shown = json_of(
        r#"{"password":"cassandra","path":"/cassandra_data/x","class":"org.apache.cassandra.dht","note":"try cassandra now"}"#,
    );
    let expected =
        r#"{"password":"***","path":"/cassandra_data/x","class":"org.apache.cassandra.dht","note":"try *** now"}"#;
    assert_eq!(shown, expected);
    // States are no secrets.
    assert_eq!(
        json_of(r#"{"client_secret":"disabled","mode":"disabled"}"#),
        r#"{"client_secret":"***","mode":"disabled"}"#
    );
}

#[test]
fn what_the_application_calls_secret_is_masked_in_evidence_too() {
    let redactor = Redactor::default();
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let mut session = Session::new(&redactor, None, &mut memory, &mut out);
    session.secret("jane", false);
    session.secret("4711", false);
    let (evidence, meta) =
        (session.evidence("user:default/jane"), session.meta("who", &json!({ "jane": ["jane", 47110] })));
    assert_eq!((out.get(evidence), out.get(meta)), ("user:default/***", r#"{"***":["***","***"]}"#));
}

#[test]
fn a_text_that_was_cut_ends_with_no_beginning_of_a_secret() {
    let redactor = Redactor::default();
    let jwt = format!("eyJhbGciOiJIUzI1NiJ9.{}.c2lnbmF0dXJl", "eyJzdWIiOiJqYW5lIn0".repeat(8));
    for secrets in [1, 9] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        (0..secrets).for_each(|n| session.secret(&format!("hunter {n} battery"), false));
        for (text, expected) in [
            ("so hunter 0 b…", "so ***…"),
            ("so hunter%200%20b…", "so ***…"),
            ("so hunter%200%2…", "so ***%2…"),
            ("so hunter 0 b", "so hunter 0 b"),
            ("so hunt…", "so hunt…"),
            (&*format!("so {}…", &jwt[..120]), "so ***…"),
        ] {
            let (evidence, client) = (session.evidence(text), session.text(text));
            assert_eq!(session.out.get(evidence), expected, "{secrets}");
            if text.contains("eyJ") {
                assert_eq!(session.out.get(client), expected, "{secrets}");
            }
        }
    }
}

#[test]
fn ten_thousand_secrets_and_long_ones_are_remembered_or_everything_is_left_out() {
    let secrets: Vec<String> = (0..4_000).map(|n| format!("s3cret-{n:05}")).collect();
    let error = format!("{} {}", secrets[0], secrets[3_999]);
    let members: serde_json::Map<String, Value> =
        secrets.iter().enumerate().map(|(at, secret)| (format!("k{at}"), Value::from(secret.as_str()))).collect();
    let body = json!({ "secrets": members });
    let shown = error_beside("json", body.to_string().as_bytes(), false, &error);
    assert_eq!(shown, "*** ***");
    let long: Vec<String> = (0..10_000).map(|n| format!("password=s3cret-{n:05}-{}", "x".repeat(64))).collect();
    let shown = error_beside("text", long.join("\n").as_bytes(), false, "s3cret-09999-");
    assert_eq!(shown, "***");
    let huge = "a1".repeat(32 * 1024);
    let shown = error_beside("json", json!({ "password": huge }).to_string().as_bytes(), false, &format!("<{huge}>"));
    assert_eq!(shown, "<***>");
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let redactor = Redactor::default();
    let mut session = Session::new(&redactor, None, &mut memory, &mut out);
    session.secret(&huge[..8 * 1024], true);
    let evidence = session.evidence(&format!("<{huge}>\nend"));
    assert_eq!(out.get(evidence), "<***\nend");
    assert_eq!(error_beside("json", br#"{"password":"x"}"#, false, "x is unknown"), "x is unknown");
}

#[test]
fn the_search_for_many_secrets_of_the_application_is_planned_once() {
    let work = |keys: usize| {
        let members: String = (0..keys).map(|at| format!("\"k{at:04}\":{at:04},")).collect();
        let body = format!("{{{}\"z\":1}}", members.replace(":0", ":1"));
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let redactor = Redactor::default();
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        (0..64).for_each(|at| session.secret(&format!("{}{at}", "s".repeat(200)), false));
        crate::work::of(|| assert_eq!(session.body(Media::Json, "", body.as_bytes(), false).omitted, None))
    };
    let (few, many) = (work(250), work(2_000));
    assert!(many < 8 * few, "{few} {many}");
}

#[test]
fn values_that_overlap_are_masked_alone_and_among_many() {
    for others in [0, 10] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let redactor = Redactor::default();
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        (0..others).for_each(|at| session.secret(&format!("other-{at}"), false));
        for (value, cut) in [("abcdef12", false), ("def12345xyz", false), ("xyz-\n-hunter22-", false), ("begin1", true)]
        {
            session.secret(value, cut);
        }
        session.secret("hunter22", false);
        let shown = session.evidence("to abcdef12345xyz-\n-hunter22-. begin1 xyz-\n-hunter22-, hunter22");
        assert_eq!(session.out.get(shown), "to ***. ***, ***", "{others}");
        let shown = session.evidence("begin1, hunter22\nhunter22\nhunter2");
        assert_eq!(session.out.get(shown), "***\n***\nhunter2", "{others}");
    }
}

#[test]
fn the_searched_part_of_a_long_value_ends_between_two_characters() {
    for others in [0, 10] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let redactor = Redactor::default();
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        let begin = "a".repeat(126);
        session.secret(&format!("{begin}€uro"), false);
        session.secret(&format!("{begin}zzz"), false);
        (0..others).for_each(|at| session.secret(&format!("{begin}zz{at}"), false));
        for (text, expected) in [
            (format!("({begin}€uro) {begin}zzz, no"), "(***) ***, no"),
            (format!("{begin}b and\nmore"), "***\nmore"),
            (begin[1..].to_owned(), &begin[1..]),
        ] {
            let shown = session.evidence(&text);
            assert_eq!(session.out.get(shown), expected, "{others}");
        }
    }
}

#[test]
fn values_that_begin_with_each_other_do_not_make_the_work_per_byte_grow() {
    let lists = |least: usize, char: &str, before: &str| -> Vec<String> {
        (least..least + 17).map(|len| format!("\"{before}{}\"", char.repeat(len))).collect()
    };
    let long = "1".repeat(128);
    for (values, text) in [
        (lists(6, "1", ""), "1"),
        (lists(6, "1", ""), "111111112"),
        (lists(6, "a", ""), "a"),
        (lists(6, "a", ""), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2"),
        (lists(6, "1", ""), r"1\\u0031%2531"),
        (lists(1, "2", &long), "1"),
        (lists(1, "1", &long), "1"),
        (lists(1, "1", &long), &format!("{long}3")),
    ] {
        let work = |len: usize| {
            let many: Vec<&str> = values.iter().map(String::as_str).cycle().take(len / values[8].len()).collect();
            let body = format!("{{\"pwd\":[{}],\"n\":\"{}\"}}", many.join(","), text.repeat(len / text.len()));
            crate::work::of(|| {
                error_beside("json", body.as_bytes(), false, &text.repeat(len / text.len()));
                shown_by(&Redactor::default(), None, "json", body.as_bytes(), false).unwrap();
            })
        };
        let (few, many) = (work(4 * 1024), work(32 * 1024));
        assert!(many <= 12 * few, "{text:?}: {few}, then {many}");
    }
    // Each of more values than words are looked at, and a longer text of the same character.
    let body = format!("{{\"pwd\":[{}]}}", lists(6, "1", "").join(","));
    assert_eq!(error_beside("json", body.as_bytes(), false, "11111 111111 11111112x 2"), "11111 *** ***2x 2");
    let ones = "1".repeat(30);
    assert_eq!(error_beside("json", body.as_bytes(), false, &format!("<{ones}>")), "<***>");
    let body = format!("{{\"pwd\":[{}]}}", lists(6, "a", "").join(","));
    let shown = error_beside("json", body.as_bytes(), false, "aaaaaaaa bb caaaaaaaaaaaaaa");
    assert_eq!(shown, "*** bb caaaaaaaaaaaaaa");
}

#[test]
fn a_string_of_a_body_that_ends_with_an_ellipsis_shows_no_beginning_of_a_secret() {
    for (note, expected) in [
        ("it was hunter2 b…", "it was ***…"),
        ("it was hunter2%20b…", "it was ***…"),
        ("it was hunter2 b\\u2026", "it was ***\\u2026"),
        ("it was hunt…", "it was hunt…"),
        ("it was hunter2 b", "it was hunter2 b"),
    ] {
        let of = |note: &str, password: &str| format!(r#"{{"note":"{note}","password":"{password}"}}"#);
        assert_eq!(json_of(&of(note, "hunter2 battery")), of(expected, "***"));
    }
}
