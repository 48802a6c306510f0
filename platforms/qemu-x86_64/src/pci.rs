//! PCI: configuration space through ports, and the search for the network card.
//!
//! The ports work on every machine type; the memory-mapped window exists on q35 alone.
//!
//! Specification: PCI Local Bus 3.0, 3.2.2.3.2 (mechanism #1); Virtio 1.2, 4.1.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use spin::Mutex;
use virtio_drivers::Hal;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::{
    Command, ConfigurationAccess, DeviceFunctionInfo, HeaderType, PciRoot,
};
use virtio_drivers::transport::pci::virtio_device_type;
use virtio_net::pci::{Interrupts, MsixError, MsixTransport, Structure};
use x86_64::instructions::port::Port;

pub use virtio_drivers::transport::pci::bus::DeviceFunction;

const PORT_ADDRESS: u16 = 0xcf8;
const PORT_VALUE: u16 = 0xcfc;

const DEVICES_PER_BUS: u8 = 32;
const FUNCTIONS_PER_DEVICE: u8 = 8;

/// Words of the configuration space.
const REGISTER_IDS: u8 = 0x00;
const REGISTER_CLASS: u8 = 0x08;
const REGISTER_HEADER_TYPE: u8 = 0x0c;
const REGISTER_BUSES: u8 = 0x18;

const CLASS_NETWORK: u8 = 0x02;

/// Configuration mechanism #1.
#[derive(Debug)]
pub struct PortAccess(());

/// The two ports are one register pair; whoever holds this uses them.
static PORTS: Mutex<()> = Mutex::new(());

impl PortAccess {
    /// Selects a register and hands its value port to `access`.
    fn with_port<R>(
        function: DeviceFunction,
        register: u8,
        access: impl FnOnce(Port<u32>) -> R,
    ) -> R {
        const ENABLE: u32 = 1 << 31;
        let address = ENABLE
            | u32::from(function.bus) << 16
            | u32::from(function.device) << 11
            | u32::from(function.function) << 8
            | u32::from(register & !3);
        let _ports = PORTS.lock();
        // SAFETY: the write selects a register and does nothing else.
        unsafe { Port::new(PORT_ADDRESS).write(address) };
        access(Port::new(PORT_VALUE))
    }
}

impl ConfigurationAccess for PortAccess {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        // SAFETY: reading configuration space has no side effect.
        Self::with_port(function, register, |mut port| unsafe { port.read() })
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, value: u32) {
        // SAFETY: only `PciRoot` and the functions of this module write: they enable a function,
        // or size its BARs with decoding off, and so overlap no memory in use.
        Self::with_port(function, register, |mut port| unsafe { port.write(value) });
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self(())
    }
}

/// The root of all buses.
pub fn root() -> PciRoot<PortAccess> {
    PciRoot::new(PortAccess(()))
}

/// Every function on bus 0 and behind bridges, as the firmware has numbered the buses.
pub fn functions() -> Vec<(DeviceFunction, DeviceFunctionInfo)> {
    let mut found = Vec::new();
    let mut buses = vec![0];
    while let Some(bus) = buses.pop() {
        for device in 0..DEVICES_PER_BUS {
            for function in 0..functions_of(bus, device) {
                let function = DeviceFunction { bus, device, function };
                let Some(info) = identify(function) else { continue };
                if info.header_type == HeaderType::PciPciBridge {
                    // A bus behind has a higher number, so that this ends.
                    buses.extend(Some(secondary_bus(function)).filter(|&behind| behind > bus));
                }
                found.push((function, info));
            }
        }
    }
    found
}

/// How many functions to look for. Asking each device for all eight takes milliseconds.
fn functions_of(bus: u8, device: u8) -> u8 {
    const MULTIFUNCTION: u32 = 1 << 23;
    let first = DeviceFunction { bus, device, function: 0 };
    if identify(first).is_none() {
        0
    } else if PortAccess(()).read_word(first, REGISTER_HEADER_TYPE) & MULTIFUNCTION == 0 {
        1
    } else {
        FUNCTIONS_PER_DEVICE
    }
}

/// The identity of a function, or `None` if nothing answers.
fn identify(function: DeviceFunction) -> Option<DeviceFunctionInfo> {
    const ABSENT: u16 = 0xffff;
    let read = |register| PortAccess(()).read_word(function, register).to_le_bytes();
    let [vendor_low, vendor_high, device_low, device_high] = read(REGISTER_IDS);
    let vendor_id = u16::from_le_bytes([vendor_low, vendor_high]);
    if vendor_id == ABSENT {
        return None;
    }
    let [revision, prog_if, subclass, class] = read(REGISTER_CLASS);
    let [_, _, header_type, _] = read(REGISTER_HEADER_TYPE);
    Some(DeviceFunctionInfo {
        vendor_id,
        device_id: u16::from_le_bytes([device_low, device_high]),
        class,
        subclass,
        prog_if,
        revision,
        header_type: HeaderType::from(header_type & 0x7f),
    })
}

