//! Reads YAML into paths and values that know their lines.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::value::Raw;

/// A value of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Written {
    /// The names that lead to it, with dots.
    pub(super) path: String,
    pub(super) raw: Raw,
    /// Its line, from 1.
    pub(super) line: u64,
}

/// Reads a file; the error is a line and what is wrong there.
pub(super) fn parse(text: &str) -> Result<Vec<Written>, (u64, String)> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Vec::new());
    }
    // Comments are for people, and a section may hold nothing else.
    let options = serde_saphyr::options! { emit_comments: false };
    let node: Node = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        (line, format!("this is not YAML: {}", error.without_snippet()))
    })?;
    let Node::Section(entries) = node else {
        return Err((1, "expected keys and values, such as `server_name: example.org`".to_owned()));
    };
    let mut found = Vec::new();
    flatten("", entries, &mut found)?;
    Ok(found)
}

fn flatten(prefix: &str, entries: Entries, found: &mut Vec<Written>) -> Result<(), (u64, String)> {
    for (name, node) in entries {
        let line = name.referenced.line();
        let path = if prefix.is_empty() { name.value } else { format!("{prefix}.{}", name.value) };
        match node {
            // "key:" with nothing behind it leaves the default.
            Node::Nothing => {}
            Node::Section(entries) => flatten(&path, entries, found)?,
            Node::Scalar(raw) => found.push(Written { path, raw, line }),
            Node::List(items) => {
                let items = items.into_iter().map(|item| match item {
                    Node::Scalar(raw) => Ok(raw),
                    _ => Err((line, format!("{path}: expected plain values in the list"))),
                });
                let raw = Raw::List(items.collect::<Result<_, _>>()?);
                found.push(Written { path, raw, line });
            }
        }
    }
    Ok(())
}

type Entries = Vec<(Spanned<String>, Node)>;

enum Node {
    Nothing,
    Scalar(Raw),
    List(Vec<Node>),
    Section(Entries),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a section")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Raw::Boolean(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(Raw::Integer(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        i64::try_from(value).map(|value| Node::Scalar(Raw::Integer(value))).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(Raw::Float(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Raw::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Section(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_paths_and_lines() {
        let text = "# ours\nserver_name: example.org\nlog:\n  level: debug\nlisten:\n  - 127.0.0.1:80\n  - '[::1]:80'\nlimits: {enabled: false, other:}\n";
        let written = |path: &str, raw, line| Written { path: path.into(), raw, line };
        let text_of = |text: &str| Raw::Text(text.into());
        assert_eq!(
            parse(text).unwrap(),
            [
                written("server_name", text_of("example.org"), 2),
                written("log.level", text_of("debug"), 4),
                written("listen", Raw::List(vec![text_of("127.0.0.1:80"), text_of("[::1]:80")]), 5),
                written("limits.enabled", Raw::Boolean(false), 8),
            ]
        );
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        assert_eq!(parse("\n# nothing\n").unwrap(), []);
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_line() {
        let (line, what) = parse("server_name: a\n  listen: [b\n").unwrap_err();
        assert!(line >= 2 && what.starts_with("this is not YAML"), "{line}: {what}");
        assert_eq!(parse("server_name: a\nserver_name: b\n").unwrap_err().0, 2);
    }
}
