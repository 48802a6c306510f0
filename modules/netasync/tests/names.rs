//! Names, and what is done with their addresses.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axerrno::{AxError, AxResult};
use futures_util::future::join_all;
use netasync::{
    Handle, Target, TcpListener, TcpSocket, TcpStream, ToSocketAddrs, UdpSocket, lookup_host,
    sleep, spawn, timeout,
};
use world::{World, server_addr};

mod world;

const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;

/// The server's link-local address, from its hardware address.
const SERVER_IPV6: &str = "fe80::ff:fe00:1";

/// What the name server knows: a code and addresses.
fn records(name: &str, is_ipv4: bool) -> Option<(u8, &'static [&'static str])> {
    match name {
        "both.test" => Some((NO_ERROR, &["10.0.0.1", "2001:db8::1"])),
        "two.test" => Some((NO_ERROR, &["10.0.0.77", "10.0.0.1"])),
        "absent.test" => Some((NO_ERROR, &["10.0.0.77", "10.0.0.78"])),
        "empty.test" => Some((NO_ERROR, &[])),
        "local.test" => Some((NO_ERROR, &["10.0.0.1", SERVER_IPV6])),
        "mixed.test" => Some((NO_ERROR, &["10.0.0.1", "fe80::77", "fe80::78"])),
        "half.test" if is_ipv4 => Some((NO_ERROR, &["10.0.0.1"])),
        "half.test" => None,
        "broken.test" => Some((SERVER_FAILURE, &[])),
        "silent.test" => None,
        _ => Some((NAME_ERROR, &[])),
    }
}

/// Answers questions (RFC 1035 section 4.1), and counts them.
async fn name_server(count: Arc<AtomicUsize>) {
    let socket = UdpSocket::bind(server_addr(53)).await.unwrap();
    let mut buffer = [0; 512];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        count.fetch_add(1, Relaxed);
        if let Some(answer) = answer(&buffer[..len]) {
            socket.send_to(&answer, from).await.unwrap();
        }
    }
}

fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        name += &String::from_utf8_lossy(&question[at + 1..end]);
        name += ".";
        at = end;
    }
    let is_ipv4 = question[at + 2] == 1;
    let (code, addresses) = records(name.trim_end_matches('.'), is_ipv4)?;
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let addresses: Vec<_> = addresses.into_iter().filter(|ip| ip.is_ipv4() == is_ipv4).collect();
    let mut message = question[..2].to_vec();
    message.extend([0x81, 0x80 | code, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    message.extend(&question[12..]);
    for address in addresses {
        // The name is the question's; the record lives a minute.
        message.extend([0xc0, 12, 0, question[at + 2], 0, 1, 0, 0, 0, 60, 0]);
        match address {
            IpAddr::V4(ip) => message.extend([&[4], &ip.octets()[..]].concat()),
            IpAddr::V6(ip) => message.extend([&[16], &ip.octets()[..]].concat()),
        }
    }
    Some(message)
}

async fn look_up(host: impl ToSocketAddrs) -> AxResult<Vec<SocketAddr>> {
    Ok(lookup_host(host).await?.collect())
}

/// Runs a client beside a name server. Returns how many questions that was asked.
fn with_names<C>(client: C) -> usize
where
    C: Future<Output = ()> + Send + 'static,
{
    let count = Arc::new(AtomicUsize::new(0));
    World::new().run(name_server(count.clone()), client);
    count.load(Relaxed)
}

#[test]
fn addresses_and_localhost_need_no_server() {
    let asked = with_names(async {
        let one = |text: &str| Ok(vec![text.parse().unwrap()]);
        assert_eq!(look_up("10.9.8.7:80").await, one("10.9.8.7:80"));
        assert_eq!(look_up("[2001:db8::7]:80").await, one("[2001:db8::7]:80"));
        assert_eq!(look_up(("2001:db8::7", 80)).await, one("[2001:db8::7]:80"));
        assert_eq!(look_up((Ipv4Addr::LOCALHOST, 1)).await, one("127.0.0.1:1"));
        let both = ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()];
        assert_eq!(look_up("localhost:80").await.as_deref(), Ok(&both[..]));
        assert_eq!(look_up((String::from("LocalHost."), 80)).await.as_deref(), Ok(&both[..]));
        assert_eq!(look_up(both.to_vec()).await.as_deref(), Ok(&both[..]), "as they are");
    });
    assert_eq!(asked, 0);
}

