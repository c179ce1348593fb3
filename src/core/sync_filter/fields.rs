//! Selecting parts of an event by their paths.

use serde::{Deserialize, Deserializer};

use crate::pdu::{ObjectWriter, Slices};

/// The path to a part of an event, such as `content.body`.
///
/// A dot or a backslash in a key is written with a backslash before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Takes a path apart; no text is wrong.
    ///
    /// ```
    /// use hearth_core::sync_filter::FieldPath;
    ///
    /// assert_eq!(FieldPath::parse(r"content.m\.relates_to").keys(), ["content", "m.relates_to"]);
    /// ```
    #[must_use]
    pub fn parse(path: &str) -> Self {
        let mut keys = vec![];
        let mut key = String::new();
        let mut rest = path.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '.' => keys.push(std::mem::take(&mut key)),
                '\\' => key.push(rest.next_if(|c| matches!(c, '.' | '\\')).unwrap_or('\\')),
                other => key.push(other),
            }
        }
        keys.push(key);
        Self(keys)
    }

    /// The keys from the outermost to the innermost.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|path| Self::parse(&path))
    }
}

/// What of an event lies at any of the paths.
pub(super) fn select(event: &str, paths: &[FieldPath]) -> String {
    let paths: Vec<&[String]> = paths.iter().map(FieldPath::keys).collect();
    inside(event, &paths).unwrap_or_else(|| "{}".to_owned())
}

/// The same for a value and the rests of the paths into it; `None` where nothing lies there.
fn inside(json: &str, paths: &[&[String]]) -> Option<String> {
    // What is no object has no parts.
    let object = Slices::parse(json).ok()?;
    let mut out = ObjectWriter::new(json.len());
    let mut found = false;
    for (key, value) in &object.0 {
        let rests: Vec<&[String]> = paths
            .iter()
            .filter_map(|path| path.split_first().filter(|(first, _)| *first == key).map(|(_, rest)| rest))
            .collect();
        if rests.iter().any(|rest| rest.is_empty()) {
            out.entry(key, value.get());
            found = true;
        } else if !rests.is_empty()
            && let Some(part) = inside(value.get(), &rests)
        {
            out.entry(key, &part);
            found = true;
        }
    }
    found.then(|| out.end())
}
