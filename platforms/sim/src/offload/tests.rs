//! What is cut is what is joined, and what is not well-formed is not taken.

use std::panic::catch_unwind;

use super::*;

const MSS: u16 = 1000;
const MTU: usize = 1500;
const SEQ: u32 = u32::MAX - 1500;
/// As Linux sends them, with padding: RFC 7323 section 3.2, appendix A.
const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index / 7) as u8).collect()
}

/// A frame whose checksums are right.
fn frame(is_ipv4: bool, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    let addresses = if is_ipv4 { 8 } else { 32 };
    match is_ipv4 {
        true => frame.extend([8, 0, 0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]),
        false => frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, protocol, 64]),
    }
    frame.extend((0..addresses).map(|index| 10 + index));
    frame.extend(transport);
    let start = frame.len() - transport.len();
    let layout = Layout { is_ipv4, protocol, start };
    layout.set_len(&mut frame, 0);
    if let TCP | UDP = protocol {
        let pseudo_header = fold(layout.pseudo_header_sum(&frame));
        write(&mut frame, layout.field(), pseudo_header);
        complete(&mut frame, layout.checksum());
    }
    frame
}

fn segment(is_ipv4: bool, seq: u32, flags: u8, text: &[u8]) -> Vec<u8> {
    let mut segment = vec![0, 80, 0, 9];
    segment.extend(seq.to_be_bytes());
    segment.extend([0, 0, 0, 5, 8 << 4, flags, 2, 0, 0, 0, 0, 0]);
    segment.extend(TIMESTAMPS);
    segment.extend(text);
    frame(is_ipv4, TCP, &segment)
}

fn datagram(is_ipv4: bool, text: &[u8]) -> Vec<u8> {
    let header = [0, 9, 0, 7, 0, 8 + text.len() as u8, 0, 0];
    frame(is_ipv4, UDP, &[&header, text].concat())
}

/// The same with the checksum left to the card.
fn partial(mut frame: Vec<u8>) -> (Vec<u8>, TxOffload) {
    let layout = Layout::of(&frame).unwrap();
    let pseudo_header = fold(layout.pseudo_header_sum(&frame));
    write(&mut frame, layout.field(), pseudo_header);
    (frame, TxOffload { checksum: Some(layout.checksum()), segmentation: None })
}

/// A frame of so many bytes to be cut.
fn long(is_ipv4: bool, len: usize) -> (Vec<u8>, TxOffload) {
    let (frame, offload) = partial(segment(is_ipv4, SEQ, ACK | PSH | FIN, &text(len)));
    let header_len = (frame.len() - len) as u16;
    let cut = Segmentation { payload_len: MSS, header_len, is_ipv4 };
    (frame, TxOffload { segmentation: Some(cut), ..offload })
}

fn joined(frames: &[Vec<u8>]) -> Vec<(Vec<u8>, bool)> {
    let mut waiting: VecDeque<_> = frames.to_vec().into();
    let mut joined = Vec::new();
    while let Some((frame, offload)) = take_joined(&mut waiting) {
        joined.push((frame, offload.is_verified));
    }
    joined
}

#[test]
fn a_long_frame_becomes_segments() {
    for is_ipv4 in [true, false] {
        let (frame, offload) = long(is_ipv4, 3500);
        check(&frame, &offload, MTU);
        let segments = transmitted(frame, &offload);
        assert_eq!(segments.len(), 4);
        for (index, sent) in segments.iter().enumerate() {
            let seq = SEQ.wrapping_add(1000 * index as u32);
            let flags = if index == 3 { ACK | PSH | FIN } else { ACK };
            let text = &text(3500)[1000 * index..3500.min(1000 * (index + 1))];
            let mut wanted = segment(is_ipv4, seq, flags, text);
            if is_ipv4 {
                Layout::of(&wanted).unwrap().set_len(&mut wanted, index as u16);
            }
            assert_eq!(*sent, wanted, "segment {index}");
        }
    }
}

#[test]
fn what_is_cut_is_joined_again() {
    for is_ipv4 in [true, false] {
        let (mut frame, offload) = long(is_ipv4, 3500);
        let frames = joined(&transmitted(frame.clone(), &offload));
        let layout = Layout::of(&frame).unwrap();
        layout.spoil_checksum(&mut frame);
        assert_eq!(frames, [(frame.clone(), true)]);
        assert!(!is_verified(&frame), "its checksum is rubbish");
    }
}

#[test]
fn only_what_goes_on_is_joined() {
    let first = segment(true, 0, ACK, &text(1000));
    let next = |flags, text: &[u8]| segment(true, 1000, flags, text);
    let count = |first: &Vec<u8>, next: Vec<u8>| joined(&[first.clone(), next]).len();
    assert_eq!(count(&first, next(ACK, &text(1000))), 1);
    assert_eq!(count(&first, next(ACK | PSH, &text(1))), 1);
    assert_eq!(count(&first, next(ACK, &[])), 2, "nothing to join");
    assert_eq!(count(&first, next(ACK, &text(1001))), 2, "longer than the first");
    assert_eq!(count(&first, next(ACK | 0x04, &text(10))), 2, "a reset");
    assert_eq!(count(&first, segment(true, 1001, ACK, &text(1000))), 2, "a hole");
    assert_eq!(count(&first, segment(true, 0, ACK, &text(1000))), 2, "again");
    assert_eq!(count(&first, datagram(true, &[])), 2, "another protocol");
    assert_eq!(count(&segment(true, 0, ACK | PSH, &text(1000)), next(ACK, &text(9))), 2);
    for (at, what) in
        [(22, "hop limit"), (26, "address"), (35, "port"), (45, "ack"), (49, "window")]
    {
        let mut other = next(ACK, &text(1000));
        other[at] ^= 1;
        let transport = other[34..].to_vec();
        let repaired = frame(true, TCP, &transport);
        other[36 + 14..].copy_from_slice(&repaired[36 + 14..]);
        assert_eq!(count(&first, other), 2, "{what}");
    }
    let short = [&first, &next(ACK, &text(10)), &segment(true, 1010, ACK, &text(10))];
    let lens =
        joined(&short.map(Clone::clone)).iter().map(|(frame, _)| frame.len()).collect::<Vec<_>>();
    assert_eq!(lens, [66 + 1010, 66 + 10], "a short one is the last");
}

