//! The house rules as a test: what the compiler and clippy cannot see.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longer files are two files.
const FILE_LINES: usize = 600;
/// Longer functions are two functions.
const FUNCTION_LINES: usize = 70;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] =
    ["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"];

/// The layers from the ground up; each may use those before it.
const LAYERS: [&str; 5] = ["core", "store", "federation", "services", "api"];

/// The modules of the services, by rank: one may use those of lower rank only.
const RANKS: [&[&str]; 7] = [
    &["clock", "interned", "outgoing", "rate", "seldom"],
    &["log"],
    &["accounts", "account_data", "devices", "filters", "profiles"],
    &["rooms"],
    &["ephemeral", "media"],
    &["federation_in"],
    &["sync", "push", "federation_out", "appservices", "search"],
];

/// Places beside `src/supervisor.rs` that start something on their own: how often, and why it is in order.
/// This list only shrinks.
const SPAWNS: [(&str, usize, &str); 1] = [(
    "src/store/private_postgres/keeper.rs",
    1,
    "PostgreSQL ends with the thread that started it, so that thread must never end",
)];

/// What a table's comment says about where its rows go.
const TRIMMERS: [&str; 5] = ["trimmed", "deleted", "freed", "kept", "one row for each"];

/// A source file, split up.
struct Source {
    /// From the root of the project.
    path: String,
    text: String,
}

impl Source {
    /// The file's code before its tests.
    fn product(&self) -> &str {
        self.text.split("#[cfg(test)]").next().unwrap_or_default()
    }

