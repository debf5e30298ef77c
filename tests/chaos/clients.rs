//! Clients of every kind: each sends its requests, leaves when the plan says so, and notes what it saw.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::common::bodies::BoxError;
use crate::ledger::Ledger;
use crate::plan::{Case, How, Leaves, Random, Reads, Session, Sharing, Upload, secret};

/// Longer than any session takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Plays one session to its end.
pub(crate) async fn play(ledger: Arc<Ledger>, address: SocketAddr, session: Session) {
    let cases = &ledger.plan.cases[session.cases.clone()];
    let played = async {
        match session.sharing {
            Sharing::Alone | Sharing::KeepAlive => one_after_another(&ledger, address, cases, session.sharing).await,
            Sharing::Pipelined => pipelined(&ledger, address, cases).await,
            Sharing::Multiplexed => multiplexed(&ledger, address, cases, false).await,
            Sharing::Torn => multiplexed(&ledger, address, cases, true).await,
        }
    };
    if tokio::time::timeout(PATIENCE, played).await.is_err() {
        for case in cases {
            ledger.fault_of(case, "its session hangs");
        }
    }
}

async fn some_time(n: u64) {
    let random = &mut Random::of(n, 7);
    match random.below(4) {
        0 => {}
        1 | 2 => {
            for _ in 0..random.below(12) {
                tokio::task::yield_now().await;
            }
        }
        _ => tokio::time::sleep(Duration::from_micros(random.next() % 4000)).await,
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// HTTP/1
// ---------------------------------------------------------------------------------------------------------------------

/// The bytes of a request: its head, and its body as it is sent.
fn request(case: &Case, closes: bool) -> (String, Vec<u8>) {
    let Case { n, method, .. } = case;
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\nuser-agent: canary-{n}-agent\r\n",
        case.url(),
        secret(*n, "header")
    );
    if case.how == How::Upgrade {
        head.push_str("connection: upgrade\r\nupgrade: echo\r\n");
    } else if closes {
        head.push_str("connection: close\r\n");
    }
    let sent = case.upload();
    let mut body = Vec::new();
    if *method == "POST" {
        head.push_str(&format!("content-type: {}\r\n", case.content_type()));
    }
    if case.is_chunked() {
        head.push_str("transfer-encoding: chunked\r\n");
        for chunk in sent.chunks(5000) {
            body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
    } else {
        if *method == "POST" {
            head.push_str(&format!("content-length: {}\r\n", sent.len()));
        }
        body = sent;
    }
    head.push_str("\r\n");
    (head, body)
}

struct Reading {
    half: OwnedReadHalf,
    read: Vec<u8>,
    slow: bool,
}

struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    canary: Option<u64>,
}

impl Reading {
    async fn more(&mut self) -> io::Result<()> {
        if self.slow {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        match self.half.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < length {
            self.more().await?;
        }
        let rest = self.read.split_off(length);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    async fn until(&mut self, end: &[u8]) -> io::Result<String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.read, end) {
                return Ok(String::from_utf8_lossy(&self.exactly(at + end.len()).await?).into_owned());
            }
            self.more().await?;
        }
    }

    async fn head(&mut self) -> io::Result<Head> {
        let head = self.until(b"\r\n\r\n").await?.to_ascii_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(Head {
            status: head.get(9..12).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?,
            length: header("content-length").and_then(|length| length.parse().ok()),
            chunked: header("transfer-encoding") == Some("chunked"),
            canary: header("x-canary").and_then(|canary| canary.split('-').nth(1)?.parse().ok()),
        })
    }

    async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = self.until(b"\r\n").await?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        if size == 0 {
            // Trailers, if there are some, are not asked for over HTTP/1.
            self.until(b"\r\n").await?;
            return Ok(None);
        }
        let chunk = self.exactly(size).await?;
        self.exactly(2).await?;
        Ok(Some(chunk))
    }
}

