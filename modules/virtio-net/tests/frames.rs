//! Frames both ways through devices that keep the rules.

mod device;

use device::{BUFFER_LEN, HEADER_LEN, Net, PLAIN, RING, RX, TX, Traits, frame, open, receive_all};
use netdev::{Device, Receiver, Transmitter};

/// More than a 16-bit index counts.
const FRAMES: usize = if cfg!(miri) { 600 } else { 70_000 };

#[test]
fn frames_arrive_whole_and_in_order() {
    let (mut net, device) = open(Traits::default());
    let (mut delivered, mut received) = (0, 0);
    while received < FRAMES {
        for _ in 0..1 + delivered % 300 {
            if !device.deliver(&frame(delivered)) {
                break;
            }
            delivered += 1;
        }
        for got in receive_all(&mut net) {
            assert_eq!(got, frame(received));
            received += 1;
        }
        assert_eq!(received, delivered);
    }
    assert_eq!(net.split().0.frames_dropped(), 0);
}

#[test]
fn frames_leave_whole_and_in_order() {
    let (mut net, device) = open(Traits::default());
    let (_, tx) = net.split();
    let (mut queued, mut sent) = (0, 0);
    while sent < FRAMES {
        for _ in 0..1 + queued % 300 {
            if !tx.is_ready() {
                break;
            }
            let content = frame(queued);
            let len = tx.transmit(content.len(), PLAIN, |buffer| {
                buffer.copy_from_slice(&content);
                buffer.len()
            });
            assert_eq!(len, content.len());
            queued += 1;
        }
        tx.flush();
        while let Some(content) = device.send() {
            assert_eq!(content, frame(sent));
            sent += 1;
        }
        assert_eq!(sent, queued);
    }
}

#[test]
fn an_answer_is_written_while_its_question_is_read() {
    let (mut net, device) = open(Traits::default());
    assert!(device.deliver(&frame(5)));
    let (rx, tx) = net.split();
    rx.receive(|question, _| {
        question[0] ^= 1;
        tx.transmit(question.len(), PLAIN, |answer| answer.copy_from_slice(question));
    });
    let mut expected = frame(5);
    expected[0] ^= 1;
    assert_eq!(device.send(), Some(expected));
}

#[test]
fn a_full_ring_is_not_ready_until_the_device_has_sent() {
    let (mut net, device) = open(Traits::default());
    let (_, tx) = net.split();
    let mut seeds = 0..;
    fill(tx, &mut seeds);
    assert_eq!(seeds.start, RING);
    // Returned out of order, as a device may do.
    let taken: Vec<_> = (0..3).map(|_| device.take_frame().unwrap().0).collect();
    assert!(!tx.is_ready());
    for buffer in taken.iter().rev() {
        device.put_used(TX, buffer.id.into(), 0);
    }
    fill(tx, &mut seeds);
    assert_eq!(seeds.start, RING + 3);
    for seed in 3..RING + 3 {
        assert_eq!(device.send(), Some(frame(seed)));
    }
    assert!(tx.is_ready());
}

fn fill(tx: &mut impl Transmitter, seeds: &mut std::ops::RangeFrom<usize>) {
    while tx.is_ready() {
        let content = frame(seeds.next().unwrap());
        tx.transmit(content.len(), PLAIN, |buffer| buffer.copy_from_slice(&content));
    }
}

#[test]
#[should_panic(expected = "transmit on a full ring")]
fn transmitting_on_a_full_ring_is_an_error_of_the_caller() {
    let (mut net, _device) = open(Traits::default());
    for _ in 0..=RING {
        net.split().1.transmit(60, PLAIN, |_| ());
    }
}

#[test]
#[should_panic(expected = "exceeds the MTU")]
fn transmitting_more_than_the_mtu_is_an_error_of_the_caller() {
    let (mut net, _device) = open(Traits::default());
    net.split().1.transmit(1515, PLAIN, |_| ());
}

