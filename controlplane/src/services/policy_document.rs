//! How is one policy of a document changed, and everything else left as it was written?
//!
//! Members keep their order and their text; only what an edit touches is written anew. What the text means is not looked at
//! here: whatever comes out is read and compiled whole before it is saved.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// A JSON value as it was written.
pub type Text = Box<RawValue>;

/// Nesting of a patch: no policy needs more.
const DEPTH_MAX: usize = 32;

/// An object whose members keep their order and their text, repeated names included: the policy reader tells of those.
#[derive(Debug, Clone, Default)]
pub struct Members(Vec<(String, Text)>);

impl Members {
    /// Reads an object.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// The member `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// The names of the members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The string that the member `name` is.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// Puts a member in the place of the one with its name, or behind all others.
    ///
    /// # Errors
    ///
    /// A value that is no JSON.
    pub fn put(&mut self, name: &str, value: &impl Serialize) -> serde_json::Result<()> {
        self.put_text(name, to_raw_value(value)?);
        Ok(())
    }

    fn put_text(&mut self, name: &str, value: Text) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Puts a member before all others.
    fn put_first(&mut self, name: &str, value: Text) {
        self.0.insert(0, (name.to_owned(), value));
    }

    /// The whole as text.
    ///
    /// # Errors
    ///
    /// As `serde_json`; none is known.
    pub fn text(&self) -> serde_json::Result<Text> {
        to_raw_value(self)
    }

    /// Applies a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    ///
    /// One that is nested too deeply.
    pub fn merge(&mut self, patch: &Self) -> serde_json::Result<()> {
        self.merge_at(patch, 0)
    }

    fn merge_at(&mut self, patch: &Self, depth: usize) -> serde_json::Result<()> {
        if depth > DEPTH_MAX {
            return Err(serde_json::Error::custom(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        for (name, value) in &patch.0 {
            let text = value.get();
            if text == "null" {
                self.0.retain(|(key, _)| key != name);
            } else if text.starts_with('{') {
                let inner: Self = serde_json::from_str(text)?;
                let mut target = match self.get(name) {
                    Some(present) if present.get().starts_with('{') => serde_json::from_str(present.get())?,
                    _ => Self::default(),
                };
                target.merge_at(&inner, depth + 1)?;
                self.put_text(name, target.text()?);
            } else {
                self.put_text(name, value.clone());
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, Text>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A policy set as it was written.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// What the set says beside its policies.
    pub head: Members,
    /// The policies, in the order of the document.
    pub policies: Vec<Text>,
    /// Whether it was a bare list.
    pub is_list: bool,
}

impl Document {
    /// Reads a set, or a bare list of policies.
    ///
    /// # Errors
    ///
    /// Where it is neither.
    pub fn read(bytes: &[u8]) -> serde_json::Result<Self> {
        if bytes.trim_ascii_start().starts_with(b"[") {
            let policies = serde_json::from_slice(bytes)?;
            return Ok(Self { head: Members::default(), policies, is_list: true });
        }
        let mut head = Members::read(bytes)?;
        let policies =
            head.get("policies").map_or(Ok(Vec::new()), |list| serde_json::from_str(list.get()))?;
        head.0.retain(|(name, _)| name != "policies");
        Ok(Self { head, policies, is_list: false })
    }

    /// The document: what it says of the set first, then a line for each policy that was written as one.
    ///
    /// # Errors
    ///
    /// As `serde_json`; none is known.
    pub fn write(&self) -> serde_json::Result<Vec<u8>> {
        let len = self.policies.iter().map(|policy| policy.get().len() + 8).sum::<usize>();
        let mut out = Vec::with_capacity(len + 256);
        out.extend_from_slice(b"{");
        for (name, value) in &self.head.0 {
            out.extend_from_slice(serde_json::to_string(name)?.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.get().as_bytes());
            out.extend_from_slice(b",\n ");
        }
        out.extend_from_slice(b"\"policies\": [");
        for (index, policy) in self.policies.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"\n  " } else { b",\n  " });
            out.extend_from_slice(policy.get().as_bytes());
        }
        out.extend_from_slice(b"\n]}\n");
        Ok(out)
    }
}

/// A policy with this id, which stands first where the text does not have one.
///
/// # Errors
///
/// As `serde_json`; none is known.
pub fn with_id(mut policy: Members, policy_id: &str) -> serde_json::Result<Members> {
    if policy.get("policy_id").is_none() {
        policy.put_first("policy_id", to_raw_value(policy_id)?);
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn merged(target: &str, patch: &str) -> String {
        let mut members = Members::read(target.as_bytes()).unwrap();
        members.merge(&Members::read(patch.as_bytes()).unwrap()).unwrap();
        members.text().unwrap().get().to_owned()
    }

    #[test]
    fn patches_are_those_of_rfc_7396() {
        // Appendix A, those whose target and patch are objects; and order and text stay.
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (r#"{"z":1.50,"a":"\u0041"}"#, r#"{"m":1}"#, r#"{"z":1.50,"a":"\u0041","m":1}"#),
        ] {
            assert_eq!(merged(target, patch), result, "{target} with {patch}");
        }
    }

    #[test]
    fn a_hostile_patch_is_refused() {
        let deep = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
        let patch = Members::read(deep.as_bytes());
        assert!(patch.is_err() || Members::default().merge(&patch.unwrap()).is_err());
        let within = format!("{}1{}", "{\"a\":".repeat(30), "}".repeat(30));
        assert_eq!(merged("{}", &within), within);
    }

    #[test]
    fn a_document_says_the_same_after_writing() {
        for text in [
            r#"{"default_action": "drop", "policies": [{"policy_id": "a"}, {"policy_id": "b", "x": [1, 2]}], "strict": true}"#,
            r#"[{"policy_id": "a"}]"#,
            r#"{"policies": []}"#,
        ] {
            let document = Document::read(text.as_bytes()).unwrap();
            let again: Value = serde_json::from_slice(&document.write().unwrap()).unwrap();
            let before: Value = serde_json::from_str(text).unwrap();
            let wanted = if before.is_array() { json!({ "policies": before }) } else { before };
            assert_eq!(again, wanted);
        }
        assert!(Document::read(b"{\"policies\": 3}").is_err());
        assert!(Document::read(b"7").is_err());
    }
}
