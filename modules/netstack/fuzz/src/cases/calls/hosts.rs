//! What an administrator does to a host while it runs.

use std::net::Ipv4Addr;

use netstack::{InterfaceId, Stack};

use super::super::input::Input;

/// An address that only a route leads to, and nobody has.
pub(super) const BEHIND_A_ROUTE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const ROUTE: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 9, 0, 0), 16);

/// An address that a host has at times.
pub(super) fn second_address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 100 + host as u8)
}

/// Whether a call is refused does not matter.
pub(super) fn change(stack: &Stack, input: &mut Input<'_>) {
    let id = InterfaceId::FIRST;
    let second = second_address(input.below(2)).into();
    let (network, prefix_len) = (ROUTE.0.into(), ROUTE.1);
    let gateway = Ipv4Addr::new(10, 0, 0, 1 + input.u8() % 2).into();
    match input.below(8) {
        0 | 1 => drop(stack.add_address(id, second, 24)),
        2 => drop(stack.remove_address(id, second)),
        3 => drop(stack.set_mtu(id, input.choose(&[1500, 0, 68, 576, 1280, 1400, 9000]))),
        4 | 5 => drop(stack.add_route(network, prefix_len, gateway)),
        6 => drop(stack.remove_route(network, prefix_len, gateway)),
        _ => stack.restart_link(id),
    }
}
