//! Making thumbnails.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hearth_bench::{Result, SERVER_NAME, Table, Usage};

use crate::courier::Courier;
use crate::pictures::{Kind, size_of};
use crate::run::{Run, float, share};
use crate::shrinker::{Shrinker, Shrunk};
use crate::stage::{Outcome, Scene, Stage};

/// The least that is looked at.
const FLOOR: usize = 12;

/// A thumbnail as it is asked for.
pub(crate) struct Shape {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) crop: bool,
    pub(crate) animated: bool,
}

const SHAPES: [Shape; 3] = [
    Shape { width: 320, height: 240, crop: false, animated: false },
    Shape { width: 96, height: 96, crop: true, animated: false },
    Shape { width: 320, height: 240, crop: false, animated: true },
];

/// Pictures of one kind: in the server, and as files of the same bytes.
struct Pictures {
    kind: Kind,
    ids: Vec<String>,
    files: Vec<PathBuf>,
}

/// What was measured of one kind and shape.
struct Row<'a> {
    kind: Kind,
    shape: &'a Shape,
    run: Run,
    used: Usage,
    by_program: Shrunk,
}

/// Prints a table. Nobody has asked for any of these thumbnails before, and none are made ahead.
pub(crate) async fn measure(stage: &Stage) -> Result<Outcome> {
    let shrinker = Shrinker::find()?;
    let scene = stage.open("thumbnails", &[("HEARTH_MEDIA__THUMBNAILS__AHEAD", "false")]).await?;
    let makers: usize = stage.arguments.get("makers")?;
    let program = shrinker.name();
    let table = Table::head(
        &format!(
            "Thumbnails of new pictures, asked for by {makers} at a time, beside {program} on one core; a core's are those for \
             each second of CPU time"
        ),
        &[
            "picture",
            "KB",
            "thumbnail",
            "made",
            "a second",
            "p50 ms",
            "p99 ms",
            "CPU server ms each",
            "CPU PostgreSQL ms each",
            "a core's",
            &format!("{program} a second"),
            &format!("{program} a core's"),
            "of it",
        ],
    );
    let mut checked = 0;
    for kind in Kind::ALL {
        let pictures = upload(stage, &scene, kind).await?;
        for shape in SHAPES.iter().filter(|shape| kind == Kind::Moving || !shape.animated) {
            let (row, count) = make(stage, &scene, &shrinker, &pictures, shape).await?;
            table.row(&row.cells(&pictures)?);
            checked += count;
        }
    }
    scene.close().await?;
    Ok(Outcome { checked, what: "thumbnails", floor: FLOOR, failures: Vec::new() })
}

/// Draws pictures and uploads as many as are to be made smaller, each with other bytes behind its end.
async fn upload(stage: &Stage, scene: &Scene<'_>, kind: Kind) -> Result<Pictures> {
    let (drawn, count): (u64, usize) = (stage.arguments.get("pictures")?, stage.arguments.get("thumbnails")?);
    let drawing = (1..=drawn).map(|seed| tokio::task::spawn_blocking(move || kind.draw(seed)));
    let mut pictures = Vec::new();
    for picture in drawing {
        pictures.push(picture.await??);
    }
    let folder = stage.folder("pictures").join(kind.ending());
    fs::create_dir_all(&folder)?;
    let mut courier = Courier::several(&scene.server.address, &stage.tokens, 1).await?;
    let courier = courier.first_mut().ok_or("nobody uploads")?;
    let (mut ids, mut files) = (Vec::new(), Vec::new());
    for (number, picture) in pictures.iter().cycle().take(count).enumerate() {
        let mut bytes = picture.clone();
        bytes.extend_from_slice(format!("{number:016}").as_bytes());
        ids.push(courier.upload_bytes(kind.content_type(), &bytes).await?);
        let file = folder.join(format!("{number}.{}", kind.ending()));
        fs::write(&file, bytes)?;
        files.push(file);
    }
    Ok(Pictures { kind, ids, files })
}

/// Has thumbnails of one shape made, by the server and by the program. How many of both are as they should be comes with it.
async fn make<'a>(
    stage: &Stage,
    scene: &Scene<'_>,
    shrinker: &Shrinker,
    pictures: &Pictures,
    shape: &'a Shape,
) -> Result<(Row<'a>, usize)> {
    let makers = stage.arguments.get("makers")?;
    let mut couriers = Courier::several(&scene.server.address, &stage.tokens, makers).await?;
    let before = scene.server.cpu.usage()?;
    let (run, mut made) =
        share(&mut couriers, &pictures.ids, async |courier, id| courier.fetch(&shape.path(id)).await).await?;
    let used = scene.server.cpu.usage()? - before;
    let folder = stage.folder("smaller");
    fs::create_dir_all(&folder)?;
    let by_program = shrinker.shrink(&pictures.files, shape, &folder)?;
    if by_program.files.len() != pictures.files.len() {
        return Err(format!("{} made {} thumbnails", shrinker.name(), by_program.files.len()).into());
    }
    for file in &by_program.files {
        made.push(fs::read(file)?);
    }
    fs::remove_dir_all(folder)?;
    for thumbnail in &made {
        shape.check(thumbnail)?;
    }
    Ok((Row { kind: pictures.kind, shape, run, used, by_program }, made.len()))
}

impl Shape {
    fn path(&self, id: &str) -> String {
        let Self { width, height, animated, .. } = self;
        let method = if self.crop { "crop" } else { "scale" };
        let path = "/_matrix/client/v1/media/thumbnail";
        format!("{path}/{SERVER_NAME}/{id}?width={width}&height={height}&method={method}&animated={animated}")
    }

    /// Fails where a thumbnail has another size than was asked for, or does not move as it should.
    fn check(&self, thumbnail: &[u8]) -> Result<()> {
        let (width, height) = size_of(thumbnail)?;
        let fills = (width == self.width, height == self.height);
        let fits = width <= self.width && height <= self.height;
        let is_right = if self.crop { fills == (true, true) } else { fits && fills != (false, false) };
        if !is_right || self.animated != thumbnail.starts_with(b"GIF8") {
            return Err(format!("a thumbnail of {width}x{height}, and not what was asked for").into());
        }
        Ok(())
    }

    fn name(&self) -> String {
        let how = if self.crop { "crop" } else { "scale" };
        let moving = if self.animated { ", animated" } else { "" };
        format!("{}x{} {how}{moving}", self.width, self.height)
    }
}

impl Row<'_> {
    fn cells(&self, pictures: &Pictures) -> Result<Vec<String>> {
        let count = float(self.run.each.count());
        let each = |time: Duration| time.as_secs_f64() * 1000.0 / count;
        let bytes = pictures.files.iter().map(|file| Ok(fs::metadata(file)?.len())).sum::<Result<u64>>()?;
        let (cores, programs) = (1000.0 / each(self.used.server), 1000.0 / each(self.by_program.used));
        Ok(vec![
            self.kind.name().to_owned(),
            (bytes / 1000 / u64::try_from(pictures.files.len().max(1))?).to_string(),
            self.shape.name(),
            self.run.each.count().to_string(),
            format!("{:.1}", self.run.rate()),
            format!("{:.1}", self.run.each.percentile(50)),
            format!("{:.1}", self.run.each.percentile(99)),
            format!("{:.2}", each(self.used.server)),
            format!("{:.2}", each(self.used.postgres)),
            format!("{cores:.1}"),
            format!("{:.1}", count / self.by_program.took.as_secs_f64()),
            format!("{programs:.1}"),
            format!("{:.2}", cores / programs),
        ])
    }
}
