//! Who plays? Games and their engines.

mod blizzard;
mod engines;
mod mobile;
mod online;
mod raknet;
mod valve;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &raknet::RAKNET,
    &valve::STEAM,
    &valve::STEAM_DATAGRAM_RELAY,
    &valve::CSGO,
    &valve::HALF_LIFE_2,
    &valve::SOURCE_ENGINE,
    &valve::QUAKE,
    &blizzard::WORLD_OF_WARCRAFT,
    &blizzard::STARCRAFT,
    &blizzard::WARCRAFT_3,
    &blizzard::BLIZZARD,
    &engines::YOJIMBO,
    &engines::CRYNETWORK,
    &engines::TOCA_BOCA,
    &engines::EPIC_GAMES,
    &engines::ENET,
    &engines::KCP,
    &mobile::GENSHIN_IMPACT,
    &mobile::COD_MOBILE,
    &mobile::WILD_RIFT,
    &mobile::AMONG_US,
    &mobile::TENCENT_GAMES,
    &mobile::NETEASE_GAMES,
    &mobile::FREE_FIRE,
    &online::ACTIVISION,
    &online::RIOT_GAMES,
    &online::MINECRAFT,
    &online::GAIJIN,
    &online::ELDER_SCROLLS_ONLINE,
    &online::PATH_OF_EXILE,
    &online::XBOX,
    &online::NINTENDO,
    &online::PLAYSTATION,
    &online::ARMAGETRON,
    &online::CROSSFIRE,
    &online::DOFUS,
    &online::FIESTA,
    &online::FLORENSIA,
    &online::GUILD_WARS,
    &online::MAPLE_STORY,
    &online::WORLD_OF_KUNG_FU,
];
