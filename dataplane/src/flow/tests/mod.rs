//! Cases for the whole table.
