//! What does the XDP program decide, run alone in the kernel?
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod rig;

use std::net::{Ipv4Addr, Ipv6Addr};

use rig::{ipv4, ipv6, plain};
use xsk::program::{Bench, BenchProgram};

const DROP: u32 = 1;
const REDIRECT: u32 = 4;

/// The bench, or one line on why it cannot be had.
fn bench() -> Option<Bench> {
    match Bench::new() {
        Ok(bench) => Some(bench),
        Err(reason) => {
            assert!(std::env::var("JARVIS_NETNS").as_deref() != Ok("require"), "{reason}");
            eprintln!("not run: {reason}");
            None
        }
    }
}

#[test]
fn a_fresh_heartbeat_and_a_socket_redirect() {
    let Some(mut bench) = bench() else { return };
    for program in [BenchProgram::ToWorker, BenchProgram::OneLine] {
        assert_eq!(bench.run(program, &plain(1), 1).unwrap().action, REDIRECT, "{program:?}");
    }
}

#[test]
fn any_packet_short_or_odd_is_redirected_unless_blocked() {
    let Some(mut bench) = bench() else { return };
    let net = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);
    bench.block(&[(Ipv4Addr::new(192, 0, 2, 0), 24)], &[(net, 32)]).unwrap();
    let whole = ipv4(&[1, 2], [192, 0, 2, 1], [10, 0, 0, 1], 1, 80);
    let action =
        |bench: &mut Bench, packet: &[u8]| bench.run(BenchProgram::ToWorker, packet, 1).unwrap().action;
    assert_eq!(action(&mut bench, &whole), DROP);
    for len in 14..14 + 8 + 20 {
        assert_eq!(action(&mut bench, &whole[..len]), REDIRECT, "{len} bytes");
    }
    // A third tag is not looked through; user space decides.
    assert_eq!(action(&mut bench, &ipv4(&[1, 2, 3], [192, 0, 2, 1], [10, 0, 0, 1], 1, 80)), REDIRECT);
    let whole = ipv6(&[], (net.to_bits() + 1).to_be_bytes(), [0xfd; 16]);
    assert_eq!(action(&mut bench, &whole), DROP);
    for len in 14..14 + 40 {
        assert_eq!(action(&mut bench, &whole[..len]), REDIRECT, "{len} bytes");
    }
}
