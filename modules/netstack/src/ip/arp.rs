//! The Address Resolution Protocol (RFC 826).

use alloc::{vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr};

use netdev::{ETHERNET_HEADER_LEN, MacAddress, Transmitter, TxOffload};
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol};

use super::{
    InterfaceId, Link,
    address::is_usable_unicast,
    header::emit_ethernet,
    neighbour::{Evidence, Key},
};
use crate::{
    engine::Engine,
    stats::{Reason, Verdict},
};

const BROADCAST: MacAddress = [0xff; 6];
const FRAME_LEN: usize = ETHERNET_HEADER_LEN + 28;

/// A question for a station, to everybody or to the one that it was last.
pub(crate) fn question(
    mac: MacAddress,
    source: Ipv4Addr,
    target: Ipv4Addr,
    station: Option<MacAddress>,
) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress(station.unwrap_or([0; 6])),
        target_protocol_addr: target,
    };
    let mut frame = vec![0; FRAME_LEN];
    emit(&mut frame, mac, station.unwrap_or(BROADCAST), &arp);
    frame
}

/// Tells everybody which station has an address (RFC 5227 section 2.3).
pub(crate) fn announcement(mac: MacAddress, address: Ipv4Addr) -> Vec<u8> {
    question(mac, address, address, None)
}

fn emit(frame: &mut [u8], from: MacAddress, to: MacAddress, arp: &ArpRepr) {
    let packet = emit_ethernet(frame, from, to, EthernetProtocol::Arp);
    arp.emit(&mut ArpPacket::new_unchecked(packet));
}

impl Engine {
    pub(crate) fn arp(
        &mut self,
        id: InterfaceId,
        link: &Link,
        packet: &[u8],
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let parsed = ArpPacket::new_checked(packet).and_then(|packet| ArpRepr::parse(&packet));
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr: source,
            target_protocol_addr: target,
            ..
        }) = parsed
        else {
            return Verdict::Dropped(Reason::MalformedArp);
        };
        if !source_hardware_addr.is_unicast() || id == InterfaceId::LOOPBACK {
            return Verdict::Dropped(Reason::MalformedArp);
        }
        let mac = source_hardware_addr.0;
        let interface = self.ip.interface(id);
        if interface.has_address(source.into()) {
            self.stats.address_conflicts += 1;
            return Verdict::Dropped(Reason::UnwantedArp);
        }
        let is_for_us = interface.has_address(target.into());
        // One that has no address yet asks from nobody (RFC 5227 section 1.1).
        let key = Key { interface: id, ip: source.into() };
        // A router may lie outside of the network; whoever was asked for is believed.
        let is_near = interface.is_on_link(key.ip) || self.ip.neighbours.knows(key);
        let is_neighbour = is_usable_unicast(key.ip) && is_near;
        if is_neighbour {
            let evidence = match operation {
                ArpOperation::Reply if is_for_us && self.ip.neighbours.knows(key) => {
                    Evidence::Answer
                }
                // An answer that nobody has asked for is worth no more.
                ArpOperation::Reply | ArpOperation::Request if is_for_us => Evidence::Question,
                _ => Evidence::Announcement,
            };
            self.learn_neighbour(key, mac, evidence);
        }
        match operation {
            ArpOperation::Request if is_for_us => {
                self.answer_arp(id, link, mac, (source, target), tx);
                Verdict::Answered
            }
            ArpOperation::Reply if is_for_us && is_neighbour => Verdict::Delivered,
            _ => Verdict::Dropped(Reason::UnwantedArp),
        }
    }

    fn answer_arp(
        &mut self,
        id: InterfaceId,
        link: &Link,
        mac: MacAddress,
        (asker, target): (Ipv4Addr, Ipv4Addr),
        tx: &mut impl Transmitter,
    ) {
        let arp = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(self.ip.interface(id).mac),
            source_protocol_addr: target,
            target_hardware_addr: EthernetAddress(mac),
            target_protocol_addr: asker,
        };
        tx.transmit(FRAME_LEN, TxOffload::default(), |frame| emit(frame, link.ours, mac, &arp));
        self.ip.count_sent(FRAME_LEN);
    }

    /// Takes in what a message says about a neighbour, and lets go on who has waited for it.
    pub(crate) fn learn_neighbour(&mut self, neighbour: Key, mac: MacAddress, evidence: Evidence) {
        if self.ip.neighbours.learn(neighbour, mac, evidence, self.now) {
            self.neighbour_found(neighbour);
        }
    }

    /// A host has proved by a completed handshake that its address and its station belong together:
    /// it need not be asked for.
    pub(crate) fn introduce(&mut self, id: InterfaceId, ip: IpAddr, mac: MacAddress) {
        if self.ip.interface(id).is_on_link(ip) && id != InterfaceId::LOOPBACK {
            self.learn_neighbour(Key { interface: id, ip }, mac, Evidence::Handshake);
        }
    }
}
