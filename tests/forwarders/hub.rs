//! The example `developer_hub` as a process, and clients that load it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::imitations;
use crate::programs::{kill, patience};

/// Connections that send requests at the same time.
pub(crate) const CLIENTS: usize = 8;

/// Between two requests of one client that goes on for as long as a forwarder is stopped: a busy server, and a log that fits
/// on a disk.
const PACE: Duration = Duration::from_millis(20);

pub(crate) struct Hub {
    child: Child,
    address: SocketAddr,
}

impl Hub {
    pub(crate) fn start(stdout: impl Into<Stdio>, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        // The developer's environment must not change the result of a test.
        command.env_clear().env("PORT", "0").env("RUST_LOG", "debug").envs(settings.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening on http://").expect("its address comes first").parse().unwrap();
        // What it reports on stderr later appears in the test's output.
        thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::stderr()));
        Self { child, address }
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// Sends this many requests over several connections at a time; calls `at_half` when half of them have been answered.
    pub(crate) fn load(&self, requests: usize, at_half: impl FnOnce() + Send) {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let at_half = Mutex::new(Some(at_half));
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if number >= requests {
                            return;
                        }
                        self.ask(&imitations::request(number));
                        if done.fetch_add(1, Ordering::SeqCst) == requests / 2 {
                            let at_half = at_half.lock().unwrap().take();
                            at_half.expect("half comes once")();
                        }
                    }
                });
            }
        });
    }

    /// Sends requests over several connections at a time while this runs; gives what it gives, and the number of answers.
    pub(crate) fn load_during<R>(&self, run: impl FnOnce() -> R) -> (R, usize) {
        let (is_over, next) = (AtomicBool::new(false), AtomicUsize::new(0));
        let ran = thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) {
                        self.ask(&imitations::request(next.fetch_add(1, Ordering::SeqCst)));
                        thread::sleep(PACE);
                    }
                });
            }
            // Also if it panics: else the clients go on.
            let _end = Raised(&is_over);
            run()
        });
        (ran, next.into_inner())
    }

    /// Requests that wait to be let in, because the audit log has no room.
    pub(crate) fn waiting(&self) -> u64 {
        let answer = self.ask(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str::<Value>(body).unwrap()["audit"]["waiting"].as_u64().unwrap()
    }

    /// Sends one request and reads the answer to its end.
    pub(crate) fn ask(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 "), "no answer to {}", String::from_utf8_lossy(request));
        answer
    }

    /// Waits until no task runs in the background.
    pub(crate) fn idle(&self) {
        let tasks = b"GET /api/scaffolder/v2/tasks HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer guest\r\nconnection: close\r\n\r\n";
        while ["open", "processing"].iter().any(|status| self.ask(tasks).contains(&format!("\"status\":\"{status}\"")))
        {
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(&self.child, signal);
    }

    /// Stops it cleanly, with every record written.
    pub(crate) fn stop(mut self) {
        kill(&self.child, "TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It still runs only after a failed assertion.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Raised when it is dropped.
struct Raised<'f>(&'f AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The example, which `cargo test` builds beside the tests, and `cargo test --test forwarders` does not.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("tests are in target/PROFILE/deps");
    let binary = profile.join("examples/developer_hub");
    assert!(binary.is_file(), "{} is missing: run `cargo build --examples` first", binary.display());
    binary
}
