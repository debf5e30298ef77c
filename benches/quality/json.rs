//! JSON and forms as trees that keep what a comparison needs: order, repeated keys, and numbers digit for digit.
//!
//! `serde_json::Value` keeps none of the three. Texts that are not JSON give `None`.

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Node {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let node = reader.value(0)?;
        reader.skip_space();
        (reader.at == text.len()).then_some(node)
    }

    /// A form as a record shows it: values are strings, values of a repeated name are a list.
    pub(crate) fn parse_form(text: &str) -> Self {
        let mut fields: Vec<(String, Vec<Self>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = Self::Text(value.into_owned());
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => fields.push((name.into_owned(), vec![value])),
            }
        }
        let one_or_list = |mut values: Vec<Self>| match values.len() {
            1 => values.remove(0),
            _ => Self::List(values),
        };
        Self::Object(fields.into_iter().map(|(name, values)| (name, one_or_list(values))).collect())
    }

    /// The member or element at a JSON Pointer (RFC 6901); the first of repeated keys.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |node, segment| match node {
            Self::Object(members) => {
                let key = unescaped(segment);
                members.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
            }
            Self::List(elements) => elements.get(segment.parse::<usize>().ok()?),
            _ => None,
        })
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Nothing that a mask could hide.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(_) | Self::Number(_) => false,
            Self::Text(text) => text.is_empty(),
            Self::List(elements) => elements.is_empty(),
            Self::Object(members) => members.is_empty(),
        }
    }

    /// As compact JSON.
    pub(crate) fn to_json(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let joined = |parts: Vec<String>| parts.join(",");
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Text(text) => quoted(text),
            Self::List(elements) => format!("[{}]", joined(elements.iter().map(Self::to_json).collect())),
            Self::Object(members) => {
                let member = |(key, value): &(String, Self)| format!("{}:{}", quoted(key), value.to_json());
                format!("{{{}}}", joined(members.iter().map(member).collect()))
            }
        }
    }
}

/// A key as a segment of a JSON Pointer.
pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The key that a segment of a JSON Pointer names.
pub(crate) fn unescaped(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` and the white space before it, if it is next.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        /// Records hold no deeper bodies; it keeps the recursion off the end of the stack.
        const DEEPEST: usize = 128;
        if depth > DEEPEST {
            return None;
        }
        if self.takes(b'{') {
            let mut members = Vec::new();
            if self.takes(b'}') {
                return Some(Node::Object(members));
            }
            loop {
                self.skip_space();
                let key = self.string()?;
                if !self.takes(b':') {
                    return None;
                }
                members.push((key, self.value(depth + 1)?));
                if self.takes(b'}') {
                    return Some(Node::Object(members));
                }
                if !self.takes(b',') {
                    return None;
                }
            }
        }
        if self.takes(b'[') {
            let mut elements = Vec::new();
            if self.takes(b']') {
                return Some(Node::List(elements));
            }
            loop {
                elements.push(self.value(depth + 1)?);
                if self.takes(b']') {
                    return Some(Node::List(elements));
                }
                if !self.takes(b',') {
                    return None;
                }
            }
        }
        if self.peek() == Some(b'"') {
            return self.string().map(Node::Text);
        }
        let rest = &self.text[self.at..];
        let end = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
        self.at += end;
        match &rest[..end] {
            "" => None,
            "null" => Some(Node::Null),
            "true" => Some(Node::Bool(true)),
            "false" => Some(Node::Bool(false)),
            digits => Some(Node::Number(digits.to_owned())),
        }
    }

    fn string(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        if !rest.starts_with('"') {
            return None;
        }
        let mut is_escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        })?;
        let literal = &rest[..end + 2];
        self.at += literal.len();
        // A lone surrogate has no text: both sides of a comparison keep it as it is written.
        Some(serde_json::from_str(literal).unwrap_or_else(|_| literal.to_owned()))
    }
}
