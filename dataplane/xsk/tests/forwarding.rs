//! Do frames cross AF_XDP sockets whole, in order, and without a loss?
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod rig;

use rig::{Forwarder, Rig, exchange, ipv4, plain};
use xsk::wire::WireConfig;
use xsk::{
    FailMode, FrameSize, Mode, ObtainedMode, PacketPort, SocketConfig, Umem, UmemConfig, Wire, XskQueue,
};

#[test]
fn one_queue_echoes_every_frame() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut config = WireConfig::new("echo", &["p0"]);
    config.pin_root.clone_from(&rig.pin_root);
    config.watchdog_ms = 5000;
    let mut wire = Wire::attach(&config).unwrap();
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes2048);
    let frames: Vec<_> = (0..2000).map(plain).collect();
    let received = exchange(&rig.left, &rig.left, &frames, || worker.turn());
    assert_eq!(received, frames);
    assert_eq!(wire.counters(0).unwrap().redirected, 2000);
    worker.stop(&mut wire);
}

#[test]
fn two_ports_over_one_umem_forward_both_ways() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Closed)).unwrap();
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes4096);
    let frames: Vec<_> =
        (0..3000).map(|id| ipv4(&[], [10, 0, 0, 1], [10, 0, 0, 2], id, 60 + id as usize % 1454)).collect();
    assert_eq!(exchange(&rig.left, &rig.right, &frames, || worker.turn()), frames);
    assert_eq!(exchange(&rig.right, &rig.left, &frames, || worker.turn()), frames);
    for port in &worker.ports {
        let lost = port.statistics().unwrap();
        assert_eq!((lost.rx_dropped, lost.rx_ring_full, lost.rx_invalid, lost.tx_invalid), (0, 0, 0, 0));
    }
    worker.stop(&mut wire);
}

#[test]
fn every_queue_has_its_own_worker_and_loses_nothing() {
    let Some(rig) = Rig::new(2, 1500) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Closed)).unwrap();
    let mut workers: Vec<_> =
        (0..2).map(|queue| Forwarder::open(&mut wire, queue, FrameSize::Bytes2048)).collect();
    let frames: Vec<_> = (0..4000).map(plain).collect();
    let mut received =
        exchange(&rig.left, &rig.right, &frames, || workers.iter_mut().for_each(Forwarder::turn));
    // Two queues keep no order between flows.
    received.sort_by_key(|frame| frame[42..46].to_vec());
    assert_eq!(received, frames);
    for worker in workers {
        assert!(worker.forwarded > 0, "queue {} carried its share", worker.queue);
        worker.stop(&mut wire);
    }
}

#[test]
fn jumbo_frames_cross_in_several_pieces() {
    for frame_size in [FrameSize::Bytes2048, FrameSize::Bytes4096] {
        let Some(rig) = Rig::new(1, 9000) else { return };
        let mut wire = Wire::attach(&rig.inline(FailMode::Closed)).unwrap();
        let mut worker = Forwarder::open(&mut wire, 0, frame_size);
        let frames: Vec<_> = (0..600)
            .map(|id| ipv4(&[], [10, 0, 0, 1], [10, 0, 0, 2], id, 60 + (id as usize * 397) % 8954))
            .collect();
        assert_eq!(exchange(&rig.left, &rig.right, &frames, || worker.turn()), frames);
        let expected = 9014_usize.div_ceil(frame_size.bytes() - 256);
        assert!((2..=expected + 1).contains(&worker.most_pieces), "{} pieces", worker.most_pieces);
        worker.stop(&mut wire);
    }
}

#[test]
fn a_packet_is_never_split_over_two_receives() {
    let Some(rig) = Rig::new(1, 9000) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Closed)).unwrap();
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes2048);
    for id in 0..40 {
        rig.left.send(&ipv4(&[], [10, 0, 0, 1], [10, 0, 0, 2], id, 9000));
    }
    // A step of one frame still brings whole packets.
    let mut packets = 0;
    while packets < 40 {
        let mut batch = xsk::FrameBatch::new();
        let port = &mut worker.ports[0];
        port.receive(&mut batch, 1);
        if let Some(last) = batch.last() {
            assert!(!last.more(), "a batch ends with a packet's end");
            packets += batch.iter().filter(|frame| !frame.more()).count();
        }
        worker.pool.give_all(&mut batch);
        port.refill(&mut worker.pool, 1024);
        port.kick();
    }
    worker.stop(&mut wire);
}

#[test]
fn veth_has_no_zero_copy_and_auto_falls_back_to_copy() {
    let Some(_rig) = Rig::new(1, 1500) else { return };
    let (umem, pool) = Umem::new(UmemConfig::default()).unwrap();
    let zero_copy = SocketConfig { mode: Mode::ZeroCopy, ..SocketConfig::new("p0", 0) };
    let err = XskQueue::open(&umem, &zero_copy).unwrap_err();
    assert!(err.to_string().ends_with("the driver has no zero copy: choose copy or auto"), "{err}");
    drop((umem, pool));
    let (umem, _pool) = Umem::new(UmemConfig::default()).unwrap();
    let queue = XskQueue::open(&umem, &SocketConfig::new("p0", 0)).unwrap();
    assert_eq!(queue.mode(), ObtainedMode::Copy);
}

#[test]
fn what_cannot_be_opened_says_why_in_one_sentence() {
    let Some(_rig) = Rig::new(1, 1500) else { return };
    let (umem, _pool) = Umem::new(UmemConfig::default()).unwrap();
    let refused =
        |name: &str, queue| XskQueue::open(&umem, &SocketConfig::new(name, queue)).unwrap_err().to_string();
    assert!(refused("nosuchif0", 0).ends_with("there is no such interface in this network namespace"));
    assert!(refused("p0", 7).ends_with("the queue does not exist: compare `ethtool -l`"));

    let (holder, _pool) = Umem::new(UmemConfig::default()).unwrap();
    let _held = XskQueue::open(&holder, &SocketConfig::new("p0", 0)).unwrap();
    assert!(refused("p0", 0).contains("another process holds this queue"));
    let odd = SocketConfig { rx_ring_frames: 1000, ..SocketConfig::new("p0", 0) };
    let err = XskQueue::open(&umem, &odd).unwrap_err();
    assert_eq!(err.to_string(), "a ring of 1000 entries cannot be made: choose a power of two");
}

#[test]
fn busy_polling_forwards_too() {
    let Some(rig) = Rig::new(1, 1500) else { return };
    let mut wire = Wire::attach(&rig.inline(FailMode::Closed)).unwrap();
    let mut worker = Forwarder::open(&mut wire, 0, FrameSize::Bytes2048);
    let again = |name: &str| SocketConfig {
        busy_poll: Some(xsk::BusyPoll { usecs: 20, budget: 64 }),
        ..SocketConfig::new(name, 0)
    };
    // The same queues, opened once more with the option.
    let names: Vec<_> = worker.ports.iter().map(|port| port.interface().to_owned()).collect();
    let (umem, pool) = Umem::new(UmemConfig { frames: 4096, ..UmemConfig::default() }).unwrap();
    worker.ports.clear();
    worker.umem = umem;
    worker.pool = pool;
    for (index, name) in names.iter().enumerate() {
        let mut port = XskQueue::open(&worker.umem, &again(name)).unwrap();
        port.refill(&mut worker.pool, 1024);
        wire.register_socket(index, &port).unwrap();
        worker.ports.push(port);
    }
    let frames: Vec<_> = (0..1000).map(plain).collect();
    assert_eq!(exchange(&rig.left, &rig.right, &frames, || worker.turn()), frames);
    worker.stop(&mut wire);
}
