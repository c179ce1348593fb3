//! Many equal things, done by several at a time.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hearth_bench::{Figures, Result};

/// How it went.
pub(crate) struct Run {
    /// From the first to the last.
    pub(crate) took: Duration,
    /// Each.
    pub(crate) each: Figures,
}

impl Run {
    /// How often in a second.
    pub(crate) fn rate(&self) -> f64 {
        float(self.each.count()) / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Does something with every item: the workers take turns, and each does one after the other. What is made of the items comes
/// in their order.
pub(crate) async fn share<W, T, R>(
    workers: &mut [W],
    items: &[T],
    work: impl AsyncFn(&mut W, &T) -> Result<R>,
) -> Result<(Run, Vec<R>)> {
    let count = workers.len().max(1);
    let begun = Instant::now();
    let shares = workers.iter_mut().enumerate().map(async |(first, worker)| -> Result<Vec<_>> {
        let mut done = Vec::new();
        for (index, item) in items.iter().enumerate().skip(first).step_by(count) {
            let begun = Instant::now();
            let made = work(worker, item).await?;
            done.push((index, begun.elapsed(), made));
        }
        Ok(done)
    });
    let mut done: Vec<_> = try_join_all(shares).await?.into_iter().flatten().collect();
    let took = begun.elapsed();
    done.sort_by_key(|(index, ..)| *index);
    let each = Figures::of(done.iter().map(|(_, took, _)| *took).collect());
    Ok((Run { took, each }, done.into_iter().map(|(.., made)| made).collect()))
}

/// A count to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts of what was measured are small")]
pub(crate) const fn float(count: usize) -> f64 {
    count as f64
}

/// Of bytes, millions.
#[expect(clippy::cast_precision_loss, reason = "nobody looks at the last byte of a gigabyte")]
pub(crate) const fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
