//! `coverage.tsv`: what the specification demands, line by line, and what proves that the server does it.
//!
//! The columns are the section, the demand, and what there is to say of it, each in a column of its own: the tests that
//! prove it, `later: ` and the part that brings it, or `not yet: ` and what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::harness::schema::data_folder;
use crate::harness::{Hearth, Test, tests};

/// How many lines say that something is not there yet. May only shrink.
const NOT_YET: usize = 0;

/// The parts that lines leave something to.
const PARTS: [&str; 26] = [
    "administration",
    "application services",
    "calls",
    "captchas",
    "delayed events",
    "deprecated endpoints",
    "encryption",
    "federation",
    "guests",
    "invite permissions",
    "media",
    "moderation",
    "oauth",
    "policy servers",
    "push",
    "relations",
    "rendezvous",
    "reports",
    "room upgrades",
    "search",
    "server notices",
    "single sign-on",
    "spaces",
    "sticky events",
    "third-party identifiers",
    "user directory",
];

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        every_test_that_proves_something_exists,
        every_demand_of_a_section_stands_once,
        what_is_left_is_said_in_one_of_two_ways,
        what_is_not_there_yet_only_becomes_less,
    ]
}

/// A demand, and what there is to say of it.
struct Line {
    section: String,
    demand: String,
    said: Vec<String>,
}

impl Line {
    fn about(&self) -> String {
        format!("{}: {}", self.section, self.demand)
    }

    /// The names of its tests.
    fn proofs(&self) -> impl Iterator<Item = &str> {
        let said =
            self.said.iter().filter(|said| !said.starts_with("later: ") && !said.starts_with("not yet: "));
        said.flat_map(|said| said.split(", "))
    }
}

fn lines() -> Vec<Line> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/spec-tests/coverage.tsv");
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut columns = line.split('\t').map(str::to_owned);
            let (section, demand) = (columns.next().unwrap(), columns.next().expect("a demand"));
            Line { section, demand, said: columns.collect() }
        })
        .collect()
}

async fn every_test_that_proves_something_exists(_: Hearth) {
    let here: BTreeSet<&str> =
        crate::all().iter().filter_map(|test| test.name.split_once("::")).map(|(_, name)| name).collect();
    let lines = lines();
    let absent = lines.iter().flat_map(|line| {
        let absent = line.proofs().filter(|name| !here.contains(name) && !stands_in_a_source(name));
        absent.map(|name| format!("{name}, for {}", line.about()))
    });
    assert_eq!(absent.collect::<Vec<_>>(), Vec::<String>::new());
}

/// Whether a test beside the code, or of `service-tests/`, stands in the file that its name says.
fn stands_in_a_source(name: &str) -> bool {
    let mut path: Vec<&str> = name.split("::").collect();
    let (Some(function), false) = (path.pop(), path.is_empty()) else { return false };
    let folder = match path.remove(0) {
        "hearth" => "src".to_owned(),
        "service_tests" => "service-tests".to_owned(),
        layer => format!("src/{}", layer.trim_start_matches("hearth_")),
    };
    let holds = |path: &[&str]| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder).join(format!("{}.rs", path.join("/")));
        fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {function}(")))
    };
    // In a file of its own, or at the end of the one it tests.
    holds(&path) || (path.pop() == Some("tests") && holds(&path))
}

async fn every_demand_of_a_section_stands_once(_: Hearth) {
    let mut claimed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines() {
        claimed.entry(line.section).or_default().push(line.demand);
    }
    for (section, demands) in &claimed {
        assert_eq!(BTreeSet::from_iter(demands).len(), demands.len(), "one stands twice in {section}");
    }
    let Some(folder) = data_folder() else { return };
    let demanded = fs::read_to_string(folder.join("coverage.md")).unwrap();
    let mut section = "";
    let mut wrong = Vec::new();
    let mut met = 0;
    for line in demanded.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.split('.').next().unwrap_or_default();
        } else if let (Some(demand), Some(demands)) = (line.strip_prefix("- "), claimed.get(section)) {
            let stand = demands.iter().filter(|begin| demand.starts_with(begin.as_str())).count();
            met += stand;
            if stand != 1 {
                wrong.push(format!("{stand} lines for {section}: {demand}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(met, claimed.values().map(Vec::len).sum::<usize>(), "a line demands what nobody does");
}

async fn what_is_left_is_said_in_one_of_two_ways(_: Hearth) {
    for line in lines() {
        assert!(!line.said.is_empty(), "nothing is said of {}", line.about());
        for said in &line.said {
            if let Some(part) = said.strip_prefix("later: ") {
                assert!(PARTS.contains(&part), "there is no part {part}: {}", line.about());
            } else {
                assert!(
                    !said.is_empty() && !said.ends_with(": "),
                    "something is left open: {}",
                    line.about()
                );
            }
        }
    }
}

async fn what_is_not_there_yet_only_becomes_less(_: Hearth) {
    let open = lines().into_iter().filter(|line| line.said.iter().any(|said| said.starts_with("not yet: ")));
    let open: Vec<String> = open.map(|line| line.about()).collect();
    assert_eq!(open.len(), NOT_YET, "{open:#?}");
}
