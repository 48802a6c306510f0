//! The control queue: what the device lets through, and devices that do not obey.

mod device;

use device::{
    CONTROL, F_CTRL_RX, F_CTRL_VQ, Handle, MAC, Net, PLAIN, RX, Traits,
    filter::{BROADCAST, Filter, OK, open_with_control},
    frame, open, open_error, receive_all,
};
use netdev::{Device, Receiver, Transmitter};
use virtio_net::OpenError;

const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const OTHER: [u8; 6] = [0x33, 0x33, 0, 0, 0, 0xfb];
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// The first bytes of commands.
const PROMISC: [u8; 2] = [0, 0];
const ALLMULTI: [u8; 2] = [0, 1];
const TABLE: [u8; 2] = [1, 0];

fn groups(count: u8) -> Vec<[u8; 6]> {
    (0..count).map(|last| [1, 0, 0x5e, 0, 0, last]).collect()
}

/// Lets driver and device go on until neither has anything to say. Returns the commands.
fn settle(net: &mut Net, device: &Handle, refused: &[[u8; 2]]) -> Vec<Vec<u8>> {
    let refuses = |command: &[u8]| refused.iter().any(|one| command.starts_with(one));
    let mut commands = Vec::new();
    while let Some(command) = device.obey(refuses) {
        assert!(device.take_command().is_none(), "one at a time");
        commands.push(command);
        net.unmask_interrupts();
    }
    receive_all(net);
    net.mask_interrupts();
    assert!(net.unmask_interrupts() && !device.may_interrupt(CONTROL), "nothing is owed");
    commands
}

/// Sets a filter that the device accepts, but for commands that begin with some of `refused`.
fn filtered(groups: &[[u8; 6]], refused: &[[u8; 2]]) -> (Net, Handle) {
    let (mut net, device) = open_with_control();
    net.set_multicast_filter(groups);
    settle(&mut net, &device, refused);
    (net, device)
}

#[test]
fn frames_to_others_are_kept_away() {
    let (mut net, device) = filtered(&[ALL_NODES], &[]);
    for (to, passes) in
        [(MAC, true), (BROADCAST, true), (ALL_NODES, true), (OTHER, false), (STRANGER, false)]
    {
        assert_eq!(device.deliver_to(to), passes, "{to:02x?}");
        let received = receive_all(&mut net);
        assert_eq!(received.iter().any(|frame| frame.starts_with(&to)), passes);
    }
}

/// Its owner is busy, or looks for work: it uses the device and does not sleep.
#[test]
fn the_filter_is_set_without_a_sleep() {
    let (mut net, device) = open_with_control();
    net.set_multicast_filter(&[ALL_NODES]);
    while device.obey(|_| false).is_some() {
        assert!(receive_all(&mut net).is_empty());
    }
    assert!(device.deliver_to(ALL_NODES) && !device.deliver_to(OTHER));
    assert!(!device.deliver_to(STRANGER));
}

#[test]
fn everything_comes_until_somebody_says_what_is_wanted() {
    let (mut net, device) = open_with_control();
    assert!(net.unmask_interrupts());
    assert_eq!((device.kicks(CONTROL), device.filter()), (0, Filter::default()));
    assert!(device.deliver_to(STRANGER) && device.deliver_to(OTHER));
}

#[test]
fn groups_come_and_go() {
    let (mut net, device) = filtered(&[ALL_NODES], &[]);
    for groups in [&[ALL_NODES, OTHER][..], &[OTHER], &[]] {
        net.set_multicast_filter(groups);
        let commands = settle(&mut net, &device, &[]);
        assert_eq!(commands.len(), 1, "{commands:?}");
        let expected = Filter { promiscuous: false, all_multicast: false, groups: groups.to_vec() };
        assert_eq!(device.filter(), expected);
        net.set_multicast_filter(groups);
        assert_eq!(settle(&mut net, &device, &[]), [[0; 0]; 0], "there is nothing new");
    }
}

/// What is wanted and comes goes on to come, after each of the commands.
#[test]
fn nothing_is_lost_on_the_way_to_a_filter() {
    let (mut net, device) = open_with_control();
    for wanted in [vec![ALL_NODES], groups(65), groups(64)] {
        let passes = |net: &mut Net, group: &[u8; 6]| {
            let passes = device.deliver_to(*group);
            receive_all(net);
            passes
        };
        let (kept, new): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|group| passes(&mut net, group));
        net.set_multicast_filter(&wanted);
        while device.obey(|_| false).is_some() {
            net.unmask_interrupts();
            assert!(kept.iter().all(|group| passes(&mut net, group)));
        }
        assert!(new.iter().all(|group| passes(&mut net, group)));
        assert!(!device.deliver_to(STRANGER));
    }
}

#[test]
fn more_groups_than_fit_are_all_groups() {
    let (mut net, device) = filtered(&groups(64), &[]);
    assert!(!device.filter().all_multicast && !device.deliver_to(OTHER));
    net.set_multicast_filter(&groups(65));
    settle(&mut net, &device, &[]);
    assert!(device.filter().all_multicast && device.deliver_to(OTHER));
    assert!(!device.deliver_to(STRANGER));
    net.set_multicast_filter(&groups(1));
    settle(&mut net, &device, &[]);
    assert_eq!(device.filter().groups, groups(1));
    assert!(!device.filter().all_multicast && !device.deliver_to(OTHER));
}

#[test]
fn a_device_that_refuses_a_table_lets_all_groups_through() {
    let (mut net, device) = filtered(&[ALL_NODES], &[TABLE]);
    let expected = Filter { promiscuous: false, all_multicast: true, groups: vec![] };
    assert_eq!(device.filter(), expected);
    // It is not asked again.
    net.set_multicast_filter(&[OTHER]);
    assert_eq!(settle(&mut net, &device, &[]), [[0; 0]; 0]);
}

