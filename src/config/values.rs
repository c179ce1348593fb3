//! Gathers values from the file and the environment, under the paths of the keys.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{Origin, Problem, nearest};
use super::file;
use super::keys::{KEYS, Key};
use super::value::Raw;

/// The variable that names the file; not a key.
const CONFIG_VARIABLE: &str = "HEARTH_CONFIG";

/// A secret's file is read up to here.
const LONGEST_SECRET: usize = 64 * 1024;

/// What was set, and where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    set: BTreeMap<&'static str, (Raw, Origin)>,
}

/// One value on its way: its path as written, itself, where it is from.
type Found = (String, Raw, Origin);

impl Values {
    /// What is set for a key.
    pub(crate) fn get(&self, path: &str) -> Option<&(Raw, Origin)> {
        self.set.get(path)
    }

    /// Where a key was set.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        self.set.get(path).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Adds the text of a configuration file. An unknown key is a problem.
    pub(super) fn add_file(&mut self, path: &Path, text: &str, problems: &mut Vec<Problem>) {
        let origin = |line| Origin::File { path: path.to_owned(), line };
        let found = match file::parse(text) {
            Ok(found) => found,
            Err((line, what)) => return problems.push(Problem::new(origin(line), "", what)),
        };
        let found: Vec<Found> =
            found.into_iter().map(|value| (value.path, value.raw, origin(value.line))).collect();
        for value in &found {
            if find(&value.0).is_none() {
                problems.push(unknown(value));
            }
        }
        self.add(found, problems);
    }

    /// Adds the environment, which has the last word. An unknown variable is a warning.
    pub(super) fn add_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
        problems: &mut Vec<Problem>,
    ) -> Vec<String> {
        let (mut found, mut warnings) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            let Some(path) = name.strip_prefix("HEARTH_").filter(|_| name != CONFIG_VARIABLE) else {
                continue;
            };
            let path = path.replace("__", ".").to_lowercase();
            if find(&path).is_some() {
                found.push((path, Raw::Loose(value), Origin::Environment(name)));
                continue;
            }
            let near = nearest(&name, KEYS.iter().map(Key::variable));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            warnings.push(format!("the environment variable {name} means nothing to this server{hint}"));
        }
        self.add(found, problems);
        warnings
    }

    fn add(&mut self, found: Vec<Found>, problems: &mut Vec<Problem>) {
        let mut here: BTreeMap<&'static str, Origin> = BTreeMap::new();
        for (path, raw, origin) in found {
            let Some((key, from_file)) = find(&path) else { continue };
            if let Some(other) = here.insert(key.path, origin.clone()) {
                let what = format!("set here and as well at {other}; only one of them can hold");
                problems.push(Problem::new(origin, path, what));
                continue;
            }
            let raw = if from_file { read_secret(&raw) } else { Ok(raw) };
            match raw {
                Ok(raw) => drop(self.set.insert(key.path, (raw, origin))),
                Err(what) => problems.push(Problem::new(origin, path, what)),
            }
        }
    }
}

/// The key of a path, and whether the path is that of the file which holds its secret.
fn find(path: &str) -> Option<(&'static Key, bool)> {
    let exact = KEYS.iter().find(|key| key.path == path).map(|key| (key, false));
    exact.or_else(|| {
        let path = path.strip_suffix("_file")?;
        KEYS.iter().find(|key| key.secret && key.path == path).map(|key| (key, true))
    })
}

fn unknown((path, _, origin): &Found) -> Problem {
    let section = format!("{path}.");
    if let Some(inside) = KEYS.iter().find(|key| key.path.starts_with(&section)) {
        let what = format!("expected keys such as `{}` inside it, not a value", inside.path);
        return Problem::new(origin.clone(), path, what);
    }
    Problem::unknown(origin.clone(), path)
}

fn read_secret(path: &Raw) -> Result<Raw, String> {
    let (Raw::Loose(path) | Raw::Text(path)) = path else { return Err("expected a path".to_owned()) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let text = text.trim_end();
    if text.is_empty() || text.len() > LONGEST_SECRET {
        return Err(format!("{path} is empty, or too long for a secret"));
    }
    Ok(Raw::Loose(text.to_owned()))
}
