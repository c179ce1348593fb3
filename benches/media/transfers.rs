//! Uploading and downloading.

use std::fs;
use std::path::PathBuf;

use hearth_bench::{Result, Table, Usage};

use crate::content::Content;
use crate::courier::Courier;
use crate::nginx::{self, Nginx};
use crate::plain;
use crate::run::{Run, megabytes, share};
use crate::stage::{Outcome, Scene, Stage};

/// The least that is compared.
const FLOOR: usize = 100;

/// Files of one size, moved by so many at a time.
struct Case {
    size: u64,
    clients: usize,
    contents: Vec<Content>,
}

/// Files that are in the server.
struct Uploaded {
    ids: Vec<String>,
    objects: Vec<String>,
}

/// What is measured, and what that used.
struct Measured {
    run: Run,
    used: Usage,
}

/// Prints a table of uploads and one of downloads.
pub(crate) async fn measure(stage: &Stage) -> Result<Outcome> {
    let program = nginx::program()?;
    let cases = cases(stage)?;
    // What is uploaded, and as much again for a copy of it.
    stage.must_have_room_for(cases.iter().map(|case| case.bytes() * 2).max().unwrap_or_default())?;
    let scene = stage.open("transfers", &[]).await?;
    let nginx = Nginx::start(&program, &stage.folder("nginx"), &scene.folder).await?;
    let table = Table::head(
        "Uploads, beside files written and made safe on the same disk; MB and GB are of 1000",
        &[
            "bytes",
            "clients",
            "files",
            "MB/s",
            "files/s",
            "p50 ms",
            "p99 ms",
            "CPU server s/GB",
            "CPU PostgreSQL s/GB",
            "CPU generator s/GB",
            "copy MB/s",
            "copy p50 ms",
            "of copy",
        ],
    );
    let mut downloads = Vec::new();
    let mut checked = 0;
    for case in &cases {
        let uploaded = upload(stage, &scene, case, &table).await?;
        let (cells, count) = download(stage, &scene, case, &uploaded, &nginx).await?;
        downloads.push(cells);
        checked += count;
        for object in &uploaded.objects {
            fs::remove_file(scene.folder.join(object))?;
        }
        nix::unistd::sync();
    }
    print_downloads(&downloads);
    nginx.stop().await?;
    scene.close().await?;
    Ok(Outcome { checked, what: "downloads and files", floor: FLOOR, failures: Vec::new() })
}

fn cases(stage: &Stage) -> Result<Vec<Case>> {
    let sizes: Vec<u64> = stage.arguments.list("sizes")?;
    let files: Vec<usize> = stage.arguments.list("files")?;
    let clients: Vec<usize> = stage.arguments.list("clients")?;
    if sizes.len() != files.len() || clients.contains(&0) {
        return Err("--files needs a number for each of --sizes, and --clients has no 0".into());
    }
    let pairs = sizes.into_iter().zip(files);
    let case = |(size, files): (u64, usize), clients: usize| {
        let contents = Content::many(files.max(clients), size);
        Case { size, clients, contents }
    };
    Ok(pairs.flat_map(|pair| clients.iter().map(move |clients| case(pair, *clients))).collect())
}

async fn upload(stage: &Stage, scene: &Scene<'_>, case: &Case, table: &Table) -> Result<Uploaded> {
    let mut couriers = Courier::several(&scene.server.address, &stage.tokens, case.clients).await?;
    let before = scene.server.cpu.usage()?;
    let (run, ids) =
        share(&mut couriers, &case.contents, async |courier, content| courier.upload(*content).await).await?;
    let measured = Measured { run, used: scene.server.cpu.usage()? - before };
    let copy = plain::write(stage.folder("copies"), case.contents.clone(), case.clients).await?;
    let mut cells = case.cells(&measured);
    cells.extend([
        decimals(case.speed(&copy)),
        format!("{:.2}", copy.each.percentile(50)),
        decimals(measured.run.rate() / copy.rate()),
    ]);
    table.row(&cells);
    let objects = scene.objects(&ids).await?;
    if objects.len() != ids.len() {
        return Err(format!("of {} files that were uploaded, {} are there", ids.len(), objects.len()).into());
    }
    Ok(Uploaded { ids, objects })
}

