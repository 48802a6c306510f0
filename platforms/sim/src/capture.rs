//! Keeps what a host sends and receives, as a pcap file in memory.

use std::{cell::RefCell, io, path::Path, rc::Rc};

use netasync::Machine;
use netdev::pcap::Sink;

use crate::clock::Clock;

/// Bytes kept per host. A scenario of the default set makes less.
const LEN_MAX: usize = 256 << 20;

/// A host's frames, in both directions. Clones share them, and outlive the network.
#[derive(Debug, Clone, Default)]
pub struct Capture(Rc<RefCell<Vec<u8>>>);

impl Capture {
    /// Writes a pcap file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, &*self.0.borrow())
    }
}

/// What the tap of a host writes to: nothing, unless a capture is wanted.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) clock: Clock,
    pub(crate) capture: Option<Capture>,
}

impl Sink for Recorder {
    fn now_micros(&mut self) -> u64 {
        self.clock.now().micros()
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(Capture(file)) = &self.capture
            && file.borrow().len() < LEN_MAX
        {
            file.borrow_mut().extend_from_slice(bytes);
        }
    }
}
