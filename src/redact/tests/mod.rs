//! The promises of redaction, without the layer around it.

mod echoes;
mod json;
mod keys;
mod properties;
mod text;

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
