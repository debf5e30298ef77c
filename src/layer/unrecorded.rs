//! A request that there were no bytes for, and that may be lost: served without a record, and counted as lost at the end of its
//! head, unless a layer inside of this one records it.

use std::sync::Arc;

use uuid::Uuid;

use crate::capture::Draft;
use crate::clock::Micros;
use crate::running::Running;
use crate::sync::atomic::{AtomicBool, Ordering};

/// It counts as open until it is settled, which a shutdown waits for.
#[derive(Debug)]
pub(crate) struct Unrecorded {
    log: Arc<Running>,
    at: Micros,
    id: Uuid,
    records: u64,
    settled: AtomicBool,
}

/// In the extensions of its request, for layers inside of the one that could not record it. They open it again only for a
/// class that may not lose.
#[derive(Clone, Debug)]
pub(crate) struct ToBeLost(Arc<Unrecorded>);

/// In the future of the layer that could not record it. Dropped, it counts the loss.
#[derive(Debug)]
pub(crate) struct Loss(Arc<Unrecorded>);

/// Takes the place of a draft, which counts as open, and which is given back.
pub(crate) fn unrecorded(log: &Arc<Running>, draft: Box<Draft>) -> (ToBeLost, Loss) {
    let engine = &log.engine;
    let unrecorded = Arc::new(Unrecorded {
        log: log.clone(),
        at: draft.started,
        id: draft.audit_id,
        records: engine.records(&draft.event),
        settled: AtomicBool::new(false),
    });
    engine.forget(draft);
    (ToBeLost(unrecorded.clone()), Loss(unrecorded))
}

impl ToBeLost {
    /// A layer inside records it, as part of this log.
    pub(crate) fn is_recorded_in(&self, log: &Arc<Running>) {
        let Unrecorded { log: lost_in, settled, .. } = &*self.0;
        if Arc::ptr_eq(&lost_in.engine, &log.engine) && !settled.swap(true, Ordering::Relaxed) {
            log.engine.queue.count_closed();
        }
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        let Unrecorded { log, at, id, records, settled } = &*self.0;
        if !settled.swap(true, Ordering::Relaxed) {
            log.engine.queue.count_unrecorded(*at, *id, *records);
        }
    }
}