    /// The lines that are not comments, numbered.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(&self.text).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn stem(&self) -> &str {
        Path::new(&self.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// Whether it is part of the server, not of its tests: those are declared as such one level up.
    fn is_product(&self) -> bool {
        let folder = Path::new(&self.path).parent().unwrap_or(Path::new(""));
        let above = [folder.with_extension("rs"), folder.join("lib.rs"), folder.join("main.rs")];
        let declared = above.iter().filter_map(|file| fs::read_to_string(root().join(file)).ok());
        let only_tests = format!("#[cfg(test)]\nmod {};", self.stem());
        self.path.starts_with("src/")
            && self.stem() != "testing"
            && !declared.into_iter().any(|text| text.contains(&only_tests))
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project with one of these endings, but for what is made or fetched.
fn files(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let skipped = matches!(name.as_str(), "target" | ".git" | "node_modules" | ".cache" | "data");
                if !skipped && !path.is_symlink() {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let path_from_root = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push(Source { path: path_from_root, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust() -> Vec<Source> {
    files(&[".rs"])
}

#[track_caller]
fn assert_none(wrong: impl IntoIterator<Item = String>) {
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let long = files(&[".rs", ".sql", ".py", ".mjs", ".sh"]).into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES).then(|| format!("{}: {lines} lines", file.path))
    });
    assert_none(long);
}

#[test]
fn no_function_is_longer_than_70_lines() {
    let long = rust().into_iter().flat_map(|file| {
        let lines: Vec<&str> = file.text.lines().collect();
        let starts = (0..lines.len()).filter(|&start| is_function(lines[start]));
        let long = starts.filter_map(|start| {
            let length = function_length(&lines[start..]);
            (length > FUNCTION_LINES).then(|| format!("{}:{}: {length} lines", file.path, start + 1))
        });
        long.collect::<Vec<_>>()
    });
    assert_none(long);
}

fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| {
        matches!(*word, "async" | "const" | "extern" | "pub")
            || word.starts_with("pub(")
            || word.ends_with(')')
    });
    words.next() == Some("fn")
}

/// How many lines the function that begins here has: the formatter puts its last brace under its first word.
fn function_length(lines: &[&str]) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = indent(lines[0]);
    let ends = |line: &&str| indent(line) == own && (line.trim_end().ends_with('}') || line.trim() == ";");
    if lines[0].trim_end().ends_with(['}', ';']) {
        return 1;
    }
    lines.iter().position(ends).map_or(lines.len(), |last| last + 1)
}

#[test]
fn names_say_what_is_inside() {
    let named = rust().into_iter().filter_map(|file| {
        let last_word = file.stem().rsplit('_').next().unwrap_or_default();
        let bad = file.stem() == "mod" || EMPTY_NAMES.contains(&last_word);
        bad.then(|| format!("{}: no mod.rs, and no name that says nothing", file.path))
    });
    assert_none(named);
    let inline = rust().into_iter().flat_map(|file| {
        let lines = file.code_lines().filter_map(|(number, line)| {
            let name = line.trim_start().trim_start_matches("pub ").strip_prefix("mod ")?;
            let name = name.trim_end_matches([';', '{', ' ']);
            EMPTY_NAMES.contains(&name).then(|| format!("{}:{number}: mod {name}", file.path))
        });
        lines.collect::<Vec<_>>()
    });
    assert_none(inline);
}

#[test]
fn a_layer_uses_only_those_below_it() {
    let mut wrong = Vec::new();
    for file in rust().iter().filter(|file| file.path.starts_with("src/")) {
        let layer = file.path.split('/').nth(1).unwrap_or_default();
        let Some(rank) = LAYERS.iter().position(|name| *name == layer) else { continue };
        for (number, line) in file.code_lines() {
            for above in &LAYERS[rank..] {
                if line.contains(&format!("hearth_{above}::")) {
                    wrong.push(format!("{}:{number}: {layer} uses {above}", file.path));
                }
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn a_service_uses_only_those_of_lower_rank() {
    let rank = |name: &str| RANKS.iter().position(|names| names.contains(&name));
    let mut wrong = Vec::new();
    for file in rust() {
        let Some(inside) = file.path.strip_prefix("src/services/") else { continue };
        let module = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(own) = rank(module) else {
            wrong.push(format!("{}: the module has no rank; give it one in RANKS", file.path));
            continue;
        };
        let depth = inside.split('/').count();
        for used in uses(&file, depth) {
            if used != module && rank(&used).is_some_and(|rank| rank >= own) {
                wrong.push(format!("{}: {module} uses {used}", file.path));
            }
        }
    }
    assert_none(wrong);
}

/// The crate's own modules that a file names, by `crate::` or by as many `super::` as lead up to the crate.
fn uses(file: &Source, depth: usize) -> BTreeSet<String> {
    let code = file.code_lines().map(|(_, line)| line).collect::<Vec<_>>().join("\n");
    let up = "super::".repeat(depth);
    let mut used = BTreeSet::new();
    for start in ["crate::", &up] {
        for rest in code.split(start).skip(1) {
            used.extend(heads(rest));
        }
    }
    used
}

/// The first names of the paths that follow: one, or those of a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        let name: String = text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        name
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut names, mut current) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut current)),
            _ => {}
        }
        if depth == 0 && !matches!(c, ',' | '}') {
            current.push(c);
        }
    }
    names.push(current);
    names.iter().map(|text| name(text)).collect()
}

#[test]
fn the_names_of_a_group_are_found() {
    assert_eq!(heads("log::{Cursor, Bus};"), ["log"]);
    assert_eq!(heads("{log::{Cursor, Bus}, rooms,\n    sync::Engine};"), ["log", "rooms", "sync"]);
}

