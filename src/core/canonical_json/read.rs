//! Reading JSON with a bound on its depth and a name for every refusal.

use std::{cell::Cell, collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Allow, JsonError, MAX_DEPTH, tree::Tree};
use crate::room_version::MAX_SAFE_INTEGER;

/// Reads one value, refusing what is not allowed.
pub(super) fn tree(json: &[u8], allow: Allow) -> Result<Tree, JsonError> {
    let refusal = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let result = Reader { allow, depth: 0, refusal: &refusal }
        .deserialize(&mut deserializer)
        .and_then(|tree| deserializer.end().map(|()| tree));
    result.map_err(|error| refusal.take().unwrap_or_else(|| JsonError::Syntax(error.to_string())))
}

/// Reads the value at one depth.
#[derive(Clone, Copy)]
struct Reader<'a> {
    allow: Allow,
    /// How many objects and arrays are open around the value.
    depth: usize,
    /// Where a refusal waits for the library's own error to come back up.
    refusal: &'a Cell<Option<JsonError>>,
}

impl Reader<'_> {
    /// Stops the reading for a reason with a name.
    fn refuse<T, E: serde::de::Error>(&self, reason: JsonError) -> Result<T, E> {
        self.refusal.set(Some(reason));
        Err(E::custom("refused"))
    }

    /// A reader for what lies inside an object or array at this depth.
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return self.refuse(JsonError::TooDeep);
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn integer<E: serde::de::Error>(&self, value: i128) -> Result<Tree, E> {
        if !self.allow.any_number && value.abs() > i128::from(MAX_SAFE_INTEGER) {
            return self.refuse(JsonError::OutOfRange);
        }
        Ok(Tree::Integer(value))
    }

    fn string<E: serde::de::Error>(&self, value: String) -> Result<String, E> {
        if !self.allow.nul && value.contains('\0') {
            return self.refuse(JsonError::Nul);
        }
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Tree, E> {
        self.integer(i128::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Tree, E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Tree, E> {
        // The library reads `-0` as a fraction; it is an integer, and its canonical form is `0`.
        if value == 0.0 && value.is_sign_negative() {
            return Ok(Tree::Integer(0));
        }
        if self.allow.any_number {
            return Ok(Tree::Fraction(value));
        }
        // So it reads integers beyond 64 bits; what was meant is past the range in any case.
        self.refuse(if value.abs() >= 2_f64.powi(63) { JsonError::OutOfRange } else { JsonError::Fraction })
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Tree, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Tree, E> {
        self.string(value).map(Tree::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Tree, A::Error> {
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(inside)? {
            values.push(value);
        }
        Ok(Tree::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let inside = self.inside()?;
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let key = self.string(key)?;
            entries.insert(key, map.next_value_seed(inside)?);
        }
        Ok(Tree::Object(entries))
    }
}
