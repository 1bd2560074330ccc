//! Cases for the whole table: packets in, states and records out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed case is a failed test")]

mod eviction;
mod lane;
mod model;
mod queries;
mod tcp_scripts;
mod timers;

use super::*;
use crate::parse::quoted::Quoted;
use crate::parse::{
    Addr, Headers, Icmp, Mac, Network, Protocol, Tcp, TcpFlags, TcpOptions, Transport, Tunnel,
};
use crate::time::{Now, Tick, Wall};
use crate::verdict::{Effects, Verdict};

/// An address and a port.
type Endpoint = (Addr, u16);

fn v4(last: u8, port: u16) -> Endpoint {
    (Addr::v4([10, 0, 0, last]), port)
}

fn now(seconds: u64) -> Now {
    at_ms(seconds * 1_000)
}

fn at_ms(ms: u64) -> Now {
    // Wall time starts elsewhere, so that mixing the clocks shows.
    Now { tick: Tick(ms * Tick::MS), wall: Wall(1_700_000_000 * Tick::SECOND + ms * Tick::MS) }
}

fn headers(src: Endpoint, dst: Endpoint, protocol: u8, transport: Transport, payload_len: u16) -> Headers {
    Headers {
        src_mac: Mac([2, 0, 0, 0, 0, 1]),
        dst_mac: Mac([2, 0, 0, 0, 0, 2]),
        vlan_outer: 0,
        vlan_inner: 0,
        ethertype: 0x0800,
        tunnel: Tunnel::None,
        tunnel_depth: 0,
        vni: 0,
        outer_l3_offset: 14,
        l3_offset: 14,
        l4_offset: 34,
        payload_offset: 54,
        end: 54 + payload_len,
        network: Network::Ip { src: src.0, dst: dst.0, protocol, ttl: 64, tos: 0 },
        fragment: None,
        transport,
    }
}

fn udp(src: Endpoint, dst: Endpoint) -> Headers {
    headers(src, dst, Protocol::UDP, Transport::Udp { src_port: src.1, dst_port: dst.1 }, 10)
}

fn icmp(src: Endpoint, dst: Endpoint, kind: u8, id: u16) -> Headers {
    let icmp = Icmp { kind, code: 0, id, seq: 1, is_error: false };
    headers(src, dst, Protocol::ICMP, Transport::Icmp(icmp), 10)
}

fn sctp(src: Endpoint, dst: Endpoint, chunk: u8) -> Headers {
    let transport = Transport::Sctp { src_port: src.1, dst_port: dst.1, chunk };
    headers(src, dst, Protocol::SCTP, transport, 10)
}

/// `flags` are the initials of the set bits; `scale` is the option.
fn tcp(src: Endpoint, dst: Endpoint, flags: &str, seq: u32, ack: u32) -> Headers {
    segment(src, dst, flags, seq, ack, 65_535, 0, None)
}

#[expect(clippy::too_many_arguments, reason = "a TCP header has that many fields")]
fn segment(
    src: Endpoint,
    dst: Endpoint,
    flags: &str,
    seq: u32,
    ack: u32,
    window: u16,
    len: u16,
    window_scale: Option<u8>,
) -> Headers {
    let bits = flags.chars().fold(0, |bits, flag| {
        bits | match flag {
            'F' => TcpFlags::FIN,
            'S' => TcpFlags::SYN,
            'R' => TcpFlags::RST,
            'P' => TcpFlags::PSH,
            'A' => TcpFlags::ACK,
            'U' => TcpFlags::URG,
            other => panic!("no flag {other}"),
        }
    });
    let tcp = Tcp {
        src_port: src.1,
        dst_port: dst.1,
        seq,
        ack,
        flags: TcpFlags(bits),
        window,
        options: TcpOptions { window_scale, ..TcpOptions::default() },
    };
    headers(src, dst, Protocol::TCP, Transport::Tcp(tcp), len)
}

/// A table with its records; packets go through it as through the engine.
struct Lab {
    table: FlowTable,
    records: Vec<FlowRecord>,
}

impl Lab {
    fn new(config: FlowConfig) -> Self {
        Self { table: FlowTable::new(config, 0x5eed, 3), records: Vec::new() }
    }

    fn with_capacity(capacity: u32) -> Self {
        Self::new(FlowConfig { capacity, ..FlowConfig::default() })
    }

