//! What commands do. One at a time, with the time as an argument; nothing here waits.
//!
//! | module | what lives there |
//! |---|---|
//! | here | the table of commands, and errors in Redis's words |
//! | `strings` | values |
//! | `keys` | keys, and how long they live |
//! | `server` | what concerns the connection and the server |

mod keys;
mod server;
mod strings;

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::{
    resp::{Args, Replies, integer},
    store::{Store, StoreError},
};

/// Of an unknown command's arguments, this much is quoted, as in Redis.
const QUOTE_LEN_MAX: usize = 128;

/// What a connection knows about its client.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) id: u64,
    /// What `CLIENT SETNAME` has set.
    name: Vec<u8>,
    /// The client has said that it will send nothing more.
    pub(crate) has_quit: bool,
}

impl Session {
    pub(crate) fn new(id: u64) -> Self {
        Session { id, ..Session::default() }
    }
}

/// What the server is like now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present {
    /// Since the start.
    pub(crate) now_ms: u64,
    pub(crate) clients: usize,
}

/// Carries out one command.
pub(crate) fn execute(
    args: Args<'_>,
    present: Present,
    store: &mut Store,
    session: &mut Session,
    replies: &mut Replies,
) {
    let mut call = Call { args, present, store, session, replies };
    if let Err(error) = call.run() {
        replies.restart();
        replies.error(format_args!("{error}"));
    }
    replies.end();
}

/// A command under way.
struct Call<'a> {
    args: Args<'a>,
    present: Present,
    store: &'a mut Store,
    session: &'a mut Session,
    replies: &'a mut Replies,
}

impl<'a> Call<'a> {
    fn run(&mut self) -> Result<(), Error> {
        let command = find(self.args.get(0)).ok_or_else(|| self.unknown())?;
        if !command.takes(self.args.len()) {
            return Err(Error::WrongNumber(command.name));
        }
        (command.run)(self)
    }

    fn unknown(&self) -> Error {
        let mut quoted = String::new();
        for arg in self.args.from(1) {
            if quoted.len() >= QUOTE_LEN_MAX {
                break;
            }
            quoted += &alloc::format!("'{}' ", shown(arg, QUOTE_LEN_MAX - quoted.len()));
        }
        Error::Unknown(shown(self.args.get(0), QUOTE_LEN_MAX), quoted)
    }

    fn arg(&self, index: usize) -> &'a [u8] {
        self.args.get(index)
    }

    /// Whether an argument is a word, in upper or lower case.
    fn is(&self, index: usize, word: &str) -> bool {
        self.arg(index).eq_ignore_ascii_case(word.as_bytes())
    }

    fn number(&self, index: usize) -> Result<i64, Error> {
        integer(self.arg(index)).ok_or(Error::NotInteger)
    }

    fn now_ms(&self) -> u64 {
        self.present.now_ms
    }
}

/// The start of what a client has sent, as text.
fn shown(bytes: &[u8], len_max: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(len_max)]).into_owned()
}

