//! A key-value server on port 6379 that speaks Redis's protocol: `redis-cli` and `redis-benchmark`
//! work. Values are strings, in memory only.
//!
//! | module | what lives there |
//! |---|---|
//! | `resp` | requests and replies |
//! | `commands` | what commands do |
//! | `store` | keys, values, lifetimes, memory |
//! | `glob` | patterns of keys |
//! | `connection` | one client from its first byte to its last |

#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

mod commands;
mod connection;
mod glob;
mod resp;
mod store;

use alloc::sync::Arc;

use axwire::{
    io::AxResult,
    net::TcpListener,
    println, task,
    time::{Duration, interval},
};

use crate::connection::Server;

/// How often keys that have ended and that nobody asks for are removed.
const SWEEP_PERIOD: Duration = Duration::from_millis(100);

#[axwire::main]
async fn main() -> AxResult<()> {
    let server = Arc::new(Server::new());
    let listener = TcpListener::bind("[::]:6379").await?;
    task::spawn(sweep(server.clone()));
    println!("kv: listening on port 6379");
    loop {
        let (stream, _peer) = listener.accept().await?;
        task::spawn(connection::serve(server.clone(), stream));
    }
}

async fn sweep(server: Arc<Server>) {
    let mut ticks = interval(SWEEP_PERIOD);
    loop {
        ticks.tick().await;
        server.sweep();
    }
}
