//! Looking through JSON without keeping any of it.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{JsonError, MAX_DEPTH};

/// Refuses what no endpoint can use: anything but an object, a depth or a character that cannot be kept.
pub(super) fn object(json: &[u8]) -> Result<(), JsonError> {
    let refusal = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let result = Checker { depth: 0, refusal: &refusal }.deserialize(&mut deserializer).and_then(|shape| {
        deserializer.end()?;
        Ok(shape)
    });
    match result {
        Ok(Shape::Object) => Ok(()),
        Ok(Shape::Other) => Err(JsonError::NotAnObject),
        Err(error) => Err(refusal.take().unwrap_or_else(|| JsonError::Syntax(error.to_string()))),
    }
}

#[derive(Clone, Copy)]
enum Shape {
    Object,
    Other,
}

#[derive(Clone, Copy)]
struct Checker<'a> {
    /// How many objects and arrays are open around the value.
    depth: usize,
    /// Where a refusal waits for the library's own error to come back up.
    refusal: &'a Cell<Option<JsonError>>,
}

impl Checker<'_> {
    fn refuse<T, E: Error>(&self, reason: JsonError) -> Result<T, E> {
        self.refusal.set(Some(reason));
        Err(E::custom("refused"))
    }

    fn inside<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return self.refuse(JsonError::TooDeep);
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Checker<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checker<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Shape, E> {
        if value.contains('\0') {
            return self.refuse(JsonError::Nul);
        }
        Ok(Shape::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Shape, A::Error> {
        let inside = self.inside()?;
        while elements.next_element_seed(inside)?.is_some() {}
        Ok(Shape::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let inside = self.inside()?;
        while entries.next_key_seed(inside)?.is_some() {
            entries.next_value_seed(inside)?;
        }
        Ok(Shape::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical_json::{Allow, canonicalise};

    const ANY_NUMBER: Allow = Allow { any_number: true, nul: false };

    #[test]
    fn it_refuses_what_the_reader_of_any_number_refuses() {
        let deep = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let cases = [
            r#"{"a":[1,{"b":null}]}"#.to_owned(),
            r#" {"a":1.5} "#.to_owned(),
            r#"{"a":9007199254740992}"#.to_owned(),
            r#"{"a":123456789012345678901234567890}"#.to_owned(),
            r#"{"a":"\u0000"}"#.to_owned(),
            r#"{"\u0000":1}"#.to_owned(),
            r#"{"a":"\ud800"}"#.to_owned(),
            r#"{"a":NaN}"#.to_owned(),
            r#"{"a":1}x"#.to_owned(),
            "[]".to_owned(),
            "7".to_owned(),
            String::new(),
            deep(MAX_DEPTH),
            deep(MAX_DEPTH + 1),
            deep(100_000),
        ];
        for json in &cases {
            let read = canonicalise(json, ANY_NUMBER).map(|_| ()).map_err(kind);
            assert_eq!(object(json.as_bytes()).map_err(kind), read, "{json:.60}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err_and(|error| error.is_syntax()));
    }

    /// Without the library's wording, which tells where it stopped.
    fn kind(error: JsonError) -> JsonError {
        match error {
            JsonError::Syntax(_) => JsonError::Syntax(String::new()),
            other => other,
        }
    }
}
