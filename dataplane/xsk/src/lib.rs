//! AF_XDP made safe: frames that move, rings, sockets, UMEM, the XDP program and its pins.
