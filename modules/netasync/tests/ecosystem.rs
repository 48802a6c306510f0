//! Libraries of others work with these sockets as they are.

use std::{
    fmt::{Debug, Display},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    task::Waker,
    time::Duration,
};

use axerrno::AxError;
use edge_http::{
    Method,
    io::{
        Error,
        client::Connection as EdgeClient,
        server::{Connection, Handler, Server},
    },
};
use edge_nal::{
    Close, MulticastV4, MulticastV6, Readable, TcpAccept, TcpBind, TcpShutdown, TcpSplit, UdpBind,
    UdpConnect, UdpReceive, UdpSend, UdpSplit, UdpSplitMulticast,
};
use embedded_io_async::{Read, Write};
use embedded_nal_async::{AddrType, ConnectedUdp, Dns, TcpConnect, UdpStack, UnconnectedUdp};
use futures_util::{
    future::{Either, select},
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
};
use netasync::{Handle, Network, TcpListener, TcpStream, sleep, spawn, timeout};
use reqwless::request::RequestBuilder;
use world::World;

mod world;

/// The clock by which edge-http gives up: this one, in virtual time. An application whose libraries
/// use embassy-time has the same.
struct EmbassyClock;

embassy_time_driver::time_driver_impl!(static CLOCK: EmbassyClock = EmbassyClock);

impl embassy_time_driver::Driver for EmbassyClock {
    fn now(&self) -> u64 {
        Handle::current().now().micros() * embassy_time_driver::TICK_HZ / 1_000_000
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        let (ticks, waker) = (at.saturating_sub(self.now()), waker.clone());
        let micros = ticks.saturating_mul(1_000_000) / embassy_time_driver::TICK_HZ;
        spawn(async move {
            sleep(Duration::from_micros(micros)).await;
            waker.wake();
        });
    }
}

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

/// Runs a client to its end, beside servers, all in one runtime: none of them need be `Send`.
fn beside<S: Future>(server: S, client: impl Future<Output = ()>) {
    let (server, client) = (pin!(server), pin!(client));
    World::new().block_on_client(async {
        match select(server, client).await {
            Either::Left(_) => panic!("the server has ended"),
            Either::Right(((), _)) => {}
        }
    });
}

/// Greets, and gives back what it is sent.
struct Greeter;

impl Handler for Greeter {
    type Error<E>
        = Error<E>
    where
        E: Debug;

    async fn handle<T, const N: usize>(
        &self,
        _task: impl Display + Copy,
        connection: &mut Connection<'_, T, N>,
    ) -> Result<(), Error<T::Error>>
    where
        T: Read + Write + TcpSplit,
    {
        let (headers, body) = connection.split();
        let is_get = headers.method == Method::Get;
        let mut content = [0; 10_000];
        let mut len = 0;
        while let read @ 1.. = body.read(&mut content[len..]).await? {
            len += read;
        }
        let answer = if is_get { b"hello" } else { &content[..len] };
        // Without a length it would be "Chunked", which reqwless knows in small letters only.
        let len = answer.len().to_string();
        let headers = [("X-Server", "edge"), ("Content-Length", &len)];
        connection.initiate_response(200, None, &headers).await?;
        connection.write_all(answer).await
    }
}

async fn edge_server() {
    let acceptor = TcpBind::bind(&Network, HERE).await.unwrap();
    let mut server = Box::new(Server::<4, 2048, 32>::new());
    server.run(None, acceptor, Greeter).await.unwrap();
}

#[test]
fn reqwless_is_a_client_and_edge_http_its_server() {
    beside(edge_server(), async {
        let mut client = reqwless::client::HttpClient::new(&Network, &Network);
        let mut buffer = vec![0; 16_384];
        let mut request =
            client.request(reqwless::request::Method::GET, "http://localhost/").await.unwrap();
        let response = request.send(&mut buffer).await.unwrap();
        assert_eq!(response.status.0, 200);
        assert_eq!(response.body().read_to_end().await.unwrap(), b"hello");

        let mut resource = client.resource("http://127.0.0.1").await.unwrap();
        let sent = vec![0xa5; 9000];
        for len in [0, 1, 1460, 9000] {
            let mut buffer = vec![0; 16_384];
            let request = resource.post("/echo").body(&sent[..len]);
            let response = request.send(&mut buffer).await.unwrap();
            assert_eq!(response.body().read_to_end().await.unwrap(), &sent[..len]);
        }
    });
}

