//! What must hold of what a flow speaks: its protocol, events of parsers, interfaces, files, sets.

use super::buffers::{FRAME, named};
use super::draft::Draft;
use super::events;
use super::fields::{self, FIELDS};
use super::frames;
use super::numbers;
use super::protocols::application;
use super::value::{Value, Wrong};
use crate::rules::number::NumberTest;
use crate::rules::rule::{
    AppLayerMode, AppLayerProtocol, Chosen, Condition, Content, Datarep, Dataset, DatasetCommand,
    DatasetKind, DceInterface, Effect, FileHash, FileTest, NumberSpan, Seen, Test,
};

/// `app-layer-protocol:[!]protocol[,mode]`.
pub(super) fn app_layer_protocol(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (name, mode) = value.split_once(b',').unwrap_or((value, value.part(0, 0)));
    let (is_negated, name) = name.negated();
    let word = name.name()?;
    let protocol = match word {
        "failed" => Some("failed"),
        "unknown" => Some("unknown"),
        other => application(other),
    };
    let protocol =
        protocol.ok_or_else(|| name.expected("a protocol of applications, `failed` or `unknown`"))?;
    let mode = match () {
        () if mode.is_empty() || mode.is("direction") => AppLayerMode::Direction,
        () if mode.is("final") => AppLayerMode::Final,
        () if mode.is("either") => AppLayerMode::Either,
        () if mode.is("to_server") => AppLayerMode::ToServer,
        () if mode.is("to_client") => AppLayerMode::ToClient,
        () if mode.is("original") => AppLayerMode::Original,
        () => return Err(mode.expected("direction, final, either, to_server, to_client or original")),
    };
    draft.condition(Condition::AppLayerProtocol(AppLayerProtocol { protocol, is_negated, mode }))
}

/// `app-layer-event:protocol.event`, or an event of recognition alone.
pub(super) fn app_layer_event(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let name = value.name()?;
    if let Some(event) = events::APP_LAYER.iter().find(|event| **event == name) {
        return draft.condition(Condition::AppLayerEvent("applayer", (*event).into()));
    }
    let (protocol, event) = value
        .split_once(b'.')
        .ok_or_else(|| value.expected("a protocol and its event with a dot between"))?;
    let known = protocol.text().ok().and_then(application);
    let known = known.ok_or_else(|| protocol.expected("a protocol of applications"))?;
    draft.condition(Condition::AppLayerEvent(known, event.name()?.to_ascii_lowercase().into()))
}

pub(super) fn decode_event(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let event = events::named(events::DECODE, value)?;
    draft.condition(Condition::DecodeEvent(event))
}

pub(super) fn stream_event(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let event = events::named(events::STREAM, value)?;
    draft.condition(Condition::StreamEvent(event))
}

/// `frame:[protocol.]name`: what follows looks into that piece.
pub(super) fn frame<'a>(draft: &mut Draft<'a>, value: Value<'a>) -> Result<(), Wrong> {
    let frame = frames::named(value, draft.rule.header.protocol)?;
    draft.look_at(Seen { frame: Some(frame), ..Seen::plain(FRAME) }, value)
}

/// `urilen:number[,raw|norm]`.
pub(super) fn urilen(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (number, which) = value.split_once(b',').unwrap_or((value, value.part(0, 0)));
    let test = numbers::test(number, 65_535, &[])?;
    let buffer = match () {
        // Suricata counts the path as it came unless told otherwise.
        () if which.is_empty() || which.is("raw") => named("http.uri.raw"),
        () if which.is("norm") => named("http.uri"),
        () => return Err(which.expected("raw or norm")),
    };
    draft.condition(Condition::BufferSize(buffer, test))
}

/// `http2.settings:PARAMETER[comparison]`: it is there, and compares so.
pub(super) fn http2_settings(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let is_of_name = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let end = value.bytes().iter().position(|byte| !is_of_name(byte)).unwrap_or(value.bytes().len());
    let (name, rest) = (value.part(0, end), value.part(end, value.bytes().len()).trim());
    let key = format!("http2.settings {}", name.text()?.to_ascii_uppercase());
    let (field, of) = fields::find(FIELDS, &key)
        .ok_or_else(|| name.expected("a parameter such as SETTINGS_ENABLE_PUSH (RFC 9113, 6.5.2)"))?;
    let test = match rest.is_empty() {
        true => NumberTest::GreaterOrEqual(0),
        false => numbers::test(rest, of.max, &[])?,
    };
    draft.condition(Condition::Transaction(field, test, Chosen::default()))
}

