//! Files of any size that are nowhere as a whole: each piece is made when it is sent, and again to compare with what comes
//! back.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hearth_bench::Result;

/// How much is made, sent and compared at a time.
pub(crate) const PIECE: usize = 256 * 1024;

/// Every so many bytes it is said whose they are and where.
const PAGE: usize = 4096;
const PAGE_STEP: u64 = 4096;

/// Noise that all files have in common between their stamps: making it anew would cost more than sending it.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let words = u64::try_from(PIECE / 8).unwrap_or_default();
    (0..words).flat_map(|word| scatter(word).to_le_bytes()).collect()
});

/// No two files of one run are the same.
static MADE: AtomicU64 = AtomicU64::new(1);

/// A file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    seed: u64,
    /// How many bytes it has.
    pub(crate) size: u64,
}

/// A piece of a file, and room to make it in.
pub(crate) struct Workbench {
    made: Vec<u8>,
    received: Vec<u8>,
}

impl Content {
    /// A file that is like no other.
    pub(crate) fn new(size: u64) -> Self {
        Self { seed: scatter(MADE.fetch_add(1, Ordering::Relaxed)), size }
    }

    /// So many files of a size.
    pub(crate) fn many(count: usize, size: u64) -> Vec<Self> {
        (0..count).map(|_| Self::new(size)).collect()
    }

    /// Where its pieces begin.
    pub(crate) fn offsets(self) -> impl Iterator<Item = u64> {
        (0..self.size).step_by(PIECE)
    }

    fn length_at(self, offset: u64) -> usize {
        usize::try_from(self.size - offset).map_or(PIECE, |left| left.min(PIECE))
    }
}

impl Workbench {
    pub(crate) fn new() -> Self {
        Self { made: vec![0; PIECE], received: vec![0; PIECE] }
    }

    /// The piece of a file that begins there.
    pub(crate) fn make(&mut self, content: Content, offset: u64) -> &[u8] {
        let piece = &mut self.made[..content.length_at(offset)];
        piece.copy_from_slice(&NOISE[..piece.len()]);
        let mut place = offset;
        for page in piece.chunks_mut(PAGE) {
            let stamp = scatter(content.seed ^ place).to_le_bytes();
            let length = page.len().min(stamp.len());
            page[..length].copy_from_slice(&stamp[..length]);
            place += PAGE_STEP;
        }
        piece
    }

    /// Where the piece that begins there is to be put when it comes.
    pub(crate) fn room(&mut self, content: Content, offset: u64) -> &mut [u8] {
        &mut self.received[..content.length_at(offset)]
    }

    /// Fails where what has come is not that piece, byte by byte.
    pub(crate) fn check(&mut self, content: Content, offset: u64) -> Result<()> {
        let length = self.make(content, offset).len();
        if self.made[..length] == self.received[..length] {
            return Ok(());
        }
        Err(format!("what came is not what was sent: byte {offset} or soon after").into())
    }
}

/// The step of `SplitMix64`: neighbours become nothing like each other.
pub(crate) const fn scatter(number: u64) -> u64 {
    let z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
