//! RADIUS accounting (RFC 2866): an access server tells that a session begins, goes on and ends, and the box knows who uses which
//! address.
//!
//! ```text
//! access server ─► packet: is it what its client signed? ─► accounting: session, user, addresses ─► assertion ─► every worker
//!               ◄─ Accounting-Response, once that is done
//! ```
//!
//! What was heard before is answered again and changes nothing (`replay`). What is not signed with the secret of the client that sends it is counted, audited and never answered (RFC 2866 4.1).

mod accounting;
mod packet;
mod replay;
mod server;

pub use accounting::{Mapping, TextAttribute};
pub use server::{Client, Radius, RadiusConfig};
