//! Where exports go, and with which role, key and ACL: checked as text, whether the feature that goes there is on or not.

use std::fmt;
use std::path::PathBuf;

use super::units::{Given, Refusal, folder_location};

/// A checked destination.
#[cfg_attr(not(feature = "export"), allow(dead_code, reason = "only exports go there"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    Folder(PathBuf),
    Bucket(BucketUrl),
}

/// `s3://bucket/prefix`
#[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "only the feature goes there"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketUrl {
    pub(crate) bucket: String,
    /// Without a `/` at an end; empty for the whole bucket.
    pub(crate) prefix: String,
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

const BUCKET_ALLOWED: &str = "s3://bucket/prefix: a bucket of 3 to 63 lower-case letters, digits, dots and hyphens, and a prefix \
                              of letters, digits and - _ . = between slashes, at most 512 bytes";

/// A folder or a bucket.
pub(crate) fn location(text: &str) -> Result<Location, Refusal> {
    match text.strip_prefix("s3://") {
        Some(rest) => bucket(text, rest).map(Location::Bucket),
        None => folder_location(text).map(Location::Folder),
    }
}

/// The text of a [`location`].
pub(super) fn url(given: &Given<'_>) -> Result<String, Refusal> {
    let text = given.text(|| "a folder, or s3://bucket/prefix".into())?;
    location(text).map(|_| text.to_owned())
}

fn bucket(text: &str, rest: &str) -> Result<BucketUrl, Refusal> {
    if rest.contains(['@', '?', '#']) {
        return Err(Refusal::new(
            "a URL with user info, a query or a fragment, which is not repeated here",
            BUCKET_ALLOWED,
        ));
    }
    if text.contains(['{', '}']) {
        let allowed = format!("{BUCKET_ALLOWED}; nothing is put in the place of braces: write the URL itself");
        return Err(Refusal::of(text, allowed));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_bucket = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| is_edge(Some(byte)) || matches!(byte, b'.' | b'-'))
        && is_edge(bucket.bytes().next())
        && is_edge(bucket.bytes().last())
        && !bucket.contains("..");
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'='))
    };
    if !is_bucket || prefix.len() > 512 || !(prefix.is_empty() || prefix.split('/').all(is_part)) {
        return Err(Refusal::of(text, BUCKET_ALLOWED));
    }
    if cfg!(not(feature = "s3")) {
        return Err(Refusal::of(text, "a folder; s3:// needs the feature `s3` of the crate tower-audit"));
    }
    Ok(BucketUrl { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

/// The ARN of a role (AWS IAM, "IAM ARNs").
pub(crate) fn role_arn(text: &str) -> Result<String, Refusal> {
    const ALLOWED: &str = "the ARN of a role such as arn:aws:iam::123456789012:role/LogsWriter";
    let fits = (20..=2_048).contains(&text.len()) && text.split(':').count() == 6;
    let is_role = || {
        let mut parts = text.split(':');
        let mut next = || parts.next().unwrap_or_default();
        let (arn, partition, service, region, account, role) = (next(), next(), next(), next(), next(), next());
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&byte);
        let role = role.strip_prefix("role/").unwrap_or_default();
        arn == "arn"
            && partition.starts_with("aws")
            && partition.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            && service == "iam"
            && region.is_empty()
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && !role.is_empty()
            && role.bytes().all(is_name)
            && !role.ends_with('/')
    };
    if fits && is_role() { Ok(text.to_owned()) } else { Err(Refusal::of(text, ALLOWED)) }
}

/// An external id (AWS STS, `AssumeRole`). It is shared with the owner of the role, and repeated nowhere.
pub(crate) fn external_id(text: &str) -> Result<String, Refusal> {
    const ALLOWED: &str = "2 to 1224 letters, digits and characters of + = , . @ : / - _";
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@:/-_".contains(&byte);
    if (2..=1_224).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new("a value that is not repeated here", ALLOWED))
}

/// The key of `SSE-KMS`: an id, an ARN, or an alias.
pub(crate) fn kms_key_id(text: &str) -> Result<String, Refusal> {
    const ALLOWED: &str = "the id or ARN of a KMS key, or an alias such as alias/audit or its ARN";
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte);
    let is_key = match text.strip_prefix("arn:") {
        Some(rest) => rest.contains(":kms:") && (rest.contains(":key/") || rest.contains(":alias/")),
        None => text.strip_prefix("alias/").map_or(!text.contains(['/', ':']), |name| !name.is_empty()),
    };
    if (1..=2_048).contains(&text.len()) && text.bytes().all(is_allowed) && is_key {
        return Ok(text.to_owned());
    }
    Err(Refusal::of(text, ALLOWED))
}

