//! Is this fragment's datagram complete, and does it contradict itself?
