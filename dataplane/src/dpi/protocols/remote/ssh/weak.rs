//! Which weak algorithms will an SSH session have? (RFC 4253 7.1: of each list the client's first that the server has.)
//!
//! Both ends' lists of the direction in which each sends are known; ends that offer different ones for both directions
//! are not met.

use crate::dpi::text::contains;
use crate::dpi::{Context, Risk, Shown};

/// Compares the lists of key exchange, cipher and MAC, as HASSH has them: separated by `;`, their names by `,`.
pub(super) fn note(client: &[u8], server: &[u8], cx: &mut Context<'_>) {
    let (mut client, mut server) = (lists(client), lists(server));
    let mut agreed = || common(client.next()?, server.next()?);
    let (exchange, cipher, mac) = (agreed(), agreed(), agreed());
    if let Some(name) = exchange.filter(|name| is_weak_exchange(name)) {
        cx.risk(Risk::WeakCipher, format_args!("ssh key exchange {}", Shown(name)));
    }
    if let Some(name) = cipher.filter(|name| is_weak_cipher(name)) {
        cx.risk(Risk::WeakCipher, format_args!("ssh cipher {}", Shown(name)));
    }
    // Ciphers that authenticate have no MAC beside them (RFC 5647 5.1).
    let is_alone = cipher.is_some_and(|name| contains(name, b"gcm") || contains(name, b"poly1305"));
    if let Some(name) = mac.filter(|name| !is_alone && is_weak_mac(name)) {
        cx.risk(Risk::WeakCipher, format_args!("ssh mac {}", Shown(name)));
    }
}

fn lists(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b';')
}

fn common<'a>(client: &'a [u8], server: &[u8]) -> Option<&'a [u8]> {
    let names = |list: &'a [u8]| list.split(|byte| *byte == b',').filter(|name| !name.is_empty());
    // What only marks an extension is no algorithm (RFC 8308 2.1, OpenSSH's PROTOCOL 1.10).
    let is_mark = |name: &[u8]| name.starts_with(b"ext-info-") || name.starts_with(b"kex-strict-");
    names(client)
        .find(|name| !is_mark(name) && server.split(|byte| *byte == b',').any(|other| other == *name))
}

/// Groups of 1024 bits and less, or whose size nobody promises with SHA-1 (RFC 9142 4).
fn is_weak_exchange(name: &[u8]) -> bool {
    matches!(name, b"diffie-hellman-group1-sha1" | b"diffie-hellman-group-exchange-sha1" | b"rsa1024-sha1")
        || name.starts_with(b"gss-group1-sha1-")
        || name.starts_with(b"gss-gex-sha1-")
}

/// RC4, blocks of 64 bits, nothing.
fn is_weak_cipher(name: &[u8]) -> bool {
    name == b"none"
        || [&b"arcfour"[..], b"des", b"3des", b"blowfish", b"cast128", b"idea"]
            .iter()
            .any(|weak| name.starts_with(weak))
}

fn is_weak_mac(name: &[u8]) -> bool {
    name == b"none" || name.starts_with(b"hmac-md5")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpi::risk::clues::told_of;

    #[test]
    fn what_is_agreed_on_counts_not_what_is_offered() {
        for (client, server, expected) in [
            (
                "curve25519-sha256;aes128-ctr,3des-cbc;hmac-sha2-256,hmac-md5",
                "curve25519-sha256;3des-cbc,aes128-ctr;hmac-md5,hmac-sha2-256",
                "",
            ),
            ("a;3des-cbc,aes128-ctr;m", "a;aes128-ctr,3des-cbc;m", "ssh cipher 3des-cbc"),
            ("a;aes128-ctr;hmac-md5", "a;aes128-ctr;hmac-md5", "ssh mac hmac-md5"),
            ("a;aes128-gcm@openssh.com;hmac-md5", "a;aes128-gcm@openssh.com;hmac-md5", ""),
            (
                "diffie-hellman-group1-sha1;c;m",
                "x,diffie-hellman-group1-sha1;c;m",
                "ssh key exchange diffie-hellman-group1-sha1",
            ),
            ("ext-info-c,k;c;m", "ext-info-c,k;c;m", ""),
            ("", "", ""),
        ] {
            let told = told_of(|cx| note(client.as_bytes(), server.as_bytes(), cx));
            let expected: Vec<_> = [expected]
                .iter()
                .filter(|text| !text.is_empty())
                .map(|text| format!("weak_cipher: {text}"))
                .collect();
            assert_eq!(told, expected);
        }
    }
}
