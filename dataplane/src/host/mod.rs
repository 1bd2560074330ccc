//! What do all workers know together about an address, a rule or a bucket? Fixed tables of atomics, no locks.
