//! One file for each format in which a text can be: each finds what is secret in it, by the rules and the detector.

pub(super) mod fields;
pub(super) mod json;
pub(super) mod multipart;
mod pairs;
pub(super) mod text;
pub(super) mod url;

pub(super) use json::{Action, JsonScratch, Target, walk};
