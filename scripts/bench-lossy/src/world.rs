//! A server at the other end of the relay.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::{Path as FilePath, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::Settings;

/// How long a process may take to say that it is ready: the relay may have to be built.
const PATIENCE: Duration = Duration::from_secs(180);
/// The tap device of this namespace, and that of the other.
const TAP: &str = "tap0";
const PEER_TAP: &str = "tap1";
const GUEST: ([u8; 4], u16) = ([10, 0, 2, 15], 80);
/// An address of its own, so that the guest's neighbour entry is not used for it.
const PEER: ([u8; 4], u16) = ([10, 0, 2, 16], 80);
/// Two bodies of 50 MB, and what the image needs itself.
const GUEST_MEMORY: &str = "256M";

/// Whose TCP is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    Axwire,
    Linux,
}

impl Contestant {
    pub(crate) const ALL: [Contestant; 2] = [Contestant::Axwire, Contestant::Linux];
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Contestant::Axwire => "axwire",
            Contestant::Linux => "linux",
        })
    }
}

/// What one transfer runs over.
#[derive(Debug)]
pub(crate) struct Path<'a> {
    pub(crate) loss: &'a str,
    pub(crate) congestion: &'a str,
    pub(crate) seed: u64,
}

/// A relay and a server. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct World {
    processes: Vec<Child>,
    pub(crate) server: SocketAddr,
}

impl World {
    /// Starts both, and waits until the server listens.
    ///
    /// # Errors
    /// One of them does not start.
    pub(crate) fn start(
        contestant: Contestant,
        path: &Path<'_>,
        settings: &Settings,
        image: &FilePath,
    ) -> io::Result<Self> {
        let mut world = World { processes: vec![], server: GUEST.into() };
        let log = settings.out.join(format!("{contestant}-{}-{}.log", path.loss, path.congestion));
        let log = File::create(log)?;
        let rules = rules(path, settings);
        match contestant {
            Contestant::Axwire => world.start_guest(&rules, image, &log)?,
            Contestant::Linux => world.start_peer(&rules, path.congestion, &log)?,
        }
        Ok(world)
    }

    fn start_guest(&mut self, rules: &[String], image: &FilePath, log: &File) -> io::Result<()> {
        let mut command = Command::new("scripts/qemu.sh");
        command
            .arg(image)
            .env("NET_DEV", "relay")
            .env("TAP", TAP)
            .env("RELAY", rules.join(" "))
            .env("MEM", GUEST_MEMORY)
            .env("APPEND", "net.ip=10.0.2.15/24 net.gw=10.0.2.2");
        self.spawn(command, log, "httpd: ")
    }

    fn start_peer(&mut self, rules: &[String], congestion: &str, log: &File) -> io::Result<()> {
        self.server = PEER.into();
        let mut command = Command::new("scripts/peer.sh");
        command.args([PEER_TAP, "10.0.2.16/24"]);
        command.arg(std::env::current_exe()?).args(["serve", congestion]);
        self.spawn(command, log, "listening")?;
        let pid = self.processes.last().map_or(0, Child::id);
        let mut command = Command::new("scripts/relay.sh");
        command.args([format!("tap:{TAP}"), format!("tap:{PEER_TAP}@{pid}")]).args(rules);
        command.arg("--end-with-parent");
        self.spawn(command, log, "relay: ready")
    }

    /// Starts a process and waits until it says `greeting`.
    fn spawn(&mut self, mut command: Command, log: &File, greeting: &str) -> io::Result<()> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.try_clone()?).spawn()?;
        let console = child.stdout.take().expect("piped");
        self.processes.push(child);
        let mut lines = BufReader::new(console).lines();
        let since = Instant::now();
        while since.elapsed() < PATIENCE
            && let Some(line) = lines.next().transpose()?
        {
            if line.contains(greeting) {
                // Whatever it says from now on must not fill the pipe.
                thread::spawn(move || lines.for_each(drop));
                return Ok(());
            }
        }
        let program = command.get_program().to_string_lossy().into_owned();
        Err(io::Error::other(format!("{program} never said {greeting:?}; see the logs")))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The relay first: it must not find its tap gone. By a signal on which it says what it did.
        for mut process in self.processes.drain(..).rev() {
            let _ = kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGTERM);
            let _ = process.wait();
        }
    }
}

/// The relay's arguments.
fn rules(path: &Path<'_>, settings: &Settings) -> Vec<String> {
    let Settings { rtt, rate, queue, .. } = settings;
    let pairs = [
        ("--loss", path.loss),
        ("--rtt", rtt),
        ("--rate", rate),
        ("--queue", queue),
        ("--seed", &path.seed.to_string()),
    ];
    pairs.iter().flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()]).collect()
}

/// Builds `httpd` and returns its image's path.
///
/// # Errors
/// It is not built; why, the compiler has said.
pub(crate) fn image() -> io::Result<PathBuf> {
    let output = Command::new("scripts/image.sh").arg("httpd").stderr(Stdio::inherit()).output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    match printed.lines().last() {
        Some(path) if output.status.success() => Ok(path.into()),
        _ => Err(io::Error::other("the image was not built")),
    }
}
