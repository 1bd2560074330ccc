//! What does the configuration file say, key by key and line by line?
//!
//! TOML is read into a tree that remembers where each value stood; [`Section`] takes values out by name and
//! type. Nothing stops at the first mistake: every wrong value and every unknown key becomes a
//! [`Problem`] and reading goes on with the default, so that an operator sees all of them at once.
//! What the values mean together is decided in [`super::meaning`].

use super::problem::{Problem, nearest};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and the line that it stood on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    /// The value.
    pub value: T,
    /// 1-based.
    pub line: usize,
}

/// One configuration file, parsed as TOML but not yet understood.
pub(crate) struct Document<'text> {
    name: String,
    root: DeTable<'text>,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'text> Document<'text> {
    /// Parses `text`; syntax errors become problems and what could be read stays readable.
    pub(crate) fn parse(name: &str, text: &'text str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        let document = Self {
            name: name.to_owned(),
            root: root.into_inner(),
            line_starts,
            problems: RefCell::new(Vec::new()),
        };
        for error in errors {
            let line = error.span().map(|span| document.line_at(span.start));
            document.note(line, format!("not valid TOML: {}", error.message()));
        }
        document
    }

    /// Reads the top level with `read`, then reports keys that `read` did not ask for.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&mut Section<'_, 'text>) -> T) -> T {
        let mut section = Section::new(self, String::new(), None, Some(&self.root));
        let value = read(&mut section);
        section.close();
        value
    }

    /// Adds a problem found by someone who knows more than the reader.
    pub(crate) fn note(&self, line: Option<usize>, what: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { source: self.name.clone(), line, what: what.into() });
    }

    /// All problems, in the order of the text; those without a line last.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        problems.dedup();
        problems
    }

    fn line_at(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }
}

/// One table of the file (`[worker]`, one `[[port]]`), or nothing where the file has no such table: then
/// every key is absent and every default holds.
pub(crate) struct Section<'doc, 'text> {
    document: &'doc Document<'text>,
    path: String,
    line: Option<usize>,
    table: Option<&'doc DeTable<'text>>,
    known: Vec<&'static str>,
}

impl<'doc, 'text> Section<'doc, 'text> {
    fn new(
        document: &'doc Document<'text>,
        path: String,
        line: Option<usize>,
        table: Option<&'doc DeTable<'text>>,
    ) -> Self {
        Self { document, path, line, table, known: Vec::new() }
    }

    /// Line of the table's header, where the file has the table.
    pub(crate) fn line(&self) -> Option<usize> {
        self.line
    }

    /// Reports a problem with `line`, or with the table where there is none.
    pub(crate) fn note(&self, line: Option<usize>, what: impl Into<String>) {
        self.document.note(line.or(self.line), what);
    }

    /// A string.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<At<String>> {
        self.take(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.take(key, "true or false", DeValue::as_bool).map(|at| at.value)
    }

