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
    /// Behind which colon the value stands of a key that names the value of another one: see [`Part::Name`](super::pair::Part::Name).
    pub(super) name: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
}
