//! One who listens: so little of a client that it costs next to nothing beside the server.

use hearth_bench::{Client, Person, Result, Server};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// What a connection reads at a time.
const BUFFER: usize = 4096;

/// Longer than any measurement, in milliseconds.
const POLL: u32 = 300_000;

/// Whoever falls behind is told of several events at once: a hundred, before there is a gap to be paged over.
const LONG_TIMELINES: &str = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A100%7D%7D%7D";

/// How one listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Long polls.
    Poll,
    /// A WebSocket.
    Socket,
    /// Server-sent events.
    Events,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Poll, Self::Socket, Self::Events];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Poll => "long poll",
            Self::Socket => "WebSocket",
            Self::Events => "event stream",
        }
    }
}

/// One who listens, and has heard everything up to now.
pub(crate) enum Listener {
    Poll(Box<Client>),
    Stream(Stream),
}

/// An open stream.
pub(crate) struct Stream {
    transport: Transport,
    stream: BufReader<TcpStream>,
}

impl Listener {
    /// Begins to listen from where another has come to: first syncs of large rooms are not what is measured.
    pub(crate) async fn open(
        server: &Server,
        transport: Transport,
        person: &Person,
        from: &Client,
    ) -> Result<Self> {
        if transport == Transport::Poll {
            let mut client = Client::open(server, person).await?.from_where(from);
            client.ask(POLL).await?;
            return Ok(Self::Poll(Box::new(client)));
        }
        let since = from.since().ok_or("who has not synced is nowhere")?;
        let path = format!(
            "/_matrix/client/unstable/hearth/stream?set_presence=offline&since={since}&filter={LONG_TIMELINES}"
        );
        let mut stream = Stream::open(&server.address, transport, &path, &person.token).await?;
        // Who they are.
        stream.next().await?;
        Ok(Self::Stream(stream))
    }

    /// What comes next, as it comes.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>> {
        match self {
            Self::Poll(client) => {
                let body = client.receive().await?;
                client.ask(POLL).await?;
                Ok(body)
            }
            Self::Stream(stream) => stream.next().await,
        }
    }
}

impl Stream {
    /// Opens a WebSocket or an event stream.
    pub(crate) async fn open(address: &str, transport: Transport, path: &str, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream = Self { transport, stream: BufReader::with_capacity(BUFFER, stream) };
        let kind = match transport {
            Transport::Socket => {
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            }
            _ => "accept: text/event-stream\r\n",
        };
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{kind}\r\n");
        stream.stream.write_all(head.as_bytes()).await?;
        let status = stream.line().await?;
        if !status.contains(" 101 ") && !status.contains(" 200 ") {
            return Err(format!("a stream was not opened: {status}").into());
        }
        while !stream.line().await?.is_empty() {}
        Ok(stream)
    }

    /// The text of the next message, or the data of the next event.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>> {
        match self.transport {
            Transport::Socket => self.message().await,
            _ => self.event().await,
        }
    }

    async fn message(&mut self) -> Result<Vec<u8>> {
        loop {
            let [kind, length] = self.bytes::<2>().await?;
            let length = match length {
                126 => usize::from(u16::from_be_bytes(self.bytes().await?)),
                127 => usize::try_from(u64::from_be_bytes(self.bytes().await?))?,
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await?;
            match kind & 0x0f {
                // Heartbeats are passed over.
                1 if payload.starts_with(b"{\"method\":\"ping\"") => {}
                1 => return Ok(payload),
                // A pong with an empty mask; the server's pings are empty.
                9 => self.stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await?,
                _ => return Err("the server closed the stream".into()),
            }
        }
    }

    async fn event(&mut self) -> Result<Vec<u8>> {
        loop {
            // Sizes of chunks, heartbeats and what an event is called are passed over.
            if let Some(data) = self.line().await?.strip_prefix("data: ") {
                return Ok(data.as_bytes().to_vec());
            }
        }
    }

    async fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err("the server closed the connection".into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}
