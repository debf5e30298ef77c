//! The promises of redaction, without the layer around it.

mod echoes;
mod json;
mod keys;
mod properties;
mod text;

use super::*;
use crate::media::Media;

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
    let mut piece = session.body(media(content_type), content_type, body, cut).shown?;
    let mut search = session.finish();
    search.json(&mut piece).unwrap();
    Some(out.get(piece).to_owned())
}

/// The kind of a body, by its short name. That of a multipart body is its content type.
fn media(content_type: &str) -> Media {
    match content_type {
        "json" => Media::Json,
        "form" => Media::Form,
        "text" => Media::Text,
        _ => Media::Multipart,
    }
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
    session.body(media(content_type), content_type, body, cut);
    let mut piece = session.text(error);
    let mut search = session.finish();
    search.text(&mut piece);
    out.get(piece).to_owned()
}
