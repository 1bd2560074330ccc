//! Which frames arrived? Receives from the rings, refills them, and reads capture files.

pub mod savefile;