#[test]
fn damaged_frames_are_neither_verified_nor_joined() {
    for is_ipv4 in [true, false] {
        let mut segments = transmitted(long(is_ipv4, 3000).0, &long(is_ipv4, 3000).1);
        *segments[1].last_mut().unwrap() ^= 4;
        let verdicts: Vec<_> =
            joined(&segments).into_iter().map(|(_, verified)| verified).collect();
        assert_eq!(verdicts, [true, false, true]);
    }
}

#[test]
fn what_is_no_whole_segment_or_datagram_is_not_verified() {
    for is_ipv4 in [true, false] {
        assert!(is_verified(&datagram(is_ipv4, b"odd")));
        assert!(is_verified(&segment(is_ipv4, 1, ACK, b"odd")));
        assert!(!is_verified(&frame(is_ipv4, 1, &[8, 0, 0, 0, 0, 0, 0, 0])), "ICMP");
        let padded = [datagram(is_ipv4, b"odd"), vec![0; 9]].concat();
        assert!(!is_verified(&padded));
        let whole = segment(is_ipv4, 1, ACK, b"odd");
        assert!((0..whole.len()).all(|len| !is_verified(&whole[..len])));
    }
    let mut fragment = datagram(true, b"odd");
    fragment[20] |= 0x20;
    assert!(!is_verified(&fragment));
    let mut without = datagram(true, b"odd");
    write(&mut without, 40, 0);
    assert!(!is_verified(&without), "a datagram without a checksum");
}

#[test]
fn a_joined_frame_is_no_longer_than_a_packet() {
    let segments: Vec<_> =
        (0..70).map(|index| segment(true, index * 1000, ACK, &text(1000))).collect();
    let lens: Vec<_> = joined(&segments).iter().map(|(frame, _)| frame.len()).collect();
    assert_eq!(lens, [66 + 65_000, 66 + 5000]);
}

/// RFC 768: zero says that there is none.
#[test]
fn a_datagram_is_never_without_a_checksum() {
    // The first is what makes the sum of the second 0xffff.
    let (plain, _) = partial(datagram(true, &[0, 0]));
    let value = !fold(sum(&plain[34..]));
    let (frame, offload) = partial(datagram(true, &value.to_be_bytes()));
    let sent = transmitted(frame, &offload);
    assert_eq!(read(&sent[0], 40), 0xffff);
    assert!(is_verified(&sent[0]));
}

/// Whether a request is taken after something has been done to it.
fn is_taken(change: impl FnOnce(&mut Vec<u8>, &mut TxOffload)) -> bool {
    let (mut frame, mut offload) = long(true, 3500);
    change(&mut frame, &mut offload);
    catch_unwind(|| check(&frame, &offload, MTU)).is_ok()
}

/// The same for its numbers.
fn is_cut_taken(change: impl FnOnce(&mut PartialChecksum, &mut Segmentation)) -> bool {
    is_taken(|_, offload| {
        let TxOffload { checksum: Some(checksum), segmentation: Some(cut) } = offload else {
            unreachable!("it has both");
        };
        change(checksum, cut);
    })
}

#[test]
fn requests_that_are_not_well_formed_are_not_taken() {
    assert!(is_taken(|_, _| {}));
    assert!(!is_taken(|_, offload| offload.checksum = None));
    assert!(!is_taken(|_, offload| *offload = TxOffload::default()), "a checksum left undone");
    assert!(!is_taken(|frame, _| frame[50] ^= 1), "not the pseudo-header's sum");
    assert!(!is_taken(|frame, _| frame[16] ^= 1), "another length");
    assert!(!is_taken(|frame, _| frame[47] |= 0x02), "a SYN");
    assert!(!is_taken(|frame, _| frame[47] &= !ACK), "no acknowledgement");
    assert!(!is_taken(|frame, _| frame[46] -= 0x10), "a shorter header");
    assert!(!is_cut_taken(|checksum, _| checksum.start += 1));
    assert!(!is_cut_taken(|checksum, _| checksum.offset -= 10));
    assert!(!is_cut_taken(|_, cut| cut.header_len -= 4));
    assert!(!is_cut_taken(|_, cut| cut.is_ipv4 = false));
    assert!(!is_cut_taken(|_, cut| cut.payload_len = 0));
    assert!(!is_cut_taken(|_, cut| cut.payload_len = 3500), "nothing to cut");
    assert!(is_cut_taken(|_, cut| cut.payload_len = 1500 - 52));
    assert!(!is_cut_taken(|_, cut| cut.payload_len = 1500 - 51), "exceeds the MTU");
}

#[test]
fn what_leaves_nothing_to_the_card_must_be_whole() {
    let taken = |frame: &[u8]| catch_unwind(|| check(frame, &TxOffload::default(), MTU)).is_ok();
    for mut whole in [datagram(true, b"odd"), segment(false, 1, ACK, b"odd")] {
        assert!(taken(&whole));
        *whole.last_mut().unwrap() ^= 1;
        assert!(!taken(&whole));
    }
    assert!(taken(&[2; 42]), "what is not IP is nobody's business");
}
