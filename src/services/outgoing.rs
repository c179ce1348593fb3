//! The one client with which the server makes requests: nothing that others name leads it into a private network.
//!
//! A name is looked up here, and only the very addresses that were checked are connected to: a name that
//! means another address a moment later gains nothing. Redirects are followed by hand, each checked anew.

mod address;

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, StatusCode};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, Url, redirect};
use tokio::time::{Instant, timeout_at};

pub use address::is_public;
use address::may_be_reached;

/// The longest URL that is asked for, also after a redirect: what servers take at most is about this.
const MAX_URL: usize = 8192;

/// Connections kept open to one host. Few requests go to the same at one time, over HTTP/2 one is enough.
const IDLE_CONNECTIONS: usize = 4;

/// How long such a connection is kept: less than servers commonly wait before they close it.
const IDLE_TIME: Duration = Duration::from_secs(50);

/// What the client of a server needs to know.
#[derive(Clone, Debug)]
pub struct OutgoingSettings {
    /// Networks that are asked although they are not public.
    pub allowed: Vec<IpNet>,
    /// How the server calls itself.
    pub user_agent: String,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
}

/// What to ask for, and how long.
#[derive(Clone, Debug)]
pub struct GetRequest {
    /// The types that are of use.
    pub accept: &'static str,
    /// The languages that are.
    pub accept_language: Option<String>,
    /// How many redirects are followed.
    pub redirects: usize,
    /// For everything together: lookups, redirects and the body.
    pub timeout: Duration,
}

/// What becomes of a body that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLong {
    /// Its beginning is taken.
    Cut,
    /// It is refused.
    Fail,
}

/// Why nothing was fetched. The text may name an address that only the operator should see.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The URL leads to an address that is not asked.
    #[error("the address {0} is not allowed")]
    NotAllowed(IpAddr),
    /// It is no URL, or none of HTTP.
    #[error("not a URL that can be fetched")]
    BadUrl,
    /// One redirect led to the next.
    #[error("too many redirects")]
    TooManyRedirects,
    /// The body has more bytes than wanted.
    #[error("the response is too long")]
    TooLong,
    /// It took too long.
    #[error("the request timed out")]
    Timeout,
    /// The other server answered with this status.
    #[error("the other server answered with status {0}")]
    Status(u16),
    /// There was no answer, or none that could be read.
    #[error("the request failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// The client for everything that the server asks of others. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outgoing {
    client: Client,
    allowed: Arc<[IpNet]>,
}

/// The head of a response, whose body was not read yet.
#[derive(Debug)]
pub struct Fetched {
    /// Where it is from, after all redirects.
    pub url: String,
    /// Its status.
    pub status: StatusCode,
    /// Its `Content-Type`, empty where it has none.
    pub content_type: String,
    /// Its `Cache-Control`.
    pub cache_control: Option<String>,
    response: Response,
    deadline: Instant,
}

/// Looks names up, and keeps only the addresses that may be reached.
struct Resolver(Arc<[IpNet]>);

/// All the addresses of a name are refused; this is one of them.
#[derive(Debug, thiserror::Error)]
#[error("the address {0} is not allowed")]
struct Refused(IpAddr);

impl Outgoing {
    /// A client with these settings. The process must have its provider of cryptography by then: without one
    /// this panics. It fails where the system has no certificates of authorities.
    pub fn new(settings: OutgoingSettings) -> Result<Self, OutgoingError> {
        let allowed: Arc<[IpNet]> = settings.allowed.into();
        let client = Client::builder()
            .user_agent(settings.user_agent)
            .connect_timeout(settings.connect_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_TIME)
            // A proxy would look names up itself, and connect to what is refused here.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .dns_resolver(Resolver(Arc::clone(&allowed)))
            .build()?;
        Ok(Self { client, allowed })
    }

    /// Asks for a URL, and returns the head of the first response that is no redirect.
    pub async fn get(&self, url: &str, request: GetRequest) -> Result<Fetched, OutgoingError> {
        let deadline = Instant::now() + request.timeout;
        let mut url = self.check(url.parse().map_err(|_| OutgoingError::BadUrl)?)?;
        for _ in 0..=request.redirects {
            let response = self.get_once(&url, &request, deadline).await?;
            let Some(next) = next_hop(&url, &response)? else {
                return Ok(Fetched::new(&url, response, deadline));
            };
            url = self.check(next)?;
        }
        Err(OutgoingError::TooManyRedirects)
    }

