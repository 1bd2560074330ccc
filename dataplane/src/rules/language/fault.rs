//! What is wrong with a rule, where, for whoever wrote it.

pub use super::value::Kind;
use super::value::Wrong;

/// A fault of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line in the file, from 1.
    pub line: u32,
    /// Column in the line, bytes, from 1.
    pub column: u32,
    /// The rule's number where it says one that can be read.
    pub sid: Option<u32>,
    /// The keyword that it is about; `None`: the part before the parenthesis, or the whole.
    pub keyword: Option<String>,
    /// Whether the language does not have it, or this engine.
    pub kind: Kind,
    /// What was expected, and what came.
    pub detail: String,
}

impl Fault {
    /// Of a line of a list beside the rules, whose text began at offset 0.
    pub(in crate::rules) fn of_line(line: u32, wrong: Wrong) -> Self {
        let Wrong { at, kind, detail } = wrong;
        Self { line, column: at as u32 + 1, sid: None, keyword: None, kind, detail }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if let Some(sid) = self.sid {
            write!(f, "sid {sid}: ")?;
        }
        if let Some(keyword) = &self.keyword {
            write!(f, "{keyword}: ")?;
        }
        f.write_str(&self.detail)
    }
}
