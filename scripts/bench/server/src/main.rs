//! What Axwire is measured beside: the services of `apps/httpd` and `apps/echo` on tokio, on one
//! thread.
//!
//! On the host it is a process, and its argument is the address to listen on. As process 1 it is a
//! whole system: it sets up the network itself.
//!
//! - `http`: connections of `bench-http`, whose responses are those of `apps/httpd` to the byte
//! - `services`: echo, discard, and bytes without end
//! - `init`: what a first process has to do

#![forbid(unsafe_code)]

mod http;
mod init;
mod services;

use std::{
    env,
    error::Error,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    process,
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    runtime, task,
};

/// What the kernel gives connections that choose nothing.
const SYSCTL_CONGESTION: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let server = async {
        let address = match process::id() {
            1 => init::set_up().await.map(|()| Ipv4Addr::UNSPECIFIED.into())?,
            _ => env::args().nth(1).ok_or("the address to listen on is missing")?.parse()?,
        };
        let control = fs::read_to_string(SYSCTL_CONGESTION)?;
        println!("bench-server: congestion control: {}", control.trim());
        Ok(serve_all(address).await?)
    };
    runtime.block_on(task::LocalSet::new().run_until(server))
}

async fn serve_all(address: IpAddr) -> io::Result<()> {
    task::spawn_local(serve(TcpListener::bind((address, 80)).await?, http::serve));
    task::spawn_local(serve(TcpListener::bind((address, 7)).await?, services::echo));
    task::spawn_local(serve(TcpListener::bind((address, 9)).await?, services::discard));
    task::spawn_local(serve(TcpListener::bind((address, 19)).await?, services::generate));
    let socket = UdpSocket::bind((address, 7)).await?;
    println!("bench-server: listening");
    services::echo_datagrams(socket).await
}

/// Gives each connection a task of its own.
async fn serve<F>(listener: TcpListener, service: fn(TcpStream) -> F)
where
    F: Future<Output = io::Result<()>> + 'static,
{
    while let Ok((stream, _peer)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        // A connection that breaks is its peer's affair.
        task::spawn_local(async move {
            let _ = service(stream).await;
        });
    }
}