/// `websocket.flags:number` or names of flags with commas between, `!` before those that must not be set.
pub(super) fn websocket_flags(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    const FLAGS: &[(&str, u64)] = &[("fin", 0x80), ("comp", 0x40)];
    let key = "websocket.flags";
    let (field, _of) = fields::find(FIELDS, key).ok_or_else(|| value.expected("a number"))?;
    let (_, first) = value.negated();
    if !first.bytes().first().is_some_and(u8::is_ascii_alphabetic) {
        return draft.condition(Condition::Transaction(
            field,
            numbers::test(value, 255, &[])?,
            Chosen::default(),
        ));
    }
    let (mut mask, mut bits) = (0, 0);
    for piece in value.split(b',') {
        let (is_negated, name) = piece.negated();
        let found = FLAGS.iter().find(|(known, _)| name.is(known));
        let (_, flag) = found.ok_or_else(|| name.expected("fin or comp"))?;
        mask |= flag;
        bits |= if is_negated { 0 } else { *flag };
    }
    let test = NumberTest::Masked(mask, bits);
    draft.condition(Condition::Transaction(field, test, Chosen::default()))
}

/// `dcerpc.iface:uuid[,version comparison][,any_frag]`.
pub(super) fn dce_iface(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let mut pieces = value.split(b',');
    let text = pieces.next().unwrap_or(value);
    let digits: Vec<u8> = text.bytes().iter().copied().filter(|byte| *byte != b'-').collect();
    let number = std::str::from_utf8(&digits).ok().filter(|digits| digits.len() == 32);
    let number = number.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    let uuid = number
        .ok_or_else(|| text.expected("a UUID such as 367abb81-9844-35f1-ad32-98f038001003"))?
        .to_be_bytes();
    let mut interface = DceInterface { uuid, version: None, any_fragment: false };
    for piece in pieces {
        if piece.is("any_frag") {
            interface.any_fragment = true;
        } else {
            interface.version = Some(numbers::test(piece, 65_535, &[])?);
        }
    }
    draft.condition(Condition::DceInterface(interface))
}

/// A number of transactions, one of several: `dcerpc.opnum:1-9,15`.
pub(super) fn dce_opnum(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let field = fields::named("dcerpc.opnum");
    let is_test = |piece: &Value<'_>| piece.split_once(b'-').is_none() && !piece.looks_like_a_number();
    if value.split(b',').any(|piece| is_test(&piece)) {
        let test = numbers::test(value, 65_535, &[])?;
        return draft.condition(Condition::Transaction(field, test, Chosen::default()));
    }
    let mut spans = Vec::new();
    for piece in value.split(b',') {
        // A span includes its ends here.
        let (low, high) = piece.split_once(b'-').unwrap_or((piece, piece));
        let (low, high) = (low.unsigned(65_535)?, high.unsigned(65_535)?);
        if low > high {
            return Err(piece.expected("a span whose first number is not above its last"));
        }
        spans.push(NumberSpan { low, high });
    }
    draft.condition(Condition::OneOf(field, spans, false))
}

pub(super) fn rpc(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let mut numbers = [None; 3];
    for (place, piece) in numbers.iter_mut().zip(value.split(b',')) {
        *place = match piece.is("*") {
            true => None,
            false => Some(piece.unsigned(u32::MAX.into())? as u32),
        };
    }
    let program = numbers[0].ok_or_else(|| value.expected("the number of a program"))?;
    draft.condition(Condition::Rpc(program, numbers[1], numbers[2]))
}

pub(super) fn filesize(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    draft.condition(Condition::File(FileTest::Size(numbers::test(value, u64::MAX, &[])?)))
}

pub(super) fn fileext(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (is_negated, text) = value.negated();
    let extension = text.maybe_unquoted().text()?.to_ascii_lowercase().into();
    draft.condition(Condition::File(FileTest::Extension { is_negated, extension }))
}

pub(super) fn filename(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (is_negated, bytes) = super::content::pattern(value)?;
    let name = String::from_utf8_lossy(&bytes).into();
    draft.condition(Condition::File(FileTest::Name { is_negated, name }))
}

pub(super) fn filemagic(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let (is_negated, magic) = super::content::pattern(value)?;
    draft.condition(Condition::File(FileTest::Magic { is_negated, magic }))
}

fn file_hash(draft: &mut Draft<'_>, value: Value<'_>, kind: FileHash) -> Result<(), Wrong> {
    let (is_negated, text) = value.negated();
    let list = text.maybe_unquoted().text()?.into();
    draft.condition(Condition::File(FileTest::Hash { is_negated, kind, list, hashes: None }))
}

pub(super) fn filemd5(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    file_hash(draft, value, FileHash::Md5)
}

pub(super) fn filesha1(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    file_hash(draft, value, FileHash::Sha1)
}

pub(super) fn filesha256(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    file_hash(draft, value, FileHash::Sha256)
}

/// Which files is told by the rule itself; directions and scopes are not told apart.
pub(super) fn filestore(draft: &mut Draft<'_>, _value: Value<'_>) -> Result<(), Wrong> {
    draft.effect(Effect::StoreFile)
}

