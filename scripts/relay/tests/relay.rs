//! The relay between two Unix sockets, which take the place of QEMU and a tap.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const FRAME_LEN: usize = 1514;

/// A running relay, and the sockets at both of its ends.
struct Cable {
    relay: Child,
    left: UnixDatagram,
    right: UnixDatagram,
    folder: PathBuf,
}

impl Cable {
    fn new(name: &str, rules: &[&str]) -> Self {
        let folder = env::temp_dir().join(format!("relay-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let socket = |end: &str| {
            let socket = UnixDatagram::bind(folder.join(end)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            socket
        };
        let (left, right) = (socket("left"), socket("right"));
        let end = |end: &str| format!("unix:{0}/relay-{end}:{0}/{end}", folder.display());
        let mut relay = Command::new(env!("CARGO_BIN_EXE_relay"))
            .args([end("left"), end("right")])
            .args(["--end-with-parent"])
            .args(rules)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(relay.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "relay: ready\n");
        left.connect(folder.join("relay-left")).unwrap();
        right.connect(folder.join("relay-right")).unwrap();
        Cable { relay, left, right, folder }
    }

    /// Sends a frame from left to right.
    fn send(&self, number: u32) {
        self.left.send(&frame(number)).expect("the relay receives");
    }

    /// Ends the relay and returns what it says from left to right.
    fn end(mut self) -> String {
        kill(Pid::from_raw(self.relay.id().cast_signed()), Signal::SIGTERM).unwrap();
        let mut said = String::new();
        self.relay.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.relay.wait().unwrap().success(), "{said}");
        assert!(!self.folder.join("relay-left").exists(), "its sockets go with it");
        said.lines().next().expect("a line per direction").into()
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.relay.kill();
        let _ = self.relay.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A frame with a number in it.
fn frame(number: u32) -> Vec<u8> {
    let mut frame = vec![7; FRAME_LEN];
    frame[14..18].copy_from_slice(&number.to_be_bytes());
    frame
}

fn receive(socket: &UnixDatagram) -> Option<Vec<u8>> {
    let mut buffer = [0; 2000];
    socket.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())
}

#[test]
fn frames_pass_unchanged_both_ways() {
    let cable = Cable::new("both", &[]);
    for number in 0..1000 {
        cable.send(number);
        assert_eq!(receive(&cable.right), Some(frame(number)));
        cable.right.send(&frame(number)).unwrap();
        assert_eq!(receive(&cable.left), Some(frame(number)));
    }
    let report = cable.end();
    assert!(report.contains("1000 received, 1000 passed, 0 lost"), "{report}");
}

#[test]
fn the_seed_decides_which_frames_are_lost() {
    /// Fewer than the relay keeps, should the receiver be late.
    const FRAMES: usize = 900;
    let survivors = |name, seed| {
        let cable = Cable::new(name, &["--loss", "20%", "--seed", seed]);
        let right = cable.right.try_clone().unwrap();
        let receiver = thread::spawn(move || {
            let frames = std::iter::from_fn(|| receive(&right));
            frames.map(|frame| frame[14..18].to_vec()).collect::<Vec<_>>()
        });
        (0..FRAMES as u32).for_each(|number| cable.send(number));
        (receiver.join().unwrap(), cable.end())
    };
    let (one, report) = survivors("one", "1");
    assert!((670..770).contains(&one.len()), "{} of {FRAMES}: {report}", one.len());
    assert!(report.contains(&format!("{} passed, {} lost", one.len(), FRAMES - one.len())));
    assert_eq!(one, survivors("same", "1").0);
    assert_ne!(one, survivors("other", "2").0);
}

/// No upper bound: the machine may be busy.
#[test]
fn each_direction_takes_half_of_the_round_trip() {
    let cable = Cable::new("delay", &["--rtt", "20ms"]);
    let mut took = vec![];
    for number in 0..100 {
        let since = Instant::now();
        cable.send(number);
        assert_eq!(receive(&cable.right), Some(frame(number)));
        took.push(since.elapsed());
    }
    took.sort();
    assert!(took[0] >= Duration::from_micros(9_990), "{:?}", took[0]);
    println!("median {:?}, worst {:?}; {}", took[50], took[99], cable.end());
}

#[test]
fn what_nobody_takes_is_counted() {
    let cable = Cable::new("crowd", &["--duplicate", "100%"]);
    // More than the relay and its far end keep: nobody receives.
    for number in 0..2000 {
        cable.send(number);
    }
    thread::sleep(Duration::from_millis(100));
    let report = cable.end();
    assert!(report.contains("2000 doubled") && report.contains("without room"), "{report}");
}

#[test]
fn frames_are_relayed_faster_than_a_gigabit_line_has_them() {
    const FRAMES: u32 = 200_000;
    let cable = Cable::new("fast", &["--rtt", "2ms", "--loss", "1%"]);
    let right = cable.right.try_clone().unwrap();
    let receiver = thread::spawn(move || {
        let count = std::iter::from_fn(|| receive(&right)).count();
        // The last wait was for nothing.
        (count, Instant::now() - Duration::from_secs(1))
    });
    let since = Instant::now();
    (0..FRAMES).for_each(|number| cable.send(number));
    let (count, until) = receiver.join().unwrap();
    let rate = f64::from(FRAMES) / (until - since).as_secs_f64();
    println!("{rate:.0} frames/s, {count} arrived; {}", cable.end());
    assert!(rate > 10_000.0, "{rate:.0} frames/s");
}

#[test]
fn bad_arguments_are_named() {
    for (arguments, complaint) in [
        (&["tap:no-such-tap", "unix:/tmp/a:/tmp/b"][..], "no-such-tap: "),
        (&["tap:tap0", "qemu:x"], "expected tap:NAME or unix:OUR_PATH:THEIR_PATH"),
        (&["tap:a", "tap:b", "--loss", "0.02"], "expected a percentage such as 2% or 0.05%"),
        (&["tap:a", "tap:b", "--rtt", "20"], "expected a time such as 20ms"),
        (&["tap:a", "tap:b", "--queue", "1MB"], "--rate"),
        (&["tap:a", "tap:b", "--rate", "1Mbit", "--queue", "1KB"], "a frame needs 1518 bytes"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_relay")).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(complaint), "{arguments:?}: {said}");
    }
}
