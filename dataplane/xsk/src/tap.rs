//! How do frames for the box itself reach its own stack? Through a TAP interface that we own.
//!
//! Frames are whole Ethernet frames, one per read or write, and no call blocks. The interface goes when the value
//! is dropped.
#![expect(unsafe_code, reason = "UNSAFETY: ioctl(2) takes unions")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::error::XskError;
use crate::netdev::{self, control_socket, datagram_socket, failed, request, request_ioctl};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;

/// One TAP interface.
#[derive(Debug)]
pub struct Tap {
    file: File,
    name: String,
}

impl Tap {
    /// Makes the interface `name` and sets it up.
    ///
    /// # Errors
    ///
    /// [`XskError::Interface`]: no `/dev/net/tun`, no CAP_NET_ADMIN, or the name is taken (`EBUSY`).
    pub fn open(name: &str) -> Result<Self, XskError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(|source| failed(name, "opening /dev/net/tun", source))?;
        let mut wanted = request(name);
        wanted.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        request_ioctl(&file, TUNSETIFF, &mut wanted, name, "making the TAP interface")?;
        let tap = Self { file, name: name.to_owned() };
        netdev::set_up(name, true)?;
        Ok(tap)
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// To wait on.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The next frame the host sent, into `buffer`; `None` if there is none now. What does not fit is cut off.
    ///
    /// # Errors
    ///
    /// What `read(2)` says.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.file).read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Gives the host a frame; `false` if its queue is full.
    ///
    /// # Errors
    ///
    /// What `write(2)` says: `EIO` while the interface is down, `EINVAL` for less than an Ethernet header.
    pub fn send(&self, frame: &[u8]) -> io::Result<bool> {
        match (&self.file).write(frame) {
            Ok(_) => Ok(true),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(err) => Err(err),
        }
    }

    /// Gives the interface its IPv4 address, replacing the one it had.
    ///
    /// # Errors
    ///
    /// [`XskError::PrefixLength`], [`XskError::Interface`].
    pub fn set_ipv4(&self, addr: Ipv4Addr, prefix_len: u8) -> Result<(), XskError> {
        if prefix_len > 32 {
            return Err(XskError::PrefixLength { len: prefix_len, len_max: 32 });
        }
        let socket = control_socket(&self.name)?;
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
        let settings = [
            (libc::SIOCSIFADDR, addr.to_bits(), "setting the IPv4 address"),
            (libc::SIOCSIFNETMASK, mask, "setting the IPv4 netmask"),
        ];
        for (code, bits, operation) in settings {
            let mut request = request(&self.name);
            let [b0, b1, b2, b3] = bits.to_be_bytes();
            // `struct sockaddr_in`: the port's two bytes, then the address.
            let mut data = [0 as libc::c_char; 14];
            for (slot, byte) in data.iter_mut().skip(2).zip([b0, b1, b2, b3]) {
                *slot = byte as libc::c_char;
            }
            request.ifr_ifru.ifru_addr = libc::sockaddr { sa_family: libc::AF_INET as u16, sa_data: data };
            request_ioctl(&socket, code, &mut request, &self.name, operation)?;
        }
        Ok(())
    }

    /// Adds an IPv6 address to the interface.
    ///
    /// # Errors
    ///
    /// [`XskError::PrefixLength`], [`XskError::Interface`]; an address that is already there is no error.
    pub fn add_ipv6(&self, addr: Ipv6Addr, prefix_len: u8) -> Result<(), XskError> {
        if prefix_len > 128 {
            return Err(XskError::PrefixLength { len: prefix_len, len_max: 128 });
        }
        // `struct in6_ifreq`, linux/ipv6.h.
        #[repr(C)]
        struct In6Request {
            addr: [u8; 16],
            prefix_len: u32,
            ifindex: i32,
        }
        let ifindex = netdev::ifindex(&self.name)?;
        let operation = "adding the IPv6 address";
        let socket =
            datagram_socket(libc::AF_INET6).map_err(|source| failed(&self.name, operation, source))?;
        let request =
            In6Request { addr: addr.octets(), prefix_len: u32::from(prefix_len), ifindex: ifindex as i32 };
        // SAFETY: on an IPv6 socket this code takes an in6_ifreq.
        // JUSTIFICATION: std has no ioctl.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR as _, &raw const request) };
        let err = io::Error::last_os_error();
        if result < 0 && err.raw_os_error() != Some(libc::EEXIST) {
            return Err(failed(&self.name, operation, err));
        }
        Ok(())
    }

    /// Sets the largest layer 3 packet.
    ///
    /// # Errors
    ///
    /// [`XskError::Interface`].
    pub fn set_mtu(&self, mtu_bytes: u32) -> Result<(), XskError> {
        let mut request = request(&self.name);
        request.ifr_ifru.ifru_mtu = i32::try_from(mtu_bytes).unwrap_or(i32::MAX);
        let socket = control_socket(&self.name)?;
        request_ioctl(&socket, libc::SIOCSIFMTU, &mut request, &self.name, "setting the MTU")
    }
}
