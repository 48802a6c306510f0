//! A tap device: the host's end of a cable, as a file of frames.

use std::{
    ffi::{c_char, c_int, c_uint},
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc::{self, ifreq},
    net::if_::if_nametoindex,
};

/// How long whoever is attached may take to end: a relay follows its QEMU a moment later.
const PATIENCE: Duration = Duration::from_secs(2);

/// Attaches to the tap device `name`, which must exist.
///
/// # Errors
/// There is no such device, somebody else is attached, or it is not allowed.
pub(crate) fn open(name: &str) -> io::Result<File> {
    // Otherwise a device would be made.
    if_nametoindex(name)?;
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let since = Instant::now();
    while let Err(error) = ioctl::attach(&device, name) {
        if error.kind() != io::ErrorKind::ResourceBusy || since.elapsed() > PATIENCE {
            return Err(error);
        }
        thread::sleep(Duration::from_millis(10));
    }
    ioctl::refuse_offloads(&device)?;
    Ok(device)
}

/// What tun.rst of the kernel's documentation and <linux/if_tun.h> say, and nothing else.
#[allow(missing_docs, unreachable_pub, reason = "nix's macros make public functions without docs")]
mod ioctl {
    use super::*;

    nix::ioctl_write_ptr_bad!(
        tunsetiff,
        nix::request_code_write!(b'T', 202, size_of::<c_int>()),
        ifreq
    );
    nix::ioctl_write_int_bad!(
        tunsetoffload,
        nix::request_code_write!(b'T', 208, size_of::<c_uint>())
    );

    /// Whole Ethernet frames, without anything before them.
    pub(super) fn attach(device: &File, name: &str) -> io::Result<()> {
        let mut request = ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru {
                ifru_flags: (libc::IFF_TAP | libc::IFF_NO_PI) as i16,
            },
        };
        // The last byte stays zero: the kernel has found the name, so that it fits.
        for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1))
        {
            *place = byte as c_char;
        }
        // SAFETY: `request` is a whole `ifreq` that lives during the call; TUNSETIFF reads its name
        // and flags, both set, and writes nothing else. `device` is open.
        unsafe { tunsetiff(device.as_raw_fd(), &raw const request) }?;
        Ok(())
    }

    /// The kernel must complete checksums and cut segments: whoever was attached before may have
    /// said that he does it himself.
    pub(super) fn refuse_offloads(device: &File) -> io::Result<()> {
        // SAFETY: TUNSETOFFLOAD takes its argument by value. `device` is open.
        unsafe { tunsetoffload(device.as_raw_fd(), 0) }?;
        Ok(())
    }
}
