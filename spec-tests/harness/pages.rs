//! A small web server on the loopback, which answers as a test says and remembers what it was asked.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Longer than anybody waits for an answer that does not come.
const SILENCE: Duration = Duration::from_mins(5);

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path with its query.
    pub target: String,
    head: String,
    pub body: Vec<u8>,
}

impl Asked {
    /// A header's value, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let found = lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Page {
    status: u16,
    headers: String,
    body: Vec<u8>,
    end: End,
}

/// What comes after the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Again,
    Never,
}

impl Page {
    /// A page of this type.
    pub fn new(kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
        Self { status: 200, headers, body: body.into(), end: End::Close }
    }

    /// A page of HTML.
    pub fn html(body: impl Into<Vec<u8>>) -> Self {
        Self::new("text/html; charset=utf-8", body)
    }

    /// No page, but a status.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::new("text/plain", "") }
    }

    /// Elsewhere.
    pub fn redirect(location: &str) -> Self {
        Self::status(302).header("location", location)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// The body comes again and again without end.
    pub fn endless(mut self) -> Self {
        self.end = End::Again;
        self
    }

    /// After the head and the body, nothing, not even an end.
    pub fn silent(mut self) -> Self {
        self.end = End::Never;
        self
    }
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct Pages {
    base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Pages {
    /// Answers each request with what `answer` makes of it.
    pub async fn start(answer: impl Fn(&Asked) -> Page + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("its address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, record) = (Arc::new(answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, record) = (Arc::clone(&answer), Arc::clone(&record));
                tokio::spawn(async move {
                    // Whoever asked may be gone when the answer comes.
                    let _ = serve(stream, &*answer, &record).await;
                });
            }
        });
        Self { base, asked, task }
    }

    /// The address of a page.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often it was asked for a path.
    pub fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.target == path).count()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&Asked) -> Page + Send + Sync),
    record: &Mutex<Vec<Asked>>,
) -> io::Result<()> {
    let Some(asked) = receive(&mut stream).await? else { return Ok(()) };
    let page = answer(&asked);
    record.lock().unwrap().push(asked);
    let head = format!("HTTP/1.1 {} Said\r\n{}connection: close\r\n", page.status, page.headers);
    stream.write_all(head.as_bytes()).await?;
    // Without a length, the body is all that comes until the end.
    if page.end == End::Close {
        stream.write_all(format!("content-length: {}\r\n", page.body.len()).as_bytes()).await?;
    }
    stream.write_all(b"\r\n").await?;
    stream.write_all(&page.body).await?;
    match page.end {
        End::Close => stream.shutdown().await?,
        End::Never => sleep(SILENCE).await,
        End::Again => loop {
            stream.write_all(&page.body).await?;
        },
    }
    Ok(())
}

/// A whole request, if one comes.
async fn receive(stream: &mut TcpStream) -> io::Result<Option<Asked>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut asked = Asked { target, head, body: bytes.split_off(end + 4) };
    let length = asked.header("content-length").parse().unwrap_or(0);
    while asked.body.len() < length {
        if stream.read_buf(&mut asked.body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(asked))
}
