//! Which options do both sides of a Telnet session agree on, and what do these tell of the client? (IANA, Telnet options)

use super::{DONT, IAC, WILL};
use crate::dpi::{Fields, Kept};
use crate::flow::Direction;

const DO: u8 = 253;

/// Options of which it is kept who wants them.
const OPTIONS_MAX: u8 = 64;

/// Bytes of a text that are told.
const TEXT_BYTES_MAX: usize = 128;

/// RFC 1091, 1073, 1079, 1096, 1408, 2941 and 1572.
const TERMINAL_TYPE: u8 = 24;
const WINDOW_SIZE: u8 = 31;
const TERMINAL_SPEED: u8 = 32;
const X_DISPLAY: u8 = 35;
const OLD_ENVIRON: u8 = 36;
const AUTHENTICATION: u8 = 37;
const NEW_ENVIRON: u8 = 39;

/// What was negotiated, by option: who said WILL, and who DO.
#[derive(Debug, Default)]
pub(super) struct Options {
    will: [u64; 2],
    wants: [u64; 2],
    terminal_type: Kept,
    terminal_speed: Kept,
    x_display: Kept,
    window: Option<(u16, u16)>,
    environ_user: Kept,
    auth_user: Kept,
}

impl Options {
    pub(super) const fn is_empty(&self) -> bool {
        self.will[0] | self.will[1] | self.wants[0] | self.wants[1] == 0
    }

    /// WILL, WONT, DO or DONT.
    pub(super) fn negotiated(&mut self, way: Direction, command: u8, option: u8) {
        if option >= OPTIONS_MAX {
            return;
        }
        let bit = 1_u64 << option;
        let set = if command < DO { &mut self.will } else { &mut self.wants };
        let set = &mut set[way as usize];
        *set = if matches!(command, WILL | DO) { *set | bit } else { *set & !bit };
        debug_assert!(command <= DONT);
    }

    /// What stands between SB and SE. `false`: it is not what its option has.
    pub(super) fn subnegotiated(&mut self, way: Direction, inner: &[u8]) -> bool {
        let Some((option, rest)) = inner.split_first() else { return false };
        if way == Direction::Reverse {
            return true;
        }
        let mut plain = [0; TEXT_BYTES_MAX];
        let text = |rest: &[u8]| match rest {
            [0, text @ ..] => Some(Kept::of(text.get(..TEXT_BYTES_MAX).unwrap_or(text))),
            _ => None,
        };
        match *option {
            TERMINAL_TYPE => text(rest).map(|text| self.terminal_type = text).is_some(),
            TERMINAL_SPEED => text(rest).map(|text| self.terminal_speed = text).is_some(),
            X_DISPLAY => text(rest).map(|text| self.x_display = text).is_some(),
            WINDOW_SIZE => match unescaped(rest, IAC, &mut plain) {
                [w1, w2, h1, h2] => {
                    self.window = Some((u16::from_be_bytes([*w1, *w2]), u16::from_be_bytes([*h1, *h2])));
                    true
                }
                _ => false,
            },
            // IS and INFO.
            OLD_ENVIRON | NEW_ENVIRON => match rest {
                [0 | 2, variables @ ..] => {
                    if let Some(user) = user_in(variables) {
                        self.environ_user = Kept::of(user.get(..TEXT_BYTES_MAX).unwrap_or(user));
                    }
                    true
                }
                _ => false,
            },
            // RFC 2941: NAME.
            AUTHENTICATION => {
                if let [3, name @ ..] = rest {
                    self.auth_user = Kept::of(name.get(..TEXT_BYTES_MAX).unwrap_or(name));
                }
                !rest.is_empty()
            }
            _ => true,
        }
    }

    pub(super) fn write(&self, fields: &mut Fields) {
        let (client, server) = (Direction::Forward as usize, Direction::Reverse as usize);
        for (name, agreed) in [
            ("client_options", self.will[client] & self.wants[server]),
            ("server_options", self.will[server] & self.wants[client]),
        ] {
            if agreed != 0 {
                fields.list(name, |list| {
                    for option in (0..OPTIONS_MAX).filter(|option| agreed >> option & 1 != 0) {
                        match option_name(option) {
                            Some(name) => list.text("", name),
                            None => list.text("", "unknown"),
                        }
                    }
                });
            }
        }
        let texts = [
            ("terminal_type", &self.terminal_type),
            ("terminal_speed", &self.terminal_speed),
            ("x_display", &self.x_display),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            fields.text(name, text);
        }
        if let Some((columns, rows)) = self.window {
            fields.object("window", |object| {
                object.number("columns", columns);
                object.number("rows", rows);
            });
        }
        let users = [("environ_user", &self.environ_user), ("auth_user", &self.auth_user)];
        for (name, text) in users.into_iter().filter(|(_, text)| !text.is_empty()) {
            fields.text(name, text);
        }
    }
}

/// Without the first of two bytes that mean one, as far as there is room.
fn unescaped<'a>(bytes: &[u8], escape: u8, plain: &'a mut [u8; TEXT_BYTES_MAX]) -> &'a [u8] {
    let mut len = 0;
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        let byte = if *byte == escape { rest.next().unwrap_or(byte) } else { byte };
        let Some(place) = plain.get_mut(len) else { break };
        *place = *byte;
        len += 1;
    }
    &plain[..len]
}

/// RFC 1572: VAR (0) or USERVAR (3), a name, VALUE (1), a value. RFC 1408 says VAR and VALUE, and some have them exchanged.
fn user_in(variables: &[u8]) -> Option<&[u8]> {
    let mut parts = variables.split(|byte| *byte <= 3);
    parts.find(|part| *part == b"USER")?;
    parts.next()
}

const fn option_name(option: u8) -> Option<&'static str> {
    Some(match option {
        0 => "binary",
        1 => "echo",
        3 => "suppress_go_ahead",
        5 => "status",
        6 => "timing_mark",
        10 => "naocrd",
        18 => "logout",
        TERMINAL_TYPE => "terminal_type",
        25 => "end_of_record",
        WINDOW_SIZE => "naws",
        TERMINAL_SPEED => "terminal_speed",
        33 => "remote_flow_control",
        34 => "linemode",
        X_DISPLAY => "x_display_location",
        OLD_ENVIRON => "environ",
        AUTHENTICATION => "authentication",
        38 => "encryption",
        NEW_ENVIRON => "new_environ",
        40 => "tn3270e",
        42 => "charset",
        44 => "com_port",
        46 => "start_tls",
        47 => "kermit",
        _ => return None,
    })
}
