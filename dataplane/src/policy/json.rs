//! What does this JSON say, and at which byte? `serde_json` checks strings and numbers; the structure is walked
//! here because errors must name a line and all of them must be found, not the first.
//!
//! Strings without escapes are borrowed. Depth and node count are bounded, so that a hostile file costs no
//! more than [`NODES_MAX`] nodes.

use std::borrow::Cow;

/// Nesting: a policy file needs six levels.
const DEPTH_MAX: u32 = 32;
/// 100,000 policies of 40 values each.
const NODES_MAX: u32 = 4_000_000;

#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    /// Byte offset of the first character.
    pub(super) at: u32,
    pub(super) value: Value<'a>,
}

#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Vec<Member<'a>>),
}

#[derive(Debug, Clone)]
pub(super) struct Member<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) key_at: u32,
    pub(super) node: Node<'a>,
}

impl Value<'_> {
    /// What it is, for "expected x, found y".
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Where the text stops being JSON, and why.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) at: u32,
    pub(super) reason: String,
}

/// Reads one JSON value and nothing after it. `text` is at most 4 GiB (callers bound it far lower).
pub(super) fn parse(text: &str) -> Result<Node<'_>, Syntax> {
    let mut parser = Parser { text, at: 0, nodes: 0 };
    parser.skip_space();
    let node = parser.value(0)?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.fail("characters after the end of the JSON value"));
    }
    Ok(node)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nodes: u32,
}

impl<'a> Parser<'a> {
    fn fail(&self, reason: impl Into<String>) -> Syntax {
        Syntax { at: self.at as u32, reason: reason.into() }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Syntax> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fail(format!("expected {what}")))
        }
    }

    fn value(&mut self, depth: u32) -> Result<Node<'a>, Syntax> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.fail(format!("more than {NODES_MAX} JSON values")));
        }
        if depth > DEPTH_MAX {
            return Err(self.fail(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let at = self.at as u32;
        let value = match self.peek() {
            None => return Err(self.fail("the file ends where a value should be")),
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => self.word()?,
        };
        Ok(Node { at, value })
    }

    fn object(&mut self, depth: u32) -> Result<Value<'a>, Syntax> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            let key_at = self.at as u32;
            if self.peek() != Some(b'"') {
                return Err(self.fail("expected a field name in double quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            self.expect(b':', "':' after the field name")?;
            self.skip_space();
            let node = self.value(depth + 1)?;
            members.push(Member { key, key_at, node });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(members));
                }
                _ => return Err(self.fail("expected ',' or '}'")),
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<Value<'a>, Syntax> {
        self.at += 1;
        let mut nodes = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(nodes));
        }
        loop {
            self.skip_space();
            nodes.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(nodes));
                }
                _ => return Err(self.fail("expected ',' or ']'")),
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Syntax> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            match self.peek() {
                None => {
                    self.at = start;
                    return Err(self.fail("a string without its closing quote"));
                }
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0..=0x1f) => return Err(self.fail("a control character inside a string")),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        if !escaped {
            return Ok(Cow::Borrowed(&quoted[1..quoted.len() - 1]));
        }
        serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| Syntax {
            at: start as u32,
            reason: "a string with an escape that JSON does not know".to_owned(),
        })
    }

    fn number(&mut self) -> Result<Value<'a>, Syntax> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        serde_json::from_str(&self.text[start..self.at])
            .map(Value::Number)
            .map_err(|_| Syntax { at: start as u32, reason: "not a number that JSON allows".to_owned() })
    }

    fn word(&mut self) -> Result<Value<'a>, Syntax> {
        for (word, value) in
            [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
        {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.fail("expected a value (strings need double quotes)"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_serde_json_refuses_is_refused_and_what_it_reads_is_read() {
        let cases = [
            "",
            "{",
            "[1,]",
            "{\"a\":}",
            "{\"a\" 1}",
            "01",
            "1.",
            "--1",
            "tru",
            "\"\\q\"",
            "\"\\",
            "\"abc",
            "[1 2]",
            "{} {}",
            "{'a':1}",
            "\u{feff}{}",
            "[]",
            "{\"a\": [1, -2.5e3, \"x\\u00e9\", null, true, {}]}",
            " 1 ",
            "\"\u{e9}\\n\"",
            "\"a\nb\"",
        ];
        for text in cases {
            let theirs = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(parse(text).is_ok(), theirs, "{text:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let text = "[".repeat(5000);
        assert!(parse(&text).unwrap_err().reason.contains("nested"));
    }

    #[test]
    fn offsets_point_at_the_first_character() {
        let node = parse("{ \"a\": [10, \"b\"]}").unwrap();
        let Value::Object(members) = &node.value else { panic!("an object") };
        assert_eq!((members[0].key_at, members[0].node.at), (2, 7));
        let Value::Array(items) = &members[0].node.value else { panic!("a list") };
        assert_eq!((items[0].at, items[1].at), (8, 12));
    }
}
