//! What was masked and by which rule, described by pointers and never by values.

use std::fmt;

use super::rules::Class;

/// One value that was masked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit {
    /// Where it is, as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What made it a secret.
    pub rule: HitRule,
}

/// What made a value a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HitRule {
    /// Its key, or a member beside it that names it, ends with a phrase for secrets.
    Key,
    /// It is under a key of `mask_values_under`.
    MaskValuesUnder,
    /// A JSON Pointer of the rules matches it.
    Pointer,
    /// The value has the form of a secret, or contains one.
    Value,
}

impl HitRule {
    /// The rule of a key of this class.
    pub(super) fn of(class: Class) -> Self {
        if class == Class::MaskValuesUnder { Self::MaskValuesUnder } else { Self::Key }
    }
}

impl fmt::Display for HitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::MaskValuesUnder => "mask_values_under",
            Self::Pointer => "pointer",
            Self::Value => "value",
        })
    }
}
