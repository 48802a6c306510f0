//! smoltcp at both ends, all sockets of an end in one `SocketSet`: the usual way to use it.
//!
//! It is spared what it can be: each turn makes the fewest calls that move the frames, nobody asks
//! it for its next deadline, and the application knows which socket to look at.

use smoltcp::{
    iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet},
    socket::{
        Socket as AnySocket,
        tcp::{CongestionControl, Socket, SocketBuffer},
    },
    time::{Duration, Instant},
    wire::{EthernetAddress, IpAddress, IpCidr},
};

use crate::{
    link::{CLIENT_MAC, End, SERVER_MAC, link},
    world::{BUFFER_LEN, ECHO_LEN, ECHO_TIME, PAUSE, SERVER_PORT, World, client_port},
};

const SERVER_ADDRESS: IpAddress = IpAddress::v4(10, 0, 0, 1);
const CLIENT_ADDRESS: IpAddress = IpAddress::v4(10, 0, 0, 2);

struct Host {
    iface: Interface,
    end: End,
    sockets: SocketSet<'static>,
    flows: Vec<SocketHandle>,
}

impl Host {
    fn new(mac: [u8; 6], address: IpAddress, mut end: End, flows: usize) -> Self {
        let config = Config::new(EthernetAddress(mac).into());
        let mut iface = Interface::new(config, &mut end, Instant::ZERO);
        iface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(address, 24)).expect("there is room for one address");
        });
        let sockets = SocketSet::new(Vec::new());
        Host { iface, end, sockets, flows: Vec::with_capacity(flows) }
    }

    fn receive(&mut self, now: Instant) {
        let result =
            |host: &mut Host| host.iface.poll_ingress_single(now, &mut host.end, &mut host.sockets);
        while self.end.has_frames() && result(self) != PollIngressSingleResult::None {}
    }

    fn send(&mut self, now: Instant) {
        self.iface.poll_egress(now, &mut self.end, &mut self.sockets);
    }

    fn socket(&mut self, flow: usize) -> &mut Socket<'static> {
        self.sockets.get_mut(self.flows[flow])
    }

    fn add(&mut self, socket: Socket<'static>) {
        let handle = self.sockets.add(socket);
        self.flows.push(handle);
    }
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER_LEN]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_congestion_control(CongestionControl::Reno);
    socket
}

/// A server and a client.
pub(crate) struct Plain {
    now: Instant,
    server: Host,
    client: Host,
}

impl Plain {
    /// Two hosts with room for `flows` connections.
    pub(crate) fn new(flows: usize) -> Self {
        let (server, client) = link();
        Plain {
            now: Instant::ZERO,
            server: Host::new(SERVER_MAC, SERVER_ADDRESS, server, flows),
            client: Host::new(CLIENT_MAC, CLIENT_ADDRESS, client, flows),
        }
    }

    /// Opens a connection, the only one in its sets: among all of them it would take minutes.
    fn connect(&mut self, flow: usize) {
        let (mut listening, mut connecting) = (socket(), socket());
        listening.listen(SERVER_PORT).expect("a fresh socket and a port that is not 0");
        let (remote, local) = ((SERVER_ADDRESS, SERVER_PORT), client_port(flow));
        let connected = connecting.connect(self.client.iface.context(), remote, local);
        connected.expect("a fresh socket and addresses that are specified");
        self.server.add(listening);
        self.client.add(connecting);
        while !self.client.socket(0).may_send() {
            self.turn(0, &mut [0; ECHO_LEN]);
        }
        self.echo(0);
        self.advance(PAUSE);
        self.turn(0, &mut [0; ECHO_LEN]);
    }

    fn advance(&mut self, time: std::time::Duration) {
        self.now += Duration::from(time);
    }
}

/// Takes the only socket of a set out of it.
fn take_only(host: &mut Host) -> Socket<'static> {
    let handle = host.flows.remove(0);
    match host.sockets.remove(handle) {
        AnySocket::Tcp(socket) => socket,
        _ => unreachable!("only TCP sockets are added"),
    }
}

impl World for Plain {
    fn open(&mut self, flows: usize) {
        let room = || (SocketSet::new(Vec::new()), Vec::with_capacity(flows));
        let (mut servers, mut clients) = (room(), room());
        for flow in 0..flows {
            self.connect(flow);
            for (host, (sockets, handles)) in
                [(&mut self.server, &mut servers), (&mut self.client, &mut clients)]
            {
                handles.push(sockets.add(take_only(host)));
            }
        }
        (self.server.sockets, self.server.flows) = servers;
        (self.client.sockets, self.client.flows) = clients;
    }

    fn send(&mut self, flow: usize, data: &[u8; ECHO_LEN]) {
        self.advance(ECHO_TIME);
        let sent = self.client.socket(flow).send_slice(data);
        assert_eq!(sent, Ok(ECHO_LEN));
    }

    fn turn(&mut self, flow: usize, answer: &mut [u8; ECHO_LEN]) -> bool {
        self.client.send(self.now);
        self.server.receive(self.now);
        let socket = self.server.socket(flow);
        if socket.can_recv() {
            let mut data = [0; ECHO_LEN];
            let received = socket.recv_slice(&mut data);
            assert_eq!(received.map(|len| socket.send_slice(&data[..len])), Ok(Ok(ECHO_LEN)));
        }
        self.server.send(self.now);
        self.client.receive(self.now);
        let socket = self.client.socket(flow);
        socket.can_recv() && socket.recv_slice(answer).is_ok()
    }

    fn frames(&self) -> usize {
        self.client.end.frames()
    }
}
