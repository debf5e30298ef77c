//! What an operator may change from the environment, checked once at start.

use std::env::{self, VarError};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const DEFAULT_PORT: u16 = 7007;
const DEFAULT_STALE_TASK_AFTER_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    pub(crate) require_auth: bool,
    /// A task that has logged nothing for this long is taken for stale.
    pub(crate) stale_task_after: Duration,
    pub(crate) preset: Preset,
}

/// The release whose audit format is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Preset {
    V1_4,
    V1_6,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, String> {
        let port = number("PORT")?.unwrap_or(u64::from(DEFAULT_PORT));
        let port = u16::try_from(port).map_err(|_| format!("PORT is {port}, expected 0 to {}", u16::MAX))?;
        let stale_after = number("STALE_TASK_AFTER_MS")?.unwrap_or(DEFAULT_STALE_TASK_AFTER_MS);
        if stale_after == 0 {
            return Err("STALE_TASK_AFTER_MS is 0, expected 1 or more".to_owned());
        }

        Ok(Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            require_auth: switch("REQUIRE_AUTH")?,
            stale_task_after: Duration::from_millis(stale_after),
            preset: match text("PRESET")?.as_deref() {
                None | Some("1.4") => Preset::V1_4,
                Some("1.6") => Preset::V1_6,
                Some(other) => return Err(format!("PRESET is {other:?}, expected 1.4 or 1.6")),
            },
        })
    }
}

fn number(name: &str) -> Result<Option<u64>, String> {
    text(name)?
        .map(|value| value.parse().map_err(|_| format!("{name} is {value:?}, expected a whole number")))
        .transpose()
}

fn switch(name: &str) -> Result<bool, String> {
    match text(name)?.as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(format!("{name} is {other:?}, expected 0, 1, false or true")),
    }
}

/// An empty variable counts as unset.
fn text(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{name} is not valid UTF-8")),
    }
}
