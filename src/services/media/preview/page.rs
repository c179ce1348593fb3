//! What a page of HTML tells about itself: Open Graph first, then what stands in for it.

mod words;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lol_html::html_content::{Element, TextChunk};
use lol_html::{HtmlRewriter, MemorySettings, Settings, doc_text, element, end_tag, text};
use reqwest::Url;

pub(super) use words::plain;
use words::{MAX_RAW, append, collapse, cut, decode_attribute, shorten};

/// The longest value of a property, in characters. Clients show a few lines.
pub(super) const MAX_VALUE: usize = 1000;
/// The longest text taken from the page where nothing describes it, in characters.
const MAX_SUMMARY: usize = 500;
/// When a summary has as many characters, no further paragraph is added.
const SUMMARY_ENOUGH: usize = 200;
/// Words of an attribute that are looked at: pages use one or two.
const MAX_WORDS: usize = 16;

/// The Open Graph properties taken: the usual page has ten.
const MAX_GRAPH: usize = 40;
/// The longest name of a property.
const MAX_NAME: usize = 100;
/// The longest URL that is made use of.
const MAX_URL: usize = 4096;
/// Pictures that are remembered until it is known which have an address that can be fetched.
const MAX_PICTURES: usize = 8;
/// The least width and height, where declared, of a picture that shows something: smaller are icons.
const MIN_SIDE: u32 = 32;
/// For the elements open at one place, about a hundred bytes each. What is nested deeper is not read.
const MEMORY: usize = 512 * 1024;

/// Elements whose text is no part of what the page is about.
const ASIDE: &str = "script, style, noscript, template, nav, header, footer, aside, svg, math, iframe, \
                     object, video, audio, canvas, picture, button, select, textarea, dialog";
/// Elements that text does not run through.
const BLOCKS: &str = "address, article, aside, blockquote, body, center, dd, details, div, dl, dt, \
                      fieldset, figcaption, figure, footer, form, h1, h2, h3, h4, h5, h6, header, hr, \
                      li, main, nav, ol, p, pre, section, summary, table, td, th, tr, ul";

/// What else tells the title, the description and so on.
const TWITTER: [(&str, &str); 7] = [
    ("twitter:title", "og:title"),
    ("twitter:description", "og:description"),
    ("twitter:site", "og:site_name"),
    ("twitter:url", "og:url"),
    ("twitter:image", "og:image"),
    ("twitter:image:src", "og:image"),
    ("twitter:image:alt", "og:image:alt"),
];

/// What a page tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// The `og:*` properties, each once; but for those of the image, which is not fetched yet: of them
    /// only `og:image:alt`.
    pub(super) properties: Vec<(String, String)>,
    /// Where the site describes the page by oEmbed in JSON.
    pub(super) oembed: Option<String>,
    /// The picture that stands for the page.
    pub(super) image: Option<String>,
}

/// What was seen on the way through a page.
#[derive(Default)]
struct Seen {
    base: Option<String>,
    oembed: Option<String>,
    /// `og:*` and `twitter:*` as they come, their values decoded.
    graph: Vec<(String, String)>,
    description: Option<String>,
    image: Option<String>,
    pictures: Vec<String>,
    /// The next picture is one of the navigation.
    in_navigation: bool,
    title: String,
    has_title: bool,
    heading: String,
    headings: usize,
    /// The text at hand belongs to no paragraph.
    is_aside: bool,
    paragraph: String,
    paragraphs: Vec<String>,
}

/// Reads the page that was found at `base`.
pub(super) fn read(html: &str, base: &str) -> Page {
    scan(html).into_page(base)
}

/// The first words of some HTML, as far as they are about something.
pub(super) fn summary(html: &str) -> Option<String> {
    scan(html).summary()
}

/// A URL that can be fetched, made absolute.
pub(super) fn web_url(url: &str, base: Option<&Url>) -> Option<String> {
    let url = Url::options().base_url(base).parse(url.trim()).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    (is_web && url.as_str().len() <= MAX_URL).then(|| url.into())
}

fn scan(html: &str) -> Seen {
    let seen = RefCell::default();
    let is_between = Rc::default();
    {
        let mut rewriter = HtmlRewriter::new(settings(&seen, &is_between), |_: &[u8]| {});
        // A page that is nested too deeply is read as far as the memory went.
        if rewriter.write(html.as_bytes()).is_ok() {
            let _ = rewriter.end();
        }
    }
    let mut seen = seen.into_inner();
    seen.end_paragraph();
    seen
}

