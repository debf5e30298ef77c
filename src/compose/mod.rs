//! Draft → record: the only path from what was captured to what is written.
//!
//! Each text of a draft passes a redaction [`Session`] and becomes a piece of the record: evidence, or text of a client. Then the
//! session ends, and the client's texts are searched for what was masked anywhere in the record.
//!
//! - `frame`: times, level, status: fields without text from outside.
//! - `request`: URL, parameters, query, headers and bodies.
//! - `people`: actor, address and context.
//! - `errors`: errors of the application, or else of this library.
//! - `meta`: the event's `meta`, and its message.

mod errors;
mod frame;
mod meta;
mod people;
mod request;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;

use self::request::Sent;
use crate::capture::{Draft, EntryPoint, EventRef, HeaderUse, Stage};
use crate::catalog::Template;
use crate::engine::Engine;
use crate::plan::Plan;
use crate::record::Finished;
#[cfg(feature = "geoip")]
use crate::record::Location;
use crate::record::finished::{ClientPieces, MASKED_NAME, StageName};
use crate::redact::{self, ClientJson, ClientText, EchoSearch, Evidence, Reason, Session};

/// What the worker keeps from one record to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) redact: redact::Memory,
    scratch: Scratch,
    #[cfg(feature = "geoip")]
    places: crate::geoip::Cache,
}

/// A buffer for texts that are being made, and templates that were parsed before.
#[derive(Debug, Default)]
struct Scratch {
    text: String,
    /// Templates that routers reported and the catalog does not have; `None` if one does not parse.
    templates: HashMap<Box<str>, Option<Template>>,
}

/// The parts of a draft that become a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// Who did what, without a text of a client or an error: for a draft whose redaction failed as a whole.
    Evidence,
}

/// Makes a record of a draft. `record` is emptied first, and its memory is used again.
pub(crate) fn record(engine: &Engine, draft: &Draft, extent: Extent, memory: &mut Memory, record: &mut Finished) {
    record.clear();
    let Some(plan) = engine.plan(&draft.event) else { return };
    let Finished { text, fields } = record;
    frame::write(engine, draft, plan, fields);
    let draft = &draft.reading();
    #[cfg(feature = "geoip")]
    let place = locate(engine, draft, &mut memory.places);
    #[cfg(not(feature = "geoip"))]
    let place = None;
    let Memory { redact, scratch, .. } = memory;
    let mut session = Session::new(&engine.redactor, Some(&plan.rules), redact, text);
    // Before any text, because these values are masked everywhere.
    if let Some(late) = &draft.late {
        late.secrets.iter().for_each(|secret| session.secret(&secret.text, secret.is_cut));
        if late.too_many_secrets {
            session.overflow();
        }
    }
    for header in draft.headers.iter().filter(|header| header.used == HeaderUse::Credential) {
        session.credential_header(header.name(draft), &draft.text(header.value));
    }
    fields.is_name_masked = holds_secret_name(&draft.event, plan, &mut session);
    if let Stage::Named(stage) = &draft.stage {
        fields.stage = StageName::Named(word(stage, &mut session));
    }
    let sent = Sent::of(engine, draft, plan, extent, scratch, &mut session);
    people::write(draft, extent, place, &mut session, fields);
    if let Some(header) = people::credentials_of_nobody(draft, fields) {
        let event = if fields.is_name_masked { MASKED_NAME } else { plan.policy.name() };
        engine.report_actorless(event, header);
    }
    errors::write(draft, extent, &mut session, fields);
    meta::collect(engine, draft, plan, &sent, &mut scratch.text, &mut session, fields);
    fields.message = Some(meta::message(draft, plan, &sent, &mut scratch.text, &mut session, fields));
    sent.show(draft, &mut session, fields);
    let mut search = session.finish();
    if search.is_needed() {
        fields.each_client(&mut search);
    }
}

/// Where the actor is, as far as its address tells; none if the application said it.
#[cfg(feature = "geoip")]
fn locate<'m>(engine: &Engine, draft: &Draft, places: &'m mut crate::geoip::Cache) -> Option<&'m Location> {
    let is_known = draft.actor().is_some_and(|actor| actor.location.is_some());
    let ip = draft.ip.filter(|_| !is_known)?;
    places.find(engine.places.as_ref()?, ip)
}

/// Makes a record whose redaction panicked, of evidence too: without any text from outside.
pub(crate) fn bare_record(engine: &Engine, draft: &Draft, record: &mut Finished) {
    record.clear();
    let Some(plan) = engine.plan(&draft.event) else { return };
    let Finished { text, fields } = record;
    frame::write(engine, draft, plan, fields);
    fields.is_name_masked = matches!(draft.event, EventRef::Own(_)) && !plan.policy.has_constant_name();
    fields.address.ip = draft.ip;
    fields.address.port = draft.port;
    fields.address.peer_ip = draft.peer_ip;
    errors::write_bare(draft, text, fields);
    if draft.entry_point == EntryPoint::Request {
        request::write_bare(engine, draft, text, fields);
    }
}

impl ClientPieces for EchoSearch<'_> {
    fn text(&mut self, piece: &mut ClientText) {
        EchoSearch::text(self, piece);
    }

    fn json(&mut self, piece: &mut ClientJson) -> Result<(), Reason> {
        EchoSearch::json(self, piece)
    }
}

/// Whether the event's name holds a secret. Only names that are neither of the catalog nor constants can.
fn holds_secret_name(event: &EventRef, plan: &Plan, session: &mut Session<'_>) -> bool {
    if !matches!(event, EventRef::Own(_)) || plan.policy.has_constant_name() {
        return false;
    }
    let shown = session.evidence(plan.policy.name());
    session.out.get(shown) != plan.policy.name()
}

/// A word that is often a constant of the program, which needs no redaction.
#[expect(clippy::ptr_arg, reason = "a constant is told from a text that was made")]
fn word(word: &Cow<'static, str>, session: &mut Session<'_>) -> Evidence {
    match word {
        Cow::Borrowed(constant) => session.out.constant(constant),
        Cow::Owned(made) => session.evidence(made),
    }
}

fn some(text: Option<&String>, session: &mut Session<'_>) -> Option<Evidence> {
    text.map(|text| session.evidence(text))
}
