//! Pictures, sound ones and others.

use std::io::Cursor;

use image::codecs::gif::{GifEncoder, Repeat};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{Delay, DynamicImage, ExtendedColorType, Frame, ImageEncoder as _, ImageFormat, Rgb, Rgba};
use image::{RgbImage, RgbaImage};
use img_parts::{ImageEXIF as _, ImageICC as _, jpeg, png as png_parts};

/// How a PNG begins.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Nothing, packed.
const NOTHING: &[u8] = b"\x78\x9c\x03\x00\x00\x00\x00\x01";

/// A picture whose left upper corner is red, whose other corners are not.
pub fn opaque(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let is_corner = x < width / 4 && y < height / 4;
        if is_corner { Rgb([250, 10, 10]) } else { Rgb([10, shade(x, width), shade(y, height)]) }
    })
}

fn shade(at: u32, of: u32) -> u8 {
    u8::try_from(100 + at * 100 / of.max(1)).expect("a shade")
}

/// A PNG.
pub fn png(width: u32, height: u32) -> Vec<u8> {
    written(&DynamicImage::ImageRgb8(opaque(width, height)), ImageFormat::Png)
}

/// A PNG through which half shows.
pub fn clear_png(width: u32, height: u32) -> Vec<u8> {
    let half = |x, _| if x < width / 2 { Rgba([0, 0, 200, 0]) } else { Rgba([0, 0, 200, 255]) };
    written(&DynamicImage::ImageRgba8(RgbaImage::from_fn(width, height, half)), ImageFormat::Png)
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("a picture can be written");
    bytes.into_inner()
}

/// A JPEG.
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    let picture = opaque(width, height);
    encoder.write_image(&picture, width, height, ExtendedColorType::Rgb8).expect("a JPEG can be written");
    bytes
}

/// A `WebP`.
pub fn webp(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = WebPEncoder::new_lossless(&mut bytes);
    encoder
        .write_image(&opaque(width, height), width, height, ExtendedColorType::Rgb8)
        .expect("a WebP can be written");
    bytes
}

/// A GIF of so many frames, each of another colour.
pub fn gif(width: u32, height: u32, frames: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 30);
    encoder.set_repeat(Repeat::Infinite).expect("it can be repeated");
    let frames = (0..frames).map(|number| {
        let pixels = RgbaImage::from_pixel(width, height, colour(number));
        Frame::from_parts(pixels, 0, 0, Delay::from_numer_denom_ms(100, 1))
    });
    encoder.encode_frames(frames).expect("a GIF can be written");
    drop(encoder);
    bytes
}

fn colour(number: usize) -> Rgba<u8> {
    let shade = u8::try_from(number % 256).expect("a byte");
    Rgba([shade, 255 - shade, 128, 255])
}

/// A moving PNG.
pub fn apng(width: u32, height: u32, frames: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_animated(frames, 0).expect("it can move");
    let mut writer = encoder.write_header().expect("a head");
    for number in 0..frames {
        let pixels = RgbaImage::from_pixel(width, height, colour(number as usize * 40));
        writer.write_image_data(&pixels).expect("a frame");
    }
    writer.finish().expect("an end");
    bytes
}

/// A JPEG that says where it was taken, and which of eight ways is up.
pub fn told_jpeg(width: u32, height: u32, orientation: u16) -> Vec<u8> {
    let mut picture = jpeg::Jpeg::from_bytes(jpeg(width, height).into()).expect("a JPEG");
    picture.set_exif(Some(exif(orientation).into()));
    let comment = jpeg::JpegSegment::new_with_contents(jpeg::markers::COM, SECRET.as_bytes().to_vec().into());
    picture.segments_mut().insert(1, comment);
    picture.encoder().bytes().to_vec()
}

/// A PNG that says where it was taken.
pub fn told_png(width: u32, height: u32) -> Vec<u8> {
    let mut picture = png_parts::Png::from_bytes(png(width, height).into()).expect("a PNG");
    picture.set_exif(Some(exif(1).into()));
    let text = png_parts::PngChunk::new(*b"tEXt", format!("Comment\0{SECRET}").into_bytes().into());
    picture.chunks_mut().insert(1, text);
    picture.encoder().bytes().to_vec()
}

/// What the pictures tell that should not.
pub const SECRET: &str = "52 degrees north, 13 east";

/// EXIF with an orientation and a description.
fn exif(orientation: u16) -> Vec<u8> {
    let text = format!("{SECRET}\0");
    let mut exif = b"MM\0*\0\0\0\x08\0\x02".to_vec();
    exif.extend(b"\x01\x0e\0\x02");
    exif.extend(u32::try_from(text.len()).expect("a short text").to_be_bytes());
    exif.extend(38_u32.to_be_bytes());
    exif.extend(b"\x01\x12\0\x03\0\0\0\x01");
    exif.extend(orientation.to_be_bytes());
    exif.extend([0; 6]);
    exif.extend(text.as_bytes());
    exif
}

/// A PNG that says it is of this size and has no pixels.
pub fn hollow_png(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 6, 0, 0, 0]);
    [SIGNATURE, &chunk(*b"IHDR", &header), &chunk(*b"IDAT", NOTHING), &chunk(*b"IEND", &[])].concat()
}

/// A small PNG with a text and a colour profile that unpack to very many bytes.
pub fn stuffed_png(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(png::ColorType::Grayscale);
    let text = "a".repeat(length);
    encoder.add_ztxt_chunk("Comment".to_owned(), text.clone()).expect("a text");
    encoder.add_itxt_chunk("Title".to_owned(), text).expect("a text");
    let mut writer = encoder.write_header().expect("a head");
    writer.write_image_data(&[0; 4]).expect("pixels");
    writer.finish().expect("an end");
    let mut picture = png_parts::Png::from_bytes(bytes.into()).expect("a PNG");
    picture.set_icc_profile(Some(vec![0; length].into()));
    picture.encoder().bytes().to_vec()
}

/// A chunk of a PNG.
fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    png_parts::PngChunk::new(kind, data.to_vec().into()).encoder().bytes().to_vec()
}

/// A GIF on a canvas of any size, with frames of one pixel.
pub fn wide_gif(width: u16, height: u16, frames: usize) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    bytes.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
    bytes.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
    for _ in 0..frames {
        bytes.extend([0x21, 0xf9, 4, 0, 5, 0, 0, 0]);
        bytes.extend([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0]);
    }
    bytes.push(0x3b);
    bytes
}

/// The format, width and height of a picture that must be one.
pub fn measure(bytes: &[u8]) -> (ImageFormat, u32, u32) {
    let format = image::guess_format(bytes).expect("a picture of a known format");
    let picture = image::load_from_memory(bytes).expect("a picture that can be read");
    (format, picture.width(), picture.height())
}

/// The colour at a place of a picture.
pub fn colour_at(bytes: &[u8], x: u32, y: u32) -> [u8; 3] {
    image::load_from_memory(bytes).expect("a picture").to_rgb8().get_pixel(x, y).0
}