/// What to do on the way. Handlers of text are called in this order, those of the whole document last;
/// `is_between` says that a paragraph ended.
fn settings<'h>(seen: &'h RefCell<Seen>, is_between: &Rc<Cell<bool>>) -> Settings<'h, 'static> {
    let (starts, flows) = (Rc::clone(is_between), Rc::clone(is_between));
    let on = |handle: fn(&mut Seen, &Element<'_, '_>)| {
        move |element: &mut Element<'_, '_>| {
            handle(&mut seen.borrow_mut(), element);
            Ok(())
        }
    };
    let on_text = |handle: fn(&mut Seen, &TextChunk<'_>)| {
        move |chunk: &mut TextChunk<'_>| {
            handle(&mut seen.borrow_mut(), chunk);
            Ok(())
        }
    };
    let memory = MemorySettings::new().with_max_allowed_memory_usage(MEMORY);
    Settings::new()
        .with_memory_settings(memory)
        .with_strict(false)
        .append_element_content_handler(element!("base[href]", on(Seen::base)))
        .append_element_content_handler(element!("meta[content]", on(Seen::meta)))
        .append_element_content_handler(element!("link[href]", on(Seen::link)))
        .append_element_content_handler(element!("nav img, footer img", on(Seen::navigation)))
        .append_element_content_handler(element!("img", on(Seen::picture)))
        .append_element_content_handler(element!("br", on(|seen, _| append(&mut seen.paragraph, " "))))
        .append_element_content_handler(element!("h1", on(|seen, _| seen.headings += 1)))
        .append_element_content_handler(element!(BLOCKS, move |block| {
            starts.set(true);
            if block.can_have_content() {
                let ends = Rc::clone(&starts);
                block.on_end_tag(end_tag!(move |_| {
                    ends.set(true);
                    Ok(())
                }))?;
            }
            Ok(())
        }))
        .append_element_content_handler(text!("h1", on_text(Seen::heading)))
        .append_element_content_handler(text!(ASIDE, on_text(|seen, _| seen.is_aside = true)))
        .append_element_content_handler(text!("title", on_text(Seen::title)))
        .append_document_content_handler(doc_text!(move |chunk| {
            let mut seen = seen.borrow_mut();
            if flows.take() {
                seen.end_paragraph();
            }
            seen.text(chunk);
            Ok(())
        }))
}

impl Seen {
    fn base(&mut self, element: &Element<'_, '_>) {
        if self.base.is_none() {
            self.base = attribute(element, "href");
        }
    }

    fn meta(&mut self, element: &Element<'_, '_>) {
        let names =
            ["property", "name", "itemprop"].map(|name| element.get_attribute(name).unwrap_or_default());
        let names = names.iter().flat_map(|names| names.split_ascii_whitespace()).take(MAX_WORDS);
        // Read once, and only where something wants it.
        let mut content = None;
        let mut content = || content.get_or_insert_with(|| attribute(element, "content")).clone();
        for name in names {
            let name = name.to_ascii_lowercase();
            let is_graph = is_property(&name) || TWITTER.iter().any(|(twitter, _)| *twitter == name);
            if is_graph && self.graph.len() < MAX_GRAPH && self.graph.iter().all(|(other, _)| *other != name)
            {
                let value = content().map(|value| collapse(&value)).unwrap_or_default();
                if !value.is_empty() {
                    self.graph.push((name, value));
                }
            } else if name == "description" && self.description.is_none() {
                let description = content().map(|value| collapse(&value));
                self.description = description.filter(|text| !text.is_empty());
            } else if name == "image" && self.image.is_none() {
                self.image = content();
            }
        }
    }

    fn link(&mut self, element: &Element<'_, '_>) {
        let relations = element.get_attribute("rel").unwrap_or_default().to_ascii_lowercase();
        for relation in relations.split_ascii_whitespace().take(MAX_WORDS) {
            if relation == "image_src" && self.image.is_none() {
                self.image = attribute(element, "href");
            }
            // The second is not of the standard, but of some sites.
            if matches!(relation, "alternate" | "alternative") && self.oembed.is_none() {
                let kind = element.get_attribute("type").unwrap_or_default();
                if kind.trim().eq_ignore_ascii_case("application/json+oembed") {
                    self.oembed = attribute(element, "href");
                }
            }
        }
    }

    fn navigation(&mut self, _: &Element<'_, '_>) {
        self.in_navigation = true;
    }

