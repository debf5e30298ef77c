//! Enums that settings name: read from text and through serde, written by the same names.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde_core::de;

use crate::error::Error;

/// Writes the names of an enum that is a setting once: for `as_str`, `Display`, `FromStr` and serde alike.
macro_rules! setting_names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name that settings and records use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        /// Reads the name that settings use.
        ///
        /// # Errors
        ///
        /// Another text, as [`ErrorKind::Setting`](crate::ErrorKind::Setting): with what was given and what is allowed.
        impl ::std::str::FromStr for $type {
            type Err = $crate::Error;

            fn from_str(text: &str) -> Result<Self, $crate::Error> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::record::setting::unknown(text, &[$($name),+])),
                }
            }
        }

        /// As the name that settings use.
        impl ::serde_core::Serialize for $type {
            fn serialize<S: ::serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        /// From the name that settings use.
        impl<'de> ::serde_core::Deserialize<'de> for $type {
            fn deserialize<D: ::serde_core::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::record::setting::Name::new(&[$($name),+]))
            }
        }
    };
}

pub(crate) use setting_names;

pub(crate) fn unknown(text: &str, allowed: &[&str]) -> Error {
    const LONGEST: usize = 80;
    let shown: String = text.chars().take(LONGEST).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    Error::setting(format!("given {shown:?}{more}, allowed: {}", allowed.join(", ")))
}

/// Reads one of a set of names.
pub(crate) struct Name<T> {
    allowed: &'static [&'static str],
    read: PhantomData<T>,
}

impl<T> Name<T> {
    pub(crate) fn new(allowed: &'static [&'static str]) -> Self {
        Self { allowed, read: PhantomData }
    }
}

impl<T: FromStr> de::Visitor<'_> for Name<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", self.allowed.join(", "))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::custom(unknown(text, self.allowed)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::record::{BodyAs, Delivery, Level, LogType, Reads, Stages, UserAgentKey};

    /// Reads and writes each name both ways.
    macro_rules! round_trips {
        ($($type:ident: $($variant:ident)+;)+) => {
            $($({
                let value = $type::$variant;
                assert_eq!(value.to_string().parse::<$type>().unwrap(), value);
                let written = serde_json::to_value(value).unwrap();
                assert_eq!(written, json!(value.as_str()));
                assert_eq!(serde_json::from_value::<$type>(written).unwrap(), value);
            })+)+
        };
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        round_trips! {
            Delivery: Lossy Backpressure Durable FailClosed;
            Stages: Completion Both Initiation;
            Level: Debug Info Warn Error;
            LogType: Audit Client;
            Reads: Skip Lossy Debug Record;
            BodyAs: Json String;
            UserAgentKey: Client UserAgent Both;
        }
    }

    #[test]
    fn another_name_is_an_error_that_says_what_is_allowed() {
        let error = "Durable".parse::<Delivery>().unwrap_err();
        let expected = "given \"Durable\", allowed: lossy, backpressure, durable, fail_closed";
        assert_eq!((error.kind(), error.to_string()), (crate::ErrorKind::Setting, expected.to_owned()));
        let error = serde_json::from_value::<Delivery>(json!("Durable")).unwrap_err();
        assert_eq!(error.to_string(), expected);
        let error = serde_json::from_value::<Stages>(json!(1)).unwrap_err();
        assert_eq!(error.to_string(), "invalid type: integer `1`, expected one of completion, both, initiation");
        let long = "ü".repeat(100).parse::<Level>().unwrap_err().to_string();
        assert!(long.starts_with(&format!("given {:?}…, allowed", "ü".repeat(80))), "{long}");
    }
}
