//! The server's own metrics.

use std::ops::Sub;

use crate::{Connection, Request, Result};

/// What the server counted.
#[derive(Clone, Debug)]
pub struct Counters {
    samples: Vec<(String, f64)>,
}

impl Counters {
    /// Reads them from a metrics listener.
    pub async fn read(address: &str) -> Result<Self> {
        let mut connection = Connection::open(address).await?;
        let request = Request { method: "GET", path: "/metrics", token: "", body: "" };
        let text = String::from_utf8(connection.ask(&request).await?)?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Self { samples: samples.collect() })
    }

    /// The sum of all samples of this name whose labels hold `label`; all of them where it is empty.
    #[must_use]
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let wanted = |sample: &str| {
            let rest = sample.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{')) && sample.contains(label)
        };
        self.samples.iter().filter(|(sample, _)| wanted(sample)).map(|(_, value)| value).sum()
    }

    /// Proposals in one commit, on average.
    #[must_use]
    pub fn mean_batch(&self) -> f64 {
        let commits = self.sum("hearth_commit_batch_size_count", "");
        if commits == 0.0 { 0.0 } else { self.sum("hearth_commit_batch_size_sum", "") / commits }
    }
}

impl Sub for &Counters {
    type Output = Counters;

    fn sub(self, earlier: Self) -> Counters {
        let before =
            |name: &str| earlier.samples.iter().find(|(known, _)| known == name).map_or(0.0, |s| s.1);
        let samples = self.samples.iter().map(|(name, value)| (name.clone(), value - before(name)));
        Counters { samples: samples.collect() }
    }
}
