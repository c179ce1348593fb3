//! Thumbnails that move.

use std::io::Cursor;
use std::time::{Duration, Instant};

use hearth_store::media::ThumbnailKey;
use image::codecs::gif::{GifDecoder, GifEncoder, Repeat};
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, Delay, DynamicImage, Frame, Frames, ImageDecoder, ImageFormat, Limits};

use super::{Picture, PictureLimits, Plan, Rendered, format_of};
use crate::media::MediaError;

/// More frames are a film.
const FRAMES: usize = 500;

/// What the frames of a thumbnail may take in memory.
const MEMORY: usize = 64 * 1024 * 1024;

/// How long making one may take.
const TIME: Duration = Duration::from_secs(20);

/// Gives quick results at a size that is not much larger.
const SPEED: i32 = 10;

/// A moving thumbnail; none where the picture does not move, or moves for longer than is worth it.
pub(in crate::media) fn animate(
    bytes: &[u8],
    key: ThumbnailKey,
    limits: PictureLimits,
) -> Result<Option<Rendered>, MediaError> {
    let Some(format) = format_of(bytes) else { return Ok(None) };
    // The size is held to the limits by this.
    let size = super::measure(bytes, limits)?;
    let Some(frames) = frames(bytes, format, limits) else { return Ok(None) };
    if Plan::new(size, key).is_whole(size) {
        let moves = frames.take(2).flatten().count() == 2;
        return Ok(moves.then(|| Rendered { bytes: bytes.to_vec(), content_type: type_of(format) }));
    }
    let Some(frames) = shrink(frames, key) else { return Ok(None) };
    if frames.len() < 2 {
        return Ok(None);
    }
    match format {
        ImageFormat::Gif => gif(frames).map(Some),
        _ => apng(&frames).map(Some),
    }
}

/// The frames of a picture that has several.
fn frames(bytes: &[u8], format: ImageFormat, limits: PictureLimits) -> Option<Frames<'_>> {
    let mut allowed = Limits::default();
    allowed.max_alloc = Some(limits.pixels.saturating_mul(16));
    let reader = Cursor::new(bytes);
    match format {
        ImageFormat::Gif => {
            let mut decoder = GifDecoder::new(reader).ok()?;
            decoder.set_limits(allowed).ok()?;
            Some(decoder.into_frames())
        }
        ImageFormat::Png => {
            let decoder = PngDecoder::with_limits(reader, allowed).ok()?;
            decoder.is_apng().ok()?.then(|| decoder.apng().ok().map(AnimationDecoder::into_frames))?
        }
        ImageFormat::WebP => {
            let mut decoder = WebPDecoder::new(reader).ok()?;
            decoder.set_limits(allowed).ok()?;
            decoder.has_animation().then(|| decoder.into_frames())
        }
        _ => None,
    }
}

/// The frames made smaller; none where there are too many. What breaks off moves as far as it goes.
fn shrink(frames: Frames<'_>, key: ThumbnailKey) -> Option<Vec<Frame>> {
    let begun = Instant::now();
    let (mut smaller, mut memory) = (Vec::new(), 0);
    for frame in frames {
        let Ok(frame) = frame else { break };
        let delay = frame.delay();
        let picture = Picture { pixels: DynamicImage::ImageRgba8(frame.into_buffer()) };
        let pixels = picture.shrink(key).ok()?.pixels.into_rgba8();
        memory += pixels.len();
        if memory > MEMORY || smaller.len() == FRAMES || begun.elapsed() > TIME {
            return None;
        }
        smaller.push(Frame::from_parts(pixels, 0, 0, delay));
    }
    Some(smaller)
}

/// What small enough a picture stays.
const fn type_of(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Gif => "image/gif",
        ImageFormat::WebP => "image/webp",
        _ => "image/apng",
    }
}

fn gif(frames: Vec<Frame>) -> Result<Rendered, MediaError> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, SPEED);
    encoder.set_repeat(Repeat::Infinite).map_err(super::refused)?;
    encoder.encode_frames(frames).map_err(super::refused)?;
    drop(encoder);
    Ok(Rendered { bytes, content_type: "image/gif" })
}

/// What shows through in several degrees would not survive in a GIF.
fn apng(frames: &[Frame]) -> Result<Rendered, MediaError> {
    let broken = |_: png::EncodingError| MediaError::NoThumbnail("the frames are of different sizes");
    let mut bytes = Vec::new();
    let Some(first) = frames.first() else { return Err(MediaError::NoThumbnail("it has no frames")) };
    let (width, height) = first.buffer().dimensions();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    encoder.set_animated(count, 0).map_err(broken)?;
    let mut writer = encoder.write_header().map_err(broken)?;
    for frame in frames {
        let (numerator, denominator) = ratio(frame.delay());
        writer.set_frame_delay(numerator, denominator).map_err(broken)?;
        writer.write_image_data(frame.buffer()).map_err(broken)?;
    }
    writer.finish().map_err(broken)?;
    Ok(Rendered { bytes, content_type: "image/apng" })
}

/// A delay in thousandths of a second.
fn ratio(delay: Delay) -> (u16, u16) {
    let milliseconds = Duration::from(delay).as_millis();
    (u16::try_from(milliseconds).unwrap_or(u16::MAX), 1000)
}
