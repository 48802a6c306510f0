//! Names.

use alloc::vec::Vec;
use core::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr},
    task::{Poll, Waker},
};

use axerrno::{AxError, AxResult};
use netasync::error::ax;
use netstack::Want;

use super::{
    System, quietly,
    wait::{Place, await_address},
};

/// Looks up the addresses of a host: those of IPv4, or, if it has none, those of IPv6.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use axerrno::AxError;
/// # use world::Host;
/// use axnet::blocking::dns_query;
///
/// assert_eq!(dns_query::<Host>("localhost")?[0].to_string(), "127.0.0.1");
/// assert_eq!(dns_query::<Host>("server.example"), Err(axerrno::AxError::Unsupported));
/// # axerrno::AxResult::Ok(())
/// ```
///
/// # Errors
/// `NotFound` if there is no such name, or none with an address; `TimedOut` if no name server has
/// answered for 15 s; `Io` if all have failed; `Unsupported` if there is none to ask;
/// `InvalidInput` if it cannot be a name; `ResourceBusy` while 32 others are looked up;
/// `NoSuchDevice` without a network card.
pub fn dns_query<S: System>(name: &str) -> AxResult<Vec<IpAddr>> {
    await_address::<S>(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
    // Many name servers are slow to say that a host has no IPv6 address.
    match look_up::<S>(name, Want::Ipv4) {
        Err(AxError::NotFound) => look_up::<S>(name, Want::Ipv6),
        result => result,
    }
}

fn look_up<S: System>(name: &str, want: Want) -> AxResult<Vec<IpAddr>> {
    let stack = S::stack()?;
    let lookup = ax(quietly::<S, _>(|| stack.resolve(name, want)))?;
    let mut place = Place::new(
        |waker: &Waker| Some(quietly::<S, _>(|| lookup.register(waker))),
        |registration| quietly::<S, _>(|| lookup.deregister(registration)),
    );
    let found = poll_fn(|cx| {
        place.register(cx.waker());
        match ax(quietly::<S, _>(|| lookup.try_result())) {
            Err(AxError::WouldBlock) => Poll::Pending,
            result => Poll::Ready(result),
        }
    });
    let result = S::block_on(found, None).unwrap_or(Err(AxError::TimedOut));
    drop(place);
    quietly::<S, _>(|| drop(lookup));
    result
}
