//! What concerns the connection and the server.

use alloc::{format, string::String, vec::Vec};

use super::{COMMANDS, Call, Command, Error, QUOTE_LEN_MAX, find, shown};
use crate::{glob, resp::BULK_LEN_MAX};

pub(super) fn ping(call: &mut Call<'_>) -> Result<(), Error> {
    match call.args.len() {
        1 => call.replies.simple("PONG"),
        2 => call.replies.bulk(call.arg(1)),
        _ => return Err(Error::WrongNumber("ping")),
    }
    Ok(())
}

pub(super) fn echo(call: &mut Call<'_>) -> Result<(), Error> {
    call.replies.bulk(call.arg(1));
    Ok(())
}

pub(super) fn quit(call: &mut Call<'_>) -> Result<(), Error> {
    call.session.has_quit = true;
    call.replies.ok();
    Ok(())
}

/// There is one database.
pub(super) fn select(call: &mut Call<'_>) -> Result<(), Error> {
    match call.number(1)? {
        0 => call.replies.ok(),
        _ => return Err(Error::DbIndex),
    }
    Ok(())
}

/// `HELLO [2]`: what the server is. RESP3 is not spoken here.
pub(super) fn hello(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.len() > 1 {
        let version = call.number(1).map_err(|_| Error::NotAVersion)?;
        if version != 2 {
            return Err(Error::NoProto);
        }
    }
    if call.args.len() > 2 {
        return Err(Error::HelloOption(shown(call.arg(2), QUOTE_LEN_MAX)));
    }
    let (replies, id) = (&mut *call.replies, call.session.id);
    replies.array(14);
    for (name, value) in [("server", "axwire-kv"), ("version", env!("CARGO_PKG_VERSION"))] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    for (name, value) in [("proto", 2), ("id", id as i64)] {
        replies.bulk(name.as_bytes());
        replies.integer(value);
    }
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"modules");
    replies.array(0);
    Ok(())
}

pub(super) fn client(call: &mut Call<'_>) -> Result<(), Error> {
    let is = |word, len, whole| match call.is(1, word) {
        true if call.args.len() != len => Err(Error::WrongNumber(whole)),
        is_named => Ok(is_named),
    };
    if is("id", 2, "client|id")? {
        call.replies.integer(call.session.id as i64);
    } else if is("getname", 2, "client|getname")? {
        let name = &call.session.name;
        call.replies.bulk_or_nil((!name.is_empty()).then_some(&**name));
    } else if is("setname", 3, "client|setname")? {
        set_name(call)?;
    } else if is("setinfo", 4, "client|setinfo")? {
        // What library a client uses is of no use here.
        call.replies.ok();
    } else {
        return Err(Error::UnknownSubcommand("CLIENT", shown(call.arg(1), QUOTE_LEN_MAX)));
    }
    Ok(())
}

fn set_name(call: &mut Call<'_>) -> Result<(), Error> {
    let name = call.arg(2);
    if name.len() > QUOTE_LEN_MAX || !name.iter().all(u8::is_ascii_graphic) {
        return Err(Error::ClientName);
    }
    call.session.name = name.to_vec();
    call.replies.ok();
    Ok(())
}

/// What clients ask for when they start. Documentation there is none.
pub(super) fn command(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.len() == 1 {
        call.replies.array(COMMANDS.len());
        COMMANDS.iter().for_each(|command| describe(call, command));
    } else if call.is(1, "count") {
        call.replies.integer(COMMANDS.len() as i64);
    } else if call.is(1, "docs") {
        call.replies.array(0);
    } else if call.is(1, "info") {
        call.replies.array(call.args.len() - 2);
        for name in call.args.from(2) {
            match find(name) {
                Some(command) => describe(call, command),
                None => call.replies.bulk_or_nil(None),
            }
        }
    } else {
        return Err(Error::UnknownSubcommand("COMMAND", shown(call.arg(1), QUOTE_LEN_MAX)));
    }
    Ok(())
}

fn describe(call: &mut Call<'_>, command: &Command) {
    let (first, last, step) = command.keys;
    call.replies.array(6);
    call.replies.bulk(command.name.as_bytes());
    call.replies.integer(command.arity.into());
    call.replies.array(0);
    for place in [first, last, step] {
        call.replies.integer(place.into());
    }
}

/// `CONFIG GET pattern …`: what is fixed here and tools ask for.
pub(super) fn config(call: &mut Call<'_>) -> Result<(), Error> {
    if !call.is(1, "get") {
        return Err(Error::UnknownSubcommand("CONFIG", shown(call.arg(1), QUOTE_LEN_MAX)));
    }
    if call.args.len() == 2 {
        return Err(Error::WrongNumber("config|get"));
    }
    let (_, limit) = call.store.memory();
    let all = [
        ("appendonly", "no".into()),
        ("databases", "1".into()),
        ("maxmemory", format!("{limit}")),
        ("maxmemory-policy", "noeviction".into()),
        ("proto-max-bulk-len", format!("{BULK_LEN_MAX}")),
        ("save", String::new()),
    ];
    let is_wanted = |name: &str| {
        let name = name.as_bytes();
        call.args.from(2).any(|it| {
            // Matching takes the product of two lengths; a longer pattern names nothing here.
            it.len() <= glob::PATTERN_LEN_MAX && glob::matches(&it.to_ascii_lowercase(), name)
        })
    };
    let wanted: Vec<_> = all.iter().filter(|(name, _)| is_wanted(name)).collect();
    call.replies.array(wanted.len() * 2);
    for (name, value) in wanted {
        call.replies.bulk(name.as_bytes());
        call.replies.bulk(value.as_bytes());
    }
    Ok(())
}

/// A part of what INFO tells.
type Section = fn(&mut Call<'_>) -> String;

static SECTIONS: [(&str, Section); 5] = [
    ("Server", |call| {
        let (version, seconds) = (env!("CARGO_PKG_VERSION"), call.now_ms() / 1000);
        format!("axwire_kv_version:{version}\r\nuptime_in_seconds:{seconds}\r\n")
    }),
    ("Clients", |call| format!("connected_clients:{}\r\n", call.present.clients)),
    ("Memory", |call| {
        let (used, limit) = call.store.memory();
        format!("used_memory:{used}\r\nmaxmemory:{limit}\r\n")
    }),
    ("Stats", |call| format!("expired_keys:{}\r\n", call.store.expired())),
    ("Keyspace", |call| match call.store.len(call.now_ms()) {
        (0, _) => String::new(),
        (keys, expires) => format!("db0:keys={keys},expires={expires}\r\n"),
    }),
];

/// `INFO [section …]`
pub(super) fn info(call: &mut Call<'_>) -> Result<(), Error> {
    let args = call.args;
    let is_wanted = |section: &str| {
        let mut named = args.from(1);
        let all = ["all", "default", "everything", section];
        named.len() == 0
            || named.any(|it| all.iter().any(|word| it.eq_ignore_ascii_case(word.as_bytes())))
    };
    let wanted = SECTIONS.iter().filter(|(name, _)| is_wanted(name));
    let texts: Vec<String> =
        wanted.map(|(name, section)| format!("# {name}\r\n{}", section(call))).collect();
    call.replies.bulk(texts.join("\r\n").as_bytes());
    Ok(())
}
