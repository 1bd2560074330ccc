//! Where does one message end in a stream? Octet counting and line ends, each message as its sender likes (RFC 6587 3.4).

use super::message::MESSAGE_BYTES_MAX;

/// Digits of a count.
const DIGITS_MAX: usize = 4;

/// Bytes of a stream that are no message yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    waiting: Vec<u8>,
}

/// What comes next in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A message.
    Message(Vec<u8>),
    /// Nothing, before more comes.
    Wait,
    /// What cannot be told apart any more: a count that is none, or a message that is too long.
    Broken,
}

impl Frames {
    /// Takes what came. At most a message and what came at once wait.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Next {
        let (from, end, until) = match self.waiting.first() {
            None => return Next::Wait,
            Some(b'1'..=b'9') => {
                let digits =
                    self.waiting.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
                match self.waiting.get(digits) {
                    None if digits <= DIGITS_MAX => return Next::Wait,
                    Some(b' ') => {}
                    None | Some(_) => return Next::Broken,
                }
                let count =
                    std::str::from_utf8(&self.waiting[..digits]).ok().and_then(|text| text.parse().ok());
                let Some(count) = count.filter(|count: &usize| *count <= MESSAGE_BYTES_MAX) else {
                    return Next::Broken;
                };
                let end = digits + 1 + count;
                if self.waiting.len() < end {
                    return Next::Wait;
                }
                (digits + 1, end, end)
            }
            Some(_) => match self.waiting.iter().position(|byte| matches!(byte, b'\n' | b'\0')) {
                Some(end) if end <= MESSAGE_BYTES_MAX => (0, end, end + 1),
                None if self.waiting.len() <= MESSAGE_BYTES_MAX => return Next::Wait,
                None | Some(_) => return Next::Broken,
            },
        };
        let message = self.waiting[from..end].to_vec();
        self.waiting.drain(..until);
        Next::Message(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> (Vec<String>, Next) {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for chunk in chunks {
            frames.put(chunk);
            loop {
                match frames.next() {
                    Next::Message(message) => found.push(String::from_utf8(message).unwrap()),
                    Next::Wait => break,
                    Next::Broken => return (found, Next::Broken),
                }
            }
        }
        (found, frames.next())
    }

    #[test]
    fn messages_are_told_apart_however_they_come() {
        let stream = b"<1>a\n5 <1>b\n<1>c\r\n4 <1>d4 <1>e";
        let expected: Vec<String> = ["<1>a", "<1>b\n", "<1>c\r", "<1>d", "<1>e"].map(str::to_owned).into();
        assert_eq!(all(&[stream]), (expected.clone(), Next::Wait));
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(all(&bytes), (expected, Next::Wait));
    }

    #[test]
    fn what_has_no_end_breaks_the_stream() {
        let long = [b'x'; MESSAGE_BYTES_MAX + 1];
        assert_eq!(all(&[&long[1..]]), (vec![], Next::Wait));
        assert_eq!(all(&[&long]), (vec![], Next::Broken));
        assert_eq!(all(&[&long, b"\n"]), (vec![], Next::Broken));
        for broken in ["8193 <1>a", "12345 <1>a", "99999", "5<1>a"] {
            assert_eq!(all(&[broken.as_bytes()]), (vec![], Next::Broken), "{broken}");
        }
        assert_eq!(all(&[b"8192"]), (vec![], Next::Wait));
    }
}
