//! What is this interface, and is it fit to be a port? Asked by name, through ioctls only.
//!
//! ioctls and not sysfs, because sysfs shows the network namespace it was mounted in, not the caller's.
//! [`LinkWatch`] tells of links going up and down through rtnetlink.
//!
//! Absent: changing offloads, channels and RSS tables; `scripts/nic-queues` does that and can undo it.
#![expect(unsafe_code, reason = "UNSAFETY: ioctl(2) takes pointers and unions")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::error::XskError;

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETH_SS_FEATURES: u32 = 4;
/// Bytes of one string in a string set (`ETH_GSTRING_LEN`).
const STRING_BYTES: usize = 32;

/// What one interface is, at the time it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index in this network namespace.
    pub ifindex: u32,
    /// Largest layer 3 packet, bytes.
    pub mtu_bytes: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Set up by its administrator (`IFF_UP`).
    pub up: bool,
    /// Has a carrier (`IFF_RUNNING`).
    pub running: bool,
    /// Receives frames for any address (`IFF_PROMISC`).
    pub promiscuous: bool,
    /// The driver's name; empty where it has none.
    pub driver: String,
    /// Its queues.
    pub queues: Queues,
    /// The offloads that decide whether it can be a port.
    pub offloads: Offloads,
}

/// Queues in use (`ethtool -l`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queues {
    /// That receive.
    pub rx: u32,
    /// That transmit.
    pub tx: u32,
}

/// Offloads that change what AF_XDP sees (`ethtool -k`). One the driver does not know counts as off.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Offloads {
    /// `rxvlan`: strips the tag into metadata, where AF_XDP cannot see it.
    pub rx_vlan: bool,
    /// `txvlan`: on a veth's far end it hides the tag likewise.
    pub tx_vlan: bool,
    /// `large-receive-offload`: merges packets.
    pub lro: bool,
    /// `rx-gro-hw`: merges packets in hardware.
    pub gro_hw: bool,
    /// `tx-checksumming`: on a veth's far end it leaves partial checksums.
    pub tx_checksum: bool,
}

impl Interface {
    /// Reads everything about the interface `name`.
    ///
    /// # Errors
    ///
    /// [`XskError::NoInterface`], or [`XskError::Interface`] with the question the kernel refused. Interfaces
    /// without ethtool support have no driver name, one queue each way, and no offloads.
    pub fn read(name: &str) -> Result<Self, XskError> {
        let ifindex = ifindex(name)?;
        let socket = control_socket(name)?;
        let flags = read_flags(&socket, name)?;
        let mut request = request(name);
        request_ioctl(&socket, libc::SIOCGIFMTU, &mut request, name, "reading the MTU")?;
        // SAFETY: SIOCGIFMTU fills this member.
        // JUSTIFICATION: the answer is a union.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        request_ioctl(&socket, libc::SIOCGIFHWADDR, &mut request, name, "reading the hardware address")?;
        // SAFETY: SIOCGIFHWADDR fills this member.
        // JUSTIFICATION: the answer is a union.
        let address = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
        let mut mac = [0; 6];
        for (byte, raw) in mac.iter_mut().zip(address) {
            *byte = raw as u8;
        }
        Ok(Self {
            name: name.to_owned(),
            ifindex,
            mtu_bytes: u32::try_from(mtu).unwrap_or(0),
            mac,
            up: flags & libc::IFF_UP != 0,
            running: flags & libc::IFF_RUNNING != 0,
            promiscuous: flags & libc::IFF_PROMISC != 0,
            driver: read_driver(&socket, name),
            queues: read_queues(&socket, name),
            offloads: read_offloads(&socket, name),
        })
    }
}

/// The index of the interface `name` in this network namespace.
///
/// # Errors
///
/// [`XskError::NoInterface`].
pub fn ifindex(name: &str) -> Result<u32, XskError> {
    let missing = || XskError::NoInterface { interface: name.to_owned() };
    let c_name = CString::new(name).map_err(|_| missing())?;
    // SAFETY: the name ends in zero.
    // JUSTIFICATION: std does not tell interface indexes.
    match unsafe { libc::if_nametoindex(c_name.as_ptr()) } {
        0 => Err(missing()),
        index => Ok(index),
    }
}

/// Makes the interface receive frames for any address, or stops that. It is a flag of the interface, so it stays
/// when this process goes.
///
/// # Errors
///
/// [`XskError::Interface`]; it needs CAP_NET_ADMIN.
pub fn set_promiscuous(name: &str, on: bool) -> Result<(), XskError> {
    change_flag(name, libc::IFF_PROMISC, on, "changing promiscuous mode")
}

/// Sets the interface up or down.
///
/// # Errors
///
/// [`XskError::Interface`]; it needs CAP_NET_ADMIN.
pub fn set_up(name: &str, up: bool) -> Result<(), XskError> {
    change_flag(name, libc::IFF_UP, up, "setting the interface up or down")
}