    /// A whole number within `range`.
    pub(crate) fn integer<N>(&mut self, key: &'static str, range: RangeInclusive<N>) -> Option<At<N>>
    where
        N: TryFrom<i128> + Copy + std::fmt::Display,
        i128: From<N>,
    {
        let at = self.take(key, "a whole number", |value| value.as_integer().and_then(integer_of))?;
        let (low, high) = (i128::from(*range.start()), i128::from(*range.end()));
        match N::try_from(at.value) {
            Ok(value) if (low..=high).contains(&at.value) => Some(At { value, line: at.line }),
            Ok(_) | Err(_) => {
                self.note(
                    Some(at.line),
                    format!(
                        "{} is {}, must be {} to {}",
                        self.full(key),
                        at.value,
                        range.start(),
                        range.end()
                    ),
                );
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<At<T>> {
        let at = self.text(key)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == at.value) {
            return Some(At { value: *value, line: at.line });
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.note(
            Some(at.line),
            format!("{} is \"{}\", must be one of {}", self.full(key), at.value, words.join(", ")),
        );
        None
    }

    /// A string that `T` can be read from; `form` says what such a string looks like.
    pub(crate) fn parsed<T: FromStr>(&mut self, key: &'static str, form: &str) -> Option<At<T>> {
        let at = self.text(key)?;
        let parsed = at.value.parse().ok();
        if parsed.is_none() {
            self.note(Some(at.line), format!("{} is \"{}\", must be {form}", self.full(key), at.value));
        }
        parsed.map(|value| At { value, line: at.line })
    }

    /// A list of strings, each readable as `T`; `form` says what such a string looks like.
    pub(crate) fn parsed_list<T: FromStr>(&mut self, key: &'static str, form: &str) -> Option<At<Vec<T>>> {
        let at = self.list(key, form, |value| value.as_str().map(str::to_owned))?;
        let count = at.value.len();
        let mut values = Vec::with_capacity(count);
        for element in at.value {
            match element.value.parse() {
                Ok(value) => values.push(value),
                Err(_) => self.note(
                    Some(element.line),
                    format!("{} holds \"{}\", must be {form}", self.full(key), element.value),
                ),
            }
        }
        whole_or_none(at.line, values, count)
    }

    /// A list of whole numbers within `range`.
    pub(crate) fn integers(
        &mut self,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Option<At<Vec<usize>>> {
        let at =
            self.list(key, "a list of whole numbers", |value| value.as_integer().and_then(integer_of))?;
        let count = at.value.len();
        let mut values = Vec::with_capacity(count);
        for element in at.value {
            match usize::try_from(element.value) {
                Ok(value) if range.contains(&value) => values.push(value),
                Ok(_) | Err(_) => self.note(
                    Some(element.line),
                    format!(
                        "{} holds {}, must be {} to {}",
                        self.full(key),
                        element.value,
                        range.start(),
                        range.end()
                    ),
                ),
            }
        }
        whole_or_none(at.line, values, count)
    }

    /// A table inside this one, read by `read`; keys that `read` does not ask for are reported.
    pub(crate) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        let found =
            self.entry(key).and_then(|(line, value)| self.as_table(key, line, value).map(|t| (line, t)));
        let (line, table) = found.unzip();
        self.enter(self.full(key), line, table, read)
    }

    /// A table whose keys are anybody's names, and its texts.
    pub(crate) fn names(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        let Some((line, value)) = self.entry(key) else { return names };
        let Some(table) = self.as_table(key, line, value) else { return names };
        for (name, value) in table {
            let line = self.document.line_at(name.span().start);
            match value.get_ref().as_str() {
                Some(text) => {
                    names.insert(name.get_ref().to_string(), text.to_owned());
                }
                None => {
                    let full = self.full(key);
                    let what = name_of(value.get_ref());
                    self.note(Some(line), format!("{full}.{} must be a text, not {what}", name.get_ref()));
                }
            }
        }
        names
    }

    /// Every table of an array of tables (`[[port]]`), each read by `read`.
    pub(crate) fn sections<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let Some((line, value)) = self.entry(key) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            self.note(Some(line), format!("write [[{key}]] for each {key}, this is {}", name_of(value)));
            return Vec::new();
        };
        let mut all = Vec::with_capacity(array.len());
        for element in array.iter() {
            let line = self.document.line_at(element.span().start);
            if let Some(table) = self.as_table(key, line, element.get_ref()) {
                all.push(self.enter(self.full(key), Some(line), Some(table), &mut read));
            }
        }
        all
    }

    fn enter<T>(
        &self,
        path: String,
        line: Option<usize>,
        table: Option<&'doc DeTable<'text>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut inner = Self::new(self.document, path, line, table);
        let value = read(&mut inner);
        inner.close();
        value
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        form: &str,
        convert: impl Fn(&DeValue<'text>) -> Option<T>,
    ) -> Option<At<Vec<At<T>>>> {
        let (line, value) = self.entry(key)?;
        let Some(array) = value.as_array() else {
            self.note(
                Some(line),
                format!("{} must be a list in [ ], not {}", self.full(key), name_of(value)),
            );
            return None;
        };
        let mut values = Vec::with_capacity(array.len());
        for element in array.iter() {
            let line = self.document.line_at(element.span().start);
            match convert(element.get_ref()) {
                Some(value) => values.push(At { value, line }),
                None => self.note(
                    Some(line),
                    format!("{} holds {}, must be {form}", self.full(key), name_of(element.get_ref())),
                ),
            }
        }
        whole_or_none(line, values, array.len())
    }

    fn take<T>(
        &mut self,
        key: &'static str,
        form: &str,
        convert: impl Fn(&DeValue<'text>) -> Option<T>,
    ) -> Option<At<T>> {
        let (line, value) = self.entry(key)?;
        let converted = convert(value);
        if converted.is_none() {
            self.note(Some(line), format!("{} must be {form}, not {}", self.full(key), name_of(value)));
        }
        converted.map(|value| At { value, line })
    }

    fn entry(&mut self, key: &'static str) -> Option<(usize, &'doc DeValue<'text>)> {
        self.known.push(key);
        let (key, value) = self.table?.get_key_value(key)?;
        Some((self.document.line_at(key.span().start), value.get_ref()))
    }

    fn as_table(
        &self,
        key: &'static str,
        line: usize,
        value: &'doc DeValue<'text>,
    ) -> Option<&'doc DeTable<'text>> {
        if value.as_table().is_none() {
            self.note(Some(line), format!("{} must be a table, not {}", self.full(key), name_of(value)));
        }
        value.as_table()
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn close(self) {
        let unknown = self.table.into_iter().flat_map(DeTable::keys).map(Spanned::get_ref);
        for key in unknown.filter(|key| !self.known.contains(&key.as_ref())) {
            let line = self
                .table
                .and_then(|table| table.get_key_value(key.as_ref()))
                .map(|(key, _)| self.document.line_at(key.span().start));
            let hint = match nearest(key, self.known.iter().copied()) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.note(line, format!("unknown key {}; {hint}", self.full(key)));
        }
    }
}

/// A list some of whose elements were wrong has no value: judging the rest would only add noise.
fn whole_or_none<T>(line: usize, values: Vec<T>, count: usize) -> Option<At<Vec<T>>> {
    (values.len() == count).then_some(At { value: values, line })
}

fn integer_of(integer: &toml::de::DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
