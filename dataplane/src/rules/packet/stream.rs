//! What does TCP meet? Names of Suricata's stream events, for rules that ask for them.
//!
//! The tracker objects by reasons of its own (`flow/tcp.rs`); which event that is depends on the state that the connection is in.

use crate::flow::{TcpOutcome, TcpState};
use crate::parse::Tcp;
use crate::verdict::Reason;

/// The event of a segment that the tracker objects to, in the connection's state before it. `from_responder`: it goes to the client.
#[must_use]
pub fn objection(
    state: TcpState,
    outcome: TcpOutcome,
    tcp: &Tcp,
    from_responder: bool,
) -> Option<&'static str> {
    let flags = tcp.flags;
    let reason = match outcome {
        TcpOutcome::Violation(reason) => reason,
        TcpOutcome::Challenge if flags.rst() => return Some("suspected_rst_inject"),
        // Nothing was opened.
        TcpOutcome::Midstream if flags.rst() => return Some("rst_but_no_session"),
        TcpOutcome::Midstream if flags.fin() => return Some("fin_but_no_session"),
        TcpOutcome::Ok | TcpOutcome::Midstream | TcpOutcome::Oneway | TcpOutcome::Challenge => return None,
    };
    Some(match reason {
        Reason::TcpTimestampInvalid => "pkt_invalid_timestamp",
        // One that acknowledges nothing has no acknowledgement to be wrong.
        Reason::TcpRstOutOfWindow if flags.ack() => "rst_invalid_ack",
        Reason::TcpRstOutOfWindow => return None,
        Reason::TcpSynInConnection => syn_again(state, tcp, from_responder),
        Reason::TcpAckInvalid => wrong_ack(state, tcp),
        Reason::TcpOutOfWindow => out_of_window(state, tcp),
        Reason::TcpBadState => bad_state(state, tcp, from_responder)?,
        _ => return None,
    })
}

/// A SYN within a connection that has one.
const fn syn_again(state: TcpState, tcp: &Tcp, from_responder: bool) -> &'static str {
    match (state, tcp.flags.ack(), from_responder) {
        (TcpState::SynReceived, false, true) => "3whs_syn_toclient_on_syn_recv",
        (TcpState::SynReceived, false, false) => "3whs_syn_resend_diff_seq_on_syn_recv",
        (TcpState::SynReceived, true, false) => "3whs_synack_toserver_on_syn_recv",
        (TcpState::SynReceived, true, true) => "3whs_synack_resend_with_diff_seq",
        (TcpState::SynSentBoth, ..) => "4whs_synack_with_wrong_syn",
        (TcpState::Established, false, true) => "est_syn_toclient",
        (TcpState::Established, false, false) => "est_syn_resend_diff_seq",
        (TcpState::Established, true, false) => "est_synack_toserver",
        (TcpState::Established, true, true) => "est_synack_resend_with_diff_seq",
        _ => "shutdown_syn_resend",
    }
}

/// An acknowledgement of what was not sent, or of what is long gone.
const fn wrong_ack(state: TcpState, tcp: &Tcp) -> &'static str {
    match (state, tcp.flags.syn()) {
        (TcpState::SynSent, _) => "3whs_synack_with_wrong_ack",
        (TcpState::SynSentBoth, true) => "4whs_synack_with_wrong_ack",
        (TcpState::SynSentBoth, false) => "4whs_invalid_ack",
        (TcpState::SynReceived, true) => "3whs_synack_resend_with_different_ack",
        (TcpState::SynReceived, false) => "3whs_right_seq_wrong_ack_evasion",
        (TcpState::FinWait, _) => "fin1_invalid_ack",
        (TcpState::CloseWait, _) => "closewait_invalid_ack",
        (TcpState::Closing, _) => "closing_invalid_ack",
        (TcpState::LastAck, _) => "lastack_invalid_ack",
        (TcpState::TimeWait, _) => "timewait_invalid_ack",
        (TcpState::Established, _) if tcp.flags.fin() => "fin_invalid_ack",
        (TcpState::Established, _) => "est_invalid_ack",
        (TcpState::Unopened | TcpState::Closed, _) => "pkt_invalid_ack",
    }
}

