//! Device initialisation: reset, feature negotiation (3.1.1), configuration space (5.1.4).

use netdev::{DeviceInfo, ETHERNET_HEADER_LEN, MacAddress, Offloads, TxOffload};
use virtio_drivers::Error;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

use crate::OpenError;
use crate::header::HEADER_LEN;
use crate::receive::BUFFER_LEN;

/// Reads of the status register before a reset counts as stuck. Each leaves the guest and takes
/// at least some 100 ns; a device resets at once or never.
const RESET_READS_MAX: usize = 1_000_000;

const F_CSUM: u64 = 1 << 0;
const F_GUEST_CSUM: u64 = 1 << 1;
const F_MTU: u64 = 1 << 3;
const F_MAC: u64 = 1 << 5;
const F_GUEST_TSO4: u64 = 1 << 7;
const F_GUEST_TSO6: u64 = 1 << 8;
const F_HOST_TSO4: u64 = 1 << 11;
const F_HOST_TSO6: u64 = 1 << 12;
const F_MRG_RXBUF: u64 = 1 << 15;
const F_STATUS: u64 = 1 << 16;
const F_CTRL_VQ: u64 = 1 << 17;
const F_CTRL_RX: u64 = 1 << 18;
const F_VERSION_1: u64 = 1 << 32;

/// What is taken when it is offered.
const WANTED: u64 = F_VERSION_1 | F_MAC | F_STATUS | F_CSUM | F_GUEST_CSUM | F_MRG_RXBUF;
/// What is taken when all of it is offered.
const CONTROL: u64 = F_CTRL_VQ | F_CTRL_RX;
/// What is taken when others are (5.1.3.1). This driver receives long frames in several buffers.
const DEPENDENT: [(u64, u64); 4] = [
    (F_GUEST_TSO4, F_GUEST_CSUM | F_MRG_RXBUF),
    (F_GUEST_TSO6, F_GUEST_CSUM | F_MRG_RXBUF),
    (F_HOST_TSO4, F_CSUM),
    (F_HOST_TSO6, F_CSUM),
];

/// Offsets in `struct virtio_net_config` (5.1.4).
const CONFIG_MAC: usize = 0;
const CONFIG_STATUS: usize = 6;
const CONFIG_MTU: usize = 10;

const STATUS_LINK_UP: u16 = 1;

/// MTU of a device that does not state its own.
const MTU_DEFAULT: usize = 1500;
/// What every link carries (RFC 791, 3.2).
const MTU_MIN: usize = 68;

/// The features that were agreed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features(u64);

impl Features {
    fn has(self, feature: u64) -> bool {
        self.0 & feature != 0
    }

    /// Whether a received frame may take several buffers.
    pub(crate) fn mergeable(self) -> bool {
        self.has(F_MRG_RXBUF)
    }

    /// Whether the device filters by command.
    pub(crate) fn control(self) -> bool {
        self.has(CONTROL)
    }

    /// Whether the device cuts frames of any kind.
    pub(crate) fn segmentation(self) -> bool {
        self.has(F_HOST_TSO4 | F_HOST_TSO6)
    }

    fn offloads(self) -> Offloads {
        Offloads {
            checksum: self.has(F_CSUM),
            segmentation_v4: self.has(F_HOST_TSO4),
            segmentation_v6: self.has(F_HOST_TSO6),
        }
    }

    /// Whether the device does what a frame asks for.
    pub(crate) fn takes(self, offload: &TxOffload) -> bool {
        match (offload.checksum, offload.segmentation) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(_), None) => self.has(F_CSUM),
            (Some(_), Some(cut)) => self.has(if cut.is_ipv4 { F_HOST_TSO4 } else { F_HOST_TSO6 }),
        }
    }

    /// The longest IP packet that fits the buffers of a frame.
    fn mtu_max(self) -> usize {
        match self.mergeable() {
            true => u16::MAX.into(),
            false => BUFFER_LEN - HEADER_LEN - ETHERNET_HEADER_LEN,
        }
    }
}

/// What was agreed on with the device.
pub(crate) struct Settings {
    pub(crate) info: DeviceInfo,
    pub(crate) features: Features,
    /// Whether [`link_up`] may be asked.
    pub(crate) has_status: bool,
}

/// Brings the device up to the point where its queues are set up.
pub(crate) fn negotiate(transport: &mut impl Transport) -> Result<Settings, OpenError> {
    match transport.device_type() {
        DeviceType::Network => {}
        other => return Err(OpenError::NotNetwork(other)),
    }
    if !reset(transport) {
        return Err(OpenError::ResetTimeout);
    }
    let status = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
    transport.set_status(status);
    let features = choose_features(transport)?;
    transport.write_driver_features(features.0);
    transport.set_status(status | DeviceStatus::FEATURES_OK);
    if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        return Err(OpenError::FeaturesRefused(features.0));
    }
    let mtu = if features.has(F_MTU) { read_mtu(transport)? } else { MTU_DEFAULT };
    let info = DeviceInfo { mac: read_mac(transport)?, mtu, offloads: features.offloads() };
    Ok(Settings { info, features, has_status: features.has(F_STATUS) })
}

/// Resets the device; false if it does not finish. Afterwards it uses no memory of the driver's
/// (2.4, 4.1.4.3.2).
pub(crate) fn reset(transport: &mut impl Transport) -> bool {
    transport.set_status(DeviceStatus::empty());
    (0..RESET_READS_MAX).any(|_| transport.get_status().is_empty())
}

/// Without `VIRTIO_F_EVENT_IDX`, notifications are suppressed by flags in both directions.
fn choose_features(transport: &mut impl Transport) -> Result<Features, OpenError> {
    let offered = transport.read_device_features();
    if offered & F_VERSION_1 == 0 {
        return Err(OpenError::Legacy);
    }
    if offered & F_MAC == 0 {
        return Err(OpenError::NoMac);
    }
    let mut features = Features(offered & WANTED);
    if offered & CONTROL == CONTROL {
        features.0 |= CONTROL;
    }
    for (feature, needed) in DEPENDENT {
        if features.0 & needed == needed {
            features.0 |= offered & feature;
        }
    }
    // Agreeing to an MTU is a promise to receive frames of that length (5.1.4.2), so it is looked
    // at beforehand, as 3.1.1 step 4 allows.
    if offered & F_MTU != 0 && (MTU_MIN..=features.mtu_max()).contains(&read_mtu(transport)?) {
        features.0 |= F_MTU;
    }
    Ok(features)
}

fn read_mac(transport: &impl Transport) -> Result<MacAddress, OpenError> {
    let mac: MacAddress = transport
        .read_consistent(|| transport.read_config_space(CONFIG_MAC))
        .map_err(OpenError::Config)?;
    let is_group = mac[0] & 1 != 0;
    if is_group || mac == [0; 6] {
        return Err(OpenError::InvalidMac(mac));
    }
    Ok(mac)
}

fn read_mtu(transport: &impl Transport) -> Result<usize, OpenError> {
    let mtu = read_u16(transport, CONFIG_MTU).map_err(OpenError::Config)?;
    Ok(mtu.into())
}

/// Whether the link is up. One that cannot be read counts as up.
pub(crate) fn link_up(transport: &impl Transport) -> bool {
    read_u16(transport, CONFIG_STATUS).map_or(true, |status| status & STATUS_LINK_UP != 0)
}

fn read_u16(transport: &impl Transport, offset: usize) -> Result<u16, Error> {
    transport.read_config_space(offset).map(u16::from_le)
}
