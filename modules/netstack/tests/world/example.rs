// What the examples in the documentation run on: a host alone on its network. They include it in a
// module of their own: no inner attributes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use netdev::cable::{CableEnd, cable};
use netstack::{Addressing, Config, Instant, Ipv4Config, Next, Stack, TcpListener, TcpStream};

pub(crate) fn device() -> CableEnd {
    cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500).0
}

/// 10.0.0.1/24.
pub(crate) fn config() -> Config {
    let address = Ipv4Config {
        address: [10, 0, 0, 1].into(),
        prefix_len: 24,
        gateway: None,
        dns: vec![[10, 0, 0, 2].into()],
    };
    Config { addressing: Addressing::Static(address), seed: [1; 32], memory_limit: 16 << 20 }
}

/// A stack, and what polls it until it rests.
pub(crate) fn host() -> (Stack, impl FnMut()) {
    let mut device = device();
    let stack = Stack::new(&config(), &device);
    let poll = {
        let (stack, mut micros) = (stack.clone(), 0);
        move || {
            micros += 1;
            while stack.poll(Instant::from_micros(micros), &mut device, 64) == Next::Now {}
        }
    };
    (stack, poll)
}

/// Both ends of a connection: who has connected, who has accepted.
pub(crate) fn pair(stack: &Stack, poll: &mut impl FnMut()) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(stack, "127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let client = TcpStream::connect(stack, None, listener.local_addr()).unwrap();
    poll();
    (client, listener.try_accept().unwrap())
}

/// Tells whether it was woken.
#[derive(Default)]
pub(crate) struct Bell(AtomicBool);

impl Bell {
    pub(crate) fn new() -> (Arc<Bell>, Waker) {
        let bell = Arc::new(Bell::default());
        (bell.clone(), bell.into())
    }

    pub(crate) fn has_rung(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
