//! What media are said to be, and what they look like.
//!
//! What is served as something that a browser runs would run with the rights of the server's own pages, so nothing
//! is: neither what is declared as such, nor what only looks like it.

/// What is looked at to see what bytes are.
pub(super) const HEAD: usize = 4096;

/// What says nothing.
pub(super) const BYTES: &str = "application/octet-stream";

/// Longer ones are no types of anything.
const LONGEST: usize = 255;

/// > `Content-Disposition` … `inline` … `text/css`, `text/plain`, … `audio/x-flac`
///
/// The types that a browser may show in place.
const SAFE: [&str; 26] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];

/// Types that a browser runs, beside scripts and XML.
const ACTIVE: [&str; 3] = ["text/html", "application/x-shockwave-flash", "application/wasm"];

/// What is in the name of every type of a script.
const SCRIPTS: [&str; 4] = ["javascript", "ecmascript", "jscript", "livescript"];

/// How markup begins that a browser would take for a page.
const MARKUP: [&[u8]; 14] = [
    b"<!doctype",
    b"<html",
    b"<head",
    b"<body",
    b"<script",
    b"<iframe",
    b"<svg",
    b"<?xml",
    b"<!--",
    b"<a ",
    b"<div",
    b"<h1",
    b"<table",
    b"<style",
];

/// A type without its parameters, in lower case.
#[must_use]
pub fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a browser may show it in place.
#[must_use]
pub fn is_safe(content_type: &str) -> bool {
    SAFE.contains(&essence(content_type).as_str())
}

/// What to serve bytes as that begin with `head` and were declared as something, or nothing.
#[must_use]
pub(super) fn settle(declared: Option<&str>, head: &[u8]) -> String {
    let looks = look(head);
    let Some(declared) = declared.map(str::trim).filter(|declared| is_type(declared)) else {
        return looks.filter(|looks| is_safe(looks)).unwrap_or(BYTES).to_owned();
    };
    let essence = essence(declared);
    let runs = runs(&essence);
    if runs || !is_safe(&essence) {
        return if runs { BYTES.to_owned() } else { declared.to_owned() };
    }
    let is_text = essence.starts_with("text/") || essence.starts_with("application/");
    match looks {
        // A text may look like anything: it is shown as the text that it is, never as what it looks like.
        _ if is_text => declared.to_owned(),
        Some(looks) if looks == MARKUP_TYPE => BYTES.to_owned(),
        Some(looks) if same_family(looks, &essence) => looks.to_owned(),
        Some(_) => BYTES.to_owned(),
        None => declared.to_owned(),
    }
}

/// Whether a browser runs it, or what is in it. A picture in SVG is served as one, to be saved and not shown.
fn runs(essence: &str) -> bool {
    let is_xml = essence.ends_with("/xml") || essence.ends_with("+xml") || essence == "text/xsl";
    ACTIVE.contains(&essence)
        || SCRIPTS.iter().any(|script| essence.contains(script))
        || is_xml && essence != "image/svg+xml"
        || essence.starts_with("multipart/")
        || essence.starts_with("message/")
}

const MARKUP_TYPE: &str = "text/html";

/// What bytes look like, so far as they look like anything.
#[must_use]
pub(super) fn look(head: &[u8]) -> Option<&'static str> {
    if let Some(found) = infer::get(head).map(|found| found.mime_type()).filter(|found| *found != "text/xml")
    {
        return Some(found);
    }
    let start =
        head.iter().position(|byte| !byte.is_ascii_whitespace() && !b"\xef\xbb\xbf".contains(byte))?;
    let is = |tag: &&[u8]| head[start..].get(..tag.len()).is_some_and(|text| text.eq_ignore_ascii_case(tag));
    MARKUP.iter().any(is).then_some(MARKUP_TYPE)
}

/// Whether one may be served as what it looks like instead of what was declared: both are pictures, or both are
/// sound or film, whose containers are the same.
fn same_family(looks: &str, declared: &str) -> bool {
    let family = |essence: &str| match essence.split('/').next() {
        Some("audio" | "video") => 1,
        Some("image") => 2,
        _ => 3,
    };
    is_safe(looks) && family(looks) == family(declared)
}

/// Whether it is a media type that can be sent back in a header.
fn is_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    // A browser takes what follows a comma for another type.
    let plain =
        text.len() <= LONGEST && text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b',');
    let whole = text.split(';').next().unwrap_or_default().trim();
    plain && whole.split_once('/').is_some_and(|(main, sub)| token(main) && token(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0";
    const GIF_AND_PAGE: &[u8] = b"GIF89a/*<script>alert(1)</script>*/";

    #[test]
    fn what_was_declared_is_kept_where_it_can_be() {
        assert_eq!(settle(Some("image/png"), PNG), "image/png");
        assert_eq!(settle(Some("application/pdf"), b"%PDF-1.7"), "application/pdf");
        assert_eq!(settle(Some("text/plain; charset=utf-8"), b"<html>"), "text/plain; charset=utf-8");
        assert_eq!(settle(Some("video/mp4"), b"unknown"), "video/mp4");
        assert_eq!(settle(Some(BYTES), PNG), BYTES);
    }

    #[test]
    fn a_picture_of_another_kind_is_served_as_what_it_is() {
        assert_eq!(settle(Some("image/png"), JPEG), "image/jpeg");
        assert_eq!(settle(Some("image/webp"), GIF_AND_PAGE), "image/gif");
        assert_eq!(settle(None, JPEG), "image/jpeg");
    }

    #[test]
    fn nothing_is_served_as_what_a_browser_runs() {
        for declared in [
            "text/html",
            "Text/HTML; charset=x",
            "application/xhtml+xml",
            "text/javascript",
            "text/javascript1.3",
            "application/rss+xml",
            "multipart/x",
        ] {
            assert_eq!(settle(Some(declared), b"anything"), BYTES, "{declared}");
        }
        for page in [
            &b"<!DOCTYPE html><p>"[..],
            b"  \n<SCRIPT>",
            b"\xef\xbb\xbf<html>",
            b"<?xml version='1.0'?><svg>",
        ] {
            assert_eq!(settle(Some("image/png"), page), BYTES);
            assert_eq!(settle(None, page), BYTES);
        }
        assert_eq!(settle(Some("image/png"), b"%PDF-1.7"), BYTES);
    }

    #[test]
    fn what_is_no_type_says_nothing() {
        for bad in [
            "",
            "png",
            "image/",
            "image/p\r\nng",
            "image/png\u{e4}",
            "a b/c",
            &format!("a/{}", "b".repeat(300)),
        ] {
            assert_eq!(settle(Some(bad), b"x"), BYTES, "{bad}");
        }
    }
}