/// A sequence number that the receiver's window does not allow.
const fn out_of_window(state: TcpState, tcp: &Tcp) -> &'static str {
    match (state, tcp.flags.fin()) {
        (TcpState::SynReceived | TcpState::SynSent, _) => "3whs_wrong_seq_wrong_ack",
        (TcpState::SynSentBoth, _) => "4whs_wrong_seq",
        (TcpState::FinWait, true) => "fin1_fin_wrong_seq",
        (TcpState::FinWait, false) => "fin1_ack_wrong_seq",
        (TcpState::CloseWait, true) => "closewait_fin_out_of_window",
        (TcpState::CloseWait, false) => "closewait_ack_out_of_window",
        (TcpState::Closing, _) => "closing_ack_wrong_seq",
        (TcpState::LastAck, _) => "lastack_ack_wrong_seq",
        (TcpState::TimeWait, _) => "timewait_ack_wrong_seq",
        (_, true) => "fin_out_of_window",
        (_, false) => "est_packet_out_of_window",
    }
}

/// A segment that the state does not allow.
const fn bad_state(state: TcpState, tcp: &Tcp, from_responder: bool) -> Option<&'static str> {
    let flags = tcp.flags;
    Some(match state {
        TcpState::SynSent if flags.syn() => "3whs_synack_in_wrong_direction",
        TcpState::SynSentBoth if flags.ack() => "4whs_invalid_ack",
        TcpState::SynReceived if flags.syn() => "3whs_synack_toserver_on_syn_recv",
        TcpState::SynReceived if from_responder && flags.ack() => "3whs_ack_in_wrong_dir",
        // A field that says something where its flag says that it does not.
        _ if !flags.ack() && tcp.ack != 0 => "pkt_broken_ack",
        _ if flags.syn() && flags.fin() => "fin_syn",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{TcpFlags, TcpOptions};

    fn met(state: TcpState, reason: Reason, flags: u8, from_responder: bool) -> Option<&'static str> {
        let tcp = Tcp {
            src_port: 1,
            dst_port: 2,
            seq: 7,
            ack: 7,
            window: 0,
            flags: TcpFlags(flags),
            options: TcpOptions::default(),
        };
        objection(state, TcpOutcome::Violation(reason), &tcp, from_responder)
    }

    #[test]
    fn the_state_names_the_event() {
        let (syn, ack, fin) = (TcpFlags::SYN, TcpFlags::ACK, TcpFlags::FIN);
        for (state, reason, flags, from_responder, name) in [
            (TcpState::SynSent, Reason::TcpAckInvalid, syn | ack, true, "3whs_synack_with_wrong_ack"),
            (
                TcpState::SynReceived,
                Reason::TcpSynInConnection,
                syn,
                false,
                "3whs_syn_resend_diff_seq_on_syn_recv",
            ),
            (TcpState::Established, Reason::TcpSynInConnection, syn, true, "est_syn_toclient"),
            (TcpState::Established, Reason::TcpOutOfWindow, ack, true, "est_packet_out_of_window"),
            (TcpState::Established, Reason::TcpOutOfWindow, ack | fin, true, "fin_out_of_window"),
            (TcpState::LastAck, Reason::TcpAckInvalid, ack, false, "lastack_invalid_ack"),
            (TcpState::SynSent, Reason::TcpTimestampInvalid, TcpFlags::RST, true, "pkt_invalid_timestamp"),
            (TcpState::Established, Reason::TcpBadState, 0, true, "pkt_broken_ack"),
            (TcpState::Established, Reason::TcpRstOutOfWindow, TcpFlags::RST | ack, true, "rst_invalid_ack"),
        ] {
            assert_eq!(met(state, reason, flags, from_responder), Some(name));
            assert!(crate::rules::language::events::STREAM.contains(&name), "no rule can ask for {name}");
        }
        assert_eq!(met(TcpState::Established, Reason::TcpBadState, ack, true), None);
        assert_eq!(met(TcpState::Established, Reason::TcpRstOutOfWindow, TcpFlags::RST, true), None);
    }
}
