//! A checked bucket: its URL, the usual `AWS_…` variables, and what the settings say.

use std::ffi::OsString;
use std::fmt;

use http::Uri;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};
use object_store::{ClientOptions, RetryConfig};

use super::answer::Answers;
use super::client::Connector;
use crate::config::BucketUrl;
use crate::error::Error;
use crate::export::BucketOptions;

/// Settings of `object_store` with their values.
type Keys = Vec<(Key, String)>;

/// Where objects are put, and as whom.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(super) url: BucketUrl,
    pub(super) region: String,
    endpoint: String,
    pub(super) sts: String,
    /// Where keys come from, by the names of `object_store`.
    keys: Keys,
    /// Where keys come from, for errors.
    pub(super) source: &'static str,
    pub(super) options: BucketOptions,
}

/// Without keys and external id.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, region, endpoint, .. } = self;
        f.debug_struct("Bucket")
            .field("url", url)
            .field("region", region)
            .field("endpoint", endpoint)
            .finish_non_exhaustive()
    }
}

/// The `AWS_…` variables of the process.
pub(crate) struct AwsVars(Vec<(String, String)>);

impl AwsVars {
    /// # Errors
    ///
    /// If a value is no text.
    pub(crate) fn of_process() -> Result<Self, Error> {
        Self::read(std::env::vars_os())
    }

    fn read(vars: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Error> {
        let mut read = Vec::new();
        for (name, value) in vars {
            let Some(name) = name.to_str().filter(|name| name.starts_with("AWS_")) else { continue };
            let value = value.to_str().map(str::trim);
            let value = value.ok_or_else(|| wrong(name, "a value that is no text", "text in UTF-8"))?;
            read.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(read))
    }

    /// What is set and not empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    /// The first of these that is set: the base of a URL.
    fn endpoint(&self, names: &[&str]) -> Result<Option<String>, Error> {
        const ALLOWED: &str = "the URL of a server such as https://s3.example.com or http://localhost:9000";
        let Some((name, value)) = names.iter().find_map(|name| Some((name, self.get(name)?))) else { return Ok(None) };
        if value.contains(['@', '?', '#']) {
            return Err(wrong(
                name,
                "a URL with user info, a query or a fragment, which is not repeated here",
                ALLOWED,
            ));
        }
        let base = value.trim_end_matches('/');
        let is_server = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.path() == "/"
        };
        match base.parse::<Uri>() {
            // Requests are made of it by another parser, which says no to more.
            Ok(uri) if is_server(&uri) && reqwest::Url::parse(base).is_ok() => Ok(Some(base.to_owned())),
            _ => Err(wrong(name, &format!("{:?}", super::answer::clean(value, 80)), ALLOWED)),
        }
    }

    fn region(&self) -> Result<Option<String>, Error> {
        let Some((name, value)) =
            ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| Some((name, self.get(name)?)))
        else {
            return Ok(None);
        };
        check_region(name, value).map(Some)
    }

    /// Where keys come from: the first that is given, in the order of AWS's own tools.
    fn keys(&self) -> Result<(Keys, &'static str), Error> {
        let pairs = |names: &[(&str, Key)]| -> Keys {
            names.iter().filter_map(|(name, key)| Some((*key, self.get(name)?.to_owned()))).collect()
        };
        match (self.get("AWS_ACCESS_KEY_ID"), self.get("AWS_SECRET_ACCESS_KEY")) {
            (Some(_), Some(_)) => {
                let names = [
                    ("AWS_ACCESS_KEY_ID", Key::AccessKeyId),
                    ("AWS_SECRET_ACCESS_KEY", Key::SecretAccessKey),
                    ("AWS_SESSION_TOKEN", Key::Token),
                ];
                // They are sent in headers.
                let is_visible = |value: &str| value.bytes().all(|byte| byte.is_ascii_graphic());
                for name in ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"] {
                    if !self.get(name).is_none_or(is_visible) {
                        return Err(wrong(name, "a value that is not repeated here", "visible ASCII characters"));
                    }
                }
                return Ok((pairs(&names), "the keys of AWS_ACCESS_KEY_ID"));
            }
            (Some(_), None) => {
                return Err(wrong("AWS_SECRET_ACCESS_KEY", "nothing", "required with AWS_ACCESS_KEY_ID"));
            }
            (None, Some(_)) => {
                return Err(wrong("AWS_ACCESS_KEY_ID", "nothing", "required with AWS_SECRET_ACCESS_KEY"));
            }
            (None, None) => {}
        }
        let web_identity = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
            ("AWS_ROLE_ARN", Key::RoleArn),
            ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
        ];
        if self.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
            if self.get("AWS_ROLE_ARN").is_none() {
                return Err(wrong("AWS_ROLE_ARN", "nothing", "required with AWS_WEB_IDENTITY_TOKEN_FILE"));
            }
            return Ok((pairs(&web_identity), "the web identity of AWS_WEB_IDENTITY_TOKEN_FILE"));
        }
        let relative = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri)];
        if let Some(value) = self.get(relative[0].0) {
            let url = reqwest::Url::parse(&format!("http://169.254.170.2{value}"));
            let is_path = value.starts_with('/') && !value.contains(['@', '\\']);
            if !is_path || !url.is_ok_and(|url| url.host_str() == Some("169.254.170.2")) {
                return Err(wrong(relative[0].0, "a value that is not repeated here", "a path that begins with /"));
            }
            return Ok((pairs(&relative), "the container's credentials of AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"));
        }
        let full = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
        ];
        if full.iter().all(|(name, _)| self.get(name).is_some()) {
            if !self.get(full[0].0).is_some_and(is_container_url) {
                return Err(wrong(
                    full[0].0,
                    "a URL that is not repeated here",
                    "https://, or http:// to this machine, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23], without user info",
                ));
            }
            return Ok((pairs(&full), "the container's credentials of AWS_CONTAINER_CREDENTIALS_FULL_URI"));
        }
        let metadata = self.endpoint(&["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_METADATA_ENDPOINT"])?;
        let metadata = metadata.map(|endpoint| (Key::MetadataEndpoint, endpoint));
        Ok((metadata.into_iter().collect(), "the instance's metadata"))
    }
}

