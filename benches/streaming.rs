//! What large bodies pay over real sockets: `cargo bench --bench streaming`; `-- --quick` in seconds.
//!
//! An upload and a download of 1 GiB through an `axum::serve` in a process of its own, bare and audited in turn. Each round
//! starts both anew, so that each tells how much memory it takes on the way. Bodies are JSON, of which
//! the log keeps the beginning. Timing never fails the run, a record that is missing does.
#![allow(clippy::print_stdout, reason = "the table is the result")]

mod support;

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use http::Method;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use serde_json::Value;
use support::client::Connection;
use support::server::{self, Cores, Door, Server};
use support::{PATIENCE, block_on, machine, median};
use tower_audit::{Auditor, Bodies, Catalog, Event, sink};

const BARE: &str = "bare router";
const OURS: &str = "`wrap_router(..)`";
/// In the order of the table.
const NAMES: [&str; 2] = [BARE, OURS];
const MIB: u64 = 1024 * 1024;

fn main() -> ExitCode {
    server::run(serve, compare)
}

/// The server's side.
fn serve(name: &str) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let door = Door::open().map_err(text)?;
    let app = Router::new().route("/upload", post(upload)).route("/download/{bytes}", get(download));
    if name == BARE {
        return door.serve(|listener| axum::serve(listener, app).into_future()).map_err(text);
    }
    let catalog = Catalog::new()
        .event(Event::new("Upload").on(Method::POST, "/upload").bodies(Bodies::Both))
        .event(Event::new("Download").on(Method::GET, "/download/{bytes}").bodies(Bodies::Both));
    let builder = Auditor::builder().catalog(catalog).sink(sink::stdout().map_err(text)?);
    let auditor = builder.build().map_err(|error| error.to_string())?;
    let served = door.serve(|listener| axum::serve(listener, auditor.wrap_router(app)).into_future());
    let report = block_on(auditor.shutdown(PATIENCE));
    served.map_err(text)?;
    if report.is_complete() { Ok(()) } else { Err(format!("{report:?}")) }
}

/// What a file server reads at once.
static CHUNK: [u8; 64 * 1024] = {
    let mut chunk = [b'x'; 64 * 1024];
    // The body reads as one long string of JSON.
    chunk[0] = b'"';
    chunk
};

async fn upload(mut body: Body) -> String {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    bytes.to_string()
}

async fn download(Path(left): Path<u64>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], Body::new(Chunks { left }))
}

/// A body of known length that is made as it is read.
struct Chunks {
    left: u64,
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK.len());
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK[..length])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Sends or fetches so many bytes.
type Way = fn(&mut Connection, u64) -> io::Result<Duration>;

fn send(connection: &mut Connection, bytes: u64) -> io::Result<Duration> {
    let began = Instant::now();
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
    );
    connection.send(head.as_bytes())?;
    for _ in 0..bytes / CHUNK.len() as u64 {
        connection.send(&CHUNK)?;
    }
    connection.receive()?;
    Ok(began.elapsed())
}

