//! A file of rules, one rule after the other: comments and empty lines left out, lines that end with `\` joined.

use std::borrow::Cow;

use super::value::Value;

/// Longest rule, bytes; Suricata takes 8,192.
pub const RULE_BYTES_MAX: usize = 65_536;

/// A rule's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleText<'a> {
    /// Line of its first byte, from 1.
    pub line: u32,
    /// As in the file, with the line breaks inside.
    source: &'a [u8],
    /// The same length, with spaces for line breaks and what announces them.
    joined: Cow<'a, [u8]>,
}

impl<'a> RuleText<'a> {
    /// A rule that stands alone, in line 1.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        Self { line: 1, source: text, joined: joined(text) }
    }

    /// What is to be read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.joined
    }

    /// Line and column of a byte, from 1; columns count bytes.
    #[must_use]
    pub fn place(&self, at: usize) -> (u32, u32) {
        let before = &self.source[..at.min(self.source.len())];
        let breaks = before.iter().filter(|byte| **byte == b'\n').count();
        let begins = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |found| found + 1);
        (self.line + breaks as u32, (before.len() - begins) as u32 + 1)
    }
}

/// Line breaks and the `\` before them become spaces.
fn joined(source: &[u8]) -> Cow<'_, [u8]> {
    if !source.contains(&b'\n') {
        return Cow::Borrowed(source);
    }
    let mut joined = source.to_vec();
    for index in (0..source.len()).filter(|index| source[*index] == b'\n') {
        joined[index] = b' ';
        // Between the `\` and the break there may be a carriage return.
        for before in (index.saturating_sub(2)..index).filter(|before| b"\\\r".contains(&source[*before])) {
            joined[before] = b' ';
        }
    }
    Cow::Owned(joined)
}

/// Lines of a list beside the rules that are read; what follows is not.
const LINES_MAX: usize = 100_000;

/// Lines of a list beside the rules that say something, with their numbers from 1.
pub(in crate::rules) fn lines_that_say(text: &[u8]) -> impl Iterator<Item = (u32, Value<'_>)> {
    let numbered = text.split(|byte| *byte == b'\n').take(LINES_MAX).zip(1_u32..);
    numbered.filter_map(|(line, number)| {
        let value = Value::new(line, 0);
        let is_said = !value.trim().is_empty() && value.trim().strip("#").is_none();
        is_said.then_some((number, value))
    })
}

/// The rules of a file, in its order.
pub fn rules(file: &[u8]) -> impl Iterator<Item = RuleText<'_>> {
    rules_and_comments(file).filter(|(_text, is_comment)| !is_comment).map(|(text, _)| text)
}

/// The rules of a file, and those that are commented out, which is told with each.
pub fn rules_and_comments(file: &[u8]) -> impl Iterator<Item = (RuleText<'_>, bool)> {
    // What editors of some systems put first.
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let (mut at, mut line) = (0, 1);
    std::iter::from_fn(move || {
        while at < file.len() {
            let (begun, first_line) = (at, line);
            let is_comment = file[at..].trim_ascii_start().starts_with(b"#");
            let end = loop {
                let end =
                    file[at..].iter().position(|byte| *byte == b'\n').map_or(file.len(), |len| at + len);
                let text = &file[at..end];
                at = (end + 1).min(file.len());
                line += 1;
                // A comment that ends with `\` is one line all the same.
                if is_comment || at >= file.len() || !text.trim_ascii_end().ends_with(b"\\") {
                    break end;
                }
            };
            let source = file[begun..end].trim_ascii_end();
            if is_comment {
                match uncommented(source) {
                    Some(joined) => return Some((RuleText { line: first_line, source, joined }, true)),
                    None => continue,
                }
            }
            if !source.is_empty() {
                return Some((RuleText { line: first_line, source, joined: joined(source) }, false));
            }
        }
        None
    })
}

/// A comment without its `#`, where a rule is behind it.
fn uncommented(source: &[u8]) -> Option<Cow<'_, [u8]>> {
    let marks = source.iter().take_while(|byte| **byte == b'#' || byte.is_ascii_whitespace()).count();
    let rule = &source[marks..];
    let word = rule.split(u8::is_ascii_whitespace).next()?;
    if !ACTIONS.contains(&word) || !rule.ends_with(b")") {
        return None;
    }
    let mut text = source.to_vec();
    text[..marks].fill(b' ');
    Some(Cow::Owned(text))
}

/// Words that a rule begins with.
const ACTIONS: [&[u8]; 7] =
    [b"alert", b"pass", b"drop", b"reject", b"rejectsrc", b"rejectdst", b"rejectboth"];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_places_stay() {
        let file = b"\xef\xbb\xbf# a \\\n\nalert \\\n  tcp\\\r\n x\r\n  # b\nlast \\";
        let found: Vec<_> = rules(file).collect();
        let texts: Vec<_> = found.iter().map(|rule| (rule.line, rule.bytes().len())).collect();
        assert_eq!(texts, [(3, 18), (7, 6)]);
        assert_eq!(found[0].bytes(), b"alert     tcp    x");
        assert_eq!(found[0].place(10), (4, 3));
        assert_eq!(found[0].place(17), (5, 2));
        assert_eq!(found[1].bytes(), b"last \\");
    }

    #[test]
    fn rules_that_are_commented_out_are_told_from_comments() {
        let file =
            b"# alert is a word\n#alert tcp (sid:1;)\n  ## drop tcp (sid:2;)\n# pass\npass x (sid:3;)\n";
        let found: Vec<_> =
            rules_and_comments(file).map(|(text, is)| (text.line, is, text.place(9))).collect();
        assert_eq!(found, [(2, true, (2, 10)), (3, true, (3, 10)), (5, false, (5, 10))]);
        let (first, _) = rules_and_comments(file).next().unwrap();
        assert_eq!(first.bytes(), b" alert tcp (sid:1;)");
    }

    #[test]
    fn a_comment_is_found_after_spaces_only() {
        assert_eq!(rules(b"  # no\nyes # 1\n\n\n").count(), 1);
        assert_eq!(rules(b"").count(), 0);
    }
}
