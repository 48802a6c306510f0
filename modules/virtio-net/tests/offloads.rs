//! What is left to the device: checksums, and long frames of TCP both ways.

mod device;

use device::{
    BUFFER_LEN, HEADER_LEN, Net, PLAIN, RING, RX, TX, Traits, frame, open, open_with_offloads,
    receive_all, received_header,
};
use netdev::{
    Device, FRAME_LEN_MAX, PartialChecksum, Receiver, Segmentation, Transmitter, TxOffload,
};

const BUFFERS_OF_LONGEST: usize = (HEADER_LEN + FRAME_LEN_MAX).div_ceil(BUFFER_LEN as usize);
const CHECKSUM: PartialChecksum = PartialChecksum { start: 34, offset: 16 };

fn cut(is_ipv4: bool) -> TxOffload {
    let segmentation = Segmentation { payload_len: 1460, header_len: 54, is_ipv4 };
    TxOffload { checksum: Some(CHECKSUM), segmentation: Some(segmentation) }
}

/// A frame of a length whose content follows from `seed`.
fn long_frame(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (seed * 31 + i * 7 + i / 251) as u8).collect()
}

#[test]
fn headers_say_what_is_left_to_the_device() {
    let (mut net, device) = open_with_offloads();
    let checksum = TxOffload { checksum: Some(CHECKSUM), segmentation: None };
    let cases = [
        (PLAIN, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (checksum, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]),
        (cut(true), [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]),
        (cut(false), [1, 4, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]),
        // Nothing is left of the frame before in the same memory.
        (PLAIN, [0; 12]),
    ];
    for (offload, expected) in cases {
        net.split().1.transmit(60, offload, |frame| frame.fill(3));
        let (buffer, header, sent) = device.take_with_header().unwrap();
        assert_eq!((&header[..], &sent[..]), (&expected[..], &[3; 60][..]));
        device.put_used(TX, buffer.id.into(), 0);
    }
}

#[test]
fn frames_of_any_length_leave_whole_and_in_order() {
    let (mut net, device) = open_with_offloads();
    let (_, tx) = net.split();
    let lens = [60, 1514, 20_000, FRAME_LEN_MAX, 64_000, 5_000];
    let (mut queued, mut sent) = (0, 0);
    for round in 0..if cfg!(miri) { 1 } else { 60 } {
        loop {
            let len = lens[(queued * 7 + round) % lens.len()];
            if !tx.is_ready() || tx.segmented_len_max() < len {
                break;
            }
            tx.transmit(len, cut(true), |bytes| bytes.copy_from_slice(&long_frame(queued, len)));
            queued += 1;
        }
        // Some stay with the device, so that memory is never all free.
        while sent + round % 3 < queued {
            let (buffer, _, content) = device.take_with_header().unwrap();
            assert_eq!(content, long_frame(sent, content.len()), "frame {sent}");
            device.put_used(TX, buffer.id.into(), 0);
            sent += 1;
        }
        assert!(tx.is_ready());
    }
    assert!(queued > 15);
}

#[test]
fn long_frames_need_room() {
    let (mut net, device) = open_with_offloads();
    let (_, tx) = net.split();
    tx.transmit(1514, cut(false), |_| ());
    for _ in 0..2 {
        assert_eq!(tx.segmented_len_max(), FRAME_LEN_MAX);
        tx.transmit(FRAME_LEN_MAX, cut(false), |_| ());
    }
    let left = tx.segmented_len_max();
    assert!((1514..FRAME_LEN_MAX).contains(&left), "{left}");
    tx.transmit(left, cut(false), |_| ());
    assert!(!tx.is_ready());
    // The second one's memory is not free as long as the device has the first.
    let taken: Vec<_> = (0..2).map(|_| device.take_with_header().unwrap().0).collect();
    device.put_used(TX, taken[1].id.into(), 0);
    assert!(!tx.is_ready());
    device.put_used(TX, taken[0].id.into(), 0);
    assert!(tx.is_ready());
    assert_eq!(tx.segmented_len_max(), FRAME_LEN_MAX);
}

