//! Pictures: reading them, making them smaller, writing them.

mod animation;

use std::io::Cursor;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use hearth_store::media::ThumbnailKey;
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};

pub(super) use self::animation::animate;

use super::MediaError;

/// The quality of thumbnails without transparency: at these sizes nobody sees more.
const QUALITY: u8 = 80;

/// A blurhash is made of so few pixels that more would change nothing.
const BLURHASH_SIDE: u32 = 64;

/// What is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureLimits {
    /// The most bytes of the file.
    pub bytes: u64,
    /// The most pixels.
    pub pixels: u64,
}

/// A picture in memory, upright.
pub(super) struct Picture {
    pixels: DynamicImage,
}

/// A picture as a file.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) bytes: Vec<u8>,
    pub(super) content_type: &'static str,
}

/// The format of bytes that can be decoded.
pub(super) fn format_of(bytes: &[u8]) -> Option<ImageFormat> {
    let format = image::guess_format(bytes).ok()?;
    let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP];
    known.contains(&format).then_some(format)
}

/// Whether a thumbnail can be made here of what is served as this.
pub(super) fn is_picture(content_type: &str) -> bool {
    let essence = super::essence(content_type);
    matches!(essence.as_str(), "image/png" | "image/apng" | "image/jpeg" | "image/gif" | "image/webp")
}

/// A decoder of bytes that will not take more than is allowed.
fn decoder(bytes: &[u8], limits: PictureLimits) -> Result<impl ImageDecoder, MediaError> {
    let mut reader = ImageReader::new(Cursor::new(bytes));
    reader.set_format(
        format_of(bytes).ok_or(MediaError::NoThumbnail("it is not a picture that is known here"))?,
    );
    let mut allowed = Limits::default();
    // Sixteen bits in four channels, and as much again for what the decoder itself needs.
    allowed.max_alloc = Some(limits.pixels.saturating_mul(16));
    reader.limits(allowed);
    let decoder = reader.into_decoder().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.pixels {
        return Err(MediaError::PictureTooLarge);
    }
    Ok(decoder)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands for a closure")]
fn refused(error: image::ImageError) -> MediaError {
    match error {
        image::ImageError::Limits(_) => MediaError::PictureTooLarge,
        _ => MediaError::NoThumbnail("the picture is damaged"),
    }
}

/// Width and height of a picture, upright, without decoding it.
pub(super) fn measure(bytes: &[u8], limits: PictureLimits) -> Result<(u32, u32), MediaError> {
    let mut decoder = decoder(bytes, limits)?;
    let (width, height) = decoder.dimensions();
    let turned = matches!(
        decoder.orientation().unwrap_or(Orientation::NoTransforms),
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    Ok(if turned { (height, width) } else { (width, height) })
}

impl Picture {
    /// Decodes a picture, of a moving one the first frame.
    pub(super) fn decode(bytes: &[u8], limits: PictureLimits) -> Result<Self, MediaError> {
        let mut decoder = decoder(bytes, limits)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut pixels = DynamicImage::from_decoder(decoder).map_err(refused)?;
        pixels.apply_orientation(orientation);
        Ok(Self::of(pixels))
    }

    /// Eight bits in a channel are all that a thumbnail shows.
    fn of(pixels: DynamicImage) -> Self {
        let pixels = match pixels {
            DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_) => pixels,
            other if other.color().has_alpha() => DynamicImage::ImageRgba8(other.into_rgba8()),
            other => DynamicImage::ImageRgb8(other.into_rgb8()),
        };
        Self { pixels }
    }

    /// Width and height in pixels.
    pub(super) fn size(&self) -> (u32, u32) {
        (self.pixels.width(), self.pixels.height())
    }

    /// It, roughly, to make several that are smaller still of.
    pub(super) fn reduced(self, key: ThumbnailKey) -> Result<Self, MediaError> {
        let plan = Plan::new(self.size(), key);
        if plan.is_whole(self.size()) {
            return Ok(self);
        }
        Ok(Self { pixels: resize(&self.pixels, plan, FilterType::Box)? })
    }

    /// A smaller picture, and never a larger one.
    fn shrink(&self, key: ThumbnailKey) -> Result<Self, MediaError> {
        let plan = Plan::new(self.size(), key);
        if plan.is_whole(self.size()) {
            return Ok(Self { pixels: self.pixels.clone() });
        }
        let Some(rough) = plan.rough() else {
            return Ok(Self { pixels: resize(&self.pixels, plan, FilterType::Lanczos3)? });
        };
        // Most of a photograph is thrown away by the quickest filter, which spares the good one the work.
        let rough_pixels = resize(&self.pixels, rough, FilterType::Box)?;
        Ok(Self { pixels: resize(&rough_pixels, plan.after(rough), FilterType::Lanczos3)? })
    }

    /// A still thumbnail.
    pub(super) fn thumbnail(&self, key: ThumbnailKey) -> Result<Rendered, MediaError> {
        self.shrink(key)?.render()
    }

    /// JPEG where nothing shows through, PNG otherwise.
    fn render(&self) -> Result<Rendered, MediaError> {
        let (width, height) = self.size();
        let mut bytes = Vec::new();
        match &self.pixels {
            DynamicImage::ImageRgba8(pixels) if pixels.pixels().any(|pixel| pixel.0[3] != u8::MAX) => {
                let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
                encoder.write_image(pixels, width, height, ExtendedColorType::Rgba8).map_err(refused)?;
                Ok(Rendered { bytes, content_type: "image/png" })
            }
            pixels => {
                let pixels = pixels.to_rgb8();
                let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
                encoder.write_image(&pixels, width, height, ExtendedColorType::Rgb8).map_err(refused)?;
                Ok(Rendered { bytes, content_type: "image/jpeg" })
            }
        }
    }

    /// What stands in for it until it is there.
    pub(super) fn blurhash(&self) -> Option<String> {
        let side = BLURHASH_SIDE;
        let small =
            self.shrink(ThumbnailKey { width: side, height: side, crop: false, animated: false }).ok()?;
        let (width, height) = small.size();
        blurhash::encode(4, 3, width, height, small.pixels.to_rgba8().as_raw()).ok()
    }
}

fn resize(pixels: &DynamicImage, plan: Plan, filter: FilterType) -> Result<DynamicImage, MediaError> {
    let no_area = || MediaError::NoThumbnail("the picture has no area");
    let alpha = pixels.color().has_alpha();
    let kind = if alpha { PixelType::U8x4 } else { PixelType::U8x3 };
    let (width, height) = (plan.width, plan.height);
    let mut smaller = Image::new(width, height, kind);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).crop(
        plan.left,
        plan.top,
        plan.of_width,
        plan.of_height,
    );
    Resizer::new().resize(pixels, &mut smaller, &options).map_err(|_| no_area())?;
    let buffer = smaller.into_vec();
    let pixels = if alpha {
        image::RgbaImage::from_raw(width, height, buffer).map(DynamicImage::ImageRgba8)
    } else {
        image::RgbImage::from_raw(width, height, buffer).map(DynamicImage::ImageRgb8)
    };
    pixels.ok_or_else(no_area)
}