    async fn get_once(
        &self,
        url: &Url,
        request: &GetRequest,
        deadline: Instant,
    ) -> Result<Response, OutgoingError> {
        let mut builder = self.client.get(url.clone()).header(ACCEPT, request.accept);
        if let Some(languages) = &request.accept_language {
            builder = builder.header(ACCEPT_LANGUAGE, languages);
        }
        timeout_at(deadline, builder.send()).await.map_err(|_| OutgoingError::Timeout)?.map_err(Into::into)
    }

    /// Refuses what is not asked, and drops the name and password, which would be sent along.
    /// The parser has brought every notation of an address into its one form.
    fn check(&self, mut url: Url) -> Result<Url, OutgoingError> {
        if !matches!(url.scheme(), "http" | "https") || url.as_str().len() > MAX_URL {
            return Err(OutgoingError::BadUrl);
        }
        let address = match url.host_str() {
            // Names are looked up, and checked, when they are connected to; addresses are not.
            Some(host) => host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok(),
            None => return Err(OutgoingError::BadUrl),
        };
        if let Some(address) = address.filter(|&address| !may_be_reached(address, &self.allowed)) {
            return Err(OutgoingError::NotAllowed(address));
        }
        url.set_username("").map_err(|()| OutgoingError::BadUrl)?;
        url.set_password(None).map_err(|()| OutgoingError::BadUrl)?;
        Ok(url)
    }
}

impl Fetched {
    fn new(url: &Url, response: Response, deadline: Instant) -> Self {
        let headers = response.headers();
        Self {
            url: url.as_str().to_owned(),
            status: response.status(),
            content_type: text(headers, &CONTENT_TYPE).unwrap_or_default(),
            cache_control: text(headers, &CACHE_CONTROL),
            response,
            deadline,
        }
    }

    /// Refuses every status but those of success.
    pub fn must_be_success(self) -> Result<Self, OutgoingError> {
        if self.status.is_success() { Ok(self) } else { Err(OutgoingError::Status(self.status.as_u16())) }
    }

    /// Reads the body, of which `most` bytes are taken: counted as unpacked, so that a small response
    /// cannot grow without end.
    pub async fn body(mut self, most: usize, mode: TooLong) -> Result<Vec<u8>, OutgoingError> {
        let announced = self.response.content_length();
        if mode == TooLong::Fail && announced.is_some_and(|length| length > most as u64) {
            return Err(OutgoingError::TooLong);
        }
        let mut body = Vec::new();
        while let Some(chunk) =
            timeout_at(self.deadline, self.response.chunk()).await.map_err(|_| OutgoingError::Timeout)??
        {
            let room = most - body.len();
            if chunk.len() > room {
                if mode == TooLong::Fail {
                    return Err(OutgoingError::TooLong);
                }
                body.extend_from_slice(&chunk[..room]);
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let first = found.first().map(SocketAddr::ip);
            let reachable: Vec<SocketAddr> =
                found.into_iter().filter(|found| may_be_reached(found.ip(), &allowed)).collect();
            match first {
                Some(refused) if reachable.is_empty() => Err(Refused(refused).into()),
                _ => Ok(Box::new(reachable.into_iter()) as Addrs),
            }
        })
    }
}

impl From<reqwest::Error> for OutgoingError {
    fn from(error: reqwest::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(current) = cause {
            if let Some(Refused(address)) = current.downcast_ref() {
                return Self::NotAllowed(*address);
            }
            cause = current.source();
        }
        if error.is_timeout() {
            return Self::Timeout;
        }
        // URLs may hold secrets, and errors are logged.
        Self::Failed(Box::new(error.without_url()))
    }
}

