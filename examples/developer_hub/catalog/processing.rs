//! The catalog's processing loop: what was deleted comes back as long as its location names it.

use std::sync::Arc;
use std::time::Duration;

use crate::hub::Hub;

const CYCLE: Duration = Duration::from_secs(100);

pub(crate) async fn process_forever(hub: Arc<Hub>) {
    let stopped = hub.background.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(CYCLE) => {}
        }
        let restored = hub.catalog.process();
        tracing::debug!(restored, "processed the catalog");
    }
}
