//! JSON put together from texts that are JSON already.

use crate::sync::SyncError;

/// A JSON text being written. Commas are put where the grammar wants them.
#[derive(Debug, Default)]
pub(super) struct Json(String);

impl Json {
    /// An empty text with room for about so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Writes an object whose entries `inside` writes.
    pub(super) fn object(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<(), SyncError>,
    ) -> Result<(), SyncError> {
        self.value().push('{');
        inside(self)?;
        self.0.push('}');
        Ok(())
    }

    /// Writes an array whose elements `inside` writes.
    pub(super) fn array(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<(), SyncError>,
    ) -> Result<(), SyncError> {
        self.value().push('[');
        inside(self)?;
        self.0.push(']');
        Ok(())
    }

    /// Writes the key of the value that comes next.
    pub(super) fn key(&mut self, key: &str) -> &mut Self {
        self.string(key);
        self.0.push(':');
        self
    }

    /// Writes a string.
    pub(super) fn string(&mut self, value: &str) {
        // A string always has a JSON text.
        let text = serde_json::to_string(value).unwrap_or_default();
        self.raw(&text);
    }

    /// Writes a value that is JSON text already.
    pub(super) fn raw(&mut self, value: &str) {
        self.value().push_str(value);
    }

    /// The text itself, where a value may be written.
    pub(super) fn value(&mut self) -> &mut String {
        if !matches!(self.0.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(',');
        }
        &mut self.0
    }

    /// The whole text.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_where_the_grammar_wants_them() {
        let mut json = Json::default();
        let written = json.object(|json| {
            json.key("a\"{").raw("1");
            json.key("b").array(|json| {
                json.string("x:");
                json.raw("{}");
                json.object(|_| Ok(()))
            })?;
            json.key("c").string("");
            Ok(())
        });
        assert!(written.is_ok());
        assert_eq!(json.into_text(), r#"{"a\"{":1,"b":["x:",{},{}],"c":""}"#);
    }
}
