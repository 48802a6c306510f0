//! Servers to measure: guests in QEMU, the same machine for everybody, on a tap in the namespace
//! with a static address; and a process of the host.

use std::{
    env,
    error::Error,
    fs,
    io::{BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

use crate::{Result, counter::Counter, load::http, service::Service};

/// The tap, and the addresses at its ends.
const TAP: &str = "tap0";
const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15));
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));
/// How a guest is told about that.
const ADDRESS: &str = "net.ip=10.0.2.15/24 net.gw=10.0.2.2";
/// QEMU gives its first card this address.
const GUEST_MAC: &str = "52:54:00:12:34:56";
/// Every guest's memory: the most that upstream's heap can manage.
pub(crate) const MEMORY: &str = "256M";
/// Where thousands of connections are to be held.
pub(crate) const MEMORY_MORE: &str = "512M";
/// How long a server may take to answer. Linux takes some seconds; a loaded machine takes more.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an attempt to connect, or a datagram, waits for its answer. The host would repeat a
/// SYN that is lost after a second, which would be measured, too.
const ATTEMPT: Duration = Duration::from_millis(250);
/// Between attempts that are refused.
const BETWEEN: Duration = Duration::from_millis(1);
/// What a guest does after its first answer is over by then.
const SETTLING: Duration = Duration::from_millis(700);
/// Datagrams ahead of the first attempt to connect. QEMU takes a frame from the tap before the
/// guest has a driver, and throws it away at each reset of the card. They are for everybody: nobody
/// answers those (RFC 1122 section 3.2.2).
const AHEAD: usize = 16;
const EVERYBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 255);
/// What the kernel shows of a process that has become QEMU: 15 bytes of the program's name.
const QEMU: &str = "qemu-system-x86";
/// How long a kernel that has just lost its server may take to free the tap.
const RELEASE: Duration = Duration::from_millis(100);

/// How time passes in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// As outside.
    Real,
    /// By its instructions, 4 ns each, while it is busy. What it does hardly depends on the host's
    /// speed then.
    Instructions,
}

/// What is booted.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    kernel: PathBuf,
    initrd: Option<PathBuf>,
    words: &'static str,
    plugin: Option<(PathBuf, Clock)>,
    memory: &'static str,
    /// The rules of the relay between it and the tap.
    relay: Option<String>,
}

impl Machine {
    /// A machine that boots an image or a kernel.
    pub(crate) fn new(kernel: impl Into<PathBuf>) -> Self {
        Machine {
            kernel: kernel.into(),
            initrd: None,
            words: "",
            plugin: None,
            memory: MEMORY,
            relay: None,
        }
    }

    /// With the kernel's first file system.
    pub(crate) fn with_initrd(self, initrd: PathBuf) -> Self {
        Machine { initrd: Some(initrd), ..self }
    }

    /// With more words on the kernel's command line.
    pub(crate) fn with_words(self, words: &'static str) -> Self {
        Machine { words, ..self }
    }

    /// With so much memory, as QEMU has it.
    pub(crate) fn with_memory(self, memory: &'static str) -> Self {
        Machine { memory, ..self }
    }

    /// Behind a relay with these rules, which leaves no offloads to anybody.
    pub(crate) fn behind(self, relay: String) -> Self {
        Machine { relay: Some(relay), ..self }
    }

    /// With the plugin that counts.
    pub(crate) fn counted(mut self, plugin: &Path, clock: Clock) -> Self {
        self.plugin = Some((plugin.into(), clock));
        self
    }

    /// The length of the files that it boots, in bytes.
    pub(crate) fn image_len(&self) -> Result<u64> {
        let kernel = fs::metadata(&self.kernel)?.len();
        Ok(kernel
            + self.initrd.as_ref().map_or(Ok(0), |path| fs::metadata(path).map(|m| m.len()))?)
    }

    /// Starts it and waits until a service answers and the start is over.
    ///
    /// # Errors
    /// It does not start, or does not answer.
    pub(crate) fn boot(&self, service: Service) -> Result<Server> {
        let mut server = self.start()?;
        server.wait_for(service)?;
        thread::sleep(SETTLING);
        Ok(server)
    }