/// Whether keys may be asked for there: what is not encrypted does not leave the machine.
fn is_container_url(url: &str) -> bool {
    let Ok(parsed) = reqwest::Url::parse(url) else { return false };
    let host = parsed.host_str().unwrap_or_default();
    let is_near = is_loopback(host) || matches!(host, "169.254.170.2" | "169.254.170.23" | "[fd00:ec2::23]");
    let is_safe = parsed.scheme() == "https" || parsed.scheme() == "http" && is_near;
    // Also what another parser would take for user info.
    is_safe && !host.is_empty() && !url.contains(['@', '\\'])
}

/// Whether a host of a URL is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

fn wrong(name: &str, given: &str, allowed: &str) -> Error {
    Error::setting(format!("{name}: given {given}, allowed: {allowed}"))
}

/// The name of a region; it becomes a part of host names.
fn check_region(name: &str, value: &str) -> Result<String, Error> {
    let fits = (1..=32).contains(&value.len());
    if fits && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Ok(value.to_owned());
    }
    Err(wrong(name, &format!("{:?}", super::answer::clean(value, 40)), "a region such as eu-central-1"))
}

impl Bucket {
    /// # Errors
    ///
    /// Names the variable that is missing or wrong.
    pub(crate) fn new(url: BucketUrl, options: BucketOptions, vars: &AwsVars) -> Result<Self, Error> {
        let given = vars.endpoint(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])?;
        let region = match &options.region {
            Some(region) => Some(check_region("export region", region)?),
            None => vars.region()?,
        };
        let region = match (region, &given) {
            (Some(region), _) => region,
            // Servers of others have none, and sign with this one.
            (None, Some(_)) => "us-east-1".to_owned(),
            (None, None) => {
                return Err(wrong(
                    "AWS_REGION",
                    "nothing",
                    "the bucket's region such as eu-central-1, required for s3:// without AWS_ENDPOINT_URL_S3",
                ));
            }
        };
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let sts = vars.endpoint(&["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"])?;
        let (keys, source) = vars.keys()?;
        Ok(Self {
            url,
            endpoint: given.unwrap_or_else(|| format!("https://s3.{region}.{domain}")),
            sts: sts.unwrap_or_else(|| format!("https://sts.{region}.{domain}")),
            region,
            keys,
            source,
            options,
        })
    }

    /// The secrets that no message may repeat.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let of_keys = self.keys.iter().filter(|(key, _)| matches!(key, Key::SecretAccessKey | Key::Token));
        of_keys.map(|(_, value)| &**value).chain(self.options.external_id.as_deref())
    }

    /// Whether its keys are those of variables, which do not change.
    pub(super) fn has_keys(&self) -> bool {
        self.keys.iter().any(|(key, _)| matches!(key, Key::AccessKeyId))
    }

    /// The server and port of the environment at which keys are asked for.
    pub(super) fn keys_at(&self) -> Option<String> {
        let of_keys = [Key::MetadataEndpoint, Key::ContainerCredentialsFullUri];
        let (_, url) = self.keys.iter().find(|(key, _)| of_keys.contains(key))?;
        Some(url.parse::<Uri>().ok()?.authority()?.as_str().to_owned())
    }

    /// A builder with keys, region and endpoint. It never tries anything again by itself: each attempt is decided on here.
    pub(super) fn builder(&self, answers: &Answers) -> AmazonS3Builder {
        let builder = AmazonS3Builder::new()
            .with_bucket_name(&self.url.bucket)
            .with_region(&self.region)
            .with_endpoint(&self.endpoint)
            .with_config(Key::StsEndpoint, &self.sts)
            .with_client_options(ClientOptions::new().with_allow_http(self.endpoint.starts_with("http://")))
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Connector { answers: answers.clone(), keys_at: self.keys_at() });
        self.keys.iter().fold(builder, |builder, (key, value)| builder.with_config(*key, value))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::export::s3) fn bucket(vars: &[(&str, &str)]) -> Result<Bucket, String> {
        let vars = AwsVars::read(vars.iter().map(|(name, value)| (name.into(), value.into()))).unwrap();
        let url = BucketUrl { bucket: "acme-logs".into(), prefix: "app".into() };
        Bucket::new(url, BucketOptions::default(), &vars).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_come_from_the_usual_variables_in_the_usual_order() {
        let region = ("AWS_REGION", "eu-central-1");
        let keys = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "hunter22")];
        let identity =
            [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/app")];
        let source = |vars: &[(&str, &str)]| bucket(&[vars, &[region]].concat()).map(|bucket| bucket.source);
        assert_eq!(source(&[keys, identity].concat()), Ok("the keys of AWS_ACCESS_KEY_ID"));
        assert_eq!(source(&identity), Ok("the web identity of AWS_WEB_IDENTITY_TOKEN_FILE"));
        let relative = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")];
        assert_eq!(source(&relative), Ok("the container's credentials of AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"));
        assert_eq!(source(&[("AWS_ACCESS_KEY_ID", "")]), Ok("the instance's metadata"));
        for (vars, named) in
            [(&keys[..1], "AWS_SECRET_ACCESS_KEY"), (&keys[1..], "AWS_ACCESS_KEY_ID"), (&identity[..1], "AWS_ROLE_ARN")]
        {
            let error = source(vars).unwrap_err();
            assert!(error.contains(&format!("{named}: given nothing")) && !error.contains("hunter22"), "{error}");
        }
        let debug = format!("{:?}", bucket(&[&keys[..], &[region]].concat()).unwrap());
        assert!(!debug.contains("hunter22"), "{debug}");
    }

    #[test]
    fn keys_of_a_container_are_asked_for_only_where_they_are_safe() {
        let source = |vars: &[(&str, &str)]| bucket(&[vars, &[("AWS_REGION", "eu-central-1")]].concat());
        let full = |url: &str| {
            let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token");
            source(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url), token]).map(|bucket| bucket.keys_at().unwrap())
        };
        for (url, at) in [
            ("http://169.254.170.23/v1/credentials", "169.254.170.23"),
            ("http://[fd00:ec2::23]/v1/credentials", "[fd00:ec2::23]"),
            ("http://localhost:8080/x", "localhost:8080"),
            ("http://127.0.0.1/x", "127.0.0.1"),
            ("http://[::1]:80/x", "[::1]:80"),
            ("https://keys.example.com/x?y=z", "keys.example.com"),
        ] {
            assert_eq!(full(url), Ok(at.to_owned()));
        }
        for url in
            ["http://keys.example.com/x", "http://169.254.170.2@evil/x", "https://a@b/x", "ftp://127.0.0.1/", "/x"]
        {
            let error = full(url).unwrap_err();
            assert!(
                error.starts_with("AWS_CONTAINER_CREDENTIALS_FULL_URI: given ") && !error.contains("evil"),
                "{error}"
            );
        }
        let relative = |path: &str| source(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path)]).map(drop);
        assert_eq!(relative("/v2/credentials/1234-abcd"), Ok(()));
        for path in ["@evil/x", ".evil/x", ":80@evil/x", "/x@evil", "0/x"] {
            let error = relative(path).unwrap_err();
            assert!(
                error.starts_with("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: given ") && !error.contains("evil"),
                "{error}"
            );
        }
    }

    #[test]
    fn endpoints_follow_from_the_region_unless_they_are_given() {
        let ends = |vars: &[(&str, &str)]| bucket(vars).map(|bucket| (bucket.endpoint, bucket.sts));
        let pair = |s3: &str, sts: &str| Ok((s3.to_owned(), sts.to_owned()));
        assert_eq!(
            ends(&[("AWS_REGION", "eu-central-1")]),
            pair("https://s3.eu-central-1.amazonaws.com", "https://sts.eu-central-1.amazonaws.com")
        );
        assert_eq!(
            ends(&[("AWS_DEFAULT_REGION", "cn-north-1")]),
            pair("https://s3.cn-north-1.amazonaws.com.cn", "https://sts.cn-north-1.amazonaws.com.cn")
        );
        assert_eq!(
            ends(&[("AWS_ENDPOINT_URL", "http://minio:9000/"), ("AWS_ENDPOINT_URL_STS", "https://sts.example.com")]),
            pair("http://minio:9000", "https://sts.example.com")
        );
        assert!(ends(&[]).unwrap_err().contains("AWS_REGION: given nothing"));
        for (name, value) in [
            ("AWS_ENDPOINT_URL_S3", "ftp://x"),
            ("AWS_ENDPOINT_URL_S3", "minio:9000"),
            ("AWS_ENDPOINT_URL", "http://x/path"),
            ("AWS_ENDPOINT_URL_S3", "http://minio:90000"),
            ("AWS_ENDPOINT_URL", "http://10.0.0.999"),
            ("AWS_ENDPOINT_URL_S3", "http://key:hunter22@x"),
            ("AWS_ENDPOINT_URL_S3", "http://x/?token=hunter22"),
            ("AWS_REGION", "eu central"),
        ] {
            let error = ends(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{name}: given ")) && !error.contains("hunter22"), "{error}");
        }
    }
}
