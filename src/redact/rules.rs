//! Which keys are secret: the published rule, applied to one key at a time in one pass over it.
//!
//! A key is split into words at case changes and at everything that is not a letter. It is secret if its
//! words joined contain one of [`LONG`], or if one of its words (or a run of letters whatever their case)
//! is one of [`SHORT`], or the last of them is one of [`LAST`], unless words follow the last match and all of
//! them are in [`HARMLESS`]: `token_id` shows, `tokenValue` does not. [`INNOCENT`] words only look like a match.
//! A key that is not ASCII is read as it is, then as it looks, then as the other languages of [`foreign`] read it.

mod foreign;
mod words;

use std::collections::HashSet;
use std::fmt;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::{Anchored, dfa::DFA};
use percent_encoding::percent_decode_str;

use super::hit::HitRule;
use crate::Error;
use words::{HARMLESS, INNOCENT, LAST, LONG, SHORT};

/// How often a key is percent-decoded to see what it says.
const DECODINGS: usize = 4;
/// How many words an application may add: each is tried at each word of each key.
const MAX_ADDED: usize = 256;

/// What a key says of the value under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Plain,
    /// It is one secret, whatever its shape.
    Secret,
    /// It is a bag of secrets: keys stay, leaves do not.
    Bag,
}

impl Verdict {
    /// What hits a value under such a key.
    pub(super) fn rule(self) -> Option<HitRule> {
        match self {
            Self::Plain => None,
            Self::Secret => Some(HitRule::Key),
            Self::Bag => Some(HitRule::Bag),
        }
    }
}

/// Names by which values are secret, or excepted, compiled.
pub(super) struct KeyRules {
    long: DFA,
    start: StateID,
    added: Vec<Box<[u8]>>,
    /// Added words that are not written in Latin letters.
    added_foreign: Vec<Box<str>>,
    own: Names,
}

/// Bags and exceptions: of a redactor, or of one event.
#[derive(Debug, Default)]
pub(super) struct Names {
    bags: Vec<Box<[u8]>>,
    except: HashSet<Box<str>>,
}

impl Names {
    pub(super) fn new<'n>(
        bags: impl IntoIterator<Item = &'n str>,
        except: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, Error> {
        let bags = bags.into_iter().map(|bag| compact(bag, "bag")).collect::<Result<_, _>>()?;
        let mut names = Self { bags, except: HashSet::new() };
        for name in except {
            if name.is_empty() {
                return Err(Error::redaction("redaction: an exception without a name"));
            }
            names.except.insert(name.into());
        }
        Ok(names)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bags.is_empty() && self.except.is_empty()
    }

    fn excepts(&self, key: &str) -> bool {
        !self.except.is_empty() && self.except.contains(key)
    }

    fn is_bag(&self, key: &[u8]) -> bool {
        self.bags.iter().any(|bag| letters_and_digits(key).eq(bag.iter().copied()))
    }
}

impl KeyRules {
    pub(super) fn new(added: &[String], own: Names) -> Result<Self, Error> {
        if added.len() > MAX_ADDED {
            let given = added.len();
            return Err(Error::redaction(format!(
                "redaction: {given} secret keys added, at most {MAX_ADDED} are allowed"
            )));
        }
        let long = DFA::new(LONG)
            .map_err(|cause| Error::redaction("redaction: the key words do not compile").with_source(cause))?;
        let start = long
            .start_state(Anchored::No)
            .map_err(|cause| Error::redaction("redaction: the key words have no start").with_source(cause))?;
        let mut rules = Self { long, start, added: Vec::new(), added_foreign: Vec::new(), own };
        for word in added {
            rules.add(word)?;
        }
        Ok(rules)
    }

    /// Adds a word as it looks.
    fn add(&mut self, word: &str) -> Result<(), Error> {
        let letters = foreign::letters(&foreign::fold(word));
        if letters.is_empty() {
            return Err(Error::redaction(format!("redaction: the secret key {word:?} has no letter to match by")));
        }
        if letters.is_ascii() {
            self.added.push(letters.into_bytes().into());
        } else {
            self.added_foreign.push(letters.into());
        }
        Ok(())
    }

