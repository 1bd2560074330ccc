//! Which frames does an interface bring, and how does one leave by it, beside the stack? An `AF_PACKET`
//! socket.
//!
//! For tests that play a host: frames come whole, VLAN tags included, though the kernel takes the outermost
//! tag off before such a socket sees the frame (packet(7), `PACKET_AUXDATA`). One system call a frame; the
//! appliance itself never opens one.
#![expect(unsafe_code, reason = "UNSAFETY: recvmsg takes pointers, control messages come as bytes")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::error::XskError;
use crate::netdev::{failed, ifindex};
use crate::wait::set_option;

/// linux/if_packet.h; in no crate's interface.
const PACKET_IGNORE_OUTGOING: i32 = 23;
const ETH_P_8021Q: u16 = 0x8100;
/// Destination and source address; a tag stands behind them.
const ADDRESSES_LEN: usize = 12;
const TAG_LEN: usize = 4;
/// A burst of some thousand frames.
const RECEIVE_BUFFER_BYTES: u32 = 8 << 20;

/// A socket that hears every frame that an interface receives.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket on the interface `name` of this network namespace.
    ///
    /// # Errors
    ///
    /// [`XskError::NoInterface`], [`XskError::Interface`]; it needs CAP_NET_RAW.
    pub fn open(name: &str) -> Result<Self, XskError> {
        let index = ifindex(name)?;
        let not = |operation| move |source| failed(name, operation, source);
        // Protocol 0 hears nothing yet: options come first.
        // SAFETY: a plain system call; the result is checked.
        // JUSTIFICATION: std has no packet sockets.
        let fd = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0)
        };
        if fd < 0 {
            return Err(failed(name, "opening a packet socket", io::Error::last_os_error()));
        }
        // SAFETY: just made, owned by nothing else.
        // JUSTIFICATION: as above.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        for (level, option, value) in [
            (libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1),
            (libc::SOL_PACKET, libc::PACKET_AUXDATA, 1),
            (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES),
        ] {
            set_option(fd, level, option, value).map_err(not("setting up a packet socket"))?;
        }
        // SAFETY: all zeroes is a valid sockaddr_ll.
        // JUSTIFICATION: a C struct.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as i32;
        // SAFETY: the address is valid for its size.
        // JUSTIFICATION: std has no packet sockets.
        let bound = unsafe {
            libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
        };
        if bound != 0 {
            return Err(failed(name, "binding a packet socket", io::Error::last_os_error()));
        }
        Ok(Self { socket })
    }

    /// To wait on.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Sends one whole Ethernet frame; it waits if the interface's queue is full.
    ///
    /// # Errors
    ///
    /// What `send(2)` says: `EMSGSIZE` for a frame above the MTU, `ENETDOWN`.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the buffer is valid for its length.
        // JUSTIFICATION: std has no packet sockets.
        let sent = unsafe { libc::send(self.fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next frame that came in, as it was on the wire; `None` if there is none now. Cut off after
    /// `len_max` bytes.
    ///
    /// # Errors
    ///
    /// What `recvmsg(2)` says.
    pub fn receive(&self, len_max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut frame = vec![0_u8; len_max];
        // Room for one control message, aligned as `cmsghdr` wants it.
        let mut control = [0_u64; 16];
        let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        // SAFETY: all zeroes is a valid msghdr.
        // JUSTIFICATION: a C struct.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: the message points at two buffers, both valid for the lengths given.
        // JUSTIFICATION: std has no recvmsg.
        let len = unsafe { libc::recvmsg(self.fd(), &raw mut message, 0) };
        if len < 0 {
            let err = io::Error::last_os_error();
            return if err.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(err) };
        }
        frame.truncate(len as usize);
        if let Some(tag) = taken_tag(&message)
            && frame.len() >= ADDRESSES_LEN
        {
            frame.splice(ADDRESSES_LEN..ADDRESSES_LEN, tag);
        }
        Ok(Some(frame))
    }
}

/// The outermost VLAN tag that the kernel took off and told of beside the frame.
fn taken_tag(message: &libc::msghdr) -> Option<[u8; TAG_LEN]> {
    // SAFETY: the kernel has filled `message`; the macros stay within `msg_controllen`.
    // JUSTIFICATION: control messages are C structs behind each other.
    let auxdata = unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        if header.is_null()
            || (*header).cmsg_level != libc::SOL_PACKET
            || (*header).cmsg_type != libc::PACKET_AUXDATA
        {
            return None;
        }
        std::ptr::read_unaligned(libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>())
    };
    if auxdata.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let tpid = if auxdata.tp_status & libc::TP_STATUS_VLAN_TPID_VALID == 0 {
        ETH_P_8021Q
    } else {
        auxdata.tp_vlan_tpid
    };
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), auxdata.tp_vlan_tci.to_be_bytes());
    Some([a, b, c, d])
}
