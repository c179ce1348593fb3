//! What web pages say about themselves, told without leading the server where it should not go.

mod refusals;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::pages::{Asked, Page, Pages};
use crate::harness::server::{Server, Settings};
use crate::harness::{Call, Hearth, Mxc, Test, User, enc, pictures, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let here = tests![own_server:
        a_page_says_what_it_is_and_its_picture_is_kept_here,
        a_page_that_says_nothing_of_itself_is_looked_through,
        pages_are_read_in_the_characters_they_are_written_in,
        what_is_no_page_tells_little_or_nothing,
        what_a_site_says_elsewhere_about_a_page_is_asked_for,
        redirects_are_followed_but_not_for_ever,
        a_page_without_end_is_read_as_far_as_is_allowed,
        a_picture_that_is_too_large_or_no_picture_is_left_out,
        a_page_that_takes_too_long_is_given_up,
        a_page_is_asked_once_for_all_who_want_to_know,
        a_preview_is_kept_as_long_as_the_page_says,
        pages_are_asked_for_in_the_languages_of_the_client,
        a_page_learns_nothing_of_who_looks,
    ];
    [here, refusals::tests()].concat()
}

/// Longer than any page is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

fn preview(user: &User, url: &str) -> Call {
    user.get(&format!("/_matrix/client/v1/media/preview_url?url={}", enc(url))).patient(PATIENCE)
}

/// A server that may look at pages on this machine's first address, and on no other.
fn settings() -> Settings {
    Settings::new()
        .set("HEARTH_OUTGOING__ALLOWED", "127.0.0.1/32")
        .set("HEARTH_PREVIEWS__TIMEOUT", "3s")
        .set("HEARTH_PREVIEWS__MAX_PAGE", "100K")
        .set("HEARTH_PREVIEWS__MAX_PICTURE", "100K")
}

/// Pages, and somebody who asks about them.
struct Scene {
    server: Server,
    hearth: Hearth,
    alice: User,
    pages: Pages,
}

impl Scene {
    async fn set(hearth: &Hearth, answer: impl Fn(&Asked) -> Page + Send + Sync + 'static) -> Self {
        let pages = Pages::start(answer).await;
        let (server, hearth) = hearth.start(settings()).await;
        let alice = hearth.user("alice").await;
        Self { server, hearth, alice, pages }
    }

    async fn of(&self, path: &str) -> Value {
        preview(&self.alice, &self.pages.url(path)).await.ok()
    }

    /// A page of which there is no preview.
    async fn none_of(&self, path: &str) {
        preview(&self.alice, &self.pages.url(path)).await.fails(502, "M_UNKNOWN");
    }

    async fn end(self) {
        assert_eq!(self.server.errors(), Vec::<String>::new());
        self.server.stop().await;
    }
}

async fn a_page_says_what_it_is_and_its_picture_is_kept_here(hearth: Hearth) {
    let picture = pictures::png(120, 80);
    let served = picture.clone();
    let scene = Scene::set(&hearth, move |asked| match asked.target.as_str() {
        "/cat.png" => Page::new("image/png", served.clone()),
        _ => Page::html(
            "<html><head><title>Not this</title><meta property='og:title' content='Cats &amp; dogs'>
             <meta property='og:description' content='All about them'><meta property='og:site_name' content='Pets'>
             <meta property='og:type' content='article'><meta property='og:url' content='/canonical'>
             <meta property='og:image' content='/cat.png'><meta property='og:image:width' content='9999'></head>",
        ),
    })
    .await;
    let told = scene.of("/article").await;
    let mxc = Mxc::parse(told["og:image"].as_str().unwrap());
    let expected = json!({
        "og:title": "Cats & dogs",
        "og:description": "All about them",
        "og:site_name": "Pets",
        "og:type": "article",
        "og:url": scene.pages.url("/canonical"),
        "og:image": mxc.to_string(),
        "og:image:type": "image/png",
        "og:image:width": 120,
        "og:image:height": 80,
        "matrix:image:size": picture.len(),
    });
    assert_eq!(told, expected);
    assert_eq!(mxc.server, scene.alice.server());
    let reply = scene.alice.download(&mxc).await;
    assert_eq!(reply.header("content-type"), "image/png");
    assert!(reply.content() == picture);
    // Old clients ask elsewhere for the same, and may say when.
    for path in ["/_matrix/media/v3/preview_url", "/_matrix/media/r0/preview_url"] {
        let path = format!("{path}?url={}&ts=1500000000000", enc(&scene.pages.url("/article")));
        assert_eq!(scene.alice.get(&path).await.ok(), expected);
    }
    scene.end().await;
}