/// Where a response sends on to, if it does. Without a `Location` it is an answer as any other.
fn next_hop(from: &Url, response: &Response) -> Result<Option<Url>, OutgoingError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION);
    let Some(location) = location else { return Ok(None) };
    // Some servers send it in plain UTF-8; the parser encodes that.
    let location = str::from_utf8(location.as_bytes()).map_err(|_| OutgoingError::BadUrl)?;
    from.join(location).map(Some).map_err(|_| OutgoingError::BadUrl)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// 64 KiB of zeros, packed.
    const BOMB: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xed, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00,
        0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x6a, 0xeb, 0x8e, 0x97, 0xd7, 0x00, 0x00, 0x01, 0x00,
    ];

    fn client(allowed: &[&str]) -> Outgoing {
        // Another test may have done so already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = OutgoingSettings {
            allowed: allowed.iter().map(|net| net.parse().unwrap()).collect(),
            user_agent: "Hearth test".to_owned(),
            connect_timeout: Duration::from_secs(5),
        };
        Outgoing::new(settings).unwrap()
    }

    fn request() -> GetRequest {
        GetRequest {
            accept: "text/html",
            accept_language: Some("en-GB".to_owned()),
            redirects: 2,
            timeout: Duration::from_secs(10),
        }
    }

    /// A server that answers each request with what `answer` makes of its head, and then closes.
    async fn serve(answer: fn(&str) -> Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let answer = answer(str::from_utf8(&head).unwrap());
                // The client hangs up early where it has seen enough.
                let _ = stream.write_all(&answer).await;
                if head.starts_with(b"GET /slow") {
                    std::future::pending::<()>().await;
                }
            }
        });
        base
    }

    fn redirect_to(location: &str) -> Vec<u8> {
        format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    }

    /// Echoes the request, or does as its path says.
    fn answer(head: &str) -> Vec<u8> {
        let path = head.split(' ').nth(1).unwrap();
        if let Some(location) = path.strip_prefix("/to/") {
            return redirect_to(location);
        }
        match path {
            "/round" => redirect_to("/round"),
            "/missing" => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/slow" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
            "/bomb" => {
                let head =
                    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n".as_slice();
                [head, BOMB].concat()
            }
            _ => {
                let start = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=60\r\n";
                format!("{start}Connection: close\r\n\r\n{head}").into_bytes()
            }
        }
    }

    async fn local() -> (Outgoing, String) {
        (client(&["127.0.0.1/32"]), serve(answer).await)
    }

    #[tokio::test]
    async fn a_page_is_fetched_with_its_headers() {
        let (client, base) = local().await;
        let with_login = base.replace("http://", "http://user:secret@");
        let fetched = client.get(&format!("{with_login}/page"), request()).await.unwrap();
        assert_eq!(fetched.url, format!("{base}/page"));
        assert_eq!(fetched.status, StatusCode::OK);
        assert_eq!(fetched.content_type, "text/plain");
        assert_eq!(fetched.cache_control.as_deref(), Some("max-age=60"));
        let seen = String::from_utf8(fetched.body(10_000, TooLong::Fail).await.unwrap()).unwrap();
        let seen = seen.to_lowercase();
        assert!(seen.contains("accept: text/html\r\n"), "{seen}");
        assert!(seen.contains("accept-language: en-gb\r\n"), "{seen}");
        assert!(seen.contains("user-agent: hearth test\r\n"), "{seen}");
        assert!(!seen.contains("authorization"), "{seen}");
    }

    #[tokio::test]
    async fn private_literals_are_refused_in_every_notation() {
        let client = client(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://user@127.0.0.1:8008/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://①②⑦.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[64:ff9b::7f00:1]/",
            "https://169.254.169.254/latest/meta-data",
        ] {
            let error = client.get(url, request()).await.unwrap_err();
            assert!(matches!(error, OutgoingError::NotAllowed(_)), "{url}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_name_that_means_a_private_address_is_refused() {
        let client = client(&[]);
        for url in ["http://localhost/", "http://LOCALHOST:1234/", "https://localhost/"] {
            let error = client.get(url, request()).await.unwrap_err();
            assert!(
                matches!(error, OutgoingError::NotAllowed(address) if address.is_loopback()),
                "{url}: {error:?}"
            );
        }
    }

    #[tokio::test]
    async fn an_allowed_name_is_asked() {
        let (client, base) = local().await;
        let url = base.replace("127.0.0.1", "localhost");
        assert_eq!(client.get(&url, request()).await.unwrap().status, StatusCode::OK);
    }

    #[tokio::test]
    async fn only_urls_of_http_are_fetched() {
        let client = client(&[]);
        let long = format!("http://example.org/{}", "a".repeat(MAX_URL));
        for url in ["", "nonsense", "file:///etc/passwd", "ftp://example.org/", "data:,x", "http://", &long] {
            let error = client.get(url, request()).await.unwrap_err();
            assert!(matches!(error, OutgoingError::BadUrl), "{url}: {error:?}");
        }
    }

    #[tokio::test]
    async fn redirects_are_followed_and_counted() {
        let (client, base) = local().await;
        let fetched = client.get(&format!("{base}/to//to//page"), request()).await.unwrap();
        assert_eq!((fetched.url, fetched.status), (format!("{base}/page"), StatusCode::OK));
        let error = client.get(&format!("{base}/to//to//to//page"), request()).await.unwrap_err();
        assert!(matches!(error, OutgoingError::TooManyRedirects), "{error:?}");
        let fetched = client.get(&format!("{base}/to/{base}/end"), request()).await.unwrap();
        assert_eq!((fetched.url, fetched.status), (format!("{base}/end"), StatusCode::OK));
        let error = client.get(&format!("{base}/round"), request()).await.unwrap_err();
        assert!(matches!(error, OutgoingError::TooManyRedirects), "{error:?}");
    }

    #[tokio::test]
    async fn a_redirect_to_a_private_address_is_refused() {
        let (client, base) = local().await;
        for target in ["http://127.0.0.2/", "http://[::1]/", "http://10.0.0.1/", "//192.168.0.1/"] {
            let error = client.get(&format!("{base}/to/{target}"), request()).await.unwrap_err();
            assert!(matches!(error, OutgoingError::NotAllowed(_)), "{target}: {error:?}");
        }
        let error = client.get(&format!("{base}/to/file:///etc/passwd"), request()).await.unwrap_err();
        assert!(matches!(error, OutgoingError::BadUrl), "{error:?}");
    }

    #[tokio::test]
    async fn a_long_body_is_cut_or_refused() {
        let (client, base) = local().await;
        let cut = client.get(&base, request()).await.unwrap().body(5, TooLong::Cut).await.unwrap();
        assert_eq!(cut, b"GET /");
        let error = client.get(&base, request()).await.unwrap().body(5, TooLong::Fail).await.unwrap_err();
        assert!(matches!(error, OutgoingError::TooLong), "{error:?}");
    }

    #[tokio::test]
    async fn the_length_is_that_of_the_unpacked_body() {
        let (client, base) = local().await;
        let bomb = format!("{base}/bomb");
        let error = client.get(&bomb, request()).await.unwrap().body(9000, TooLong::Fail).await.unwrap_err();
        assert!(matches!(error, OutgoingError::TooLong), "{error:?}");
        let cut = client.get(&bomb, request()).await.unwrap().body(9000, TooLong::Cut).await.unwrap();
        assert_eq!(cut, vec![0; 9000]);
        let all = client.get(&bomb, request()).await.unwrap().body(1 << 16, TooLong::Fail).await.unwrap();
        assert_eq!(all.len(), 1 << 16);
    }

    #[tokio::test]
    async fn the_time_is_for_the_body_too() {
        let (client, base) = local().await;
        let request = GetRequest { timeout: Duration::from_millis(300), ..request() };
        let fetched = client.get(&format!("{base}/slow"), request).await.unwrap();
        let error = fetched.body(100, TooLong::Cut).await.unwrap_err();
        assert!(matches!(error, OutgoingError::Timeout), "{error:?}");
    }

    #[tokio::test]
    async fn a_status_of_failure_is_told() {
        let (client, base) = local().await;
        let fetched = client.get(&format!("{base}/missing"), request()).await.unwrap();
        assert!(matches!(fetched.must_be_success(), Err(OutgoingError::Status(404))));
    }
}
