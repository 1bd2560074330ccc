//! What values does a command carry? AMF 0 (Adobe, Action Message Format), as far as commands use it.

use crate::dpi::cursor::Cursor;

/// Objects within objects that are followed, and members of one.
const DEPTH_MAX: u8 = 4;
const MEMBERS_MAX: usize = 64;

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Number(f64),
    Text(&'a [u8]),
    Object(Object<'a>),
    Other,
}

/// Members, read when they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object<'a> {
    members: &'a [u8],
}

impl<'a> Value<'a> {
    /// The next one; `None` where it is cut off or of no known kind.
    pub(super) fn read(at: &mut Cursor<'a>) -> Option<Self> {
        Self::read_at(at, 0)
    }

    fn read_at(at: &mut Cursor<'a>, depth: u8) -> Option<Self> {
        Some(match at.u8()? {
            0 => Self::Number(f64::from_bits(at.be64()?)),
            1 => at.skip(1).map(|()| Self::Other)?,
            2 => Self::Text(at.vec16()?),
            12 | 15 => Self::Text(at.vec32()?),
            3 => Self::Object(Object::read(at, depth)?),
            8 => {
                at.be32()?;
                Self::Object(Object::read(at, depth)?)
            }
            5 | 6 | 13 => Self::Other,
            7 => at.skip(2).map(|()| Self::Other)?,
            10 if depth < DEPTH_MAX => {
                let count = at.be32()? as usize;
                if count > MEMBERS_MAX {
                    return None;
                }
                for _ in 0..count {
                    Self::read_at(at, depth + 1)?;
                }
                Self::Other
            }
            11 => at.skip(10).map(|()| Self::Other)?,
            _ => return None,
        })
    }
}

impl<'a> Object<'a> {
    fn read(at: &mut Cursor<'a>, depth: u8) -> Option<Self> {
        if depth >= DEPTH_MAX {
            return None;
        }
        let members = at.rest();
        for _ in 0..=MEMBERS_MAX {
            let name = at.vec16()?;
            if name.is_empty() && at.rest().first() == Some(&9) {
                let len = members.len() - at.rest().len() - 2;
                at.skip(1)?;
                return members.get(..len).map(|members| Self { members });
            }
            Value::read_at(at, depth + 1)?;
        }
        None
    }

    /// The text of the member `name`.
    pub(super) fn text(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut at = Cursor::new(self.members);
        while let (Some(key), Some(value)) = (at.vec16(), Value::read(&mut at)) {
            if key == name {
                return match value {
                    Value::Text(text) => Some(text),
                    _ => None,
                };
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &[u8] = b"\x03\0\x01a\x0a\0\0\0\x02\x05\x01\x01\0\x01b\x08\0\0\0\x01\0\x01x\x05\0\0\x09\0\x03app\x02\0\x04live\0\0\x09";

    #[test]
    fn members_are_found_behind_lists_and_objects() {
        let mut at = Cursor::new(OBJECT);
        let Some(Value::Object(object)) = Value::read(&mut at) else { return assert!(OBJECT.is_empty()) };
        assert!(at.is_empty());
        assert_eq!((object.text(b"app"), object.text(b"a")), (Some(&b"live"[..]), None));
        for len in 0..OBJECT.len() {
            assert_eq!(Value::read(&mut Cursor::new(&OBJECT[..len])), None);
        }
        let deep = b"\x03\0\x01a".repeat(1_000);
        assert_eq!(Value::read(&mut Cursor::new(&deep)), None);
        assert_eq!(Value::read(&mut Cursor::new(b"\x0a\xff\xff\xff\xff")), None);
    }
}
