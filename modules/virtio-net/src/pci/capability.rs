//! Capabilities of a PCI function, and the registers that they point to.

use core::cell::RefCell;
use core::ptr::NonNull;

use virtio_drivers::Hal;
use virtio_drivers::transport::pci::bus::{
    CapabilityInfo, Command, ConfigurationAccess, DeviceFunction, PCI_CAP_ID_VNDR, PciRoot,
};
use virtio_drivers::transport::pci::{
    PciTransport, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG,
};

use super::error::{MsixError, Structure};
use super::{CONFIG_VECTOR, Interrupts, MsiMessage, VECTOR};

const CONFIG_LEN: usize = 256;
/// Four-byte capabilities that fit behind the header of configuration space. The list is the
/// device's, and may be a circle.
const CAPABILITIES_MAX: usize = (CONFIG_LEN - 64) / 4;
const BARS: u8 = 6;

/// Lengths of `struct virtio_pci_cap` and `virtio_pci_notify_cap` (4.1.4).
const VIRTIO_CAP_LEN: u8 = 16;
const NOTIFY_CAP_LEN: u8 = 20;

const CAP_ID_MSIX: u8 = 0x11;
const MSIX_CAP_LEN: u8 = 12;
/// The number of entries, less one.
const MSIX_TABLE_SIZE_MASK: u16 = 0x7ff;
const MSIX_FUNCTION_MASK: u16 = 1 << 14;
const MSIX_ENABLE: u16 = 1 << 15;
const MSIX_ENTRY_LEN: usize = 16;
/// Which BAR; the rest of the register is the offset.
const MSIX_BAR_MASK: u32 = 0b111;

/// `virtio_pci_common_cfg` up to `queue_device`, which every device of Virtio 1.0 has.
const COMMON_LEN_MIN: usize = 56;

/// Lends a configuration access to `PciRoot`, which wants one of its own.
struct Lent<'a, C>(&'a RefCell<&'a mut C>);

impl<C: ConfigurationAccess> ConfigurationAccess for Lent<'_, C> {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        self.0.borrow().read_word(function, register)
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, value: u32) {
        self.0.borrow_mut().write_word(function, register, value);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self(self.0)
    }
}

/// One function of a PCI device.
pub(super) struct Function<'a, C: ConfigurationAccess> {
    access: &'a RefCell<&'a mut C>,
    root: PciRoot<Lent<'a, C>>,
    function: DeviceFunction,
}

impl<'a, C: ConfigurationAccess> Function<'a, C> {
    pub(super) fn new(access: &'a RefCell<&'a mut C>, function: DeviceFunction) -> Self {
        Self { access, root: PciRoot::new(Lent(access)), function }
    }

    /// Whether the function answers in memory and port space.
    pub(super) fn set_decoding(&mut self, is_on: bool) {
        let spaces = Command::MEMORY_SPACE | Command::IO_SPACE;
        let (_, command) = self.root.get_status_command(self.function);
        let command = if is_on { command | spaces } else { command - spaces };
        self.root.set_command(self.function, command);
    }

    pub(super) fn transport<H: Hal>(&mut self) -> Result<PciTransport, MsixError> {
        PciTransport::new::<H, _>(&mut self.root, self.function).map_err(MsixError::Transport)
    }

    pub(super) fn common_config<H: Hal>(&mut self) -> Result<Region, MsixError> {
        let structure = Structure::CommonConfig;
        let capability = self.virtio(VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_CAP_LEN);
        let capability = capability.ok_or(MsixError::Missing(structure))?;
        let place = self.virtio_place(&capability);
        if place.len < COMMON_LEN_MIN {
            return Err(MsixError::OutOfRange(structure));
        }
        self.map::<H>(structure, place)
    }

    pub(super) fn notify<H: Hal>(&mut self) -> Result<Notify, MsixError> {
        let structure = Structure::Notify;
        let capability = self.virtio(VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_CAP_LEN);
        let capability = capability.ok_or(MsixError::Missing(structure))?;
        let place = self.virtio_place(&capability);
        let multiplier = self.read(capability.offset + 16);
        Ok(Notify { region: self.map::<H>(structure, place)?, multiplier })
    }

    pub(super) fn msix<H: Hal>(&mut self) -> Result<Msix, MsixError> {
        let structure = Structure::MsixTable;
        let capability = self.find(MSIX_CAP_LEN, |capability| capability.id == CAP_ID_MSIX);
        let capability = capability.ok_or(MsixError::Missing(structure))?;
        let location = self.read(capability.offset + 4);
        let entries = usize::from(capability.private_header & MSIX_TABLE_SIZE_MASK) + 1;
        let entries = entries.min(usize::from(CONFIG_VECTOR) + 1);
        let place = Place {
            bar: (location & MSIX_BAR_MASK) as u8,
            offset: location & !MSIX_BAR_MASK,
            len: entries * MSIX_ENTRY_LEN,
        };
        Ok(Msix { capability, table: self.map::<H>(structure, place)?, entries })
    }

    /// The first capability of its type that is complete, which is the one to use (4.1.4.1).
    fn virtio(&self, cfg_type: u8, len_min: u8) -> Option<CapabilityInfo> {
        self.find(len_min, |capability| {
            let [len, kind] = capability.private_header.to_le_bytes();
            capability.id == PCI_CAP_ID_VNDR && kind == cfg_type && len >= len_min
        })
    }

