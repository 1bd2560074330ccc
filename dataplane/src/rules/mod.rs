//! Which signatures does this traffic match?
//!
//! Rules are those of Suricata, unchanged. Workers try them through `detect`, on packets, on what came in order and on what parsers tell.
//!
//! | file | question |
//! |---|---|
//! | `language`, `rule` | what does a rule say? text in, [`Rule`] or [`Fault`] out |
//! | `load`, `changes` | which rules are in the set, and what does the operator change of them? |
//! | `adjust`, `classes` | what is said of their alerts beside them? |
//! | `untold` | which rules can never match? |
//! | `listed`, `tally`, `profile` | which rules are there, how often did each match, and what does trying it cost? |
//! | `prefilter` | which of many can match these bytes at all? |
//! | `by_address` | which of many may be about these ends? |
//! | `address_facts` | in which country is an address, and what is said of it? |
//! | `packet` | does a rule ask about this packet, and do its headers fit? |
//! | `transform`, `matcher` | do the tests of a part hold in these bytes? |
//! | `counting`, `memory` | how many matches make an alert, and what does one remember for the next? |
//! | `signature` | does a rule match this packet, all of it tried? |
//! | `hashes` | is a file on a list of known ones? |
//! | `magic` | what kind of file is it? |
//! | `ranges`, `number` | sets and tests of numbers |
//! | `threads` | work on several threads |

pub mod address_facts;
mod adjust;
mod base64;
mod by_address;
pub mod captured;
pub mod detect;
pub mod hashes;
pub mod magic;
pub mod changes;
pub mod classes;
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
pub mod profile;
pub mod rule;
pub mod datasets;
pub mod host_bits;
pub mod set;
pub mod signature;
pub mod tags;
pub mod tally;
mod threads;
pub mod transform;
pub mod untold;

pub use detect::{Detector, Hit};
pub use language::{Fault, Kind, Variables};
pub use rule::Rule;
pub use set::RuleSet;
pub use signature::Signature;
