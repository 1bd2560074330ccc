//! The fast lane does what the long way does, or nothing.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
struct Step {
    forward: bool,
    is_tcp: bool,
    flags: u8,
    seq: u32,
    ack: u32,
    window: u16,
    len: u16,
    wait_ms: u64,
    /// What policy says before this packet.
    decide: Option<(Verdict, bool, u32)>,
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly ACK and near the numbers of the handshake: the lane must take some.
    let flags =
        prop_oneof![6 => Just(TcpFlags::ACK), 3 => Just(TcpFlags::ACK | TcpFlags::PSH), 1 => any::<u8>()];
    let near = prop_oneof![4 => 95_u32..130, 4 => 895_u32..930, 1 => any::<u32>()];
    let verdict = prop_oneof![
        4 => Just(Verdict::Forward),
        1 => Just(Verdict::Drop(crate::verdict::Reason::PolicyDrop)),
    ];
    let decide = proptest::option::weighted(0.2, (verdict, any::<bool>(), 1_u32..3));
    let wait_ms = prop_oneof![8 => 0_u64..50, 1 => 0_u64..400_000];
    (
        any::<bool>(),
        prop::bool::weighted(0.7),
        flags,
        near.clone(),
        near,
        0_u16..3,
        0_u16..30,
        wait_ms,
        decide,
    )
        .prop_map(|(forward, is_tcp, flags, seq, ack, window, len, wait_ms, decide)| Step {
            forward,
            is_tcp,
            flags,
            seq,
            ack,
            window: window * 30_000,
            len,
            wait_ms,
            decide,
        })
}

impl Lab {
    /// What the engine does with a packet of a flow that is forwarded.
    fn long_way(&mut self, headers: &Headers, now: Now) -> FlowId {
        let found = self.find_or_start(headers, now).unwrap();
        self.table.count(found.id, found.direction, 60, headers, now.tick);
        self.table.track(found.id, found.direction, headers, true, now.tick);
        found.id
    }

    fn lane(&mut self, headers: &Headers, versions: (u32, u32), now: Now) -> bool {
        let (key, src_is_lo) = Self::key(headers);
        let located = self.table.locate(self.table.hash(&key), key.protocol() == Protocol::TCP);
        self.table.pass(located, &key, src_is_lo, headers, versions, |_since| true, 60, now.tick)
    }

    fn identity_generation(&self, headers: &Headers) -> u32 {
        let (key, src_is_lo) = Self::key(headers);
        self.table.flow(self.table.find(&key, src_is_lo).unwrap().id).decision().identity_generation
    }

    fn whole(&self) -> String {
        format!("{:?} {:?} {:?}", self.table.flows, self.table.stats(), self.records)
    }
}

proptest! {
    #[test]
    fn two_tables_fed_alike_stay_alike(steps in proptest::collection::vec(step(), 1..80), protected in 0_u32..6) {
        let config = FlowConfig { capacity: 8, protected_packets: protected, ..FlowConfig::default() };
        let (mut long, mut fast) = (Lab::new(config.clone()), Lab::new(config));
        let (client, server) = (v4(1, 2000), v4(2, 3000));
        for lab in [&mut long, &mut fast] {
            lab.connect(client, server, 0, now(1));
        }
        let mut ms = 1_000;
        for step in steps {
            ms += step.wait_ms;
            let now = at_ms(ms);
            let (src, dst) = if step.forward { (client, server) } else { (server, client) };
            let mut headers = match step.is_tcp {
                true => segment(src, dst, "", step.seq, step.ack, step.window, step.len, None),
                false => udp(src, dst),
            };
            if let Transport::Tcp(tcp) = &mut headers.transport {
                tcp.flags = TcpFlags(step.flags);
            }
            let (key, src_is_lo) = Lab::key(&headers);
            if let Some((verdict, mirror, policy_version)) = step.decide {
                let decision = CachedDecision {
                    policy_version,
                    verdict,
                    decided: true,
                    effects: Effects { mirror, ..Effects::default() },
                    ..CachedDecision::NONE
                };
                for lab in [&mut long, &mut fast] {
                    if let Some(found) = lab.table.find(&key, src_is_lo) {
                        lab.table.flow_mut(found.id).set_decision(decision);
                    }
                }
            }
            let before = fast.whole();
            if fast.lane(&headers, (1, 0), now) {
                let decision = fast.table.flow(fast.table.find(&key, src_is_lo).unwrap().id).decision();
                prop_assert_eq!((decision.verdict, decision.policy_version), (Verdict::Forward, 1));
                prop_assert!(!decision.effects.mirror);
            } else {
                prop_assert_eq!(before, fast.whole(), "what it does not take it leaves alone");
                fast.long_way(&headers, now);
            }
            long.long_way(&headers, now);
            prop_assert_eq!(fast.whole(), long.whole());
        }
    }
}

#[test]
fn the_lane_takes_established_segments_and_datagrams() {
    let (client, server) = (v4(1, 2000), v4(2, 3000));
    let mut lab = Lab::with_capacity(4);
    lab.connect(client, server, 1, now(1));
    lab.send(&udp(client, server), now(1));
    let forward = CachedDecision { policy_version: 7, decided: true, ..CachedDecision::NONE };
    for slot in 0..2 {
        let id = lab.table.flow_at(slot).unwrap();
        lab.table.flow_mut(id).set_decision(forward);
    }
    let data = segment(client, server, "A", 111, 911, 65_535, 10, None);
    assert!(lab.lane(&data, (7, 0), now(2)));
    assert!(!lab.lane(&data, (8, 0), now(2)), "an older policy set");
    assert!(!lab.lane(&data, (7, 1), now(2)), "older identities");
    assert_eq!(lab.identity_generation(&data), 0);
    assert!(lab.lane(&udp(client, server), (7, 0), now(2)));
    assert!(!lab.lane(&udp(server, client), (7, 0), now(2)), "the first reply establishes");
    assert!(!lab.lane(&udp(client, v4(9, 9)), (7, 0), now(2)), "an unknown flow");
    assert!(!lab.lane(&tcp(client, server, "FA", 121, 911), (7, 0), now(2)));
    // Identities that changed without concerning it: the packet passes, and nobody asks again.
    for packet in [&data, &udp(client, server)] {
        let (key, src_is_lo) = Lab::key(packet);
        let located = lab.table.locate(lab.table.hash(&key), key.protocol() == Protocol::TCP);
        let mut asked = Vec::new();
        let mut unconcerned = |since| {
            asked.push(since);
            false
        };
        assert!(lab.table.pass(located, &key, src_is_lo, packet, (7, 3), &mut unconcerned, 60, now(2).tick));
        assert!(lab.lane(packet, (7, 3), now(2)));
        assert_eq!((asked, lab.identity_generation(packet)), (vec![0], 3));
    }
}
