//! Who is measured, and how each is started.

use std::{
    fmt, fs,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use cpio::newc;

use crate::{
    OUT, Result, images,
    machine::{Clock, Machine, Server},
    service::Service,
};

/// What the server of Linux and of the host is built for: a program without libraries.
const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";
/// No messages on the console, which is slow; a panic ends QEMU.
const LINUX_WORDS: &str = "console=ttyS0 quiet panic=-1";
/// Ours looks for work while it waits, for as long as the client takes. Where its work is counted, it
/// sleeps at once, as Linux does.
pub(crate) const WITHOUT_LOOKING: &str = "net.poll=0";
/// A regular file that everybody may execute.
const EXECUTABLE: u32 = 0o100_755;

/// One of those who are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    /// Our image.
    Axwire,
    /// An image with upstream's network.
    Upstream,
    /// A Linux guest.
    Linux,
    /// The same server as the Linux guest's, without a guest.
    Host,
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Contestant::Axwire => "Axwire",
            Contestant::Upstream => "upstream axnet",
            Contestant::Linux => "Linux guest",
            Contestant::Host => "host, no guest",
        })
    }
}

impl Contestant {
    pub(crate) const ALL: [Contestant; 4] =
        [Contestant::Axwire, Contestant::Upstream, Contestant::Linux, Contestant::Host];

    /// Builds and fetches what it needs for services.
    ///
    /// # Errors
    /// Something is not built; what, it has said.
    pub(crate) fn prepare(self, services: &[Service]) -> Result<()> {
        match self {
            Contestant::Axwire => {
                services.iter().try_for_each(|service| images::build(service.app()).map(drop))
            }
            Contestant::Upstream => run(Command::new("scripts/bench/peers.sh").arg("upstream")),
            Contestant::Linux => {
                run(Command::new("scripts/bench/peers.sh").arg("linux"))?;
                build_server()?;
                write_initrd(&Path::new(OUT).join("linux"))
            }
            Contestant::Host => build_server(),
        }
    }

    /// The machine that has a service; nothing for the host.
    pub(crate) fn machine(self, service: Service) -> Option<Machine> {
        match self {
            Contestant::Axwire => Some(Machine::new(images::path(service.app()))),
            Contestant::Upstream => {
                let program = upstream_program(service)?;
                Some(Machine::new(Path::new(OUT).join("upstream").join(program)))
            }
            Contestant::Linux => {
                let folder = Path::new(OUT).join("linux");
                let initrd = folder.join("initrd");
                Some(
                    Machine::new(folder.join("vmlinuz"))
                        .with_initrd(initrd)
                        .with_words(LINUX_WORDS),
                )
            }
            Contestant::Host => None,
        }
    }

    /// The machine that has a service, and counts the guest's instructions.
    pub(crate) fn counted(self, service: Service, plugin: &Path) -> Option<Machine> {
        let machine = self.machine(service)?.counted(plugin, Clock::Instructions);
        Some(match self {
            Contestant::Axwire => machine.with_words(WITHOUT_LOOKING),
            _ => machine,
        })
    }

    /// Starts it, in a machine with so much memory, and waits until a service answers.
    ///
    /// # Errors
    /// It does not start, or has no such service.
    pub(crate) fn start(self, service: Service, memory: &'static str) -> Result<Server> {
        match (self, self.machine(service)) {
            (Contestant::Host, _) => Server::on_host(host_command(service), service),
            (_, Some(machine)) => machine.with_memory(memory).boot(service),
            (_, None) => Err(format!("{self} has no such service").into()),
        }
    }
}

fn upstream_program(service: Service) -> Option<&'static str> {
    match service {
        Service::Http => Some("http"),
        Service::TcpEcho => Some("tcp_echo"),
        Service::UdpEcho => Some("udp_echo"),
        Service::Discard => Some("discard"),
        Service::Generate => Some("generate"),
        Service::KeyValue | Service::Iperf => None,
    }
}

/// The command that takes the address to listen on as one more argument.
fn host_command(service: Service) -> Command {
    match service {
        Service::KeyValue => {
            // Debian has the server itself in another package, which would start it as a service;
            // the checker is the same program under another name.
            let mut redis = Command::new("redis-check-rdb");
            std::os::unix::process::CommandExt::arg0(&mut redis, "redis-server");
            redis.args(["--save", "", "--protected-mode", "no", "--bind"]);
            redis
        }
        Service::Iperf => {
            let mut iperf = Command::new("iperf3");
            iperf.args(["--server", "--bind"]);
            iperf
        }
        _ => Command::new(server_path()),
    }
}

/// Runs a command that says itself what goes wrong.
///
/// # Errors
/// It has failed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(format!("{command:?} has failed").into()),
    }
}

fn build_server() -> Result<()> {
    run(Command::new("cargo")
        .args(["build", "--release", "--quiet", "--package", "bench-server"])
        .args(["--target", STATIC_TARGET, "--target-dir"])
        .arg(Path::new(OUT).join("server")))
}

fn server_path() -> PathBuf {
    Path::new(OUT).join("server").join(STATIC_TARGET).join("release/bench-server")
}

/// Linux's first file system: the server as the first process, and the drivers.
fn write_initrd(folder: &Path) -> Result<()> {
    let mut archive = File::create(folder.join("initrd"))?;
    let mut number = 0;
    let mut entry = |name: &str, mode: u32, content: &[u8]| -> Result<()> {
        number += 1;
        let header = newc::Builder::new(name).ino(number).mode(mode).nlink(1);
        let mut writer = header.write(&mut archive, u32::try_from(content.len())?);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    };
    entry("init", EXECUTABLE, &fs::read(server_path())?)?;
    entry("drivers", 0o040_755, &[])?;
    for driver in fs::read_dir(folder.join("drivers"))? {
        let driver = driver?;
        let name = format!("drivers/{}", driver.file_name().to_string_lossy());
        entry(&name, EXECUTABLE, &fs::read(driver.path())?)?;
    }
    newc::trailer(archive)?;
    Ok(())
}
