//! Devices that break the rules of the rings. Nothing may panic or reach foreign memory; what can
//! be detected takes the link down.

mod device;

use device::{BUFFER_LEN, HEADER_LEN, PLAIN, RING, RX, TX, Traits, frame, open, receive_all};
use netdev::{Device, Receiver, Transmitter};

#[test]
fn frames_of_impossible_length_are_dropped() {
    let (mut net, device) = open(Traits::default());
    let header = HEADER_LEN as u32;
    let lengths = [0, 1, header, header + 13, BUFFER_LEN + 1, 0x1_0040, u32::MAX];
    for written in lengths {
        assert!(device.deliver_as(&frame(1), written));
    }
    assert!(device.deliver(&frame(2)));
    assert_eq!(receive_all(&mut net), [frame(2)]);
    assert_eq!(net.split().0.frames_dropped(), lengths.len() as u64);
    assert!(net.link_up());
    // The buffers are back with the device.
    for _ in 0..RING {
        assert!(device.deliver(&frame(3)));
    }
}

#[test]
fn any_possible_length_stays_within_the_buffer() {
    let (mut net, device) = open(Traits::default());
    for written in [HEADER_LEN as u32 + 14, BUFFER_LEN] {
        assert!(device.deliver_as(&frame(1), written));
        assert_eq!(receive_all(&mut net)[0].len(), written as usize - HEADER_LEN);
    }
}

#[test]
fn received_buffers_that_do_not_exist_end_reception() {
    for id in [256, 0xffff, 0x1_ffff, u32::MAX] {
        let (mut net, device) = open(Traits::default());
        assert!(device.deliver(&frame(0)));
        device.put_used(RX, id, 100);
        assert!(device.deliver(&frame(1)));
        assert!(net.link_up());
        assert_eq!(receive_all(&mut net), [frame(0)]);
        assert!(!net.link_up(), "id {id:#x}");
        assert!(net.unmask_interrupts(), "nothing will come");
        assert!(!device.may_interrupt(RX));
        assert!(net.split().1.is_ready());
    }
}

#[test]
fn an_id_has_32_bits() {
    let (mut net, device) = open(Traits::default());
    device.put_used(RX, 0x1_0000, 60);
    assert_eq!(receive_all(&mut net).len(), 0);
    assert!(!net.link_up());
}

/// Between two polls, a repeated id cannot be told from a buffer that was used twice.
#[test]
fn a_buffer_received_twice_is_read_twice() {
    let (mut net, device) = open(Traits::default());
    assert!(device.deliver(&frame(4)));
    device.put_used(RX, 0, (HEADER_LEN + frame(4).len()) as u32);
    assert_eq!(receive_all(&mut net), [frame(4), frame(4)]);
}

#[test]
fn a_jump_of_the_receive_index_beyond_the_ring_ends_reception() {
    for jump in [RING as u16, 1000, 0xfffe] {
        let (mut net, device) = open(Traits::default());
        assert!(device.deliver(&frame(0)));
        device.jump_used(RX, jump);
        assert_eq!(receive_all(&mut net), [[0; 0]; 0], "jump by {jump}");
        assert!(!net.link_up());
        assert!(net.unmask_interrupts());
    }
}

#[test]
fn a_call_drops_at_most_a_ring_full() {
    let (mut net, device) = open(Traits::default());
    while device.deliver_as(&frame(1), 0) {}
    assert_eq!(net.split().0.receive(|_, _| ()), None);
    assert_eq!(net.split().0.frames_dropped(), RING as u64);
    assert!(net.link_up());
}

#[test]
fn sent_buffers_that_the_device_does_not_have_end_transmission() {
    type Misbehave = fn(&device::Handle);
    let cases: [(&str, Misbehave); 5] = [
        ("out of range", |device| device.put_used(TX, 256, 0)),
        ("far out of range", |device| device.put_used(TX, u32::MAX, 0)),
        ("repeated", |device| {
            let id = device.take_frame().unwrap().0.id;
            device.put_used(TX, id.into(), 0);
            device.put_used(TX, id.into(), 0);
        }),
        ("index too far", |device| device.jump_used(TX, 1000)),
        ("index back", |device| device.jump_used(TX, 0xffff)),
    ];
    for (name, misbehave) in cases {
        let (mut net, device) = open(Traits::default());
        fill(&mut net);
        assert!(net.link_up());
        misbehave(&device);
        // The frames go nowhere, but the stack is not held up.
        for _ in 0..3 * RING {
            assert!(net.split().1.is_ready(), "{name}");
            net.split().1.transmit(60, PLAIN, |buffer| buffer.fill(1));
        }
        net.split().1.flush();
        assert!(!net.link_up(), "{name}");
        assert!(device.deliver(&frame(0)));
        assert_eq!(receive_all(&mut net), [frame(0)], "{name}");
    }
}

fn fill(net: &mut device::Net) {
    for _ in 0..RING {
        net.split().1.transmit(60, PLAIN, |_| ());
    }
}

/// Random used entries and index jumps, in any order with honest traffic.
#[test]
fn noise_in_the_used_rings_is_survived() {
    for seed in 0..if cfg!(miri) { 3_u32 } else { 300 } {
        let (mut net, device) = open(Traits::default());
        let mut random = seed;
        for _ in 0..100 {
            // Numerical Recipes' generator; its upper bits are good.
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (queue, bits) = ((random >> 31) as u16, random >> 8);
            match (random >> 28) & 0b111 {
                0 => device.put_used(queue, bits % 300, bits % 3000),
                1 if seed % 4 == 0 => device.jump_used(queue, bits as u16),
                2..=4 => drop(device.deliver(&frame(bits as usize))),
                _ => drop(device.send()),
            }
            net.split().0.receive(|frame, _| frame.fill(1));
            if net.split().1.is_ready() {
                net.split().1.transmit(60, PLAIN, |frame| frame.fill(2));
            }
            net.split().1.flush();
            net.unmask_interrupts();
            net.mask_interrupts();
        }
    }
}
