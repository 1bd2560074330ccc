//! Are interfaces read as they are, and is the TAP a real interface?
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod rig;

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use rig::{PATIENCE, Rig, run};
use xsk::netdev::{self, Interface, LinkEvent, LinkState, LinkWatch, Queues};
use xsk::{PacketSocket, Tap, wait};

#[test]
fn a_port_is_read_with_queues_and_offloads() {
    let Some(_rig) = Rig::new(2, 3000) else { return };
    let port = Interface::read("p0").unwrap();
    assert_eq!((port.mtu_bytes, port.driver.as_str()), (3000, "veth"));
    assert_eq!(port.queues, Queues { rx: 2, tx: 2 });
    assert!(port.up && port.running && !port.promiscuous);
    assert_ne!(port.mac, [0; 6]);
    assert!(!port.offloads.tx_checksum && !port.offloads.tx_vlan && !port.offloads.rx_vlan);
    run(&["ethtool", "-K", "p0", "tx", "on", "txvlan", "on", "rxvlan", "on"]).unwrap();
    let offloads = Interface::read("p0").unwrap().offloads;
    assert!(
        offloads.tx_checksum && offloads.tx_vlan && offloads.rx_vlan && !offloads.lro && !offloads.gro_hw
    );
}

#[test]
fn promiscuous_mode_is_an_interface_flag() {
    let Some(_rig) = Rig::new(1, 1500) else { return };
    netdev::set_promiscuous("p0", true).unwrap();
    netdev::set_promiscuous("p0", true).unwrap();
    let port = Interface::read("p0").unwrap();
    assert!(port.promiscuous && port.up);
    netdev::set_promiscuous("p0", false).unwrap();
    assert!(!Interface::read("p0").unwrap().promiscuous);
}

#[test]
fn a_link_watch_tells_of_down_up_and_gone() {
    let Some(_rig) = Rig::new(1, 1500) else { return };
    let ifindex = netdev::ifindex("p0").unwrap();
    let mut watch = LinkWatch::open().unwrap();
    let mut expect = |state| {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match watch.take().unwrap() {
                Some(event) if event == (LinkEvent { ifindex, state }) => return,
                Some(_) => {}
                None => {
                    assert!(Instant::now() < give_up, "{state:?} was never told");
                    wait::readable(&[watch.fd()], 100).unwrap();
                }
            }
        }
    };
    netdev::set_up("g0", false).unwrap();
    expect(LinkState::Down);
    netdev::set_up("g0", true).unwrap();
    expect(LinkState::Up);
    run(&["ip", "link", "del", "g0"]).unwrap();
    expect(LinkState::Gone);
}

#[test]
fn the_host_reaches_us_through_the_tap_and_we_reach_it() {
    let Some(_rig) = Rig::new(1, 1500) else { return };
    let tap = Tap::open("jarvis0").unwrap();
    tap.set_mtu(1400).unwrap();
    tap.set_ipv4(Ipv4Addr::new(198, 51, 100, 1), 24).unwrap();
    let addr: Ipv6Addr = "2001:db8:1::1".parse().unwrap();
    tap.add_ipv6(addr, 64).unwrap();
    tap.add_ipv6(addr, 64).unwrap();
    assert_eq!(Interface::read("jarvis0").unwrap().mtu_bytes, 1400);

    // The host looks for a neighbour: its ARP request comes out of the TAP.
    let host = UdpSocket::bind("198.51.100.1:0").unwrap();
    host.send_to(b"hello", "198.51.100.2:9").unwrap();
    let mut buffer = [0; 2048];
    let request = next_frame(&tap, &mut buffer, |frame| frame.get(12..14) == Some(&[0x08, 0x06])).to_vec();
    // Our answer makes it send the datagram.
    let (host_mac, ours) = (&request[6..12], [0x02, 0, 0, 0, 0, 9]);
    let mut answer =
        [host_mac, &ours, &request[12..20], &[0, 2], &ours, &request[38..42], host_mac, &[198, 51, 100, 1]]
            .concat();
    answer.resize(60, 0);
    assert!(tap.send(&answer).unwrap());
    let datagram = next_frame(&tap, &mut buffer, |frame| frame.ends_with(b"hello"));
    assert_eq!(datagram.get(..6), Some(&ours[..]));
    assert_eq!(
        Tap::open("jarvis0").unwrap_err().to_string(),
        "jarvis0: making the TAP interface failed: Device or resource busy (os error 16)"
    );
    drop(tap);
    assert!(netdev::ifindex("jarvis0").is_err());
}

fn next_frame<'a>(tap: &Tap, buffer: &'a mut [u8], wanted: impl Fn(&[u8]) -> bool) -> &'a [u8] {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match tap.receive(buffer).unwrap() {
            Some(len) if wanted(&buffer[..len]) => return &buffer[..len],
            Some(_) => {}
            None => {
                assert!(Instant::now() < give_up, "the frame never came");
                wait::readable(&[tap.fd()], Duration::from_millis(100).as_millis() as i32).unwrap();
            }
        }
    }
}

#[test]
fn a_packet_socket_brings_frames_as_they_were_on_the_wire_and_not_its_own() {
    let Some(_rig) = Rig::new(1, 1500) else { return };
    let (here, there) = (PacketSocket::open("p0").unwrap(), PacketSocket::open("g0").unwrap());
    let macs = [2, 0, 0, 0, 9, 1, 2, 0, 0, 0, 9, 2];
    let payload = vec![0x5a; 60];
    for tags in [&[][..], &[0x81, 0, 0, 42], &[0x88, 0xa8, 0x60, 7, 0x81, 0, 0, 42]] {
        let frame = [&macs[..], tags, &[0x88, 0xb5], &payload].concat();
        here.send(&frame).unwrap();
        let give_up = Instant::now() + PATIENCE;
        let came = loop {
            match there.receive(2048).unwrap() {
                Some(frame) if frame.starts_with(&macs) => break frame,
                Some(_) => {}
                None => {
                    assert!(Instant::now() < give_up, "{tags:?} never came");
                    wait::readable(&[there.fd()], 100).unwrap();
                }
            }
        };
        assert_eq!(came, frame);
    }
    while let Some(frame) = here.receive(2048).unwrap() {
        assert!(!frame.starts_with(&macs), "its own frame");
    }
    assert!(PacketSocket::open("nosuchif0").unwrap_err().to_string().contains("no such interface"));
}