async fn a_page_that_says_nothing_of_itself_is_looked_through(hearth: Hearth) {
    let scene = Scene::set(&hearth, |asked| match asked.target.as_str() {
        "/described" => Page::html("<title> A  title </title><meta name=description content='What it is'>"),
        "/plain" => {
            Page::html("<h1>Heading</h1><nav><p>Home</nav><p>The first words.</p><script>x()</script>")
        }
        "/fragment" => Page::html("<p>Only words"),
        _ => Page::html("<html></html>"),
    })
    .await;
    let told = scene.of("/described").await;
    assert_eq!(told, json!({"og:title": "A title", "og:description": "What it is"}));
    let told = scene.of("/plain").await;
    assert_eq!(told["og:title"], "Heading");
    assert!(told["og:description"].as_str().unwrap().contains("The first words."), "{told}");
    assert!(!told.to_string().contains("x()"), "{told}");
    assert_eq!(scene.of("/fragment").await, json!({"og:description": "Only words"}));
    assert_eq!(scene.of("/empty").await, json!({}));
    scene.end().await;
}

/// A title in the characters that Japanese pages were written in, and in those of Russian ones.
const KONNICHIWA: &[u8] = b"\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd";
const PRIVET: &[u8] = b"\xcf\xf0\xe8\xe2\xe5\xf2";

async fn pages_are_read_in_the_characters_they_are_written_in(hearth: Hearth) {
    let scene = Scene::set(&hearth, |asked| {
        let titled = |head: &str, title: &[u8]| [head.as_bytes(), b"<title>", title, b"</title>"].concat();
        match asked.target.as_str() {
            "/header" => Page::new("text/html; charset=Shift_JIS", titled("", KONNICHIWA)),
            "/page" => Page::new("text/html", titled("<meta charset=shift_jis>", KONNICHIWA)),
            "/russian" => Page::new("text/html", titled("<meta charset='windows-1251'>", PRIVET)),
            "/utf8" => Page::new("text/html", titled("", "gr\u{fc}n".as_bytes())),
            "/latin" => Page::new("text/html", titled("", b"gr\xfcn")),
            _ => Page::new("text/html; charset=utf-8", titled("", b"gr\xfcn \xff\xfe\0x")),
        }
    })
    .await;
    for (path, title) in [
        ("/header", "\u{3053}\u{3093}\u{306b}\u{3061}\u{306f}"),
        ("/page", "\u{3053}\u{3093}\u{306b}\u{3061}\u{306f}"),
        ("/russian", "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}"),
        ("/utf8", "gr\u{fc}n"),
        ("/latin", "gr\u{fc}n"),
    ] {
        assert_eq!(scene.of(path).await["og:title"], title, "{path}");
    }
    assert!(scene.of("/broken").await["og:title"].as_str().unwrap().starts_with("gr"));
    scene.end().await;
}

