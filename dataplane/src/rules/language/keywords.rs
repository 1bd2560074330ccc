//! All keywords of the language: who reads which, and which this engine does not have.

use super::buffers::{self, Meaning};
use super::draft::Draft;
use super::fields::{self, CHECKSUMS, FIELDS, PACKET_FIELDS};
use super::value::{Value, Wrong};
use super::{
    application, bytes, content, industrial, naming, numbers, packet, secure, state, transforms, versions,
    volume,
};
use crate::rules::rule::Condition;
use crate::words::did_you_mean;

/// Reads a keyword's value into the rule.
type Reader = for<'a> fn(&mut Draft<'a>, Value<'a>) -> Result<(), Wrong>;

/// Whether something follows the keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    Maybe,
}
use Takes::{Maybe, Nothing, Value as Needed};

/// Keywords with a reader of their own.
const KEYWORDS: &[(&str, Takes, Reader)] = &[
    ("msg", Needed, naming::msg),
    ("sid", Needed, naming::sid),
    ("gid", Needed, naming::gid),
    ("rev", Needed, naming::rev),
    ("classtype", Needed, naming::classtype),
    ("priority", Needed, naming::priority),
    ("reference", Needed, naming::reference),
    ("metadata", Needed, naming::metadata),
    ("target", Needed, naming::target),
    ("noalert", Nothing, naming::noalert),
    ("alert", Nothing, naming::alert),
    ("prefilter", Nothing, naming::prefilter),
    ("bypass", Nothing, naming::bypass),
    ("requires", Needed, naming::requires),
    ("content", Needed, content::content),
    ("uricontent", Needed, content::uricontent),
    ("nocase", Nothing, content::nocase),
    ("replace", Needed, content::replace),
    ("rawbytes", Nothing, content::rawbytes),
    ("offset", Needed, content::offset),
    ("depth", Needed, content::depth),
    ("distance", Needed, content::distance),
    ("within", Needed, content::within),
    ("startswith", Nothing, content::startswith),
    ("endswith", Nothing, content::endswith),
    ("fast_pattern", Maybe, content::fast_pattern),
    ("isdataat", Needed, content::isdataat),
    ("bsize", Needed, content::bsize),
    ("absent", Maybe, content::absent),
    ("pcre", Needed, content::pcre),
    ("flowvar", Needed, content::flowvar),
    ("pktvar", Needed, content::pktvar),
    ("byte_test", Needed, bytes::byte_test),
    ("byte_jump", Needed, bytes::byte_jump),
    ("byte_extract", Needed, bytes::byte_extract),
    ("byte_math", Needed, bytes::byte_math),
    ("base64_decode", Maybe, bytes::base64_decode),
    ("asn1", Needed, bytes::asn1),
    ("flow", Needed, state::flow),
    ("flowbits", Needed, state::flowbits),
    ("flowint", Needed, state::flowint),
    ("xbits", Needed, state::xbits),
    ("hostbits", Needed, state::hostbits),
    ("tag", Needed, state::tag),
    ("stream_size", Needed, state::stream_size),
    ("threshold", Needed, state::threshold),
    ("detection_filter", Needed, state::detection_filter),
    ("dsize", Needed, packet::dsize),
    ("flags", Needed, packet::flags),
    ("tcp.flags", Needed, packet::flags),
    ("fragbits", Needed, packet::fragbits),
    ("ipopts", Needed, packet::ipopts),
    ("sameip", Nothing, packet::sameip),
    ("geoip", Needed, packet::geoip),
    ("iprep", Needed, packet::iprep),
    ("app-layer-protocol", Needed, application::app_layer_protocol),
    ("app-layer-event", Needed, application::app_layer_event),
    ("decode-event", Needed, application::decode_event),
    ("stream-event", Needed, application::stream_event),
    ("frame", Needed, application::frame),
    ("urilen", Needed, application::urilen),
    ("websocket.flags", Needed, application::websocket_flags),
    ("http2.settings", Needed, application::http2_settings),
    ("dcerpc.iface", Needed, application::dce_iface),
    ("dce_iface", Needed, application::dce_iface),
    ("dcerpc.opnum", Needed, application::dce_opnum),
    ("dce_opnum", Needed, application::dce_opnum),
    ("rpc", Needed, application::rpc),
    ("modbus", Needed, industrial::modbus),
    ("cip_service", Needed, industrial::cip_service),
    ("dnp3_obj", Needed, industrial::dnp3_obj),
    ("dnp3_ind", Needed, industrial::dnp3_ind),
    ("tls_cert_notbefore", Needed, secure::tls_cert_notbefore),
    ("tls_cert_notafter", Needed, secure::tls_cert_notafter),
    ("tls_cert_expired", Nothing, secure::tls_cert_expired),
    ("tls_cert_valid", Nothing, secure::tls_cert_valid),
    ("tls.store", Nothing, secure::tls_store),
    ("tls_store", Nothing, secure::tls_store),
    ("ssh.protoversion", Needed, secure::ssh_protoversion),
    ("krb5.ticket_encryption", Needed, secure::krb5_ticket_encryption),
    ("ike.chosen_sa_attribute", Needed, secure::ike_chosen_sa_attribute),
    ("ssl_version", Needed, versions::ssl_version),
    ("ssl_state", Needed, versions::ssl_state),
    ("nfs_procedure", Needed, versions::nfs_procedure),
    ("nfs.procedure", Needed, versions::nfs_procedure),
    ("nfs.version", Needed, versions::nfs_version),
    ("flow.age", Needed, volume::age),
    ("flow.pkts", Needed, volume::packets),
    ("flow.pkts_toclient", Needed, volume::packets_to_client),
    ("flow.pkts_toserver", Needed, volume::packets_to_server),
    ("flow.bytes", Needed, volume::bytes),
    ("flow.bytes_toclient", Needed, volume::bytes_to_client),
    ("flow.bytes_toserver", Needed, volume::bytes_to_server),
    ("entropy", Needed, bytes::entropy),
    ("config", Needed, naming::config),
    ("filesize", Needed, application::filesize),
    ("fileext", Needed, application::fileext),
    ("filename", Needed, application::filename),
    ("filemagic", Needed, application::filemagic),
    ("filemd5", Needed, application::filemd5),
    ("filesha1", Needed, application::filesha1),
    ("filesha256", Needed, application::filesha256),
    ("filestore", Maybe, application::filestore),
    ("tls.fingerprint", Needed, application::tls_fingerprint),
    ("tls.subject", Needed, application::tls_subject),
    ("tls.issuerdn", Needed, application::tls_issuerdn),
    ("ssh.softwareversion", Needed, application::ssh_softwareversion),
    ("dataset", Needed, application::dataset),
    ("datarep", Needed, application::datarep),
    ("xor", Needed, transforms::xor),
    ("pcrexform", Needed, transforms::pcrexform),
    ("from_base64", Maybe, transforms::from_base64),
    ("gunzip", Maybe, transforms::gunzip),
    ("zlib_deflate", Maybe, transforms::zlib_deflate),
    ("subslice", Needed, transforms::subslice),
];