#[test]
fn the_longest_frames_fit() {
    let mtu = BUFFER_LEN as usize - HEADER_LEN - 14;
    let features = Traits::default().features | device::F_MTU;
    let (mut net, device) = open(Traits { features, mtu: mtu as u16, ..Traits::default() });
    assert_eq!(net.info().mtu, mtu);
    let longest = vec![7; mtu + 14];
    assert!(device.deliver(&longest));
    assert_eq!(receive_all(&mut net), std::slice::from_ref(&longest));
    net.split().1.transmit(longest.len(), PLAIN, |buffer| buffer.fill(7));
    assert_eq!(device.send(), Some(longest));
}

/// A device that sees new buffers only when it is told must not run dry once all frames are read.
#[test]
fn a_lazy_device_gets_its_buffers_back() {
    let (mut net, device) = open(Traits { is_lazy: true, ..Traits::default() });
    let mut seed = 0;
    for round in 1..=FRAMES / RING {
        let mut batch = 0;
        while device.deliver(&frame(seed + batch)) {
            batch += 1;
        }
        assert_eq!(batch, RING, "in round {round}");
        for got in receive_all(&mut net) {
            assert_eq!(got, frame(seed));
            seed += 1;
        }
        // The one at the start, and then one per quarter of the ring.
        assert_eq!(device.kicks(RX), 1 + 4 * round);
    }
}

#[test]
fn a_lazy_device_sees_frames_after_a_flush() {
    let (mut net, device) = open(Traits { is_lazy: true, ..Traits::default() });
    for seed in 0..3 {
        let content = frame(seed);
        net.split().1.transmit(content.len(), PLAIN, |buffer| buffer.copy_from_slice(&content));
    }
    assert_eq!(device.send(), None);
    net.split().1.flush();
    net.split().1.flush();
    assert_eq!(device.kicks(TX), 1);
    for seed in 0..3 {
        assert_eq!(device.send(), Some(frame(seed)));
    }
}

#[test]
fn a_device_that_polls_is_not_notified() {
    let (mut net, device) = open(Traits::default());
    device.suppress_kicks(RX, true);
    device.suppress_kicks(TX, true);
    let before = (device.kicks(RX), device.kicks(TX));
    for seed in 0..RING {
        assert!(device.deliver(&frame(seed)));
    }
    assert_eq!(receive_all(&mut net).len(), RING);
    net.split().1.transmit(60, PLAIN, |_| ());
    net.split().1.flush();
    assert_eq!((device.kicks(RX), device.kicks(TX)), before);
    device.suppress_kicks(TX, false);
    net.split().1.transmit(60, PLAIN, |_| ());
    net.split().1.flush();
    assert_eq!(device.kicks(TX), before.1 + 1);
}

#[test]
fn interrupts_follow_the_mask() {
    let (mut net, device) = open(Traits::default());
    assert!(!device.may_interrupt(RX));
    assert!(net.unmask_interrupts());
    assert!(device.may_interrupt(RX));
    net.mask_interrupts();
    assert!(!device.may_interrupt(RX));
    assert!(device.deliver(&frame(0)));
    assert!(!net.unmask_interrupts(), "a frame is waiting");
    assert!(!device.may_interrupt(RX));
    assert_eq!(receive_all(&mut net).len(), 1);
    assert!(net.unmask_interrupts());
    assert!(!device.may_interrupt(TX));
}

#[test]
fn buffers_are_announced_before_a_sleep() {
    let (mut net, device) = open(Traits { is_lazy: true, ..Traits::default() });
    assert!(device.deliver(&frame(0)));
    net.split().0.receive(|_, _| ()).unwrap();
    assert_eq!(device.kicks(RX), 1);
    assert!(net.unmask_interrupts());
    assert_eq!(device.kicks(RX), 2);
}

#[test]
fn the_device_can_move_to_another_thread() {
    fn assert_send<V: Send>() {}
    assert_send::<Net>();
    assert_send::<virtio_net::pci::MsixTransport>();
}
