//! What is wrong with what the operator wrote, and on which line?

use std::fmt;

/// One thing that is wrong. A check reports all of them at once, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file as it was named, or `environment`, or `command line`.
    pub source: String,
    /// 1-based line, where the problem has one.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub what: String,
}

impl Problem {
    /// A problem that has no line.
    pub(crate) fn new(source: impl Into<String>, what: impl Into<String>) -> Self {
        Self { source: source.into(), line: None, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.source, self.what),
            None => write!(f, "{}: {}", self.source, self.what),
        }
    }
}

/// The known word nearest to a misspelt one, if one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILARITY_MIN: f64 = 0.7;
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
