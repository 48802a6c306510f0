use alloc::{format, string::String, vec::Vec};

use super::{COMMANDS, Present, Session, execute};
use crate::{
    resp::{Parser, Replies},
    store::Store,
};

/// A server with one client, and a clock that is set by hand.
struct World {
    store: Store,
    session: Session,
    now_ms: u64,
}

impl World {
    fn new() -> Self {
        let store = Store::new([7; 16], 1 << 20, |_| true);
        World { store, session: Session::new(5), now_ms: 1_000_000 }
    }

    /// The reply to an inline command, its line ends as bars.
    fn reply(&mut self, line: &str) -> String {
        let input = format!("{line}\n");
        let (mut parser, mut replies) = (Parser::default(), Replies::new(|_| true));
        assert_eq!(parser.parse(input.as_bytes()), Ok(Some(input.len())));
        let args = parser.args(input.as_bytes());
        let present = Present { now_ms: self.now_ms, clients: 3 };
        execute(args, present, &mut self.store, &mut self.session, &mut replies);
        let pieces: Vec<&[u8]> = replies.pieces().collect();
        String::from_utf8(pieces.concat()).unwrap().replace("\r\n", "|")
    }

    /// Commands and their replies; `+100` is a pause of 100 milliseconds.
    fn expect(&mut self, lines: &[(&str, &str)]) {
        for (line, expected) in lines {
            match line.strip_prefix('+') {
                Some(pause) => self.now_ms += pause.parse::<u64>().unwrap(),
                None => assert_eq!(self.reply(line), *expected, "{line}"),
            }
        }
    }
}

fn expect(lines: &[(&str, &str)]) {
    World::new().expect(lines);
}

const SYNTAX: &str = "-ERR syntax error|";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range|";

#[test]
fn the_table_is_in_order() {
    assert!(COMMANDS.iter().map(|command| command.name).is_sorted_by(|a, b| a < b));
}

#[test]
fn values() {
    expect(&[
        ("GET k", "$-1|"),
        ("SET k v", "+OK|"),
        ("get k", "$1|v|"),
        ("STRLEN k", ":1|"),
        ("STRLEN none", ":0|"),
        ("APPEND k alue", ":5|"),
        ("APPEND new x", ":1|"),
        ("MGET k none new", "*3|$5|value|$-1|$1|x|"),
        ("MSET a 1 b 2 a 3", "+OK|"),
        ("MGET a b", "*2|$1|3|$1|2|"),
        ("SET empty ''", "+OK|"),
        ("GET empty", "$0||"),
    ]);
}

#[test]
fn numbers() {
    expect(&[
        ("INCR n", ":1|"),
        ("INCRBY n 41", ":42|"),
        ("DECR n", ":41|"),
        ("INCRBY n -41", ":0|"),
        ("DECR n", ":-1|"),
        ("INCRBY n x", NOT_INTEGER),
        ("SET n 9223372036854775807", "+OK|"),
        ("INCR n", "-ERR increment or decrement would overflow|"),
        ("SET n 1.5", "+OK|"),
        ("INCR n", NOT_INTEGER),
    ]);
}

#[test]
fn set_has_conditions() {
    expect(&[
        ("SET k v XX", "$-1|"),
        ("SET k v NX", "+OK|"),
        ("SET k w nx", "$-1|"),
        ("SET k w XX GET", "$1|v|"),
        ("SET k x NX GET", "$1|w|"),
        ("GET k", "$1|w|"),
        ("SET new x GET", "$-1|"),
        ("GET new", "$1|x|"),
        ("SET k v NX XX", SYNTAX),
        ("SET k v WHAT", SYNTAX),
    ]);
}

