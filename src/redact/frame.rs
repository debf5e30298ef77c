//! Open containers of a JSON document, and what becomes of what is in them.

use super::keys::Object;

/// What becomes of a value, or of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It shows, but for what its own keys and values say.
    Show,
    /// It is in a bag of secrets: containers show, all else is masked.
    Leaf,
    /// It is one mask.
    Mask,
    /// It is inside of what is one mask: nothing is written, all is remembered.
    Hide,
}

/// An open object or array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) shape: Shape,
    /// What becomes of what is in it.
    pub(super) below: Fate,
    /// Where the value that is masked as one begins, if this is it.
    pub(super) masks_from: Option<usize>,
    /// No member has been read yet.
    pub(super) fresh: bool,
    /// A member has been written, so that the next one needs a comma; and whether one had been before that.
    pub(super) written: bool,
    pub(super) wrote: bool,
    /// Where the output ended before the member that is being read. Like these two, only where members may go.
    pub(super) before_member: usize,
    /// The object that it is, or that it is in.
    pub(super) object: Object,
    /// The next index of an array.
    pub(super) index: u64,
    /// What names the value of another key, until there is one.
    pub(super) named: Named,
}

/// What is known of a key that names another value: see [`Part::Name`](super::pair::Part::Name).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// There was none.
    Nothing,
    /// The name stands behind this colon, and has not been read.
    At(usize),
    /// It is that of a secret.
    Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
}
