//! What do products say among themselves? Protocols of one vendor or application.

mod chat;
mod cloud;
mod lan;
mod mtproto;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &lan::DROPBOX,
    &lan::SPOTIFY,
    &lan::TIVO_CONNECT,
    &lan::SONOS,
    &cloud::SD_RTN,
    &cloud::ALICLOUD,
    &cloud::MERAKI_CLOUD,
    &cloud::AVAST,
    &cloud::AVAST_SECURE_DNS,
    &cloud::IQIYI,
    &cloud::ZUG,
    &cloud::EAQ,
    &mtproto::TELEGRAM,
    &chat::WHATSAPP,
    &chat::OICQ,
    &chat::WECHAT,
    &chat::DINGTALK,
    &chat::KAKAOTALK,
    &chat::VIBER,
    &chat::LINE_CALL,
    &chat::VHUA,
    &chat::IMO,
    &chat::THREEMA,
];
