//! A medium as a response: its headers, and the part of it that was asked for.

use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use hearth_services::media::{Found, essence, hexadecimal, is_safe};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::api::error::ErrorKind;

use crate::app::App;
use crate::error::{Error, Result};

/// > Clients … SHOULD be sent `Content-Security-Policy: sandbox; default-src 'none'; …`
const POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; \
     object-src 'self';",
);

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// What an id names never changes; nobody but who has a token may keep it for others.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// What RFC 5987 lets stand in a parameter.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// How a medium is asked for.
pub(super) struct Offer<'a> {
    headers: &'a HeaderMap,
    redirect: bool,
}

/// Which part of it.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Some(Range<u64>),
    Beyond,
}

impl<'a> Offer<'a> {
    /// With these headers; `redirect` where the client can be sent elsewhere.
    pub(super) const fn new(headers: &'a HeaderMap, redirect: bool) -> Self {
        Self { headers, redirect }
    }
}

/// The response to who asks for what was found.
pub(super) async fn offer(app: &App, found: Found, asked: &Offer<'_>) -> Result<Response> {
    let disposition = disposition(&found.content_type, found.file_name.as_deref());
    let tag = tag(&found.blob.sha256);
    if asked.headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &tag)) {
        let headers = [(ETAG, text(&tag)?), (CACHE_CONTROL, CACHE)];
        return Ok(respond(StatusCode::NOT_MODIFIED, Body::empty(), headers));
    }
    if asked.redirect
        && let Some(address) = app.media.address(&found, &disposition).await?
    {
        let headers = [(LOCATION, text(&address)?)];
        return Ok(respond(StatusCode::TEMPORARY_REDIRECT, Body::empty(), headers));
    }
    let size = found.blob.size;
    let (status, range) = match part(asked.headers, &tag, size) {
        Part::Whole => (StatusCode::OK, 0..size),
        Part::Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::Beyond => {
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            let mut refusal =
                Error::new(status, ErrorKind::Unknown, "The file has no such part.").into_response();
            refusal.headers_mut().insert(CONTENT_RANGE, text(&format!("bytes */{size}"))?);
            return Ok(refusal);
        }
    };
    let stream = app.media.read(&found.blob, range.clone()).await?;
    let headers = [
        (CONTENT_TYPE, text(&found.content_type)?),
        (CONTENT_DISPOSITION, text(&disposition)?),
        (CONTENT_LENGTH, (range.end - range.start).into()),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CORP, HeaderValue::from_static("cross-origin")),
        (ROBOTS, HeaderValue::from_static("noindex, nofollow, noarchive, noimageindex")),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (CACHE_CONTROL, CACHE),
        (ETAG, text(&tag)?),
    ];
    let mut response = respond(status, Body::from_stream(stream), headers);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = text(&format!("bytes {}-{}/{size}", range.start, range.end - 1))?;
        response.headers_mut().insert(CONTENT_RANGE, range);
    }
    Ok(response)
}

fn respond(
    status: StatusCode,
    body: Body,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}

fn text(value: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(value).map_err(Error::internal)
}

/// The hash of what is served: equal content has equal tags.
fn tag(sha256: &[u8; 32]) -> String {
    format!("\"{}\"", hexadecimal(sha256))
}

fn names(known: &HeaderValue, tag: &str) -> bool {
    let known = known.to_str().unwrap_or_default();
    known.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// RFC 9110, section 14: one range is served; of several, or of what is no range, the whole.
fn part(headers: &HeaderMap, tag: &str, size: u64) -> Part {
    let outdated = headers.get(IF_RANGE).is_some_and(|known| known.as_bytes() != tag.as_bytes());
    let range = headers.get(RANGE).filter(|_| !outdated).and_then(|range| range.to_str().ok());
    let Some(range) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else { return Part::Whole };
    let Some((first, last)) = range.split_once('-').filter(|_| !range.contains(',')) else {
        return Part::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (number(first), number(last)) {
        (Some(first), _) if first >= size => Part::Beyond,
        (Some(first), Some(last)) if last < first => Part::Whole,
        (Some(first), Some(last)) => Part::Some(first..last.saturating_add(1).min(size)),
        (Some(first), None) if last.trim().is_empty() => Part::Some(first..size),
        (None, Some(0)) if first.trim().is_empty() => Part::Beyond,
        (None, Some(_)) if first.trim().is_empty() && size == 0 => Part::Beyond,
        (None, Some(last)) if first.trim().is_empty() => Part::Some(size.saturating_sub(last)..size),
        _ => Part::Whole,
    }
}

/// > `inline` … only … for the types listed, `attachment` otherwise
fn disposition(content_type: &str, file_name: Option<&str>) -> String {
    let how = if is_safe(&essence(content_type)) { "inline" } else { "attachment" };
    let Some(name) = file_name else { return how.to_owned() };
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(token) {
        return format!("{how}; filename={name}");
    }
    let plain = name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"\"\\%".contains(&byte));
    if !name.is_empty() && plain {
        return format!("{how}; filename=\"{name}\"");
    }
    format!("{how}; filename*=utf-8''{}", utf8_percent_encode(name, PLAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str) -> Part {
        let headers = HeaderMap::from_iter([(RANGE, HeaderValue::try_from(range).unwrap())]);
        part(&headers, "\"x\"", 100)
    }

    #[test]
    fn one_range_is_served_and_nonsense_is_the_whole() {
        assert_eq!(asked("bytes=0-0"), Part::Some(0..1));
        assert_eq!(asked("bytes=10-"), Part::Some(10..100));
        assert_eq!(asked("bytes=-10"), Part::Some(90..100));
        assert_eq!(asked("bytes=-1000"), Part::Some(0..100));
        assert_eq!(asked("bytes=90-18446744073709551615"), Part::Some(90..100));
        assert_eq!((asked("bytes=100-"), asked("bytes=-0")), (Part::Beyond, Part::Beyond));
        for whole in
            ["bytes=5-4", "bytes=0-1,5-6", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=99999999999999999999-"]
        {
            assert_eq!(asked(whole), Part::Whole, "{whole}");
        }
    }

    #[test]
    fn a_range_of_what_has_changed_is_the_whole() {
        let headers = HeaderMap::from_iter([
            (RANGE, HeaderValue::from_static("bytes=1-2")),
            (IF_RANGE, HeaderValue::from_static("\"other\"")),
        ]);
        assert_eq!(part(&headers, "\"x\"", 100), Part::Whole);
        assert_eq!(part(&headers, "\"other\"", 100), Part::Some(1..3));
    }

    #[test]
    fn names_are_written_so_that_nothing_breaks_out_of_them() {
        assert_eq!(disposition("image/png", None), "inline");
        assert_eq!(disposition("text/html", Some("a.html")), "attachment; filename=a.html");
        assert_eq!(disposition("text/plain", Some("a b.txt")), "inline; filename=\"a b.txt\"");
        assert_eq!(
            disposition("image/svg+xml", Some("\"; x=\"")),
            "attachment; filename*=utf-8''%22%3B%20x%3D%22"
        );
        assert_eq!(disposition("image/png", Some("\u{e4}\r\n")), "inline; filename*=utf-8''%C3%A4%0D%0A");
    }
}
