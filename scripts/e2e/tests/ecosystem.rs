//! Libraries of others in images, against real servers: an MQTT broker, and OpenSSL.

use std::{
    env, fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio, id},
    thread,
    time::{Duration, Instant},
};

use e2e::{Boot, needs_tap};

/// A server on the host, which ends with the test.
struct Server(Child);

impl Server {
    /// Starts it, and waits until it listens on `port` of the tap device.
    fn start(command: &mut Command, port: u16) -> Self {
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Server(silent.spawn().expect("scripts/setup.sh has installed it"));
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("10.0.2.2", port)).is_err() {
            assert!(Instant::now() < deadline, "{command:?} does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A file for a server.
fn file(name: &str) -> PathBuf {
    env::temp_dir().join(format!("axwire-{}-{name}", id()))
}

#[test]
fn rust_mqtt_gets_its_message_back_from_mosquitto() {
    if needs_tap() {
        return;
    }
    let config = file("mosquitto.conf");
    fs::write(&config, "listener 1883 10.0.2.2\nallow_anonymous true\n").unwrap();
    let path = format!("{}:/usr/sbin", env::var("PATH").unwrap());
    let mut mosquitto = Command::new("mosquitto");
    let _broker = Server::start(mosquitto.env("PATH", path).arg("-c").arg(&config), 1883);
    let console = Boot::new("mqtt").append("mqtt.broker=10.0.2.2:1883").start().wait_for_end();
    fs::remove_file(config).unwrap();
    assert!(console.contains("mqtt: got hello from a unikernel"), "{console}");
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let console = Boot::new("mqtt").append("mqtt.broker=10.0.2.2:1884").start().wait_for_end();
    assert!(console.contains("10.0.2.2:1884: Connection refused"), "{console}");
}

#[test]
fn embedded_tls_reads_a_page_from_openssl() {
    if needs_tap() {
        return;
    }
    let (key, certificate) = (file("key.pem"), file("certificate.pem"));
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test";
    let made = Command::new("openssl")
        .args(words.split(' '))
        .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
        .output()
        .expect("scripts/setup.sh has installed openssl");
    assert!(made.status.success(), "{made:?}");
    let mut openssl = Command::new("openssl");
    openssl.args("s_server -accept 10.0.2.2:4433 -tls1_3 -www".split(' '));
    openssl.arg("-key").arg(&key).arg("-cert").arg(&certificate);
    let _server = Server::start(&mut openssl, 4433);
    let console = Boot::new("tls").append("tls.server=10.0.2.2:4433").start().wait_for_end();
    fs::remove_file(key).unwrap();
    fs::remove_file(certificate).unwrap();
    assert!(console.contains("tls: HTTP/1.0 200 ok, "), "{console}");
}
