//! The words of the published rule. All of them are lower case and ASCII: a key that is not is folded first.
//!
//! They are listed for users in `src/guide/redaction.md`; a test compares the two.

/// A key is secret if its words, joined, contain one of these.
pub(in crate::redact) const LONG: &[&str] = &[
    "accesskey",
    "accountkey",
    "adgangskode",
    "apikey",
    "assertion",
    "authcode",
    "authheader",
    "authkey",
    "authorization",
    "backupcode",
    "bearer",
    "cardnumber",
    "codeverifier",
    "connectionstring",
    "contrasena",
    "contrasenya",
    "cookie",
    "credential",
    "creditcard",
    "csrf",
    "devicecode",
    "encryptionkey",
    "geheimnis",
    "jwt",
    "katasandi",
    "kennwort",
    "kubeconfig",
    "licensekey",
    "losenord",
    "lozinka",
    "masterkey",
    "matkhau",
    "mfacode",
    "mnemonic",
    "motdepasse",
    "onetimecode",
    "paroladordine",
    "passcode",
    "passkey",
    "passphrase",
    "passwd",
    "password",
    "passwort",
    "passwrd",
    "phpsessid",
    "pincode",
    "privatekey",
    "privkey",
    "recoverycode",
    "salasana",
    "samlresponse",
    "schluessel",
    "schlussel",
    "secret",
    "securitycode",
    "seedphrase",
    "segreto",
    "sessionid",
    "sessionkey",
    "sharedkey",
    "signature",
    "signingkey",
    "socialsecurity",
    "sshkey",
    "token",
    "verificationcode",
    "wachtwoord",
    "wpnonce",
    "xsrf",
];

/// A key is secret if one of its words is one of these. At most eight letters each.
///
/// `salt` is one, because whoever has it and a hash can begin to guess; `nonce` is none: it is used once, and in most
/// interfaces it is an ordinary number. `pass` is one wherever it stands alone, in `boarding_pass` too.
pub(in crate::redact) const SHORT: &[&str] = &[
    "adminpwd", "auth", "clave", "claves", "cred", "creds", "csc", "cvc", "cvv", "dbpass", "dbpwd", "dsn", "ftppass",
    "ftppwd", "haslo", "heslo", "hmac", "hotp", "iban", "jelszo", "jeton", "jetons", "jwe", "jwk", "jws", "key",
    "keys", "loginpwd", "mypass", "mypwd", "newpass", "newpwd", "oauth", "oldpass", "oldpwd", "otp", "otps", "parola",
    "parolasi", "pass", "passord", "passw", "pem", "pfx", "pin", "pins", "psk", "pswd", "pw", "pwd", "pwdhash", "pwds",
    "rootpass", "rootpwd", "salt", "senha", "senhas", "sessid", "sifre", "sifresi", "sig", "smtppass", "smtppwd",
    "ssn", "totp", "userpass", "userpwd",
];

/// A key is secret if its last word is one of these: `session` and `user_session` hold what signs a user in, be it a text
/// or an object, while `session_start` and `mfaMethod` tell about it. At most eight letters each.
pub(in crate::redact) const LAST: &[&str] = &["mfa", "sess", "session", "sid"];

/// If only these follow the last match, what stands under the key describes a secret and is none.
/// Besides them `expires at` and `expires in`. `webhook_url` has no match before it, so it shows: of the makes whose URLs
/// are secrets, the value gives itself away.
pub(in crate::redact) const HARMLESS: &[&str] = &[
    "id", "ids", "name", "type", "kind", "count", "policy", "length", "limit", "ttl", "expiry", "expires", "status",
    "version", "url", "enabled", "required",
];

/// Words that contain a listed one and mean something else.
pub(in crate::redact) const INNOCENT: &[&str] = &[
    "passwordless",
    "schluesselwoerter",
    "schluesselwort",
    "schlusselwort",
    "schlusselworter",
    "secretaire",
    "secretaires",
    "secretaria",
    "secretariado",
    "secretarial",
    "secretarias",
    "secretariat",
    "secretaries",
    "secretario",
    "secretarios",
    "secretary",
    "secretion",
    "tokenisation",
    "tokenise",
    "tokenised",
    "tokeniser",
    "tokenisieren",
    "tokenisierung",
    "tokenizacion",
    "tokenization",
    "tokenize",
    "tokenized",
    "tokenizer",
    "tokenizers",
    "tokenizing",
    "undersecretary",
];
