//! The table against a map that does the obvious thing.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    /// A UDP packet between two of the hosts.
    Packet { src: u8, dst: u8 },
    /// An operator ends that flow.
    End { src: u8, dst: u8 },
    /// Gives a flow a second key.
    Redirect { src: u8, dst: u8, target: u8 },
    /// Time passes and the wheel turns.
    Expire { seconds: u16, budget: u8 },
}

fn action() -> impl Strategy<Value = Action> {
    let host = 0..10_u8;
    prop_oneof![
        8 => (host.clone(), host.clone()).prop_map(|(src, dst)| Action::Packet { src, dst }),
        1 => (host.clone(), host.clone()).prop_map(|(src, dst)| Action::End { src, dst }),
        1 => (host.clone(), host.clone(), host).prop_map(|(src, dst, target)| {
            Action::Redirect { src, dst, target }
        }),
        3 => (0..40_u16, any::<u8>()).prop_map(|(seconds, budget)| Action::Expire { seconds, budget }),
    ]
}

/// What the model knows of one flow.
#[derive(Debug, Clone)]
struct Model {
    flow_id: u64,
    initiator: Endpoint,
    packets: [u64; 2],
    last_s: u64,
    keys: Vec<(FlowKey, bool)>,
}

impl Model {
    fn is_due(&self, second: u64) -> bool {
        let timeout = if self.packets[1] > 0 { 300 } else { 30 };
        second >= self.last_s + timeout
    }
}

