use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use super::*;

const LIMITS: PictureLimits = PictureLimits { bytes: 1 << 20, pixels: 1_000_000 };

const fn scale(width: u32, height: u32) -> ThumbnailKey {
    ThumbnailKey { width, height, crop: false, animated: false }
}

const fn crop(width: u32, height: u32) -> ThumbnailKey {
    ThumbnailKey { width, height, crop: true, animated: false }
}

/// Left half red, right half blue.
fn halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) })
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn thumbnail(bytes: &[u8], key: ThumbnailKey) -> DynamicImage {
    let rendered = Picture::decode(bytes, LIMITS).unwrap().thumbnail(key).unwrap();
    image::load_from_memory(&rendered.bytes).unwrap()
}

#[test]
fn a_thumbnail_fits_or_fills_and_is_never_larger_than_its_picture() {
    let bytes = encoded(&halves(600, 300).into(), ImageFormat::Png);
    for (key, size) in [
        (scale(320, 240), (320, 160)),
        (scale(320, 100), (200, 100)),
        (scale(1000, 1000), (600, 300)),
        (crop(32, 32), (32, 32)),
        (crop(96, 32), (96, 32)),
        (crop(400, 400), (400, 300)),
        (crop(2000, 2000), (600, 300)),
    ] {
        let found = thumbnail(&bytes, key);
        assert_eq!((found.width(), found.height()), size, "{key:?}");
    }
    let thin = encoded(&halves(1000, 1).into(), ImageFormat::Png);
    assert_eq!(thumbnail(&thin, scale(32, 32)).height(), 1);
}

#[test]
fn a_crop_is_of_the_middle() {
    let bytes = encoded(&halves(600, 300).into(), ImageFormat::Png);
    let found = thumbnail(&bytes, crop(32, 32)).to_rgb8();
    let (left, right) = (found.get_pixel(4, 16), found.get_pixel(27, 16));
    assert!(left.0[0] > 200 && left.0[2] < 60, "{left:?}");
    assert!(right.0[2] > 200 && right.0[0] < 60, "{right:?}");
}

#[test]
fn what_shows_through_goes_on_to() {
    let picture = RgbaImage::from_pixel(100, 100, Rgba([10, 200, 30, 128]));
    let bytes = encoded(&picture.into(), ImageFormat::WebP);
    let rendered = Picture::decode(&bytes, LIMITS).unwrap().thumbnail(crop(32, 32)).unwrap();
    assert_eq!(rendered.content_type, "image/png");
    let found = image::load_from_memory(&rendered.bytes).unwrap().to_rgba8();
    let Rgba([red, green, blue, alpha]) = *found.get_pixel(16, 16);
    assert!(red.abs_diff(10) < 3 && green.abs_diff(200) < 3 && blue.abs_diff(30) < 3, "{red} {green} {blue}");
    assert_eq!(alpha, 128);
    let opaque = encoded(&halves(100, 100).into(), ImageFormat::Gif);
    assert_eq!(
        Picture::decode(&opaque, LIMITS).unwrap().thumbnail(crop(32, 32)).unwrap().content_type,
        "image/jpeg"
    );
}

/// EXIF that says nothing but how the picture is to be turned.
fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], b"\xff\xe1", &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn a_photograph_taken_sideways_stands_upright() {
    let jpeg = encoded(&halves(200, 100).into(), ImageFormat::Jpeg);
    let bytes = turned(&jpeg, 6);
    assert_eq!(measure(&bytes, LIMITS).unwrap(), (100, 200));
    let found = thumbnail(&bytes, scale(96, 96)).to_rgb8();
    assert_eq!(found.dimensions(), (48, 96));
    let (top, bottom) = (found.get_pixel(24, 8), found.get_pixel(24, 88));
    assert!(top.0[0] > 200 && bottom.0[2] > 200, "{top:?} {bottom:?}");
}

/// A picture that says it is much larger than it is.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Sixteen);
    // Where the pixels would begin.
    let mut writer = encoder.write_header().unwrap();
    writer.write_chunk(png::chunk::IDAT, b"\x78\x9c\x03\x00\x00\x00\x00\x01").unwrap();
    drop(writer);
    bytes
}

