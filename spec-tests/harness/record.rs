//! What passed between one test and the server.

use std::fmt::Write as _;
use std::sync::Mutex;

/// How many exchanges a failed test shows.
const SHOWN: usize = 6;
/// How much of a body it shows.
const SHOWN_BYTES: usize = 600;

/// The exchanges of one test, and what was wrong with the replies' shape.
#[derive(Debug, Default)]
pub struct Record {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    exchanges: Vec<String>,
    violations: Vec<String>,
}

impl Record {
    /// Remembers a request and its reply.
    pub fn exchange(&self, request: &str, sent: &str, status: u16, received: &str) {
        let line = format!("{request} {}\n      → {status} {}", cut(sent), cut(received));
        let mut inner = self.inner.lock().unwrap();
        inner.exchanges.push(line);
        if inner.exchanges.len() > SHOWN {
            inner.exchanges.remove(0);
        }
    }

    /// Remembers that a reply was not of the shape that the specification gives it.
    pub fn violation(&self, text: String) {
        self.inner.lock().unwrap().violations.push(text);
    }

    /// What was wrong with the replies' shape.
    pub fn violations(&self) -> Vec<String> {
        self.inner.lock().unwrap().violations.clone()
    }

    /// The last exchanges, for a failed test.
    pub fn tail(&self) -> String {
        let mut text = String::new();
        for exchange in &self.inner.lock().unwrap().exchanges {
            let _ = writeln!(text, "    {exchange}");
        }
        text
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(SHOWN_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