fn secondary_bus(bridge: DeviceFunction) -> u8 {
    PortAccess(()).read_word(bridge, REGISTER_BUSES).to_le_bytes()[1]
}

/// Lets the function answer in memory space and do DMA.
pub fn enable(root: &mut PciRoot<PortAccess>, function: DeviceFunction) {
    let (_, command) = root.get_status_command(function);
    root.set_command(function, command | Command::MEMORY_SPACE | Command::BUS_MASTER);
}

/// Stops the function from answering in memory and port space.
///
/// Worth doing before BARs are sized: otherwise each of the many writes changes QEMU's memory map,
/// and together they take milliseconds.
pub fn disable(root: &mut PciRoot<PortAccess>, function: DeviceFunction) {
    let (_, command) = root.get_status_command(function);
    root.set_command(function, command - (Command::MEMORY_SPACE | Command::IO_SPACE));
}

/// Keeps every network card from reaching memory, until it is [`enable`]d again: an earlier
/// driver's buffers can be freed then.
pub fn stop_network_cards() {
    let mut root = root();
    for (function, _) in functions().iter().filter(|(_, info)| info.class == CLASS_NETWORK) {
        let (_, command) = root.get_status_command(*function);
        root.set_command(*function, command - Command::BUS_MASTER);
    }
}

/// A virtio network card, ready for its driver.
#[derive(Debug)]
pub struct Nic {
    /// Where it is.
    pub function: DeviceFunction,
    /// Its registers, with MSI-X switched on.
    pub transport: MsixTransport,
}

/// Why there is no usable network card.
#[derive(Debug)]
pub enum NicError {
    /// No network card at all.
    Missing,
    /// Network cards, none of them virtio: vendor and device id of each.
    NotVirtio(Vec<(u16, u16)>),
    /// A virtio card without the registers of Virtio 1.0.
    Legacy(DeviceFunction),
    /// A virtio card without MSI-X.
    NoMsix(DeviceFunction),
    /// The card's registers are not as the specification says.
    Transport(DeviceFunction, MsixError),
}

impl fmt::Display for NicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "no network card found: start QEMU with -device virtio-net-pci,netdev=...",
            ),
            Self::NotVirtio(ids) => {
                f.write_str("no virtio network card found, only")?;
                for (vendor, device) in ids {
                    write!(f, " {vendor:04x}:{device:04x}")?;
                }
                f.write_str(": start QEMU with -device virtio-net-pci,netdev=...")
            }
            Self::Legacy(function) => {
                write!(f, "virtio network card at {function} is legacy-only: drop ")?;
                f.write_str("disable-modern=on from its -device option")
            }
            Self::NoMsix(function) => {
                write!(f, "virtio network card at {function} has no MSI-X: drop ")?;
                f.write_str("vectors=0 from its -device option")
            }
            Self::Transport(function, error) => {
                write!(f, "virtio network card at {function}: {error}")
            }
        }
    }
}

impl core::error::Error for NicError {}

/// Finds the first virtio network card and has it interrupt as told.
///
/// # Errors
/// Says which cards there are instead, or what the card lacks.
pub fn find_nic<H: Hal>(interrupts: Interrupts) -> Result<Nic, NicError> {
    let mut cards = functions();
    cards.retain(|(_, info)| info.class == CLASS_NETWORK);
    let is_virtio = |info: &_| virtio_device_type(info) == Some(DeviceType::Network);
    match cards.iter().find(|(_, info)| is_virtio(info)) {
        Some(&(function, _)) => open::<H>(function, interrupts),
        None if cards.is_empty() => Err(NicError::Missing),
        None => {
            let ids = cards.iter().map(|(_, info)| (info.vendor_id, info.device_id));
            Err(NicError::NotVirtio(ids.collect()))
        }
    }
}

fn open<H: Hal>(function: DeviceFunction, interrupts: Interrupts) -> Result<Nic, NicError> {
    enable(&mut root(), function);
    match MsixTransport::new::<H, _>(&mut PortAccess(()), function, interrupts) {
        Ok(transport) => Ok(Nic { function, transport }),
        Err(MsixError::Missing(Structure::CommonConfig)) => Err(NicError::Legacy(function)),
        Err(MsixError::Missing(Structure::MsixTable)) => Err(NicError::NoMsix(function)),
        Err(error) => Err(NicError::Transport(function, error)),
    }
}