    fn find(&self, len: u8, wanted: impl Fn(&CapabilityInfo) -> bool) -> Option<CapabilityInfo> {
        let fits =
            |found: &CapabilityInfo| usize::from(found.offset) + usize::from(len) <= CONFIG_LEN;
        let mut all = self.root.capabilities(self.function).take(CAPABILITIES_MAX);
        all.find(|found| fits(found) && wanted(found))
    }

    /// `bar`, `offset` and `length` of `struct virtio_pci_cap`.
    fn virtio_place(&self, capability: &CapabilityInfo) -> Place {
        Place {
            bar: self.read(capability.offset + 4) as u8,
            offset: self.read(capability.offset + 8),
            len: self.read(capability.offset + 12) as usize,
        }
    }

    fn map<H: Hal>(&mut self, structure: Structure, place: Place) -> Result<Region, MsixError> {
        let Place { bar, offset, len } = place;
        let no_memory = MsixError::NoMemoryBar { structure, bar };
        if bar >= BARS {
            return Err(no_memory);
        }
        let info = self.root.bar_info(self.function, bar).map_err(MsixError::Bar)?;
        let memory = info.and_then(|info| info.memory_address_size());
        let (address, size) = memory.filter(|&(address, _)| address != 0).ok_or(no_memory)?;
        if u64::from(offset) + len as u64 > size || !offset.is_multiple_of(4) {
            return Err(MsixError::OutOfRange(structure));
        }
        // SAFETY: the range lies within a memory BAR of this device, says the PCI bus.
        let base = unsafe { H::mmio_phys_to_virt(address + u64::from(offset), len) };
        Ok(Region { base, len })
    }

    fn read(&self, register: u8) -> u32 {
        self.access.borrow().read_word(self.function, register)
    }

    fn write(&mut self, register: u8, value: u32) {
        self.access.borrow_mut().write_word(self.function, register, value);
    }
}

/// Where registers are, according to the device.
struct Place {
    bar: u8,
    offset: u32,
    len: usize,
}

/// Registers mapped for good, from a multiple of four bytes on.
///
/// `PciTransport` may have the same ones. Both sides use volatile accesses only, and in turns,
/// because both belong to one `MsixTransport`.
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<u8>,
    len: usize,
}

impl Region {
    pub(super) fn read_u16(&self, offset: usize) -> u16 {
        // SAFETY: `register` gives a mapped, aligned register; reading those of this crate has no
        // side effect.
        unsafe { self.register::<u16>(offset).read_volatile() }
    }

    pub(super) fn write_u16(&mut self, offset: usize, value: u16) {
        // SAFETY: `register` gives a mapped, aligned register. None of those that this crate
        // writes makes the device access memory.
        unsafe { self.register::<u16>(offset).write_volatile(value) }
    }

    fn write_u32(&mut self, offset: usize, value: u32) {
        // SAFETY: as in `write_u16`.
        unsafe { self.register::<u32>(offset).write_volatile(value) }
    }

    fn register<V>(&self, offset: usize) -> NonNull<V> {
        assert!(offset + size_of::<V>() <= self.len, "a register beyond its region");
        // SAFETY: the offset is within the mapping (just checked).
        let register = unsafe { self.base.add(offset) }.cast::<V>();
        assert!(register.is_aligned(), "a misaligned register");
        register
    }
}

/// The doorbells (4.1.4.4).
#[derive(Debug)]
pub(super) struct Notify {
    region: Region,
    multiplier: u32,
}

impl Notify {
    /// The doorbell of a queue by its `queue_notify_off`, which the device chooses.
    pub(super) fn doorbell(&self, queue_notify_off: u16) -> Option<NonNull<u16>> {
        let offset = usize::from(queue_notify_off).checked_mul(self.multiplier as usize)?;
        let is_within = offset.checked_add(size_of::<u16>())? <= self.region.len;
        (is_within && offset.is_multiple_of(2)).then(|| self.region.register(offset))
    }
}

/// The MSI-X capability and the part of its table that is in use.
pub(super) struct Msix {
    capability: CapabilityInfo,
    table: Region,
    entries: usize,
}

impl Msix {
    /// Masks the function while the table is written, because a message can be sent half-written
    /// otherwise. Returns whether there is an entry for changes of the configuration.
    pub(super) fn enable(
        mut self,
        function: &mut Function<'_, impl ConfigurationAccess>,
        interrupts: &Interrupts,
    ) -> bool {
        let control = self.capability.private_header | MSIX_ENABLE;
        self.set_control(function, control | MSIX_FUNCTION_MASK);
        self.set_entry(VECTOR, interrupts.queues);
        let has_config_entry = self.entries > usize::from(CONFIG_VECTOR);
        if has_config_entry {
            self.set_entry(CONFIG_VECTOR, interrupts.config);
        }
        self.set_control(function, control & !MSIX_FUNCTION_MASK);
        has_config_entry
    }

    fn set_entry(&mut self, vector: u16, message: MsiMessage) {
        let entry = usize::from(vector) * MSIX_ENTRY_LEN;
        self.table.write_u32(entry, message.address as u32);
        self.table.write_u32(entry + 4, (message.address >> 32) as u32);
        self.table.write_u32(entry + 8, message.data);
        // Bit 0 masks this entry.
        self.table.write_u32(entry + 12, 0);
    }

    fn set_control(&self, function: &mut Function<'_, impl ConfigurationAccess>, control: u16) {
        // The lower half, id and next, is read-only.
        function.write(self.capability.offset, u32::from(control) << 16);
    }
}