async fn what_is_no_page_tells_little_or_nothing(hearth: Hearth) {
    let picture = pictures::jpeg(64, 48);
    let served = picture.clone();
    let scene = Scene::set(&hearth, move |asked| match asked.target.as_str() {
        "/picture.jpg" => Page::new("image/jpeg", served.clone()),
        "/file.zip" => Page::new("application/zip", "<title>no</title>"),
        "/data.json" => Page::new("application/json", r#"{"title": "no"}"#),
        "/gone" => Page::status(404),
        "/broken" => Page::status(500),
        "/nothing" => Page::status(204),
        _ => Page::new("text/plain", "some words"),
    })
    .await;
    let told = scene.of("/picture.jpg").await;
    let mxc = Mxc::parse(told["og:image"].as_str().unwrap());
    assert!(scene.alice.download(&mxc).await.content() == picture);
    assert_eq!((&told["matrix:image:size"], &told["og:image:width"]), (&json!(picture.len()), &json!(64)));
    assert_eq!(scene.of("/file.zip").await, json!({}));
    assert_eq!(scene.of("/data.json").await, json!({}));
    assert_eq!(scene.of("/nothing").await, json!({}));
    scene.none_of("/gone").await;
    scene.none_of("/broken").await;
    scene.end().await;
}

async fn what_a_site_says_elsewhere_about_a_page_is_asked_for(hearth: Hearth) {
    let scene = Scene::set(&hearth, |asked| match asked.target.as_str() {
        "/oembed?of=film" => Page::new(
            "application/json",
            r#"{"version": "1.0", "type": "video", "title": "A film", "author_name": "Ada", "provider_name": "Tube",
                "thumbnail_url": "http://10.0.0.1/secret.jpg"}"#,
        ),
        "/film" => Page::html("<link rel=alternate type='application/json+oembed' href='/oembed?of=film'>"),
        _ => Page::html("<title>Old</title><link rel=alternate type='application/json+oembed' href='/gone'>"),
    })
    .await;
    let told = scene.of("/film").await;
    assert_eq!(
        told,
        json!({"og:title": "A film", "og:author": "Ada", "og:site_name": "Tube", "og:type": "video.other"})
    );
    assert_eq!(scene.of("/old").await["og:title"], "Old");
    scene.end().await;
}

async fn redirects_are_followed_but_not_for_ever(hearth: Hearth) {
    let scene = Scene::set(&hearth, |asked| match asked.target.as_str() {
        "/moved" => Page::redirect("/new/page"),
        "/new/page" => Page::html("<title>Here</title><meta property='og:url' content='relative'>"),
        "/loop" => Page::redirect("/loop"),
        "/nowhere" => Page::status(302),
        target => {
            let left: usize = target.trim_start_matches("/hop/").parse().unwrap_or(0);
            if left == 0 {
                Page::html("<title>There</title>")
            } else {
                Page::redirect(&format!("/hop/{}", left - 1))
            }
        }
    })
    .await;
    let told = scene.of("/moved").await;
    assert_eq!(told, json!({"og:title": "Here", "og:url": scene.pages.url("/new/relative")}));
    assert_eq!(scene.of("/hop/5").await["og:title"], "There");
    scene.none_of("/hop/6").await;
    scene.none_of("/loop").await;
    assert!(scene.pages.count("/loop") < 10);
    scene.none_of("/nowhere").await;
    scene.end().await;
}

async fn a_page_without_end_is_read_as_far_as_is_allowed(hearth: Hearth) {
    let scene = Scene::set(&hearth, |asked| match asked.target.as_str() {
        "/words" => Page::html(format!("<title>Endless</title>{}", "<p>word".repeat(1000))).endless(),
        "/tags" => Page::html(format!("<title>Deep</title>{}", "<div>".repeat(1000))).endless(),
        _ => Page::html(format!("{}<title>Too late</title>", " ".repeat(200_000))),
    })
    .await;
    let before = scene.server.memory_kib();
    assert_eq!(scene.of("/words").await["og:title"], "Endless");
    assert_eq!(scene.of("/tags").await["og:title"], "Deep");
    assert_eq!(scene.of("/late").await, json!({}));
    let grown = scene.server.memory_kib().saturating_sub(before);
    assert!(grown < 30_000, "{grown} KiB");
    scene.end().await;
}

async fn a_picture_that_is_too_large_or_no_picture_is_left_out(hearth: Hearth) {
    let mut heavy = pictures::png(10, 10);
    heavy.extend(vec![0; 110_000]);
    let scene = Scene::set(&hearth, move |asked| match asked.target.as_str() {
        "/heavy.png" => Page::new("image/png", heavy.clone()),
        "/endless.png" => Page::new("image/png", heavy.clone()).endless(),
        "/page.png" => Page::new("image/png", "<html><script>alert(1)</script>"),
        "/text.png" => Page::new("text/html", pictures::png(9, 9)),
        "/gone.png" => Page::status(404),
        page => Page::html(format!("<title>Page</title><meta property='og:image' content='{page}.png'>")),
    })
    .await;
    for page in ["/heavy", "/endless", "/page", "/text", "/gone"] {
        let told = scene.of(page).await;
        assert_eq!(told, json!({"og:title": "Page"}), "{page}");
    }
    scene.end().await;
}