/// Which part of a picture becomes a thumbnail of which size.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    width: u32,
    height: u32,
    left: f64,
    top: f64,
    of_width: f64,
    of_height: f64,
}

impl Plan {
    /// > `scale` … maintains the original aspect ratio … `crop` … will match the aspect ratio … never upscaled
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of pictures, rounded")]
    fn new((width, height): (u32, u32), key: ThumbnailKey) -> Self {
        let (across, down) = (f64::from(width), f64::from(height));
        let (wanted_across, wanted_down) = (f64::from(key.width), f64::from(key.height));
        let side = |length: f64| (length.round() as u32).max(1);
        if !key.crop {
            let factor = (wanted_across / across).min(wanted_down / down).min(1.0);
            let (new_width, new_height) = (side(across * factor), side(down * factor));
            return Self {
                width: new_width,
                height: new_height,
                left: 0.0,
                top: 0.0,
                of_width: across,
                of_height: down,
            };
        }
        let factor = (wanted_across / across).max(wanted_down / down).min(1.0);
        let of_width = (wanted_across / factor).min(across);
        let of_height = (wanted_down / factor).min(down);
        Self {
            width: side(of_width * factor),
            height: side(of_height * factor),
            left: (across - of_width) / 2.0,
            top: (down - of_height) / 2.0,
            of_width,
            of_height,
        }
    }

    /// A step on the way to a picture that is much smaller: one of twice its size.
    fn rough(self) -> Option<Self> {
        let (width, height) = (self.width * 2, self.height * 2);
        let is_far = self.of_width > 2.0 * f64::from(width) && self.of_height > 2.0 * f64::from(height);
        is_far.then_some(Self { width, height, ..self })
    }

    /// The rest of the way.
    fn after(self, rough: Self) -> Self {
        let (of_width, of_height) = (f64::from(rough.width), f64::from(rough.height));
        Self { left: 0.0, top: 0.0, of_width, of_height, ..self }
    }

    fn is_whole(self, (width, height): (u32, u32)) -> bool {
        self.width == width && self.height == height
    }
}

#[cfg(test)]
mod tests;