/// Reads the response to one request, as far as the plan says, and notes it. After an error the connection has ended.
async fn answer(ledger: &Ledger, case: &Case, reading: &mut Reading) -> io::Result<()> {
    reading.slow = case.slow;
    let head = reading.head().await?;
    note_head(ledger, case, head.status, head.canary.is_some());
    if head.canary.is_some_and(|canary| canary != case.n) {
        ledger.fault_of(case, "the head of another response");
    }
    if case.leaves == Leaves::InDownload && !case.how.waits_for_departure() {
        return Ok(());
    }
    let bodiless = case.is_head() || matches!(head.status, 101 | 204 | 304);
    let mut body = Vec::new();
    if bodiless {
    } else if let Some(length) = head.length {
        body = reading.exactly(length).await?;
    } else if head.chunked {
        while let Some(chunk) = reading.chunk().await? {
            body.extend_from_slice(&chunk);
            // Two frames may come as one chunk or as two.
            if case.how.waits_for_departure() && case.frames().concat().len() == body.len() {
                return Ok(());
            }
        }
    }
    note_whole(ledger, case, head.status, bodiless, &body);
    if head.status == 101 {
        if reading.exactly(4).await? != b"ping" {
            ledger.fault_of(case, "the upgraded connection says something else");
        }
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    Ok(())
}

/// Notes the head of a response. A handler's 200 has a canary in its head; a refusal has none.
fn note_head(ledger: &Ledger, case: &Case, status: u16, has_canary: bool) {
    let client = &mut ledger.of(case.n).client;
    client.status = Some(status);
    client.refusal = status == 503 || (status == 200 && !has_canary);
}

/// Notes that a response was received whole.
fn note_whole(ledger: &Ledger, case: &Case, status: u16, bodiless: bool, body: &[u8]) {
    let refusal = ledger.of(case.n).client.refusal;
    if !bodiless && !refusal && !matches!(status, 400 | 408) && body != case.frames().concat() {
        ledger.fault_of(case, "the body of another response");
    }
    let synced = ledger.synced();
    let mut seen = ledger.of(case.n);
    seen.client.whole = true;
    seen.client.synced_after = synced;
}

async fn send(half: &mut OwnedWriteHalf, bytes: &[u8], slow: bool) -> io::Result<()> {
    if slow {
        for part in bytes.chunks(bytes.len().div_ceil(4).max(1)) {
            half.write_all(part).await?;
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        return Ok(());
    }
    half.write_all(bytes).await
}

async fn connect(address: SocketAddr) -> (Reading, OwnedWriteHalf) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (read, write) = stream.into_split();
    (Reading { half: read, read: Vec::new(), slow: false }, write)
}

/// Closes the connection, with a reset or in order.
fn leave(case: &Case, reading: Reading, writing: OwnedWriteHalf) {
    let stream = reading.half.reunite(writing).expect("they are of one stream");
    if case.resets {
        let _ = stream.set_zero_linger();
    }
}

async fn one_after_another(ledger: &Ledger, address: SocketAddr, cases: &[Case], sharing: Sharing) {
    let (mut reading, mut writing) = connect(address).await;
    for case in cases {
        let (head, body) = request(case, sharing == Sharing::Alone);
        let sent = [head.as_bytes(), &body].concat();
        // What is sent, and whether anything is read then.
        let (part, reads) = match case.leaves {
            Leaves::InHead => (&sent[..head.len() / 2], false),
            Leaves::InUpload => (&sent[..head.len() + body.len() / 2], false),
            Leaves::HalfInUpload => (&sent[..head.len() + body.len() / 2], true),
            Leaves::WhenBegun | Leaves::Soon => (&sent[..], false),
            Leaves::Never | Leaves::HalfClosed | Leaves::InDownload => (&sent[..], true),
        };
        let half_closes = matches!(case.leaves, Leaves::HalfInUpload | Leaves::HalfClosed);
        let writes = async {
            // The server may have answered, and closed, before everything is sent.
            if send(&mut writing, part, case.slow).await.is_ok() && half_closes {
                let _ = writing.shutdown().await;
            }
            if case.how == How::Upgrade && reads && !half_closes {
                let _ = writing.write_all(b"ping").await;
            }
        };
        if !reads {
            writes.await;
            match case.leaves {
                Leaves::WhenBegun => {
                    tokio::select! {
                        () = ledger.begun(case.n) => {}
                        // A refusal.
                        _ = answer(ledger, case, &mut reading) => {}
                    }
                }
                Leaves::InUpload if case.reads != Reads::Nothing && case.n.is_multiple_of(2) => {
                    tokio::select! {
                        () = ledger.begun(case.n) => {}
                        _ = reading.more() => {}
                    }
                }
                _ => some_time(case.n).await,
            }
            return leave(case, reading, writing);
        }
        let (_, answered) = tokio::join!(writes, answer(ledger, case, &mut reading));
        if answered.is_err() || case.leaves != Leaves::Never {
            return leave(case, reading, writing);
        }
    }
}

async fn pipelined(ledger: &Ledger, address: SocketAddr, cases: &[Case]) {
    let (mut reading, mut writing) = connect(address).await;
    let mut sent = Vec::new();
    let mut is_last_whole = true;
    for case in cases {
        let (head, body) = request(case, false);
        is_last_whole = !matches!(case.leaves, Leaves::InHead | Leaves::InUpload | Leaves::HalfInUpload);
        let part = if is_last_whole { head.len() + body.len() } else { head.len() / 2 };
        sent.extend_from_slice(&[head.as_bytes(), &body].concat()[..part]);
    }
    let last = cases.last().expect("sessions are not empty");
    if !last.keeps_connection() {
        // It can end the connection before the client has read the responses before it.
        cases.iter().for_each(|case| ledger.of(case.n).client.disturbed = true);
    }
    let writes = async {
        let _ = send(&mut writing, &sent, last.slow).await;
        if last.how == How::Upgrade && is_last_whole {
            let _ = writing.write_all(b"ping").await;
        }
    };
    let reads = async {
        for case in cases {
            let is_last = case.n == last.n;
            if is_last && (!is_last_whole || matches!(case.leaves, Leaves::Soon)) {
                return some_time(case.n).await;
            }
            if is_last && case.leaves == Leaves::WhenBegun {
                tokio::select! {
                    () = ledger.begun(case.n) => {}
                    _ = answer(ledger, case, &mut reading) => {}
                }
                return;
            }
            if answer(ledger, case, &mut reading).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(writes, reads);
    leave(last, reading, writing);
}

// ---------------------------------------------------------------------------------------------------------------------
// HTTP/2
// ---------------------------------------------------------------------------------------------------------------------

async fn multiplexed(ledger: &Arc<Ledger>, address: SocketAddr, cases: &[Case], torn: bool) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    if torn {
        cases.iter().for_each(|case| ledger.of(case.n).client.disturbed = true);
    }
    let streams = join_all(cases.iter().map(|case| stream_of(ledger, case, sender.clone())));
    if torn {
        tokio::select! {
            () = some_time(cases[0].n) => {}
            _ = streams => {}
        }
        connection.abort();
    } else {
        streams.await;
    }
    drop(sender);
    // It ends when its last sender is dropped.
    let _ = connection.await;
}

/// One request on its stream.
async fn stream_of(ledger: &Ledger, case: &Case, mut sender: http2::SendRequest<Body>) {
    let mut request = Request::builder()
        .method(case.method)
        .uri(format!("http://127.0.0.1{}", case.url()))
        .header("authorization", format!("Bearer {}", secret(case.n, "header")))
        .header("user-agent", format!("canary-{}-agent", case.n));
    if case.method == "POST" {
        request = request.header("content-type", case.content_type());
    }
    let sent = case.upload();
    let stops = case.leaves == Leaves::InUpload;
    let body = match case.upload {
        Upload::None => Body::empty(),
        _ if !case.is_chunked() && !stops && !case.slow => Body::from(sent),
        _ => {
            let (most, slow) = (if stops { sent.len() / 2 } else { sent.len() }, case.slow);
            let frames: Vec<Bytes> = sent[..most].chunks(4000).map(Bytes::copy_from_slice).collect();
            let breaks = case.resets;
            let frames = futures_util::stream::iter(frames).then(move |frame| async move {
                if slow {
                    tokio::time::sleep(Duration::from_micros(500)).await;
                }
                Ok::<_, BoxError>(Frame::data(frame))
            });
            let end = futures_util::stream::once(async move {
                if !stops {
                    return None;
                }
                if !breaks {
                    std::future::pending::<()>().await;
                }
                Some(Err("the upload breaks".into()))
            });
            Body::new(StreamBody::new(frames.chain(end.filter_map(std::future::ready))))
        }
    };
    if sender.ready().await.is_err() {
        return;
    }
    let mut response = pin!(sender.send_request(request.body(body).unwrap()));
    match case.leaves {
        Leaves::WhenBegun => {
            tokio::select! {
                () = ledger.begun(case.n) => {}
                response = &mut response => { let _ = received(ledger, case, response.ok()).await; }
            }
        }
        Leaves::Soon | Leaves::InUpload => {
            let time = async {
                if case.leaves == Leaves::InUpload && case.n.is_multiple_of(2) {
                    ledger.begun(case.n).await;
                }
                some_time(case.n).await;
            };
            tokio::select! {
                () = time => {}
                response = &mut response => { let _ = received(ledger, case, response.ok()).await; }
            }
        }
        _ => {
            let response = response.await.ok();
            let _ = received(ledger, case, response).await;
        }
    }
}

async fn received(ledger: &Ledger, case: &Case, response: Option<Response<Incoming>>) -> Option<()> {
    let response = response?;
    let status = response.status().as_u16();
    note_head(ledger, case, status, response.headers().contains_key("x-canary"));
    let canary = response.headers().get("x-canary").map(|canary| canary.to_str().unwrap().to_owned());
    if canary.is_some_and(|canary| canary != format!("canary-{}-header", case.n)) {
        ledger.fault_of(case, "the head of another response");
    }
    let mut body = response.into_body();
    let mut read = Vec::new();
    let leaves = matches!(case.leaves, Leaves::InDownload);
    let expected = if case.how.waits_for_departure() { case.frames().concat().len() } else { 1 };
    loop {
        if case.slow {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        if leaves && (read.len() >= expected || case.n.is_multiple_of(3) && !case.how.waits_for_departure()) {
            return None;
        }
        match body.frame().await {
            None => break,
            Some(Err(_)) => return None,
            Some(Ok(frame)) => read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
        }
    }
    note_whole(ledger, case, status, case.is_head() || matches!(status, 204 | 304), &read);
    Some(())
}
