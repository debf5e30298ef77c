//! How-to pages and the architecture, as modules, so that their links and code are checked.

#[doc = include_str!("addresses.md")]
pub mod addresses {}

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("delivery.md")]
pub mod delivery {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[cfg(feature = "export")]
#[cfg_attr(docsrs, doc(cfg(feature = "export")))]
#[doc = include_str!("export.md")]
pub mod export {}

#[doc = include_str!("formats.md")]
pub mod formats {}

#[doc = include_str!("forwarding.md")]
pub mod forwarding {}

#[doc = include_str!("layer_order.md")]
pub mod layer_order {}

#[doc = include_str!("record.md")]
pub mod record {}

#[doc = include_str!("redaction.md")]
pub mod redaction {}

#[doc = include_str!("settings.md")]
pub mod settings {}

#[doc = include_str!("scopes.md")]
pub mod scopes {}

#[doc = include_str!("who_acted.md")]
pub mod who_acted {}
