//! Pictures like those that people send: photographs, what is on their screens, and what moves.

use std::io::Cursor;

use hearth_bench::Result;
use image::codecs::gif::{GifEncoder, Repeat};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{
    Delay, ExtendedColorType, Frame, ImageEncoder as _, ImageReader, Rgb, RgbImage, Rgba, RgbaImage,
};

use crate::content::scatter;

/// Twelve megapixels, as telephones take them.
const PHOTOGRAPH: (u32, u32) = (4000, 3000);

const SCREEN: (u32, u32) = (1920, 1080);

const MOVING: (u32, u32) = (480, 360);
const FRAMES: u32 = 24;

/// The largest shapes of a photograph are as many pixels wide as two to this power, and so on.
const OCTAVES: [u32; 4] = [10, 7, 5, 3];

/// What a picture is a file of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Photograph,
    Screen,
    Moving,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Photograph, Self::Screen, Self::Moving];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Photograph => "JPEG, 12 megapixels",
            Self::Screen => "PNG, 1920x1080",
            Self::Moving => "GIF, 480x360, 24 frames",
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Photograph => "image/jpeg",
            Self::Screen => "image/png",
            Self::Moving => "image/gif",
        }
    }

    pub(crate) const fn ending(self) -> &'static str {
        match self {
            Self::Photograph => "jpg",
            Self::Screen => "png",
            Self::Moving => "gif",
        }
    }

    /// A picture of this kind.
    pub(crate) fn draw(self, seed: u64) -> Result<Vec<u8>> {
        match self {
            Self::Photograph => photograph(seed),
            Self::Screen => screen(seed),
            Self::Moving => moving(seed),
        }
    }
}

/// Shapes of every size over a gradient, and the grain of a sensor.
fn photograph(seed: u64) -> Result<Vec<u8>> {
    let (width, height) = PHOTOGRAPH;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let light = 60 + y * 80 / height;
        let shape: u32 = OCTAVES
            .iter()
            .zip([90, 50, 25, 12])
            .map(|(octave, weight)| smooth(seed, x, y, *octave) * weight / 255)
            .sum();
        let grain = u32::from(byte(scatter(seed ^ u64::from(y * width + x))) % 17);
        let [red, green, blue] = [light + shape, light + shape * 3 / 4 + 20, 200 - light / 2 + shape / 2];
        Rgb([red, green, blue].map(|channel| shade(channel + grain)))
    });
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 88).write_image(
        &picture,
        width,
        height,
        ExtendedColorType::Rgb8,
    )?;
    Ok(bytes)
}

/// Noise that changes over so many pixels as two to the power of `octave`, from 0 to 255.
fn smooth(seed: u64, x: u32, y: u32, octave: u32) -> u32 {
    let side = 1 << octave;
    let (column, row) = (x >> octave, y >> octave);
    let corner = |right: u32, down: u32| {
        let place = (u64::from(octave) << 60) | (u64::from(column + right) << 30) | u64::from(row + down);
        u32::from(byte(scatter(seed ^ scatter(place))))
    };
    let (across, along) = (x & (side - 1), y & (side - 1));
    let mix = |from: u32, to: u32, part: u32| (from * (side - part) + to * part) >> octave;
    mix(mix(corner(0, 0), corner(1, 0), across), mix(corner(0, 1), corner(1, 1), across), along)
}

/// Windows with lines of something like text.
fn screen(seed: u64) -> Result<Vec<u8>> {
    let (width, height) = SCREEN;
    let mut picture =
        RgbImage::from_fn(width, height, |x, y| Rgb([shade(30 + x / 32), shade(60 + y / 24), 110]));
    for window in 0..6_u64 {
        let place = scatter(seed ^ window).to_le_bytes();
        let (left, top) = (u32::from(place[0]) * 4, u32::from(place[1]) * 2);
        let (across, down) = (500 + u32::from(place[2]) * 2, 300 + u32::from(place[3]));
        for y in top..(top + down).min(height) {
            for x in left..(left + across).min(width) {
                picture.put_pixel(x, y, window_pixel(place[4], x - left, y - top));
            }
        }
    }
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive).write_image(
        &picture,
        width,
        height,
        ExtendedColorType::Rgb8,
    )?;
    Ok(bytes)
}

/// A bar on top, and letters of seven by eleven pixels in lines of eighteen below it.
fn window_pixel(tint: u8, x: u32, y: u32) -> Rgb<u8> {
    if y < 28 {
        return Rgb([70, 70, 80 + tint / 4]);
    }
    let (letter, line) = (x / 8, y / 18);
    let (across, down) = (x % 8, y % 18);
    let word = scatter(u64::from(tint) << 40 | u64::from(line) << 20 | u64::from(letter));
    let is_space = byte(word) < 40 || across == 7 || down > 10 || letter < 2;
    let is_ink = word >> (across + down / 2 * 7) & 1 == 1;
    if is_space || !is_ink { Rgb([248, 248, 246]) } else { Rgb([40, 44, byte(word >> 56) / 2]) }
}

/// A disc that goes round over a gradient.
fn moving(seed: u64) -> Result<Vec<u8>> {
    let (width, height) = MOVING;
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 30);
    encoder.set_repeat(Repeat::Infinite)?;
    let tint = byte(scatter(seed));
    for number in 0..FRAMES {
        let turn = f64::from(number) / f64::from(FRAMES) * std::f64::consts::TAU;
        let (middle_x, middle_y) = (240.0 + 120.0 * turn.cos(), 180.0 + 90.0 * turn.sin());
        let frame = RgbaImage::from_fn(width, height, |x, y| {
            let apart = (f64::from(x) - middle_x).hypot(f64::from(y) - middle_y);
            let disc = if apart < 60.0 { 255 } else { tint };
            Rgba([disc, shade(x * 255 / width), shade(y * 255 / height), 255])
        });
        encoder.encode_frame(Frame::from_parts(frame, 0, 0, Delay::from_numer_denom_ms(80, 1)))?;
    }
    drop(encoder);
    Ok(bytes)
}

/// The width and height of a picture.
pub(crate) fn size_of(bytes: &[u8]) -> Result<(u32, u32)> {
    Ok(ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_dimensions()?)
}

fn shade(channel: u32) -> u8 {
    u8::try_from(channel).unwrap_or(u8::MAX)
}

fn byte(number: u64) -> u8 {
    number.to_le_bytes()[0]
}