/// `tls.fingerprint:"aa:bb:..."`, and the like of the older language: a whole buffer that is compared.
fn whole(draft: &mut Draft<'_>, value: Value<'_>, buffer: &str, lower: bool) -> Result<(), Wrong> {
    let (is_negated, text) = value.negated();
    let bytes = text.maybe_unquoted().bytes();
    if bytes.is_empty() {
        return Err(text.expected("a text"));
    }
    let bytes = if lower { bytes.to_ascii_lowercase() } else { bytes.to_vec() };
    let content = Content { bytes: bytes.into(), is_negated, ..Content::default() };
    draft.test_in(named(buffer), Test::Content(content), value)
}

pub(super) fn tls_fingerprint(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    whole(draft, value, "tls.cert_fingerprint", true)
}

pub(super) fn tls_subject(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    whole(draft, value, "tls.cert_subject", false)
}

pub(super) fn tls_issuerdn(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    whole(draft, value, "tls.cert_issuer", false)
}

/// `ssh.softwareversion:"text"`: all of it, not a piece.
pub(super) fn ssh_softwareversion(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    whole(draft, value, "ssh.software", false)?;
    let (_, text) = value.negated();
    let len = text.maybe_unquoted().bytes().len() as u64;
    draft.test_in(named("ssh.software"), Test::Size(NumberTest::Equal(len)), value)
}

/// What is in a set, by the language's name.
fn dataset_kind(text: Value<'_>) -> Result<DatasetKind, Wrong> {
    Ok(match () {
        () if text.is("string") => DatasetKind::String,
        () if text.is("md5") => DatasetKind::Md5,
        () if text.is("sha256") => DatasetKind::Sha256,
        () if text.is("ipv4") => DatasetKind::Ipv4,
        () if text.is("ip") => DatasetKind::Ip,
        () => return Err(text.expected("string, md5, sha256, ipv4 or ip")),
    })
}

/// `dataset:command,name[,type T][,load F][,save F][,state F][,memcap N][,hashsize N]`.
pub(super) fn dataset(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let pieces: Vec<_> = value.split(b',').collect();
    let [command, name, rest @ ..] = &pieces[..] else {
        return Err(value.expected("a command and a name with a comma between"));
    };
    let command = match () {
        () if command.is("set") => DatasetCommand::Set,
        () if command.is("unset") => DatasetCommand::Unset,
        () if command.is("isset") => DatasetCommand::IsSet,
        () if command.is("isnotset") => DatasetCommand::IsNotSet,
        () => return Err(command.expected("set, unset, isset or isnotset")),
    };
    let mut set = Dataset {
        name: name.name()?.into(),
        command,
        kind: DatasetKind::String,
        load: None,
        save: None,
        memcap: None,
        hash_size: None,
    };
    let mut is_typed = false;
    for piece in rest {
        let (word, said) = piece.split_once(b' ').ok_or_else(|| piece.expected("a word and its value"))?;
        match () {
            () if word.is("type") => {
                set.kind = dataset_kind(said)?;
                is_typed = true;
            }
            () if word.is("load") => set.load = Some(said.text()?.into()),
            () if word.is("save") => set.save = Some(said.text()?.into()),
            () if word.is("state") => {
                set.load = Some(said.text()?.into());
                set.save = Some(said.text()?.into());
            }
            () if word.is("memcap") => set.memcap = Some(said.unsigned(u64::MAX)?),
            () if word.is("hashsize") => set.hash_size = Some(said.unsigned(u32::MAX.into())? as u32),
            () => return Err(word.expected("type, load, save, state, memcap or hashsize")),
        }
    }
    if !is_typed && (set.load.is_some() || set.save.is_some()) {
        return Err(value.wrong("`type` is missing, which says how the file is read"));
    }
    draft.test(Test::Dataset(set))
}

/// `datarep:name,comparison,number[,load F][,type T]`.
pub(super) fn datarep(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), Wrong> {
    let pieces: Vec<_> = value.split(b',').collect();
    let [name, sign, number, rest @ ..] = &pieces[..] else {
        return Err(value.expected("a name, a comparison and a number with commas between"));
    };
    let joined = [sign.bytes(), number.bytes()].concat();
    let test = numbers::test(Value::new(&joined, sign.at()), 65_535, &[])?;
    let mut reputation = Datarep { name: name.name()?.into(), test, kind: DatasetKind::String, load: None };
    for piece in rest {
        let (word, said) = piece.split_once(b' ').ok_or_else(|| piece.expected("a word and its value"))?;
        match () {
            () if word.is("type") => reputation.kind = dataset_kind(said)?,
            () if word.is("load") => reputation.load = Some(said.text()?.into()),
            // Bounded by us.
            () if word.is("memcap") || word.is("hashsize") => {}
            () => return Err(word.expected("type, load, memcap or hashsize")),
        }
    }
    draft.test(Test::Reputation(reputation))
}