#[test]
fn without_segmentation_frames_are_as_long_as_the_mtu() {
    let (mut net, _device) = open(Traits::default());
    assert_eq!(net.split().1.segmented_len_max(), 1514);
}

#[test]
#[should_panic(expected = "the device does not do that")]
fn asking_for_what_was_not_negotiated_is_an_error_of_the_caller() {
    let (mut net, _device) = open(Traits::default());
    let checksum = TxOffload { checksum: Some(CHECKSUM), segmentation: None };
    net.split().1.transmit(60, checksum, |_| ());
}

#[test]
#[should_panic(expected = "exceeds")]
fn only_what_is_cut_may_exceed_the_mtu() {
    let (mut net, _device) = open_with_offloads();
    net.split().1.transmit(1515, PLAIN, |_| ());
}

#[test]
fn room_interrupts_only_who_waits_for_it() {
    let (mut net, device) = open_with_offloads();
    assert!(net.unmask_interrupts());
    assert!(!device.may_interrupt(TX));
    net.mask_interrupts();
    while net.split().1.is_ready() {
        net.split().1.transmit(60, PLAIN, |_| ());
    }
    assert!(net.unmask_interrupts());
    assert!(device.may_interrupt(TX));
    assert!(!device.may_interrupt(RX), "a frame may need an answer, for which there is no room");
    net.mask_interrupts();
    assert!(!device.may_interrupt(TX));
    device.send().unwrap();
    assert!(!net.unmask_interrupts(), "there is room");
    assert!(net.split().1.is_ready());
    assert!(net.unmask_interrupts());
    assert!(!device.may_interrupt(TX) && device.may_interrupt(RX));
}

/// Otherwise the last frame's return would be seen by nobody, and interrupt nobody.
#[test]
fn room_that_comes_between_the_question_and_the_sleep_ends_the_sleep() {
    let (mut net, device) = open_with_offloads();
    while net.split().1.is_ready() {
        net.split().1.transmit(60, PLAIN, |_| ());
    }
    net.split().1.flush();
    while device.send().is_some() {}
    net.split().1.flush();
    assert!(!net.unmask_interrupts(), "there is room");
}

#[test]
fn a_frame_that_waits_does_not_keep_awake_who_has_no_room_to_answer_it() {
    let (mut net, device) = open_with_offloads();
    while net.split().1.is_ready() {
        net.split().1.transmit(60, PLAIN, |_| ());
    }
    assert!(device.deliver(&frame(1)));
    assert!(net.unmask_interrupts(), "there is nothing to be done");
    device.send().unwrap();
    assert!(!net.unmask_interrupts() && net.split().1.is_ready());
    assert!(!net.unmask_interrupts(), "the frame is waiting");
    assert_eq!(receive_all(&mut net), [frame(1)]);
    assert!(net.unmask_interrupts());
}

/// Its transmitter is ready then, for ever.
#[test]
fn a_device_that_breaks_while_somebody_waits_for_room_wakes_him() {
    let (mut net, device) = open_with_offloads();
    while net.split().1.is_ready() {
        net.split().1.transmit(60, PLAIN, |_| ());
    }
    assert!(net.unmask_interrupts());
    net.mask_interrupts();
    device.jump_used(TX, 1000);
    assert!(!net.unmask_interrupts());
    assert!(net.split().1.is_ready() && net.unmask_interrupts());
}

#[test]
fn a_verified_checksum_is_passed_on() {
    let (mut net, device) = open_with_offloads();
    for flags in 0..4_u8 {
        let buffer = device.take(RX).unwrap();
        let mut header = received_header(1);
        header[0] = flags;
        buffer.write(&header);
        device.put_used(RX, buffer.id.into(), 100);
        let verified = net.split().0.receive(|_, offload| offload.is_verified);
        assert_eq!(verified, Some(flags != 0), "flags {flags}");
    }
}