    /// What a key says, read as it is and percent-decoded, to this redactor.
    pub(super) fn verdict(&self, key: &str) -> Verdict {
        self.verdict_of_all_readings(key, None)
    }

    /// The same with what an event adds, once it is known without.
    pub(super) fn verdict_for(&self, key: &str, own: Verdict, event: &Names) -> Verdict {
        if key.as_bytes().contains(&b'%') {
            return self.verdict_of_all_readings(key, Some(event));
        }
        match own {
            Verdict::Bag => Verdict::Bag,
            _ if event.is_bag(key.as_bytes()) => Verdict::Bag,
            Verdict::Secret if event.excepts(key) => Verdict::Plain,
            own => own,
        }
    }

    fn verdict_of_all_readings(&self, key: &str, event: Option<&Names>) -> Verdict {
        if !key.as_bytes().contains(&b'%') {
            return self.verdict_as_written(key, event);
        }
        if self.is_excepted(key, event) {
            return Verdict::Plain;
        }
        let mut written = key.to_owned();
        for _ in 0..DECODINGS {
            let verdict = self.verdict_as_written(&written, event);
            if verdict != Verdict::Plain {
                return verdict;
            }
            let decoded = percent_decode_str(&written).decode_utf8_lossy().into_owned();
            if decoded == written {
                return Verdict::Plain;
            }
            written = decoded;
        }
        // Encoded more often than anybody does in good faith.
        Verdict::Secret
    }

    fn verdict_as_written(&self, key: &str, event: Option<&Names>) -> Verdict {
        if self.own.is_bag(key.as_bytes()) || event.is_some_and(|event| event.is_bag(key.as_bytes())) {
            return Verdict::Bag;
        }
        if self.is_secret(key.as_bytes()) && !self.is_excepted(key, event) {
            return Verdict::Secret;
        }
        Verdict::Plain
    }

    fn is_excepted(&self, key: &str, event: Option<&Names>) -> bool {
        self.own.excepts(key) || event.is_some_and(|event| event.excepts(key))
    }

    fn is_secret(&self, key: &[u8]) -> bool {
        match self.reads_as_secret(key, OnForeign::Stop) {
            Some(secret) => secret,
            None => self.is_secret_beyond_ascii(key),
        }
    }

    /// A key that is not ASCII: as it is written, as it looks, and in other languages.
    #[cold]
    fn is_secret_beyond_ascii(&self, key: &[u8]) -> bool {
        if self.reads_as_secret(key, OnForeign::GoOn) == Some(true) {
            return true;
        }
        let folded = foreign::fold(&String::from_utf8_lossy(key));
        self.reads_as_secret(folded.as_bytes(), OnForeign::GoOn) == Some(true)
            || self.own.is_bag(folded.as_bytes())
            || foreign::names_a_secret(&folded, &self.added_foreign)
    }

    /// What the rule for ASCII says; `None` if it is to stop at the first letter of another alphabet, and there is one.
    fn reads_as_secret(&self, key: &[u8], on_foreign: OnForeign) -> Option<bool> {
        let mut reader = Reader { automaton: self.start, tail: Tail::Unmatched };
        let mut added_until = 0;
        let mut at = 0;
        let mut run = 0;
        while at < key.len() {
            if !key[at].is_ascii_alphabetic() {
                if !key[at].is_ascii() {
                    if on_foreign == OnForeign::Stop {
                        return None;
                    }
                    reader.tail = reader.tail.then_foreign();
                }
                at += 1;
                run = at;
                continue;
            }
            let end = word_end(key, at);
            if !self.added.is_empty() {
                added_until = added_until.max(self.added_end(key, at));
            }
            reader.word(self, &key[at..end], added_until >= end);
            let run_ends = key.get(end).is_none_or(|next| !next.is_ascii_alphabetic());
            if run_ends && run < at {
                reader.tail = match told_by(pack(&key[run..end])) {
                    Told::Secret => Tail::Matched,
                    Told::SecretAtTheEnd => reader.tail.at_the_end(),
                    Told::Nothing => reader.tail,
                };
            }
            at = end;
        }
        Some(reader.tail.is_secret())
    }