    fn key(headers: &Headers) -> (FlowKey, bool) {
        FlowKey::of(headers, true).unwrap()
    }

    fn find_or_start(&mut self, headers: &Headers, now: Now) -> Result<Found, Full> {
        let (key, src_is_lo) = Self::key(headers);
        let hash = self.table.hash(&key);
        self.table.prefetch(hash);
        let located = self.table.locate(hash, true);
        let records = &mut self.records;
        self.table.find_or_start(located, &key, src_is_lo, headers, 0, now, &mut |r| records.push(r))
    }

    /// Sends a packet through; a violation is dropped where `strict`.
    fn send_as(&mut self, headers: &Headers, now: Now, strict: bool) -> Result<(Found, TcpOutcome), Full> {
        let found = self.find_or_start(headers, now)?;
        self.table.count(found.id, found.direction, 60, headers, now.tick);
        let step = self.table.judge(found.id, found.direction, headers);
        if strict && matches!(step.outcome(), TcpOutcome::Violation(_)) {
            self.table.refuse(found.id, step);
        } else {
            self.table.advance(found.id, found.direction, step, now.tick);
        }
        Ok((found, step.outcome()))
    }

    fn send(&mut self, headers: &Headers, now: Now) -> Found {
        self.send_as(headers, now, true).unwrap().0
    }

    fn expire(&mut self, now: Now, budget: usize) -> Expired {
        let records = &mut self.records;
        self.table.expire(now, budget, &mut |r| records.push(r))
    }

    fn expire_all(&mut self, now: Now) {
        while self.expire(now, 64).more {}
    }

    /// Opens a TCP connection with `exchanges` data segments each way.
    fn connect(&mut self, client: Endpoint, server: Endpoint, exchanges: u32, now: Now) -> FlowId {
        let id = self.send(&tcp(client, server, "S", 100, 0), now).id;
        self.send(&tcp(server, client, "SA", 900, 101), now);
        self.send(&tcp(client, server, "A", 101, 901), now);
        for n in 0..exchanges {
            let (seq, ack) = (101 + n * 10, 901 + n * 10);
            self.send(&segment(client, server, "PA", seq, ack, 65_535, 10, None), now);
            self.send(&segment(server, client, "PA", ack, seq + 10, 65_535, 10, None), now);
            self.send(&tcp(client, server, "A", seq + 10, ack + 10), now);
        }
        assert_eq!(self.table.flow(id).tcp_state(), TcpState::Established);
        id
    }

    /// Closes it: both FINs, both acknowledged.
    fn close(&mut self, client: Endpoint, server: Endpoint, exchanges: u32, now: Now) {
        let (seq, ack) = (101 + exchanges * 10, 901 + exchanges * 10);
        self.send(&tcp(client, server, "FA", seq, ack), now);
        self.send(&tcp(server, client, "FA", ack, seq + 1), now);
        self.send(&tcp(client, server, "A", seq + 1, ack + 1), now);
    }
}

#[test]
fn both_directions_find_one_flow_and_are_counted_apart() {
    let mut lab = Lab::with_capacity(8);
    let (a, b) = (v4(2, 5000), v4(1, 53));
    let first = lab.send(&udp(a, b), now(1));
    assert!(first.started);
    assert_eq!(first.direction, Direction::Forward);
    let reply = lab.send(&udp(b, a), now(2));
    assert_eq!((reply.id, reply.started, reply.direction), (first.id, false, Direction::Reverse));
    lab.send(&udp(b, a), now(3));
    let flow = lab.table.flow(first.id);
    assert_eq!((flow.packets(), flow.bytes()), ([1, 2], [60, 120]));
    assert_eq!((flow.initiator(), flow.responder()), (a, b));
    assert_eq!(flow.state(), FlowState::Established);
    assert_eq!(lab.table.stats().active_in(FlowState::Established), 1);
}

