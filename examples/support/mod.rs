//! What every small example does alike: `127.0.0.1` and the port in `PORT`, and a clean stop on SIGTERM and SIGINT.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::net::Ipv4Addr;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Listens, says where on stderr, and gives what resolves when the server is to stop. `PORT=0` is any free port.
pub(crate) async fn listen() -> Result<(TcpListener, impl Future<Output = ()> + Send), Box<dyn Error + Send + Sync>> {
    // Before anybody is told that we listen, so that nobody's signal comes too early.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let port = env::var("PORT").ok().filter(|port| !port.is_empty());
    let port = port.map_or(Ok(3000), |port| {
        port.parse::<u16>().map_err(|_| format!("PORT is {port:?}, expected 0 to {}", u16::MAX))
    })?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    writeln!(io::stderr(), "listening on http://{}", listener.local_addr()?)?;

    let stopped = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok((listener, stopped))
}
