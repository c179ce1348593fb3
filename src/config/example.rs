//! Writes the configuration out: as an example with every key, and as it is in force.

use super::Loaded;
use super::keys::{KEYS, Key};

/// How long a line of the example may be.
const WIDTH: usize = 100;

/// What the example begins with.
const HEADING: &str = "\
# The configuration of a Hearth server. Every key is optional; the commented values are the defaults.
# The server reads the file named by --config or HEARTH_CONFIG, otherwise ./hearth.yaml if there is one.
# Every key can be set by its environment variable as well, which has the last word.
# Keys marked (reloads) take effect on SIGHUP.
";

/// A file with every key, each commented out at its default.
pub(crate) fn example() -> String {
    let mut lines: Vec<String> = HEADING.lines().map(ToOwned::to_owned).collect();
    let mut sections: Vec<&str> = Vec::new();
    for key in KEYS {
        let mut names: Vec<&str> = key.path.split('.').collect();
        let name = names.pop().unwrap_or_default();
        let shared = names.iter().zip(&sections).take_while(|(a, b)| a == b).count();
        lines.push(String::new());
        for (depth, section) in names.iter().enumerate().skip(shared) {
            lines.push(format!("{}{section}:", indent(depth)));
        }
        let indent = indent(names.len());
        lines.extend(described(key, &format!("{indent}# ")));
        lines.push(format!("{indent}#{name}:{}", written(key)));
        sections = names;
    }
    lines.join("\n") + "\n"
}

/// What is in force, and from where; secrets are not shown.
pub(crate) fn shown(loaded: &Loaded) -> String {
    let lines = loaded.config.show().into_iter().map(|(key, value)| {
        let value = if value.is_empty() {
            "(not set)".to_owned()
        } else if key.secret {
            "(set)".to_owned()
        } else {
            value
        };
        format!("{} = {value}    # {}\n", key.path, loaded.values.origin(key.path))
    });
    lines.collect()
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

/// What a key is for, what can be written, and its environment variable.
fn described(key: &Key, prefix: &str) -> Vec<String> {
    let reloads = if key.reloads { " (reloads)" } else { "" };
    let mut lines = Vec::new();
    let mut line = prefix.to_owned();
    for word in format!("{} Expects {}.{reloads}", key.doc, key.expected).split(' ') {
        if line.len() + word.len() > WIDTH {
            lines.push(line.trim_end().to_owned());
            prefix.clone_into(&mut line);
        }
        line.push_str(word);
        line.push(' ');
    }
    lines.push(line.trim_end().to_owned());
    let file = if key.secret { format!(" or {}_FILE", key.variable()) } else { String::new() };
    lines.push(format!("{prefix}{}{file}", key.variable()));
    lines
}

fn written(key: &Key) -> String {
    let value = key.default;
    let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "._/:- ".contains(c));
    match value {
        "" => String::new(),
        _ if key.path == "listen" => format!(" [\"{value}\"]"),
        _ if plain => format!(" {value}"),
        _ => format!(" \"{value}\""),
    }
}