#[test]
fn a_record_tells_when_who_and_how_much() {
    let mut lab = Lab::with_capacity(8);
    let (a, b) = (v4(2, 5000), v4(1, 53));
    let id = lab.send(&udp(a, b), now(10)).id;
    lab.send(&udp(b, a), now(12));
    let (records, table) = (&mut lab.records, &mut lab.table);
    table.end(id, EndReason::Forced, now(20), &mut |r| records.push(r));
    let record = lab.records[0];
    assert_eq!(record.start, now(10).wall);
    assert_eq!(record.last, now(12).wall);
    assert_eq!(record.endpoints(), (a, b));
    assert_eq!(record.end, Some(EndReason::Forced));
    assert_eq!(record.flow_id >> 56, 3);
    assert_eq!(record.src_mac, Mac([2, 0, 0, 0, 0, 1]));
    assert_eq!(lab.table.stats().ended_by(EndReason::Forced), 1);
    assert!(lab.table.is_empty());
}

#[test]
fn vlan_vni_and_protocol_part_flows() {
    let mut lab = Lab::with_capacity(8);
    let (a, b) = (v4(1, 500), v4(2, 500));
    let plain = udp(a, b);
    let mut tagged = plain;
    tagged.vlan_outer = 7;
    let mut tunnelled = plain;
    tunnelled.vni = 7;
    for headers in [plain, tagged, tunnelled, sctp(a, b, 1)] {
        assert!(lab.send(&headers, now(1)).started);
    }
    assert_eq!(lab.table.len(), 4);
    assert_eq!(lab.table.stats().active_by_protocol[ProtocolClass::Sctp as usize], 1);
}

#[test]
fn a_packet_with_equal_addresses_and_ports_is_a_flow_too() {
    let mut lab = Lab::with_capacity(8);
    let a = v4(1, 500);
    assert!(lab.send(&udp(a, a), now(1)).started);
    assert!(!lab.send(&udp(a, a), now(1)).started);
}

#[test]
fn icmp_keeps_type_and_code_of_each_way() {
    let mut lab = Lab::with_capacity(8);
    let (a, b) = (v4(1, 0), v4(2, 0));
    let id = lab.send(&icmp(a, b, 8, 77), now(1)).id;
    assert_eq!(lab.send(&icmp(b, a, 0, 77), now(1)).id, id);
    lab.send(&icmp(a, b, 8, 77), now(1));
    assert_ne!(lab.send(&icmp(a, b, 8, 78), now(1)).id, id);
    let record = lab.table.record(id, None, now(2));
    assert_eq!(record.icmp, [(8, 0), (0, 0)]);
    assert_eq!(record.state, FlowState::Established);
}

#[test]
fn an_icmp_error_finds_the_flow_that_it_quotes() {
    let mut lab = Lab::with_capacity(8);
    let (client, server, router) = (v4(9, 5000), v4(1, 53), v4(77, 0));
    let mut question = udp(client, server);
    question.vlan_outer = 12;
    let id = lab.send(&question, now(1)).id;
    let mut error = icmp(router, client, 3, 0);
    error.vlan_outer = 12;
    let (key, src_is_lo) = FlowKey::of_quoted(&quoted(client, server), &FlowKey::of(&error, true).unwrap().0);
    let found = lab.table.find(&key, src_is_lo).unwrap();
    // The quoted packet went forward, so the error itself goes back.
    assert_eq!((found.id, found.direction), (id, Direction::Forward));
    let (key, src_is_lo) =
        FlowKey::of_quoted(&quoted(client, v4(3, 53)), &FlowKey::of(&error, true).unwrap().0);
    assert_eq!(lab.table.find(&key, src_is_lo), None);
}

#[test]
fn sctp_follows_init_reply_abort_and_opens_anew() {
    let mut lab = Lab::with_capacity(8);
    let (a, b) = (v4(1, 500), v4(2, 500));
    let id = lab.send(&sctp(a, b, 1), now(1)).id;
    assert_eq!(lab.table.flow(id).state(), FlowState::New);
    for (headers, state) in [
        (sctp(b, a, 2), FlowState::Established),
        (sctp(a, b, 0), FlowState::Established),
        (sctp(b, a, 6), FlowState::Closed),
        (sctp(a, b, 1), FlowState::New),
        (sctp(b, a, 2), FlowState::Established),
    ] {
        lab.send(&headers, now(2));
        assert_eq!(lab.table.flow(id).state(), state);
    }
}

