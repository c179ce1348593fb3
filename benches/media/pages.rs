//! Web pages that say what is on them, each with a picture of its own.

use std::cell::Cell;
use std::rc::Rc;

use hearth_bench::Result;
use image::{ExtendedColorType, ImageEncoder as _};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn_local};

/// Paragraphs of a page: it has some thirty kilobytes.
const PARAGRAPHS: usize = 60;

/// A site with any number of pages. It is gone when this is dropped.
pub(crate) struct Site {
    /// Where it is.
    pub(crate) address: String,
    asked: Rc<Cell<usize>>,
    serving: JoinHandle<()>,
}

impl Site {
    /// Serves pages from this thread.
    pub(crate) async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let asked = Rc::new(Cell::new(0));
        let picture: Rc<[u8]> = picture()?.into();
        let counter = Rc::clone(&asked);
        let serving = spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counter, picture) = (Rc::clone(&counter), Rc::clone(&picture));
                // A visitor who goes away has seen enough.
                spawn_local(async move { serve(stream, &counter, &picture).await.is_ok() });
            }
        });
        Ok(Self { address, asked, serving })
    }

    /// The address of a page.
    pub(crate) fn page(&self, number: usize) -> String {
        format!("http://{}/page/{number}", self.address)
    }

    /// How often something of it was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.asked.get()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The title of a page.
pub(crate) fn title(number: &str) -> String {
    format!("Page {number}")
}

async fn serve(stream: TcpStream, asked: &Cell<usize>, picture: &[u8]) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        asked.set(asked.get() + 1);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (status, content_type, body) = match path.rsplit_once('/') {
            Some(("/page", number)) => ("200 OK", "text/html; charset=utf-8", page(number).into_bytes()),
            // No two are the same, or there would be but one in the server.
            Some(("/picture", number)) => ("200 OK", "image/png", [picture, number.as_bytes()].concat()),
            _ => ("404 Not Found", "text/plain", Vec::new()),
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    }
}

fn page(number: &str) -> String {
    let text = "Something is said here at some length, as it is on most pages, and a <a href=\"/\">link</a> is in it. ";
    let paragraphs = format!("<p class=\"text\">{}</p>\n", text.repeat(5)).repeat(PARAGRAPHS);
    let title = title(number);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta property=\"og:title\" content=\"{title}\">\n\
         <meta property=\"og:description\" content=\"What is on page {number}.\">\n\
         <meta property=\"og:type\" content=\"article\">\n\
         <meta property=\"og:image\" content=\"/picture/{number}\">\n\
         <link rel=\"stylesheet\" href=\"/style.css\"></head>\n<body><h1>{title}</h1>\n{paragraphs}</body></html>\n"
    )
}

/// A small picture.
fn picture() -> Result<Vec<u8>> {
    let side = 64_u8;
    let pixel = |y: u8| (0..side).flat_map(move |x| [x * 3, y * 3, x ^ y]);
    let pixels: Vec<u8> = (0..side).flat_map(pixel).collect();
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.write_image(&pixels, side.into(), side.into(), ExtendedColorType::Rgb8)?;
    Ok(bytes)
}
