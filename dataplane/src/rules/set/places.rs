//! Where are rules of a set looked for, and what finds them there?

use std::sync::Arc;

use super::Class;
use crate::flow::Direction;
use crate::rules::language::buffers::{BASE64_DATA, FRAME, PAYLOAD, SAME_IN_HTTP};
use crate::rules::matcher::Unmatchable;
use crate::rules::prefilter::Prefilter;
use crate::rules::rule::{BufferId, HeaderProtocol, PacketProtocol, Part};
use crate::rules::signature::{Ask, Kind, Signature};

/// Where rules are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Packets(Class, Direction),
    Stream(Direction),
    Unordered,
    Frames(Direction),
    Application(&'static str, Direction),
}

impl Place {
    /// What finds the rules that are tried here.
    pub(super) fn prefilter(self, signatures: &[Arc<Signature>]) -> Result<Prefilter, Unmatchable> {
        let all = signatures.iter().enumerate().map(|(number, one)| (number as u32, &**one));
        let is_payload = |part: &Part| part.seen.buffer == PAYLOAD;
        let goes_there = |one: &Signature, way| one.way().is_none_or(|other| other == way);
        let is_of_stream = |one: &Signature| matches!(one.kind, Kind::Stream { .. });
        match self {
            Self::Packets(class, way) => {
                let is_tried = |one: &Signature| match one.kind {
                    Kind::Packet => true,
                    // What has no stream is looked at packet by packet.
                    Kind::Stream { and_packets } => and_packets || class != Class::Tcp,
                    Kind::Addresses | Kind::Transaction | Kind::Frame => false,
                };
                let meant = all.filter(|(_, one)| {
                    goes_there(one, way) && is_tried(one) && class.has(one.rule.header.protocol)
                });
                prefilter(meant, is_payload, &[])
            }
            Self::Stream(way) => {
                prefilter(all.filter(|(_, one)| is_of_stream(one) && goes_there(one, way)), is_payload, &[])
            }
            Self::Unordered => {
                let is_stream_alone = |one: &Signature| {
                    one.rule.header.protocol == HeaderProtocol::Packet(PacketProtocol::TcpStream)
                };
                let meant = all.filter(|(_, one)| {
                    matches!(one.kind, Kind::Stream { and_packets: false }) && !is_stream_alone(one)
                });
                prefilter(meant, is_payload, &[])
            }
            Self::Frames(way) => {
                let meant = all.filter(|(_, one)| one.kind == Kind::Frame && goes_there(one, way));
                prefilter(meant, |part| part.seen.buffer == FRAME, &[])
            }
            Self::Application(name, way) => {
                let meant = all.filter(|(_, one)| {
                    one.kind == Kind::Transaction
                        && one.is_of(Some(name))
                        && goes_there(one, way)
                        && is_asked_of(one, way)
                });
                let same = if (name, way) == ("http", Direction::Reverse) { &SAME_IN_HTTP[..] } else { &[] };
                prefilter(meant, |part| is_searched(part) && goes(part, way), same)
            }
        }
    }
}

fn prefilter<'a>(
    rules: impl Iterator<Item = (u32, &'a Signature)>,
    meant: impl Fn(&Part) -> bool,
    same: &[BufferId],
) -> Result<Prefilter, Unmatchable> {
    Prefilter::new(rules.map(|(number, one)| (number, &one.rule)), meant, same)
}

/// Protocols that rules of transactions name, and those that carry files where one asks for files.
pub(super) fn application_names(rules: &[(u32, &Signature)]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = FILE_CARRIERS.to_vec();
    names.extend(rules.iter().filter_map(|(_, one)| one.applications.as_ref()).flatten());
    names.sort_unstable();
    names.dedup();
    names
}

/// Protocols in which files are told.
const FILE_CARRIERS: &[&str] = &["http", "http2", "smtp", "ftp-data", "smb", "nfs"];

/// Whether rules of what parsers tell are found by a part's patterns.
fn is_searched(part: &Part) -> bool {
    !matches!(part.seen.buffer, PAYLOAD | BASE64_DATA | FRAME)
}

/// Whether a part looks into what goes that way.
fn goes(part: &Part, way: Direction) -> bool {
    part.seen.buffer.buffer().way.is_none_or(|other| other == way)
}

/// Whether anything of a rule is to be seen that way.
fn is_asked_of(one: &Signature, way: Direction) -> bool {
    let mut told = one.parts.iter().filter(|part| !part.is_payload()).peekable();
    let of_parts = told.peek().is_some();
    if !of_parts {
        return true;
    }
    told.any(|part| part.way.is_none_or(|other| other == way)) || one.asks.iter().any(Ask::is_told_apart)
}
