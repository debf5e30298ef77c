//! What kind of body a content type announces. Unknown types are left out, not guessed.

/// Kinds of bodies, as far as records tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    Form,
    Multipart,
    Text,
    /// Images, archives and the like.
    Binary,
    /// Anything else, and bodies that do not say what they are.
    Unknown,
}

impl Media {
    /// From a `Content-Type` value; its parameters do not matter here.
    pub(crate) fn of(content_type: &[u8]) -> Self {
        // What most bodies are, as nearly everybody writes it; and what those say that are not there.
        match content_type {
            b"application/json" => return Self::Json,
            b"" => return Self::Unknown,
            _ => {}
        }
        let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        let begins =
            |prefix: &str| essence.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()));
        let ends = |suffix: &str| {
            essence
                .len()
                .checked_sub(suffix.len())
                .is_some_and(|at| essence[at..].eq_ignore_ascii_case(suffix.as_bytes()))
        };
        if is("application/json") || is("text/json") || ends("+json") {
            Self::Json
        } else if is("application/x-www-form-urlencoded") {
            Self::Form
        } else if is("multipart/form-data") {
            Self::Multipart
        } else if is("text/xml") || is("application/xml") || ends("+xml") {
            // Names and values of XML are not distinguished.
            Self::Unknown
        } else if begins("text/") || is("application/javascript") {
            Self::Text
        } else if ["image/", "audio/", "video/", "font/"].into_iter().any(begins)
            || [
                "application/octet-stream",
                "application/zip",
                "application/gzip",
                "application/pdf",
                "application/wasm",
            ]
            .into_iter()
            .any(is)
            || begins("application/grpc")
        {
            Self::Binary
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_told_apart() {
        for (content_type, media) in [
            ("application/json", Media::Json),
            ("Application/JSON; charset=utf-8", Media::Json),
            ("application/problem+json", Media::Json),
            ("application/x-www-form-urlencoded;charset=x", Media::Form),
            ("multipart/form-data; boundary=x", Media::Multipart),
            ("text/event-stream", Media::Text),
            ("text/xml; charset=utf-8", Media::Unknown),
            ("application/soap+xml", Media::Unknown),
            ("application/grpc+proto", Media::Binary),
            ("application/grpc", Media::Binary),
            ("image/png", Media::Binary),
            ("application/x-jsonish", Media::Unknown),
            ("+json", Media::Json),
            ("", Media::Unknown),
            (";", Media::Unknown),
        ] {
            assert_eq!(Media::of(content_type.as_bytes()), media, "{content_type}");
        }
    }
}