#[test]
fn a_device_that_refuses_all_groups_lets_everything_through() {
    let (mut net, device) = filtered(&[ALL_NODES], &[]);
    net.set_multicast_filter(&groups(65));
    settle(&mut net, &device, &[ALLMULTI]);
    assert!(device.filter().promiscuous);
    // Until they fit again.
    net.set_multicast_filter(&[OTHER]);
    settle(&mut net, &device, &[]);
    assert_eq!(device.filter().groups, [OTHER]);
    assert!(!device.filter().promiscuous);
}

#[test]
fn a_device_that_refuses_everything_is_left_alone() {
    let (mut net, device) = open_with_control();
    net.set_multicast_filter(&[ALL_NODES]);
    let commands = settle(&mut net, &device, &[TABLE, ALLMULTI, PROMISC]);
    let begin: Vec<_> = commands.iter().map(|command| &command[..2]).collect();
    assert_eq!(begin, [TABLE, ALLMULTI, PROMISC]);
    assert!(device.deliver_to(OTHER) && device.deliver_to(STRANGER));
}

#[test]
fn answers_may_take_their_time() {
    let (mut net, device) = open_with_control();
    net.set_multicast_filter(&[ALL_NODES]);
    let (_, answer) = device.take_command().unwrap();
    assert!(net.unmask_interrupts());
    assert!(device.may_interrupt(CONTROL) && device.may_interrupt(RX));
    net.mask_interrupts();
    assert!(!device.may_interrupt(CONTROL));
    // What is wanted meanwhile is what counts.
    net.set_multicast_filter(&[OTHER]);
    assert!(device.take_command().is_none());
    device.answer(answer, OK);
    net.unmask_interrupts();
    settle(&mut net, &device, &[]);
    assert_eq!(device.filter().groups, [OTHER]);
}

/// A device that answers between two looks does so without an interrupt.
#[test]
fn an_answer_keeps_from_sleeping() {
    let (mut net, device) = open_with_control();
    net.set_multicast_filter(&[ALL_NODES]);
    for _ in 0..3 {
        assert!(net.unmask_interrupts());
        net.mask_interrupts();
        device.obey(|_| false).unwrap();
    }
    // The last answer is taken, and there is nothing more to say.
    assert!(net.unmask_interrupts());
    assert!(device.take_command().is_none());
}

#[test]
fn nonsense_ends_the_control_queue_alone() {
    type Misbehave = fn(&Handle);
    let cases: [(&str, Misbehave); 3] = [
        ("out of range", |device| device.put_used(CONTROL, 300, 1)),
        ("the answer's descriptor", |device| device.put_used(CONTROL, 1, 1)),
        ("index too far", |device| device.jump_used(CONTROL, 1000)),
    ];
    for (name, misbehave) in cases {
        let (mut net, device) = open_with_control();
        net.set_multicast_filter(&[ALL_NODES]);
        misbehave(&device);
        while !net.unmask_interrupts() {}
        let kicks = device.kicks(CONTROL);
        net.set_multicast_filter(&[OTHER]);
        assert!(net.unmask_interrupts() && device.kicks(CONTROL) == kicks, "{name}");
        assert!(net.link_up() && device.deliver(&frame(1)));
        assert_eq!(receive_all(&mut net), [frame(1)]);
        net.split().1.transmit(60, PLAIN, |_| ());
        net.split().1.flush();
        assert!(device.send().is_some());
    }
}

#[test]
fn an_answer_that_was_not_written_is_none() {
    let (mut net, device) = open_with_control();
    net.set_multicast_filter(&[ALL_NODES]);
    let (command, answer) = device.take_command().unwrap();
    assert!(command.starts_with(&TABLE));
    device.put_used(CONTROL, answer.id.into(), 0);
    net.unmask_interrupts();
    settle(&mut net, &device, &[]);
    assert!(device.filter().all_multicast, "the table counts as refused");
}

#[test]
fn both_features_are_needed() {
    let plain = Traits::default().features;
    for control in [0, F_CTRL_VQ, F_CTRL_RX, F_CTRL_VQ | F_CTRL_RX] {
        let (mut net, device) = open(Traits { features: plain | control, ..Traits::default() });
        let expected = if control.count_ones() == 2 { control } else { 0 };
        assert_eq!(device.driver_features() & (F_CTRL_VQ | F_CTRL_RX), expected);
        net.set_multicast_filter(&[ALL_NODES]);
        assert_eq!(device.kicks(CONTROL), usize::from(expected != 0));
        assert!(device.deliver_to(OTHER));
        assert_eq!(net.split().0.receive(|frame, _| frame[5]), Some(OTHER[5]));
    }
}

#[test]
fn a_control_queue_that_was_promised_is_needed() {
    let features = Traits::default().features | F_CTRL_VQ | F_CTRL_RX;
    let traits = || Traits { features, ..Traits::default() };
    let small = OpenError::QueueTooSmall { queue: 2, size_max: 1, size: 2 };
    let cases = [
        (Traits { control_size: 0, ..traits() }, OpenError::NoQueue(2)),
        (Traits { control_size: 1, ..traits() }, small),
        (Traits { refuses_queue: Some(2), ..traits() }, OpenError::QueueRefused(2)),
    ];
    for (traits, expected) in cases {
        assert_eq!(open_error(traits).0, expected);
    }
    assert_eq!(small.to_string(), "control queue has 1 descriptors, 2 are needed");
    // Two descriptors are enough.
    let (mut net, device) = open(Traits { control_size: 2, ..traits() });
    net.set_multicast_filter(&groups(64));
    settle(&mut net, &device, &[]);
    assert!(!device.deliver_to(OTHER));
}
