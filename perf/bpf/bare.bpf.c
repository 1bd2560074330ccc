// The bare forwarder's XDP program: one line, straight to the socket of the queue.

struct xdp_md {
	unsigned data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

static long (*redirect_map)(void *map, unsigned long long key, unsigned long long flags) = (void *)51;

struct {
	int (*type)[17]; // BPF_MAP_TYPE_XSKMAP
	int (*max_entries)[64];
	unsigned *key;
	unsigned *value;
} xsks __attribute__((section(".maps"), used));

__attribute__((section("xdp.frags"), used)) int bare(struct xdp_md *ctx)
{
	return redirect_map(&xsks, ctx->rx_queue_index, 2 /* XDP_PASS */);
}

char bare_license[] __attribute__((section("license"), used)) = "Dual MIT/GPL";
