//! Who passes messages? Brokers, chats, RPC.

pub mod amqp;
pub mod brokers;
pub mod calls;
pub mod coap;
pub mod cursor;
pub mod exchange;
pub mod fabric;
pub mod irc;
pub mod kafka;
pub mod messengers;
pub mod mqtt;
pub mod xmpp;

use crate::dpi::Protocol;

/// The protocols of this group. What has magic numbers stands in front.
pub const PROTOCOLS: &[&Protocol] = &[
    &mqtt::MQTT,
    &amqp::AMQP,
    &xmpp::XMPP,
    &irc::IRC,
    &coap::COAP,
    &kafka::KAFKA,
    &brokers::NATS,
    &brokers::STOMP,
    &brokers::OPENWIRE,
    &brokers::ZEROMQ,
    &brokers::PULSAR,
    &brokers::BEANSTALKD,
    &brokers::NSQ,
    &brokers::FLUENTD,
    &calls::THRIFT,
    &calls::CORBA,
    &exchange::SMPP,
    &exchange::FIX,
    &exchange::HL7,
    &exchange::DICOM,
    &fabric::SYNCTHING,
    &fabric::RTPS,
    &messengers::OSCAR,
    &messengers::MSNP,
    &messengers::YMSG,
    &messengers::LOTUS_NOTES,
    &messengers::XIAOMI,
    &calls::JSON_RPC,
];

/// What a probe sees of a first payload from a client to `port`.
#[cfg(test)]
pub(super) fn seen(bytes: &[u8], port: u16, is_tcp: bool) -> super::super::Peek<'_> {
    super::super::Peek {
        bytes,
        way: crate::flow::Direction::Forward,
        nth: 0,
        ports: (40_000, port),
        other: &[],
        previous: &[],
        is_multicast: false,
        is_tcp,
    }
}
