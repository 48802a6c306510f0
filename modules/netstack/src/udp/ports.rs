//! Which sockets have which port.

use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::{
    flow::{FlowId, Tuple},
    hash::TableHasher,
};

/// The sockets of one port. Connected ones are found by their peers, so that a datagram costs the
/// same however many of them there are.
#[derive(Debug, Default)]
struct Port {
    open: Vec<FlowId>,
    connected: Vec<FlowId>,
}

#[derive(Debug)]
pub(crate) struct Ports {
    ports: HashMap<u16, Port, TableHasher>,
    tuples: HashMap<Tuple, FlowId, TableHasher>,
}

impl Ports {
    pub(crate) fn new(hasher: TableHasher) -> Self {
        Ports { ports: HashMap::with_hasher(hasher), tuples: HashMap::with_hasher(hasher) }
    }

    pub(crate) fn insert(&mut self, port: u16, id: FlowId) {
        self.ports.entry(port).or_default().open.push(id);
    }

    /// Forgets a socket that is not connected.
    pub(crate) fn remove(&mut self, port: u16, id: FlowId) {
        if let Some(sockets) = self.ports.get_mut(&port) {
            sockets.open.retain(|&other| other != id);
            if sockets.open.is_empty() && sockets.connected.is_empty() {
                self.ports.remove(&port);
            }
        }
    }

    /// Returns false if another socket is connected in the same way.
    pub(crate) fn connect(&mut self, id: FlowId, tuple: Tuple) -> bool {
        if self.tuples.contains_key(&tuple) {
            return false;
        }
        self.tuples.insert(tuple, id);
        if let Some(sockets) = self.ports.get_mut(&tuple.local.port()) {
            sockets.open.retain(|&other| other != id);
            sockets.connected.push(id);
        }
        true
    }

    pub(crate) fn disconnect(&mut self, id: FlowId, tuple: Tuple) {
        self.tuples.remove(&tuple);
        if let Some(sockets) = self.ports.get_mut(&tuple.local.port()) {
            sockets.connected.retain(|&other| other != id);
            sockets.open.push(id);
        }
    }

    pub(crate) fn connected(&self, tuple: &Tuple) -> Option<FlowId> {
        self.tuples.get(tuple).copied()
    }

    /// The sockets of a port that are not connected, oldest first.
    pub(crate) fn open(&self, port: u16) -> &[FlowId] {
        self.ports.get(&port).map(|sockets| sockets.open.as_slice()).unwrap_or_default()
    }

    /// All sockets of a port.
    pub(crate) fn all(&self, port: u16) -> impl Iterator<Item = FlowId> {
        let sockets = self.ports.get(&port);
        sockets
            .into_iter()
            .flat_map(|sockets| sockets.open.iter().chain(&sockets.connected).copied())
    }
}