#[test]
fn replies_of_a_redirect_target_find_the_flow_by_its_second_key() {
    let mut lab = Lab::with_capacity(8);
    // The target sorts below the client and the server above: the sides of the key change.
    let (client, server, target) = (v4(5, 5000), v4(9, 80), v4(1, 8080));
    let id = lab.send(&tcp(client, server, "S", 100, 0), now(1)).id;
    let redirect = |lab: &mut Lab, target| {
        let records = &mut lab.records;
        lab.table.redirect(id, target, now(1), &mut |r| records.push(r))
    };
    redirect(&mut lab, target).unwrap();
    redirect(&mut lab, target).unwrap();
    assert_eq!(redirect(&mut lab, server), Err(AliasError::Redirected));
    assert_eq!(lab.table.redirect_target(id), Some(target));
    let reply = lab.send(&tcp(target, client, "SA", 900, 101), now(1));
    assert_eq!((reply.id, reply.via_alias, reply.direction), (id, true, Direction::Reverse));
    assert_eq!(lab.table.flow(id).tcp_state(), TcpState::SynReceived);
    let onward = lab.send(&tcp(client, server, "A", 101, 901), now(1));
    assert_eq!((onward.id, onward.via_alias), (id, false));
    assert_eq!((lab.table.len(), lab.table.stats().aliases), (1, 1));
    assert_eq!(lab.table.record(id, None, now(1)).endpoints(), (client, server));

    lab.expire_all(now(100_000));
    assert_eq!(lab.records.len(), 1);
    assert_eq!((lab.table.len(), lab.table.stats().aliases), (0, 0));
    let (key, src_is_lo) = Lab::key(&tcp(target, client, "A", 1, 1));
    assert_eq!(lab.table.find(&key, src_is_lo), None);
}

#[test]
fn a_redirect_to_addresses_of_a_live_flow_is_refused() {
    let mut lab = Lab::with_capacity(8);
    let (client, server, target) = (v4(5, 5000), v4(9, 80), v4(1, 8080));
    lab.send(&tcp(client, target, "S", 100, 0), now(1));
    let id = lab.send(&tcp(client, server, "S", 100, 0), now(1)).id;
    assert_eq!(lab.table.redirect(id, target, now(1), &mut |_| ()), Err(AliasError::Taken));
    assert_eq!(lab.table.redirect_target(id), None);
}

#[test]
fn a_redirect_in_a_table_of_one_does_not_evict_its_own_flow() {
    let mut lab = Lab::with_capacity(1);
    let id = lab.send(&udp(v4(5, 5000), v4(9, 80)), now(1)).id;
    assert_eq!(lab.table.redirect(id, v4(1, 1), now(1), &mut |_| ()), Err(AliasError::Full));
    assert_eq!(lab.table.len(), 1);
}

#[test]
fn decision_effects_and_allowance_are_kept() {
    use crate::verdict::{BucketId, Effects, Reason, TargetId, Verdict};
    let mut lab = Lab::with_capacity(1);
    let id = lab.send(&udp(v4(5, 5000), v4(9, 80)), now(1)).id;
    let flow = lab.table.flow_mut(id);
    assert_eq!(flow.decision(), CachedDecision::NONE);
    for verdict in [
        Verdict::Forward,
        Verdict::Redirect(TargetId(9)),
        Verdict::RateLimit(BucketId(u32::MAX)),
        Verdict::Drop(Reason::PolicyDrop),
    ] {
        let decision = CachedDecision {
            policy_version: 7,
            identity_generation: 8,
            policy_index: 9,
            verdict,
            effects: Effects { mirror: true, capture: false, log: true },
            decided: true,
        };
        flow.set_decision(decision);
        assert_eq!(flow.decision(), decision);
        assert!(flow.decision().is_current(7, 8) && !flow.decision().is_current(7, 9));
    }
    flow.use_deciding(1_000);
    flow.use_deciding(500);
    assert_eq!(flow.deciding_used(), (2, 1_500));
    flow.count_dropped();
    let record = lab.table.record(id, None, now(1));
    assert_eq!((record.dropped, record.decision.reason), (1, Some(Reason::PolicyDrop)));
    // The key's orientation shares its byte with the effects.
    assert_eq!(record.endpoints(), (v4(5, 5000), v4(9, 80)));
}

fn quoted(src: (Addr, u16), dst: (Addr, u16)) -> Quoted {
    Quoted { src: src.0, dst: dst.0, protocol: Protocol::UDP, ports: (src.1, dst.1) }
}
