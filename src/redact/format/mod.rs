//! One file for each format of text. Each finds the places of secrets, by the rules for keys and by the detector.

pub(super) mod fields;
mod inside;
pub(super) mod json;
pub(super) mod multipart;
pub(super) mod text;
pub(super) mod url;

pub(super) use json::{JsonScratch, walk};
