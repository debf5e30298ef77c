//! Keys: those of the environment or the machine, and with them those of a role, asked for again before they end.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, header};
use jiff::Timestamp;
use object_store::ClientOptions;
use object_store::CredentialProvider;
use object_store::aws::{AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest};

use super::answer::{Answer, Answers, clean, element, whole};
use super::client::Connector;
use super::target::Bucket;
use crate::export::report::Failure;

/// The name of a session in the trail of the role's owner.
const SESSION: &str = "tower-audit";
/// How long before its end a key is not used any more, at most.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// No role is given for longer.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

/// Gives the keys of the next request.
#[derive(Debug)]
pub(super) struct Credentials {
    /// Of the environment or the machine.
    base: AwsCredentialProvider,
    answers: Answers,
    bucket: Bucket,
    role: Option<Role>,
}

/// A role that is assumed.
#[derive(Debug)]
struct Role {
    arn: String,
    external_id: Option<ExternalId>,
    region: String,
    sts: String,
    client: HttpClient,
    /// The role's keys, and until when they are used.
    current: Option<(Arc<AwsCredential>, Instant)>,
}

struct ExternalId(String);

impl std::fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExternalId")
    }
}

/// Hands to `object_store` what was asked for here, so that each failure names its step.
#[derive(Debug, Default)]
pub(super) struct Handed(Mutex<Option<Arc<AwsCredential>>>);

impl Handed {
    pub(super) fn set(&self, keys: Arc<AwsCredential>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }

