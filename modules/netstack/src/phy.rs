//! Shows a [`netdev`] transmitter and at most one received frame to smoltcp as one of its devices.

use core::mem;

use netdev::{DeviceInfo, ETHERNET_HEADER_LEN, Transmitter};
use smoltcp::{
    phy::{self, DeviceCapabilities, Medium},
    time::Instant,
};

use crate::{frame, isn::Numbering};

/// What smoltcp did with the device during one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Activity {
    /// It wanted to send and the transmitter was not ready.
    pub(crate) blocked: bool,
    /// Frames that it began.
    offered: u64,
    /// Of those sent, the ones that are not a search for a neighbour.
    pub(crate) payloads: u64,
    /// Frames and bytes sent.
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl Activity {
    /// One frame sent without smoltcp.
    pub(crate) fn of_frame(len: usize) -> Self {
        Activity { blocked: false, offered: 1, payloads: 1, frames: 1, bytes: len as u64 }
    }

    /// smoltcp began a frame and did not send it: it waits for a neighbour's address.
    pub(crate) fn awaits_neighbour(&self) -> bool {
        self.offered > self.payloads
    }
}

pub(crate) fn capabilities(info: &DeviceInfo) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    capabilities.max_transmission_unit = info.mtu + ETHERNET_HEADER_LEN;
    capabilities
}

/// The device of one call into smoltcp.
///
/// It yields exactly the frame it was made with: smoltcp answers a frame that is polled against the
/// wrong sockets with a reset.
pub(crate) struct Phy<'a, T> {
    capabilities: &'a DeviceCapabilities,
    frame: &'a [u8],
    tx: &'a mut T,
    numbering: Option<&'a mut Numbering>,
    pub(crate) activity: Activity,
}

impl<'a, T: Transmitter> Phy<'a, T> {
    /// A device with one received frame, whose transmitter must be ready for one answer.
    pub(crate) fn with_frame(
        capabilities: &'a DeviceCapabilities,
        frame: &'a [u8],
        tx: &'a mut T,
    ) -> Self {
        Phy { capabilities, frame, tx, numbering: None, activity: Activity::default() }
    }

    /// A device that has received nothing.
    pub(crate) fn transmit_only(capabilities: &'a DeviceCapabilities, tx: &'a mut T) -> Self {
        Self::with_frame(capabilities, &[], tx)
    }

    /// With the sequence numbers of a TCP flow, if it is one.
    pub(crate) fn numbered(self, numbering: Option<&'a mut Numbering>) -> Self {
        Phy { numbering, ..self }
    }

    fn token(&mut self) -> TxToken<'_, T> {
        let numbering = self.numbering.as_deref_mut();
        TxToken { tx: self.tx, numbering, activity: &mut self.activity }
    }
}

impl<T: Transmitter> phy::Device for Phy<'_, T> {
    type RxToken<'b>
        = RxToken<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = TxToken<'b, T>
    where
        Self: 'b;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_, T>)> {
        let frame = mem::take(&mut self.frame);
        if frame.is_empty() {
            return None;
        }
        Some((RxToken(frame), self.token()))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_, T>> {
        if !self.tx.is_ready() {
            self.activity.blocked = true;
            return None;
        }
        self.activity.offered += 1;
        Some(self.token())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

pub(crate) struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

pub(crate) struct TxToken<'a, T> {
    tx: &'a mut T,
    numbering: Option<&'a mut Numbering>,
    activity: &'a mut Activity,
}

impl<T: Transmitter> phy::TxToken for TxToken<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.activity.frames += 1;
        self.activity.bytes += len as u64;
        self.tx.transmit(len, |frame| {
            let result = write(frame);
            if let Some(numbering) = self.numbering {
                numbering.outgoing(frame);
            }
            self.activity.payloads += u64::from(!frame::is_neighbour_discovery(frame));
            result
        })
    }
}

/// A device that is only asked for its capabilities.
pub(crate) struct Nothing<'a>(pub(crate) &'a DeviceCapabilities);

impl phy::Device for Nothing<'_> {
    type RxToken<'b>
        = RxToken<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = NoToken
    where
        Self: 'b;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, NoToken)> {
        None
    }

    fn transmit(&mut self, _now: Instant) -> Option<NoToken> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.clone()
    }
}

pub(crate) enum NoToken {}

impl phy::TxToken for NoToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _len: usize, _write: F) -> R {
        match self {}
    }
}
