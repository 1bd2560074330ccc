//! Does an expression match? PCRE2's language, because rules use all of it; its steps are bounded as Suricata bounds them.

use std::borrow::Cow;
use std::fmt::Write;

use pcre2::bytes::{Regex, RegexBuilder};

use super::Unmatchable;
use crate::rules::captured::Captured;
use crate::rules::rule::{Expression, Group};

/// `pcre.match-limit` and `pcre.match-limit-recursion` of Suricata's configuration. An expression that takes more does not match.
const MATCH_LIMIT: u32 = 3_500;
const DEPTH_LIMIT: u32 = 1_500;

/// Memory that compiled code may use as its stack, bytes.
const STACK_BYTES_MAX: usize = 512 << 10;

/// An expression, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    regex: Regex,
    is_negated: bool,
    is_relative: bool,
    /// Groups that are kept, and as which of the rule's captures.
    captures: Vec<(usize, u8)>,
}

impl Compiled {
    pub(super) fn new(expression: &Expression) -> Result<Self, Unmatchable> {
        let flags = expression.flags;
        // Where each line has an end, the flag means nothing.
        let pattern = match flags.dollar_endonly && !flags.multiline {
            true => Cow::Owned(ending_only(&expression.pattern, flags.extended)),
            false => Cow::Borrowed(&*expression.pattern),
        };
        let pattern = match (flags.ungreedy, flags.anchored) {
            (false, false) => pattern,
            (true, false) => Cow::Owned(format!("(?U){pattern}")),
            (false, true) => Cow::Owned(format!("\\G(?:{pattern})")),
            (true, true) => Cow::Owned(format!("(?U)\\G(?:{pattern})")),
        };
        let regex = bounded(&pattern, |builder| {
            builder
                .caseless(flags.caseless)
                .multi_line(flags.multiline)
                .dotall(flags.dotall)
                .extended(flags.extended)
        })?;
        let mut captures = Vec::new();
        for (group, index) in &expression.captures {
            let place = match group {
                Group::Number(number) => Some(usize::from(*number)),
                Group::Name(name) => {
                    regex.capture_names().iter().position(|own| own.as_deref() == Some(&**name))
                }
            };
            let place = place.filter(|place| *place < regex.captures_len());
            let no_group = || Unmatchable::Expression("more names than groups to keep under them".into());
            captures.push((place.ok_or_else(no_group)?, *index));
        }
        Ok(Self { regex, is_negated: expression.is_negated, is_relative: expression.is_relative, captures })
    }

    /// Keeps the groups of the match that [`Self::find`] finds. It allocates, and is asked of matches whose rule wants it.
    #[cold]
    pub(super) fn capture(&self, bytes: &[u8], from: usize, to: &mut Captured) {
        let mut places = self.regex.capture_locations();
        if let Ok(Some(_)) = self.regex.captures_read_at(&mut places, bytes, from) {
            for (group, index) in &self.captures {
                if let Some((start, end)) = places.get(*group) {
                    to.add(*index, &bytes[start..end]);
                }
            }
        }
    }

    pub(super) const fn captures(&self) -> bool {
        !self.captures.is_empty()
    }

    pub(super) const fn is_negated(&self) -> bool {
        self.is_negated
    }

    pub(super) const fn is_relative(&self) -> bool {
        self.is_relative
    }

    /// The first match that does not begin before `from`.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Result<Option<(usize, usize)>, TooManySteps> {
        if from > bytes.len() {
            return Ok(None);
        }
        // PCRE2 fails while it matches only where a limit is reached.
        let found = self.regex.find_at(bytes, from).map_err(|_limit| TooManySteps)?;
        Ok(found.map(|found| (found.start(), found.end())))
    }
}

/// Whether an expression matches would take more steps than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManySteps;

/// The expression with `\z` for each `$`, which then is the very end and not a line feed before it (`PCRE2_DOLLAR_ENDONLY`).
fn ending_only(pattern: &str, is_extended: bool) -> String {
    let mut text = String::with_capacity(pattern.len() + 8);
    let mut characters = pattern.chars().peekable();
    // Within `[...]`, and whether its first character is still to come; within `\Q...\E`.
    let (mut class, mut is_quoted, mut is_comment) = (None, false, false);
    while let Some(character) = characters.next() {
        if is_comment {
            is_comment = character != '\n';
            text.push(character);
            continue;
        }
        match (character, class) {
            ('\\', _) => {
                text.push(character);
                if let Some(escaped) = characters.next() {
                    is_quoted = match escaped {
                        'Q' => true,
                        'E' => false,
                        _ => is_quoted,
                    };
                    text.push(escaped);
                }
                class = class.map(|_| false);
                continue;
            }
            _ if is_quoted => {}
            ('[', None) => {
                text.push(character);
                if let Some(negation) = characters.next_if_eq(&'^') {
                    text.push(negation);
                }
                class = Some(true);
                continue;
            }
            // The first one stands for itself.
            (']', Some(false)) => class = None,
            (_, Some(_)) => class = Some(false),
            ('#', None) if is_extended => is_comment = true,
            ('$', None) => {
                text.push_str("\\z");
                continue;
            }
            _ => {}
        }
        text.push(character);
    }
    text
}

/// An expression whose steps are bounded. Each character of `pattern` is a byte of the rule's text.
pub(in crate::rules) fn bounded(
    pattern: &str,
    set: impl FnOnce(&mut RegexBuilder) -> &mut RegexBuilder,
) -> Result<Regex, Unmatchable> {
    let mut text = format!("(*LIMIT_MATCH={MATCH_LIMIT})(*LIMIT_DEPTH={DEPTH_LIMIT})");
    for character in pattern.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            // Written so that it stays one byte.
            let _ = write!(text, "\\x{:02x}", u32::from(character));
        }
    }
    let mut builder = RegexBuilder::new();
    let builder = set(&mut builder).jit_if_available(true).max_jit_stack_size(Some(STACK_BYTES_MAX));
    builder.build(&text).map_err(|error| Unmatchable::Expression(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_very_end_is_written_anew() {
        for (pattern, expected) in [
            ("a$", r"a\z"),
            (r"a\$", r"a\$"),
            ("[$]$", r"[$]\z"),
            ("[]$]$", r"[]$]\z"),
            ("[^]$]$", r"[^]$]\z"),
            (r"[\]$]$", r"[\]$]\z"),
            (r"\Q$\E$", r"\Q$\E\z"),
            ("$|b$", r"\z|b\z"),
            ("a #$\n$", "a #$\n\\z"),
            ("\\", "\\"),
        ] {
            assert_eq!(ending_only(pattern, true), expected, "{pattern}");
        }
    }
}
