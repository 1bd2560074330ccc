//! Which signatures does this traffic match?
//!
//! Rules are those of Suricata, unchanged. What is here so far reads them and tries them on bytes and packets that it is given; nothing of
//! it is on the packet path yet.
//!
//! | file | question |
//! |---|---|
//! | `language`, `rule` | what does a rule say? text in, [`Rule`] or [`Fault`] out |
//! | `load`, `changes` | which rules are in the set, and what does the operator change of them? |
//! | `untold` | which rules can never match? |
//! | `listed`, `tally` | which rules are there, and how often did each match? |
//! | `prefilter` | which of many can match these bytes at all? |
//! | `packet` | does a rule ask about this packet, and do its headers fit? |
//! | `transform`, `matcher` | do the tests of a part hold in these bytes? |
//! | `counting`, `memory` | how many matches make an alert, and what does one remember for the next? |
//! | `signature` | does a rule match this packet, all of it tried? |
//! | `hashes` | is a file on a list of known ones? |
//! | `magic` | what kind of file is it? |
//! | `ranges`, `number` | sets and tests of numbers |

mod base64;
pub mod detect;
pub mod hashes;
pub mod magic;
pub mod changes;
pub mod counting;
pub mod language;
pub mod listed;
pub mod load;
pub mod matcher;
pub mod memory;
pub mod number;
pub mod packet;
pub mod ranges;
pub mod prefilter;
pub mod rule;
pub mod datasets;
pub mod host_bits;
pub mod set;
pub mod signature;
pub mod tally;
pub mod transform;
pub mod untold;

pub use detect::{Detector, Hit};
pub use language::{Fault, Kind, Variables};
pub use rule::Rule;
pub use set::RuleSet;
pub use signature::Signature;