    /// Where the longest added word that begins with the word at `at` ends, at the end of a word; else 0.
    fn added_end(&self, key: &[u8], at: usize) -> usize {
        let mut longest = 0;
        for added in &self.added {
            let mut rest = added.iter();
            let mut wanted = rest.next();
            let mut place = at;
            while let Some(letter) = wanted {
                let Some(given) = key.get(place) else { break };
                if given.is_ascii_alphabetic() {
                    if given.to_ascii_lowercase() != *letter {
                        break;
                    }
                    wanted = rest.next();
                }
                place += 1;
            }
            if wanted.is_none() && ends_a_word(key, place) {
                longest = longest.max(place);
            }
        }
        longest
    }
}

impl fmt::Debug for KeyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRules").field("added", &self.added.len()).field("own", &self.own).finish_non_exhaustive()
    }
}

/// What to do at a letter of another alphabet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnForeign {
    Stop,
    GoOn,
}

/// How far a key has been read.
struct Reader {
    automaton: StateID,
    tail: Tail,
}

impl Reader {
    fn word(&mut self, rules: &KeyRules, word: &[u8], added: bool) {
        let mut hit = added;
        for letter in word {
            self.automaton = rules.long.next_state(Anchored::No, self.automaton, letter.to_ascii_lowercase());
            hit |= rules.long.is_match(self.automaton);
        }
        if hit && !added && is_innocent(word) {
            self.automaton = rules.start;
            hit = false;
        }
        let packed = pack(word);
        self.tail = match told_by(packed) {
            _ if hit => Tail::Matched,
            Told::Secret => Tail::Matched,
            Told::SecretAtTheEnd => self.tail.at_the_end(),
            Told::Nothing => self.tail.then(packed),
        };
    }
}

/// What has been read after the last match.
#[derive(Clone, Copy)]
enum Tail {
    Unmatched,
    Matched,
    /// A word that counts if it is the last, and nothing before it.
    AtTheEnd,
    /// Harmless words only; whether the last was `expires`.
    Harmless {
        expires: bool,
    },
    /// A word that is not harmless.
    Telling,
}

impl Tail {
    fn then(self, word: u64) -> Self {
        match self {
            Self::Unmatched | Self::AtTheEnd => Self::Unmatched,
            Self::Harmless { expires: true } if word == pack(b"at") || word == pack(b"in") => {
                Self::Harmless { expires: false }
            }
            Self::Matched | Self::Harmless { .. } if is_harmless(word) => {
                Self::Harmless { expires: word == pack(b"expires") }
            }
            Self::Matched | Self::Harmless { .. } | Self::Telling => Self::Telling,
        }
    }

    /// Letters of another alphabet: no word of ours, so not a harmless one.
    fn then_foreign(self) -> Self {
        match self {
            Self::Unmatched => Self::Unmatched,
            _ => Self::Telling,
        }
    }

    /// A word that counts if it is the last.
    fn at_the_end(self) -> Self {
        match self {
            Self::Unmatched | Self::AtTheEnd => Self::AtTheEnd,
            _ => Self::Matched,
        }
    }

    fn is_secret(self) -> bool {
        matches!(self, Self::Matched | Self::AtTheEnd | Self::Telling)
    }
}

/// Where the word that begins with the letter at `at` ends: `camelCase`, `Word`, `API` of `APIKey`.
fn word_end(key: &[u8], at: usize) -> usize {
    let is = |place: usize, class: fn(&u8) -> bool| key.get(place).is_some_and(class);
    let mut end = at + 1;
    if is(at, u8::is_ascii_uppercase) && is(end, u8::is_ascii_uppercase) {
        while is(end, u8::is_ascii_uppercase) {
            end += 1;
        }
        return if is(end, u8::is_ascii_lowercase) { end - 1 } else { end };
    }
    while is(end, u8::is_ascii_lowercase) {
        end += 1;
    }
    end
}

