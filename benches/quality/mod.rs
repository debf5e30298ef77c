//! Parts of `redaction_quality`: reading a set, sending it through the layer, comparing, counting.

pub(crate) mod compare;
pub(crate) mod json;
pub(crate) mod layer;
pub(crate) mod set;
pub(crate) mod tally;
