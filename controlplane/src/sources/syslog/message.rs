//! What does a message of syslog say, and which program of which host says it? RFC 5424, and what RFC 3164 found in use.

/// Bytes of a message: what most programs take (RFC 5424 6.1 asks for 2,048).
pub const MESSAGE_BYTES_MAX: usize = 8_192;

/// A message, without what nobody asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The host, as it calls itself; `None`: it does not say.
    pub hostname: Option<&'a str>,
    /// The program.
    pub app_name: Option<&'a str>,
    /// What it says.
    pub text: &'a str,
}

/// Reads a message; `None`: it is none, or not in UTF-8.
pub(super) fn read(bytes: &[u8]) -> Option<Message<'_>> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\n', '\r', '\0']);
    let rest = after_priority(text)?;
    match rest.strip_prefix("1 ") {
        Some(rest) => read_5424(rest),
        None => Some(read_3164(rest)),
    }
}

/// What stands behind `<0>` to `<191>`: facility times eight, and severity.
fn after_priority(text: &str) -> Option<&str> {
    let (priority, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_number = (1..=3).contains(&priority.len()) && priority.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && priority.parse::<u8>().is_ok_and(|priority| priority <= 191)).then_some(rest)
}

/// `TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]`.
fn read_5424(rest: &str) -> Option<Message<'_>> {
    let mut words = rest.splitn(6, ' ');
    let _timestamp = words.next()?;
    let hostname = words.next()?;
    let app_name = words.next()?;
    let (_process, _kind) = (words.next()?, words.next()?);
    let text = after_data(words.next()?)?;
    let said = |word| Some(word).filter(|word| *word != "-");
    // RFC 5424 6.4: a byte order mark says that the text is UTF-8.
    Some(Message {
        hostname: said(hostname),
        app_name: said(app_name),
        text: text.strip_prefix('\u{feff}').unwrap_or(text),
    })
}

/// What stands behind the structured data: `-`, or `[id name="value"]` several times, with `\` before `"`, `\` and `]`.
fn after_data(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('-') {
        return after_space(rest);
    }
    let (mut is_quoted, mut is_escaped, mut depth) = (false, false, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' if depth == 1 => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b'[' if depth == 0 => depth = 1,
            b']' if depth == 1 => {
                depth = 0;
                let rest = text.get(at + 1..)?;
                if !rest.starts_with('[') {
                    return after_space(rest);
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn after_space(rest: &str) -> Option<&str> {
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// `Mmm dd hh:mm:ss HOSTNAME TAG[PID]: TEXT`, or a time of RFC 3339 in front, as far as it is there: RFC 3164 4.3 knows of hosts that
/// leave it out, and then all of it is text.
fn read_3164(rest: &str) -> Message<'_> {
    let Some(rest) = after_time(rest) else {
        let (app_name, text) = tagged(rest);
        return Message { hostname: None, app_name, text };
    };
    let (hostname, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (app_name, text) = tagged(rest);
    Message { hostname: Some(hostname), app_name, text }
}

fn after_time(text: &str) -> Option<&str> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if text.get(..3).is_some_and(|month| MONTHS.contains(&month)) {
        let time = text.get(3..15)?;
        let is_time = time.bytes().zip(*b" dd dd:dd:dd").all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit() || byte == b' ',
            form => byte == form,
        });
        return text.get(15..)?.strip_prefix(' ').filter(|_| is_time);
    }
    let (time, rest) = text.split_once(' ')?;
    let is_time = time.len() >= 19
        && time.bytes().zip(*b"dddd-dd-ddTdd:dd:dd").all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => byte == form,
        });
    is_time.then_some(rest)
}

/// The program in front of a text, and the text behind it.
fn tagged(text: &str) -> (Option<&str>, &str) {
    let end = text.find([' ', ':', '[']).unwrap_or(text.len());
    let (tag, rest) = text.split_at(end);
    let rest = match rest.strip_prefix('[') {
        Some(process) => process.split_once(']').map_or("", |(_, rest)| rest),
        None => rest,
    };
    match rest.strip_prefix(':') {
        Some(rest) if !tag.is_empty() => (Some(tag), rest.strip_prefix(' ').unwrap_or(rest)),
        Some(_) | None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<(Option<&str>, Option<&str>, &str)> {
        read(text.as_bytes()).map(|message| (message.hostname, message.app_name, message.text))
    }

    #[test]
    fn both_forms_and_those_in_between_are_read() {
        let all = Some((Some("gw"), Some("sshd"), "Accepted password"));
        for line in [
            "<38>1 2026-01-02T03:04:05.678901+01:00 gw sshd 42 - - Accepted password",
            "<38>1 2026-01-02T03:04:05Z gw sshd - ID7 [a@1 x=\"]\\\"[\" y=\"\\\\\"][b z=\"\"] \u{feff}Accepted password\n",
            "<38>1 - gw sshd - - [timeQuality tzKnown=\"1\"] Accepted password",
            "<38>Jan  2 03:04:05 gw sshd[42]: Accepted password",
            "<38>Jan 12 03:04:05 gw sshd: Accepted password\0",
            "<38>2026-01-02T03:04:05+01:00 gw sshd[42]: Accepted password",
        ] {
            assert_eq!(told(line), all, "{line}");
        }
        assert_eq!(told("<38>sshd[42]: Accepted password"), Some((None, Some("sshd"), "Accepted password")));
        assert_eq!(told("<38>Accepted password"), Some((None, None, "Accepted password")));
        assert_eq!(told("<38>1 - - - - - -"), Some((None, None, "")));
        assert_eq!(told("<38>Jan  2 03:04:05 gw no tag: x"), Some((Some("gw"), None, "no tag: x")));
    }

    #[test]
    fn what_is_no_message_is_not_read() {
        for line in [
            "",
            "x",
            "<>x",
            "<192>x",
            "<0001>x",
            "<+1>x",
            "<38",
            "<38>1 - gw sshd - -",
            "<38>1 - gw sshd - - [a x",
            "<38>1 - gw sshd - - [a x=\"]",
            "<38>1 - gw sshd - - x",
            "<38>1 - gw sshd - - [a]x",
            "<38>1 - gw sshd - - -x",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
        assert_eq!(read(b"<38>\xff"), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "<[0-9]{1,3}>(1 |[A-Z][a-z]{2} )?.{0,60}") {
            let _ = read(text.as_bytes());
        }
    }
}