/// Whether a word ends before `end`.
fn ends_a_word(key: &[u8], end: usize) -> bool {
    let (Some(last), next) = (key.get(end.wrapping_sub(1)), key.get(end)) else { return false };
    let Some(next) = next.filter(|next| next.is_ascii_alphabetic()) else { return true };
    let after_next = key.get(end + 1);
    match (last.is_ascii_uppercase(), next.is_ascii_uppercase()) {
        (false, upper) => upper,
        (true, true) => after_next.is_some_and(u8::is_ascii_lowercase),
        (true, false) => false,
    }
}

/// A word of at most 8 letters as a number, in lower case; 0 for longer ones.
const fn pack(word: &[u8]) -> u64 {
    if word.len() > 8 {
        return 0;
    }
    let mut packed = 0;
    let mut at = 0;
    while at < word.len() {
        packed = packed << 8 | word[at].to_ascii_lowercase() as u64;
        at += 1;
    }
    packed
}

const fn pack_all<const N: usize>(words: &[&str]) -> [u64; N] {
    let mut packed = [0; N];
    let mut at = 0;
    while at < N {
        packed[at] = pack(words[at].as_bytes());
        at += 1;
    }
    packed
}

/// What a word tells by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Secret,
    SecretAtTheEnd,
}

/// Looks a packed word up in one place, however many words there are.
fn told_by(word: u64) -> Told {
    match TOLD.words[slot(word, TOLD.factor)] ^ word {
        0 => Told::Secret,
        AT_THE_END => Told::SecretAtTheEnd,
        _ => Told::Nothing,
    }
}

/// Set beside words of [`LAST`]: no ASCII letter has this bit.
const AT_THE_END: u64 = 1 << 63;
const SLOTS: usize = 1 << 10;
static TOLD: Lookup = Lookup::new();

/// Words by a hash in which no two of them fall together.
struct Lookup {
    factor: u64,
    words: [u64; SLOTS],
}

impl Lookup {
    const fn new() -> Self {
        const SHORTS: [u64; SHORT.len()] = pack_all(SHORT);
        const LASTS: [u64; LAST.len()] = pack_all(LAST);
        // Golden; then whatever odd number comes to be tried.
        let mut factor = 0x9e37_79b9_7f4a_7c15_u64;
        loop {
            // No word: all bits.
            let mut lookup = Self { factor, words: [u64::MAX; SLOTS] };
            if lookup.place(&SHORTS, 0) && lookup.place(&LASTS, AT_THE_END) {
                return lookup;
            }
            factor = factor.wrapping_mul(0x5851_f42d_4c95_7f2d) | 1;
        }
    }

    /// Whether each word found a free place.
    const fn place(&mut self, words: &[u64], mark: u64) -> bool {
        let mut at = 0;
        while at < words.len() {
            assert!(words[at] != 0, "a listed word is too long to be compared");
            let slot = slot(words[at], self.factor);
            if self.words[slot] != u64::MAX {
                return false;
            }
            self.words[slot] = words[at] | mark;
            at += 1;
        }
        true
    }
}

/// The high bits of a product, which all bits of the word have a part in.
#[allow(clippy::cast_possible_truncation, reason = "fewer bits than any `usize` has")]
const fn slot(word: u64, factor: u64) -> usize {
    (word.wrapping_mul(factor) >> (u64::BITS - SLOTS.trailing_zeros())) as usize
}

fn is_harmless(word: u64) -> bool {
    const PACKED: [u64; HARMLESS.len()] = pack_all(HARMLESS);
    word != 0 && PACKED.contains(&word)
}

fn is_innocent(word: &[u8]) -> bool {
    INNOCENT.iter().any(|innocent| innocent.as_bytes().eq_ignore_ascii_case(word))
}

fn letters_and_digits(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase)
}

