//! Requests: api -> services -> store, on a thread of its own.
