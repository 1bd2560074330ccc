//! TCP conversations, segment by segment: what is said of each, and the state after it.
//!
//! `C` is the client (initial sequence number 1000), `S` the server (5000). Violations are dropped unless the
//! script says lenient.

use super::*;
use crate::verdict::Reason;
use TcpOutcome::{Challenge, Midstream, Ok as Fits, Oneway, Violation};
use TcpState::{
    CloseWait, Closed, Closing, Established, FinWait, LastAck, SynReceived, SynSent, SynSentBoth, TimeWait,
    Unopened,
};

/// From, flags (a digit is the window scale), sequence number, acknowledgement, window, data bytes; then the
/// outcome and the state.
type Line = (char, &'static str, u32, u32, u16, u16, TcpOutcome, TcpState);

const OUT_OF_WINDOW: TcpOutcome = Violation(Reason::TcpOutOfWindow);
const RST_OUT_OF_WINDOW: TcpOutcome = Violation(Reason::TcpRstOutOfWindow);
const SYN_IN_CONNECTION: TcpOutcome = Violation(Reason::TcpSynInConnection);
const ACK_INVALID: TcpOutcome = Violation(Reason::TcpAckInvalid);
const BAD_STATE: TcpOutcome = Violation(Reason::TcpBadState);

const CLIENT: Endpoint = (Addr::v4([10, 0, 0, 9]), 40_000);
const SERVER: Endpoint = (Addr::v4([10, 0, 0, 1]), 443);

/// A handshake without scaling and windows of 1,000.
const OPEN: &[Line] = &[
    ('C', "S", 1000, 0, 1000, 0, Fits, SynSent),
    ('S', "SA", 5000, 1001, 1000, 0, Fits, SynReceived),
    ('C', "A", 1001, 5001, 1000, 0, Fits, Established),
];

fn packet(line: &Line) -> Headers {
    let (from, flags, seq, ack, window, len, ..) = *line;
    let scale = flags.chars().find_map(|flag| flag.to_digit(10)).map(|digit| digit as u8);
    let flags: String = flags.chars().filter(|flag| !flag.is_ascii_digit()).collect();
    let (src, dst) = if from == 'C' { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    segment(src, dst, &flags, seq, ack, window, len, scale)
}

fn run_as(strict: bool, scripts: &[&[Line]]) -> Lab {
    let mut lab = Lab::with_capacity(4);
    for (number, line) in scripts.iter().copied().flatten().enumerate() {
        let (found, outcome) = lab.send_as(&packet(line), now(1), strict).unwrap();
        let state = lab.table.flow(found.id).tcp_state();
        assert_eq!((outcome, state), (line.6, line.7), "line {number}: {line:?}");
        let is_client = found.direction == Direction::Forward;
        assert_eq!(is_client, line.0 == 'C', "line {number} goes the wrong way");
    }
    lab
}

fn run(scripts: &[&[Line]]) {
    run_as(true, scripts);
}

fn violations(lab: &Lab) -> u32 {
    let (key, src_is_lo) = Lab::key(&tcp(CLIENT, SERVER, "A", 0, 0));
    lab.table.flow(lab.table.find(&key, src_is_lo).unwrap().id).violations()
}

#[test]
fn a_whole_conversation_fits() {
    run(&[
        OPEN,
        &[
            ('C', "PA", 1001, 5001, 1000, 300, Fits, Established),
            ('S', "A", 5001, 1301, 1000, 0, Fits, Established),
            ('S', "PA", 5001, 1301, 1000, 1000, Fits, Established),
            ('C', "A", 1301, 6001, 1000, 0, Fits, Established),
            ('C', "FA", 1301, 6001, 1000, 0, Fits, FinWait),
            ('S', "A", 6001, 1302, 1000, 0, Fits, CloseWait),
            ('S', "PA", 6001, 1302, 1000, 200, Fits, CloseWait),
            ('C', "A", 1302, 6201, 1000, 0, Fits, CloseWait),
            ('S', "FA", 6201, 1302, 1000, 0, Fits, LastAck),
            ('C', "A", 1302, 6202, 1000, 0, Fits, TimeWait),
        ],
    ]);
}

#[test]
fn beside_the_wire_an_answer_may_stand_behind_its_acknowledgement() {
    let config = || FlowConfig { capacity: 4, may_miss: true, ..FlowConfig::default() };
    let mut lab = Lab::new(config());
    let script: &[Line] = &[
        ('C', "S", 1000, 0, 1000, 0, Fits, SynSent),
        ('C', "A", 1001, 5001, 1000, 0, Fits, SynSent),
        ('S', "SA", 5000, 1001, 1000, 0, Fits, SynReceived),
        ('S', "PA", 5001, 1001, 1000, 100, Fits, SynReceived),
        ('C', "A", 1001, 5101, 1000, 0, Fits, Established),
    ];
    for line in script {
        let (found, outcome) = lab.send_as(&packet(line), now(1), true).unwrap();
        let flow = lab.table.flow(found.id);
        assert_eq!((outcome, flow.tcp_state(), flow.is_midstream()), (line.6, line.7, false), "{line:?}");
    }
    let mut lab = Lab::new(config());
    for (line, expected) in [(0, Fits), (1, Fits), (1, Oneway)] {
        assert_eq!(lab.send_as(&packet(&script[line]), now(1), true).unwrap().1, expected, "no answer comes");
    }
}

#[test]
fn both_ends_close_at_once() {
    run(&[
        OPEN,
        &[
            ('C', "FA", 1001, 5001, 1000, 0, Fits, FinWait),
            ('S', "FA", 5001, 1001, 1000, 0, Fits, Closing),
            ('C', "A", 1002, 5002, 1000, 0, Fits, LastAck),
            ('S', "A", 5002, 1002, 1000, 0, Fits, TimeWait),
        ],
    ]);
}

#[test]
fn both_ends_open_at_once() {
    run(&[&[
        ('C', "S7", 1000, 0, 1000, 0, Fits, SynSent),
        ('S', "S7", 5000, 0, 1000, 0, Fits, SynSentBoth),
        ('C', "SA7", 1000, 5001, 1000, 0, Fits, SynReceived),
        ('S', "SA7", 5000, 1001, 1000, 0, Fits, Established),
        ('C', "PA", 1001, 5001, 1000, 900, Fits, Established),
        ('S', "A", 5001, 1901, 1000, 0, Fits, Established),
    ]]);
}

#[test]
fn a_split_handshake_is_not_believed() {
    // Beardsley and Qian 2010: the "server" answers SYN by SYN, so that a naive tracker swaps the roles.
    run(&[&[
        ('C', "S", 1000, 0, 1000, 0, Fits, SynSent),
        ('S', "SA", 5000, 1001, 1000, 0, Fits, SynReceived),
        ('C', "SA", 1000, 5001, 1000, 0, BAD_STATE, SynReceived),
        ('S', "S", 7000, 0, 1000, 0, SYN_IN_CONNECTION, SynReceived),
        ('C', "A", 1001, 5001, 1000, 0, Fits, Established),
    ]]);
}

#[test]
fn a_syn_may_be_repeated_with_another_number_until_it_is_answered() {
    run(&[&[
        ('C', "S", 1000, 0, 1000, 0, Fits, SynSent),
        ('C', "S", 1000, 0, 1000, 0, Fits, SynSent),
        ('C', "S", 3000, 0, 1000, 0, Fits, SynSent),
        ('S', "SA", 5000, 1001, 1000, 0, ACK_INVALID, SynSent),
        ('S', "SA", 5000, 3001, 1000, 0, Fits, SynReceived),
        ('C', "S", 3000, 0, 1000, 0, Fits, SynReceived),
        ('C', "S", 4000, 0, 1000, 0, SYN_IN_CONNECTION, SynReceived),
        ('S', "SA", 5000, 3001, 1000, 0, Fits, SynReceived),
        ('S', "SA", 6000, 3001, 1000, 0, Fits, SynReceived),
        ('C', "A", 3001, 5001, 1000, 0, ACK_INVALID, SynReceived),
        ('C', "A", 3001, 6001, 1000, 0, Fits, Established),
        // The ACK was lost beyond us.
        ('S', "SA", 6000, 3001, 1000, 0, Fits, Established),
        ('S', "SA", 9000, 3001, 1000, 0, SYN_IN_CONNECTION, Established),
    ]]);
}

#[test]
fn fast_open_carries_data_on_both_syns() {
    run(&[&[
        ('C', "S7", 1000, 0, 1000, 500, Fits, SynSent),
        ('S', "SA7", 5000, 1501, 1000, 0, Fits, SynReceived),
        ('S', "PA", 5001, 1501, 1000, 400, Fits, SynReceived),
        ('S', "PA", 5401, 1501, 1000, 400, Fits, SynReceived),
        ('C', "A", 1501, 5801, 1000, 0, Fits, Established),
    ]]);
    // The cookie was refused: only the SYN is acknowledged, the data comes again.
    run(&[&[
        ('C', "S7", 1000, 0, 1000, 500, Fits, SynSent),
        ('S', "SA7", 5000, 1001, 1000, 0, Fits, SynReceived),
        ('C', "PA", 1001, 5001, 1000, 500, Fits, Established),
    ]]);
}

#[test]
fn data_before_the_handshake_is_one_way_or_bad() {
    run(&[&[
        ('C', "S", 1000, 0, 1000, 0, Fits, SynSent),
        ('C', "PA", 1200, 5001, 1000, 10, BAD_STATE, SynSent),
        ('S', "PA", 5001, 1001, 1000, 10, BAD_STATE, SynSent),
        ('C', "F", 1001, 0, 1000, 0, BAD_STATE, SynSent),
        // An older connection of the server answers.
        ('S', "A", 77_000, 88_000, 1000, 0, Challenge, SynSent),
        // The server's way does not cross the box.
        ('C', "A", 1001, 5001, 1000, 0, Oneway, Established),
        ('C', "PA", 1001, 5001, 1000, 500, Fits, Established),
        ('C', "A", 1501, 9001, 1000, 0, Fits, Established),
        ('C', "FA", 1501, 9001, 1000, 0, Fits, FinWait),
    ]]);
}

#[test]
fn one_way_flows_may_carry_any_amount() {
    let mut lab = run_as(
        true,
        &[&[
            ('C', "S", 1000, 0, 1000, 0, Fits, SynSent),
            ('C', "A", 1001, 5001, 1000, 0, Oneway, Established),
        ]],
    );
    let mut seq = 1001_u32;
    for _ in 0..100_000 {
        let line = ('C', "PA", seq, 5001, 1000, 60_000, Fits, Established);
        assert_eq!(lab.send_as(&packet(&line), now(1), true).unwrap().1, Fits, "at {seq}");
        seq = seq.wrapping_add(60_000);
    }
    // The other direction shows up after all.
    let line = ('S', "A", 5001, seq, 1000, 0, Fits, Established);
    assert_eq!(lab.send_as(&packet(&line), now(1), true).unwrap().1, Fits);
}

#[test]
fn windows_bound_both_directions() {
    run(&[
        OPEN,
        &[
            ('C', "PA", 1001, 5001, 1000, 1000, Fits, Established),
            // Starts where the server's window ends: a probe, allowed; beyond is not.
            ('C', "PA", 2002, 5001, 1000, 10, OUT_OF_WINDOW, Established),
            ('S', "A", 5001, 2001, 1000, 0, Fits, Established),
            ('C', "PA", 2002, 5001, 1000, 10, Fits, Established),
            // Far behind: older than any window that the server offered.
            ('C', "PA", 100, 5001, 1000, 10, OUT_OF_WINDOW, Established),
            // Acknowledges what was never sent.
            ('C', "A", 2012, 5002, 1000, 0, ACK_INVALID, Established),
            // Acknowledges what is older than the largest window.
            ('C', "A", 2012, 4_294_900_000, 1000, 0, ACK_INVALID, Established),
        ],
    ]);
}

#[test]
fn retransmissions_keep_alives_and_probes_fit() {
    run(&[
        OPEN,
        &[
            ('C', "PA", 1001, 5001, 1000, 500, Fits, Established),
            ('C', "PA", 1001, 5001, 1000, 500, Fits, Established),
            ('S', "A", 5001, 1501, 0, 0, Fits, Established),
            // Zero window: one byte of probe, repeated.
            ('C', "A", 1501, 5001, 1000, 1, Fits, Established),
            ('C', "A", 1501, 5001, 1000, 1, Fits, Established),
            ('S', "A", 5001, 1501, 0, 0, Fits, Established),
            ('S', "A", 5001, 1502, 1000, 0, Fits, Established),
            // Keep-alive: one before the next, with and without a byte.
            ('C', "A", 1501, 5001, 1000, 0, Fits, Established),
            ('C', "A", 1501, 5001, 1000, 1, Fits, Established),
            ('S', "A", 5000, 1502, 1000, 0, Fits, Established),
            // Repeated data after its acknowledgement.
            ('C', "PA", 1001, 5001, 1000, 500, Fits, Established),
            // Out of order: the second half first.
            ('C', "PA", 1800, 5001, 1000, 300, Fits, Established),
            ('C', "PA", 1502, 5001, 1000, 298, Fits, Established),
        ],
    ]);
}

#[test]
fn scales_hold_only_where_both_syns_offer_them() {
    run(&[&[
        ('C', "S7", 1000, 0, 1000, 0, Fits, SynSent),
        ('S', "SA", 5000, 1001, 1000, 0, Fits, SynReceived),
        ('C', "A", 1001, 5001, 1000, 0, Fits, Established),
        ('S', "PA", 5001, 1001, 1000, 1000, Fits, Established),
        ('S', "PA", 6002, 1001, 1000, 10, OUT_OF_WINDOW, Established),
    ]]);
    run(&[&[
        ('C', "S7", 1000, 0, 1000, 0, Fits, SynSent),
        ('S', "SA3", 5000, 1001, 1000, 0, Fits, SynReceived),
        // The window of a SYN/ACK is not scaled.
        ('C', "PA", 1001, 5001, 1000, 1000, Fits, Established),
        ('C', "PA", 2002, 5001, 1000, 10, OUT_OF_WINDOW, Established),
        ('S', "A", 5001, 1001, 1000, 0, Fits, Established),
        ('C', "PA", 9001, 5001, 1000, 10, Fits, Established),
        ('C', "PA", 9002, 5001, 1000, 10, OUT_OF_WINDOW, Established),
        ('S', "PA", 5001 + 128_000, 1001, 1000, 10, Fits, Established),
        ('S', "PA", 5002 + 128_000, 1001, 1000, 10, OUT_OF_WINDOW, Established),
    ]]);
}

#[test]
fn sequence_numbers_wrap() {
    run(&[&[
        ('C', "S", 4_294_967_000, 0, 1000, 0, Fits, SynSent),
        ('S', "SA", 4_294_967_295, 4_294_967_001, 1000, 0, Fits, SynReceived),
        ('C', "A", 4_294_967_001, 0, 1000, 0, Fits, Established),
        ('C', "PA", 4_294_967_001, 0, 1000, 500, Fits, Established),
        ('S', "A", 0, 205, 1000, 0, Fits, Established),
        ('C', "PA", 205, 0, 1000, 500, Fits, Established),
        ('C', "PA", 1206, 0, 1000, 500, OUT_OF_WINDOW, Established),
        ('S', "R", 0, 0, 0, 0, Fits, Closed),
    ]]);
}

#[test]
fn a_reset_counts_only_if_exact() {
    run(&[
        OPEN,
        &[
            ('S', "PA", 5001, 1001, 1000, 300, Fits, Established),
            // In the window, and a guess: RFC 5961 3.2 asks for a challenge.
            ('C', "R", 1500, 0, 0, 0, Challenge, Established),
            ('S', "R", 5900, 0, 0, 0, Challenge, Established),
            ('C', "R", 9000, 0, 0, 0, RST_OUT_OF_WINDOW, Established),
            ('S', "R", 4000, 0, 0, 0, RST_OUT_OF_WINDOW, Established),
            ('C', "R", 1001, 0, 0, 0, Fits, Closed),
            // What was in flight.
            ('S', "PA", 5301, 1001, 1000, 300, Fits, Closed),
            ('C', "R", 1001, 0, 0, 0, Fits, Closed),
            ('S', "SA", 8000, 1001, 1000, 0, SYN_IN_CONNECTION, Closed),
        ],
    ]);
}

#[test]
fn a_refusal_must_acknowledge_the_syn() {
    run(&[&[
        ('C', "S", 1000, 0, 1000, 0, Fits, SynSent),
        ('S', "RA", 0, 4000, 0, 0, RST_OUT_OF_WINDOW, SynSent),
        ('S', "R", 0, 0, 0, 0, RST_OUT_OF_WINDOW, SynSent),
        ('S', "RA", 0, 1001, 0, 0, Fits, Closed),
    ]]);
    // A half-open scan: the client resets what the server accepted.
    run(&[&[
        ('C', "S", 1000, 0, 1000, 0, Fits, SynSent),
        ('S', "SA", 5000, 1001, 1000, 0, Fits, SynReceived),
        ('C', "R", 1001, 0, 0, 0, Fits, Closed),
    ]]);
}

#[test]
fn a_syn_inside_a_connection_is_told() {
    run(&[
        OPEN,
        &[
            ('C', "S", 1500, 0, 1000, 0, SYN_IN_CONNECTION, Established),
            ('C', "S", 900_000, 0, 1000, 0, SYN_IN_CONNECTION, Established),
            // The server challenges; the client, having forgotten, resets with that number.
            ('S', "A", 5001, 1001, 1000, 0, Fits, Established),
            ('C', "R", 1001, 0, 0, 0, Fits, Closed),
        ],
    ]);
}

#[test]
fn no_data_after_fin() {
    run(&[
        OPEN,
        &[
            ('C', "FPA", 1001, 5001, 1000, 100, Fits, FinWait),
            ('C', "PA", 1102, 5001, 1000, 10, BAD_STATE, FinWait),
            // The FIN again, and the data before it again.
            ('C', "FPA", 1001, 5001, 1000, 100, Fits, FinWait),
            ('C', "PA", 1001, 5001, 1000, 100, Fits, FinWait),
            ('S', "A", 5001, 1051, 1000, 0, Fits, FinWait),
            ('S', "A", 5001, 1102, 1000, 0, Fits, CloseWait),
        ],
    ]);
}

#[test]
fn segments_without_ack_have_no_place_in_a_connection() {
    run(&[
        OPEN,
        &[
            ('C', "", 1001, 0, 1000, 10, BAD_STATE, Established),
            ('C', "F", 1001, 0, 1000, 0, BAD_STATE, Established),
            ('C', "FPU", 1001, 0, 1000, 0, BAD_STATE, Established),
        ],
    ]);
    run(&[&[('C', "FPU", 1001, 0, 1000, 0, BAD_STATE, Unopened)]]);
}

#[test]
fn closed_and_time_wait_ports_are_used_again_by_a_new_flow() {
    for (ending, reason) in [
        (
            &[
                ('C', "FA", 1001, 5001, 1000, 0, Fits, FinWait),
                ('S', "FA", 5001, 1002, 1000, 0, Fits, LastAck),
                ('C', "A", 1002, 5002, 1000, 0, Fits, TimeWait),
            ][..],
            EndReason::Closed,
        ),
        (&[('S', "R", 5001, 0, 0, 0, Fits, Closed)][..], EndReason::Reset),
    ] {
        let lab = run_as(true, &[OPEN, ending, OPEN]);
        assert_eq!(lab.records.len(), 1);
        assert_eq!(lab.records[0].end, Some(reason));
        assert_eq!(lab.records[0].state, FlowState::Closed);
        assert_eq!(lab.table.stats().started, 2);
    }
}

#[test]
fn a_connection_is_picked_up_in_the_middle_from_either_side() {
    run(&[&[
        ('C', "PA", 70_000, 90_000, 500, 100, Midstream, Established),
        ('C', "PA", 70_100, 90_000, 500, 100, Fits, Established),
        // Data of the server that was in flight before we came.
        ('C', "A", 70_200, 95_000, 500, 0, Fits, Established),
        ('S', "PA", 94_000, 70_200, 500, 1400, Fits, Established),
        ('C', "A", 70_200, 95_400, 500, 0, Fits, Established),
        ('S', "PA", 3_000_000_000, 70_200, 500, 10, OUT_OF_WINDOW, Established),
        ('C', "A", 70_200, 3_000_000_000, 500, 0, ACK_INVALID, Established),
        ('S', "FA", 95_400, 70_200, 500, 0, Fits, FinWait),
        ('C', "FA", 70_200, 95_401, 500, 0, Fits, LastAck),
        ('S', "A", 95_401, 70_201, 500, 0, Fits, TimeWait),
    ]]);
    // The first packet comes from port 443: its receiver is the client.
    run(&[&[
        ('S', "PA", 90_000, 70_000, 500, 1400, Midstream, Established),
        ('C', "A", 70_000, 91_400, 500, 0, Fits, Established),
        ('C', "R", 70_000, 0, 0, 0, Fits, Closed),
    ]]);
    run(&[&[
        ('S', "SA7", 5000, 1001, 1000, 0, Midstream, SynReceived),
        ('S', "SA7", 5000, 1001, 1000, 0, Fits, SynReceived),
        ('C', "A", 1001, 5001, 1000, 0, Fits, Established),
        ('S', "PA", 5001, 1001, 1000, 50_000, Fits, Established),
    ]]);
    run(&[&[('S', "R", 5000, 0, 0, 0, Midstream, Closed)]]);
}

#[test]
fn a_refused_segment_never_moves_the_state() {
    let lab = run_as(
        true,
        &[
            OPEN,
            &[
                ('C', "FA", 5_000_000, 5001, 1000, 0, OUT_OF_WINDOW, Established),
                ('C', "PA", 5_000_000, 5001, 1000, 10, OUT_OF_WINDOW, Established),
                ('C', "PA", 1001, 5001, 1000, 10, Fits, Established),
            ],
        ],
    );
    assert_eq!(violations(&lab), 2);
}

#[test]
fn lenient_counts_violations_and_keeps_the_state() {
    let lab = run_as(
        false,
        &[
            OPEN,
            &[
                ('C', "FA", 5_000_000, 5001, 1000, 0, OUT_OF_WINDOW, Established),
                ('C', "R", 5_000_000, 5001, 1000, 0, RST_OUT_OF_WINDOW, Established),
                ('C', "S", 5_000_000, 0, 1000, 0, SYN_IN_CONNECTION, Established),
                ('C', "PA", 1001, 5001, 1000, 10, Fits, Established),
            ],
        ],
    );
    assert_eq!(violations(&lab), 3);
}

#[test]
fn a_lenient_tracker_recovers_from_capture_loss_and_a_strict_one_does_not() {
    const LOST: Line = ('C', "PA", 5_000_000, 5001, 1000, 100, OUT_OF_WINDOW, Established);
    let lost = [LOST; 8];
    run_as(
        false,
        &[
            OPEN,
            &lost,
            &[
                ('C', "PA", 5_000_100, 5001, 1000, 100, Fits, Established),
                ('S', "A", 5001, 5_000_200, 1000, 0, Fits, Established),
            ],
        ],
    );
    let after = [('C', "PA", 5_000_100, 5001, 1000, 100, OUT_OF_WINDOW, Established)];
    run_as(true, &[OPEN, &lost, &lost, &after]);
}

#[test]
fn a_reject_knows_the_numbers_that_a_reset_must_carry() {
    let lab = run_as(true, &[OPEN, &[('C', "PA", 1001, 5001, 1000, 300, Fits, Established)]]);
    let (key, src_is_lo) = Lab::key(&tcp(CLIENT, SERVER, "A", 0, 0));
    let flow = lab.table.flow(lab.table.find(&key, src_is_lo).unwrap().id);
    assert_eq!(flow.tcp_sequence(Direction::Forward), (1301, 5001));
    assert_eq!(flow.tcp_sequence(Direction::Reverse), (5001, 1001));
}
