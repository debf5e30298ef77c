//! Query parameters that sign a URL: who has the URL with them can use it until it expires.

/// Names of query parameters whose values are credentials in presigned URLs. Compared without regard to case.
const SIGNATURE_PARAMETERS: &[&str] = &[
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

/// Whether a parameter holds the signature of a presigned URL.
pub(in crate::redact) fn is_signature(name: &str) -> bool {
    SIGNATURE_PARAMETERS.iter().any(|signature| signature.eq_ignore_ascii_case(name))
}
