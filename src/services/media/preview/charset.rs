//! Which characters the bytes of a page stand for.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Where a page may declare its own encoding: browsers look no further.
const PRESCAN: usize = 1024;

/// The text of a page. What is no character in its encoding becomes U+FFFD.
pub(super) fn decode(bytes: &[u8], content_type: &str) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    let encoding = of_content_type(content_type)
        .or_else(|| of_page(bytes))
        .unwrap_or_else(|| if may_be_utf8(bytes) { UTF_8 } else { WINDOWS_1252 });
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

fn of_content_type(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("charset") {
            return None;
        }
        Encoding::for_label_no_replacement(value.trim().trim_matches(['"', '\'']).as_bytes())
    })
}

/// What the page says of itself. As it could be read, it is not in UTF-16 whatever it claims.
fn of_page(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(PRESCAN)]).to_ascii_lowercase();
    let found = of_meta(&start).or_else(|| of_xml(&start))?;
    Some(if found == UTF_16LE || found == UTF_16BE { UTF_8 } else { found })
}

/// `<meta charset="…">`, or `<meta http-equiv="Content-Type" content="text/html; charset=…">`.
fn of_meta(start: &str) -> Option<&'static Encoding> {
    let mut rest = start;
    while let Some(tag) = rest.find('<') {
        rest = &rest[tag..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = &comment[comment.find("-->")?..];
        } else if let Some(meta) = rest.strip_prefix("<meta") {
            let (attributes, after) = meta.split_once('>').unwrap_or((meta, ""));
            if let Some(encoding) = labelled(attributes, "charset") {
                return Some(encoding);
            }
            rest = after;
        } else {
            rest = &rest[1..];
        }
    }
    None
}

/// `<?xml version="1.0" encoding="…"?>`
fn of_xml(start: &str) -> Option<&'static Encoding> {
    let declaration = start.trim_start().strip_prefix("<?xml")?;
    labelled(declaration.split("?>").next()?, "encoding")
}

/// The encoding of the first `name=label` there is, with or without quotes.
fn labelled(attributes: &str, name: &str) -> Option<&'static Encoding> {
    attributes.split(name).skip(1).find_map(|after| {
        let value = after.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '/');
        Encoding::for_label_no_replacement(value.split(ends).next()?.as_bytes())
    })
}

/// Whether the bytes are UTF-8, but for a last character that may be cut off.
fn may_be_utf8(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{SHIFT_JIS, WINDOWS_1251};

    use super::*;

    #[test]
    fn a_byte_order_mark_wins_over_all() {
        assert_eq!(decode(b"\xff\xfeH\0i\0", "text/html; charset=utf-8"), "Hi");
        assert_eq!(decode(b"\xfe\xff\0H\0i", "text/html; charset=shift_jis"), "Hi");
        assert_eq!(decode(b"\xef\xbb\xbfgr\xc3\xbcn", "text/html; charset=windows-1251"), "grün");
    }

    #[test]
    fn the_header_wins_over_the_page() {
        let page = "<meta charset=\"utf-8\"><title>こんにちは</title>";
        let (bytes, ..) = SHIFT_JIS.encode(page);
        for header in [
            "text/html; charset=Shift_JIS",
            "text/html;x=y; Charset=\"sjis\"",
            "text/html;charset='ms_kanji'",
        ] {
            assert_eq!(decode(&bytes, header), page, "{header}");
        }
    }

    #[test]
    fn a_page_declares_its_encoding() {
        for start in [
            "<meta charset=windows-1251>",
            "<html><head><META CharSet = 'windows-1251' />",
            "<!-- <meta charset=shift_jis> --><meta name=x content=y><meta charset=\"cp1251\">",
            "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=windows-1251\">",
            "<?xml version=\"1.0\" encoding=\"windows-1251\"?>",
        ] {
            let page = format!("{start}<title>Привет</title>");
            let (bytes, ..) = WINDOWS_1251.encode(&page);
            assert_eq!(decode(&bytes, "text/html"), page);
        }
    }

    #[test]
    fn what_is_read_as_ascii_is_not_utf_16() {
        let page = "<meta charset=utf-16><title>grün</title>";
        assert_eq!(decode(page.as_bytes(), ""), page);
    }

    #[test]
    fn a_declaration_that_comes_too_late_does_not_count() {
        let page = format!("{}<meta charset=windows-1251>é", " ".repeat(PRESCAN));
        assert_eq!(decode(page.as_bytes(), "text/html; charset=nonsense"), page);
    }

    #[test]
    fn undeclared_text_is_utf_8_or_else_windows_1252() {
        assert_eq!(decode("naïve".as_bytes(), "text/html"), "naïve");
        assert_eq!(decode(b"na\xefve \x80", "text/html"), "naïve €");
        assert_eq!(decode(b"\xc3\xa9 cut: \xc3", ""), "é cut: \u{fffd}");
        assert_eq!(decode(b"", ""), "");
    }

    #[test]
    fn nonsense_is_survived() {
        for page in [
            b"<meta".as_slice(),
            b"<!--",
            b"<",
            b"<meta charset=",
            b"<?xml encoding",
            b"<meta \xff charset=\xff>",
        ] {
            let _ = decode(page, "text/html; charset=; charset");
        }
    }
}
