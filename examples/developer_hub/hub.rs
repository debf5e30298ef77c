//! Everything that handlers and background jobs share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tower_audit::Auditor;

use crate::background::Background;
use crate::catalog::store::Catalog;
use crate::scaffolder::store::TaskStore;
use crate::settings::Settings;

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) settings: Settings,
    pub(crate) auditor: Auditor,
    pub(crate) catalog: Catalog,
    pub(crate) tasks: TaskStore,
    pub(crate) background: Background,
}

impl Hub {
    pub(crate) fn new(settings: Settings, auditor: Auditor) -> Self {
        Self {
            settings,
            auditor,
            catalog: Catalog::seeded(),
            tasks: TaskStore::default(),
            background: Background::new(),
        }
    }
}

/// Nothing here leaves data half-changed when it panics, so a poisoned lock is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The moment, as Backstage writes it: UTC with milliseconds.
pub(crate) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
