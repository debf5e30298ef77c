//! The published lists of phrases. `guide::redaction` shows all of them; a test compares the two.

/// Always secret. Strings and numbers under these keys are masked, in objects and lists too.
pub(in crate::redact) const ALWAYS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pass",
    "pwd",
    "secret",
    "private key",
    "secret key",
    "secret access key",
    "pre shared key",
    "psk",
    "seed phrase",
    "recovery phrase",
    "mnemonic",
    "connection string",
    "security answer",
];

/// Codes. Strings and numbers under these keys are masked, alone or in a list. Objects are read by their own keys.
pub(in crate::redact) const CODES: &[&str] = &[
    "pin",
    "pin code",
    "otp",
    "totp",
    "cvv",
    "cvc",
    "csc",
    "card security code",
    "card number",
    "ssn",
    "social security number",
    "iban",
];

/// Secret as text. Strings of six or more bytes under these keys are masked, alone or in a list. Objects are read by their own
/// keys; numbers, booleans, null and links show.
pub(in crate::redact) const AS_TEXT: &[&str] = &[
    "token",
    "token code",
    "api key",
    "access key",
    "account key",
    "activation key",
    "app key",
    "encryption key",
    "master key",
    "server key",
    "session key",
    "signing key",
    "unlock key",
    "write key",
    "session id",
    "credential",
    "authorization",
    "auth",
    "auth header",
    "bearer",
    "cookie",
    "jwt",
    "csrf",
    "xsrf",
    "assertion",
    "saml response",
    "code verifier",
    "authorization code",
    "auth code",
    "backup code",
    "recovery code",
    "verification code",
    "salt",
    "hmac",
    "dsn",
    "pem",
];

/// Words at the end of a key that only say how its value is written.
pub(in crate::redact) const DROPPED: &[&str] = &[
    "value",
    "hash",
    "text",
    "string",
    "plaintext",
    "base64",
    "hex",
    "raw",
    "confirmation",
    "confirm",
    "repeat",
    "again",
    "old",
    "new",
];

/// Keys that end like a secret and are none: tokens that mark a page or a repetition.
pub(in crate::redact) const HARMLESS: &[&str] = &[
    "next token",
    "previous token",
    "prev token",
    "continuation token",
    "page token",
    "pagination token",
    "skip token",
    "delta token",
    "change token",
    "creation token",
    "request token",
    "idempotency token",
];

/// Keys of objects whose keys show while each leaf in them is masked, as `mask_values_under` adds more.
pub(in crate::redact) const MASK_VALUES_UNDER: &[&str] = &["secrets"];