#[test]
fn set_has_lifetimes() {
    let invalid = "-ERR invalid expire time in 'set' command|";
    expect(&[
        ("SET k v EX 10", "+OK|"),
        ("PTTL k", ":10000|"),
        ("SET k w KEEPTTL", "+OK|"),
        ("PTTL k", ":10000|"),
        ("SET k w", "+OK|"),
        ("PTTL k", ":-1|"),
        ("SET k w PX 1500 XX GET", "$1|w|"),
        ("+1499", ""),
        ("GET k", "$1|w|"),
        ("+1", ""),
        ("GET k", "$-1|"),
        ("SET k v EX", SYNTAX),
        ("SET k v EX 1 PX 1", SYNTAX),
        ("SET k v EX 1 KEEPTTL", SYNTAX),
        ("SET k v KEEPTTL PX 1", SYNTAX),
        ("SET k v EX x", NOT_INTEGER),
        ("SET k v EX 0", invalid),
        ("SET k v EX -1", invalid),
        ("SET k v EX 9223372036854775807", invalid),
        ("SET k v PX 9223372036854775807", invalid),
        ("GET k", "$-1|"),
    ]);
}

#[test]
fn keys_live_and_end() {
    expect(&[
        ("EXPIRE k 10", ":0|"),
        ("TTL k", ":-2|"),
        ("PTTL k", ":-2|"),
        ("MSET k v l v", "+OK|"),
        ("TTL k", ":-1|"),
        ("PERSIST k", ":0|"),
        ("EXPIRE k 10", ":1|"),
        ("+2400", ""),
        ("TTL k", ":8|"),
        ("PTTL k", ":7600|"),
        ("PERSIST k", ":1|"),
        ("TTL k", ":-1|"),
        ("PEXPIRE k 100", ":1|"),
        ("APPEND k w", ":2|"),
        ("PTTL k", ":100|"),
        ("DBSIZE", ":2|"),
        ("+100", ""),
        ("DBSIZE", ":1|"),
        ("EXISTS k l l", ":2|"),
        ("EXPIRE l -1", ":1|"),
        ("EXISTS l", ":0|"),
        ("SET k v", "+OK|"),
        ("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command|"),
        ("PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command|"),
        ("EXPIRE k x", NOT_INTEGER),
    ]);
}

#[test]
fn keys_are_found_and_removed() {
    expect(&[
        ("MSET one 1 two 2 three 3", "+OK|"),
        ("KEYS one", "*1|$3|one|"),
        ("KEYS [^ot]*", "*0|"),
        ("KEYS none", "*0|"),
        ("EXPIRE two 1", ":1|"),
        ("+1000", ""),
        ("KEYS t*", "*1|$5|three|"),
        ("DEL one none one", ":1|"),
        ("FLUSHDB", "+OK|"),
        ("DBSIZE", ":0|"),
        ("SET k v", "+OK|"),
        ("FLUSHALL ASYNC", "+OK|"),
        ("FLUSHALL NOW", SYNTAX),
        ("EXISTS k", ":0|"),
    ]);
    let mut world = World::new();
    world.expect(&[("MSET one 1 two 2 three 3", "+OK|")]);
    let all = world.reply("KEYS *");
    // Their order is nobody's business.
    assert!(all.starts_with("*3|") && all.len() == "*3|$3|one|$3|two|$5|three|".len(), "{all}");
    assert!(["|one|", "|two|", "|three|"].iter().all(|key| all.contains(key)), "{all}");
    let long = format!("KEYS {}", "*a".repeat(129));
    expect(&[(&long, "-ERR pattern is too long|")]);
}

