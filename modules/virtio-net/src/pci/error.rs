use core::fmt;

use virtio_drivers::transport::pci::VirtioPciError;
use virtio_drivers::transport::pci::bus::PciError;

/// Registers of a device that a capability of its configuration space points to.
///
/// ```
/// assert_eq!(virtio_net::pci::Structure::MsixTable.to_string(), "MSI-X");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// The virtio common configuration (4.1.4.3).
    CommonConfig,
    /// The virtio doorbells (4.1.4.4).
    Notify,
    /// The MSI-X table.
    MsixTable,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommonConfig => "virtio common configuration",
            Self::Notify => "virtio notification",
            Self::MsixTable => "MSI-X",
        })
    }
}

/// Why a PCI device cannot be driven with MSI-X.
///
/// ```
/// use virtio_net::pci::{MsixError, Structure};
///
/// let error = MsixError::Missing(Structure::MsixTable);
/// assert_eq!(error.to_string(), "device has no MSI-X capability");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MsixError {
    /// It has no capability for these registers.
    Missing(Structure),
    /// It has these registers in something else than a memory BAR with an address.
    NoMemoryBar {
        /// The registers.
        structure: Structure,
        /// The index of the BAR.
        bar: u8,
    },
    /// It has these registers beyond the end of their BAR, misaligned, or too few of them.
    OutOfRange(Structure),
    /// It has a BAR of an unknown type.
    Bar(PciError),
    /// It is not a virtio device as the specification says.
    Transport(VirtioPciError),
}

impl fmt::Display for MsixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(structure) => write!(f, "device has no {structure} capability"),
            Self::NoMemoryBar { structure, bar } => {
                write!(f, "{structure} registers are in BAR {bar}, which has no memory")
            }
            Self::OutOfRange(structure) => {
                write!(f, "{structure} registers are misaligned, or do not fit their BAR")
            }
            Self::Bar(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for MsixError {}
