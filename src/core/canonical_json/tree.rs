//! A JSON value that can hold any number, and its canonical text.

use std::{collections::BTreeMap, fmt::Write as _};

use ruma::{CanonicalJsonValue, Int};

use super::JsonError;

/// A value as it was read.
#[derive(Debug)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Integer(i128),
    Fraction(f64),
    String(String),
    Array(Vec<Tree>),
    /// Ordered by the bytes of the keys, which is the order of their code points.
    Object(BTreeMap<String, Tree>),
}

impl Tree {
    /// The same value where every number is canonical.
    pub(super) fn into_canonical(self) -> Result<CanonicalJsonValue, JsonError> {
        Ok(match self {
            Self::Null => CanonicalJsonValue::Null,
            Self::Bool(value) => CanonicalJsonValue::Bool(value),
            Self::Integer(value) => CanonicalJsonValue::Integer(
                i64::try_from(value)
                    .ok()
                    .and_then(|value| Int::try_from(value).ok())
                    .ok_or(JsonError::OutOfRange)?,
            ),
            Self::Fraction(_) => return Err(JsonError::Fraction),
            Self::String(value) => CanonicalJsonValue::String(value),
            Self::Array(values) => CanonicalJsonValue::Array(
                values.into_iter().map(Self::into_canonical).collect::<Result<_, _>>()?,
            ),
            Self::Object(entries) => CanonicalJsonValue::Object(
                entries.into_iter().map(|(key, value)| Ok((key, value.into_canonical()?))).collect::<Result<
                    _,
                    JsonError,
                >>(
                )?,
            ),
        })
    }

    /// The canonical text.
    pub(super) fn to_canonical_string(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Integer(value) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "{value}");
            }
            Self::Fraction(value) => out.push_str(&python_repr(*value)),
            Self::String(value) => write_string(out, value),
            Self::Array(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Writes a string as canonical JSON does: only what must be escaped is, in the shortest way.
pub(crate) fn write_string(out: &mut String, value: &str) {
    out.push('"');
    let mut rest = value;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut tail = tail.chars();
        if let Some(c) = tail.next() {
            write_escaped(out, c);
        }
        rest = tail.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn write_escaped(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        other => {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(other));
        }
    }
}

/// The shortest digits that read back as the same number, laid out as Python's `repr` does: positional
/// from 1e-4 to below 1e16, always with a fraction, otherwise with a signed exponent of two digits.
fn python_repr(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let Ok(exponent) = exponent.parse::<i32>() else {
        return scientific;
    };
    if (-4..16).contains(&exponent) {
        let positional = format!("{value}");
        if positional.contains('.') { positional } else { positional + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::python_repr;

    #[test]
    fn fractions_are_written_as_python_writes_them() {
        // The right column was printed by Python 3.
        let cases = [
            (1.5, "1.5"),
            (1e10, "10000000000.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e22, "1.25e+22"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (0.1, "0.1"),
            (0.0, "0.0"),
            (123_456_789.123, "123456789.123"),
        ];
        for (value, expected) in cases {
            assert_eq!(python_repr(value), expected);
        }
    }
}
