//! Bodies and queries: what their structure says, and what is left of them.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_hit_is_listed_at_the_place_of_its_value_in_the_document() {
    let hits = |document: &str| {
        let hits = Redactor::default().explain(document.as_bytes()).hits;
        hits.into_iter().map(|hit| (hit.pointer, hit.rule)).collect::<Vec<_>>()
    };
    let expected =
        |hits: &[(&str, HitRule)]| hits.iter().map(|(at, rule)| ((*at).to_owned(), *rule)).collect::<Vec<_>>();
    assert_eq!(
        hits(r#"{"a":1,"x/y":[0,{"~":{"k\u0065y":{"b":[],"token":"abcdefgh"}}}],"pin":1}"#),
        expected(&[("/x~1y/1/~0/key/token", HitRule::Key), ("/pin", HitRule::Key)])
    );
    assert_eq!(
        hits(r#"[{"a":{"value":[{"b":"x"},2]}},{"value":[{"b":"x"},2],"name":"password"}]"#),
        expected(&[("/1/value/0/b", HitRule::Key), ("/1/value/1", HitRule::Key)])
    );
    // What is inside of a string has no pointer: the string is listed.
    assert_eq!(
        hits(r#"{"a":["{\"password\":\"hunter2hunter2\"}"],"b":"{\"c\":{\"token\":\"abcdefgh\"}}"}"#),
        expected(&[("/a/0", HitRule::Value), ("/b", HitRule::Value)])
    );
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
        let Body { shown: Some(mut piece), omitted: None } = session.body(Media::Json, "", body.as_bytes(), false)
        else {
            panic!("it is JSON")
        };
        assert_eq!(session.out.get(piece), r#"{"a":"***"}"#);
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
        // The token ends behind the word, and the name is judged as it was sent.
        (&format!("{token}pin=12"), "***=***", r#"{"***":"***"}"#),
        (&format!("a={encoded}"), "a=***", r#"{"a":"***"}"#),
    ] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let (shown, fields) = Session::new(&redactor, None, &mut memory, &mut out).query(query);
        assert_eq!((out.get(shown), out.get(fields.unwrap())), (text, object), "{query}");
    }
}

#[test]
fn a_value_of_the_application_is_masked_in_names_without_a_value() {
    let redactor = Redactor::default();
    for query in ["k3y-of-jane&a=1", "k3y%2Dof-jane=x&a=1", "[\"k3y-of-jane\"]"] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        session.secret("k3y-of-jane", false);
        let (mut text, mut fields) = session.query(query);
        let Body { shown: Some(mut form), omitted: None } =
            session.body(Media::Form, "", format!("b=2&{query}").as_bytes(), false)
        else {
            panic!("it is a form")
        };
        let mut search = session.finish();
        search.text(&mut text);
        search.json(fields.as_mut().unwrap()).unwrap();
        search.json(&mut form).unwrap();
        for shown in [out.get(text), out.get(fields.unwrap()), out.get(form)] {
            assert!(shown.contains("***") && !shown.contains("jane"), "{query}: {shown}");
        }
    }
}

#[test]
fn a_pointer_means_the_same_in_parameters_of_a_path_as_in_a_query() {
    for pointer in ["/badge", "/badge/0", "/badge/*"] {
        let redactor = Redactor::builder().pointer(pointer).build().unwrap();
        for (value, shown) in [("7", "***"), ("", "")] {
            let (mut memory, mut out) = (Memory::default(), Redacted::default());
            let mut session = Session::new(&redactor, None, &mut memory, &mut out);
            let path = session.path(&format!("/a/{value}/b"), Some(&[("badge", 3..3 + value.len())]));
            let params = session.params([("badge", value.into())].into_iter()).unwrap();
            let (query, fields) = session.query(&format!("badge={value}"));
            assert_eq!(out.get(path), format!("/a/{shown}/b"), "{pointer}");
            assert_eq!(out.get(params), format!(r#"{{"badge":"{shown}"}}"#), "{pointer}");
            assert_eq!(out.get(query), format!("badge={shown}"), "{pointer}");
            assert_eq!(out.get(fields.unwrap()), out.get(params), "{pointer}");
        }
    }
}

#[test]
fn an_exception_by_pointer_shows_nothing_outside_of_bodies() {
    let redactor = Redactor::builder().except_pointer("/password").build().unwrap();
    let body = r#"{"password":"hunter22"}"#;
    assert_eq!(shown_by(&redactor, None, "json", body.as_bytes(), false).unwrap(), body);
    let quoted = Value::from(body).to_string();
    assert_eq!(shown_by(&redactor, None, "json", quoted.as_bytes(), false).unwrap(), r#""{\"password\":\"***\"}""#);
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let mut session = Session::new(&redactor, None, &mut memory, &mut out);
    let (query, _) = session.query(&format!("a={body}"));
    let (meta, agent) = (session.meta_of("a", body), session.shared_text(body));
    let masked = r#"{"password":"***"}"#;
    assert_eq!(out.get(query), format!("a={masked}"));
    assert_eq!((out.get(meta), out.get(agent)), (masked, masked));
}

#[test]
fn a_text_that_one_event_shows_is_searched_by_the_rules_of_the_next() {
    let redactor = Redactor::default();
    let rules = EventRules::new(&[], &["/badge".to_owned()], &[], &[]).unwrap();
    let mut memory = Memory::default();
    for (event, expected) in [(None, r#"{"badge":"B7"}"#), (Some(&rules), r#"{"badge":"***"}"#)] {
        let mut out = Redacted::default();
        let piece = Session::new(&redactor, event, &mut memory, &mut out).shared_text(r#"{"badge":"B7"}"#);
        assert_eq!(out.get(piece), expected);
    }
}

#[test]
fn a_name_in_extended_notation_is_not_read() {
    let body = b"--x\r\nContent-Disposition: form-data; name*=UTF-8''password\r\n\r\nhunter22\r\n--x--\r\n";
    assert_eq!(shown_by(&Redactor::default(), None, "multipart/form-data; boundary=x", body, false), None);
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
    // Not of Kubernetes, where `data` is no list.
    for plain in [
        r#"{"data":{"x":"visible1"},"kind":"Secret"}"#,
        r#"{"data":[{"x":"visible1"}],"apiVersion":"v1","kind":"Secret"}"#,
    ] {
        assert_eq!(json_of(plain), plain);
    }
}

#[test]
fn a_value_is_masked_that_a_member_after_the_cut_may_name() {
    for body in [
        r#"{"op":"replace","value":"hunter22","path":"/pass"#,
        r#"{"Name":"/db","Value":"hunter22","Type":"Secure"#,
        r#"{"key":"DB","value":"hunter22","mask"#,
        r#"{"kind":"Secret","data":{"a":"hunter22"},"apiVer"#,
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
fn a_form_that_is_json_too_shows_nothing_that_it_names_as_a_form() {
    let shown = |body: &str| shown_by(&Redactor::default(), None, "form", body.as_bytes(), false);
    assert_eq!(shown(r#"{"user":"jane","api_key":"k3y-of-jane"}"#).unwrap(), r#"{"user":"jane","api_key":"***"}"#);
    for (body, value) in [
        (r#"{"x&password=hunter22&y":1}"#, "hunter22"),
        (r#"{"x&p%2561ssword=hunter22&y":1}"#, "hunter22"),
        (r#"["&password=hunter22"]"#, "hunter22\"]"),
        (r#"{"a":"&user[password]=hunter22"}"#, "hunter22\"}"),
    ] {
        assert_eq!(shown(body), None, "{body}");
        assert_eq!(error_beside("form", body.as_bytes(), false, &format!("no: {value}")), "no: ***", "{body}");
    }
    let redactor = Redactor::builder().pointer("/badge").build().unwrap();
    assert_eq!(shown_by(&redactor, None, "form", br#"{"x&badge=7":1}"#, false), None);
    // One field.
    let body = r#"user=jane&["password=hunter22"]&pin=k3y-of-jane"#;
    assert_eq!(shown(body), None);
    assert_eq!(error_beside("form", body.as_bytes(), false, "no: hunter22\"], k3y-of-jane"), "no: ***, ***");
    assert_eq!(shown(r#"a=1&["token"]"#).unwrap(), r#"{"a":"1","[\"token\"]":""}"#);
}

#[test]
fn a_query_that_is_json_too_shows_nothing_that_it_names_as_a_form() {
    for (query, expected, object, value) in [
        (r#"{"a":"&password=hunter2abc"}"#, "***", None, r#"hunter2abc"}"#),
        (r#"x=1&["password=hunter2abc"]"#, "x=1&***", Some(r#"{"x":"1"}"#), r#"hunter2abc"]"#),
        (r#"x=1&{"password":"hunter2abc","pin=":"y"}&z=2"#, "x=1&***&z=2", Some(r#"{"x":"1","z":"2"}"#), "hunter2abc"),
    ] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let redactor = Redactor::default();
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        let (text, fields) = session.query(query);
        let mut error = session.text(&format!("no: {value}"));
        session.finish().text(&mut error);
        assert_eq!((out.get(text), fields.map(|fields| out.get(fields))), (expected, object));
        assert_eq!(out.get(error), "no: ***", "{query}");
    }
}

#[test]
fn the_last_field_of_a_form_that_was_cut_is_judged_as_others_are() {
    let redactor = Redactor::builder().pointer("/badge").build().unwrap();
    for body in ["a=1&p%2561ssword=hunter-22", "a=1&pass%2577ord=hunter-22", "a=1&badge=hunter-22"] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        session.body(Media::Form, "", body.as_bytes(), true);
        let mut error = session.text("no: hunter-22-7");
        session.finish().text(&mut error);
        assert_eq!(out.get(error), "no: ***", "{body}");
    }
    // What an exception shows is no secret, whole or cut.
    let redactor = Redactor::builder().except_pointer("/pin").build().unwrap();
    for (cut, shown) in [(true, r#"{"a":"1"}"#), (false, r#"{"a":"1","pin":"hunter-22"}"#)] {
        let (mut memory, mut out) = (Memory::default(), Redacted::default());
        let mut session = Session::new(&redactor, None, &mut memory, &mut out);
        let Some(body) = session.body(Media::Form, "", b"a=1&pin=hunter-22", cut).shown else { panic!("it is a form") };
        let mut error = session.text("no: hunter-22-7");
        session.finish().text(&mut error);
        assert_eq!((out.get(body), out.get(error)), (shown, "no: hunter-22-7"));
    }
}

#[test]
fn a_number_beyond_the_limit_is_masked_and_leaves_the_texts_beside_it() {
    let (number, most) = ("1".repeat(129), "2".repeat(128));
    assert_eq!(
        json_of(&format!("{{\"a\":[{number},{most},-1.5],\"b\":1}}")),
        r#"{"a":["***",MOST,-1.5],"b":1}"#.replace("MOST", &most)
    );
    let (mut memory, mut out) = (Memory::default(), Redacted::default());
    let redactor = Redactor::default();
    let mut session = Session::new(&redactor, None, &mut memory, &mut out);
    let (mut agent, mut error) = (session.shared_text(&format!("[{number}]")), session.text("not found"));
    let mut search = session.finish();
    search.text(&mut agent);
    search.text(&mut error);
    assert_eq!((out.get(agent), out.get(error)), ("[***]", "not found"));
    assert_eq!(shown_by(&redactor, None, "json", format!("[0{number}]").as_bytes(), false), None);
}

#[test]
fn a_multipart_body_is_left_out_that_has_a_delimiter_without_a_carriage_return() {
    let field = |name: &str| format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n");
    let shown = |body: &str| {
        let kind = "multipart/form-data; boundary=b";
        (
            shown_by(&Redactor::default(), None, kind, body.as_bytes(), false),
            error_beside(kind, body.as_bytes(), false, "k3y-of-jane"),
        )
    };
    let hidden = field("password").replace("\r\n", "\n");
    let body = format!("{}k3y-of-jane\r\n{}x\n{hidden}hunter22\r\n--b--\r\n", field("pin"), field("a"));
    assert_eq!(shown(&body), (None, "***".to_owned()));
    let whole = format!("{}x\n-- b\r\n--b--\r\n", field("a"));
    assert!(shown(&whole).0.is_some());
}