#[test]
fn edge_http_is_a_client_of_itself() {
    beside(edge_server(), async {
        let mut buffer = vec![0; 8192];
        let mut connection = EdgeClient::<_, 32>::new(&mut buffer, &Network, HERE);
        for _ in 0..3 {
            connection.initiate_request(true, Method::Get, "/", &[("Host", "here")]).await.unwrap();
            connection.initiate_response().await.unwrap();
            let headers = connection.headers().unwrap();
            assert_eq!((headers.code, headers.headers.get("X-Server")), (200, Some("edge")));
            let mut body = [0; 5];
            connection.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"hello");
            connection.complete().await.unwrap();
        }
        let nobody = SocketAddr::new(HERE.ip(), 81);
        let mut buffer = vec![0; 8192];
        let mut connection = EdgeClient::<_, 32>::new(&mut buffer, &Network, nobody);
        let refused = connection.initiate_request(true, Method::Get, "/", &[]).await;
        assert!(matches!(refused, Err(Error::Io(error)) if error.0 == AxError::ConnectionRefused));
    });
}

#[test]
fn futures_util_reads_lines_and_copies() {
    let server = async {
        let listener = TcpListener::bind(HERE).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            spawn(async move {
                let (mut reader, mut writer) = (&stream, &stream);
                futures_util::io::copy(&mut reader, &mut writer).await
            });
        }
    };
    beside(server, async {
        let mut stream = TcpStream::connect(HERE).await.unwrap();
        AsyncWriteExt::write_all(&mut stream, b"one\ntwo\n").await.unwrap();
        AsyncWriteExt::flush(&mut stream).await.unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut reader, &mut line).await.unwrap();
        AsyncBufReadExt::read_line(&mut reader, &mut line).await.unwrap();
        assert_eq!(line, "one\ntwo\n");

        let (mut reading, mut writing) = reader.into_inner().into_split();
        AsyncWriteExt::write_all(&mut writing, b"by halves").await.unwrap();
        AsyncWriteExt::close(&mut writing).await.unwrap();
        let mut rest = vec![];
        AsyncReadExt::read_to_end(&mut reading, &mut rest).await.unwrap();
        assert_eq!(rest, b"by halves");
        let error = AsyncWriteExt::write_all(&mut writing, b"x").await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

/// Sends one byte to each connection and datagram, after a second.
async fn edge_nal_server() {
    let acceptor = TcpBind::bind(&Network, HERE).await.unwrap();
    let mut socket = UdpBind::bind(&Network, HERE).await.unwrap();
    let accept = async {
        loop {
            let (peer, mut stream) = TcpAccept::accept(&acceptor).await.unwrap();
            assert_eq!(peer.ip(), HERE.ip());
            sleep(Duration::from_secs(1)).await;
            Write::write_all(&mut stream, b"!").await.unwrap();
            TcpShutdown::close(&mut stream, Close::Both).await.unwrap();
        }
    };
    let answer = async {
        let mut buffer = [0; 100];
        loop {
            socket.readable().await.unwrap();
            let (mut receiver, mut sender) = UdpSplit::split(&mut socket);
            let (len, peer) = receiver.receive(&mut buffer).await.unwrap();
            UdpSend::send(&mut sender, peer, &buffer[..len]).await.unwrap();
        }
    };
    futures_util::join!(accept, answer);
}

#[test]
fn edge_nal_has_streams_and_datagrams() {
    beside(edge_nal_server(), async {
        let mut stream = edge_nal::TcpConnect::connect(&Network, HERE).await.unwrap();
        assert!(timeout(Duration::from_millis(10), Readable::readable(&mut stream)).await.is_err());
        Readable::readable(&mut stream).await.unwrap();
        let (mut reader, mut writer) = TcpSplit::split(&mut stream);
        Readable::readable(&mut reader).await.unwrap();
        assert_eq!(Read::read(&mut reader, &mut [0; 9]).await.unwrap(), 1);
        Write::write_all(&mut writer, b"x").await.unwrap();
        TcpShutdown::close(&mut stream, Close::Write).await.unwrap();
        TcpShutdown::abort(&mut stream).await.unwrap();
        let broken = Write::write(&mut stream, b"x").await.unwrap_err();
        assert_eq!(broken.0, AxError::BrokenPipe);
        let mut other = edge_nal::TcpConnect::connect(&Network, HERE).await.unwrap();
        TcpShutdown::close(&mut other, Close::Read).await.unwrap();

        let local = SocketAddr::new(HERE.ip(), 0);
        let mut socket = UdpConnect::connect(&Network, local, HERE).await.unwrap();
        UdpSend::send(&mut socket, HERE, b"ping").await.unwrap();
        let mut buffer = [0; 9];
        assert_eq!(UdpReceive::receive(&mut socket, &mut buffer).await.unwrap(), (4, HERE));
    });
}

#[test]
fn edge_nal_joins_groups() {
    World::new().block_on_client(async {
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let group_v6 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 7);
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 7);
        let mut socket = UdpBind::bind(&Network, any).await.unwrap();
        let (_, _, mut v4, mut v6) = socket.split_multicast();
        v4.join_v4(group, Ipv4Addr::UNSPECIFIED).await.unwrap();
        v6.join_v6(group_v6, 1).await.unwrap();
        let again = v6.join_v6(group_v6, 1).await.unwrap_err();
        assert_eq!(again.0, AxError::AddrInUse);
        let nowhere = v6.join_v6(group_v6, 7).await.unwrap_err();
        assert_eq!(nowhere.0, AxError::NoSuchDevice);
        socket.leave_v4(group, Ipv4Addr::UNSPECIFIED).await.unwrap();
        socket.leave_v6(group_v6, 1).await.unwrap();
        let never_joined = socket.leave_v6(group_v6, 0).await.unwrap_err();
        assert_eq!(never_joined.0, AxError::NotFound);
    });
}

