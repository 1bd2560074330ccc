//! A lab whose box has service addresses, in a network that both hosts have an address of.

use super::{Host, Lab};

/// A network that no other lab on this machine routes to its own service port.
fn network() -> u32 {
    1 + std::process::id() % 250
}

/// An address there: 1 is the client, 2 the server, 3 the box.
pub fn v4(host: u32) -> String {
    format!("10.79.{}.{host}", network())
}

/// The same of IPv6.
pub fn v6(host: u32) -> String {
    format!("fd79:{:x}::{host}", network())
}

/// A lab with service addresses, more words for it and more configuration; the name of the service interface.
pub fn up(words: &[&str], more: &str) -> Option<(Lab, String)> {
    let lab = Lab::up(words)?;
    for (host, number) in [(Host::Client, 1), (Host::Server, 2)] {
        for words in [
            &["ip", "addr", "add", &format!("{}/24", v4(number)), "dev", "eth0"][..],
            &["ip", "addr", "add", &format!("{}/64", v6(number)), "dev", "eth0", "nodad"],
        ] {
            let output = lab.on(host, words);
            assert!(output.status.success(), "{output:?}");
        }
    }
    let tap = format!("{}-j", lab.name);
    lab.config(&format!(
        "{more}\n[inline.service]\ninterface = \"{tap}\"\nipv4 = \"{}/24\"\nipv6 = \"{}/64\"\n",
        v4(3),
        v6(3)
    ));
    Some((lab, tap))
}