/// A bag's name in the spelling that is compared.
fn compact(name: &str, what: &str) -> Result<Box<[u8]>, Error> {
    let compact: Box<[u8]> = letters_and_digits(name.as_bytes()).collect();
    if compact.is_empty() {
        return Err(Error::redaction(format!("redaction: the {what} {name:?} has no letter or digit to match by")));
    }
    Ok(compact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(added: &[&str], bags: &[&str], except: &[&str]) -> KeyRules {
        let added: Vec<String> = added.iter().map(|word| (*word).to_owned()).collect();
        KeyRules::new(&added, Names::new(bags.iter().copied(), except.iter().copied()).unwrap()).unwrap()
    }

    fn for_event(rules: &KeyRules, key: &str, event: &Names) -> Verdict {
        rules.verdict_for(key, rules.verdict(key), event)
    }

    /// The published table.
    const SECRET: &[&str] = &[
        // Each long word, and in other spellings and companies.
        "password",
        "Password",
        "PASSWORD",
        "pAsSwOrD",
        "pass_word",
        "pass-word",
        "pass.word",
        "pass word",
        "passwords",
        "dbPassword",
        "DB_PASSWORD",
        "user[password]",
        "passwordHash",
        "password2",
        "p-a-s-s-w-o-r-d",
        "xpasswordx",
        "passwd",
        "htpasswd",
        "passphrase",
        "secret",
        "Secret",
        "clientSecret",
        "client_secret",
        "clientsecret",
        "secretKey",
        "secrets",
        "secret_value",
        "topsecretname",
        "token",
        "tokens",
        "accessToken",
        "access_token",
        "accesstoken",
        "refreshToken",
        "id_token",
        "X-Auth-Token",
        "tokenValue",
        "token_secret",
        "oauth2Token",
        "apikey",
        "api_key",
        "apiKey",
        "api-key",
        "APIKey",
        "APIKEY",
        "X-API-Key",
        "api.key",
        "api key",
        "accessKey",
        "aws_secret_access_key",
        "AccountKey",
        "privateKey",
        "private_key",
        "PrivateKey",
        "private_key_pem",
        "credential",
        "credentials",
        "authorization",
        "Authorization",
        "Proxy-Authorization",
        "cookie",
        "Set-Cookie",
        "cookies",
        "sessionid",
        "session_id",
        "sessionID",
        "SessionId",
        "creditCard",
        "credit_card",
        "cardNumber",
        "card_number",
        "signature",
        "X-Amz-Signature",
        "X-Hub-Signature-256",
        "assertion",
        "client_assertion",
        "SAMLResponse",
        "jwt",
        "JWT",
        "userJwt",
        "bearer",
        "bearerValue",
        "mnemonic",
        "connectionString",
        "connection_string",
        "xsrf-token",
        "csrfmiddlewaretoken",
        "_csrf",
        // Each short word, as a word.
        "pwd",
        "userPwd",
        "PWD",
        "pin",
        "PIN",
        "userPIN",
        "pin_code",
        "otp",
        "otp1",
        "totp",
        "cvv",
        "cvv2",
        "cvc",
        "ssn",
        "iban",
        "IBAN",
        "dsn",
        "sentry_dsn",
        "auth",
        "x-auth",
        "auth.value",
        "sig",
        "key",
        "Key",
        "kEy",
        "sort_key",
        "keyValue",
        "public_key",
        "key2",
        "$key",
        "keys",
        // Harmless words before the last match, or beside others.
        "id_of_password",
        "name_token",
        "token_name_value",
        "password_id_x",
        "token_at",
        "token_in",
        "token_expires_on",
        "token_id_secret",
        "secret_id_ключ",
        "tokenпароль",
        // One run of letters, as databases and configurations have them.
        "dbpass",
        "DBPASS",
        "dbPwd",
        "dbpwd",
        "userpwd",
        "authkey",
        "MYAUTHKEY",
        "pswd",
        "passwrd",
        "passcode",
        "psk",
        "salt",
        "privkey",
        "sshkey",
        "secretkey",
        "encryptionkey",
        "signingkey",
        "masterkey",
        "apitoken",
        "mfa_code",
        "mfaCode",
        "_wpnonce",
        // Sessions.
        "PHPSESSID",
        "JSESSIONID",
        "ASPSESSIONIDQQ",
        "ASP.NET_SessionId",
        "sid",
        "SID",
        "connect.sid",
        "connectSid",
        "session",
        "Session",
        "seSSion",
        "user_session",
        "laravel_session",
        "session.sig",
        "session2",
        "session_token_type_session",
        "token_id_session",
        "token_session_start",
        "mfa",
        "user.mfa",
        // A pass is whoever carries it.
        "pass",
        "db_pass",
        "boarding_pass",
        // Other languages, as they are spelt and in ASCII.
        "passwort",
        "Kennwort",
        "geheimnis",
        "schlüssel",
        "Schlüssel",
        "SCHLÜSSEL",
        "schluessel",
        "apiSchlussel",
        "motdepasse",
        "mot_de_passe",
        "mot de passe",
        "jeton",
        "jetonAcces",
        "contraseña",
        "CONTRASEÑA",
        "contrasena",
        "contrasen\u{303}a",
        "clave",
        "clave_secreta",
        "senha",
        "nova_senha",
        "parola d'ordine",
        "parolaDOrdine",
        "segreto",
        "пароль",
        "ПАРОЛЬ",
        "новый_пароль",
        "токен",
        "секрет",
        "密码",
        "用户密码",
        "密碼",
        "令牌",
        "密钥",
        "パスワード",
        "暗証番号",
        "비밀번호",
        "şifre",
        "ŞİFRE",
        "parola",
        "hasło",
        "HASŁO",
        "haslo",
        "wachtwoord",
        "mật_khẩu",
        "lösenord",
        // What only looks like a word.
        "ｐａｓｓｗｏｒｄ",
        "ＡＰＩ＿ＫＥＹ",
        "pаsswоrd",
        "раsswоrd",
        "pαsswοrd",
        "𝓹𝓪𝓼𝓼𝔀𝓸𝓻𝓭",
        "𝗍𝗈𝗄𝖾𝗇",
        "p\u{200b}assword",
        "pass\u{2060}word",
        "p\u{e1}ssword",
        "pa\u{301}ssword",
        "paßword",
        "pass\u{fffd}word",
        "ріn",
        "рwd",
        "user_ріn_2",
        "kеy",
        "sеssion",
        "session\u{200b}",
        "tоken_vаlue",
    ];
    const PLAIN: &[&str] = &[
        "",
        "a",
        "id",
        "name",
        "_",
        "1",
        "user",
        "email",
        "author",
        "Author",
        "authors",
        "authority",
        "monkey",
        "donkey",
        "keyboard",
        "keyword",
        "hockey",
        "turkey",
        "secretary",
        "Secretary",
        "secretaries",
        "passenger",
        "passengers",
        "compass",
        "passage",
        "bypass",
        "pinned",
        "spin",
        "opinion",
        "shipping",
        "option",
        "topic",
        "design",
        "assign",
        "signal",
        "assigned",
        "dsnx",
        "tokenizer",
        "tokenized_text",
        "passwordless",
        "secretariat_address",
        "urban",
        "token_id",
        "tokenId",
        "tokenID",
        "token_ids",
        "secretName",
        "secret_name",
        "secret_names_x",
        "tokenType",
        "token_type",
        "token_kind",
        "token_count",
        "password_policy",
        "passwordPolicy",
        "password_length",
        "token_limit",
        "token_ttl",
        "token_expiry",
        "token_expires",
        "token_expires_at",
        "tokenExpiresAt",
        "tokenExpiresIn",
        "token_expires_in",
        "password_status",
        "secret_version",
        "token_url",
        "authorization_url",
        "password_enabled",
        "password_required",
        "secretNameVersion",
        "token_id_type",
        "apiKeyId",
        "aws_access_key_id",
        "key_id",
        "keyName",
        "pin_required",
        "auth_type",
        "authType",
        "token_id_2",
        "templateRef",
        "values",
        "taskId",
        "имя",
        "ids",
        "expires_at",
        "version",
        // About sessions and second factors, not those themselves.
        "sessions",
        "sessionless",
        "sessionType",
        "session_count",
        "session_start",
        "sessionDuration",
        "sessionTitle",
        "mfa_method",
        "mfaAuthenticated",
        "mfa_enabled",
        "sid_count",
        "sidebar",
        "inside",
        "reside",
        "residence",
        "president",
        "assessment",
        "assessment_id",
        "assess_id",
        "process_id",
        "obsessed",
        "nonce",
        "webhook_url",
        "webhookUrl",
        "bic",
        // Words that hold a short one.
        "surpass",
        "trespasser",
        "passive",
        "passport",
        "enclave",
        "autoclave",
        "laclave",
        "psalter",
        "salty",
        "keynote",
        "jockey",
        "rssi_freq",
        "has_location",
        "hasLocked",
        "has_logo",
        "tmp_wd",
        "setup_wd",
        "db_passenger",
        "parolaccia",
        // Not English, not ASCII, and no secret.
        "prénom",
        "größe",
        "naïve",
        "señal",
        "año",
        "secrétaire",
        "secrétariat",
        "Schlüsselwort",
        "секретарь",
        "исключение",
        "включено",
        "名前",
        "이름",
        "tökén_id",
        "àuthor",
        "mоnkey",
        "кеybоard",
        "mоnkеys",
        "ｎａｍｅ",
        "р",
    ];

    #[test]
    fn the_published_table_holds() {
        let rules = rules(&[], &[], &[]);
        for key in SECRET {
            assert_eq!(rules.verdict(key), Verdict::Secret, "{key}");
        }
        for key in PLAIN.iter().filter(|key| **key != "secret_names_x") {
            assert_eq!(rules.verdict(key), Verdict::Plain, "{key}");
        }
        for long in LONG {
            let key = format!("my{long}ing");
            assert_eq!(rules.verdict(&key), Verdict::Secret, "{key}");
        }
        for short in SHORT {
            let key = format!("my_{short}");
            assert_eq!(rules.verdict(&key), Verdict::Secret, "{key}");
            for harmless in HARMLESS {
                let key = format!("{short}_{harmless}");
                assert_eq!(rules.verdict(&key), Verdict::Plain, "{key}");
            }
        }
        for last in LAST {
            for (key, verdict) in [
                (format!("my_{last}"), Verdict::Secret),
                (format!("{last}_told"), Verdict::Plain),
                (format!("{last}_told_{last}"), Verdict::Secret),
            ] {
                assert_eq!(rules.verdict(&key), verdict, "{key}");
            }
        }
        for innocent in INNOCENT {
            assert_eq!(rules.verdict(innocent), Verdict::Plain, "{innocent}");
            let key = format!("{innocent}_password");
            assert_eq!(rules.verdict(&key), Verdict::Secret, "{key}");
        }
    }

    /// The words between backticks below a heading of the guide.
    fn published(heading: &str) -> Vec<&'static str> {
        let guide = include_str!("../guide/redaction.md");
        let below = guide.split_once(&format!("\n### {heading}\n")).expect("the heading stands in the guide").1;
        let section = below.split("\n#").next().unwrap_or_default();
        section.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_guide_lists_all_words_and_no_others() {
        for (heading, words) in [
            ("Anywhere in a key", LONG.to_vec()),
            ("As a word", SHORT.to_vec()),
            ("As the last word", LAST.to_vec()),
            ("In other scripts", [foreign::FOREIGN, foreign::FOREIGN_WORDS].concat()),
            ("Harmless behind them", HARMLESS.iter().copied().chain(["expires at", "expires in"]).collect()),
            ("Innocent", [INNOCENT, foreign::FOREIGN_INNOCENT].concat()),
        ] {
            let mut published = published(heading);
            let mut words = words;
            published.sort_unstable();
            words.sort_unstable();
            assert_eq!(published, words, "{heading}");
        }
    }

    #[test]
    fn a_key_in_letters_of_all_kinds_takes_linear_time() {
        let rules = rules(&["added"], &["bag"], &[]);
        for piece in ["а", "парол", "р\u{301}", "pа", "密", "\u{200b}", "ß", "𝓹"] {
            let key = piece.repeat(200_000 / piece.len());
            let began = std::time::Instant::now();
            rules.verdict(&key);
            // A key of this length takes milliseconds; in quadratic time, minutes.
            assert!(began.elapsed().as_secs() < 10, "{piece}");
        }
    }

    #[test]
    fn an_encoded_key_is_decoded() {
        let rules = rules(&[], &["bag"], &["p%61ss"]);
        for key in ["p%61ssword", "p%2561ssword", "%70%61%73%73%77%6f%72%64", "user%5Bpassword%5D", "%25252525252525"] {
            assert_eq!(rules.verdict(key), Verdict::Secret, "{key}");
        }
        for key in ["100%", "p%61ss", "%61uthor", "a%zz"] {
            assert_eq!(rules.verdict(key), Verdict::Plain, "{key}");
        }
        assert_eq!(rules.verdict("b%61g"), Verdict::Bag);
    }

    #[test]
    fn words_can_be_added() {
        let rules = rules(&["internal_ref", "badge"], &[], &[]);
        for key in [
            "internal_ref",
            "internalRef",
            "InternalRef",
            "internalref",
            "my-internal.ref",
            "badge",
            "userBadge",
            "BADGE",
            "badge_value",
        ] {
            assert_eq!(rules.verdict(key), Verdict::Secret, "{key}");
        }
        let foreign = self::rules(&["añadido", "личный код", "工号"], &[], &[]);
        for key in ["añadido", "anadido", "AÑADIDO_2", "личный_код", "ЛичныйКод", "员工号码"] {
            assert_eq!(foreign.verdict(key), Verdict::Secret, "{key}");
        }
        for key in ["añadidos", "личный", "код", "号"] {
            assert_eq!(foreign.verdict(key), Verdict::Plain, "{key}");
        }
        for key in ["badger", "reference", "internal", "ref", "internal_reference", "badge_id", "internal_ref_count"] {
            assert_eq!(rules.verdict(key), Verdict::Plain, "{key}");
        }
    }

    #[test]
    fn names_can_be_excepted() {
        let rules = rules(&[], &[], &["sort_key"]);
        let event = Names::new([], ["key"]).unwrap();
        assert_eq!(rules.verdict("sort_key"), Verdict::Plain);
        assert_eq!(rules.verdict("sortKey"), Verdict::Secret);
        assert_eq!(rules.verdict("key"), Verdict::Secret);
        assert_eq!(for_event(&rules, "key", &event), Verdict::Plain);
    }

    #[test]
    fn bags_are_found_in_any_spelling() {
        let rules = rules(&[], &["secrets"], &[]);
        let event = Names::new(["template_values"], []).unwrap();
        assert_eq!(rules.verdict("secrets"), Verdict::Bag);
        assert_eq!(rules.verdict("Secrets"), Verdict::Bag);
        assert_eq!(rules.verdict("my_secrets"), Verdict::Secret);
        assert_eq!(rules.verdict("templateValues"), Verdict::Plain);
        assert_eq!(for_event(&rules, "templateValues", &event), Verdict::Bag);
    }

    #[test]
    fn what_could_match_nothing_is_refused() {
        assert!(Names::new(["--"], []).is_err());
        assert!(Names::new([], [""]).is_err());
        let none = || Names::new([], []).unwrap();
        assert!(KeyRules::new(&["12".to_owned()], none()).is_err());
        assert!(KeyRules::new(&vec!["a".to_owned(); MAX_ADDED + 1], none()).is_err());
    }

    proptest! {
        #[test]
        fn any_key_around_a_long_word_is_secret(long in prop::sample::select(LONG), before in "[a-z_]{0,5}", upper in any::<u32>(), gap in "[-_. 0-9]{0,2}", place in 0_usize..20) {
            let spelled: String = long.chars().enumerate()
                .map(|(at, char)| if upper >> (at % 32) & 1 == 1 { char.to_ascii_uppercase() } else { char })
                .collect();
            let (first, last) = spelled.split_at(place % spelled.len());
            let key = format!("{before}_{first}{gap}{last}");
            let rules = rules(&[], &[], &[]);
            prop_assert_eq!(rules.verdict(&key), Verdict::Secret, "{}", key);
        }

        #[test]
        fn no_key_panics(key in any::<String>()) {
            let rules = rules(&["añadido"], &["bag"], &["x"]);
            rules.verdict(&key);
        }
    }
}
