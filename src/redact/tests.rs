//! The promises of redaction: golden cases, cuts, echoes, and properties with `serde_json` as oracle. `PROPTEST_CASES` sets how
//! many cases each property tries.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::rules::{ALWAYS, AS_TEXT, BAGS, CODES, DROPPED, HARMLESS};
use super::*;

/// A body as a record shows it, by its content type: redacted, and searched for echoes.
fn shown_by(
    redactor: &Redactor,
    event: Option<&EventRules>,
    content_type: &str,
    body: &[u8],
    cut: bool,
) -> Option<String> {
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let mut session = Session::new(redactor, event, &mut memory, &mut out);
    let body = match content_type {
        "json" => session.json_body(body, cut),
        "form" => session.form_body(body, cut),
        "text" => session.text_body(body, cut),
        boundary => session.multipart_body(boundary, body, cut),
    };
    let (Body::Whole(mut piece) | Body::Beginning(mut piece, _)) = body else { return None };
    let mut search = session.finish();
    search.json(&mut piece).unwrap();
    Some(out.get(piece).to_owned())
}

fn json_of(body: &str) -> String {
    shown_by(&Redactor::default(), None, "json", body.as_bytes(), false).unwrap()
}

fn text_of(text: &str) -> String {
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let piece = Session::new(&Redactor::default(), None, &mut memory, &mut out).text(text);
    out.get(piece).to_owned()
}

/// What an error that quotes `error` shows, beside a body.
fn error_beside(content_type: &str, body: &[u8], cut: bool, error: &str) -> String {
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let redactor = Redactor::default();
    let mut session = Session::new(&redactor, None, &mut memory, &mut out);
    match content_type {
        "json" => session.json_body(body, cut),
        "form" => session.form_body(body, cut),
        "text" => session.text_body(body, cut),
        boundary => session.multipart_body(boundary, body, cut),
    };
    let mut piece = session.text(error);
    let mut search = session.finish();
    search.text(&mut piece);
    out.get(piece).to_owned()
}

/// What the guide lists below a heading, as text in backticks.
fn listed_below(heading: &str) -> Vec<&'static str> {
    let guide = include_str!("../guide/redaction.md");
    let (_, below) = guide.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
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
        ("Bags", BAGS),
    ] {
        assert_eq!(listed_below(heading), phrases, "{heading}");
    }
    let dropped: Vec<String> = DROPPED.iter().map(|word| format!("`{word}`")).collect();
    assert!(include_str!("../guide/redaction.md").contains(&format!("\n\n{}\n\n", dropped.join(" "))));
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