/// A command that is known.
struct Command {
    name: &'static str,
    /// How many arguments it takes, its name included; at least so many if it is negative.
    arity: i8,
    /// Where its keys are: the first, the last (from the end if it is negative), and each how many.
    keys: (i8, i8, i8),
    run: fn(&mut Call<'_>) -> Result<(), Error>,
}

impl Command {
    fn takes(&self, len: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { len >= arity } else { len == arity }
    }
}

const fn command(
    name: &'static str,
    arity: i8,
    keys: (i8, i8, i8),
    run: fn(&mut Call<'_>) -> Result<(), Error>,
) -> Command {
    Command { name, arity, keys, run }
}

const NO_KEY: (i8, i8, i8) = (0, 0, 0);
const ONE_KEY: (i8, i8, i8) = (1, 1, 1);
const ALL_KEYS: (i8, i8, i8) = (1, -1, 1);

/// In the order of their names.
static COMMANDS: [Command; 29] = [
    command("append", 3, ONE_KEY, strings::append),
    command("client", -2, NO_KEY, server::client),
    command("command", -1, NO_KEY, server::command),
    command("config", -2, NO_KEY, server::config),
    command("dbsize", 1, NO_KEY, keys::dbsize),
    command("decr", 2, ONE_KEY, strings::decr),
    command("del", -2, ALL_KEYS, keys::del),
    command("echo", 2, NO_KEY, server::echo),
    command("exists", -2, ALL_KEYS, keys::exists),
    command("expire", 3, ONE_KEY, keys::expire),
    command("flushall", -1, NO_KEY, keys::flush),
    command("flushdb", -1, NO_KEY, keys::flush),
    command("get", 2, ONE_KEY, strings::get),
    command("hello", -1, NO_KEY, server::hello),
    command("incr", 2, ONE_KEY, strings::incr),
    command("incrby", 3, ONE_KEY, strings::incrby),
    command("info", -1, NO_KEY, server::info),
    command("keys", 2, NO_KEY, keys::keys),
    command("mget", -2, ALL_KEYS, strings::mget),
    command("mset", -3, (1, -1, 2), strings::mset),
    command("persist", 2, ONE_KEY, keys::persist),
    command("pexpire", 3, ONE_KEY, keys::pexpire),
    command("ping", -1, NO_KEY, server::ping),
    command("pttl", 2, ONE_KEY, keys::pttl),
    command("quit", -1, NO_KEY, server::quit),
    command("select", 2, NO_KEY, server::select),
    command("set", -3, ONE_KEY, strings::set),
    command("strlen", 2, ONE_KEY, strings::strlen),
    command("ttl", 2, ONE_KEY, keys::ttl),
];

fn find(name: &[u8]) -> Option<&'static Command> {
    // No name is longer.
    let mut lower = [0; 16];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let place = COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(lower));
    Some(&COMMANDS[place.ok()?])
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Error {
    Unknown(String, String),
    /// Names a command or, behind a bar, a part of one.
    WrongNumber(&'static str),
    /// Names the command, and what of it is not known.
    UnknownSubcommand(&'static str, String),
    Syntax,
    NotInteger,
    Overflow,
    TooLong,
    OutOfMemory,
    /// Names the command.
    InvalidExpire(&'static str),
    DbIndex,
    NoProto,
    NotAVersion,
    HelloOption(String),
    ClientName,
    LongPattern,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::OutOfMemory => Error::OutOfMemory,
            StoreError::NotInteger => Error::NotInteger,
            StoreError::Overflow => Error::Overflow,
            StoreError::TooLong => Error::TooLong,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Error::Unknown(name, args) => {
                return write!(f, "ERR unknown command '{name}', with args beginning with: {args}");
            }
            Error::WrongNumber(name) => {
                return write!(f, "ERR wrong number of arguments for '{name}' command");
            }
            Error::UnknownSubcommand(command, name) => {
                return write!(f, "ERR unknown subcommand '{name}'. Try {command} HELP.");
            }
            Error::InvalidExpire(name) => {
                return write!(f, "ERR invalid expire time in '{name}' command");
            }
            Error::HelloOption(name) => {
                return write!(f, "ERR Syntax error in HELLO option '{name}'");
            }
            Error::Syntax => "ERR syntax error",
            Error::NotInteger => "ERR value is not an integer or out of range",
            Error::Overflow => "ERR increment or decrement would overflow",
            Error::TooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Error::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Error::DbIndex => "ERR DB index is out of range",
            Error::NoProto => "NOPROTO unsupported protocol version",
            Error::NotAVersion => "ERR Protocol version is not an integer or out of range",
            Error::ClientName => {
                "ERR Client names cannot contain spaces, newlines or special characters."
            }
            Error::LongPattern => "ERR pattern is too long",
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests;