    /// Starts it, no more.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(&self) -> Result<Server> {
        wait_for_tap()?;
        fix_neighbour()?;
        let socket = env::temp_dir().join(format!("axwire-bench-{}", std::process::id()));
        let mut command = Command::new("scripts/qemu.sh");
        command
            .arg(&self.kernel)
            .env("NET_DEV", if self.relay.is_some() { "relay" } else { "tap" })
            .env("RELAY", self.relay.as_deref().unwrap_or_default())
            .env("MEM", self.memory)
            .env("APPEND", format!("{ADDRESS} {}", self.words))
            .env("QEMU_ARGS", self.options(&socket))
            .env("TCG_THREAD", self.threads());
        let counter = self.plugin.as_ref().map(|_| Counter::new(socket));
        let mut server = Server::spawn(command, GUEST, counter)?;
        server.wait_until("the script becomes QEMU", |server| server.is_qemu())?;
        server.started = Instant::now();
        Ok(server)
    }

    fn options(&self, socket: &Path) -> String {
        let initrd = self.initrd.iter().map(|path| format!("-initrd {} ", path.display()));
        let plugin = self.plugin.iter().map(|(plugin, clock)| {
            let icount = match clock {
                Clock::Real => "",
                Clock::Instructions => "-icount shift=2,sleep=on ",
            };
            format!("{icount}-plugin {},socket={} ", plugin.display(), socket.display())
        });
        initrd.chain(plugin).collect()
    }

    /// Instructions are a clock for one thread only.
    fn threads(&self) -> &'static str {
        match self.plugin {
            Some((_, Clock::Instructions)) => "single",
            _ => "multi",
        }
    }
}

/// Waits until nobody holds the tap. A relay ends a moment after its QEMU.
fn wait_for_tap() -> Result<()> {
    let since = Instant::now();
    thread::sleep(RELEASE);
    while tap_is_up()? {
        if since.elapsed() > PATIENCE {
            return Err("somebody holds the tap".into());
        }
        thread::sleep(BETWEEN);
    }
    Ok(())
}

/// Tells the host where the guest is, so that nobody waits for ARP, whose repeats are a second
/// apart.
fn fix_neighbour() -> Result<()> {
    let status = Command::new("ip")
        .args(["neighbour", "replace", &GUEST.to_string(), "lladdr", GUEST_MAC])
        .args(["dev", TAP, "nud", "permanent"])
        .status()?;
    if status.success() { Ok(()) } else { Err("ip neighbour has failed".into()) }
}

/// Whether QEMU holds the tap's other end. What is sent to the guest before it takes any rests
/// there.
fn tap_is_up() -> Result<bool> {
    let is_running = |flags: InterfaceFlags| flags.contains(InterfaceFlags::IFF_RUNNING);
    Ok(getifaddrs()?.any(|it| it.interface_name == TAP && is_running(it.flags)))
}

/// Collects what a pipe says; it would fill up otherwise.
fn follow(pipe: impl Read + Send + 'static, console: &Arc<Mutex<String>>) {
    let console = console.clone();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(std::io::Result::ok) {
            let mut console = console.lock().expect("no reader panics");
            console.push_str(&String::from_utf8_lossy(&line));
            console.push('\n');
        }
    });
}

/// A server that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    console: Arc<Mutex<String>>,
    address: IpAddr,
    counter: Option<Counter>,
    started: Instant,
}

impl Server {
    /// Starts a process of the host, to which `command` adds its address, and waits until a service
    /// answers.
    ///
    /// # Errors
    /// It does not start, or does not answer.
    pub(crate) fn on_host(mut command: Command, service: Service) -> Result<Self> {
        command.arg(HOST.to_string());
        let mut server = Server::spawn(command, HOST, None)?;
        server.wait_for(service)?;
        Ok(server)
    }

