//! The command line of the test program: what libtest's users expect, and what is ours.

/// What `--help` prints.
pub const HELP: &str = "\
Usage: cargo test --test spec -- [OPTIONS] [WORD...]

Runs the tests whose name holds one of the WORDs, all without.

  --exact              a WORD is a whole name
  --skip WORD          leave out names that hold WORD
  --list               print the names
  --test-threads N     how many tests run at a time
  --bless              rewrite spec-tests/endpoints.txt and docs/spec-status.md from what the server answers

Environment:
  HEARTH_SPEC_REPLICAS=1   two replicas on one database, and a proxy that takes turns between them
  HEARTH_SPEC_S3=1         media in buckets of moto_server, which the run starts (pip install 'moto[server]')
  HEARTH_SPEC_BASE_URL     test the server there; tests that need one of their own are left out
  HEARTH_SPEC_DATA         the folder of the specification's data (default ../shared/spec)
  HEARTH_SPEC_SMALL_DISK   a folder on a small disk of its own, and HEARTH_SPEC_LOG_DISK one elsewhere: the tests of a
                           full disk, which `.ci/full disk` sets up
  HEARTH_SPEC_MUTATIONS    how many mutated requests are thrown at the server
";

/// How many tests run at a time: most of their time they wait.
const DEFAULT_THREADS: usize = 8;

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    #[default]
    Run,
    List,
    Bless,
    Help,
}

/// What was asked for.
#[derive(Debug, Default)]
pub struct Options {
    pub task: Task,
    pub words: Vec<String>,
    pub skipped: Vec<String>,
    pub exact: bool,
    pub threads: usize,
}

impl Options {
    /// Reads the arguments; libtest's others are accepted and mean nothing here.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self { threads: DEFAULT_THREADS, ..Self::default() };
        let mut arguments = arguments.flat_map(|argument| match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
            _ => vec![argument],
        });
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => options.exact = true,
                "--list" => options.task = Task::List,
                "--bless" => options.task = Task::Bless,
                "-h" | "--help" => options.task = Task::Help,
                "--skip" => options.skipped.extend(arguments.next()),
                "--test-threads" => {
                    let count = arguments.next().and_then(|count| count.parse().ok());
                    options.threads = count.unwrap_or(DEFAULT_THREADS).max(1);
                }
                "--color" | "--format" | "-Z" | "--logfile" => drop(arguments.next()),
                other if other.starts_with('-') => {}
                _ => options.words.push(argument),
            }
        }
        options
    }

    /// Whether the test of this name is to run.
    pub fn select(&self, name: &str) -> bool {
        let hit = |word: &String| if self.exact { name == word } else { name.contains(word.as_str()) };
        (self.words.is_empty() || self.words.iter().any(hit)) && !self.skipped.iter().any(hit)
    }
}
