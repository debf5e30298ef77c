//! A client over real sockets that does little itself: requests whose bytes are made once, answers whose length is read.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::workload::{BODY, Kind, request};

/// The workload's request as it goes over the wire.
pub(crate) fn wire(kind: Kind) -> Vec<u8> {
    let (head, _) = request(kind).into_parts();
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.uri);
    for (name, value) in &head.headers {
        let value = value.to_str().expect("the workload's headers are text");
        write!(text, "{name}: {value}\r\n").expect("a string takes what is written");
    }
    text.push_str("\r\n");
    text.push_str(if kind == Kind::Post { BODY } else { "" });
    text.into_bytes()
}

/// One connection, kept alive.
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, buffer: vec![0; 64 * 1024] })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Reads one answer to its end; the length of its body.
    pub(crate) fn receive(&mut self) -> io::Result<u64> {
        let mut filled = 0;
        let head = loop {
            filled += self.read_at(filled)?;
            if let Some(at) = self.buffer[..filled].windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let length = length_of(&self.buffer[..head])?;
        let mut left = length.saturating_sub((filled - head) as u64);
        while left > 0 {
            left = left.saturating_sub(self.read_at(0)? as u64);
        }
        Ok(length)
    }

    fn read_at(&mut self, at: usize) -> io::Result<usize> {
        match self.socket.read(&mut self.buffer[at..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// The body's length, of an answer that says it succeeded.
fn length_of(head: &[u8]) -> io::Result<u64> {
    let text = String::from_utf8_lossy(head);
    let length = || text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let length = text.starts_with("HTTP/1.1 20").then(length).flatten();
    length.ok_or_else(|| io::Error::other(format!("not the answer of the workload: {text}")))
}

/// Sends so many requests over all connections, each of which has one on its way; the time until the last answer.
pub(crate) fn load(connections: &mut [Connection], request: &[u8], count: usize) -> io::Result<Duration> {
    let began = Instant::now();
    for connection in &mut *connections {
        connection.send(request)?;
    }
    for at in connections.len()..count {
        let connection = &mut connections[at % connections.len()];
        connection.receive()?;
        connection.send(request)?;
    }
    for connection in connections {
        connection.receive()?;
    }
    Ok(began.elapsed())
}
