//! A real browser: headless Chromium, driven by the DevTools protocol.
//!
//! It takes commands from its descriptor 3 and answers on 4 (`--remote-debugging-pipe`): JSON, with a
//! zero byte behind each message. That needs neither a port nor a WebSocket.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio, id},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::{Value, json};

/// What the browser may be called. Debian's is the first.
const NAMES: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];
/// How long it may take to answer. It starts within a second or two; a loaded machine takes more.
const PATIENCE: Duration = Duration::from_secs(60);
/// Without the sandbox, which root may not have; without calls to its maker.
const ARGUMENTS: [&str; 9] = [
    "--remote-debugging-pipe",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
];

/// A browser with one page. Dropping it ends the browser.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<Value>,
    profile: PathBuf,
    last_id: u64,
    /// Names the page; empty until there is one.
    session: String,
}

/// Says that a test is left out where no browser can be had, and whether it is to be.
/// `scripts/setup.sh` installs one where there is a package of it.
pub fn needs_browser() -> bool {
    if program().is_none() {
        eprintln!("left out: none of {NAMES:?} is installed");
    }
    program().is_none()
}

fn program() -> Option<PathBuf> {
    let folders: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
    let files = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    files.into_iter().find(|file| file.is_file())
}

impl Browser {
    /// Starts the browser and opens a page.
    pub fn open(url: &str) -> Self {
        let profile = env::temp_dir().join(format!("axwire-browser-{}", id()));
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2"])
            .arg(program().expect("a browser"))
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // The program on the path may be a script that starts it.
            .process_group(0)
            .spawn()
            .expect("sh can be run");
        let commands = child.stdin.take().expect("piped");
        let answers = messages(child.stdout.take().expect("piped"));
        let mut browser =
            Browser { child, commands, answers, profile, last_id: 0, session: String::new() };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().expect("a name").into();
        let page = browser.call("Page.navigate", json!({ "url": url }));
        assert!(page["errorText"].is_null(), "{url}: {page}");
        browser
    }

    /// The value of a JavaScript expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn wait_until(&mut self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.evaluate(condition) != json!(true) {
            let is_late = Instant::now() > deadline;
            assert!(!is_late, "never in the page: {condition}\n{}", self.text());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the page shows.
    pub fn text(&mut self) -> String {
        self.evaluate("document.body?.innerText ?? ''").as_str().unwrap_or_default().into()
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("the browser runs");
        loop {
            let mut answer = self.answers.recv_timeout(PATIENCE).expect("the browser answers");
            // Others are events.
            if answer["id"] == self.last_id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).map(Pid::from_raw);
        let _gone = group.map(|group| killpg(group, Signal::SIGKILL));
        let _status = self.child.wait();
        let _removed = fs::remove_dir_all(&self.profile);
    }
}

/// What comes through a pipe, message by message.
fn messages(pipe: impl std::io::Read + Send + 'static) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(pipe).split(0).map_while(Result::ok) {
            let message = serde_json::from_slice(&message).expect("the browser writes JSON");
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
