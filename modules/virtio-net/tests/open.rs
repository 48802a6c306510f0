//! Opening and closing.

mod device;

use device::{
    F_CSUM, F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_TSO6, F_HOST_TSO4, F_HOST_TSO6, F_MAC, F_MRG_RXBUF,
    F_MTU, F_OFFLOADS, F_STATUS, F_VERSION_1, MAC, Traits, memory, open, open_error,
};
use netdev::{Device, DeviceInfo, Offloads};
use virtio_drivers::Error;
use virtio_drivers::transport::{DeviceStatus, DeviceType};
use virtio_net::OpenError;

fn features() -> u64 {
    Traits::default().features
}

#[test]
fn a_device_is_opened_with_the_features_that_are_understood() {
    let (net, device) = open(Traits::default());
    assert_eq!(net.info(), DeviceInfo { mac: MAC, mtu: 1500, offloads: Offloads::default() });
    assert_eq!(device.driver_features(), F_VERSION_1 | F_MAC | F_STATUS);
    assert!(device.status().contains(DeviceStatus::FEATURES_OK | DeviceStatus::DRIVER_OK));
}

#[test]
fn the_mtu_is_the_devices_if_it_can_be_kept() {
    for (mtu, expected) in
        [(1280, 1280), (68, 68), (2022, 2022), (2023, 1500), (67, 1500), (9000, 1500)]
    {
        let (net, device) = open(Traits { features: features() | F_MTU, mtu, ..Traits::default() });
        assert_eq!(net.info().mtu, expected);
        assert_eq!(device.driver_features() & F_MTU != 0, usize::from(mtu) == expected);
    }
}

#[test]
fn the_link_is_down_if_the_device_says_so() {
    let (mut net, device) = open(Traits::default());
    net.mask_interrupts();
    assert!(net.link_up());
    for is_up in [false, true] {
        device.set_link(is_up);
        assert_eq!(net.link_up(), !is_up, "nobody has looked");
        net.mask_interrupts();
        assert_eq!(net.link_up(), is_up);
    }

    let (mut net, device) = open(Traits { features: features() & !F_STATUS, ..Traits::default() });
    device.set_link(false);
    net.mask_interrupts();
    assert!(net.link_up(), "a device that cannot tell");
}

#[test]
fn unusable_devices_are_refused() {
    let default = Traits::default;
    let group = [3, 0, 0, 0, 0, 1];
    let wanted = F_VERSION_1 | F_MAC | F_STATUS;
    let small = OpenError::QueueTooSmall { queue: 1, size_max: 63, size: 64 };
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
        (Traits { queue_sizes: [256, 63], ..default() }, small),
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
    let (mut net, device) = open(Traits { queue_sizes: [100, 64], ..Traits::default() });
    let mut frames = 0;
    while device.deliver(&device::frame(frames)) {
        frames += 1;
    }
    assert_eq!(frames, 64, "the power of two below 100");
    assert_eq!(device::receive_all(&mut net).len(), 64);
}

#[test]
fn a_ring_is_as_large_as_the_devices() {
    let (_net, device) = open(Traits { queue_sizes: [4096, 1024], ..Traits::default() });
    let taken = std::iter::from_fn(|| device.take(device::RX)).count();
    assert_eq!(taken, 1024, "more would take too much memory");
}

/// What needs a feature that is not offered is not taken (5.1.3.1).
#[test]
fn offloads_are_taken_with_what_they_need() {
    let without = |missing: u64| F_OFFLOADS & !missing;
    let (to_guest, to_host) = (F_GUEST_TSO4 | F_GUEST_TSO6, F_HOST_TSO4 | F_HOST_TSO6);
    let cases = [
        (F_OFFLOADS, F_OFFLOADS),
        (without(F_GUEST_CSUM), without(F_GUEST_CSUM | to_guest)),
        (without(F_MRG_RXBUF), without(F_MRG_RXBUF | to_guest)),
        (without(F_CSUM), without(F_CSUM | to_host)),
        (without(F_HOST_TSO6), without(F_HOST_TSO6)),
        (to_guest | to_host, 0),
    ];
    for (offered, expected) in cases {
        let traits = Traits { features: features() | offered, ..Traits::default() };
        let (net, device) = open(traits);
        assert_eq!(device.driver_features() & F_OFFLOADS, expected, "of {offered:#x}");
        let has = |feature| expected & feature != 0;
        let offloads = Offloads {
            checksum: has(F_CSUM),
            segmentation_v4: has(F_HOST_TSO4),
            segmentation_v6: has(F_HOST_TSO6),
        };
        assert_eq!(net.info().offloads, offloads);
    }
}

#[test]
fn frames_of_several_buffers_allow_a_larger_mtu() {
    let features = features() | F_MTU | F_MRG_RXBUF;
    let (net, _device) = open(Traits { features, mtu: 9000, ..Traits::default() });
    assert_eq!(net.info().mtu, 9000);
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
    // The buffers and the areas of each queue.
    assert_eq!(count, 4);
}

#[test]
#[cfg_attr(miri, ignore = "millions of reads, and a leak on purpose")]
fn a_device_that_does_not_reset_keeps_its_memory() {
    let (net, device) = open(Traits::default());
    device.set_reset_reads(usize::MAX);
    drop(net);
    assert_eq!(memory::live(), 4);
}

/// `FakeHal` panics when memory is freed that a device has not given up by a reset.
#[test]
fn memory_is_freed_after_the_reset() {
    let (net, device) = open(Traits { reset_reads: 3, ..Traits::default() });
    assert_eq!(memory::live(), 4);
    assert!(device.status().contains(DeviceStatus::DRIVER_OK));
    drop(net);
    assert_eq!(memory::live(), 0);
    assert_eq!(device.status(), DeviceStatus::empty());
}