    fn picture(&mut self, element: &Element<'_, '_>) {
        let is_small = |side: &str| {
            let side = element.get_attribute(side)?;
            let digits = side.trim().split(|c: char| !c.is_ascii_digit()).next()?;
            Some(digits.parse::<u32>().ok()? < MIN_SIDE)
        };
        let is_icon = is_small("width") == Some(true) || is_small("height") == Some(true);
        if std::mem::take(&mut self.in_navigation) || is_icon || self.pictures.len() >= MAX_PICTURES {
            return;
        }
        // Where a script loads the pictures, their place is taken by one inside the page.
        let source = attribute(element, "src").filter(|source| !source.starts_with("data:"));
        self.pictures.extend(source.or_else(|| attribute(element, "data-src")));
    }

    fn heading(&mut self, chunk: &TextChunk<'_>) {
        if self.headings == 1 {
            append(&mut self.heading, chunk.as_str());
        }
    }

    /// The title of the page is the first, but for those of drawings.
    fn title(&mut self, chunk: &TextChunk<'_>) {
        if !self.is_aside && !self.has_title {
            append(&mut self.title, chunk.as_str());
            self.has_title = chunk.last_in_text_node() && !self.title.is_empty();
        }
        self.is_aside = true;
    }

    fn text(&mut self, chunk: &TextChunk<'_>) {
        if !std::mem::take(&mut self.is_aside) && !self.has_enough() {
            append(&mut self.paragraph, chunk.as_str());
        }
    }

    fn has_enough(&self) -> bool {
        self.paragraphs.iter().map(|text| text.chars().count()).sum::<usize>() >= SUMMARY_ENOUGH
    }

    fn end_paragraph(&mut self) {
        let text = plain(&std::mem::take(&mut self.paragraph), MAX_VALUE);
        if !text.is_empty() && !self.has_enough() {
            self.paragraphs.push(text);
        }
    }

    fn summary(&self) -> Option<String> {
        let text = shorten(&self.paragraphs.join("\n\n"), MAX_SUMMARY);
        (!text.is_empty()).then_some(text)
    }

    fn into_page(self, base: &str) -> Page {
        let document = Url::parse(base).ok();
        let base = self.base.as_deref().and_then(|base| web_url(base, document.as_ref()));
        let base = base.and_then(|base| Url::parse(&base).ok()).or(document);
        let absolute = |url: &str| web_url(url, base.as_ref());

        let mut page = Page { oembed: self.oembed.as_deref().and_then(absolute), ..Page::default() };
        let is_twitter = |name: &str| TWITTER.iter().find(|(twitter, _)| *twitter == name).map(|(_, og)| *og);
        for (name, value) in self.graph.iter().filter(|(name, _)| is_property(name)) {
            page.add(name, value, &absolute);
        }
        for (name, value) in &self.graph {
            if let Some(name) = is_twitter(name) {
                page.add(name, value, &absolute);
            }
        }
        for title in [plain(&self.title, MAX_VALUE), plain(&self.heading, MAX_VALUE)] {
            page.add("og:title", &title, &absolute);
        }
        for description in [&self.description, &self.summary()].into_iter().flatten() {
            page.add("og:description", description, &absolute);
        }
        let others = self.image.iter().chain(&self.pictures);
        page.image = page.image.or_else(|| others.map(String::as_str).find_map(absolute));
        page
    }
}

impl Page {
    /// Takes a property that there is none of yet.
    fn add(&mut self, name: &str, value: &str, absolute: &impl Fn(&str) -> Option<String>) {
        if matches!(name, "og:image" | "og:image:url" | "og:image:secure_url") {
            self.image = self.image.take().or_else(|| absolute(value));
            return;
        }
        // They are measured on the picture that was fetched.
        let of_image = name.starts_with("og:image:") && name != "og:image:alt";
        if of_image || value.is_empty() || self.properties.iter().any(|(other, _)| other == name) {
            return;
        }
        let value = if is_url(name) {
            absolute(value).filter(|url| url.len() <= MAX_VALUE)
        } else {
            Some(shorten(value, MAX_VALUE))
        };
        self.properties.extend(value.map(|value| (name.to_owned(), value)));
    }
}

/// Whether it is a name of Open Graph's own, short and plain.
fn is_property(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.');
    let is_plain = |rest: &str| !rest.is_empty() && rest.chars().all(plain);
    name.len() <= MAX_NAME && name.strip_prefix("og:").is_some_and(is_plain)
}

/// Whether a property's value leads somewhere.
fn is_url(name: &str) -> bool {
    matches!(name, "og:url" | "og:video" | "og:audio" | "og:see_also" | "og:logo")
        || name.ends_with(":url")
        || name.ends_with(":secure_url")
}

