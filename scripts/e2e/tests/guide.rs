//! The guide at the head of `axwire`, followed to the letter from an empty folder.

use std::{
    env, fs,
    io::Write,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use e2e::{Console, root, run};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// How long the image may take to be built and booted: about a minute, on a loaded machine more.
const BUILD_TIME: Duration = Duration::from_secs(900);
const HEADING: &str = "# From an empty folder to an answer";

/// A block of code, and the text between it and the one before.
#[derive(Debug, Default)]
struct Block {
    text: String,
    language: String,
    code: String,
}

impl Block {
    /// The file that the text names last.
    fn file(&self) -> &str {
        self.text.rsplit('`').nth(1).expect("the text names a file")
    }

    /// A command, and what stands in the comment behind it.
    fn command(&self) -> (&str, &str) {
        let (command, comment) = self.code.split_once('#').unwrap_or((&self.code, ""));
        (command.trim(), comment.trim())
    }
}

/// The guide's blocks of code, in their order.
fn blocks() -> Vec<Block> {
    let source = fs::read_to_string(root().join("api/axwire/src/lib.rs")).unwrap();
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let guide = lines.skip_while(|line| *line != HEADING).skip(1);
    let (mut blocks, mut block, mut is_code) = (vec![], Block::default(), false);
    for line in guide.take_while(|line| !line.starts_with("# ")) {
        match line.strip_prefix("```") {
            Some(_) if is_code => blocks.push(std::mem::take(&mut block)),
            Some(language) => block.language = language.into(),
            None if is_code => block.code += &format!("{line}\n"),
            None => block.text += &format!("{line}\n"),
        }
        is_code ^= line.starts_with("```");
    }
    blocks
}

/// A folder with nothing but a checkout in it. It always has the same name, so that Cargo finds what
/// it has built for it before.
fn folder() -> PathBuf {
    let folder = env::temp_dir().join("axwire-guide");
    let _old = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    symlink(root().canonicalize().unwrap(), folder.join("axwire")).unwrap();
    folder
}

/// A command as a user types it. There is no internet here, and what `make test` has set for itself
/// is not meant for it.
fn shell(command: &str, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder);
    shell.env("PWD", folder).env("CARGO_NET_OFFLINE", "true");
    for name in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "AXNET", "SMP", "NET_DEV"] {
        shell.env_remove(name);
    }
    shell
}

/// A command that goes on until it is told to end, with all that it has started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _status = self.0.wait();
    }
}

#[test]
fn a_newcomer_gets_the_answer_that_the_guide_promises() {
    let blocks = blocks();
    let languages: Vec<_> = blocks.iter().map(|block| block.language.as_str()).collect();
    assert_eq!(languages, ["sh", "toml", "no_run", "sh", "sh"]);
    let folder = folder();
    run(&mut shell(blocks[0].command().0, &folder));
    for block in &blocks[1..3] {
        fs::write(folder.join(block.file()), &block.code).unwrap();
    }

    let mut make = shell(blocks[3].command().0, &folder);
    make.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut make = Running(make.spawn().unwrap());
    let console = Console::of(&mut make.0);
    let promised = blocks[3].text.rsplit("says `").next().and_then(|rest| rest.split('`').next());
    console.wait_for(promised.expect("the guide promises something"), BUILD_TIME);

    let (command, answer) = blocks[4].command();
    let answered = String::from_utf8(run(&mut shell(command, &folder))).unwrap();
    assert!(!answer.is_empty() && answered.trim_end() == answer, "{command}: {answered:?}");

    // "Leave QEMU with Ctrl-A X."
    make.0.stdin.as_mut().expect("piped").write_all(b"\x01x").unwrap();
    let ended = (0..600).any(|_| {
        thread::sleep(Duration::from_millis(100));
        make.0.try_wait().unwrap().is_some_and(|status| status.success())
    });
    assert!(ended, "QEMU goes on:\n{}", console.text());
    fs::remove_dir_all(folder).unwrap();
}