proptest! {
    #[test]
    fn agrees_with_a_map(actions in proptest::collection::vec(action(), 1..300), capacity in 1_u32..60) {
        let endpoint = |n: u8| v4(n, 1000 + u16::from(n));
        let mut lab = Lab::with_capacity(capacity);
        let mut models: HashMap<u64, Model> = HashMap::new();
        let mut by_key: HashMap<FlowKey, u64> = HashMap::new();
        let mut second = 0;
        for action in actions {
            let mut refused = false;
            match action {
                Action::Packet { src, dst } => {
                    let (src, dst) = (endpoint(src), endpoint(dst));
                    let headers = udp(src, dst);
                    let (key, src_is_lo) = Lab::key(&headers);
                    let expected = by_key.get(&key).filter(|id| !models[id].is_due(second)).copied();
                    match lab.send_as(&headers, now(second), true) {
                        Ok((found, _)) => {
                            let flow_id = lab.table.flow_id(found.id);
                            prop_assert_eq!(found.started, expected.is_none());
                            if let Some(expected) = expected {
                                prop_assert_eq!(flow_id, expected);
                            } else {
                                let model = Model {
                                    flow_id,
                                    initiator: src,
                                    packets: [0; 2],
                                    last_s: second,
                                    keys: vec![(key, src_is_lo)],
                                };
                                by_key.retain(|other, _| *other != key);
                                models.insert(flow_id, model);
                            }
                            let model = models.get_mut(&flow_id).unwrap();
                            model.packets[usize::from(model.initiator != src)] += 1;
                            model.last_s = second;
                        }
                        Err(Full) => {
                            prop_assert_eq!(expected, None);
                            refused = true;
                        }
                    }
                }
                Action::End { src, dst } => {
                    let (key, src_is_lo) = Lab::key(&udp(endpoint(src), endpoint(dst)));
                    let found = lab.table.find(&key, src_is_lo);
                    let flow_id = found.map(|found| lab.table.flow_id(found.id));
                    prop_assert_eq!(flow_id, by_key.get(&key).copied());
                    if let Some(found) = found {
                        let records = &mut lab.records;
                        lab.table.end(found.id, EndReason::Forced, now(second), &mut |r| records.push(r));
                    }
                }
                Action::Redirect { src, dst, target } => {
                    let (key, src_is_lo) = Lab::key(&udp(endpoint(src), endpoint(dst)));
                    if let Some(found) = lab.table.find(&key, src_is_lo) {
                        let flow = lab.table.flow(found.id);
                        let (alias, lo) = flow.key().with_responder(flow.initiator(), endpoint(target));
                        let records = &mut lab.records;
                        let outcome = lab.table.redirect(
                            found.id, endpoint(target), now(second), &mut |r| records.push(r),
                        );
                        let model = models.get_mut(&lab.table.flow_id(found.id)).unwrap();
                        match outcome {
                            Ok(()) if model.keys.len() == 1 => model.keys.push((alias, lo)),
                            Ok(()) => prop_assert_eq!(model.keys[1], (alias, lo)),
                            Err(AliasError::Taken) => prop_assert!(by_key.contains_key(&alias)),
                            Err(AliasError::Redirected) => prop_assert_eq!(model.keys.len(), 2),
                            Err(AliasError::Full) => refused = true,
                        }
                    }
                }
                Action::Expire { seconds, budget } => {
                    second += u64::from(seconds);
                    let expired = lab.expire(now(second), usize::from(budget));
                    if !expired.more {
                        for model in models.values() {
                            let ended = lab.records.iter().any(|r| r.flow_id == model.flow_id);
                            // The wheel may be one tick late.
                            prop_assert!(ended || !model.is_due(second.saturating_sub(1)));
                        }
                    }
                }
            }
            for record in lab.records.drain(..) {
                let model = models.remove(&record.flow_id);
                prop_assert!(model.is_some(), "a record of an unknown flow");
                let model = model.unwrap();
                prop_assert_eq!(record.packets, model.packets);
                prop_assert_eq!(record.endpoints().0, model.initiator);
                match record.end.unwrap() {
                    EndReason::Timeout => prop_assert!(model.is_due(second)),
                    EndReason::Evicted | EndReason::Forced => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            by_key = models.values().flat_map(|m| m.keys.iter().map(|(key, _)| (*key, m.flow_id))).collect();
            let entries: usize = models.values().map(|model| model.keys.len()).sum();
            prop_assert_eq!(lab.table.len(), models.len());
            prop_assert_eq!(lab.table.stats().aliases as usize, entries - models.len());
            prop_assert!(entries <= capacity as usize);
            prop_assert!(!refused || entries + 1 >= capacity as usize);
            for model in models.values() {
                for (key, initiator_is_lo) in &model.keys {
                    let found = lab.table.find(key, *initiator_is_lo);
                    prop_assert!(found.is_some());
                    let found = found.unwrap();
                    prop_assert_eq!(lab.table.flow_id(found.id), model.flow_id);
                    prop_assert_eq!(found.direction, Direction::Forward);
                    prop_assert_eq!(lab.table.flow(found.id).packets(), model.packets);
                }
            }
            let stats = lab.table.stats();
            prop_assert_eq!(stats.active_by_state.iter().sum::<u64>(), stats.active);
            prop_assert_eq!(stats.started, stats.active + stats.ended.iter().sum::<u64>());
        }
    }

    /// Whatever two ends send, the tracker does not panic and a refused segment changes nothing.
    #[test]
    fn any_segments_are_judged(
        segments in proptest::collection::vec(
            (any::<bool>(), any::<u8>(), any::<u32>(), any::<u32>(), any::<u16>(), 0_u16..1500,
             proptest::option::of(any::<u8>()), any::<bool>()),
            1..60,
        )
    ) {
        let (a, b) = (v4(1, 2000), v4(2, 3000));
        let mut lab = Lab::with_capacity(2);
        for (forward, flags, seq, ack, window, len, scale, strict) in segments {
            let (src, dst) = if forward { (a, b) } else { (b, a) };
            let mut headers = segment(src, dst, "", seq, ack, window, len, scale);
            if let Transport::Tcp(tcp) = &mut headers.transport {
                tcp.flags = TcpFlags(flags);
            }
            let found = lab.find_or_start(&headers, now(1)).unwrap();
            let before = format!("{:?}", lab.table.flow(found.id).tcp);
            let step = lab.table.judge(found.id, found.direction, &headers);
            if strict && matches!(step.outcome(), TcpOutcome::Violation(_)) {
                lab.table.refuse(found.id, step);
                prop_assert_eq!(before, format!("{:?}", lab.table.flow(found.id).tcp));
            } else {
                lab.table.advance(found.id, found.direction, step, now(1).tick);
            }
        }
    }

    /// `track` is `judge` with its commit: two tables fed alike stay alike.
    #[test]
    fn tracking_at_once_is_judging_and_committing(
        segments in proptest::collection::vec(
            (any::<bool>(), prop_oneof![10 => Just("A"), 4 => Just("PA"), 1 => Just("FA"), 1 => Just("S"),
              1 => Just("R"), 1 => Just("SA")], -2_i32..40, -40_i32..2, 0_u16..60, 0_u16..30),
            1..80,
        ),
        strict: bool,
        midstream: bool,
    ) {
        let (a, b) = (v4(1, 2000), v4(2, 3000));
        let (mut whole, mut parts) = (Lab::with_capacity(2), Lab::with_capacity(2));
        if !midstream {
            for lab in [&mut whole, &mut parts] {
                lab.connect(a, b, 0, now(1));
            }
        }
        // Sequence numbers near what each end has sent, so that most segments are plausible.
        let mut sent = [101_u32, 901];
        for (forward, flags, ahead, behind, window, len) in segments {
            let (src, dst) = if forward { (a, b) } else { (b, a) };
            let (own, other) = if forward { (0, 1) } else { (1, 0) };
            let seq = sent[own].wrapping_add_signed(ahead.min(2));
            let ack = sent[other].wrapping_add_signed(behind.max(-3));
            let headers = segment(src, dst, flags, seq, ack, window * 10, len, None);
            sent[own] = sent[own].max(seq.wrapping_add(u32::from(len)));
            let (parted, expected) = parts.send_as(&headers, now(1), strict).unwrap();
            let found = whole.find_or_start(&headers, now(1)).unwrap();
            whole.table.count(found.id, found.direction, 60, &headers, now(1).tick);
            let outcome = whole.table.track(found.id, found.direction, &headers, strict, now(1).tick);
            prop_assert_eq!(outcome, expected);
            prop_assert_eq!(
                format!("{:?}", whole.table.flow(found.id)),
                format!("{:?}", parts.table.flow(parted.id))
            );
        }
        prop_assert_eq!(whole.table.stats(), parts.table.stats());
    }
}
