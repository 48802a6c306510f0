//! The header before each frame, `struct virtio_net_hdr` (5.1.6).

use netdev::{RxOffload, TxOffload};

/// Its length in bytes. The buffer count is part of it in modern devices.
pub(crate) const HEADER_LEN: usize = 12;

const FLAG_NEEDS_CHECKSUM: u8 = 1;
const FLAG_DATA_VALID: u8 = 2;
const SEGMENTATION_TCPV4: u8 = 1;
const SEGMENTATION_TCPV6: u8 = 4;

/// Offsets of fields.
const FLAGS: usize = 0;
const BUFFERS: usize = 10;

/// The header of a frame to be transmitted.
pub(crate) fn transmitted(offload: &TxOffload) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let Some(checksum) = offload.checksum else { return header };
    header[FLAGS] = FLAG_NEEDS_CHECKSUM;
    header[6..8].copy_from_slice(&checksum.start.to_le_bytes());
    header[8..10].copy_from_slice(&checksum.offset.to_le_bytes());
    if let Some(cut) = offload.segmentation {
        header[1] = if cut.is_ipv4 { SEGMENTATION_TCPV4 } else { SEGMENTATION_TCPV6 };
        header[2..4].copy_from_slice(&cut.header_len.to_le_bytes());
        header[4..6].copy_from_slice(&cut.payload_len.to_le_bytes());
    }
    header
}

/// What the header of a received frame says about it.
pub(crate) fn received(header: &[u8]) -> RxOffload {
    RxOffload { is_verified: header[FLAGS] & (FLAG_NEEDS_CHECKSUM | FLAG_DATA_VALID) != 0 }
}

/// How many buffers a received frame takes (5.1.6.4).
pub(crate) fn buffers(header: &[u8]) -> u16 {
    u16::from_le_bytes([header[BUFFERS], header[BUFFERS + 1]])
}
