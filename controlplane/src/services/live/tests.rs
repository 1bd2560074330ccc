//! The hub without sockets.

use std::sync::atomic::AtomicU64;

use super::*;

/// A clock that stands still at this many nanoseconds.
static NOW_NS: AtomicU64 = AtomicU64::new(1_800_000_000_000_000_000);

fn still() -> u64 {
    NOW_NS.load(Ordering::Relaxed)
}

fn hub() -> Arc<Hub> {
    Hub::new(still, Bounds::default())
}

fn alert(number: usize) -> Vec<u8> {
    format!("{{\"number\":{number}}}\n").into_bytes()
}

fn publish(hub: &Hub, topic: Topic, count: usize) {
    let events: Vec<_> = (0..count).map(alert).collect();
    let drafts =
        events.iter().map(|event| Draft { topic, is_private: false, facts: Facts::default(), event });
    hub.publish(drafts, None);
}

fn listener(hub: &Arc<Hub>, topics: &[Topic], after: Option<u64>) -> (Listener, Option<Gap>) {
    let mut listener = hub.listen(Identity::local()).unwrap();
    let gap = listener.add(topics.iter().copied().collect(), &Filter::default(), after);
    (listener, gap)
}

#[test]
fn ids_grow_while_the_clock_stands_and_events_come_in_their_order() {
    let hub = hub();
    let (mut both, _) = listener(&hub, &[Topic::Alerts, Topic::Flows], None);
    for topic in [Topic::Alerts, Topic::Flows, Topic::Alerts] {
        publish(&hub, topic, 2);
    }
    let told = both.take().told;
    let ids: Vec<u64> = told.iter().map(|one| one.id).collect();
    assert_eq!(ids, (ids[0]..ids[0] + 6).collect::<Vec<_>>());
    assert_eq!(told[2].topic, Topic::Flows);
    assert_eq!(told[1].event(), br#"{"number":1}"#);
    let message: Value = serde_json::from_slice(&told[1].message).unwrap();
    assert_eq!((&message["topic"], &message["event"]["number"]), (&"alerts".into(), &1.into()));
    assert!(ids[5] < 1 << 53, "exact in every JSON reader");
}

#[test]
fn a_topic_is_told_while_somebody_listens_and_a_while_longer() {
    let hub = hub();
    assert!(!hub.wants(Topic::Alerts));
    let (first, _) = listener(&hub, &[Topic::Alerts], None);
    assert!(hub.wants(Topic::Alerts) && !hub.wants(Topic::Flows));
    publish(&hub, Topic::Alerts, 1);
    let id = hub.last_id();
    drop(first);
    hub.tend();
    assert!(hub.wants(Topic::Alerts), "one who comes back misses nothing");
    publish(&hub, Topic::Alerts, 2);
    let (mut again, gap) = listener(&hub, &[Topic::Alerts], Some(id));
    assert_eq!((again.take().told.len(), gap), (2, None));
    drop(again);
    // Long after.
    let (linger, now) = (LINGER_NS + 1, still());
    lock(&hub.registry).linger_until_ns = [now - linger; Topic::COUNT];
    hub.tend();
    assert!(!hub.wants(Topic::Alerts));
    let (_late, gap) = listener(&hub, &[Topic::Alerts], Some(id));
    assert_eq!(gap.unwrap().topics, Topics::of(Topic::Alerts), "what was told meanwhile was not kept");
}

#[test]
fn who_is_overtaken_learns_how_much_it_missed_and_takes_nothing_after_the_hole() {
    let hub = hub();
    let (mut slow, _) = listener(&hub, &[Topic::Policy], None);
    publish(&hub, Topic::Policy, 4_096 + 10);
    let taken = slow.take();
    assert_eq!((taken.told.len(), taken.missed), (0, 10));
    let (_, gap) = listener(&hub, &[Topic::Policy], Some(1));
    assert!(gap.is_some());
}

#[test]
fn only_those_who_listen_to_it_are_rung() {
    let hub = hub();
    let (mut alerts, _) = listener(&hub, &[Topic::Alerts], None);
    let (flows, _) = listener(&hub, &[Topic::Flows], None);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        // Each was rung when it began to listen.
        alerts.subscriber().rung().await;
        flows.subscriber().rung().await;
        publish(&hub, Topic::Alerts, 3);
        let heard = hub.heard().await;
        assert_eq!(heard, Topics::of(Topic::Alerts));
        hub.ring(heard);
        alerts.subscriber().rung().await;
        assert_eq!(alerts.take().told.len(), 3);
        let mut quiet = std::pin::pin!(flows.subscriber().rung());
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(quiet.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "its topic is quiet");
    });
}

#[test]
fn a_disk_that_fails_is_counted_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let segments = crate::store::segments::Segments::open(dir.path().join("s")).unwrap();
    let keeping = Some(LogKeeping { age_s_max: 3_600, bytes_max: 1 << 30 });
    let (recorder, _) = Recorder::open(&segments, [keeping, None], still).unwrap();
    let hub = hub();
    let (mut tape, handle) = recorder.start(&hub).unwrap();
    assert!(hub.wants(Topic::Alerts) && !hub.wants(Topic::Flows), "what is recorded is told at all times");
    // Whoever runs this may write to any directory: the directory goes.
    std::fs::remove_dir_all(dir.path().join("s").join("events")).unwrap();
    let event = alert(1);
    let draft = || Draft { topic: Topic::Alerts, is_private: false, facts: Facts::default(), event: &event };
    hub.publish((0..5).map(|_| draft()), Some(&mut tape));
    tape.flush();
    drop(handle);
    let totals = hub.record_counts().totals();
    assert_eq!((totals.stored, totals.lost, totals.failing), (0, 5, true));
    // And the thread is gone: batches have nowhere to go.
    hub.publish([draft()], Some(&mut tape));
    tape.flush();
    assert_eq!(hub.record_counts().totals().lost, 6);
}
