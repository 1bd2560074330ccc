//! Whom does a log tell of? Lines of syslog in which a VPN gateway, a portal or a host says that somebody came or went.
//!
//! ```text
//! datagram, stream ─► frames: one message each ─► message: program, text ─► pattern: who, where? ─► assertion ─► every worker
//! ```
//!
//! Syslog proves nothing: whoever can send in the name of a network that is listened to says who is where. Others are counted, and the
//! audit has one entry a minute of each. Absent: TLS (RFC 5425).

mod frames;
mod message;
mod pattern;
mod server;

pub use message::MESSAGE_BYTES_MAX;
pub use pattern::{Event, Pattern};
pub use server::{Syslog, SyslogConfig, SyslogHandle};
