//! Device initialisation: reset, feature negotiation (3.1.1), configuration space (5.1.4).

use core::ops::RangeInclusive;

use netdev::{DeviceInfo, ETHERNET_HEADER_LEN, MacAddress};
use virtio_drivers::Error;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

use crate::pool::SLOT_LEN;
use crate::{HEADER_LEN, OpenError};

/// Reads of the status register before a reset counts as stuck. Each leaves the guest and takes
/// at least some 100 ns; a device resets at once or never.
const RESET_READS_MAX: usize = 1_000_000;

const F_MTU: u64 = 1 << 3;
const F_MAC: u64 = 1 << 5;
const F_STATUS: u64 = 1 << 16;
const F_VERSION_1: u64 = 1 << 32;

/// Offsets in `struct virtio_net_config` (5.1.4).
const CONFIG_MAC: usize = 0;
const CONFIG_STATUS: usize = 6;
const CONFIG_MTU: usize = 10;

const STATUS_LINK_UP: u16 = 1;

/// MTU of a device that does not state its own.
const MTU_DEFAULT: usize = 1500;
/// From what every link carries (RFC 791, 3.2) to what fits a buffer.
const MTU_RANGE: RangeInclusive<usize> = 68..=SLOT_LEN - HEADER_LEN - ETHERNET_HEADER_LEN;

/// What was agreed on with the device.
pub(crate) struct Settings {
    pub(crate) info: DeviceInfo,
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
    transport.write_driver_features(features);
    transport.set_status(status | DeviceStatus::FEATURES_OK);
    if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        return Err(OpenError::FeaturesRefused(features));
    }
    let mtu = if features & F_MTU == 0 { MTU_DEFAULT } else { read_mtu(transport)? };
    let info = DeviceInfo { mac: read_mac(transport)?, mtu };
    Ok(Settings { info, has_status: features & F_STATUS != 0 })
}

/// Resets the device; false if it does not finish. Afterwards it uses no memory of the driver's
/// (2.4, 4.1.4.3.2).
pub(crate) fn reset(transport: &mut impl Transport) -> bool {
    transport.set_status(DeviceStatus::empty());
    (0..RESET_READS_MAX).any(|_| transport.get_status().is_empty())
}

/// Without `VIRTIO_F_EVENT_IDX`, notifications are suppressed by flags in both directions.
fn choose_features(transport: &mut impl Transport) -> Result<u64, OpenError> {
    let offered = transport.read_device_features();
    if offered & F_VERSION_1 == 0 {
        return Err(OpenError::Legacy);
    }
    if offered & F_MAC == 0 {
        return Err(OpenError::NoMac);
    }
    let mut wanted = F_VERSION_1 | F_MAC | F_STATUS;
    // Agreeing to an MTU is a promise to receive frames of that length (5.1.4.2), so it is looked
    // at beforehand, as 3.1.1 step 4 allows.
    if offered & F_MTU != 0 && MTU_RANGE.contains(&read_mtu(transport)?) {
        wanted |= F_MTU;
    }
    Ok(offered & wanted)
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