#[test]
fn the_connection_answers() {
    let mut world = World::new();
    world.expect(&[
        ("PING", "+PONG|"),
        ("PING hello", "$5|hello|"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command|"),
        ("ECHO 'a b'", "$3|a b|"),
        ("SELECT 0", "+OK|"),
        ("SELECT 1", "-ERR DB index is out of range|"),
        ("SELECT x", NOT_INTEGER),
        ("CLIENT ID", ":5|"),
        ("CLIENT GETNAME", "$-1|"),
        ("CLIENT SETNAME me", "+OK|"),
        ("CLIENT GETNAME", "$2|me|"),
        (
            "CLIENT SETNAME 'a b'",
            "-ERR Client names cannot contain spaces, newlines or special characters.|",
        ),
        ("CLIENT SETINFO lib-name x", "+OK|"),
        ("CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command|"),
        ("CLIENT KILL x", "-ERR unknown subcommand 'KILL'. Try CLIENT HELP.|"),
        ("HELLO 3", "-NOPROTO unsupported protocol version|"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range|"),
        ("HELLO 2 AUTH a b", "-ERR Syntax error in HELLO option 'AUTH'|"),
    ]);
    let hello = world.reply("HELLO 2");
    assert!(hello.starts_with("*14|$6|server|"), "{hello}");
    assert!(hello.contains("|$5|proto|:2|$2|id|:5|"), "{hello}");
    assert!(!world.session.has_quit);
    world.expect(&[("QUIT", "+OK|")]);
    assert!(world.session.has_quit);
}

#[test]
fn tools_are_told_what_they_ask() {
    expect(&[
        ("CONFIG GET save", "*2|$4|save|$0||"),
        ("CONFIG GET APPENDONLY", "*2|$10|appendonly|$2|no|"),
        ("CONFIG GET max*", "*4|$9|maxmemory|$7|1048576|$16|maxmemory-policy|$10|noeviction|"),
        ("CONFIG GET none", "*0|"),
        ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command|"),
        ("CONFIG SET save x", "-ERR unknown subcommand 'SET'. Try CONFIG HELP.|"),
        ("COMMAND COUNT", ":29|"),
        ("COMMAND DOCS", "*0|"),
        ("COMMAND INFO get none", "*2|*6|$3|get|:2|*0|:1|:1|:1|$-1|"),
        ("COMMAND WHAT", "-ERR unknown subcommand 'WHAT'. Try COMMAND HELP.|"),
        ("INFO keyspace", "$12|# Keyspace||"),
        ("SET k v EX 9", "+OK|"),
        ("INFO Keyspace", "$34|# Keyspace|db0:keys=1,expires=1||"),
        ("INFO clients", "$32|# Clients|connected_clients:3||"),
    ]);
    let mut world = World::new();
    assert!(world.reply("COMMAND").starts_with("*29|*6|$6|append|:3|"));
    let info = world.reply("INFO");
    for word in ["# Server|", "uptime_in_seconds:1000|", "used_memory:0|maxmemory:1048576|"] {
        assert!(info.contains(word), "{info}");
    }
}

#[test]
fn mistakes_are_named() {
    let mut world = World::new();
    world.expect(&[
        ("get", "-ERR wrong number of arguments for 'get' command|"),
        ("GET a b", "-ERR wrong number of arguments for 'get' command|"),
        ("MSET a", "-ERR wrong number of arguments for 'mset' command|"),
        ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command|"),
        ("foo", "-ERR unknown command 'foo', with args beginning with: |"),
        (
            "foo a \"b\\r\\nc\"",
            "-ERR unknown command 'foo', with args beginning with: 'a' 'b  c' |",
        ),
    ]);
    let long = world.reply(&format!("{} {}", "f".repeat(1000), "a ".repeat(500)));
    assert!(long.len() < 400, "{long}");
}

#[test]
fn memory_runs_out_with_an_error() {
    let mut world = World::new();
    let value = "v".repeat(60_000);
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.|";
    let replies: Vec<String> =
        (0..20).map(|i| world.reply(&format!("SET key{i} {value}"))).collect();
    assert_eq!(replies.iter().filter(|reply| *reply == "+OK|").count(), 17);
    assert_eq!(replies[17..], [oom, oom, oom]);
    world.expect(&[
        (&format!("MSET a 1 b {value}"), oom),
        ("EXISTS a", ":0|"),
        ("SET small v", "+OK|"),
        (&format!("SET small {value} GET"), oom),
        ("DEL key0", ":1|"),
        (&format!("SET small {value} GET"), "$1|v|"),
    ]);
}
