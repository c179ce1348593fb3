//! What PostgreSQL keeps of a join to a huge room.

use std::collections::BTreeMap;

use hearth_bench::{Filler, Result, Rig, Table};
use sqlx::PgConnection;

const DATABASE: &str = "served";

/// Bytes of a table and of its indexes.
#[derive(Clone, Copy, Default)]
struct Size {
    heap: i64,
    index: i64,
}

/// Sizes of all tables, and how far the write-ahead log has come.
struct Sizes {
    tables: BTreeMap<String, Size>,
    wal: i64,
}

/// Fills a room, and lets `joins` more people join it.
pub(crate) async fn measure(members: usize, joins: usize) -> Result<()> {
    let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
    rig.found(DATABASE).await?;
    let filler = Filler::open(&rig, DATABASE).await?;
    let crowd = filler.people("member", members).await?;
    let together = filler.people("together", joins).await?;
    let singly = filler.people("singly", joins.min(500)).await?;
    let room = filler.room(crowd.first().ok_or("nobody")?).await?;
    filler.join(&room, crowd.get(1..).unwrap_or_default()).await?;
    let mut onlooker = rig.connect(DATABASE).await?;
    let table = Table::head(
        &format!("Bytes that a join to a room of {members} members adds; the log is trimmed later"),
        &["joins", "table", "heap", "indexes", "WAL"],
    );
    for (name, people) in [("together", &together), ("one by one", &singly)] {
        let before = sizes(&mut onlooker).await?;
        if name == "together" {
            filler.join(&room, people).await?;
        } else {
            for person in people {
                filler.join(&room, std::slice::from_ref(person)).await?;
            }
        }
        let after = sizes(&mut onlooker).await?;
        print(&table, name, (&before, &after), i64::try_from(people.len())?);
    }
    filler.close().await?;
    rig.stop().await;
    Ok(())
}

fn print(table: &Table, name: &str, (before, after): (&Sizes, &Sizes), joins: i64) {
    let mut sum = Size::default();
    for (relation, size) in &after.tables {
        let earlier = before.tables.get(relation).copied().unwrap_or_default();
        let grown = Size { heap: size.heap - earlier.heap, index: size.index - earlier.index };
        sum = Size { heap: sum.heap + grown.heap, index: sum.index + grown.index };
        if grown.heap + grown.index >= joins {
            let cells =
                [relation.clone(), (grown.heap / joins).to_string(), (grown.index / joins).to_string()];
            table.row(&[&[name.to_owned()], &cells[..], &[String::new()]].concat());
        }
    }
    table.row(&[
        name.to_owned(),
        "all".to_owned(),
        (sum.heap / joins).to_string(),
        (sum.index / joins).to_string(),
        ((after.wal - before.wal) / joins).to_string(),
    ]);
}

async fn sizes(onlooker: &mut PgConnection) -> Result<Sizes> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT relname::text, pg_table_size(relid), pg_indexes_size(relid) FROM pg_stat_user_tables",
    )
    .fetch_all(&mut *onlooker)
    .await?;
    let tables = rows.into_iter().map(|(name, heap, index)| (name, Size { heap, index })).collect();
    let wal = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
        .fetch_one(onlooker)
        .await?;
    Ok(Sizes { tables, wal })
}
