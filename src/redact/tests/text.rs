//! Free text: values that a name precedes.

use super::*;

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
        (r#"Login { token: Some("a1b2c3d4") }"#, r#"Login { token: Some("***") }"#),
        (r#"{'password': b'correct horse'}"#, r#"{'password': b'***'}"#),
        (r#"tokens: ["a1b2c3d4"]"#, r#"tokens: ["***"]"#),
        (r#"tokens: ["a1b2c3d4", 'x1y2z3w4', "b"]"#, r#"tokens: ["***", '***', "b"]"#),
        (r#"{\"tokens\": [\"a1 b2 c3\", \"x1 y2 z3\"]}"#, r#"{\"tokens\": [\"***\", \"***\"]}"#),
        (r#"{"log": "tokens=['a1b2c3d4']", "name": "x1y2z3w4"}"#, r#"{"log": "tokens=['***']", "name": "x1y2z3w4"}"#),
        (r#"["pins=['a1b2c3d4'", "x1y2z3w4"]"#, r#"["pins=['***'", "x1y2z3w4"]"#),
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
fn a_quoted_value_in_free_text_ends_at_its_own_quote() {
    assert_eq!(
        text_of(r#"bad "password": "a \" hunter22", "user": "jane""#),
        r#"bad "password": "***", "user": "jane""#
    );
    assert_eq!(text_of(r#"bad "password": "a\\", "user": "jane""#), r#"bad "password": "***", "user": "jane""#);
    // Cut, so that it has no end.
    assert_eq!(text_of("bad {\"password\": \"correct horse…"), "bad {\"password\": \"***…");
    assert_eq!(text_of("bad {\"password\": \"correct horse\nat x"), "bad {\"password\": \"***\nat x");
    assert_eq!(text_of("bad password=\"a1b2c3d4…"), "bad password=\"***…");
    for prose in ["bad password=\"a1b2c3d4\nat x", "bad password=\"a1b2c3d4", "bad password=\"a1b2c3d4\nat x…"] {
        assert_eq!(text_of(prose), prose);
    }
    assert_eq!(text_of("password: 'tis wrong"), "password: 'tis wrong");
    assert_eq!(text_of("password: 'tis wrong at line2b4…"), "password: 'tis wrong at line2b4…");
    let shown = shown_by(&Redactor::default(), None, "text", br#"{"password": "correct horse bat"#, true).unwrap();
    assert_eq!(shown, r#""{\"password\": \"""#);
}