#[test]
fn a_name_has_addresses_of_both_kinds_and_is_remembered() {
    let asked = with_names(async {
        let expected = ["10.0.0.1:80".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap()];
        assert_eq!(look_up("both.test:80").await.as_deref(), Ok(&expected[..]));
        assert_eq!(look_up(String::from("both.test:80")).await.as_deref(), Ok(&expected[..]));
        assert_eq!(look_up(("both.test", 80)).await.as_deref(), Ok(&expected[..]));
    });
    assert_eq!(asked, 2, "for an A and an AAAA record");
}

#[test]
fn names_that_lead_nowhere_are_told_apart() {
    with_names(async {
        assert_eq!(look_up("nobody.test:80").await, Err(AxError::NotFound));
        assert_eq!(look_up("empty.test:80").await, Err(AxError::NotFound));
        assert_eq!(look_up("broken.test:80").await, Err(AxError::Io));
        assert_eq!(look_up("a..test:80").await, Err(AxError::InvalidInput));
        assert_eq!(look_up((&*"x".repeat(300), 80)).await, Err(AxError::InvalidInput));
        assert_eq!(look_up("no-port.test").await, Err(AxError::InvalidInput));
        assert_eq!(look_up("both.test:65536").await, Err(AxError::InvalidInput));
        let begun = Handle::current().now();
        assert_eq!(look_up("silent.test:80").await, Err(AxError::TimedOut));
        assert_eq!(Handle::current().now() - begun, Duration::from_secs(15));
    });
}

#[test]
fn without_a_name_server_there_are_no_names() {
    let mut world = World::new();
    let outcome = Arc::new(Mutex::new(None));
    let slot = outcome.clone();
    let lone = async move { *slot.lock().unwrap() = Some(look_up("both.test:80").await) };
    world.run_both(lone, async { sleep(Duration::from_secs(1)).await });
    assert_eq!(*outcome.lock().unwrap(), Some(Err(AxError::Unsupported)));
}

#[test]
fn a_dropped_lookup_asks_no_more_and_makes_room() {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    World::new().run(name_server(count), async move {
        for turn in 0..40 {
            let name = format!("silent.test:{turn}");
            assert!(timeout(Duration::from_millis(100), look_up(&name)).await.is_err());
        }
        let before = asked.load(Relaxed);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(asked.load(Relaxed), before, "nobody waits for an answer");
        assert!(look_up("both.test:80").await.is_ok());
    });
}

#[test]
fn too_many_lookups_at_a_time_are_refused() {
    with_names(async {
        let outcomes = join_all((0..33).map(|port| look_up(("silent.test", port)))).await;
        let busy = outcomes.iter().filter(|it| **it == Err(AxError::ResourceBusy)).count();
        let late = outcomes.iter().filter(|it| **it == Err(AxError::TimedOut)).count();
        assert_eq!((busy, late), (1, 32));
    });
}

/// Accepts one connection after the other and drops it.
async fn accept_all(address: SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    while listener.accept().await.is_ok() {}
}

#[test]
fn a_connection_is_made_to_the_first_address_that_answers() {
    with_names(async {
        let server = server_addr(53);
        // TCP's port 53 is nobody's, 10.0.0.77 is absent, and there is no way to 2001:db8::1.
        assert_eq!(
            TcpStream::connect("both.test:53").await.err(),
            Some(AxError::ConnectionRefused)
        );
        assert_eq!(TcpStream::connect("nobody.test:53").await.err(), Some(AxError::NotFound));
        assert_eq!(TcpStream::connect("broken.test:53").await.err(), Some(AxError::Io));
        assert_eq!(TcpStream::connect("absent.test:53").await.err(), Some(AxError::TimedOut));
        assert_eq!(TcpStream::connect(server).await.err(), Some(AxError::ConnectionRefused));
        let nothing: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect(nothing).await.err(), Some(AxError::InvalidInput));
    });
    let mut world = World::new();
    let server = async {
        spawn(name_server(Arc::default()));
        accept_all(server_addr(80)).await;
    };
    world.run(server, async {
        let stream = TcpStream::connect("two.test:80").await.unwrap();
        assert_eq!(stream.peer_addr(), server_addr(80));
        let stream = TcpStream::connect(&[server_addr(81), server_addr(80)][..]).await.unwrap();
        assert_eq!(stream.peer_addr(), server_addr(80));
        let mut socket = TcpSocket::new();
        socket.connect("two.test:80").await.unwrap();
        assert_eq!(socket.stream().unwrap().peer_addr(), server_addr(80));
    });
}

