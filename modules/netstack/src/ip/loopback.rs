//! The loopback interface's device: what it is given it receives (RFC 1122 section 3.2.1.3).

use alloc::{collections::VecDeque, vec, vec::Vec};
use core::mem;

use netdev::{
    DeviceInfo, ETHERNET_HEADER_LEN, Offloads, Receiver, RxOffload, Transmitter, TxOffload,
};

/// Large enough that a page of headers does not matter, small enough that a queue of packets fits a
/// small machine. Longer datagrams are fragmented as on any link.
pub(crate) const MTU: usize = 16 * 1024;
/// Frames that wait at most before senders are held up: what a device's ring holds.
const FRAMES_MAX: usize = 256;
/// Bytes that wait at most before senders are held up: a few windows of TCP.
const BYTES_MAX: usize = 256 * 1024;

/// Loopback packets are framed as Ethernet's, with addresses of zeros.
pub(crate) const INFO: DeviceInfo = DeviceInfo {
    mac: [0; 6],
    mtu: MTU,
    offloads: Offloads { checksum: false, segmentation_v4: false, segmentation_v6: false },
};

#[derive(Debug, Default)]
pub(crate) struct Loopback {
    rx: LoopbackReceiver,
    tx: LoopbackTransmitter,
}

/// What is being received.
#[derive(Debug, Default)]
pub(crate) struct LoopbackReceiver(VecDeque<Vec<u8>>);

/// What has been sent.
#[derive(Debug, Default)]
pub(crate) struct LoopbackTransmitter {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Loopback {
    pub(crate) fn is_empty(&self) -> bool {
        self.rx.0.is_empty() && self.tx.frames.is_empty()
    }

    /// Both halves. What has been sent so far can be received.
    pub(crate) fn split(&mut self) -> (&mut LoopbackReceiver, &mut LoopbackTransmitter) {
        if self.rx.0.is_empty() {
            mem::swap(&mut self.rx.0, &mut self.tx.frames);
            self.tx.bytes = 0;
        }
        (&mut self.rx, &mut self.tx)
    }
}

impl Receiver for LoopbackReceiver {
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8], RxOffload) -> R) -> Option<R> {
        self.0.pop_front().map(|mut frame| read(&mut frame, RxOffload::default()))
    }
}

impl Transmitter for LoopbackTransmitter {
    fn is_ready(&mut self) -> bool {
        self.frames.len() < FRAMES_MAX && self.bytes < BYTES_MAX
    }

    fn segmented_len_max(&mut self) -> usize {
        MTU + ETHERNET_HEADER_LEN
    }

    /// Answers to received frames are taken even when it is not ready: each has made room for one.
    fn transmit<R>(&mut self, len: usize, _: TxOffload, write: impl FnOnce(&mut [u8]) -> R) -> R {
        debug_assert!(len <= MTU + ETHERNET_HEADER_LEN, "a frame of {len} bytes");
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.bytes += len;
        self.frames.push_back(frame);
        result
    }

    fn flush(&mut self) {}
}
