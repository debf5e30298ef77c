//! What one line leaves out of its record, or shortens, so that the line fits its limit.

use std::borrow::Cow;

use crate::text::{head, tail};

/// What a line leaves out of its record, or shortens, to fit its limit. Empty for most lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cuts {
    pub(crate) request_body: BodyCut,
    pub(crate) response_body: BodyCut,
    pub(crate) headers: bool,
    pub(crate) stacks: bool,
    pub(crate) query: bool,
    pub(crate) params: bool,
    /// All errors but the first.
    pub(crate) further_errors: bool,
    pub(crate) referer: bool,
    /// Indexes of the members of `meta` that are left out.
    pub(crate) meta: Vec<usize>,
    /// The number of bytes that are kept of texts.
    pub(crate) error_message: Option<usize>,
    pub(crate) message: Option<usize>,
    pub(crate) client: Option<usize>,
    pub(crate) url: Option<usize>,
    /// The names in `meta.shortened`.
    pub(crate) named: Vec<Cow<'static, str>>,
}

/// Nothing is shortened.
pub(crate) static UNCUT: Cuts = Cuts {
    request_body: BodyCut::None,
    response_body: BodyCut::None,
    headers: false,
    stacks: false,
    query: false,
    params: false,
    further_errors: false,
    referer: false,
    meta: Vec::new(),
    error_message: None,
    message: None,
    client: None,
    url: None,
    named: Vec::new(),
};

/// What a line shows of a body.
#[derive(Clone, Debug, Default)]
pub(crate) enum BodyCut {
    #[default]
    None,
    /// A valid beginning of it.
    Beginning(String),
    /// Nothing.
    Whole,
}

/// A text without its middle, if only a number of bytes of it is kept.
pub(crate) fn without_middle(text: &str, kept: Option<usize>) -> Cow<'_, str> {
    match kept {
        None => Cow::Borrowed(text),
        Some(kept) => Cow::Owned([head(text, kept / 2), ELLIPSIS, tail(text, kept / 2)].concat()),
    }
}

pub(crate) const ELLIPSIS: &str = "…";
