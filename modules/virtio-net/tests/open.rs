//! Opening and closing.

mod device;

use device::{F_MAC, F_MTU, F_STATUS, F_VERSION_1, MAC, Traits, memory, open, open_error};
use netdev::{Device, DeviceInfo};
use virtio_drivers::Error;
use virtio_drivers::transport::{DeviceStatus, DeviceType};
use virtio_net::{OpenError, VirtioNet};

fn features() -> u64 {
    Traits::default().features
}

#[test]
fn a_device_is_opened_with_the_features_that_are_understood() {
    let (net, device) = open(Traits::default());
    assert_eq!(net.info(), DeviceInfo { mac: MAC, mtu: 1500 });
    assert_eq!(device.driver_features(), F_VERSION_1 | F_MAC | F_STATUS);
    assert!(device.status().contains(DeviceStatus::FEATURES_OK | DeviceStatus::DRIVER_OK));
}

#[test]
fn the_mtu_is_the_devices_if_it_can_be_kept() {
    for (mtu, expected) in [(1280, 1280), (68, 68), (2022, 2022), (67, 1500), (9000, 1500)] {
        let (net, device) = open(Traits { features: features() | F_MTU, mtu, ..Traits::default() });
        assert_eq!(net.info().mtu, expected);
        assert_eq!(device.driver_features() & F_MTU != 0, usize::from(mtu) == expected);
    }
}

#[test]
fn the_link_is_down_if_the_device_says_so() {
    let (net, device) = open(Traits::default());
    assert!(net.link_up());
    device.set_link(false);
    assert!(!net.link_up());

    let (net, device) = open(Traits { features: features() & !F_STATUS, ..Traits::default() });
    device.set_link(false);
    assert!(net.link_up(), "a device that cannot tell");
}

#[test]
fn unusable_devices_are_refused() {
    let default = Traits::default;
    let group = [3, 0, 0, 0, 0, 1];
    let wanted = F_VERSION_1 | F_MAC | F_STATUS;
    let small = OpenError::QueueTooSmall { queue: 1, size_max: 128, size: 256 };
    let cases = [
        (
            Traits { device_type: DeviceType::Block, ..default() },
            OpenError::NotNetwork(DeviceType::Block),
        ),
        (Traits { features: features() & !F_VERSION_1, ..default() }, OpenError::Legacy),
        (Traits { features: features() & !F_MAC, ..default() }, OpenError::NoMac),
        (Traits { mac: group, ..default() }, OpenError::InvalidMac(group)),
        (Traits { mac: [0; 6], ..default() }, OpenError::InvalidMac([0; 6])),
        (Traits { config_len: 5, ..default() }, OpenError::Config(Error::ConfigSpaceTooSmall)),
        (Traits { refuses_features: true, ..default() }, OpenError::FeaturesRefused(wanted)),
        (Traits { queue_sizes: [0, 256], ..default() }, OpenError::NoQueue(0)),
        (Traits { queue_sizes: [256, 0], ..default() }, OpenError::NoQueue(1)),
        (Traits { queue_sizes: [256, 128], ..default() }, small),
        (Traits { refuses_queue: Some(0), ..default() }, OpenError::QueueRefused(0)),
        (Traits { refuses_queue: Some(1), ..default() }, OpenError::QueueRefused(1)),
    ];
    for (traits, expected) in cases {
        let (error, device) = open_error(traits);
        assert_eq!(error, expected);
        assert!(device.status().contains(DeviceStatus::FAILED), "{error}");
        assert!(!device.status().contains(DeviceStatus::DRIVER_OK), "{error}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "a million reads")]
fn a_device_that_does_not_reset_is_refused() {
    let (error, _) = open_error(Traits { reset_reads: usize::MAX, ..Traits::default() });
    assert_eq!(error, OpenError::ResetTimeout);
}

#[test]
fn errors_name_what_is_wrong() {
    let small = OpenError::QueueTooSmall { queue: 1, size_max: 128, size: 256 };
    assert_eq!(small.to_string(), "transmit queue has 128 descriptors, 256 are needed");
    assert_eq!(OpenError::NoQueue(0).to_string(), "device has no receive queue");
}

#[test]
fn a_smaller_ring_suits_a_smaller_device() {
    let (_device, transport) = device::device(Traits { queue_sizes: [64; 2], ..Traits::default() });
    assert!(VirtioNet::<memory::FakeHal, _, 64>::new(transport).is_ok());
}

#[test]
fn without_memory_nothing_is_leaked() {
    let mut count = 0;
    loop {
        memory::set_allocations_left(count);
        let (_device, transport) = device::device(Traits::default());
        match device::Net::new(transport) {
            Ok(_) => break,
            Err(error) => assert_eq!(error, OpenError::NoMemory),
        }
        assert_eq!(memory::live(), 0);
        count += 1;
    }
    // Two pools, and two regions for each ring.
    assert_eq!(count, 6);
}

#[test]
#[cfg_attr(miri, ignore = "millions of reads, and a leak on purpose")]
fn a_device_that_does_not_reset_keeps_its_memory() {
    let (net, device) = open(Traits::default());
    device.set_reset_reads(usize::MAX);
    drop(net);
    assert_eq!(memory::live(), 6);
}

/// `FakeHal` panics when memory is freed that a device has not given up by a reset.
#[test]
fn memory_is_freed_after_the_reset() {
    let (net, device) = open(Traits { reset_reads: 3, ..Traits::default() });
    assert_eq!(memory::live(), 6);
    assert!(device.status().contains(DeviceStatus::DRIVER_OK));
    drop(net);
    assert_eq!(memory::live(), 0);
    assert_eq!(device.status(), DeviceStatus::empty());
}
