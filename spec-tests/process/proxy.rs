//! The proxy that the whole suite can run through does take turns.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::proxy::Proxy;
use crate::harness::raw::RawRequest;
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server: the_proxy_sends_each_request_to_the_next_replica]
}

/// A server that answers every request with its name and the path.
async fn echo(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let body = json!({"errcode": name, "error": path}).to_string();
            let reply = format!("HTTP/1.1 418 Name\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    base
}

async fn the_proxy_sends_each_request_to_the_next_replica(_: Hearth) {
    let proxy = Proxy::start(vec![echo("first").await, echo("second").await]).await;
    let request = RawRequest {
        method: "POST".to_owned(),
        target: b"/_matrix/a%2Fb/%2e?q=%20".to_vec(),
        body: b"{}".to_vec(),
        ..RawRequest::default()
    };
    let mut names = Vec::new();
    for _ in 0..4 {
        let reply = request.send(proxy.base()).await;
        names.push((reply.status, reply.errcode().to_owned(), reply.body["error"].clone()));
    }
    let reply = |name: &str| (418, name.to_owned(), json!("/_matrix/a%2Fb/%2e?q=%20"));
    assert_eq!(names, [reply("first"), reply("second"), reply("first"), reply("second")]);
}