/// Keywords of the language that this engine does not have.
const UNSUPPORTED: &[&str] =
    &["lua", "luaxform", "app-layer-state", "nfq_set_mark", "flow.elephant", "template"];

/// Whether a word is a keyword that is read.
pub(super) fn is_known(word: &str) -> bool {
    KEYWORDS.iter().any(|(name, ..)| *name == word)
        || buffers::by_keyword(word).is_some()
        || transforms::PLAIN.iter().any(|(name, _)| *name == word)
        || fields::find(PACKET_FIELDS, word).is_some()
        || fields::find(FIELDS, word).is_some_and(|(_, field)| !field.is_inner)
        || CHECKSUMS.contains(&word)
}

/// Reads one keyword and what follows it.
pub(super) fn read<'a>(
    draft: &mut Draft<'a>,
    word: Value<'a>,
    value: Option<Value<'a>>,
) -> Result<(), Wrong> {
    let name = word.text()?;
    let lower = name.to_ascii_lowercase();
    // Where nothing follows, what is missing is missing behind the word.
    let end = word.part(word.bytes().len(), word.bytes().len());
    let value_or_nothing = value.unwrap_or(end);
    let nothing = |what: &str| match value {
        Some(value) if !value.is_empty() => Err(value.expected(&format!("nothing behind {what}"))),
        _ => Ok(()),
    };
    let something =
        || value.filter(|value| !value.is_empty()).ok_or_else(|| end.expected("a `:` and a value"));
    if let Some((_name, takes, reader)) = KEYWORDS.iter().find(|(known, ..)| *known == lower) {
        match takes {
            Nothing => nothing(name)?,
            Needed => drop(something()?),
            Maybe => {}
        }
        return reader(draft, value_or_nothing);
    }
    match buffers::by_keyword(&lower) {
        Some(Meaning::Sticky(buffer)) => {
            // `file_data: to_client` says again what `flow` says.
            if buffer != buffers::FILE_DATA {
                nothing(name)?;
            }
            return draft.look_into(buffer, word);
        }
        Some(Meaning::Modifier(buffer)) => {
            nothing(name)?;
            return draft.move_last(buffer, word);
        }
        None => {}
    }
    if let Some((_name, transform)) = transforms::PLAIN.iter().find(|(known, _)| *known == lower) {
        nothing(name)?;
        return draft.transform(transform.clone(), word);
    }
    if let Some((place, field)) = fields::find(PACKET_FIELDS, &lower) {
        let test = numbers::test(something()?.maybe_unquoted(), field.max, field.names)?;
        return draft.condition(Condition::Packet(place, test));
    }
    if let Some((place, field)) = fields::find(FIELDS, &lower).filter(|(_, field)| !field.is_inner) {
        let (test, chosen) = numbers::of_field(something()?.maybe_unquoted(), field)?;
        return draft.condition(Condition::Transaction(place, test, chosen));
    }
    if let Some(place) = CHECKSUMS.iter().position(|known| *known == lower) {
        let said = something()?;
        let is_valid = match () {
            () if said.is("valid") => true,
            () if said.is("invalid") => false,
            () => return Err(said.expected("valid or invalid")),
        };
        return draft.condition(Condition::Checksum(place as u8, is_valid));
    }
    if UNSUPPORTED.contains(&lower.as_str()) {
        return Err(word.unsupported("this keyword is not supported"));
    }
    Err(word.wrong(format!("no keyword has this name{}", nearest(&lower))))
}

/// The keyword that is written nearly so, for whoever mistyped it.
fn nearest(word: &str) -> String {
    let names = KEYWORDS.iter().map(|(name, ..)| *name);
    let names = names.chain(buffers::BUFFERS.iter().map(|buffer| buffer.name));
    let fields = PACKET_FIELDS.iter().chain(FIELDS).filter(|field| !field.is_inner);
    did_you_mean(word, names.chain(fields.map(|field| field.name)))
}
