//! Figures: gathered, and printed.

use std::fs;
use std::time::Duration;

/// Durations of many equal things.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    /// Figures of these.
    #[must_use]
    pub fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The one that so many of a hundred are not longer than, in milliseconds.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * percent / 100).map_or(0.0, |duration| duration.as_secs_f64() * 1000.0)
    }

    /// Their mean, in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of what was measured are small")]
    pub fn mean(&self) -> f64 {
        let sum: Duration = self.0.iter().sum();
        if self.0.is_empty() { 0.0 } else { sum.as_secs_f64() * 1000.0 / self.0.len() as f64 }
    }
}

/// A table in Markdown, printed row by row as the rows become known.
#[derive(Debug)]
pub struct Table {
    columns: usize,
}

impl Table {
    /// Prints the head.
    #[must_use]
    pub fn head(title: &str, columns: &[&str]) -> Self {
        print(&format!("\n{title}\n\n| {} |", columns.join(" | ")));
        print(&format!("|{}", " ---: |".repeat(columns.len())));
        Self { columns: columns.len() }
    }

    /// Prints a row.
    pub fn row(&self, cells: &[String]) {
        debug_assert_eq!(cells.len(), self.columns, "a cell for each column");
        print(&format!("| {} |", cells.join(" | ")));
    }
}

/// The machine, and how busy it is, in one line.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let total = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let load: Vec<String> = read("/proc/loadavg").split(' ').take(3).map(str::to_owned).collect();
    format!(
        "{cores} cores of {}, {} GB; load average before: {}",
        model.trim_start_matches(['\t', ' ', ':']),
        total.unwrap_or_default() / 1_000_000,
        load.join(" ")
    )
}

#[expect(clippy::print_stdout, reason = "printing tables is what a bench is for")]
fn print(line: &str) {
    println!("{line}");
}
