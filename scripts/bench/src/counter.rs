//! The guest's instructions, counted inside of QEMU by `plugin/count.c`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// Since this release of QEMU plugins keep their counters in scoreboards.
const SCOREBOARDS_SINCE: u32 = 9;

/// Its file's name.
const PLUGIN: &str = "count.so";

/// Builds the plugin for the QEMU of this machine.
///
/// # Errors
/// There is no QEMU or no C compiler.
pub(crate) fn build(out: &Path) -> Result<()> {
    let output = Command::new("qemu-system-x86_64").arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let release = major_release(&text).ok_or_else(|| format!("which QEMU is {text:?}?"))?;
    let api = if release < SCOREBOARDS_SINCE { 1 } else { 2 };
    fs::create_dir_all(out)?;
    let status = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", &format!("-DAPI={api}"), "-o"])
        .arg(out.join(PLUGIN))
        .arg("scripts/bench/plugin/count.c")
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err("the plugin was not built".into()),
    }
}

/// Where [`build`] has put it, from the root on: QEMU would look for it elsewhere.
///
/// # Errors
/// It is not there.
pub(crate) fn path(out: &Path) -> Result<PathBuf> {
    Ok(fs::canonicalize(out.join(PLUGIN))?)
}

fn major_release(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once("version ")?;
    rest.split('.').next()?.parse().ok()
}

/// A plugin that runs.
#[derive(Debug)]
pub(crate) struct Counter {
    socket: PathBuf,
}

impl Counter {
    /// The one that answers on `socket`.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Counter { socket }
    }

    /// Instructions since the guest started.
    pub(crate) fn total(&self) -> Result<u64> {
        Ok(self.ask(b't')?.trim().parse()?)
    }

    /// How often each translation block has begun since then.
    pub(crate) fn blocks(&self) -> Result<Blocks> {
        let text = self.ask(b'b')?;
        parse(&text).ok_or_else(|| "the plugin's answer is malformed".into())
    }

    /// Removes its socket, which QEMU leaves behind.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.socket);
    }

    fn ask(&self, question: u8) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.write_all(&[question])?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// Translation blocks by their number.
pub(crate) type Blocks = BTreeMap<u32, Block>;

/// Instructions that run one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    begins: u64,
    address: u64,
    /// Of each instruction, in bytes.
    lengths: Vec<u8>,
}

fn parse(text: &str) -> Option<Blocks> {
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(u32, Block)> {
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let begins = words.next()?.parse().ok()?;
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let digits = words.next()?.chars();
    let lengths = digits.map(|digit| Some(digit.to_digit(16)? as u8)).collect::<Option<_>>()?;
    Some((number, Block { begins, address, lengths }))
}

/// How often the instruction at each address ran between two looks at the blocks.
pub(crate) fn executions(before: &Blocks, after: &Blocks) -> BTreeMap<u64, u64> {
    let mut executions = BTreeMap::new();
    for (number, block) in after {
        let times = block.begins - before.get(number).map_or(0, |block| block.begins);
        let mut address = block.address;
        for length in block.lengths.iter().filter(|_| times > 0) {
            *executions.entry(address).or_default() += times;
            address += u64::from(*length);
        }
    }
    executions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright";
        assert_eq!(major_release(debian), Some(7));
        assert_eq!(major_release("QEMU emulator version 10.0.2"), Some(10));
        assert_eq!(major_release("command not found"), None);
    }

    #[test]
    fn blocks_that_overlap_add_up() {
        let before = parse("0 5 1000 13\n").expect("well-formed");
        let after = parse("0 7 1000 13\n1 10 1001 3f\n2 4 2000 1\n").expect("well-formed");
        let expected = [(0x1000, 2), (0x1001, 12), (0x1004, 10), (0x2000, 4)];
        assert_eq!(executions(&before, &after), BTreeMap::from(expected));
    }

    #[test]
    fn what_has_not_run_since_is_left_out() {
        let blocks = || parse("3 9 4000 22\n").expect("well-formed");
        assert_eq!(executions(&blocks(), &blocks()), BTreeMap::new());
    }

    #[test]
    fn malformed_answers() {
        for text in ["1", "1 2 xyz 1", "1 2 10", "1 2 10 1g", "-1 2 10 1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
