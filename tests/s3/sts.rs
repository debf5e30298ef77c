//! An STS that gives short-lived keys for a role, to whom the role trusts: it checks the signature, the role and the external id.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{Answer, Seen, State, answer};

pub(crate) const ROLE: &str = "arn:aws:iam::995557609558:role/CloudsmithLogsWriter";

/// The role of a service account.
pub(crate) const NODE_ROLE: &str = "arn:aws:iam::111122223333:role/exporter";

/// The role, and what became of it.
#[derive(Debug)]
pub(crate) struct Sts {
    pub(crate) external_id: String,
    pub(crate) region: String,
    /// How long keys are valid.
    pub(crate) lifetime: Duration,
    /// Keys that were given, in their order.
    pub(crate) given: Vec<String>,
    /// Instead of keys.
    pub(crate) answers: Option<(u16, &'static str)>,
    /// Of the service account that may take the role [`NODE_ROLE`].
    pub(crate) web_token: String,
    /// Those that were sent, in their order.
    pub(crate) web_tokens: Vec<String>,
}

impl Default for Sts {
    fn default() -> Self {
        Self {
            external_id: "acme-8f1c".to_owned(),
            region: "us-east-1".to_owned(),
            lifetime: Duration::from_secs(3_600),
            given: Vec::new(),
            answers: None,
            web_token: String::new(),
            web_tokens: Vec::new(),
        }
    }
}

impl State {
    /// `AssumeRole`, version 2011-06-15.
    pub(super) fn assume_role(&mut self, seen: &Seen, body: &Bytes) -> Result<Answer, (u16, &'static str)> {
        if let Some((status, body)) = self.sts.answers {
            return Ok(answer(status, body));
        }
        self.check_signature(seen, body)?;
        let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        let value = |name: &str| form.iter().find(|(of, _)| of == name).map(|(_, value)| &**value);
        if (value("Action"), value("Version")) != (Some("AssumeRole"), Some("2011-06-15")) {
            return Err((400, "InvalidAction"));
        }
        let is_name = |name: &str| (2..=64).contains(&name.len());
        if !value("RoleSessionName").is_some_and(is_name) {
            return Err((400, "ValidationError"));
        }
        if value("RoleArn") != Some(ROLE) || value("ExternalId") != Some(&self.sts.external_id) {
            return Err((403, "AccessDenied"));
        }
        Ok(self.give("AssumeRole"))
    }

    /// `AssumeRoleWithWebIdentity`, version 2011-06-15, which is not signed: the token is what is believed.
    pub(super) fn assume_role_with_web_identity(&mut self, seen: &Seen) -> Result<Answer, (u16, &'static str)> {
        let form: Vec<(String, String)> = form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect();
        let value = |name: &str| form.iter().find(|(of, _)| of == name).map(|(_, value)| &**value);
        if (value("Action"), value("Version")) != (Some("AssumeRoleWithWebIdentity"), Some("2011-06-15")) {
            return Err((400, "InvalidAction"));
        }
        let token = value("WebIdentityToken").unwrap_or_default().to_owned();
        self.sts.web_tokens.push(token.clone());
        if token.is_empty() {
            return Err((400, "ValidationError"));
        }
        if token != self.sts.web_token {
            let said =
                format!("<Error><Code>InvalidIdentityToken</Code><Message>{token} is not valid</Message></Error>");
            return Ok(answer(400, said));
        }
        if value("RoleArn") != Some(NODE_ROLE) || value("RoleSessionName") != Some("exporter-1") {
            return Err((403, "AccessDenied"));
        }
        Ok(self.give("AssumeRoleWithWebIdentity"))
    }

    /// New keys, which the server takes from now on.
    fn give(&mut self, action: &str) -> Answer {
        let number = self.sts.given.len() + 1;
        let (key, secret, token) = (format!("ASIA{number}"), format!("s3cret/{number}"), format!("t0ken+{number}="));
        self.keys.insert(key.clone(), secret.clone());
        self.tokens.insert(key.clone(), token.clone());
        self.sts.given.push(key.clone());
        let ends = Timestamp::try_from(SystemTime::now() + self.sts.lifetime).unwrap();
        answer(
            200,
            format!(
                "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><AssumedRoleUser>\
                 <Arn>x</Arn></AssumedRoleUser><Credentials><AccessKeyId>{key}</AccessKeyId>\
                 <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>\
                 <Expiration>{ends:.0}</Expiration></Credentials></{action}Result></{action}Response>"
            ),
        )
    }

    /// AWS Signature Version 4, as its documentation computes it.
    fn check_signature(&self, seen: &Seen, body: &Bytes) -> Result<(), (u16, &'static str)> {
        let invalid = (403, "SignatureDoesNotMatch");
        let authorization = seen.header("authorization").ok_or((403, "MissingAuthenticationToken"))?;
        let part = |name: &str| {
            let rest = authorization.split_once(&format!("{name}=")).map(|(_, rest)| rest);
            rest.map(|rest| rest.split(',').next().unwrap_or_default().trim()).ok_or(invalid)
        };
        let (credential, names, signature) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
        let (key, scope) = credential.split_once('/').ok_or(invalid)?;
        let secret = self.keys.get(key).ok_or((403, "InvalidClientTokenId"))?;
        let time = seen.header("x-amz-date").ok_or(invalid)?;
        if scope != format!("{}/{}/sts/aws4_request", &time[..8], self.sts.region)
            || !["host", "x-amz-date", "x-amz-content-sha256"].iter().all(|name| names.split(';').any(|of| of == *name))
        {
            return Err(invalid);
        }
        let mut headers = String::new();
        for name in names.split(';') {
            headers += &format!("{name}:{}\n", seen.header(name).ok_or(invalid)?.trim());
        }
        let request = format!("POST\n/\n\n{headers}\n{names}\n{}", hex(&Sha256::digest(body)));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(request)));
        let seed = format!("AWS4{secret}").into_bytes();
        let signing = scope.split('/').fold(seed, |key, part| hmac(&key, part));
        if hex(&hmac(&signing, &to_sign)) == signature { Ok(()) } else { Err(invalid) }
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
