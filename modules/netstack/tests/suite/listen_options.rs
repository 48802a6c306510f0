//! How listeners share ports and address families.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use netstack::{
    BindError, ConnectError, ListenOptions, Shutdown, Stack, TcpListener, TcpOptions, TcpStream,
};
use smoltcp::wire::TcpControl;

use crate::harness::{
    CLIENT, Net, SERVER,
    apps::{BACKLOG, SOON, accepted, dial, drain, listen, pair, pour},
    at,
    bench::Bench,
    link::Link,
};

fn bind(stack: &Stack, local: &str, options: &ListenOptions) -> Result<TcpListener, BindError> {
    TcpListener::bind_with(stack, local.parse().unwrap(), BACKLOG, options)
}

/// 10.0.0.`last` as an IPv6 address (RFC 4291 section 2.5.5.2).
fn mapped(last: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped(), port).into()
}

#[test]
fn a_port_is_shared_only_if_all_say_so() {
    let net = Net::new(Link::perfect());
    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let address = "10.0.0.1:80";
    for (first, second) in [
        (shared, ListenOptions::default()),
        (ListenOptions::default(), shared),
        (ListenOptions::default(), ListenOptions::default()),
    ] {
        let _first = bind(&net.server(), address, &first).unwrap();
        assert_eq!(bind(&net.server(), address, &second).unwrap_err(), BindError::InUse);
    }
    let sharers = [(); 3].map(|()| bind(&net.server(), address, &shared).unwrap());
    assert_eq!(
        bind(&net.server(), address, &ListenOptions::default()).unwrap_err(),
        BindError::InUse
    );
    drop(sharers);
    bind(&net.server(), address, &ListenOptions::default()).unwrap();
}

/// SO_REUSEPORT: a connection's listener depends on its ends alone.
#[test]
fn connections_spread_over_the_listeners_that_share_a_port() {
    let mut bench = Bench::new();
    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let listeners = [(); 4].map(|()| bind(&bench.stack(), "0.0.0.0:80", &shared).unwrap());
    let take = |bench: &mut Bench, port| {
        let peer = bench.open(port, 80);
        let taken: Vec<_> = listeners.iter().map(accepted).collect();
        bench.segment(peer.send(TcpControl::Rst));
        bench.settle();
        let takers: Vec<_> = (0..4).filter(|index| taken[*index].is_some()).collect();
        assert_eq!(takers.len(), 1, "exactly one takes it");
        takers[0]
    };
    let first: Vec<_> = (1000..1400).map(|port| take(&mut bench, port)).collect();
    for index in 0..4 {
        let share = first.iter().filter(|taker| **taker == index).count();
        assert!((60..140).contains(&share), "{share} of 400 for one of four");
    }
    let again: Vec<_> = (1000..1400).map(|port| take(&mut bench, port)).collect();
    assert!(first == again);
}

/// What a listener that goes held is lost, the others go on.
#[test]
fn the_listeners_that_stay_take_over() {
    let mut net = Net::new(Link::perfect());
    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let [first, second] = [(); 2].map(|()| bind(&net.server(), "10.0.0.1:80", &shared).unwrap());
    drop(first);
    let clients: Vec<_> = (0..10).map(|_| dial(&net.client(), at(1, 80))).collect();
    net.run_briefly();
    assert!(clients.iter().all(|client| client.try_connected().is_ok()));
    assert!((0..10).all(|_| accepted(&second).is_some()));
}

/// SO_REUSEADDR.
#[test]
fn a_port_with_past_connections_can_be_taken_unless_that_was_asked_for() {
    let mut net = Net::new(Link::perfect());
    let patient = ListenOptions { reuse_address: false, ..ListenOptions::default() };
    let (server, client) = pair(&mut net);
    let refused = |net: &Net| bind(&net.server(), "10.0.0.1:80", &patient).err();
    assert_eq!(refused(&net), Some(BindError::InUse), "one is open");
    server.shutdown(Shutdown::Write);
    net.run_briefly();
    drop((server, client));
    net.run_briefly();
    assert_eq!(net.hosts[SERVER].stats().tcp_time_wait, 1);
    assert_eq!(refused(&net), Some(BindError::InUse), "one is in TIME-WAIT");
    assert!(bind(&net.server(), "10.0.0.1:81", &patient).is_ok());
    assert!(bind(&net.server(), "10.0.0.1:80", &ListenOptions::default()).is_ok());
    net.run_for(Duration::from_secs(300));
    assert_eq!(refused(&net), None);
}

