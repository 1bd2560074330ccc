//! What does a session description say (RFC 8866 5)? The object `sdp` of EVE's `sip`, as Suricata 8 has it.

use crate::dpi::Fields;

/// Lines of a description that are told; what is behind them is not.
const LINES_MAX: usize = 128;

/// Lines that stand once, of the session and of a medium: letter, key.
const SINGLE: [(u8, &str, &str); 7] = [
    (b'o', "origin", ""),
    (b's', "session_name", ""),
    (b'i', "session_info", "media_info"),
    (b'u', "uri", ""),
    (b'e', "email", ""),
    (b'p', "phone_number", ""),
    (b'c', "connection_data", "connection_data"),
];

/// Lines that stand behind times: letter, key.
const LATER: [(u8, &str); 2] = [(b'z', "timezone"), (b'k', "encryption_key")];

/// Writes what `body` describes; nothing where it is no description.
pub(super) fn describe(body: &[u8], fields: &mut Fields) {
    let lines = || {
        body.split(|byte| *byte == b'\n').take(LINES_MAX).map(<[u8]>::trim_ascii).filter_map(
            |line| match line {
                [letter, b'=', value @ ..] => Some((*letter, value)),
                _ => None,
            },
        )
    };
    if lines().next().is_none_or(|(letter, _)| letter != b'v') {
        return;
    }
    let session = || lines().take_while(|(letter, _)| *letter != b'm');
    fields.object("sdp", |sdp| {
        for (letter, key, _) in SINGLE {
            sdp.text_if(key, first(session(), letter));
        }
        list(sdp, "bandwidths", session(), b'b');
        if first(session(), b't').is_some() {
            sdp.list("time_descriptions", |times| {
                let mut rest = session();
                while let Some((letter, time)) = rest.next() {
                    if letter != b't' {
                        continue;
                    }
                    let repeat = rest.clone().next().filter(|(letter, _)| *letter == b'r');
                    times.object("", |object| {
                        object.text("time", time);
                        object.text_if("repeat_time", repeat.map(|(_, value)| value));
                    });
                }
            });
        }
        for (letter, key) in LATER {
            sdp.text_if(key, first(session(), letter));
        }
        list(sdp, "attributes", session(), b'a');
        if first(lines(), b'm').is_some() {
            sdp.list("media_descriptions", |media| {
                for (place, (_, medium)) in lines().enumerate().filter(|(_, (letter, _))| *letter == b'm') {
                    let of_it = || lines().skip(place + 1).take_while(|(letter, _)| *letter != b'm');
                    media.object("", |object| {
                        object.text("media", medium);
                        for (letter, _, key) in SINGLE.iter().filter(|(.., key)| !key.is_empty()) {
                            object.text_if(key, first(of_it(), *letter));
                        }
                        list(object, "bandwidths", of_it(), b'b');
                        object.text_if("encryption_key", first(of_it(), b'k'));
                        list(object, "attributes", of_it(), b'a');
                    });
                }
            });
        }
    });
}

fn first<'a>(mut lines: impl Iterator<Item = (u8, &'a [u8])>, wanted: u8) -> Option<&'a [u8]> {
    lines.find(|(letter, _)| *letter == wanted).map(|(_, value)| value)
}

/// The values of all lines of a letter, where there are some.
fn list<'a>(fields: &mut Fields, key: &'static str, lines: impl Iterator<Item = (u8, &'a [u8])>, wanted: u8) {
    let mut values = lines.filter(|(letter, _)| *letter == wanted).map(|(_, value)| value).peekable();
    if values.peek().is_some() {
        fields.list(key, |list| values.for_each(|value| list.text("", value)));
    }
}