#[test]
fn a_dropped_connect_leaves_nothing() {
    let mut world = World::new();
    world.run(name_server(Arc::default()), async {
        // Before the name is known, before the neighbour is, and before the peer answers.
        for (host, patience_ms) in [("silent.test", 1), ("absent.test", 10), ("10.0.0.1", 0)] {
            let patience = Duration::from_millis(patience_ms);
            assert!(timeout(patience, TcpStream::connect((host, 80))).await.is_err(), "{host}");
        }
        sleep(Duration::from_secs(30)).await;
    });
    let stats = world.client.handle().stack().stats();
    assert_eq!((stats.tcp_open, stats.tcp_orphans, stats.memory_used), (0, 0, 0));
}

#[test]
fn sockets_take_names_wherever_they_take_addresses() {
    with_names(async {
        let socket = UdpSocket::bind("localhost:0").await.unwrap();
        assert_eq!(socket.local_addr().ip(), Ipv4Addr::LOCALHOST);
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        assert_eq!(listener.local_addr().ip(), Ipv4Addr::LOCALHOST);
        // The first that is ours: 10.0.0.1 is the server's.
        let foreign = UdpSocket::bind("both.test:0").await;
        assert_eq!(foreign.err(), Some(AxError::BadAddress));
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        socket.connect("both.test:53").await.unwrap();
        assert_eq!(socket.peer_addr(), Ok(server_addr(53)));
        assert_eq!(socket.send_to(&[0; 5], "two.test:9").await, Ok(5));
        assert_eq!(socket.send_to(&[], "nobody.test:9").await, Err(AxError::NotFound));
        // What is taken before anybody can wait must be an address.
        assert_eq!(TcpSocket::new().bind("both.test:80"), Err(AxError::InvalidInput));
    });
}

#[test]
fn what_is_named_is_told_without_looking_it_up() {
    let address = SocketAddr::from(([10, 0, 0, 1], 80));
    assert_eq!("10.0.0.1:80".to_target(), Ok(Target::Address(address)));
    assert_eq!(("10.0.0.1", 80).to_target(), Ok(Target::Address(address)));
    assert_eq!((Ipv4Addr::new(10, 0, 0, 1), 80).to_target(), Ok(Target::Address(address)));
    assert_eq!("a.test:80".to_target(), Ok(Target::Host("a.test", 80)));
    assert_eq!([address][..].to_target(), Ok(Target::Addresses(&[address])));
    assert_eq!("a.test".to_target(), Err(AxError::InvalidInput));
}

/// A server of names, and of connections by both kinds of addresses.
async fn dual_server() {
    spawn(name_server(Arc::default()));
    accept_all("[::]:80".parse().unwrap()).await;
}

/// Connects to `host`; returns to which address, and how long it took.
async fn race(host: &'static str) -> (IpAddr, Duration) {
    let begun = Handle::current().now();
    let stream = TcpStream::connect((host, 80)).await.unwrap();
    let taken = Handle::current().now() - begun;
    // The others are gone.
    assert_eq!(Handle::current().stack().stats().tcp_open, 1);
    stream.abort();
    let peer = stream.peer_addr().ip();
    drop(stream);
    sleep(Duration::from_millis(1)).await;
    (peer, taken)
}

#[test]
fn ipv6_goes_first_and_ipv4_does_not_wait_long() {
    let millis = Duration::from_millis;
    World::new().run(dual_server(), async move {
        // Until the link-local addresses are known to be nobody else's.
        sleep(Duration::from_secs(5)).await;
        let ipv4: IpAddr = [10, 0, 0, 1].into();
        let (peer, taken) = race("local.test").await;
        assert_eq!((peer, taken < millis(1)), (SERVER_IPV6.parse().unwrap(), true));
        // The first of IPv6 is silent: IPv4 is next, before the second of IPv6.
        assert_eq!(race("mixed.test").await, (ipv4, millis(250)));
        // The name server does not answer about IPv6 at all.
        assert_eq!(race("half.test").await, (ipv4, millis(50)));
        assert_eq!(race("two.test").await, (ipv4, millis(250)), "of one kind in their order");
        // What fails at once holds up nobody.
        assert_eq!(race("both.test").await.0, ipv4);
    });
}