/// The row of a case, and how many files were compared for it.
async fn download(
    stage: &Stage,
    scene: &Scene<'_>,
    case: &Case,
    uploaded: &Uploaded,
    nginx: &Nginx,
) -> Result<(Vec<String>, usize)> {
    let pairs = |names: &[String]| {
        names.iter().cloned().zip(case.contents.iter().copied()).collect::<Vec<(String, Content)>>()
    };
    let mut couriers = Courier::several(&scene.server.address, &stage.tokens, case.clients).await?;
    let before = scene.server.cpu.usage()?;
    let (run, _) = share(&mut couriers, &pairs(&uploaded.ids), async |courier, (id, content)| {
        courier.download(id, *content).await
    })
    .await?;
    let measured = Measured { run, used: scene.server.cpu.usage()? - before };
    let paths =
        pairs(&uploaded.objects).into_iter().map(|(object, content)| (scene.folder.join(object), content));
    let read = plain::read(paths.collect::<Vec<(PathBuf, Content)>>(), case.clients).await?;
    let mut couriers = Courier::several(&nginx.address, &stage.tokens, case.clients).await?;
    let before = nginx.time()?;
    let (served, _) = share(&mut couriers, &pairs(&uploaded.objects), async |courier, (object, content)| {
        courier.get(&format!("/{object}"), *content).await
    })
    .await?;
    let used = nginx.time()?.saturating_sub(before);
    let mut cells = case.cells(&measured);
    cells.extend([
        decimals(case.speed(&read)),
        decimals(measured.run.rate() / read.rate()),
        decimals(case.speed(&served)),
        format!("{:.2}", served.each.percentile(50)),
        format!("{:.3}", used.as_secs_f64() / case.gigabytes()),
        decimals(measured.run.rate() / served.rate()),
    ]);
    Ok((cells, [&measured.run, &read, &served].iter().map(|run| run.each.count()).sum()))
}

fn print_downloads(rows: &[Vec<String>]) {
    let table = Table::head(
        "Downloads of the same, beside reading the server's files, and beside nginx that serves them; one thread receives \
         and compares them all",
        &[
            "bytes",
            "clients",
            "files",
            "MB/s",
            "files/s",
            "p50 ms",
            "p99 ms",
            "CPU server s/GB",
            "CPU PostgreSQL s/GB",
            "CPU generator s/GB",
            "read MB/s",
            "of read",
            "nginx MB/s",
            "nginx p50 ms",
            "CPU nginx s/GB",
            "of nginx",
        ],
    );
    for row in rows {
        table.row(row);
    }
}

impl Case {
    fn bytes(&self) -> u64 {
        self.contents.iter().map(|content| content.size).sum()
    }

    fn gigabytes(&self) -> f64 {
        megabytes(self.bytes()) / 1000.0
    }

    /// Megabytes a second.
    fn speed(&self, run: &Run) -> f64 {
        run.rate() * megabytes(self.size)
    }

    fn cells(&self, Measured { run, used }: &Measured) -> Vec<String> {
        let a_gigabyte = |time: std::time::Duration| format!("{:.3}", time.as_secs_f64() / self.gigabytes());
        vec![
            self.size.to_string(),
            self.clients.to_string(),
            run.each.count().to_string(),
            decimals(self.speed(run)),
            format!("{:.1}", run.rate()),
            format!("{:.2}", run.each.percentile(50)),
            format!("{:.2}", run.each.percentile(99)),
            a_gigabyte(used.server),
            a_gigabyte(used.postgres),
            a_gigabyte(used.generator),
        ]
    }
}

/// Three digits or so, where a kilobyte and a gigabyte stand in one column.
fn decimals(number: f64) -> String {
    if number < 1.0 {
        format!("{number:.3}")
    } else if number < 100.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    }
}
