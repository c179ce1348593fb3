//! Text out of HTML: entities decoded, white space collapsed, shortened.

use ruma::html::Html;

/// How much text is kept of one place before it is decoded and shortened, in bytes.
pub(super) const MAX_RAW: usize = 8192;

/// Text with its entities decoded, without needless white space and control characters, shortened.
pub(in super::super) fn plain(text: &str, most: usize) -> String {
    shorten(&collapse(&decode_text(text)), most)
}

/// Decodes entities by the rules for attributes: `&copy=` is none there. The parser for whole
/// documents knows them all, and is given nothing else.
pub(super) fn decode_attribute(value: &str) -> String {
    if !value.contains('&') {
        return value.to_owned();
    }
    let element = format!("<p title=\"{}\">", value.replace('"', "&quot;"));
    let parsed = Html::parse(&element).first_child();
    let element = parsed.as_ref().and_then(|node| node.as_element());
    let decoded =
        element.and_then(|element| element.attrs.borrow().first().map(|first| first.value.to_string()));
    decoded.unwrap_or_else(|| value.to_owned())
}

/// Decodes entities by the rules for text.
fn decode_text(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let parsed = Html::parse(&text.replace('<', "&lt;"));
    parsed.children().filter_map(|node| node.as_text().map(|text| text.borrow().to_string())).collect()
}

/// Adds text as far as there is room, without the white space that is only typesetting.
pub(super) fn append(target: &mut String, text: &str) {
    for c in text.chars() {
        if target.len() >= MAX_RAW {
            break;
        }
        match c.is_whitespace() {
            true if target.is_empty() || target.ends_with(' ') => {}
            true => target.push(' '),
            false => target.push(c),
        }
    }
}

/// One space between words; no control characters, which a database may not take.
pub(super) fn collapse(text: &str) -> String {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.chars().filter(|c| !c.is_control()).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

/// At most so many characters, and whole words where there are any.
pub(super) fn shorten(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let kept = text[..end].char_indices().next_back().map_or("", |(last, _)| &text[..last]);
    let is_whole = text[kept.len()..].starts_with(char::is_whitespace);
    let words =
        if is_whole { kept } else { kept.rsplit_once(char::is_whitespace).map_or(kept, |(words, _)| words) };
    // A single endless word at the end does not take all of the text with it.
    let words = if words.len() * 2 < kept.len() { kept } else { words };
    format!("{}…", words.trim_end())
}

/// The beginning, of at most so many bytes.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_decoded_as_their_place_demands() {
        assert_eq!(decode_text("&lt;b> &copy=1 &#x263A; &notit;"), "<b> ©=1 ☺ ¬it;");
        assert_eq!(decode_attribute("?a=\"1\"&copy=2&amp;b=&lt;"), "?a=\"1\"&copy=2&b=<");
        assert_eq!(decode_text("<p>a</p> &amp;"), "<p>a</p> &");
        assert_eq!(decode_text("&amp;amp;"), "&amp;");
    }

    #[test]
    fn words_stand_one_space_apart_without_control_characters() {
        assert_eq!(plain(" a\0b \u{7} c\u{1b}[0m&nbsp;\n", 100), "ab c[0m");
        let mut text = String::new();
        for part in [" \n", "a ", " b", "", "\tc"] {
            append(&mut text, part);
        }
        assert_eq!(text, "a b c");
    }

    #[test]
    fn what_is_too_long_ends_between_words() {
        assert_eq!(shorten("exactly so", 10), "exactly so");
        assert_eq!(shorten("exactly one", 8), "exactly…");
        assert_eq!(shorten("exactly one", 9), "exactly…");
        assert_eq!(shorten("a übermäßigendlos", 10), "a übermäß…");
        assert_eq!(shorten("", 0), "");
        assert_eq!(cut("aé", 2), "a");
    }
}