async fn a_page_that_takes_too_long_is_given_up(hearth: Hearth) {
    let scene = Scene::set(&hearth, |asked| match asked.target.as_str() {
        "/silent" => Page::html("").silent(),
        "/half" => Page::html("<title>Half</title>").silent(),
        _ => Page::html("<title>Page</title><meta property='og:image' content='/silent'>"),
    })
    .await;
    for path in ["/silent", "/half"] {
        let begun = Instant::now();
        scene.none_of(path).await;
        assert!(begun.elapsed() < Duration::from_secs(8), "{path}: {:?}", begun.elapsed());
    }
    assert_eq!(scene.of("/page").await, json!({"og:title": "Page"}));
    scene.end().await;
}

async fn a_page_is_asked_once_for_all_who_want_to_know(hearth: Hearth) {
    let scene = Scene::set(&hearth, |asked| match asked.target.as_str() {
        "/gone" => Page::status(404),
        _ => Page::html("<title>Page</title>"),
    })
    .await;
    let bob = scene.hearth.user("bob").await;
    let url = scene.pages.url("/page");
    let calls = (0..10).map(|number| {
        let user = if number % 2 == 0 { &scene.alice } else { &bob };
        preview(user, &url).into_future()
    });
    for reply in join_all(calls).await {
        assert_eq!(reply.ok()["og:title"], "Page");
    }
    scene.of("/page#somewhere").await;
    assert_eq!(scene.pages.count("/page"), 1);
    for _ in 0..3 {
        scene.none_of("/gone").await;
    }
    assert_eq!(scene.pages.count("/gone"), 1, "what failed is not tried again at once");
    scene.of("/page?other").await;
    assert_eq!(scene.pages.asked().len(), 3);
    scene.end().await;
}

async fn a_preview_is_kept_as_long_as_the_page_says(hearth: Hearth) {
    let pages = Pages::start(|asked| {
        let page = Page::html("<title>Page</title>");
        if asked.target == "/lasting" { page.header("cache-control", "public, max-age=600") } else { page }
    })
    .await;
    let (server, hearth) = hearth.start(settings().set("HEARTH_PREVIEWS__KEPT_FOR", "1s")).await;
    let alice = hearth.user("alice").await;
    for _ in 0..2 {
        for path in ["/page", "/lasting"] {
            preview(&alice, &pages.url(path)).await.ok();
        }
        sleep(Duration::from_millis(1200)).await;
    }
    assert_eq!((pages.count("/page"), pages.count("/lasting")), (2, 1));
    server.stop().await;
}

async fn pages_are_asked_for_in_the_languages_of_the_client(hearth: Hearth) {
    let scene = Scene::set(&hearth, |asked| {
        Page::html(format!("<title>{}</title>", asked.header("accept-language")))
    })
    .await;
    assert_eq!(scene.of("/page").await["og:title"], "en");
    let url = scene.pages.url("/page");
    for languages in ["de-AT, de;q=0.9", "fr"] {
        for _ in 0..2 {
            let told = preview(&scene.alice, &url).header("accept-language", languages).await.ok();
            assert_eq!(told["og:title"], languages);
        }
    }
    assert_eq!(scene.pages.count("/page"), 3, "each language is kept for itself");
    let long = "x".repeat(5000);
    let told = preview(&scene.alice, &url).header("accept-language", &long).await.ok();
    assert_eq!(told["og:title"], "en");
    scene.end().await;
}

async fn a_page_learns_nothing_of_who_looks(hearth: Hearth) {
    let scene = Scene::set(&hearth, |_| Page::html("<title>Page</title>").header("set-cookie", "a=b")).await;
    let url = scene.pages.url("/page").replace("http://", "http://name:password@");
    let call = preview(&scene.alice, &url).header("cookie", "c=d").header("referer", "http://secret.test/");
    call.header("user-agent", "a client").await.ok();
    scene.of("/again").await;
    for asked in scene.pages.asked() {
        for header in ["cookie", "referer", "authorization", "x-forwarded-for", "forwarded", "via"] {
            assert_eq!(asked.header(header), "", "{header}");
        }
        assert_eq!(asked.header("user-agent"), "Hearth");
    }
    scene.end().await;
}