/// Applies one of the functions above to a setting.
pub(super) fn checked(given: &Given<'_>, check: fn(&str) -> Result<String, Refusal>) -> Result<String, Refusal> {
    check(given.text(|| "a text".into())?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[cfg(feature = "s3")]
    #[test]
    fn a_bucket_is_read_with_its_prefix_and_what_may_be_secret_is_not_repeated() {
        let long = format!("s3://bucket/{}", "a".repeat(513));
        for (text, expected) in [
            ("s3://acme-logs", Some(("acme-logs", ""))),
            ("s3://acme-logs/", Some(("acme-logs", ""))),
            ("s3://acme.logs/a/b=c/", Some(("acme.logs", "a/b=c"))),
            ("s3://acme-logs//a", None),
            ("s3://acme-logs/a//b", None),
            ("s3://acme-logs/../a", None),
            ("s3://acme-logs/a b", None),
            ("s3://acme-logs/a%20b", None),
            ("s3://acme-logs/ü", None),
            ("s3://Acme", None),
            ("s3://ab", None),
            ("s3://-acme", None),
            ("s3://acme..logs", None),
            ("s3://", None),
            ("s3:///prefix", None),
            ("S3://acme-logs", None),
            (&long, None),
        ] {
            let found = match location(text).ok() {
                Some(Location::Bucket(url)) => Some((url.bucket.clone(), url.prefix.clone())),
                _ => None,
            };
            assert_eq!(found, expected.map(|(bucket, prefix)| (bucket.into(), prefix.into())), "{text}");
        }
        for secret in ["s3://key:hunter22@bucket/x", "s3://bucket/x?token=hunter22", "s3://bucket/x#hunter22"] {
            let Refusal { given, allowed } = location(secret).unwrap_err();
            assert!(!given.contains("hunter22") && !allowed.contains("hunter22"), "{given}");
        }
        assert!(location("s3://bucket/{BASE_PATH}").unwrap_err().allowed.contains("write the URL itself"));
        assert_eq!(
            location("s3://acme-logs/a/")
                .map(|it| matches!(it, Location::Bucket(url) if url.to_string() == "s3://acme-logs/a"))
                .ok(),
            Some(true)
        );
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn a_bucket_without_the_feature_is_refused_with_its_name() {
        assert!(location("s3://bucket/x").unwrap_err().allowed.contains("feature `s3`"));
    }

    #[test]
    fn roles_external_ids_and_keys_are_those_of_aws() {
        for (arn, is_one) in [
            ("arn:aws:iam::123456789012:role/LogsWriter", true),
            ("arn:aws-us-gov:iam::123456789012:role/path/to/Logs.Writer+=,@-_", true),
            ("arn:aws:iam::123456789012:user/LogsWriter", false),
            ("arn:aws:iam::12345678901:role/LogsWriter", false),
            ("arn:aws:iam::123456789012:role/", false),
            ("arn:aws:iam::123456789012:role/a:b", false),
            ("arn:aws:sts::123456789012:assumed-role/a/b", false),
            ("LogsWriter", false),
            ("", false),
        ] {
            assert_eq!(role_arn(arn).is_ok(), is_one, "{arn}");
        }
        for (id, is_one) in [("ab", true), ("Cloudsmith:acme/1", true), ("a", false), ("hunter 22", false), ("", false)]
        {
            assert_eq!(external_id(id).is_ok(), is_one, "{id}");
        }
        assert!(!external_id("hunter 22").unwrap_err().given.contains("hunter"));
        for (id, is_one) in [
            ("1234abcd-12ab-34cd-56ef-1234567890ab", true),
            ("mrk-1234abcd12ab34cd56ef1234567890ab", true),
            ("alias/audit", true),
            ("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", true),
            ("arn:aws:kms:eu-central-1:111122223333:alias/audit", true),
            ("arn:aws:iam::123456789012:role/x", false),
            ("alias/", false),
            ("a/b", false),
            ("a\nb", false),
            ("", false),
        ] {
            assert_eq!(kms_key_id(id).is_ok(), is_one, "{id}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_checked_without_a_panic(text in any::<String>()) {
            let _ = (location(&text), location(&format!("s3://{text}")), role_arn(&text), external_id(&text), kms_key_id(&text));
            let _ = (role_arn(&format!("arn:aws:iam::123456789012:role/{text}")), kms_key_id(&format!("arn:{text}")));
        }
    }
}
