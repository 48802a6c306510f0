//! Names: from what a caller names to addresses.

use alloc::{vec, vec::Vec};
use core::net::{IpAddr, SocketAddr};

use axerrno::{AxError, AxResult};
use netstack::Want;

use crate::{
    addr::{Target, ToSocketAddrs},
    error::ax,
    reactor::{Source, ready_io},
    runtime::Handle,
};

/// Looks up the addresses of a host, those of IPv4 first. Addresses and `localhost` need no name
/// server. Dropping the future ends the search.
///
/// ```no_run
/// # async fn example() -> axerrno::AxResult<()> {
/// for address in netasync::lookup_host("server.example:80").await? {
///     println!("{address}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `NotFound` if there is no such name, or none with an address; `TimedOut` if no name server has
/// answered for 15 s; `Io` if all have failed; `Unsupported` if there is none to ask;
/// `InvalidInput` if it cannot be a name; `ResourceBusy` while 32 others are looked up.
///
/// # Panics
/// Outside of a runtime.
pub async fn lookup_host(
    host: impl ToSocketAddrs,
) -> AxResult<impl Iterator<Item = SocketAddr> + Send> {
    Ok(addresses(host.to_target()?).await?.into_iter())
}

/// Does something with each address that is named, until it succeeds.
///
/// # Errors
/// Those of [`lookup_host`]; that of the last attempt.
pub(crate) async fn try_each<T, F: Future<Output = AxResult<T>>>(
    named: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> F,
) -> AxResult<T> {
    let mut result = Err(AxError::InvalidInput);
    for address in addresses(named.to_target()?).await? {
        result = attempt(address).await;
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The first address that is named; nothing is allocated unless it is a name.
///
/// # Errors
/// Those of [`lookup_host`].
pub(crate) async fn first(named: impl ToSocketAddrs) -> AxResult<SocketAddr> {
    match named.to_target()? {
        Target::Address(address) => Ok(address),
        target => addresses(target).await?.first().copied().ok_or(AxError::InvalidInput),
    }
}

async fn addresses(target: Target<'_>) -> AxResult<Vec<SocketAddr>> {
    match target {
        Target::Address(address) => Ok(vec![address]),
        Target::Addresses(addresses) => Ok(addresses.into()),
        Target::Host(host, port) => {
            let found = look_up(host, Want::Any).await?;
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
        }
    }
}

pub(crate) async fn look_up(host: &str, want: Want) -> AxResult<Vec<IpAddr>> {
    let lookup = ax(Handle::current().stack().resolve(host, want))?;
    ready_io(Source::Name(&lookup), || lookup.try_result()).await
}
