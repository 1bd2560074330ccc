//! What moves machines? Plant, building and vehicle protocols.

pub mod building;
pub mod dnp3;
pub mod enip;
pub mod grid;
pub mod modbus;
pub mod plant;
pub mod tpkt;
pub mod vehicle;

use crate::dpi::Protocol;

/// The protocols of this group. What has magic numbers stands in front.
pub const PROTOCOLS: &[&Protocol] = &[
    &dnp3::DNP3,
    &enip::ENIP,
    &enip::CIP,
    &tpkt::S7COMM,
    &tpkt::S7COMM_PLUS,
    &tpkt::MMS,
    &grid::SYNCHROPHASOR,
    &grid::IEC104,
    &grid::IEC62056,
    &grid::C1222,
    &plant::OPC_UA,
    &plant::PROFINET_IO,
    &plant::BECKHOFF_ADS,
    &plant::FINS,
    &plant::MELSEC,
    &plant::CODESYS,
    &plant::ETHER_SBUS,
    &plant::ETHERSIO,
    &plant::EGD,
    &plant::HART_IP,
    &plant::GE_SRTP,
    &plant::FF_HSE,
    &plant::CRIMSON,
    &building::BACNET,
    &building::KNX,
    &building::TUYA_LP,
    &building::MIIO,
    &building::FOX,
    &building::ATG,
    &building::NEST_LOG_SINK,
    &building::LIFX,
    &building::ZEP,
    &building::CNP_IP,
    &building::CRESTRON,
    &vehicle::CAN,
    &vehicle::TRDP,
    &vehicle::DOIP,
    &vehicle::DLT,
    &vehicle::SOMEIP,
    &modbus::MODBUS,
    &modbus::UMAS,
];
