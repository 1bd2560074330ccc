//! Who shares with peers? File sharing and crypto currencies.

mod bittorrent;
mod coins;
mod dht;
mod mining;
mod sharing;
mod television;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &bittorrent::BITTORRENT,
    &dht::BITTORRENT_DHT,
    &coins::BITCOIN,
    &coins::MONERO,
    &coins::ETHEREUM,
    &coins::NANO,
    &mining::MINING,
    &sharing::EDONKEY,
    &sharing::GNUTELLA,
    &sharing::DIRECT_CONNECT,
    &sharing::SOULSEEK,
    &sharing::FAST_TRACK,
    &sharing::APPLE_JUICE,
    &sharing::AIMINI,
    &sharing::STEALTHNET,
    &sharing::LIBP2P,
    &sharing::I2P,
    &sharing::FREENET,
    &television::KONTIKI,
    &television::PPSTREAM,
    &television::SOPCAST,
    &television::TVU_PLAYER,
    &television::ZATTOO,
    &television::THUNDER,
];