fn fetch(connection: &mut Connection, bytes: u64) -> io::Result<Duration> {
    let began = Instant::now();
    connection.send(format!("GET /download/{bytes} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes())?;
    if connection.receive()? != bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(began.elapsed())
}

/// What one server did in one round.
#[derive(Clone, Copy, Default)]
struct Sample {
    upload: Passage,
    download: Passage,
    /// The most memory held on the way, over what was held before, in KiB.
    more: f64,
    /// The most memory held, in KiB.
    peak: f64,
}

/// A body on its way.
#[derive(Clone, Copy, Default)]
struct Passage {
    /// GiB a second.
    rate: f64,
    /// CPU time of the server's process, in seconds.
    cpu: f64,
}

/// A server of this round, with one connection to it.
struct Running {
    name: &'static str,
    server: Server,
    connection: Connection,
    /// Memory held before, in KiB.
    before: u64,
    sample: Sample,
}

impl Running {
    /// Starts one, and lets it serve once what all must have served before they are measured.
    fn start(name: &'static str, cores: Option<&Cores>) -> io::Result<Self> {
        let server = Server::start(name, cores)?;
        let connection = Connection::to(server.address)?;
        let mut this = Self { name, server, connection, before: 0, sample: Sample::default() };
        send(&mut this.connection, MIB)?;
        fetch(&mut this.connection, MIB)?;
        this.wait_for(3)?;
        this.server.forget_peak()?;
        this.before = this.server.memory()?.0;
        Ok(this)
    }

    /// Waits for so many lines, the first of which is `AuditStarted`.
    fn wait_for(&self, lines: u64) -> io::Result<()> {
        if self.name == BARE || self.server.drained.wait_for(lines) {
            return Ok(());
        }
        Err(io::Error::other(format!("{}: of {lines} lines {} came out", self.name, self.server.drained.lines())))
    }

    fn upload(&mut self, bytes: u64) -> io::Result<()> {
        self.sample.upload = self.pass(send, bytes, 4)?;
        Ok(())
    }

    fn download(&mut self, bytes: u64) -> io::Result<()> {
        self.sample.download = self.pass(fetch, bytes, 5)?;
        Ok(())
    }

    fn pass(&mut self, way: Way, bytes: u64, lines: u64) -> io::Result<Passage> {
        let before = self.server.cpu()?;
        let took = way(&mut self.connection, bytes)?;
        self.wait_for(lines)?;
        let cpu = self.server.cpu()?.since(before).sum();
        let gib = bytes as f64 / (1024 * MIB) as f64;
        Ok(Passage { rate: gib / took.as_secs_f64(), cpu: cpu.as_secs_f64() })
    }

    fn finish(mut self, bytes: u64) -> Result<Sample, String> {
        let (_, peak) = self.server.memory().map_err(|error| error.to_string())?;
        self.sample.more = peak.saturating_sub(self.before) as f64;
        self.sample.peak = peak as f64;
        let text = self.server.drained.beginning();
        let records: Vec<Value> = text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        let counted = |at: usize, pointer: &str| records.get(at).and_then(|record| record.pointer(pointer)?.as_u64());
        let passed = [counted(3, "/request/bodyOmitted/bytes"), counted(4, "/response/bytes")];
        if self.name != BARE && passed != [Some(bytes); 2] {
            return Err(format!("{}: {passed:?} bytes stand on the records, not {bytes}: {text}", self.name));
        }
        drop(self.connection);
        // `AuditStopped` comes at the end.
        self.server.finish(self.name, if self.name == BARE { 0 } else { 6 })?;
        Ok(self.sample)
    }
}

/// The columns of the table that have ratios.
const PASSAGES: [fn(&Sample) -> f64; 4] =
    [|it| it.upload.rate, |it| it.upload.cpu, |it| it.download.rate, |it| it.download.cpu];

fn compare(quick: bool) -> Result<(), String> {
    let (rounds, bytes) = if quick { (3, 64 * MIB) } else { (31, 1024 * MIB) };
    // Pinned, we could no longer tell how many cores there are.
    let machine = machine();
    let cores = server::pin();
    let mut samples: [Vec<Sample>; 2] = Default::default();
    for number in 0..rounds {
        for (sample, of) in round(number % 2 == 1, bytes, cores.as_ref())?.into_iter().zip(&mut samples) {
            of.push(sample);
        }
    }
    println!("{machine} {}", server::placed(cores.as_ref()));
    println!(
        "\n| {} MiB each way | upload GiB/s | × bare | CPU s | × bare | download GiB/s | × bare | CPU s | × bare | \
         memory on the way +KiB | peak KiB |\n|---|---|---|---|---|---|---|---|---|---|---|",
        bytes / MIB
    );
    for (name, own) in NAMES.into_iter().zip(&samples) {
        let middle = |what: fn(&Sample) -> f64| median(own.iter().map(what));
        let ratio =
            |what: fn(&Sample) -> f64| median(own.iter().zip(&samples[0]).map(|(own, bare)| what(own) / what(bare)));
        print!("| {name} |");
        for what in PASSAGES {
            print!(" {:.2} | {:.3} |", middle(what), ratio(what));
        }
        println!(" {:.0} | {:.0} |", middle(|it| it.more), middle(|it| it.peak));
    }
    Ok(())
}

/// Both servers, bare and audited. Whoever comes first finds another machine than the second: they change places.
fn round(audited_first: bool, bytes: u64, cores: Option<&Cores>) -> Result<[Sample; 2], String> {
    let text = |error: io::Error| error.to_string();
    let [mut bare, mut ours] = [Running::start(BARE, cores).map_err(text)?, Running::start(OURS, cores).map_err(text)?];
    let [first, second] = if audited_first { [&mut ours, &mut bare] } else { [&mut bare, &mut ours] };
    first.upload(bytes).and_then(|()| second.upload(bytes)).map_err(text)?;
    second.download(bytes).and_then(|()| first.download(bytes)).map_err(text)?;
    Ok([bare.finish(bytes)?, ours.finish(bytes)?])
}
