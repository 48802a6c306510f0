//! Boots images under QEMU, for tests that drive them with real clients.
//!
//! The tests run one at a time, each with a guest of its own on the tap device of the network
//! namespace that `scripts/netns.sh` makes. Where that is not allowed (`AXWIRE_NET=user`) the guest
//! is on QEMU's user networking, and tests that need to see the wire say that they were left out.
//!
//! | module | what lives there |
//! |---|---|
//! | `browser` | Chromium, and what its page shows |
//! | `names` | a name server |
//! | `wire` | frames of the tests' own, and what the guest answers |
//! | `malformed` | frames that no well-behaved host sends |

#![allow(clippy::missing_panics_doc, reason = "a test harness panics when something is wrong")]

pub mod browser;
pub mod malformed;
pub mod names;
pub mod wire;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long a guest may take to say something. It takes a fraction of a second; a loaded machine
/// takes more.
const PATIENCE: Duration = Duration::from_secs(60);

/// The guest's address on the tap device; the host is 10.0.2.2.
pub const GUEST_IP: [u8; 4] = [10, 0, 2, 15];

/// How the kernel is told about that.
const STATIC: &str = "net.ip=10.0.2.15/24 net.gw=10.0.2.2 net.dns=10.0.2.3";

/// One guest at a time: there is one tap device, and few processors.
static ALONE: Mutex<()> = Mutex::new(());

/// Whether the guests are on a tap device, where the wire can be seen.
pub fn on_tap() -> bool {
    env::var("AXWIRE_NET").as_deref() == Ok("tap")
}

/// Says that a test was left out, and whether it is to be.
pub fn needs_tap() -> bool {
    if !on_tap() {
        eprintln!("left out: no tap device here (run it by scripts/netns.sh)");
    }
    !on_tap()
}

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds an application's image and returns its path.
pub fn image(app: &str) -> PathBuf {
    image_with(app, &[])
}

/// The same with variables: `SMP` and `AXNET`.
fn image_with(app: &str, variables: &[(&'static str, String)]) -> PathBuf {
    let smp = variables.iter().find(|(name, _)| *name == "SMP").map_or("1", |(_, smp)| smp);
    let output = Command::new(root().join("scripts/image.sh"))
        .args([app, "x86_64", smp, "warn"])
        .envs(variables.iter().cloned())
        .stderr(Stdio::inherit())
        .output()
        .expect("scripts/image.sh can be run");
    assert!(output.status.success(), "the image of {app} was not built");
    let printed = String::from_utf8(output.stdout).expect("a path is text");
    root().join(printed.lines().last().expect("a path was printed"))
}

/// How to boot a guest.
#[derive(Debug, Clone)]
pub struct Boot {
    app: &'static str,
    append: String,
    variables: Vec<(&'static str, String)>,
    user: bool,
}

impl Boot {
    /// An application with its defaults: 128 MiB, and a static address on the tap.
    pub fn new(app: &'static str) -> Self {
        Boot { app, append: STATIC.into(), variables: vec![], user: !on_tap() }
    }

    /// More words on the kernel's command line.
    pub fn append(mut self, words: &str) -> Self {
        self.append += " ";
        self.append += words;
        self
    }

    /// No network configuration on the command line but `words`.
    pub fn append_only(mut self, words: &str) -> Self {
        self.append = words.into();
        self
    }

    /// A variable of the Makefile, such as `MEM`.
    pub fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// QEMU's user networking, with its DHCP server, whatever the others use.
    pub fn user_networking(mut self) -> Self {
        self.user = true;
        self
    }

    /// Starts the guest.
    pub fn start(self) -> Guest {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let image = image_with(self.app, &self.variables);
        let forwards = "tcp:20080:80 tcp:20007:7 udp:20007:7 tcp:20009:9 tcp:20019:19";
        let mut child = Command::new(root().join("scripts/qemu.sh"))
            .arg(image)
            .env("NET_DEV", if self.user { "user" } else { "tap" })
            .env("HOSTFWD", forwards)
            .env("APPEND", self.append)
            .envs(self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("scripts/qemu.sh can be run");
        let console = Console::of(&mut child);
        Guest { child, console, user: self.user, _alone: alone }
    }

    /// Starts the guest and waits until it serves.
    pub fn serve(self) -> Guest {
        let greeting = format!("{}: ", self.app);
        let guest = self.start();
        guest.wait_for(&greeting);
        guest
    }
}

/// A running guest. Dropping it ends QEMU.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    console: Arc<Console>,
    user: bool,
    _alone: MutexGuard<'static, ()>,
}

impl Guest {
    /// Where a client on the host reaches a port of the guest.
    pub fn addr(&self, port: u16) -> SocketAddr {
        match self.user {
            true => SocketAddr::from(([127, 0, 0, 1], 20_000 + port)),
            false => SocketAddr::from((GUEST_IP, port)),
        }
    }

    /// The same as a URL.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr(80))
    }

    /// Waits until the console shows `text`; returns all that it has shown.
    pub fn wait_for(&self, text: &str) -> String {
        self.console.wait_for(text, PATIENCE)
    }

    /// Types a line on the console.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\r")).expect("QEMU reads");
    }

    /// Gives QEMU's monitor, which shares the console, a command.
    pub fn monitor(&mut self, command: &str) {
        const SWITCH: &str = "\x01c";
        self.type_line(&format!("{SWITCH}{command}"));
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(SWITCH.as_bytes()).expect("QEMU reads");
    }

    /// Waits until QEMU has ended by itself; returns what the console has shown.
    pub fn wait_for_end(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("QEMU is our child").is_none() {
            assert!(Instant::now() < deadline, "QEMU goes on:\n{}", self.console.text());
            thread::sleep(Duration::from_millis(20));
        }
        self.console.wait_for_end()
    }

    /// The processor time that QEMU has used, in the kernel's ticks of 10 ms.
    pub fn cpu_ticks(&self) -> u64 {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("QEMU is running");
        // proc(5): the name in parentheses may hold spaces; utime and stime are fields 14 and 15.
        let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
        let ticks = |field: &str| field.parse::<u64>().expect("a number");
        ticks(fields[11]) + ticks(fields[12])
    }

    /// Checks that a guest that has nothing to do takes less than so many ticks of 10 ms in 10 s.
    ///
    /// # Panics
    /// It takes more.
    pub fn assert_at_rest(&self, ticks_max: u64) {
        // What it was started with is over by then; there is no event that says so.
        thread::sleep(Duration::from_secs(2));
        let before = self.cpu_ticks();
        thread::sleep(Duration::from_secs(10));
        let used = self.cpu_ticks() - before;
        println!("at rest: {used} ticks of 10 ms in 10 s");
        assert!(used < ticks_max, "{used} ticks of 10 ms in 10 s are {} % of a CPU", used / 10);
    }

    /// One of the counters that `httpd` serves at `/stats`.
    pub fn stat(&self, name: &str) -> u64 {
        self.stats()[name].as_u64().unwrap_or_else(|| panic!("/stats has no {name}"))
    }

    /// All of them.
    pub fn stats(&self) -> Value {
        serde_json::from_slice(&curl(&[&self.url("/stats")])).expect("/stats is JSON")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- console ----\n{}\n-----------------", self.console.text());
        }
    }
}

