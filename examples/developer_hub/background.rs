//! Jobs beside the requests: started at any time, told to stop together, waited for until a deadline.

use std::mem;
use std::sync::Mutex;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::hub::lock;

#[derive(Debug)]
pub(crate) struct Background {
    stopping: watch::Sender<bool>,
    jobs: Mutex<JoinSet<()>>,
}

impl Background {
    pub(crate) fn new() -> Self {
        Self { stopping: watch::Sender::new(false), jobs: Mutex::default() }
    }

    pub(crate) fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        let mut jobs = lock(&self.jobs);
        // Those that have ended are collected here, so that the set does not grow.
        while let Some(ended) = jobs.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a background job did not end well");
            }
        }
        jobs.spawn(job);
    }

    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Resolves once `stop` was called; long-lived responses and jobs end then.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // An error means that the hub itself is gone.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    /// Waits for all jobs, and aborts those still running at the deadline. Returns how many that were.
    pub(crate) async fn join_until(&self, deadline: Instant) -> usize {
        let mut jobs = mem::take(&mut *lock(&self.jobs));
        let all_ended = timeout_at(deadline, async { while jobs.join_next().await.is_some() {} }).await;
        match all_ended {
            Ok(()) => 0,
            Err(_) => jobs.len(),
        }
    }
}