    fn spawn(mut command: Command, address: IpAddr, counter: Option<Counter>) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        let started = Instant::now();
        let console = Arc::new(Mutex::default());
        follow(process.stdout.take().expect("piped"), &console);
        follow(process.stderr.take().expect("piped"), &console);
        Ok(Server { process, console, address, counter, started })
    }

    /// Where a service is.
    pub(crate) fn addr(&self, service: Service) -> SocketAddr {
        (self.address, service.port()).into()
    }

    /// When it was started, which for a guest is when QEMU was.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// What counts its instructions.
    ///
    /// # Errors
    /// It was started without.
    pub(crate) fn counter(&self) -> Result<&Counter> {
        self.counter.as_ref().ok_or_else(|| "nobody counts here".into())
    }

    /// Whether it is behind the tap.
    pub(crate) fn is_guest(&self) -> bool {
        self.address == GUEST
    }

    /// An error, with the last lines that it has printed.
    pub(crate) fn explain(&self, error: Box<dyn Error>) -> Box<dyn Error> {
        match self.last_words() {
            words if words.is_empty() => error,
            words => format!("{error}; its last words: {words}").into(),
        }
    }

    /// What follows in the first line that it has printed with these words.
    pub(crate) fn said(&self, words: &str) -> Option<String> {
        let console = self.console.lock().expect("no reader panics");
        let mut lines = console.lines();
        lines.find_map(|line| line.split_once(words)).map(|(_, rest)| rest.trim().to_owned())
    }

    /// The last lines that it has printed.
    fn last_words(&self) -> String {
        const LINES: usize = 12;
        let console = self.console.lock().expect("no reader panics");
        let lines: Vec<_> = console.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// The processor time that it has used.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let ticks = cpu_ticks(&stat).ok_or("/proc/…/stat is malformed")?;
        Ok(Duration::from_millis(10) * u32::try_from(ticks)?)
    }

    /// The memory that it takes from the host, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        resident_len(&status).ok_or_else(|| "/proc/…/status is malformed".into())
    }

    /// Waits until a service answers.
    ///
    /// # Errors
    /// It ends before, or takes too long.
    pub(crate) fn wait_for(&mut self, service: Service) -> Result<()> {
        if self.is_guest() {
            self.wait_until("QEMU opens the tap", |_| tap_is_up())?;
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_broadcast(true)?;
            for _ in 0..AHEAD {
                socket.send_to(&[], (EVERYBODY, Service::Discard.port()))?;
            }
        }
        self.wait_until("the server answers", |server| server.answers(service))
    }

    fn wait_until(&mut self, what: &str, is_so: impl Fn(&Server) -> Result<bool>) -> Result<()> {
        while !is_so(self)? {
            if self.process.try_wait()?.is_some() || self.started.elapsed() > PATIENCE {
                return Err(format!("it never came to that {what}:\n{}", self.last_words()).into());
            }
            thread::sleep(BETWEEN);
        }
        Ok(())
    }

    /// Whether the process is QEMU yet, rather than the script that starts it.
    fn is_qemu(&self) -> Result<bool> {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.process.id()))?;
        Ok(name.trim_end() == QEMU)
    }

    fn answers(&self, service: Service) -> Result<bool> {
        let addr = self.addr(service);
        match service {
            Service::Http => Ok(http::answers(addr, ATTEMPT)?),
            Service::UdpEcho => Self::echoes(addr),
            _ => Ok(TcpStream::connect_timeout(&addr, ATTEMPT).is_ok()),
        }
    }

    fn echoes(addr: SocketAddr) -> Result<bool> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(addr)?;
        socket.set_read_timeout(Some(ATTEMPT))?;
        Ok(socket.send(b"?").and_then(|_| socket.recv(&mut [0])).is_ok())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(counter) = &self.counter {
            counter.remove();
        }
    }
}

/// proc(5): the name in parentheses may hold spaces; utime and stime are fields 14 and 15, in ticks
/// of 10 ms.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn resident_len(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 1200 34 0 0";
        assert_eq!(cpu_ticks(stat), Some(1234));
        assert_eq!(cpu_ticks("42 (a) S 1 2"), None);
    }

    #[test]
    fn resident_memory() {
        assert_eq!(
            resident_len("Name:\tq\nVmRSS:\t   64000 kB\nRssAnon: 1 kB\n"),
            Some(65_536_000)
        );
        assert_eq!(resident_len("Name:\tq\n"), None);
    }
}