    pub(super) fn get(&self) -> Option<Arc<AwsCredential>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CredentialProvider for Handed {
    type Credential = AwsCredential;

    fn get_credential<'life, 'call>(
        &'life self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'call>>
    where
        'life: 'call,
        Self: 'call,
    {
        let keys = self
            .get()
            .ok_or_else(|| object_store::Error::Generic { store: "S3", source: "no keys were handed over".into() });
        Box::pin(std::future::ready(keys))
    }
}

impl Credentials {
    pub(super) fn new(bucket: &Bucket) -> Result<Self, Failure> {
        let answers = Answers::default();
        let base = base(bucket, &answers)?;
        let role = bucket.options.role_arn.clone().map(|arn| {
            let options = ClientOptions::new().with_allow_http(bucket.sts.starts_with("http://"));
            let client = Connector { answers: answers.clone(), keys_at: None }
                .connect(&options)
                .map_err(|error| cannot(&error))?;
            let external_id = bucket.options.external_id.clone().map(ExternalId);
            let (region, sts) = (bucket.region.clone(), bucket.sts.clone());
            Ok(Role { arn, external_id, region, sts, client, current: None })
        });
        Ok(Self { base, answers, bucket: bucket.clone(), role: role.transpose()? })
    }

    /// The keys for a request that is sent now.
    pub(super) async fn get(&mut self) -> Result<Arc<AwsCredential>, Failure> {
        let now = Instant::now();
        if let Some((keys, until)) = self.role.as_ref().and_then(|role| role.current.as_ref())
            && now < *until
        {
            return Ok(keys.clone());
        }
        let base = self.base().await?;
        let Some(role) = &mut self.role else { return Ok(base) };
        match role.assume(&base, &self.answers).await {
            // Those of a machine are kept there for as long as they seemed to be valid when they came.
            Err(NotAssumed { have_keys_ended: true, .. }) if !self.bucket.has_keys() => {
                self.renew_base()?;
                let base = self.base().await?;
                let Some(role) = &mut self.role else { return Ok(base) };
                role.assume(&base, &self.answers).await
            }
            assumed => assumed,
        }
        .map_err(|not_assumed| not_assumed.failure)
    }

    async fn base(&self) -> Result<Arc<AwsCredential>, Failure> {
        self.answers.take();
        self.base.get_credential().await.map_err(|error| {
            let why = self.answers.take().map_or_else(|| clean(&error.to_string(), 300), |answer| answer.brief());
            Failure::new(format!("cannot get {}", self.bucket.source), &why)
        })
    }

    fn renew_base(&mut self) -> Result<(), Failure> {
        self.base = base(&self.bucket, &self.answers)?;
        Ok(())
    }

    /// What [`Credentials::get`] does, for an error.
    pub(super) fn step(&self) -> String {
        match &self.role {
            None => format!("cannot get {}", self.bucket.source),
            Some(role) => format!("cannot get {}, or assume the role {}", self.bucket.source, role.arn),
        }
    }

    /// A server did not take the keys: the next request gets new ones. Whether there are any to get; those of the machine are
    /// asked for again only the first time.
    pub(super) fn forget(&mut self, is_first: bool) -> bool {
        let had_role = self.role.as_mut().and_then(|role| role.current.take()).is_some();
        let has_new_base = is_first && !self.bucket.has_keys() && self.renew_base().is_ok();
        had_role || has_new_base
    }
}

/// Gives keys of the environment or the machine; none are kept from before.
fn base(bucket: &Bucket, answers: &Answers) -> Result<AwsCredentialProvider, Failure> {
    Ok(bucket.builder(answers).build().map_err(|error| cannot(&error))?.credentials().clone())
}

fn cannot(error: &object_store::Error) -> Failure {
    Failure::new("cannot make an HTTP client", &whole(error))
}

/// A role was not given.
struct NotAssumed {
    failure: Failure,
    /// Those it was asked for with.
    have_keys_ended: bool,
}

impl From<Failure> for NotAssumed {
    fn from(failure: Failure) -> Self {
        Self { failure, have_keys_ended: false }
    }
}

impl Role {
    async fn assume(&mut self, base: &AwsCredential, answers: &Answers) -> Result<Arc<AwsCredential>, NotAssumed> {
        let step = format!("cannot assume the role {} at {}", self.arn, self.sts);
        let request = self.request(base).map_err(|why| Failure::new(&step, &why))?;
        let sent = self.client.execute(request).await;
        let answer = answers.take();
        let external_id = self.external_id.as_ref().map_or("", |id| &*id.0);
        let secrets = [&*base.secret_key, base.token.as_deref().unwrap_or_default(), external_id];
        let explained = answer.as_ref().map_or_else(|| "no answer".to_owned(), |answer| answer.explain(&secrets));
        let body = match sent {
            Ok(response) if response.status().is_success() => response.into_body().bytes().await.ok(),
            _ => {
                let have_keys_ended = answer.as_ref().is_some_and(have_ended);
                return Err(NotAssumed { failure: Failure::new(&step, &explained), have_keys_ended });
            }
        };
        let body = body.unwrap_or_default();
        let (keys, until) = read(&String::from_utf8_lossy(&body), SystemTime::now())
            .ok_or_else(|| Failure::because(format!("{step}: answered 200 without keys: is it an STS?")))?;
        let keys = Arc::new(keys);
        self.current = Some((keys.clone(), Instant::now() + until));
        Ok(keys)
    }

    /// `AssumeRole` of the AWS STS API, version 2011-06-15, signed.
    fn request(&self, base: &AwsCredential) -> Result<HttpRequest, String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", "AssumeRole").append_pair("Version", "2011-06-15");
        form.append_pair("RoleArn", &self.arn).append_pair("RoleSessionName", SESSION);
        if let Some(ExternalId(id)) = &self.external_id {
            form.append_pair("ExternalId", id);
        }
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(format!("{}/", self.sts))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"));
        let mut request = request.body(form.finish().into()).map_err(|error| error.to_string())?;
        AwsAuthorizer::new(base, "sts", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|_| "the request cannot be signed".to_owned())?;
        Ok(request)
    }
}

/// The keys of an answer, and how long they are used.
fn read(xml: &str, now: SystemTime) -> Option<(AwsCredential, Duration)> {
    let text = |name: &str| element(xml, name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let is_header = |text: &String| HeaderValue::from_str(text).is_ok();
    let keys = AwsCredential {
        key_id: text("AccessKeyId").filter(is_header)?,
        secret_key: text("SecretAccessKey")?,
        token: Some(text("SessionToken").filter(is_header)?),
    };
    let ends: SystemTime = text("Expiration")?.parse::<Timestamp>().ok()?.into();
    // A clock that is slow does not make them last.
    let left = ends.duration_since(now).unwrap_or_default().min(LONGEST);
    Some((keys, left - MARGIN.min(left / 4)))
}

/// Whether a server says that keys have ended.
pub(super) fn have_ended(answer: &Answer) -> bool {
    matches!(answer.code(), "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const XML: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>
        <AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>a/b+c=</SecretAccessKey>
        <SessionToken>t+/=&amp;</SessionToken><Expiration>2026-11-21T01:00:00Z</Expiration></Credentials></AssumeRoleResult>
        </AssumeRoleResponse>";

    #[test]
    fn keys_are_used_until_shortly_before_they_end() {
        let used = |now: &str| {
            let (keys, used) = read(XML, now.parse::<Timestamp>().unwrap().into()).unwrap();
            assert_eq!((&*keys.key_id, &*keys.secret_key, keys.token.as_deref()), ("ASIA1", "a/b+c=", Some("t+/=&")));
            used.as_secs()
        };
        assert_eq!(used("2026-11-21T00:00:00Z"), 55 * 60);
        assert_eq!(used("2026-11-21T00:59:00Z"), 45);
        assert_eq!(used("2026-11-21T02:00:00Z"), 0);
        assert_eq!(used("2016-11-21T00:00:00Z"), (12 * 60 - 5) * 60, "the clock was wrong");
    }

    #[test]
    fn an_answer_without_keys_is_none() {
        let now = SystemTime::now();
        for cut in ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"] {
            assert!(read(&XML.replace(cut, "Other"), now).is_none(), "{cut}");
        }
        assert!(read(&XML.replace("2026-11-21T01:00:00Z", "soon"), now).is_none());
        assert!(read(&XML.replace("ASIA1", "A\nB"), now).is_none());
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(text in any::<String>(), ends in any::<String>()) {
            let _ = read(&text, SystemTime::now());
            let _ = read(&XML.replace("2026-11-21T01:00:00Z", &ends), SystemTime::now());
        }
    }
}
