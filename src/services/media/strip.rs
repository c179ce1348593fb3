//! Taking out of pictures what they tell beside what they show: where they were taken, when, with what.

use bytes::Bytes;
use image::ImageFormat;
use img_parts::{DynImage, ImageEXIF, jpeg, png};

use super::picture::format_of;

/// Pictures are changed in memory: larger ones are refused where this is asked for.
pub(super) const LARGEST: u64 = 32 * 1024 * 1024;

/// The chunks of a PNG that have to do with what it shows.
const CHUNKS: [&[u8; 4]; 21] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP",
    b"mDCV", b"cLLI", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT", b"eXIf",
];

/// The tag of the orientation, and the type of a 16-bit number.
const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;

/// Whether something that begins like this has metadata that can be taken out.
pub(super) fn is_of_interest(head: &[u8]) -> bool {
    matches!(format_of(head), Some(ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP))
}

/// The picture without metadata, but for how it is to be turned. What cannot be read as a picture stays as it is.
pub(super) fn strip(bytes: &Bytes) -> Bytes {
    let Ok(Some(mut picture)) = DynImage::from_bytes(bytes.clone()) else { return bytes.clone() };
    let orientation = picture.exif().and_then(|exif| orientation(&exif));
    picture.set_exif(orientation.map(only_orientation));
    match &mut picture {
        DynImage::Jpeg(jpeg) => {
            let exif = jpeg.exif();
            jpeg.segments_mut().retain(|segment| shows(segment.marker(), segment.contents()));
            jpeg.set_exif(exif);
        }
        DynImage::Png(png) => {
            png.chunks_mut().retain(|chunk: &png::PngChunk| CHUNKS.contains(&&chunk.kind()));
        }
        DynImage::WebP(webp) => webp.remove_chunks_by_id(*b"XMP "),
    }
    let stripped = picture.encoder().bytes();
    let end = end_of_jpeg(&stripped).unwrap_or(stripped.len());
    stripped.slice(..end)
}

/// Whether a segment of a JPEG has to do with what it shows: not one of an application, but for JFIF, colour profiles
/// and Adobe's word on colours, and no comment.
fn shows(marker: u8, contents: &[u8]) -> bool {
    match marker {
        jpeg::markers::APP0 | jpeg::markers::APP14 => true,
        jpeg::markers::APP2 => contents.starts_with(b"ICC_PROFILE\0"),
        jpeg::markers::APP1..=jpeg::markers::APP15 | jpeg::markers::COM => false,
        _ => true,
    }
}

/// Where the first picture of a JPEG ends: cameras put others, films and notes behind it. None in what is no JPEG, or
/// does not end.
fn end_of_jpeg(bytes: &[u8]) -> Option<usize> {
    let mut at = bytes.starts_with(b"\xff\xd8\xff").then_some(2)?;
    loop {
        match *bytes.get(at..at + 2)? {
            [0xff, jpeg::markers::EOI] => return Some(at + 2),
            // What fills up, and what has no length.
            [0xff, 0xff] => at += 1,
            [0xff, 0x01 | 0xd0..=0xd7] => at += 2,
            [0xff, marker] => {
                let length: [u8; 2] = bytes.get(at + 2..at + 4)?.try_into().ok()?;
                at += 2 + usize::from(u16::from_be_bytes(length));
                if marker == jpeg::markers::SOS {
                    at += end_of_scan(bytes.get(at..)?)?;
                }
            }
            _ => return None,
        }
    }
}

/// Where the next marker is that is not part of a scan.
fn end_of_scan(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff))
}

/// The orientation that EXIF names, where it is one of the eight there are.
fn orientation(exif: &[u8]) -> Option<u16> {
    let little = match exif.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes: [u8; 2] = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let bytes: [u8; 4] = exif.get(4..8)?.try_into().ok()?;
    let first = if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
    let first = usize::try_from(first).ok()?;
    let entries = usize::from(short(first)?);
    let entry = |number: usize| first.checked_add(2)?.checked_add(number * 12);
    (0..entries)
        .filter_map(entry)
        .find(|at| short(*at) == Some(ORIENTATION) && short(*at + 2) == Some(SHORT))
        .and_then(|at| short(at.checked_add(8)?))
        .filter(|value| (2..=8).contains(value))
}

/// EXIF that says nothing else.
fn only_orientation(orientation: u16) -> Bytes {
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
    exif.extend(orientation.to_be_bytes());
    exif.extend([0; 6]);
    exif.into()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::RgbImage;

    use super::*;

    fn picture(format: ImageFormat) -> Bytes {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::from_pixel(20, 10, image::Rgb([1, 2, 3])).write_to(&mut bytes, format).unwrap();
        bytes.into_inner().into()
    }

    /// EXIF with an orientation and something to hide.
    fn telling() -> Bytes {
        let mut exif = only_orientation(6).to_vec();
        exif.extend_from_slice(b"GPS 48.8584 N 2.2945 E");
        exif.into()
    }

    #[test]
    fn where_a_picture_was_taken_is_taken_out_and_how_it_stands_stays() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let mut telling_picture = DynImage::from_bytes(picture(format)).unwrap().unwrap();
            telling_picture.set_exif(Some(telling()));
            let bytes = telling_picture.encoder().bytes();
            assert!(bytes.windows(7).any(|window| window == b"48.8584"), "{format:?}");
            assert!(is_of_interest(&bytes));
            let stripped = strip(&bytes);
            assert!(!stripped.windows(7).any(|window| window == b"48.8584"), "{format:?}");
            let left = DynImage::from_bytes(stripped.clone()).unwrap().unwrap();
            assert_eq!(left.exif().and_then(|exif| orientation(&exif)), Some(6), "{format:?}");
            assert!(image::load_from_memory(&stripped).is_ok(), "{format:?}");
        }
    }

    #[test]
    fn what_comes_after_a_photograph_is_cut_off() {
        let photograph = picture(ImageFormat::Jpeg);
        let film = [&photograph[..], b"MotionPhoto_Data ftypmp42 48.8584"].concat();
        assert_eq!(strip(&film.into()), strip(&photograph));
        assert_eq!(end_of_jpeg(&photograph), Some(photograph.len()));
        assert_eq!(
            (end_of_jpeg(&photograph[..photograph.len() - 1]), end_of_jpeg(b"\xff\xd8\xff\xe1\0")),
            (None, None)
        );
    }

    #[test]
    fn what_is_damaged_stays_as_it_is() {
        for bytes in [&b"\xff\xd8\xff\xe1\xff\xff"[..], b"", b"\x89PNG\r\n\x1a\n"] {
            assert_eq!(strip(&Bytes::from_static(bytes)), bytes);
        }
        for exif in [&b""[..], b"MM\0*", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff\x12\x01"] {
            assert_eq!(orientation(exif), None);
        }
    }
}
