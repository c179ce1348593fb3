//! A JSON object as slices of its text, for work that moves values without reading them.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use super::PduError;
use crate::canonical_json::write_string;

/// The entries of an object whose text is canonical: keys in order, values as they stand.
pub(crate) struct Slices<'a>(pub(crate) BTreeMap<Cow<'a, str>, &'a RawValue>);

/// An object's key, borrowed where it has no escapes.
#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Slices<'a> {
    /// Cuts an object into its entries; of equal keys the last counts.
    pub(crate) fn parse(json: &'a str) -> Result<Self, PduError> {
        let entries: BTreeMap<Key<'a>, &'a RawValue> =
            serde_json::from_str(json).map_err(|error| PduError::Malformed(error.to_string()))?;
        Ok(Self(entries.into_iter().map(|(Key(key), value)| (key, value)).collect()))
    }

    /// The text of one value.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).map(|value| value.get())
    }

    /// The same object without some keys.
    pub(crate) fn without(mut self, keys: &[&str]) -> Self {
        self.0.retain(|key, _| !keys.contains(&key.as_ref()));
        self
    }

    /// The canonical text again.
    pub(crate) fn to_json(&self) -> String {
        let mut out = ObjectWriter::new(self.0.values().map(|value| value.get().len() + 24).sum());
        for (key, value) in &self.0 {
            out.entry(key, value.get());
        }
        out.end()
    }
}

/// Writes an object whose values are text already. The caller gives the keys in order.
pub(crate) struct ObjectWriter(String);

impl ObjectWriter {
    /// Begins an object of about this many bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut out = String::with_capacity(capacity + 2);
        out.push('{');
        Self(out)
    }

    /// Adds one entry; the value is JSON text.
    pub(crate) fn entry(&mut self, key: &str, value: &str) {
        self.key(key).push_str(value);
    }

    /// Adds one entry whose value is a string.
    pub(crate) fn string(&mut self, key: &str, value: &str) {
        write_string(self.key(key), value);
    }

    /// Ends the object.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn key(&mut self, key: &str) -> &mut String {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write_string(&mut self.0, key);
        self.0.push(':');
        &mut self.0
    }
}
