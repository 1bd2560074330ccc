//! Who passes messages? Brokers, chats, RPC.

pub mod amqp;
pub mod brokers;
pub mod calls;
pub mod coap;
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
