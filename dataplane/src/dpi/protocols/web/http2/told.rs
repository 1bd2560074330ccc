//! What are rules told of a header block? The head of HTTP/1 that would say the same, and each field by itself.

use super::super::told::{self, Message};
use crate::dpi::Context;
use crate::flow::Direction;
use crate::rules::language::buffers::buffer;
use crate::rules::rule::BufferId;

const NAME: BufferId = buffer("http2.header_name");
const FIELD: BufferId = buffer("http2.header");

/// Bytes of a block that are told; what is more is not.
const TOLD_BYTES_MAX: usize = 64 << 10;

/// A block, as it is unpacked.
#[derive(Default)]
pub(super) struct Told {
    method: Vec<u8>,
    path: Vec<u8>,
    status: Vec<u8>,
    fields: Vec<u8>,
}

impl Told {
    /// A request that HTTP/1 made and the upgrade hands over (RFC 7540 3.2). Fields keep their names as they came.
    pub(super) fn handed_over(method: &[u8], target: &[u8], host: Option<&[u8]>, fields: &[u8]) -> Self {
        let mut told = Self { method: method.to_vec(), path: target.to_vec(), ..Self::default() };
        for (name, value) in [(&b":method"[..], method), (b":path", target)] {
            told.add_field(name, value);
        }
        if let Some(host) = host {
            told.add_field(b":authority", host);
        }
        told.fields.extend_from_slice(fields.get(..TOLD_BYTES_MAX).unwrap_or(fields));
        told
    }

    /// Adds a field of a block, and shows it.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8], cx: &mut Context<'_>) {
        match name {
            b":method" => self.method = value.to_vec(),
            b":path" => self.path = value.to_vec(),
            b":status" => self.status = value.to_vec(),
            _ => {}
        }
        self.add_field(name, value);
        cx.rules.show(NAME, name);
        cx.rules.show_with(FIELD, |out| {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
        });
    }

    fn add_field(&mut self, name: &[u8], value: &[u8]) {
        if self.fields.len() + name.len() + value.len() < TOLD_BYTES_MAX {
            self.fields.extend_from_slice(name);
            self.fields.extend_from_slice(b": ");
            self.fields.extend_from_slice(value);
            self.fields.extend_from_slice(b"\r\n");
        }
    }

    /// Tells what the block is: a request, an answer, or the trailer of a message that goes `way`.
    pub(super) fn tell(self, way: Direction, message: Message, cx: &mut Context<'_>) {
        let Self { method, path, status, fields } = self;
        if !status.is_empty() {
            let head = [b"HTTP/2 ", &status[..], b"\r\n", &fields, b"\r\n"].concat();
            told::response(cx, message, &head);
        } else if !method.is_empty() || !path.is_empty() {
            let head = request_head(&method, &path, &fields);
            told::request(cx, message, (&method, &path, Some(b"HTTP/2")), &head);
        } else {
            cx.rules.stage(message.name, message.transaction, way, message.is_last);
        }
    }

    /// Tells a request that was handed over. As Suricata has it, its fields are all there, and those that are asked for by a name of
    /// HTTP/2 are not among them.
    pub(super) fn tell_handed_over(self, message: Message, cx: &mut Context<'_>) {
        let Self { method, path, fields, .. } = self;
        let head = request_head(&method, &path, &fields);
        told::handed_over(cx, message, (&method, &path), &head);
    }
}

fn request_head(method: &[u8], path: &[u8], fields: &[u8]) -> Vec<u8> {
    [method, b" ", path, b" HTTP/2\r\n", fields, b"\r\n"].concat()
}
