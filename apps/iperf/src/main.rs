//! A server for iperf3 on port 5201: TCP and UDP, both directions, one measurement at a time.
//!
//! | module | what lives there |
//! |---|---|
//! | `protocol` | states, parameters and results: bytes and JSON |
//! | `datagram` | UDP's headers, loss and jitter |
//! | `pace` | how much may be sent, and when |
//! | `control` | the connection by which client and server agree |
//! | `flow` | one stream of data |
//! | `measurement` | one client from its parameters to its results |

#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

mod control;
mod datagram;
mod flow;
mod measurement;
mod pace;
mod protocol;

use core::net::{Ipv6Addr, SocketAddr};

use axwire::{io::AxResult, net::TcpListener, println};

use crate::{control::Control, protocol::PORT};

#[axwire::main]
async fn main() -> AxResult<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)).await?;
    println!("iperf: listening on port {PORT}");
    loop {
        let (stream, peer) = listener.accept().await?;
        // Of a listener for both families, IPv4's addresses are mapped ones.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let control = match Control::begin(stream).await {
            Ok(control) => control,
            Err(failure) => {
                println!("iperf: {peer}: {failure}");
                continue;
            }
        };
        match measurement::run(&listener, &control).await {
            Ok(summary) => println!("iperf: {peer}: {summary}"),
            Err(failure) => {
                println!("iperf: {peer}: {failure}");
                control.end(failure).await;
            }
        }
    }
}
