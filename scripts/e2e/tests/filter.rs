//! Which frames reach the guest: those for its station, for everybody and for its groups.

use std::time::Duration;

use e2e::{
    Boot, Guest, eventually, needs_tap,
    wire::{GUEST_MAC, Wire, ethernet},
};

/// IEEE 802 local experimental EtherType: the guest drops such frames, and counts them.
const ETHERTYPE: u16 = 0x88b5;
/// With those for others, less than the tap's queue of 500.
const FRAMES: u64 = 50;

const EVERYBODY: [u8; 6] = [0xff; 6];
/// IPv4's group of all hosts, and IPv6's of all nodes.
const ALL_HOSTS: [u8; 6] = [1, 0, 0x5e, 0, 0, 1];
const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
/// The group in which neighbours ask for the guest's link-local address (RFC 4291 section 2.7.1).
const SOLICITED_NODE: [u8; 6] = [0x33, 0x33, 0xff, 0x12, 0x34, 0x56];

/// Groups that nobody in the guest has joined: mDNS by IPv4 and IPv6, all routers, another host's
/// solicited-node group.
const OTHER_GROUPS: [[u8; 6]; 4] = [
    [1, 0, 0x5e, 0, 0, 0xfb],
    [0x33, 0x33, 0, 0, 0, 0xfb],
    [0x33, 0x33, 0, 0, 0, 2],
    [0x33, 0x33, 0xff, 0x12, 0x34, 0x57],
];
const STRANGER: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x57];

fn send(wire: &Wire, to: [u8; 6]) {
    let frame = ethernet(to, wire.mac, ETHERTYPE, &[0; 46]);
    assert!((0..FRAMES).all(|_| wire.send(&frame)), "frames fit the tap's queue");
}

fn arrived(guest: &Guest) -> u64 {
    guest.stat("dropped_unknown_ethertype")
}

#[test]
fn frames_for_others_do_not_reach_the_guest() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("httpd").serve();
    let wire = Wire::open().expect("root in the namespace may open raw sockets");
    let ours = [GUEST_MAC, EVERYBODY, ALL_HOSTS, ALL_NODES, SOLICITED_NODE];
    let mut expected = arrived(&guest);
    for to in ours {
        OTHER_GROUPS.iter().for_each(|group| send(&wire, *group));
        send(&wire, STRANGER);
        // Frames keep their order: what was sent before these has come when they have.
        send(&wire, to);
        expected += FRAMES;
        eventually(Duration::from_secs(10), || arrived(&guest), |count| *count >= expected);
        assert_eq!(arrived(&guest), expected, "{to:02x?}");
    }
}
