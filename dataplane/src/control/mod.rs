//! The door: what goes in (snapshots, deltas, queries) and what comes out (counters, histograms, events).
