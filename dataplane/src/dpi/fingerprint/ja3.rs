//! What are JA3 of a client and JA3S of a server?
//!
//! `version,ciphers,extensions,groups,formats` and `version,cipher,extensions`, decimal numbers with `-` between, and
//! the MD5 of that text (engineering.salesforce.com, "TLS Fingerprinting with JA3 and JA3S").

use md5::{Digest, Md5};

use super::Text;
use crate::dpi::cursor::pairs;
use crate::dpi::protocols::secure::hello::{ClientHello, ServerHello, is_grease};

/// Longest text that is kept; the hash is over all of it, however long.
pub const STRING_BYTES_MAX: usize = 2_048;

/// A fingerprint and what it was made of.
#[derive(Debug, Clone, Copy)]
pub struct Ja3 {
    /// 32 hexadecimal digits.
    pub hash: Text<32>,
    /// The numbers.
    pub string: Text<STRING_BYTES_MAX>,
}

/// JA3 of a client.
pub(crate) fn of_client(hello: &ClientHello<'_>) -> Ja3 {
    let mut writer = Writer::default();
    writer.number(hello.version);
    writer.list(pairs(hello.ciphers));
    writer.list(hello.extensions.iter().map(|(kind, _)| kind));
    writer.list(pairs(hello.groups()));
    writer.list(hello.point_formats().iter().map(|format| u16::from(*format)));
    writer.finish()
}

/// JA3S of a server. GREASE stays in, as the definition has it: a server does not send any.
pub(crate) fn of_server(hello: &ServerHello<'_>) -> Ja3 {
    let mut writer = Writer::default();
    writer.number(hello.version);
    writer.push(b",");
    writer.number(hello.cipher);
    writer.list(hello.extensions.iter().map(|(kind, _)| kind));
    writer.finish()
}

#[derive(Default)]
struct Writer {
    md5: Md5,
    string: Text<STRING_BYTES_MAX>,
}

impl Writer {
    fn push(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.string.push(bytes);
    }

    fn number(&mut self, number: u16) {
        let mut digits = [0; 5];
        let (mut at, mut rest) = (digits.len(), number);
        while at > 0 {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    fn list(&mut self, numbers: impl Iterator<Item = u16>) {
        self.push(b",");
        let mut is_first = true;
        for number in numbers.filter(|number| !is_grease(*number)) {
            if !is_first {
                self.push(b"-");
            }
            is_first = false;
            self.number(number);
        }
    }

    fn finish(self) -> Ja3 {
        let mut hash = Text::default();
        hash.push_hex(&self.md5.finalize());
        Ja3 { hash, string: self.string }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::dpi::protocols::secure::hello::made;

    fn text<const MAX: usize>(text: &Text<MAX>) -> &str {
        std::str::from_utf8(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_stand_in_the_order_of_the_wire_without_grease() {
        let body = made::usual_client(b"www.example.org");
        let ja3 = of_client(&ClientHello::read(&body, false).unwrap());
        assert_eq!(text(&ja3.string), "771,4865-4866-49195-49199,0-10-11-16-13-43,29-23,0");
        let empty = made::client_body(0x0301, &[0x0004], &[]);
        let ja3 = of_client(&ClientHello::read(&empty, false).unwrap());
        assert_eq!(text(&ja3.string), "769,4,,,");
        let body = made::server_body(0x0303, 0xc02f, &[made::extension(65_281, &[0])]);
        assert_eq!(text(&of_server(&ServerHello::read(&body).unwrap()).string), "771,49199,65281");
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // The example of the definition, hashed as there.
        let mut writer = Writer::default();
        writer.push(b"769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
        assert_eq!(text(&writer.finish().hash), "ada70206e40642a3e4461f35503241d5");
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_and_hashed_whole() {
        let body = made::client_body(0x0303, &[0xc02f; 2_000], &[]);
        let ja3 = of_client(&ClientHello::read(&body, false).unwrap());
        let whole = format!("771,{},,,", vec!["49199"; 2_000].join("-"));
        assert_eq!(ja3.string.as_bytes(), &whole.as_bytes()[..STRING_BYTES_MAX]);
        let mut expected = Text::<32>::default();
        expected.push_hex(&Md5::digest(whole));
        assert_eq!(ja3.hash.as_bytes(), expected.as_bytes());
    }
}