/// RFC 3493 section 5.3.
#[test]
fn a_listener_for_ipv6_only_leaves_ipv4_to_others() {
    let mut net = Net::new(Link::perfect());
    let only_v6 = ListenOptions { only_v6: true, ..ListenOptions::default() };
    let six = bind(&net.server(), "[::]:80", &only_v6).unwrap();
    let refused = dial(&net.client(), at(1, 80));
    net.run_briefly();
    assert_eq!(refused.try_connected(), Err(ConnectError::Refused));

    let four = listen(&net.server(), at(1, 80));
    let own = net.hosts[SERVER].ip6();
    let clients = [at(1, 80), (own, 80).into()].map(|remote| dial(&net.client(), remote));
    net.run_briefly();
    assert!(clients.iter().all(|client| client.try_connected().is_ok()));
    assert_eq!(accepted(&four).unwrap().peer_addr(), clients[0].local_addr());
    assert_eq!(accepted(&six).unwrap().peer_addr(), clients[1].local_addr());
}

/// RFC 3493 section 3.7: a socket of IPv6 sees IPv4 addresses mapped into its own.
#[test]
fn a_listener_for_both_shows_ipv4_addresses_as_mapped_ones() {
    let mut net = Net::new(Link::perfect());
    let both = listen(&net.server(), "[::]:80".parse().unwrap());
    let client = dial(&net.client(), at(1, 80));
    net.run_briefly();
    let stream = accepted(&both).unwrap();
    assert_eq!(stream.local_addr(), mapped(1, 80));
    assert_eq!(stream.peer_addr(), mapped(2, client.local_addr().port()));
    assert_eq!(client.peer_addr(), at(1, 80), "the peer's socket is one of IPv4");
    pour(&client, &mut &b"four"[..]);
    let mut heard = Vec::new();
    net.run_until(SOON, || {
        drain(&stream, &mut heard);
        heard == b"four"
    });
}

/// A listener of IPv4's own goes before one for both.
#[test]
fn the_closer_listener_is_the_one_that_takes() {
    let mut net = Net::new(Link::perfect());
    let both = listen(&net.server(), "[::]:80".parse().unwrap());
    let four = listen(&net.server(), "0.0.0.0:80".parse().unwrap());
    let _client = dial(&net.client(), at(1, 80));
    net.run_briefly();
    assert!(accepted(&both).is_none());
    assert_eq!(accepted(&four).unwrap().local_addr(), at(1, 80));
}

#[test]
fn a_mapped_address_is_connected_to_over_ipv4() {
    let mut net = Net::new(Link::perfect());
    let listener = listen(&net.server(), at(1, 80));
    let connect = |net: &Net, local: Option<&str>| {
        let local = local.map(|local| local.parse().unwrap());
        TcpStream::connect_with(&net.client(), local, mapped(1, 80), &TcpOptions::default())
    };
    for local in [None, Some("[::]:0"), Some("[::ffff:10.0.0.2]:0")] {
        let client = connect(&net, local).unwrap();
        assert_eq!(client.peer_addr(), mapped(1, 80));
        assert_eq!(client.local_addr(), mapped(2, client.local_addr().port()));
        net.run_briefly();
        assert_eq!(client.try_connected(), Ok(()));
        let server = accepted(&listener).unwrap();
        assert_eq!(server.peer_addr(), at(2, client.local_addr().port()));
    }
    for local in ["[::1]:0", "[::ffff:10.0.0.9]:0"] {
        assert_eq!(connect(&net, Some(local)).unwrap_err(), ConnectError::Invalid, "{local}");
    }
    assert_eq!(net.hosts[CLIENT].stats().tcp_open, 0);
}