#[test]
fn frames_of_several_buffers_arrive_whole_and_in_order() {
    let (mut net, device) = open_with_offloads();
    let lens = [60, 2036, 2037, 20_000, FRAME_LEN_MAX, 1514];
    for seed in 0..if cfg!(miri) { 30 } else { 600 } {
        let content = long_frame(seed, lens[seed * 5 % lens.len()]);
        device.deliver_merged(&content);
        assert_eq!(receive_all(&mut net), [content], "frame {seed}");
    }
    assert_eq!(net.split().0.frames_dropped(), 0);
}

/// A device may use buffers in any order, and need not fill them.
#[test]
fn buffers_in_any_order_are_put_together() {
    let (mut net, device) = open_with_offloads();
    let content = long_frame(1, 10_000);
    let taken: Vec<_> = (0..3).map(|_| device.take(RX).unwrap()).collect();
    let [first, second, third] = [taken[2], taken[0], taken[1]];
    first.write(&received_header(3));
    first.at(HEADER_LEN).write(&content[..1000]);
    second.write(&content[1000..2500]);
    third.at(0).write(&content[2500..4548]);
    for (buffer, len) in [(first, HEADER_LEN + 1000), (second, 1500), (third, 2048)] {
        device.put_used(RX, buffer.id.into(), len as u32);
    }
    assert_eq!(receive_all(&mut net), [&content[..4548]]);
    // The order in which they go back is another one from now on.
    for seed in 0..2 * RING / BUFFERS_OF_LONGEST {
        let content = long_frame(seed, FRAME_LEN_MAX);
        device.deliver_merged(&content);
        assert_eq!(receive_all(&mut net), [content]);
    }
}

#[test]
fn a_frame_waits_for_all_of_its_buffers() {
    let (mut net, device) = open_with_offloads();
    let (first, second) = (device.take(RX).unwrap(), device.take(RX).unwrap());
    first.write(&received_header(2));
    device.put_used(RX, first.id.into(), BUFFER_LEN);
    assert_eq!(receive_all(&mut net).len(), 0);
    assert!(net.unmask_interrupts(), "nothing to be read yet");
    device.put_used(RX, second.id.into(), 20);
    assert!(!net.unmask_interrupts());
    assert_eq!(receive_all(&mut net)[0].len(), 2048 - 12 + 20);
    net.split().1.transmit(60, PLAIN, |_| ());
}

#[test]
fn impossible_frames_of_several_buffers_are_dropped() {
    let deliver = |parts: &[u32]| {
        let (net, device) = open_with_offloads();
        for (index, written) in parts.iter().enumerate() {
            let buffer = device.take(RX).unwrap();
            if index == 0 {
                buffer.write(&received_header(parts.len() as u16));
            }
            device.put_used(RX, buffer.id.into(), *written);
        }
        assert!(device.deliver(&frame(5)));
        (net, device)
    };
    let too_long = [BUFFER_LEN; BUFFERS_OF_LONGEST];
    let cases: [&[u32]; 4] = [&[11, 2000], &[2048, 2049], &[2048, u32::MAX], &too_long];
    for parts in cases {
        let (mut net, _device): (Net, _) = deliver(parts);
        assert_eq!(receive_all(&mut net), [frame(5)], "{parts:?}");
        assert_eq!(net.split().0.frames_dropped(), 1);
        assert!(net.link_up());
    }
}

#[test]
fn a_frame_of_more_buffers_than_there_are_ends_reception() {
    let (mut net, device) = open_with_offloads();
    let buffer = device.take(RX).unwrap();
    buffer.write(&received_header(RING as u16 + 1));
    device.put_used(RX, buffer.id.into(), 100);
    assert_eq!(receive_all(&mut net).len(), 0);
    assert!(!net.link_up());
}

#[test]
fn a_frame_of_no_buffers_has_the_one_that_it_came_in() {
    let (mut net, device) = open_with_offloads();
    let buffer = device.take(RX).unwrap();
    buffer.write(&received_header(0));
    device.put_used(RX, buffer.id.into(), 100);
    assert_eq!(receive_all(&mut net)[0].len(), 88);
}