fn change_flag(name: &str, flag: i32, on: bool, operation: &'static str) -> Result<(), XskError> {
    let socket = control_socket(name)?;
    let flags = read_flags(&socket, name)?;
    let wanted = if on { flags | flag } else { flags & !flag };
    if wanted == flags {
        return Ok(());
    }
    let mut request = request(name);
    // The flags word is 16 bits wide in `struct ifreq`.
    request.ifr_ifru.ifru_flags = wanted as libc::c_short;
    request_ioctl(&socket, libc::SIOCSIFFLAGS, &mut request, name, operation)
}

fn read_flags(socket: &OwnedFd, name: &str) -> Result<i32, XskError> {
    let mut request = request(name);
    request_ioctl(socket, libc::SIOCGIFFLAGS, &mut request, name, "reading the flags")?;
    // SAFETY: SIOCGIFFLAGS fills this member.
    // JUSTIFICATION: the answer is a union.
    Ok(i32::from(unsafe { request.ifr_ifru.ifru_flags } as u16))
}

/// A socket to ask about interfaces with.
pub(crate) fn control_socket(name: &str) -> Result<OwnedFd, XskError> {
    datagram_socket(libc::AF_INET).map_err(|source| failed(name, "opening a control socket", source))
}

pub(crate) fn datagram_socket(family: i32) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call; the result is checked.
    // JUSTIFICATION: std has no unbound sockets.
    let fd = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, owned by nothing else.
    // JUSTIFICATION: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An interface request for `name`; a name that is too long is cut, and then names no interface.
pub(crate) fn request(name: &str) -> libc::ifreq {
    // SAFETY: all zeroes is a valid ifreq.
    // JUSTIFICATION: a C struct with a union.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *slot = byte as libc::c_char;
    }
    request
}

pub(crate) fn request_ioctl(
    socket: &impl AsRawFd,
    code: libc::c_ulong,
    request: &mut libc::ifreq,
    name: &str,
    operation: &'static str,
) -> Result<(), XskError> {
    // SAFETY: every code passed here takes a pointer to an ifreq.
    // JUSTIFICATION: std has no ioctl.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), code as _, std::ptr::from_mut(request)) };
    if result < 0 { Err(failed(name, operation, io::Error::last_os_error())) } else { Ok(()) }
}

pub(crate) fn failed(name: &str, operation: &'static str, source: io::Error) -> XskError {
    if source.raw_os_error() == Some(libc::ENODEV) {
        return XskError::NoInterface { interface: name.to_owned() };
    }
    XskError::Interface { interface: name.to_owned(), operation, source }
}

/// Runs an ethtool command on `words`, which begin with the command; `false` if the driver does not know it.
fn ethtool(socket: &OwnedFd, name: &str, words: &mut [u32]) -> bool {
    let mut request = request(name);
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    request_ioctl(socket, SIOCETHTOOL, &mut request, name, "ethtool").is_ok()
}

fn read_driver(socket: &OwnedFd, name: &str) -> String {
    // `struct ethtool_drvinfo`: the command, then the driver's name in 32 bytes; 196 bytes in all.
    let mut words = [0_u32; 49];
    words[0] = ETHTOOL_GDRVINFO;
    if !ethtool(socket, name, &mut words) {
        return String::new();
    }
    let bytes: Vec<u8> = words[1..9].iter().flat_map(|word| word.to_ne_bytes()).collect();
    until_zero(&bytes)
}

fn read_queues(socket: &OwnedFd, name: &str) -> Queues {
    // `struct ethtool_channels`: command; max rx, tx, other, combined; rx, tx, other, combined.
    let mut words = [0_u32; 9];
    words[0] = ETHTOOL_GCHANNELS;
    if !ethtool(socket, name, &mut words) {
        return Queues { rx: 1, tx: 1 };
    }
    let [.., rx, tx, _, combined] = words;
    Queues { rx: (rx + combined).max(1), tx: (tx + combined).max(1) }
}

fn read_offloads(socket: &OwnedFd, name: &str) -> Offloads {
    let features = read_features(socket, name).unwrap_or_default();
    let on = |wanted: &str| features.iter().any(|(feature, active)| feature == wanted && *active);
    Offloads {
        rx_vlan: on("rx-vlan-hw-parse"),
        tx_vlan: on("tx-vlan-hw-insert"),
        lro: on("rx-lro"),
        gro_hw: on("rx-gro-hw"),
        tx_checksum: on("tx-checksum-ip-generic") || on("tx-checksum-ipv4") || on("tx-checksum-ipv6"),
    }
}

/// Every feature the kernel names, and whether it is on.
fn read_features(socket: &OwnedFd, name: &str) -> Option<Vec<(String, bool)>> {
    // `struct ethtool_sset_info`: command, reserved, a mask of 64 bits, one length for each bit set.
    let mut info = [ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0, 0];
    if !ethtool(socket, name, &mut info) {
        return None;
    }
    let count = info[4] as usize;
    // `struct ethtool_gstrings`: command, set, length, then the strings.
    let mut strings = vec![0_u32; 3 + count * STRING_BYTES / 4];
    strings[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, info[4]]);
    // `struct ethtool_gfeatures`: command, blocks, then of each block: available, requested, active, never changed.
    let blocks = count.div_ceil(32);
    let mut states = vec![0_u32; 2 + blocks * 4];
    states[..2].copy_from_slice(&[ETHTOOL_GFEATURES, blocks as u32]);
    if !ethtool(socket, name, &mut strings) || !ethtool(socket, name, &mut states) {
        return None;
    }
    let names: Vec<u8> = strings[3..].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let features = names.chunks_exact(STRING_BYTES).enumerate().map(|(bit, name)| {
        let active = states.get(2 + (bit / 32) * 4 + 2).copied().unwrap_or(0);
        (until_zero(name), active & (1 << (bit % 32)) != 0)
    });
    Some(features.collect())
}

