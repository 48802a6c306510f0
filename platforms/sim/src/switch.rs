//! Which ports a frame leaves a switch by.

use std::collections::BTreeMap;

use netdev::MacAddress;

/// How a switch forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// To where the destination was last heard; to everybody if it was not.
    Learning,
    /// To everybody, as a hub does.
    Flooding,
}

#[derive(Debug)]
pub(crate) struct Switch {
    forwarding: Forwarding,
    ports: usize,
    heard: BTreeMap<MacAddress, usize>,
}

impl Switch {
    pub(crate) fn new(forwarding: Forwarding) -> Self {
        Switch { forwarding, ports: 0, heard: BTreeMap::new() }
    }

    /// One more port; its number.
    pub(crate) fn add_port(&mut self) -> usize {
        self.ports += 1;
        self.ports - 1
    }

    /// The ports that a frame from port `from` leaves by, in order.
    pub(crate) fn forward(&mut self, from: usize, frame: &[u8]) -> Vec<usize> {
        let Some((destination, source)) = addresses(frame) else {
            return Vec::new();
        };
        self.heard.insert(source, from);
        let is_multicast = destination[0] & 1 == 1;
        match self.heard.get(&destination) {
            Some(&port) if self.forwarding == Forwarding::Learning && !is_multicast => {
                (port != from).then_some(port).into_iter().collect()
            }
            _ => (0..self.ports).filter(|&port| port != from).collect(),
        }
    }
}

/// Destination and source.
fn addresses(frame: &[u8]) -> Option<(MacAddress, MacAddress)> {
    let (destination, rest) = frame.split_first_chunk()?;
    Some((*destination, *rest.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: u8, from: u8) -> Vec<u8> {
        [[2, 0, 0, 0, 0, to], [2, 0, 0, 0, 0, from]].concat()
    }

    fn switch(forwarding: Forwarding) -> Switch {
        let mut switch = Switch::new(forwarding);
        assert_eq!([0, 1, 2].map(|_| switch.add_port()), [0, 1, 2]);
        switch
    }

    #[test]
    fn a_learning_switch_forwards_to_where_the_destination_was_heard() {
        let mut switch = switch(Forwarding::Learning);
        assert_eq!(switch.forward(0, &frame(11, 10)), [1, 2]);
        assert_eq!(switch.forward(1, &frame(10, 11)), [0]);
        assert_eq!(switch.forward(0, &frame(11, 10)), [1]);
        assert_eq!(switch.forward(1, &frame(11, 11)), [0; 0]);
        assert_eq!(switch.forward(1, &[0xff; 12]), [0, 2], "broadcast");
        assert_eq!(switch.forward(1, &[0; 11]), [0; 0], "not a frame");
    }

    #[test]
    fn a_flooding_switch_forwards_to_everybody_else() {
        let mut switch = switch(Forwarding::Flooding);
        for _ in 0..2 {
            assert_eq!(switch.forward(0, &frame(11, 10)), [1, 2]);
            assert_eq!(switch.forward(1, &frame(10, 11)), [0, 2]);
        }
    }
}