/// The value of an attribute, decoded.
fn attribute(element: &Element<'_, '_>, name: &str) -> Option<String> {
    let value = element.get_attribute(name)?;
    Some(decode_attribute(cut(&value, MAX_RAW)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://site.example/news/today.html";

    fn property(page: &Page, name: &str) -> Option<String> {
        page.properties.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[track_caller]
    fn assert_described(body: &str, description: &str) {
        assert_eq!(property(&read(body, HERE), "og:description").as_deref(), Some(description), "{body}");
    }

    #[test]
    fn open_graph_comes_first() {
        let html = r#"<!doctype html><html><head><title>Plain</title>
            <meta name="description" content="Plain too">
            <meta name="twitter:title" content="Short">
            <META PROPERTY="og:title" CONTENT="  Tea &amp; &quot;cake&quot;
                &#8211; caf&eacute; "/>
            <meta name="og:description" content="What it is">
            <meta property="og:title" content="A second">
            <meta property="og:image" content="/a.png?x=1&amp;copy=2&copy=3">
            <meta property="og:image:width" content="100">
            <meta property="og:image:alt" content="A cup">
            <meta property="og:url" content="../here">
            <meta property="article:author" content="Nobody">
            <meta property="matrix:image:size" content="1">
            </head><body><img src=b.png>text</body></html>"#;
        let expected = [
            ("og:title", "Tea & \"cake\" – café"),
            ("og:description", "What it is"),
            ("og:image:alt", "A cup"),
            ("og:url", "https://site.example/here"),
        ];
        let image = Some("https://site.example/a.png?x=1&copy=2&copy=3".to_owned());
        assert_eq!(read(html, HERE), Page { properties: pairs(&expected), oembed: None, image });
    }

    #[test]
    fn twitter_cards_fill_what_is_missing() {
        let html = r#"<meta name="twitter:title" content="Card"><meta property="og:site_name" content="Site">
            <meta name="twitter:site" content="@site"><meta name="twitter:description" content="Of a card">
            <meta name="twitter:image" content="//img.example/card.png"><title>Plain</title>"#;
        let expected = [("og:site_name", "Site"), ("og:title", "Card"), ("og:description", "Of a card")];
        let image = Some("https://img.example/card.png".to_owned());
        assert_eq!(read(html, HERE), Page { properties: pairs(&expected), oembed: None, image });
    }

    #[test]
    fn plain_html_tells_title_description_and_picture() {
        let html = r#"<title>
                News &lt;today&gt; </title><meta name=Description content=" All  the news ">
            <link rel="shortcut image_src" href="/logo.png"><img src=/photo.jpg>"#;
        let expected = [("og:title", "News <today>"), ("og:description", "All the news")];
        let image = Some("https://site.example/logo.png".to_owned());
        assert_eq!(read(html, HERE), Page { properties: pairs(&expected), oembed: None, image });
    }

    #[test]
    fn a_heading_stands_in_for_the_title_but_no_drawing_does() {
        let title = |html| property(&read(html, HERE), "og:title");
        assert_eq!(
            title("<svg><title>Icon</title></svg><h1>One <b>story</b></h1><h1>Two</h1>").unwrap(),
            "One story"
        );
        assert_eq!(title("<title> </title><h1>Story</h1>").unwrap(), "Story");
        assert_eq!(title("<title>First</title><title>Second</title><h1>Story</h1>").unwrap(), "First");
        assert_eq!(title("<p>nothing"), None);
    }

    #[test]
    fn the_first_picture_that_shows_something_is_taken() {
        let image = |html: &str| read(html, HERE).image;
        let of = |path: &str| Some(format!("https://site.example/{path}"));
        let icons = r#"<nav><img src=/nav.png></nav><img src=/dot.gif width="1" height=1>
            <img src=/icon.png width=16px><img><img src="data:image/gif;base64,AAAA">"#;
        assert_eq!(
            image(&format!("{icons}<img src=/big.jpg width=600 height=400><img src=/c.png>")),
            of("big.jpg")
        );
        assert_eq!(
            image(&format!("{icons}<img src='data:image/gif,' data-src=lazy.jpg>")),
            of("news/lazy.jpg")
        );
        assert_eq!(image("<meta itemprop=image content=/item.png><img src=/photo.jpg>"), of("item.png"));
        assert_eq!(image(icons), None);
    }

    #[test]
    fn addresses_are_resolved_against_the_declared_base() {
        let html = r#"<base href="/other/"><base href="/third/"><img src="a.png">
            <link rel=alternate type="application/json+oembed" href="oembed?url=x&amp;format=json">
            <link rel=alternate type="application/json+oembed" href="second">"#;
        let page = read(html, HERE);
        assert_eq!(page.image.unwrap(), "https://site.example/other/a.png");
        assert_eq!(page.oembed.unwrap(), "https://site.example/other/oembed?url=x&format=json");
        let page = read("<base href='javascript:x'><img src=a.png>", HERE);
        assert_eq!(page.image.unwrap(), "https://site.example/news/a.png");
    }

    #[test]
    fn only_addresses_of_the_web_are_told() {
        let html = r#"<meta property="og:url" content="javascript:alert(1)">
            <meta property="og:video:url" content="data:text/html,x"><meta property=og:image content="file:///a">
            <link rel=alternate type="application/json+oembed" href="ftp://site.example/">
            <link rel=image_src href="JavaScript:x"><img src="blob:x">"#;
        assert_eq!(read(html, HERE), Page::default());
        assert_eq!(read("<img src=a.png>", "nonsense"), Page::default());
    }

    #[test]
    fn the_first_paragraphs_describe_a_page() {
        assert_described("<body>Some text.</body>", "Some text.");
        assert_described(
            "<p>One<p>two &amp; <b>a half</b>.<br>Three</p>tail",
            "One\n\ntwo & a half. Three\n\ntail",
        );
        assert_described(
            "<ul><li>a <a href=x>link</a>, more<li>b</ul>\n\n<div> &nbsp; </div>",
            "a link, more\n\nb",
        );
        assert_described("a <!-- x -->&amp; &nonsense; x < y &lt;b&gt;", "a & &nonsense; x < y <b>");
    }

    #[test]
    fn what_is_beside_the_matter_describes_nothing() {
        let html = "<head><title>T</title><style>p{}</style></head><header>Logo <h1>T</h1></header>
            <nav><ul><li>Home<li>About</ul></nav><script>if (a < b) {'</p>'}</script>
            <noscript><p>No scripts?</p></noscript><svg><text>drawn</text></svg>
            <p>The <span>matter</span> <svg><title>icon</title></svg>itself</p><aside>See too</aside>
            <template><p>x</p></template><footer>Imprint</footer>";
        assert_described(html, "The matter itself");
    }

    #[test]
    fn a_summary_ends_between_words() {
        let (first, second) = ("word ".repeat(30), "longer ".repeat(90));
        let page = read(&format!("<p>{first}</p><p>{second}</p><p>never</p>"), HERE);
        let text = property(&page, "og:description").unwrap();
        assert!(text.starts_with(&format!("{}\n\nlonger", first.trim())), "{text}");
        assert!(text.ends_with(" longer…"), "{text}");
        assert!((490..=500).contains(&text.chars().count()), "{}", text.chars().count());
    }

    #[test]
    fn everything_is_bounded() {
        let long = "é".repeat(20_000);
        let property_of = |n: usize| format!("<meta property='og:x{n}' content='{long}'>");
        let many = (0..100).map(property_of).collect::<Vec<_>>().concat();
        let page = read(&format!("<title>{long}</title>{many}<p>{long}"), HERE);
        assert!(page.properties.len() <= 50);
        assert!(page.properties.iter().all(|(_, value)| value.chars().count() <= MAX_VALUE));
        assert_eq!(property(&page, "og:title").unwrap().chars().count(), MAX_VALUE);
        let image =
            format!("<meta property=og:image content='/{long}'><meta property='og:{long}' content=x>");
        assert_eq!(read(&image, HERE), Page::default());
    }

    #[test]
    fn a_page_without_end_of_nesting_is_read_as_far_as_it_goes() {
        for nested in ["<div>", "<p>", "<b><i>", "<svg>", "<table><tr><td>", "<nav>"] {
            let page = read(&format!("<title>Deep</title>{}</p>", nested.repeat(200_000)), HERE);
            assert_eq!(property(&page, "og:title").as_deref(), Some("Deep"), "{nested}");
        }
    }

    #[test]
    fn nonsense_is_survived() {
        for html in [
            "",
            "<",
            "<meta",
            "<meta content>",
            "<!--",
            "<title>",
            "\0",
            "&#0;&#x110000;&",
            "<img src=>",
            "</p></p>",
        ] {
            let page = read(html, HERE);
            let values = page.properties.iter().flat_map(|(_, value)| value.chars());
            assert!(values.into_iter().all(|c| !c.is_control()), "{html}: {page:?}");
        }
    }
}
