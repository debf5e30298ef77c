//! The environment's part of the settings: which variables are ours, and which Kubernetes put there.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::units::{Refusal, shown};
use super::{Complaints, TABLE};

const PREFIX: &str = "TOWER_AUDIT_";

/// A variable of another product, and the one of ours that it stands for.
pub(crate) type Alias = (&'static str, &'static str);

/// The one setting that cannot stand in the file.
pub(super) const CONFIG: &str = "config";

/// The variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

/// The variables that are ours.
#[derive(Default)]
pub(super) struct Environment {
    /// Keys as the table and the file spell them, the variable, and what was given.
    pub(super) given: Vec<(String, String, String)>,
    pub(super) config: Option<PathBuf>,
    pub(super) complaints: Complaints,
}

impl Environment {
    /// Reads these variables. Aliases are variables of other products and ours that each stands for, which wins.
    pub(super) fn read<N, V>(vars: impl IntoIterator<Item = (N, V)>, aliases: &[Alias]) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into()));
        let all: Vec<(OsString, OsString)> = vars.collect();
        // The order of the environment is chance; that of errors should not be.
        let mut ours: Vec<&(OsString, OsString)> = Vec::new();
        for variable in all.iter().filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
            ours.insert(ours.partition_point(|other| *other < variable), variable);
        }
        let mut this = Self::default();
        for (name, value) in &ours {
            this.take(name, value);
        }
        for (alias, meant) in aliases {
            let given = all.iter().find(|(name, _)| name == alias);
            let Some((_, value)) = given.filter(|_| !ours.iter().any(|(name, _)| name == meant)) else { continue };
            let key = meant.strip_prefix(PREFIX).unwrap_or(meant).to_ascii_lowercase();
            this.take_value(key, alias, value);
        }
        this
    }

    fn take(&mut self, name: &OsStr, value: &OsStr) {
        let Some(name) = name.to_str() else {
            return self.complaints.unknown(&shown(&name.to_string_lossy()));
        };
        let suffix = &name[PREFIX.len()..];
        if is_from_kubernetes(suffix) {
            return;
        }
        // Only the spelling in capitals is ours.
        if suffix.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return self.complaints.unknown(name);
        }
        let key = suffix.to_ascii_lowercase();
        if key == CONFIG {
            return self.take_config(name, value);
        }
        self.take_value(key, name, value);
    }

    fn take_value(&mut self, key: String, name: &str, value: &OsStr) {
        match value.to_str() {
            Some(value) => self.given.push((key, name.to_owned(), value.to_owned())),
            None if TABLE.iter().any(|setting| setting.key == key) => {
                self.complaints.bad(name, &Refusal::new("bytes that are not UTF-8", "UTF-8"));
            }
            None => self.complaints.unknown(name),
        }
    }

    fn take_config(&mut self, name: &str, value: &OsStr) {
        if value.is_empty() {
            self.complaints.bad(name, &Refusal::new("nothing", "the path of a TOML file"));
        } else {
            self.config = Some(PathBuf::from(value));
        }
    }
}

/// Whether Kubernetes, or Docker before it, makes such a variable for a service called `tower-audit`, or for one whose
/// name only begins so (`tower-audit-viewer`).
///
/// See [the forms](https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables).
/// None of our settings has such a name; a test holds that.
fn is_from_kubernetes(suffix: &str) -> bool {
    // What follows the service's name; a service may have any name, so every word can be the first of it.
    let words: Vec<&str> = suffix.split('_').collect();
    (0..words.len()).any(|from| is_service_variable(&words[from..]))
}

fn is_service_variable(words: &[&str]) -> bool {
    match words {
        ["SERVICE", "HOST" | "PORT"] | ["PORT"] => true,
        // A port's name has letters, digits and dashes.
        ["SERVICE", "PORT", name @ ..] => name.iter().all(|word| is_port_name(word)),
        ["PORT", number, protocol, rest @ ..] => {
            number.parse::<u16>().is_ok()
                && matches!(*protocol, "TCP" | "UDP" | "SCTP")
                && matches!(rest, [] | ["PROTO" | "PORT" | "ADDR"])
        }
        _ => false,
    }
}

fn is_port_name(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_kubernetes_are_told_from_settings() {
        for suffix in [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_HTTP",
            "SERVICE_PORT_HTTP_METRICS",
            "SERVICE_PORT_8080",
            "PORT",
            "PORT_80_TCP",
            "PORT_80_TCP_PROTO",
            "PORT_80_TCP_PORT",
            "PORT_80_TCP_ADDR",
            "PORT_53_UDP",
            "PORT_53_UDP_ADDR",
            "PORT_9_SCTP_PROTO",
            "VIEWER_SERVICE_HOST",
            "VIEWER_PORT_80_TCP_ADDR",
            "EVENT_VIEWER_PORT",
        ] {
            assert!(is_from_kubernetes(suffix), "{suffix}");
        }
        for suffix in
            ["SERVICE", "SERVICE_HOSTS", "PORT_80", "PORT_x_TCP", "PORT_70000_TCP", "PORT_80_HTTP", "PORTS", ""]
        {
            assert!(!is_from_kubernetes(suffix), "{suffix}");
        }
        for setting in TABLE {
            assert!(!is_from_kubernetes(&setting.key.to_ascii_uppercase()), "{}", setting.key);
        }
    }
}
