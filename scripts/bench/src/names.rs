//! What rows are called, for those who measure and those who look for them.

/// The first answer after the start.
pub(crate) const FIRST_ANSWER: &str = "start of QEMU to the first answer";
/// What QEMU takes from the host.
pub(crate) const QEMU_MEMORY: &str = "memory of QEMU";
/// What it uses of a processor when there is nothing to do.
pub(crate) const AT_REST: &str = "host's processor at rest";
/// A stream to the server.
pub(crate) const RECEIVES: &str = "receives";
/// A stream from it.
pub(crate) const SENDS: &str = "sends";
/// The share of the times below which they are typical, and below which nearly all are.
pub(crate) const MEDIAN: &str = "p50";
pub(crate) const TAIL: &str = "p99";

/// HTTP on so many kept connections.
pub(crate) fn kept(connections: usize) -> String {
    format!("{connections} kept")
}

/// HTTP on new connections by so many clients.
pub(crate) fn at_a_time(clients: usize) -> String {
    format!("{clients} at a time")
}

/// A percentile of the times of something.
pub(crate) fn percentile(of: &str, share: &str) -> String {
    format!("{of}, {share}")
}

/// An echo beside so many idle connections.
pub(crate) fn beside(idle: usize) -> String {
    format!("TCP echo beside {idle} idle")
}

/// A stream over a path that loses so many per cent.
pub(crate) fn lossy(percent: u32, what: &str) -> String {
    format!("{percent} %, {what}")
}