#[test]
fn embedded_nal_has_streams_datagrams_and_names() {
    beside(edge_nal_server(), async {
        let mut stream = TcpConnect::connect(&Network, HERE).await.unwrap();
        assert_eq!(Read::read(&mut stream, &mut [0; 9]).await.unwrap(), 1);

        let (local, mut socket) = UdpStack::connect(&Network, HERE).await.unwrap();
        assert_eq!(local.ip(), HERE.ip());
        let mut buffer = [0; 9];
        ConnectedUdp::send(&mut socket, b"ping").await.unwrap();
        assert_eq!(ConnectedUdp::receive_into(&mut socket, &mut buffer).await.unwrap(), 4);

        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let (bound, mut single) = Network.bind_single(any).await.unwrap();
        let mut multiple = Network.bind_multiple(any).await.unwrap();
        for socket in [&mut single, &mut multiple] {
            UnconnectedUdp::send(socket, any, HERE, b"ping").await.unwrap();
            let (len, to, from) = UnconnectedUdp::receive_into(socket, &mut buffer).await.unwrap();
            assert_eq!((len, to, from), (4, SocketAddr::new(HERE.ip(), to.port()), HERE));
        }
        assert_eq!(single.local_addr().port(), bound.port());

        let look_up = |name, kind| Dns::get_host_by_name(&Network, name, kind);
        let ipv6 = look_up("localhost", AddrType::IPv6).await.unwrap();
        assert_eq!(ipv6, Ipv6Addr::LOCALHOST);
        assert_eq!(look_up("localhost", AddrType::Either).await.unwrap(), HERE.ip());
        assert_eq!(look_up("10.0.0.1", AddrType::IPv4).await.unwrap().to_string(), "10.0.0.1");
        let other_kind = look_up("10.0.0.1", AddrType::IPv6).await.unwrap_err();
        assert_eq!(other_kind.0, AxError::NotFound);
        let reverse = Network.get_host_by_address(HERE.ip(), &mut buffer).await.unwrap_err();
        assert_eq!(reverse.0, AxError::Unsupported);
        let edge_kind = edge_nal::AddrType::IPv6;
        let edge = edge_nal::Dns::get_host_by_name(&Network, "localhost", edge_kind).await.unwrap();
        assert_eq!(edge, Ipv6Addr::LOCALHOST);
    });
}
