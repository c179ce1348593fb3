//! What a change of a room's state costs, by the size of the state.
//!
//! `cargo bench --bench state_trees` prints, for the trees alone, the nodes, bytes and time of a change, and the time
//! to find a difference; then fills a room through the services and prints what PostgreSQL stores and logs for each
//! further join. `-- --members 0` leaves out the room.

mod stored;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_bench::{Arguments, Result, Table, machine};
use hearth_core::id::{EventNid, NodeId, Root, StateKeyNid};
use hearth_core::state_tree::{self, Node, Updated};

const ARGUMENTS: [(&str, &str); 4] = [
    ("entries", "10,100,1000,10000,100000"),
    ("differences", "1,10,100,1000"),
    ("members", "100000"),
    ("joins", "2000"),
];

/// Changes of which the mean is taken.
const CHANGES: i64 = 1_000;

/// A difference is looked for again and again for so long.
const LOOKING: Duration = Duration::from_millis(200);

/// A tree in memory, all of its nodes at hand.
struct Tree {
    nodes: HashMap<NodeId, Arc<Node>>,
    root: Root,
    last: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse(&ARGUMENTS)?;
    say(&machine());
    let sizes: Vec<i64> = arguments.list("entries")?;
    changes(&sizes)?;
    differences(&sizes, &arguments.list("differences")?)?;
    let members = arguments.get("members")?;
    if members > 0 {
        stored::measure(members, arguments.get("joins")?).await?;
    }
    Ok(())
}

impl Tree {
    fn of(entries: i64) -> Result<(Self, usize)> {
        let mut tree = Self { nodes: HashMap::new(), root: Root::EMPTY, last: 0 };
        let all: Vec<_> =
            (1..=entries).map(|n| (StateKeyNid::new(n), Some(EventNid::new(1_000_000 + n)))).collect();
        let updated = tree.change(&all)?;
        let bytes = updated.nodes.iter().map(|node| node.data.len()).sum();
        Ok((tree, bytes))
    }

    fn change(&mut self, changes: &[(StateKeyNid, Option<EventNid>)]) -> Result<Updated> {
        let Self { nodes, root, last } = self;
        let mut ids = || {
            *last += 1;
            NodeId::new(*last)
        };
        let updated = state_tree::update(nodes, *root, changes, &mut ids)?;
        nodes.extend(updated.nodes.iter().map(|new| (new.id, Arc::clone(&new.node))));
        *root = updated.root;
        Ok(updated)
    }
}

/// What it costs to set one key, of those that are there and of new ones.
fn changes(sizes: &[i64]) -> Result<()> {
    let table = Table::head(
        "One change",
        &[
            "entries",
            "nodes",
            "bytes an entry",
            "nodes a change",
            "bytes a change",
            "µs a change",
            "nodes a new key",
            "bytes a new key",
            "µs a new key",
        ],
    );
    for &entries in sizes {
        let (mut tree, bytes) = Tree::of(entries)?;
        let mut cells = vec![
            entries.to_string(),
            tree.nodes.len().to_string(),
            format!("{:.1}", mean(i64::try_from(bytes)?, entries)),
        ];
        let start = tree.root;
        for first in [0, entries] {
            let (mut nodes, mut bytes, begun) = (0, 0, Instant::now());
            for n in 0..CHANGES {
                // Each change is to the tree as it was; a prime stride spreads them.
                tree.root = start;
                let key = StateKeyNid::new(first + 1 + (n * 7919) % entries);
                let updated = tree.change(&[(key, Some(EventNid::new(5_000_000 + n)))])?;
                nodes += updated.nodes.len();
                bytes += updated.nodes.iter().map(|node| node.data.len()).sum::<usize>();
            }
            let micros = i64::try_from(begun.elapsed().as_micros())?;
            cells.extend([
                format!("{:.2}", mean(i64::try_from(nodes)?, CHANGES)),
                format!("{:.0}", mean(i64::try_from(bytes)?, CHANGES)),
                format!("{:.1}", mean(micros, CHANGES)),
            ]);
        }
        table.row(&cells);
    }
    Ok(())
}

/// How long it takes to find in what two states differ.
fn differences(sizes: &[i64], differences: &[i64]) -> Result<()> {
    let names: Vec<String> = differences.iter().map(|size| format!("{size} differ, µs")).collect();
    let mut columns = vec!["entries"];
    columns.extend(names.iter().map(String::as_str));
    let table = Table::head("The difference of two states, all nodes in memory", &columns);
    for &entries in sizes {
        let mut cells = vec![entries.to_string()];
        for &size in differences {
            let (mut tree, _) = Tree::of(entries)?;
            let before = tree.root;
            let size = size.min(entries);
            let changes: Vec<_> = (0..size)
                .map(|n| (StateKeyNid::new(1 + n * entries / size), Some(EventNid::new(9_000_000 + n))))
                .collect();
            tree.change(&changes)?;
            let (begun, mut looked) = (Instant::now(), 0);
            while begun.elapsed() < LOOKING {
                let found = state_tree::diff(&tree.nodes, before, tree.root)?;
                if found.len() != changes.len() {
                    return Err("the difference is not what was changed".into());
                }
                looked += 1;
            }
            cells.push(format!("{:.1}", mean(i64::try_from(begun.elapsed().as_micros())?, looked)));
        }
        table.row(&cells);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of what was measured are small")]
fn mean(sum: i64, count: i64) -> f64 {
    sum as f64 / count as f64
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
