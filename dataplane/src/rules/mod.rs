//! Which signatures does this traffic match?
//!
//! Rules are those of Suricata, unchanged. So far the room reads them: [`language`] makes [`Rule`]s of text and names what it
//! does not take. Nothing of it is on the packet path yet.

pub mod changes;
pub mod language;
pub mod load;
pub mod matcher;
pub mod number;
pub mod packet;
pub mod ranges;
pub mod prefilter;
pub mod rule;
pub mod transform;

pub use language::{Fault, Kind, Variables};
pub use rule::Rule;