#[test]
fn names_and_marks_beside_a_value_are_understood_before_and_behind_it() {
    for (body, expected) in [
        (r#"{"name":"DB_PASSWORD","value":"hunter2"}"#, r#"{"name":"DB_PASSWORD","value":"***"}"#),
        (r#"{"value":"hunter2","name":"DB_PASSWORD"}"#, r#"{"value":"***","name":"DB_PASSWORD"}"#),
        (r#"{"value":{"a":["x",1]},"key":"secret"}"#, r#"{"value":{"a":["***","***"]},"key":"secret"}"#),
        (r#"{"Key":"ApiKey","Value":"abcdefg"}"#, r#"{"Key":"ApiKey","Value":"***"}"#),
        (r#"{"header":"x-auth-token","value":"abcdefg"}"#, r#"{"header":"x-auth-token","value":"***"}"#),
        (
            r#"{"op":"replace","path":"/user/password","value":"x"}"#,
            r#"{"op":"replace","path":"/user/password","value":"***"}"#,
        ),
        (r#"{"op":"add","path":"password","value":"x"}"#, r#"{"op":"add","path":"password","value":"***"}"#),
        (
            r#"{"apiVersion":"v1","data":{"user":"YWRtaW4="},"kind":"Secret","stringData":{"p":"x"}}"#,
            r#"{"apiVersion":"v1","data":{"user":"***"},"kind":"Secret","stringData":{"p":"***"}}"#,
        ),
        (
            r#"{"Name":"/db/url","Type":"SecureString","Value":"abcdefg"}"#,
            r#"{"Name":"/db/url","Type":"SecureString","Value":"***"}"#,
        ),
        (r#"{"value":"abc","sensitive":true}"#, r#"{"value":"***","sensitive":true}"#),
        (r#"{"key":"DB","masked":true,"value":"abc"}"#, r#"{"key":"DB","masked":true,"value":"***"}"#),
    ] {
        assert_eq!(json_of(body), expected);
    }
    for shown in [
        r#"{"name":"DB_HOST","value":"db-1"}"#,
        r#"{"path":"/password","value":"no patch"}"#,
        r#"{"apiVersion":"v1","data":{"user":"YWRtaW4="},"kind":"ConfigMap"}"#,
        r#"{"data":{"user":"jane"},"kind":"Secret"}"#,
        r#"{"value":"abc","sensitive":false,"type":"String"}"#,
        r#"{"name":"password","type":"string","description":"the new one"}"#,
    ] {
        assert_eq!(json_of(shown), shown);
    }
}

#[test]
fn strings_are_read_two_levels_deep() {
    let inner = json!({ "user": "jane", "password": "hunter22" }).to_string();
    let nested = json!({ "payload": inner, "deep": json!({ "p": inner }).to_string() }).to_string();
    let shown: Value = serde_json::from_str(&json_of(&nested)).unwrap();
    let expected = r#"{"password":"***","user":"jane"}"#;
    assert_eq!(shown["payload"], expected);
    assert_eq!(shown["deep"], json!({ "p": expected }).to_string());
    for (value, expected) in [
        ("https://h/p?token=abcdefg&a=1#x", "https://h/p?token=***&a=1#x"),
        ("https://h/p?next=%2Fq%3Ftoken%3Dabcdefg%26a%3D1", "https://h/p?next=%2Fq%3Ftoken%3D***%26a%3D1"),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=0123abcd&x=1",
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=***&x=1",
        ),
        ("postgres://app:hunter2@db/x", "postgres://app:***@db/x"),
        ("user=jane&password=hunter2", "user=jane&password=***"),
    ] {
        assert_eq!(json_of(&json!({ "u": value }).to_string()), json!({ "u": expected }).to_string());
    }
}

#[test]
fn free_text_masks_values_and_never_prose() {
    for (text, expected) in [
        ("password=hunter2", "password=***"),
        ("cannot log in with password: hunter2.", "cannot log in with password: ***."),
        (r#"bad body {"user":"jane","password":"correct horse"}"#, r#"bad body {"user":"jane","password":"***"}"#),
        (r#"log: {\"api_key\": \"abcdefg\"}"#, r#"log: {\"api_key\": \"***\"}"#),
        ("LoginRequest(user=jane, password=hunter2, age=3)", "LoginRequest(user=jane, password=***, age=3)"),
        ("x-api-key: abcdef123456\nhost: h", "x-api-key: ***\nhost: h"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
        ("token=550e8400-e29b-41d4-a716-446655440000", "token=***"),
        ("Server=db;User Id=sa;Password=Pa55word;", "Server=db;User Id=sa;Password=***;"),
    ] {
        assert_eq!(text_of(text), expected);
    }
    for prose in [
        "secretsmanager:GetSecretValue",
        "auth-service:v2",
        "Token revoked: id 4711",
        "jwt: token is expired by 3m",
        "Invalid token: expired",
        "password: must have at least 12 characters",
        "the secret: never give up",
        "401 Unauthorized: invalid credentials",
        "token: https://example.com/docs/tokens",
        "std::auth::token::Error",
    ] {
        assert_eq!(text_of(prose), prose);
    }
}

#[test]
fn a_name_longer_than_any_name_may_end_its_limit_inside_a_character() {
    for len in 0..4 {
        let text = format!("{}{}=a1b2c3d4", "\u{20ac}".repeat(40), "x".repeat(len));
        assert_eq!(text_of(&text), text);
        assert_eq!(text_of(&format!("{text} password=a1b2c3d4")), format!("{text} password=***"));
    }
}

#[test]
fn header_lines_in_free_text_show_no_credential() {
    for (text, expected) in [
        ("Cookie: theme=dark; sid=cAnArY7Qx0, c=a1b2c3d4e5\nHost: h", "Cookie: theme=dark; sid=***, c=***\nHost: h"),
        ("Set-Cookie: session=cAnArY7Qx0; Path=/; HttpOnly", "Set-Cookie: session=***; Path=/; HttpOnly"),
        ("curl -H 'Cookie: sid=cAnArY7Qx0' -v", "curl -H 'Cookie: sid=***' -v"),
        ("Authorization: Custom cAnArY7Qx0\nHost: h", "Authorization: Custom ***\nHost: h"),
        ("proxy-authorization: cAnArY7Qx0", "proxy-authorization: ***"),
        ("X-Auth-Token: cAnArY7Qx0", "X-Auth-Token: ***"),
        ("authorization: user 550e8400 is refused here", "authorization: user 550e8400 is refused here"),
        ("missing cookie: session of jane7", "missing cookie: session of jane7"),
        ("Cookie: theme=dark; lang=en", "Cookie: theme=dark; lang=en"),
    ] {
        assert_eq!(text_of(text), expected);
    }
}

#[test]
fn a_string_that_is_json_beyond_the_limits_does_not_show() {
    let deep = format!("{{\"pin\":\"12\",\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    let wide: Vec<String> = (0..5_000).map(|key| format!("\"{key}\":0")).collect();
    let wide = format!("{{\"pin\":\"12\",{}}}", wide.join(","));
    for text in [deep, wide] {
        // Nor does what may repeat a value that was not read.
        let body = json!({ "a": text }).to_string();
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let redactor = Redactor::default();
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        let Body::Whole(mut piece) = session.json_body(body.as_bytes(), false) else { panic!("it is JSON") };
        assert_eq!(session.get(piece), r#"{"a":"***"}"#);
        assert_eq!(session.finish().json(&mut piece), Err(Reason::Budget));
        assert_eq!(text_of(&text), "***");
    }
}

#[test]
fn names_of_a_query_are_decoded_before_they_are_judged() {
    let redactor = Redactor::default();
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let encoded = token.replace('_', "%5F");
    for (query, text, object) in [
        ("p%61ssword=x", "p%61ssword=***", r#"{"password":"***"}"#),
        ("p%2561ssword=x", "p%2561ssword=***", r#"{"p%61ssword":"***"}"#),
        (&*format!("a%20{encoded}=1"), "a%20***=1", r#"{"a ***":"1"}"#),
        (&format!("{token}=1"), "***=1", r#"{"***":"1"}"#),
        (&format!("a={encoded}"), "a=***", r#"{"a":"***"}"#),
    ] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let (shown, fields) = Session::new(&redactor, None, &mut memory, &mut out).query(query);
        assert_eq!((out.get(shown), out.get(fields.unwrap())), (text, object), "{query}");
    }
}

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
fn a_name_in_extended_notation_is_not_read() {
    let body = b"--x\r\nContent-Disposition: form-data; name*=UTF-8''password\r\n\r\nhunter22\r\n--x--\r\n";
    assert_eq!(shown_by(&Redactor::default(), None, "multipart/form-data; boundary=x", body, false), None);
}

#[test]
fn what_headers_carried_is_masked_where_it_is_repeated() {
    let basic = "Basic amFuZTpodW50ZXIyMg==";
    for (name, value, secret) in [
        ("authorization", "Bearer opaque-value", "opaque-value"),
        ("proxy-authorization", basic, "hunter22"),
        ("authorization", basic, "amFuZTpodW50ZXIyMg=="),
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
    session.json_body(br#"{"password":"hun ter/22"}"#, false);
    let Body::Whole(mut other) = session
        .json_body(br#"{"hun ter/22":1,"a":"x hun ter/22 y","b":"hun\u0020ter\/22","c":"hun%20ter%2F22"}"#, false)
    else {
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
            assert_eq!(session.get(evidence), expected, "{secrets}");
            if text.contains("eyJ") {
                assert_eq!(session.get(client), expected, "{secrets}");
            }
        }
    }
}

#[test]
fn a_form_that_is_json_or_has_a_field_without_a_sign_is_read_as_what_it_is() {
    let form = |body: &str| shown_by(&Redactor::default(), None, "form", body.as_bytes(), false);
    assert_eq!(form(r#" {"user":"jane","password":"hunter22"}"#).unwrap(), r#"{"user":"jane","password":"***"}"#);
    assert_eq!(form(r#"{"user":"jane","password":"hunter22"#), None);
    assert_eq!(form("a=1&https://jane:hunter22@h/x").unwrap(), r#"{"a":"1","https://jane:***@h/x":""}"#);
    assert_eq!(form("%7B%22password%22%3A%22hunter22%22%7D").unwrap(), r#"{"{\"password\":\"***\"}":""}"#);
    let shown = error_beside("form", b"%7B%22password%22%3A%22hunter22%22%7D", false, "no user hunter22");
    assert_eq!(shown, "no user ***");
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let redactor = Redactor::default();
    let (text, fields) =
        Session::new(&redactor, None, &mut memory, &mut out).query(r#"%7B%22pin%22%3A%2212%22%7D&b=1"#);
    assert_eq!(out.get(fields.unwrap()), r#"{"{\"pin\":\"***\"}":"","b":"1"}"#);
    assert_eq!(out.get(text), "%7B%22pin%22%3A%22***%22%7D&b=1");
}

#[test]
fn ten_thousand_secrets_and_long_ones_are_remembered_or_everything_is_left_out() {
    let secrets: Vec<String> = (0..4_000).map(|n| format!("s3cret-{n:05}")).collect();
    let error = format!("{} {}", secrets[0], secrets[3_999]);
    let bag: serde_json::Map<String, Value> =
        secrets.iter().enumerate().map(|(at, secret)| (format!("k{at}"), Value::from(secret.as_str()))).collect();
    let body = json!({ "secrets": bag });
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
fn an_allow_list_shows_its_places_and_nothing_else() {
    let show = |pointers: &[&str]| {
        let pointers: Vec<String> = pointers.iter().map(|pointer| (*pointer).to_owned()).collect();
        EventRules::new(&[], &[], &[], &pointers).unwrap()
    };
    let redactor = Redactor::default();
    let rules = show(&["/name", "/spec/owner", "/list/*/id", "/none/x"]);
    let body = br#"{"a":1,"name":"n","spec":{"x":"y","owner":{"token":"abcdefg","b":1}},"z":[1],"list":[{"id":1,"c":2},3],"none":4}"#;
    assert_eq!(
        shown_by(&redactor, Some(&rules), "json", body, false).unwrap(),
        r#"{"name":"n","spec":{"owner":{"token":"***","b":1}},"list":[{"id":1}]}"#
    );
    let form = b"a=1&name=n&name=m&spec=x&password=hunter2";
    assert_eq!(shown_by(&redactor, Some(&show(&["/name/1"])), "form", form, false).unwrap(), r#"{"name":"m"}"#);
    assert_eq!(shown_by(&redactor, Some(&rules), "json", b"[1,2]", false).unwrap(), "[]");
    assert_eq!(shown_by(&redactor, Some(&rules), "json", b"4711", false).unwrap(), "null");
    assert_eq!(shown_by(&redactor, Some(&rules), "text", b"anything", false), None);
    for cut in 0..body.len() {
        let Some(shown) = shown_by(&redactor, Some(&rules), "json", &body[..cut], true) else { continue };
        assert!(serde_json::from_str::<Value>(&shown).is_ok(), "{shown}");
        assert!(!shown.contains("abcdefg") && !shown.contains('z') && !shown.contains('y'), "{shown}");
    }
}

#[test]
fn strict_readers_get_text_where_they_would_reject_json() {
    for (body, expected) in [
        (r#"{"a":1,"a":2}"#, r#""{\"a\":1,\"a\":2}""#),
        (r#"{"a":1,"\u0061":2}"#, r#""{\"a\":1,\"\\u0061\":2}""#),
        (r#"{"n":1e999}"#, r#""{\"n\":1e999}""#),
        (r#"[-1E400]"#, r#""[-1E400]""#),
    ] {
        assert_eq!(json_of(body), expected);
    }
    let many = (0..100).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",");
    assert!(json_of(&format!("{{{many},\"k7\":2}}")).starts_with('"'));
    assert_eq!(json_of(&format!("{{{many}}}")), format!("{{{many}}}"));
    for body in ["{", "[1,]", "{\"a\"}", "01", "1.", "\"\\ud800\"", "nul", "{} {}", "\"a\nb\"", ""] {
        assert_eq!(shown_by(&Redactor::default(), None, "json", body.as_bytes(), false), None, "{body:?}");
    }
}

#[test]
fn characters_that_could_break_a_line_are_escaped() {
    let body = "{\"k\u{2028}\":\"a\u{85}b\u{202e}c\u{7f}\",\"é\":\"ü\"}";
    assert_eq!(json_of(body), "{\"k\\u2028\":\"a\\u0085b\\u202ec\\u007f\",\"é\":\"ü\"}");
}

const CANARY: &str = "cAnArY7Qx0";

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é\"\\\\]{0,12}".prop_map(Value::from),
        Just(Value::from("name")),
    ];
    let key = prop_oneof![
        "[a-z]{1,6}",
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
        session.json_body(json!({ &key: &name }).to_string().as_bytes(), false);
        session.form_body(format!("{key}={name}").as_bytes(), false);
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
        let [small, large] = [4 * 1024, 32 * 1024].map(|len| work(&pick.repeat(len / pick.len())));
        for (at, (small, large)) in small.into_iter().zip(large).enumerate() {
            assert!(large <= 12 * small.max(1024), "{pick:?} as {at}: {small} bytes of work, then {large}");
        }
    }
}

#[test]
fn a_secret_shows_under_no_second_name_or_value() {
    for (body, secrets) in [
        (r#"{"name":"password","Value":"hunter22","value":""}"#, 1),
        (r#"{"value":"hunter22","value":"hunter22","name":"password"}"#, 2),
        (r#"{"op":"add","path":"/password","Path":"/x","value":"hunter22"}"#, 1),
        (r#"{"data":{"x":"hunter22"},"kind":"Secret","apiVersion":"v1"}"#, 1),
        (r#"{"kind":"Secret","data":{"x":"hunter22"},"apiVersion":"v1"}"#, 1),
        (r#"{"apiVersion":"v1","kind":"Secret","data":{"x":"hunter22"},"Data":{"y":1},"DATA":{"z":"hunter22"}}"#, 3),
    ] {
        let shown = json_of(body);
        assert!(!shown.contains("hunter22") && shown.matches("***").count() == secrets, "{shown}");
    }
    // Not of Kubernetes.
    let plain = r#"{"data":{"x":"visible1"},"kind":"Secret"}"#;
    assert_eq!(json_of(plain), plain);
}

#[test]
fn a_value_is_masked_that_a_member_after_the_cut_may_name() {
    for body in [
        r#"{"op":"replace","value":"hunter22","path":"/pass"#,
        r#"{"Name":"/db","Value":"hunter22","Type":"Secure"#,
        r#"{"key":"DB","value":"hunter22","mask"#,
    ] {
        let shown = shown_by(&Redactor::default(), None, "json", body.as_bytes(), true).unwrap();
        assert!(!shown.contains("hunter22"), "{shown}");
    }
}

#[test]
fn what_is_removed_is_not_masked_once_more_by_a_name_beside_it() {
    let redactor = Redactor::builder().remove().build().unwrap();
    for body in [
        r#"{"name":"password","value":{"pin":[1234,5678]}}"#,
        r#"{"name":"password","value":{"secrets":{"a":1,"b":true,"c":"x"},"pin":1,"z":"x"}}"#,
        r#"{"apiVersion":"v1","kind":"Secret","data":{"pin":[1,2,"a"]}}"#,
    ] {
        let shown = shown_by(&redactor, None, "json", body.as_bytes(), false).unwrap();
        assert!(serde_json::from_str::<Value>(&shown).is_ok(), "{shown}");
    }
    let listed = EventRules::new(&[], &[], &[], &["/value/1".into()]).unwrap();
    let body = br#"{"name":"pin","value":[1234,5678]}"#;
    let shown = shown_by(&Redactor::default(), Some(&listed), "json", body, false).unwrap();
    assert_eq!(shown, r#"{"value":["***"]}"#);
}

#[test]
fn a_quoted_value_in_free_text_ends_at_its_own_quote() {
    assert_eq!(
        text_of(r#"bad "password": "a \" hunter22", "user": "jane""#),
        r#"bad "password": "***", "user": "jane""#
    );
    assert_eq!(text_of(r#"bad "password": "a\\", "user": "jane""#), r#"bad "password": "***", "user": "jane""#);
    // Cut, so that it has no end.
    assert_eq!(text_of("bad {\"password\": \"correct horse…"), "bad {\"password\": \"***…");
    assert_eq!(text_of("bad {\"password\": \"correct horse\nat x"), "bad {\"password\": \"***\nat x");
    assert_eq!(text_of("password: 'tis wrong"), "password: 'tis wrong");
    let shown = shown_by(&Redactor::default(), None, "text", br#"{"password": "correct horse bat"#, true).unwrap();
    assert_eq!(shown, r#""{\"password\": \"""#);
}

#[test]
fn a_body_is_read_by_the_same_rules_behind_a_byte_order_mark_or_white_space() {
    let body = "\u{feff} {\"password\":\"hunter22=\",\"a\":1}";
    let shown = shown_by(&Redactor::default(), None, "form", body.as_bytes(), false).unwrap();
    assert_eq!(shown, r#"{"password":"***","a":1}"#);
    for url in ["/q?token=a1b2c3d4&page=2\\n", " /q?page=2&token=a1b2c3d4\\n", "token=a1b2c3d4&page=2 "] {
        let shown = json_of(&format!("{{\"next\":\"{url}\"}}"));
        assert!(!shown.contains("a1b2c3d4") && shown.contains("page=2"), "{shown}");
    }
}

#[test]
fn a_multipart_body_with_two_boundaries_is_left_out() {
    let body = "--A\r\nContent-Disposition: form-data; name=x\r\n\r\n--B\r\nContent-Disposition: form-data; \
                name=password\r\n\r\nhunter22\r\n--B--\r\n--A--";
    let shown = |media: &str| shown_by(&Redactor::default(), None, media, body.as_bytes(), false);
    assert_eq!(shown("multipart/form-data; boundary=A; boundary=B"), None);
    let tab = "--A\r\nContent-Disposition\t: form-data; name=password\r\n\r\nhunter22\r\n--A--";
    assert_eq!(shown_by(&Redactor::default(), None, "multipart/form-data; boundary=A", tab.as_bytes(), false), None);
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
        crate::work::of(|| assert!(matches!(session.json_body(body.as_bytes(), false), Body::Whole(_))))
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
        assert_eq!(session.get(shown), "to ***. ***, ***", "{others}");
        let shown = session.evidence("begin1, hunter22\nhunter22\nhunter2");
        assert_eq!(session.get(shown), "***\n***\nhunter2", "{others}");
    }
}