#[test]
fn only_the_store_speaks_sql() {
    let mut wrong = Vec::new();
    for file in rust().iter().filter(|file| file.is_product() && !file.path.starts_with("src/store/")) {
        for (number, line) in file.code_lines() {
            let statement = ["\"SELECT ", "\"INSERT INTO ", "\"UPDATE ", "\"DELETE FROM "];
            if line.contains("sqlx") || statement.iter().any(|start| line.contains(start)) {
                wrong.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn only_the_supervisor_starts_tasks() {
    let mut found = BTreeMap::new();
    for file in rust().iter().filter(|file| file.is_product() && file.path != "src/supervisor.rs") {
        let starts = ["tokio::spawn(", "task::spawn(", "thread::spawn(", "thread::Builder::new("];
        let count: usize = starts.iter().map(|start| file.product().matches(start).count()).sum();
        if count > 0 {
            found.insert(file.path.clone(), count);
        }
    }
    let allowed = SPAWNS.iter().map(|(path, count, _)| ((*path).to_owned(), *count)).collect();
    assert_eq!(found, allowed, "tasks start in src/supervisor.rs; SPAWNS only shrinks");
}

#[test]
fn no_test_is_ignored() {
    let ignored = rust().into_iter().flat_map(|file| {
        let ignored = file.code_lines().filter(|(_, line)| line.trim_start().starts_with("#[ignore"));
        ignored.map(|(number, _)| format!("{}:{number}", file.path)).collect::<Vec<_>>()
    });
    assert_none(ignored);
}

#[test]
fn the_project_speaks_of_itself_only() {
    // Put together here, so that this file does not hold them.
    let foreign = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/ho", "me/"].concat()];
    let endings = [".rs", ".sql", ".md", ".toml", ".yaml", ".yml", ".py", ".mjs", ".sh", "run", "full"];
    let said = files(&endings).into_iter().flat_map(|file| {
        let lines = numbered(&file.text).filter(|(_, line)| foreign.iter().any(|word| line.contains(word)));
        lines.map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim())).collect::<Vec<_>>()
    });
    assert_none(said);
}

#[test]
fn every_table_and_column_has_a_comment_and_every_table_a_trimmer() {
    let sql = files(&[".sql"]).iter().map(|file| file.text.as_str()).collect::<Vec<_>>().join("\n");
    let mut wrong = Vec::new();
    for (table, columns) in tables(&sql) {
        let comment = sql.split(&format!("COMMENT ON TABLE {table} IS ")).nth(1);
        let comment = comment.and_then(|rest| rest.split("';").next()).unwrap_or_default().to_lowercase();
        if !TRIMMERS.iter().any(|word| comment.contains(word)) {
            wrong.push(format!("{table}: no comment that says who trims it"));
        }
        for column in columns {
            if !sql.contains(&format!("COMMENT ON COLUMN {table}.{column} IS '")) {
                wrong.push(format!("{table}.{column}: no comment"));
            }
        }
    }
    assert_none(wrong);
}

/// The tables that the migrations leave behind, with their columns.
fn tables(sql: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rest in sql.split("\nCREATE TABLE ").skip(1) {
        let Some((name, body)) = rest.split_once(" (") else { continue };
        let body = body.split("\n)").next().unwrap_or_default();
        let columns = body.lines().filter_map(|line| column(line.trim()));
        tables.insert(name.trim_start_matches("IF NOT EXISTS ").to_owned(), columns.collect());
    }
    for rest in sql.split("\nALTER TABLE ").skip(1) {
        let Some((name, change)) =
            rest.split(';').next().and_then(|change| change.split_once(char::is_whitespace))
        else {
            continue;
        };
        let columns = tables.entry(name.to_owned()).or_default();
        columns.extend(change.split("ADD COLUMN ").skip(1).filter_map(column));
        for dropped in change.split("DROP COLUMN ").skip(1).filter_map(column) {
            columns.remove(&dropped);
        }
    }
    for rest in sql.split("\nDROP TABLE ").skip(1) {
        tables.remove(rest.split(';').next().unwrap_or_default().trim());
    }
    tables
}

/// The column that a line of a table's body declares; constraints begin with an upper-case word.
fn column(line: &str) -> Option<String> {
    let name = line.split_whitespace().next()?.trim_end_matches(',');
    let lower = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (lower && !name.is_empty()).then(|| name.to_owned())
}