fn until_zero(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// A link that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkEvent {
    /// Which interface.
    pub ifindex: u32,
    /// What it is now.
    pub state: LinkState,
}

/// What a link can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Up, with a carrier.
    Up,
    /// Set down, or without a carrier.
    Down,
    /// The interface no longer exists.
    Gone,
}

/// Hears of every link change in this network namespace. Readable when [`LinkWatch::take`] has something.
#[derive(Debug)]
pub struct LinkWatch {
    socket: OwnedFd,
    /// Events of the last datagram not yet handed out.
    pending: std::collections::VecDeque<LinkEvent>,
}

impl LinkWatch {
    /// Starts listening; what was before is not told, see [`Interface::read`].
    ///
    /// # Errors
    ///
    /// What the kernel says to an rtnetlink socket.
    pub fn open() -> io::Result<Self> {
        // SAFETY: a plain system call; the result is checked.
        // JUSTIFICATION: std has no netlink.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                libc::NETLINK_ROUTE,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, owned by nothing else.
        // JUSTIFICATION: as above.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all zeroes is a valid sockaddr_nl.
        // JUSTIFICATION: it has a private field.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as u16;
        address.nl_groups = libc::RTMGRP_LINK as u32;
        // SAFETY: the address is valid for its size.
        // JUSTIFICATION: std has no netlink.
        let bound = unsafe {
            libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_nl>() as libc::socklen_t)
        };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { socket, pending: std::collections::VecDeque::new() })
    }

    /// To wait on.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The next change, `None` if there is none now.
    ///
    /// # Errors
    ///
    /// What `recv(2)` says; `ENOBUFS` means that changes were lost and the interfaces should be read anew.
    pub fn take(&mut self) -> io::Result<Option<LinkEvent>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            let mut datagram = [0_u8; 16_384];
            // SAFETY: the buffer is valid for its length.
            // JUSTIFICATION: std has no netlink.
            let len = unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    datagram.as_mut_ptr().cast(),
                    datagram.len(),
                    libc::MSG_DONTWAIT,
                )
            };
            if len < 0 {
                let err = io::Error::last_os_error();
                return if err.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(err) };
            }
            self.pending.extend(link_events(datagram.get(..len as usize).unwrap_or_default()));
        }
    }
}

/// The link changes in one rtnetlink datagram: messages of a 16-byte `nlmsghdr` and a 16-byte `ifinfomsg`.
fn link_events(datagram: &[u8]) -> Vec<LinkEvent> {
    let mut events = Vec::new();
    let mut rest = datagram;
    while let (Some(len), Some(kind)) = (word_at(rest, 0), half_at(rest, 4)) {
        let len = len as usize;
        let Some(message) = rest.get(..len).filter(|message| message.len() >= 16) else { break };
        if let (Some(ifindex), Some(flags)) = (word_at(message, 20), word_at(message, 24)) {
            let carrier = flags & libc::IFF_RUNNING as u32 != 0 && flags & libc::IFF_UP as u32 != 0;
            let state = match kind {
                libc::RTM_NEWLINK if carrier => Some(LinkState::Up),
                libc::RTM_NEWLINK => Some(LinkState::Down),
                libc::RTM_DELLINK => Some(LinkState::Gone),
                _ => None,
            };
            events.extend(state.map(|state| LinkEvent { ifindex, state }));
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    events
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_read() {
        let loopback = Interface::read("lo").unwrap();
        assert_eq!((loopback.mac, loopback.queues), ([0; 6], Queues { rx: 1, tx: 1 }));
        assert!(loopback.ifindex > 0 && loopback.mtu_bytes > 0);
    }

    #[test]
    fn a_missing_interface_is_named() {
        let err = Interface::read("nosuchif0").unwrap_err();
        assert_eq!(err.to_string(), "nosuchif0: there is no such interface in this network namespace");
    }

    #[test]
    fn truncated_link_messages_are_ignored() {
        let mut message = Vec::new();
        message.extend(32_u32.to_ne_bytes());
        message.extend(libc::RTM_NEWLINK.to_ne_bytes());
        message.extend([0; 14]);
        message.extend(7_u32.to_ne_bytes());
        message.extend(((libc::IFF_UP | libc::IFF_RUNNING) as u32).to_ne_bytes());
        message.extend([0; 4]);
        assert_eq!(link_events(&message), [LinkEvent { ifindex: 7, state: LinkState::Up }]);
        for end in 0..message.len() {
            assert_eq!(link_events(&message[..end]), []);
        }
    }
}
