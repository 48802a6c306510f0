use core::fmt;

use netdev::MacAddress;
use virtio_drivers::transport::DeviceType;

/// Why a device cannot be opened.
///
/// ```
/// use virtio_net::OpenError;
///
/// assert_eq!(OpenError::NoQueue(0).to_string(), "device has no receive queue");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// It is a virtio device of another type.
    NotNetwork(DeviceType),
    /// It does not finish a reset.
    ResetTimeout,
    /// It is a legacy device: it does not offer `VIRTIO_F_VERSION_1`.
    Legacy,
    /// It does not offer `VIRTIO_NET_F_MAC`.
    NoMac,
    /// Its address is not one of a single station.
    InvalidMac(MacAddress),
    /// Its configuration space cannot be read.
    Config(virtio_drivers::Error),
    /// It does not accept these feature bits, although it has offered them.
    FeaturesRefused(u64),
    /// It lacks this queue: 0 receives, 1 transmits, 2 controls.
    NoQueue(u16),
    /// One of its queues has too few descriptors.
    QueueTooSmall {
        /// The queue: 0 receives, 1 transmits, 2 controls.
        queue: u16,
        /// Descriptors that it has.
        size_max: u32,
        /// Descriptors that the driver needs.
        size: usize,
    },
    /// It did not enable this queue: 0 receives, 1 transmits, 2 controls.
    QueueRefused(u16),
    /// There is no memory for the rings or the buffers.
    NoMemory,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNetwork(kind) => write!(f, "virtio device is no network card but {kind:?}"),
            Self::ResetTimeout => f.write_str("device does not finish its reset"),
            Self::Legacy => f.write_str("legacy device: it does not offer VIRTIO_F_VERSION_1"),
            Self::NoMac => f.write_str("device has no MAC address: no VIRTIO_NET_F_MAC"),
            Self::InvalidMac(mac) => write!(f, "device has the invalid MAC address {mac:02x?}"),
            Self::Config(error) => write!(f, "device configuration is unreadable: {error}"),
            Self::FeaturesRefused(features) => {
                write!(f, "device refuses the features {features:#x} that it has offered")
            }
            Self::NoQueue(queue) => write!(f, "device has no {} queue", Direction(*queue)),
            Self::QueueTooSmall { queue, size_max, size } => {
                let direction = Direction(*queue);
                write!(f, "{direction} queue has {size_max} descriptors, {size} are needed")
            }
            Self::QueueRefused(queue) => {
                write!(f, "device does not enable its {} queue", Direction(*queue))
            }
            Self::NoMemory => f.write_str("no memory for the device's rings and buffers"),
        }
    }
}

impl core::error::Error for OpenError {}

/// Names a queue by its index.
pub(crate) struct Direction(pub(crate) u16);

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            crate::receive::QUEUE => "receive",
            crate::control::QUEUE => "control",
            _ => "transmit",
        })
    }
}
