//! Previews of web pages.

use std::time::Duration;

use hearth_bench::{Result, Table};
use tokio::task::LocalSet;

use crate::courier::Courier;
use crate::pages::{Site, title};
use crate::run::{float, share};
use crate::stage::{Outcome, Scene, Stage};

/// The least that is looked at.
const FLOOR: usize = 100;

/// Prints a table: pages that nobody has asked for, and then the same again.
pub(crate) async fn measure(stage: &Stage) -> Result<Outcome> {
    // The pages are served by this thread, beside what asks for their previews.
    LocalSet::new().run_until(measure_all(stage)).await
}

async fn measure_all(stage: &Stage) -> Result<Outcome> {
    let site = Site::open().await?;
    let settings =
        [("HEARTH_OUTGOING__ALLOWED", "127.0.0.0/8"), ("HEARTH_MEDIA__THUMBNAILS__AHEAD", "false")];
    let scene = stage.open("previews", &settings).await?;
    let table = Table::head(
        "Previews of pages of 30 KB with a small picture each; asked of the pages counts the server's requests. CPU in \
         milliseconds a preview, the generator's with serving the pages",
        &[
            "clients",
            "",
            "previews",
            "previews/s",
            "p50 ms",
            "p99 ms",
            "CPU server",
            "CPU PostgreSQL",
            "CPU generator",
            "asked of the pages",
        ],
    );
    let count: usize = stage.arguments.get("previews")?;
    let askers: Vec<usize> = stage.arguments.list("askers")?;
    let (mut checked, mut failures) = (0, Vec::new());
    for (turn, clients) in askers.iter().enumerate() {
        let numbers: Vec<usize> = (turn * count..(turn + 1) * count).collect();
        // Each page once, and its picture; and nothing of what is known.
        for (what, most) in [("the first time", count * 2), ("again", 0)] {
            let before = site.asked();
            let cells = ask(stage, &scene, &site, (&numbers, *clients)).await?;
            let asked = site.asked() - before;
            table.row(&[vec![clients.to_string(), what.to_owned()], cells, vec![asked.to_string()]].concat());
            checked += numbers.len();
            if asked != most {
                failures.push(format!("{what}, the pages were asked {asked} times, not {most}"));
            }
        }
    }
    scene.close().await?;
    Ok(Outcome { checked, what: "previews", floor: FLOOR, failures })
}

async fn ask(
    stage: &Stage,
    scene: &Scene<'_>,
    site: &Site,
    (numbers, clients): (&[usize], usize),
) -> Result<Vec<String>> {
    let mut couriers = Courier::several(&scene.server.address, &stage.tokens, clients).await?;
    let before = scene.server.cpu.usage()?;
    let (run, previews) = share(&mut couriers, numbers, async |courier, number| {
        let url = site.page(*number).replace(':', "%3A").replace('/', "%2F");
        courier.fetch(&format!("/_matrix/client/v1/media/preview_url?url={url}")).await
    })
    .await?;
    let used = scene.server.cpu.usage()? - before;
    for (number, preview) in numbers.iter().zip(previews) {
        let preview: serde_json::Value = serde_json::from_slice(&preview)?;
        let (said, picture) = (preview["og:title"].as_str(), preview["og:image"].as_str());
        let is_right = said == Some(&title(&number.to_string()))
            && picture.is_some_and(|picture| picture.starts_with("mxc://"))
            && preview["og:image:width"] == 64;
        if !is_right {
            return Err(format!("the preview of page {number} is {preview}").into());
        }
    }
    let each = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1000.0 / float(numbers.len().max(1)));
    Ok(vec![
        numbers.len().to_string(),
        format!("{:.1}", run.rate()),
        format!("{:.2}", run.each.percentile(50)),
        format!("{:.2}", run.each.percentile(99)),
        each(used.server),
        each(used.postgres),
        each(used.generator),
    ])
}
