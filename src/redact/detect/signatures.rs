//! Query parameters that sign a URL: whoever has them can use the URL until it expires.

use std::ops::Range;

use super::credential::looks_like_credential;
use super::run;
use crate::work;

/// Names of query parameters whose values are credentials in presigned URLs. Compared without regard to case.
pub(super) const NAMES: &[&str] = &[
    // AWS Signature Version 4, query parameters: docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "X-Amz-Credential",
    // Google Cloud Storage, V4 signed URLs: cloud.google.com/storage/docs/authentication/signatures
    "X-Goog-Signature",
    "X-Goog-Credential",
    // Azure Storage, shared access signatures: learn.microsoft.com/rest/api/storageservices/create-service-sas
    "sig",
    // Amazon CloudFront, signed URLs; AWS Signature Version 2; Google Cloud Storage, V2 signed URLs.
    // docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html
    "Signature",
    // Alibaba Cloud OSS, V4 and V1 signatures: alibabacloud.com/help/oss/developer-reference/authorize-access-2
    "x-oss-signature",
    "security-token",
    // Tencent Cloud COS: cloud.tencent.com/document/product/436/7778
    "q-signature",
    "x-cos-security-token",
    // Huawei Cloud OBS: support.huaweicloud.com/intl/api-obs/obs_04_0011.html
    "X-Obs-Security-Token",
    // Akamai, Auth Token: techdocs.akamai.com/property-mgr/docs/auth-token-2-0-ver
    "hdnts",
    "hdnea",
    // Fastly and others, tokens of URLs; Google Cloud CDN and Media CDN: cloud.google.com/media-cdn/docs/use-signed-tokens
    "Edge-Cache-Token",
    "hdntl",
];

/// Whether the name of such a parameter begins here.
pub(super) fn begins_at(bytes: &[u8], at: usize) -> bool {
    let begins =
        |name: &str| bytes.get(at..at + name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    matches!(bytes.get(at.wrapping_sub(1)), Some(b'?' | b'&')) && NAMES.iter().any(|name| begins(name))
}

/// Whether a parameter holds the signature of a presigned URL.
pub(in crate::redact) fn is_signature(name: &str) -> bool {
    NAMES.iter().any(|signature| signature.eq_ignore_ascii_case(name))
}

/// Appends the places of signatures in URLs, wherever in a text those are.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    // Without a question mark there is no URL with parameters.
    let mut at = memchr::memchr(b'?', bytes).map_or(bytes.len(), |_| 0);
    while let Some(skipped) = memchr::memchr2(b'?', b'&', &bytes[at..]) {
        work::add(skipped);
        let name = at + skipped + 1;
        at = run(bytes, name, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if bytes.get(at) != Some(&b'=') || !is_signature(&text[name..at]) {
            continue;
        }
        let value = at + 1;
        at = run(bytes, value, |byte| {
            !matches!(byte, 0..=b' ' | b'&' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | b')' | b',' | b';')
        });
        if looks_like_credential(&text[value..at]) {
            found.push(value..at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::found_by;
    use super::*;

    #[test]
    fn signatures_of_urls_are_found_in_any_text() {
        for (text, secrets) in [
            ("see https://h/x?sv=1&sig=aB1aB1aB1aB1%3D for it", vec!["aB1aB1aB1aB1%3D"]),
            ("(https://h/x?x-amz-signature=f0e8bdb87c964420&a=1)", vec!["f0e8bdb87c964420"]),
            ("'/x?Signature=aB1aB1aB1&Signature=aB2aB2aB2'", vec!["aB1aB1aB1", "aB2aB2aB2"]),
            ("?sig=abc&signature=valid", vec![]),
            ("a=1&sig=aB1aB1aB1aB1", vec![]),
            ("sig=aB1aB1aB1aB1 &design=aB1aB1aB1aB1 ?é=aB1aB1aB1aB1", vec![]),
        ] {
            assert_eq!(found_by(find, text), secrets);
        }
    }
}
