//! How does the frame leave: transmit ring, mirror copy, hand-off, or back to the pool?
