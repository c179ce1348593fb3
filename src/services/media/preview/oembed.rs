//! What a site tells about one of its pages by [oEmbed](https://oembed.com), in the terms of Open Graph.

use serde_json::Value;

use super::page::{MAX_VALUE, plain, summary, web_url};

/// The `og:*` properties of an oEmbed response: none where it is nonsense, each at most once.
/// `og:image` is an absolute URL that was not fetched yet.
pub(super) fn read(json: &[u8]) -> Vec<(String, String)> {
    // What is no oEmbed response tells nothing: the page itself still may.
    let Ok(response) = serde_json::from_slice::<Value>(json) else { return Vec::new() };
    let text = |name: &str| {
        // Some sites write entities, which have no meaning in JSON.
        let text = plain(response.get(name)?.as_str()?, MAX_VALUE);
        (!text.is_empty()).then_some(text)
    };
    let url = |name: &str| web_url(response.get(name)?.as_str()?, None);
    let kind = response.get("type").and_then(Value::as_str).unwrap_or_default();
    let embedded = || {
        let html = response.get("html")?.as_str()?;
        matches!(kind, "rich" | "video").then(|| summary(html)).flatten()
    };
    let photo = if kind == "photo" { url("url") } else { None };
    let og_type = match kind {
        "video" => Some("video.other".to_owned()),
        "link" => Some("website".to_owned()),
        _ => None,
    };
    // A message of some network has an author in place of a title.
    let found = [
        ("og:title", text("title").or_else(|| text("author_name"))),
        ("og:author", text("author_name")),
        ("og:site_name", text("provider_name")),
        ("og:type", og_type),
        ("og:image", photo.or_else(|| url("thumbnail_url"))),
        ("og:description", embedded()),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_str(json: &str) -> Vec<(String, String)> {
        read(json.as_bytes())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_video_has_a_title_an_author_and_a_picture() {
        let json = r#"{"version": "1.0", "type": "video", "title": "Tea &amp; cake", "author_name": "Ada",
            "provider_name": "Tube", "thumbnail_url": "https://tube.example/1.jpg", "width": 200,
            "html": "<iframe src=\"https://tube.example/embed/1\">no frames</iframe>"}"#;
        let expected = [
            ("og:title", "Tea & cake"),
            ("og:author", "Ada"),
            ("og:site_name", "Tube"),
            ("og:type", "video.other"),
            ("og:image", "https://tube.example/1.jpg"),
        ];
        assert_eq!(read_str(json), pairs(&expected));
    }

    #[test]
    fn a_photo_is_its_own_picture() {
        let json = r#"{"type": "photo", "url": "https://a.example/big.jpg",
            "thumbnail_url": "https://a.example/small.jpg"}"#;
        assert_eq!(read_str(json), pairs(&[("og:image", "https://a.example/big.jpg")]));
        let json = r#"{"type": "photo", "url": "javascript:alert(1)",
            "thumbnail_url": "https://a.example/small.jpg"}"#;
        assert_eq!(read_str(json), pairs(&[("og:image", "https://a.example/small.jpg")]));
    }

    #[test]
    fn the_text_of_a_message_describes_it_and_its_author_is_the_title() {
        let json = r#"{"type": "rich", "author_name": "Ada",
            "html": "<blockquote><p>Good&nbsp;morning <b>all</b></p>&mdash; Ada</blockquote><script>x()</script>"}"#;
        let expected =
            [("og:title", "Ada"), ("og:author", "Ada"), ("og:description", "Good morning all\n\n— Ada")];
        assert_eq!(read_str(json), pairs(&expected));
    }

    #[test]
    fn values_are_bounded() {
        let json = serde_json::json!({"type": "link", "title": "long ".repeat(5000)}).to_string();
        let read = read_str(&json);
        assert!(read[0].1.chars().count() <= MAX_VALUE && read[0].1.ends_with("long…"));
        assert_eq!(read[1], ("og:type".to_owned(), "website".to_owned()));
    }

    #[test]
    fn nonsense_tells_nothing() {
        let deep = "[".repeat(100_000);
        for json in
            ["", "null", "[]", "\"text\"", "{\"title\": 1, \"html\": {}}", "{\"title\": \" \"}", &deep]
        {
            assert_eq!(read_str(json), [], "{}", &json[..json.len().min(40)]);
        }
        assert_eq!(read(b"\xff\xfe{}"), []);
    }
}