/// What a command has printed so far.
#[derive(Debug, Default)]
pub struct Console {
    text: Mutex<(String, usize)>,
    changed: Condvar,
}

impl Console {
    /// Follows the output of a child, both streams of which are piped.
    pub fn of(child: &mut Child) -> Arc<Self> {
        let console = Arc::new(Console::default());
        console.follow(child.stdout.take().expect("piped"));
        console.follow(child.stderr.take().expect("piped"));
        console
    }

    /// Waits for `patience` until `wanted` has been printed; returns all that has.
    pub fn wait_for(&self, wanted: &str, patience: Duration) -> String {
        self.wait_until(&format!("{wanted:?}"), patience, |text, _| text.contains(wanted))
    }

    /// What has been printed.
    pub fn text(&self) -> String {
        self.text.lock().expect("no reader panics").0.clone()
    }

    fn follow(self: &Arc<Self>, pipe: impl std::io::Read + Send + 'static) {
        self.text.lock().expect("no reader panics").1 += 1;
        let console = self.clone();
        thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = vec![];
            while lines.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                console.text.lock().expect("no reader panics").0 += &String::from_utf8_lossy(&line);
                console.changed.notify_all();
                line.clear();
            }
            console.text.lock().expect("no reader panics").1 -= 1;
            console.changed.notify_all();
        });
    }

    fn wait_for_end(&self) -> String {
        self.wait_until("the end", PATIENCE, |_, open| open == 0)
    }

    fn wait_until(
        &self,
        what: &str,
        patience: Duration,
        done: impl Fn(&str, usize) -> bool,
    ) -> String {
        let state = self.text.lock().expect("no reader panics");
        let (state, _) = self
            .changed
            .wait_timeout_while(state, patience, |(text, open)| !done(text, *open) && *open > 0)
            .expect("no reader panics");
        assert!(done(&state.0, state.1), "the console never showed {what}:\n{}", state.0);
        state.0.clone()
    }
}

/// Runs curl, which must succeed, and returns what it received.
pub fn curl(arguments: &[&str]) -> Vec<u8> {
    run(Command::new("curl").args(["-sS", "--fail-with-body", "--max-time", "120"]).args(arguments))
}

/// Runs a command, which must succeed, and returns its output.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::piped()).output().expect("the command can be run");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {error}", output.status);
    output.stdout
}

/// Asks until the answer is right; at last shows what was answered.
pub fn eventually<T: std::fmt::Debug>(
    patience: Duration,
    ask: impl Fn() -> T,
    right: impl Fn(&T) -> bool,
) {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask();
        if right(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "still {answer:?} after {patience:?}");
        thread::sleep(Duration::from_millis(200));
    }
}
