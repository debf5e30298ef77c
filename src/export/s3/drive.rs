//! Waits for a request on a runtime of the exporter's own thread: within the request's time, and no longer than the run.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::export::courier::IsOver;
use crate::export::report::Failure;

/// How often it is asked whether the run is over.
const LOOK: Duration = Duration::from_millis(50);

/// A request that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    TimedOut,
    Over,
}

pub(super) struct Drive {
    /// Absent only while it is dropped.
    runtime: Option<Runtime>,
}

impl Drive {
    pub(super) fn new() -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new("cannot make a runtime for requests", &error))?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// What the work gives, unless its time or the run ends first; then it is dropped where it is.
    pub(super) fn wait<T>(
        &self,
        limit: Duration,
        is_over: IsOver<'_>,
        work: impl Future<Output = T>,
    ) -> Result<T, Ended> {
        let runtime = self.runtime.as_ref().expect("it is there until the drop");
        let end = Instant::now() + limit;
        runtime.block_on(async {
            let mut work = pin!(work);
            loop {
                match tokio::time::timeout(LOOK, work.as_mut()).await {
                    Ok(done) => return Ok(done),
                    Err(_) if is_over() => return Err(Ended::Over),
                    Err(_) if Instant::now() >= end => return Err(Ended::TimedOut),
                    Err(_) => {}
                }
            }
        })
    }

    pub(super) fn pause(&self, pause: Duration, is_over: IsOver<'_>) -> Result<(), Ended> {
        // A timer is made on the runtime.
        self.wait(pause * 2 + LOOK, is_over, async move { tokio::time::sleep(pause).await })
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        // A look-up of a name that hangs must not keep the thread.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_hangs_ends_with_its_time_or_with_the_run() {
        let drive = Drive::new().unwrap();
        let hangs = std::future::pending::<()>;
        assert_eq!(drive.wait(Duration::ZERO, &|| false, hangs()), Err(Ended::TimedOut));
        assert_eq!(drive.wait(Duration::from_secs(3_600), &|| true, hangs()), Err(Ended::Over));
        assert_eq!(drive.pause(Duration::from_secs(3_600), &|| true), Err(Ended::Over));
        assert_eq!(drive.wait(Duration::ZERO, &|| true, async { 1 }), Ok(1));
    }
}
