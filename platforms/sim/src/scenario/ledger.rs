//! What both ends of every stream say, and what is wrong with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use super::content::Digest;

/// One direction of one connection.
pub(crate) type StreamId = u64;

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl Violation {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Violation(what.into())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a scenario's tasks write into. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    streams: BTreeMap<StreamId, Ends>,
    /// Connections that their client gave up.
    abandoned: BTreeSet<u64>,
    /// Workloads that have not ended.
    unfinished: BTreeSet<u64>,
    /// Connections that servers are busy with.
    served: u64,
    violations: Vec<Violation>,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Ends {
    sent: Option<Digest>,
    received: Option<Digest>,
}

/// What a scenario has achieved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// TCP streams, one per direction, that came to their end.
    pub streams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// UDP requests that were answered.
    pub answers: u64,
    /// Connections that were tried again.
    pub retries: u64,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("no task panics with the lock held")
    }

    pub(crate) fn violation(&self, what: impl Into<String>) {
        self.lock().violations.push(Violation::new(what));
    }

    pub(crate) fn began(&self, workload: u64) {
        self.lock().unfinished.insert(workload);
    }

    pub(crate) fn ended(&self, workload: u64) {
        self.lock().unfinished.remove(&workload);
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.lock().unfinished.is_empty()
    }

    pub(crate) fn unfinished(&self) -> Vec<u64> {
        self.lock().unfinished.iter().copied().collect()
    }

    /// From here on the connection may fail.
    pub(crate) fn abandon(&self, connection: u64) {
        self.lock().abandoned.insert(connection);
    }

    pub(crate) fn is_abandoned(&self, connection: u64) -> bool {
        self.lock().abandoned.contains(&connection)
    }

    pub(crate) fn sent(&self, stream: StreamId, digest: Digest) {
        self.lock().streams.entry(stream).or_default().sent = Some(digest);
    }

    pub(crate) fn received(&self, stream: StreamId, digest: Digest) {
        self.lock().streams.entry(stream).or_default().received = Some(digest);
    }

    pub(crate) fn answered(&self) {
        self.lock().totals.answers += 1;
    }

    pub(crate) fn retried(&self) {
        self.lock().totals.retries += 1;
    }

    /// Counts a connection as served until the guard is dropped.
    pub(crate) fn serve(&self) -> Served {
        self.lock().served += 1;
        Served(self.clone())
    }

    /// Compares both ends of all streams. What has been achieved, and all that is wrong.
    pub(crate) fn close(&self) -> (Totals, Vec<Violation>) {
        let mut entries = self.lock();
        let Entries { streams, abandoned, served, violations, totals, .. } = &mut *entries;
        for (stream, ends) in streams.iter() {
            if ends.sent.is_some() && ends.sent == ends.received {
                totals.streams += 1;
                totals.bytes += ends.sent.map_or(0, |digest| digest.len);
            } else if !abandoned.contains(&(stream / 2)) {
                let Ends { sent, received } = ends;
                let what = format!("stream {stream:x}: sent {sent:?}, received {received:?}");
                violations.push(Violation(what));
            }
        }
        if *served > 0 {
            violations.push(Violation(format!("{served} connections are still being served")));
        }
        (*totals, violations.clone())
    }
}

/// See [`Ledger::serve`].
pub(crate) struct Served(Ledger);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.lock().served -= 1;
    }
}
