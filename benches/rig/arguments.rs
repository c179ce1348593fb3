//! The command line of a bench.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::Result;

/// `--name value` pairs, each with a default.
#[derive(Debug)]
pub struct Arguments {
    given: BTreeMap<String, String>,
    defaults: Defaults,
    quick: Defaults,
}

/// Names and their values.
type Defaults = &'static [(&'static str, &'static str)];

impl Arguments {
    /// Reads the command line; `defaults` are all the names there are.
    pub fn parse(defaults: Defaults) -> Result<Self> {
        Self::parse_or_quick(defaults, &[])
    }

    /// Reads the command line likewise; where `--quick` is a word of it, the defaults are those of `quick`, so far as it
    /// has any.
    pub fn parse_or_quick(defaults: Defaults, quick: Defaults) -> Result<Self> {
        let mut arguments = Self { given: BTreeMap::new(), defaults, quick: &[] };
        // Cargo adds `--bench`.
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            if word == "--quick" && !quick.is_empty() {
                arguments.quick = quick;
                continue;
            }
            let known = defaults.iter().find(|(name, _)| word.strip_prefix("--") == Some(name));
            let (Some((name, _)), Some(value)) = (known, words.next()) else {
                let names = defaults.iter().map(|(name, value)| format!("--{name} {value}"));
                let names: Vec<String> =
                    names.chain((!quick.is_empty()).then(|| "--quick".to_owned())).collect();
                return Err(format!("not “{word}”; the arguments are {}", names.join(" ")).into());
            };
            arguments.given.insert((*name).to_owned(), value);
        }
        Ok(arguments)
    }

    /// The value of an argument.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<T> {
        let mut defaults = self.quick.iter().chain(self.defaults);
        let default = defaults.find(|(known, _)| *known == name).map(|(_, value)| *value);
        let value = self.given.get(name).map(String::as_str).or(default).unwrap_or_default();
        value.parse().map_err(|_| format!("--{name} cannot be {value}").into())
    }

    /// The values of an argument that is a list, with commas between.
    pub fn list<T: FromStr>(&self, name: &str) -> Result<Vec<T>> {
        let text: String = self.get(name)?;
        let items = text.split(',').filter(|item| !item.is_empty());
        items.map(|item| item.parse().map_err(|_| format!("--{name} cannot hold {item}").into())).collect()
    }
}
