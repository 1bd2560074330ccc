//! Which database is asked? SQL servers, stores of keys and documents, catalogues.

pub mod cassandra;
mod mongodb;
pub mod mysql;
pub mod postgresql;
pub mod stores;
pub mod tds;

use crate::dpi::Protocol;

/// The protocols of this group.
pub const PROTOCOLS: &[&Protocol] = &[
    &postgresql::POSTGRESQL,
    &mysql::MYSQL,
    &stores::MONGODB,
    &stores::BOLT,
    &stores::GEARMAN,
    &stores::CLICKHOUSE,
    &stores::COUCHBASE,
    &stores::MEMCACHED,
    &stores::REDIS,
    &cassandra::CASSANDRA,
    &stores::DRDA,
    &stores::ORACLE,
    &stores::RAFT,
    &stores::Z3950,
    &stores::AEROSPIKE,
    &stores::ZOOKEEPER,
    &stores::HAZELCAST,
    &stores::FIREBIRD,
    &stores::HANA,
    &stores::IGNITE,
    &stores::INFLUXDB,
    &stores::INFORMIX,
    &tds::MSSQL,
];