#[test]
fn bombs_are_refused_before_they_are_decoded() {
    for (width, height) in [(1001, 1000), (60_000, 60_000), (u32::from(u16::MAX), 16), (i32::MAX as u32, 1)] {
        let found = Picture::decode(&bomb(width, height), LIMITS).err();
        assert!(matches!(found, Some(MediaError::PictureTooLarge)), "{width}x{height}: {found:?}");
    }
}

#[test]
fn what_is_no_picture_is_refused() {
    let jpeg = encoded(&halves(64, 64).into(), ImageFormat::Jpeg);
    for bytes in [
        &b""[..],
        b"GIF89a",
        b"<svg/>",
        b"RIFF\0\0\0\0WEBP",
        &jpeg[..40],
        &encoded(&halves(9, 9).into(), ImageFormat::Png)[..60],
    ] {
        assert!(matches!(Picture::decode(bytes, LIMITS), Err(MediaError::NoThumbnail(_))), "{bytes:?}");
    }
}

fn moving(format: ImageFormat, frames: usize) -> Vec<u8> {
    let pictures: Vec<RgbaImage> = (0..frames)
        .map(|number| {
            RgbaImage::from_pixel(80, 40, Rgba([u8::try_from(number * 40 % 256).unwrap(), 100, 50, 255]))
        })
        .collect();
    let mut bytes = Vec::new();
    if format == ImageFormat::Gif {
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        encoder.set_repeat(image::codecs::gif::Repeat::Infinite).unwrap();
        for picture in pictures {
            let delay = image::Delay::from_numer_denom_ms(120, 1);
            encoder.encode_frame(image::Frame::from_parts(picture, 0, 0, delay)).unwrap();
        }
        drop(encoder);
        return bytes;
    }
    let mut encoder = png::Encoder::new(&mut bytes, 80, 40);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_animated(u32::try_from(frames).unwrap(), 0).unwrap();
    encoder.set_frame_delay(120, 1000).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for picture in pictures {
        writer.write_image_data(&picture).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

fn count(bytes: &[u8]) -> (usize, u32, u32) {
    use image::AnimationDecoder;
    let reader = Cursor::new(bytes);
    let frames = match image::guess_format(bytes).unwrap() {
        ImageFormat::Gif => {
            image::codecs::gif::GifDecoder::new(reader).unwrap().into_frames().collect_frames()
        }
        _ => image::codecs::png::PngDecoder::new(reader)
            .unwrap()
            .apng()
            .unwrap()
            .into_frames()
            .collect_frames(),
    };
    let frames = frames.unwrap();
    let (numerator, denominator) = frames[0].delay().numer_denom_ms();
    (frames.len(), frames[0].buffer().width(), numerator / denominator)
}

#[test]
fn what_moves_goes_on_to_move_when_it_is_asked_to() {
    for (format, kind) in [(ImageFormat::Gif, "image/gif"), (ImageFormat::Png, "image/apng")] {
        let bytes = moving(format, 5);
        let rendered = animate(&bytes, scale(40, 40), LIMITS).unwrap().unwrap();
        assert_eq!((rendered.content_type, count(&rendered.bytes)), (kind, (5, 40, 120)));
    }
    let small = moving(ImageFormat::Gif, 5);
    let rendered = animate(&small, scale(80, 40), LIMITS).unwrap().unwrap();
    assert_eq!((rendered.content_type, rendered.bytes), ("image/gif", small), "it is small enough as it is");
    assert!(animate(&moving(ImageFormat::Gif, 1), scale(40, 40), LIMITS).unwrap().is_none());
    assert!(animate(&moving(ImageFormat::Gif, 600), scale(40, 40), LIMITS).unwrap().is_none());
    let still = encoded(&halves(64, 64).into(), ImageFormat::Png);
    assert!(animate(&still, scale(40, 40), LIMITS).unwrap().is_none());
}

#[test]
fn a_blurhash_has_the_colours_of_its_picture() {
    let picture = Picture::of(halves(300, 200).into());
    let hash = picture.blurhash().unwrap();
    let pixels = blurhash::decode(&hash, 8, 8, 1.0).unwrap();
    let (left, right) = (&pixels[..3], &pixels[7 * 4..7 * 4 + 3]);
    assert!(left[0] > left[2] && right[2] > right[0], "{hash}: {left:?} {right:?}");
}
