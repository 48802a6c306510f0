//! Raw frames for a while, past the stack: what upstream's benchmarks of the driver do.

use core::sync::atomic::{AtomicU8, Ordering};

use axlog::ax_println as println;
use netdev::{
    Device, DeviceInfo, ETHERNET_HEADER_LEN, MacAddress, Receiver, Transmitter, TxOffload,
};
use qemu_x86_64::clock;

use super::poller;
use crate::nic::Nic;

/// How long a benchmark takes.
const SECONDS: u64 = 10;
/// Frames between two looks at the clock and two words to the device.
const BATCH: usize = 64;
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// IEEE 802 local experimental EtherType: nobody takes the frames for anything else.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

const NOTHING: u8 = 0;
const TRANSMIT: u8 = 1;
const RECEIVE: u8 = 2;

/// What the poller is asked to do.
static REQUEST: AtomicU8 = AtomicU8::new(NOTHING);

/// Sends frames of full length for ten seconds and says on the console how many bits that are.
///
/// ```no_run
/// // Says "axnet: 1.234 Gbit/s" every second.
/// axnet::bench_transmit();
/// ```
pub fn bench_transmit() {
    run(TRANSMIT);
}

/// Counts what arrives for ten seconds and says on the console how many bits that are.
///
/// ```no_run
/// // Says "axnet: 1.234 Gbit/s" every second.
/// axnet::bench_receive();
/// ```
pub fn bench_receive() {
    run(RECEIVE);
}

/// The poller has the card, so it does it.
fn run(what: u8) {
    if poller::network().is_none() {
        return;
    }
    REQUEST.store(what, Ordering::Release);
    while REQUEST.load(Ordering::Acquire) == what {
        poller::wake();
        axtask::yield_now();
    }
}

/// The network card, on which a benchmark may run when the poller would sleep.
pub(super) struct Card(Nic);

impl Card {
    pub(super) fn new(nic: Nic) -> Self {
        Card(nic)
    }

    /// Runs what is asked for. Returns whether anything was.
    fn run_benchmark(&mut self) -> bool {
        let batch = match REQUEST.load(Ordering::Acquire) {
            TRANSMIT => Self::transmit_batch,
            RECEIVE => Self::receive_batch,
            _ => return false,
        };
        let start = clock::now_nanos();
        let (mut bytes, mut second) = (0, 1);
        while second <= SECONDS {
            bytes += batch(self);
            if clock::now_nanos() - start >= second * NANOS_PER_SEC {
                println!("axnet: {}.{:03} Gbit/s", bytes / 125_000_000, bytes / 125_000 % 1000);
                (bytes, second) = (0, second + 1);
            }
        }
        REQUEST.store(NOTHING, Ordering::Release);
        true
    }

    fn transmit_batch(&mut self) -> usize {
        let DeviceInfo { mac, mtu, .. } = self.0.info();
        let len = mtu + ETHERNET_HEADER_LEN;
        let (_, tx) = self.0.split();
        let mut bytes = 0;
        while bytes < BATCH * len && tx.is_ready() {
            tx.transmit(len, TxOffload::default(), |frame| {
                frame.fill(0xff);
                frame[6..12].copy_from_slice(&mac);
                frame[12..ETHERNET_HEADER_LEN].copy_from_slice(&ETHERTYPE);
            });
            bytes += len;
        }
        tx.flush();
        bytes
    }

    fn receive_batch(&mut self) -> usize {
        let (rx, _) = self.0.split();
        (0..BATCH).map_while(|_| rx.receive(|frame, _| frame.len())).sum()
    }
}

impl Device for Card {
    type Rx = <Nic as Device>::Rx;
    type Tx = <Nic as Device>::Tx;

    fn info(&self) -> DeviceInfo {
        self.0.info()
    }

    fn split(&mut self) -> (&mut Self::Rx, &mut Self::Tx) {
        self.0.split()
    }

    fn link_up(&self) -> bool {
        self.0.link_up()
    }

    fn set_multicast_filter(&mut self, groups: &[MacAddress]) {
        self.0.set_multicast_filter(groups);
    }

    fn unmask_interrupts(&mut self) -> bool {
        // Frames may have come meanwhile.
        !self.run_benchmark() && self.0.unmask_interrupts()
    }

    fn mask_interrupts(&mut self) {
        self.0.mask_interrupts();
    }
}
