//! Finding and opening the network card.

use core::fmt;

use qemu_x86_64::{NIC_CONFIG_VECTOR, NIC_VECTOR, cpu, pci};
use virtio_net::pci::{Interrupts, MsiMessage, MsixTransport};
use virtio_net::{OpenError, VirtioNet};

use crate::dma::ArceOsHal;
use crate::irq;

/// The network card as the stack drives it.
pub(crate) type Nic = VirtioNet<ArceOsHal, MsixTransport>;

/// Where local APICs take messages (Intel SDM vol. 3, 11.11.1); the destination is in bits 12 up.
const MSI_ADDRESS: u64 = 0xfee0_0000;
const MSI_DESTINATION_SHIFT: u32 = 12;

/// Why the network card cannot be used.
#[derive(Debug)]
pub(crate) enum NicError {
    /// It was not found, or is of the wrong kind.
    Discovery(pci::NicError),
    /// Its interrupt vector is taken: it was opened before.
    VectorTaken(u8),
    /// The driver does not get along with it.
    Driver(OpenError),
}

impl fmt::Display for NicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovery(error) => error.fmt(f),
            Self::VectorTaken(vector) => {
                write!(f, "interrupt vector {vector:#x} of the network card is taken")
            }
            Self::Driver(error) => write!(f, "network card: {error}"),
        }
    }
}

impl core::error::Error for NicError {}

/// Finds the first virtio network card and opens it. It interrupts the calling CPU.
///
/// # Errors
/// See [`NicError`]; its text says how to start QEMU with a card that works.
pub(crate) fn open() -> Result<Nic, NicError> {
    let address = MSI_ADDRESS | u64::from(cpu::apic_id()) << MSI_DESTINATION_SHIFT;
    let message = |vector: u8| MsiMessage { address, data: vector.into() };
    let interrupts = Interrupts {
        queues: message(NIC_VECTOR),
        config: message(NIC_CONFIG_VECTOR),
        has_changed: &irq::HAS_CONFIG_CHANGED,
    };
    let card = pci::find_nic::<ArceOsHal>(interrupts).map_err(NicError::Discovery)?;
    if !irq::register(NIC_VECTOR) {
        return Err(NicError::VectorTaken(NIC_VECTOR));
    }
    if !irq::register_config(NIC_CONFIG_VECTOR) {
        return Err(NicError::VectorTaken(NIC_CONFIG_VECTOR));
    }
    log::info!("network card at PCI {}", card.function);
    VirtioNet::new(card.transport).map_err(NicError::Driver)
}
