//! Who else says who is where? Protocols of a network's own login services; each calls the services as the API does.

pub mod dhcp;
pub mod oidc;
pub mod radius;
pub mod syslog;

mod listen;
