//! The hub without sockets.
