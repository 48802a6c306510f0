//! What the first process of a system has to do: drivers and an address.

use std::{
    error::Error,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::Duration,
};

use nix::{
    kmod, mount,
    net::if_::if_nametoindex,
    sys::resource::{Resource, setrlimit},
};
use rtnetlink::LinkUnspec;

/// Where the file system of the first process has the drivers, in the order of their names.
const DRIVERS: &str = "/drivers";
/// The only card.
const CARD: &str = "eth0";
/// Files that may be open, each connection being one: the kernel's own limit.
const FILES_MAX: u64 = 1 << 20;
/// How often it is looked for, and how long between: the bus is searched in the background.
const LOOKS: u32 = 5_000;
const BETWEEN: Duration = Duration::from_millis(1);

/// Loads the drivers and gives the card the address of `net.ip=` on the kernel's command line.
pub(crate) async fn set_up() -> Result<(), Box<dyn Error>> {
    setrlimit(Resource::RLIMIT_NOFILE, FILES_MAX, FILES_MAX)?;
    let none = None::<&str>;
    fs::create_dir_all("/proc")?;
    mount::mount(Some("proc"), "/proc", Some("proc"), mount::MsFlags::empty(), none)?;
    load_drivers(Path::new(DRIVERS))?;
    let words = fs::read_to_string("/proc/cmdline")?;
    let (address, prefix) = address(&words).ok_or("the command line has no net.ip=")?;
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let card = card().await?;
    handle.address().add(card, IpAddr::V4(address), prefix).execute().await?;
    handle.link().set(LinkUnspec::new_with_index(card).up().build()).execute().await?;
    Ok(())
}

fn load_drivers(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut files = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.sort();
    for file in files {
        kmod::finit_module(File::open(&file)?, c"", kmod::ModuleInitFlags::empty())
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

async fn card() -> Result<u32, Box<dyn Error>> {
    for _ in 0..LOOKS {
        if let Ok(index) = if_nametoindex(CARD) {
            return Ok(index);
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Err(format!("there is no {CARD}").into())
}

/// The address and its prefix's length.
fn address(words: &str) -> Option<(Ipv4Addr, u8)> {
    let value = words.split_whitespace().find_map(|word| word.strip_prefix("net.ip="))?;
    let (address, prefix) = value.split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let expected = Some((Ipv4Addr::new(10, 0, 2, 15), 24));
        assert_eq!(address("quiet net.ip=10.0.2.15/24 net.gw=10.0.2.2\n"), expected);
        for words in ["", "net.ip=10.0.2.15", "net.ip=10.0.2/24", "net.ip=10.0.2.15/33"] {
            assert_eq!(address(words), None, "{words}");
        }
    }
}
