// What happens to a frame before user space sees it?
//
//   1. Its source or destination is on the block list        -> drop, also with the daemon dead
//   2. The operator has switched to bypass                    -> to the peer port
//   3. The worker of its queue lives and has a socket         -> to that socket
//   4. Otherwise the fail mode: open -> to the peer port, closed -> drop
//
// "To the peer port" is XDP_PASS and then `to_peer` at tcx ingress, which redirects the packet as an skb: partial
// checksums and VLAN tags in its metadata survive, and the far end needs no XDP program, as a devmap would.
// In tap mode (PEER_IFINDEX 0) there is no peer, and a mirrored frame never enters the host: it is dropped.
//
// Loaded once per port with its own PORT and PEER_IFINDEX; both share the pinned maps. Layouts here and in
// src/program.rs must agree; a change of any map needs a new LAYOUT_VERSION there.
//
// No kernel headers: what is used is below, from linux/bpf.h.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
struct __sk_buff;

enum { XDP_DROP = 1, XDP_PASS = 2, XDP_REDIRECT = 4 };
enum { MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6, MAP_LPM_TRIE = 11, MAP_XSKMAP = 17 };
enum { NO_PREALLOC = 1, MMAPABLE = 1024 };

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static u64 (*ktime_get_coarse_ns)(void) = (void *)160;
static long (*redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*redirect_map)(void *map, u64 key, u64 flags) = (void *)51;

enum { PORTS_MAX = 2, QUEUES_MAX = 64, PREFIXES_MAX = 200000 };

const volatile u32 PORT = 0;
const volatile u32 PEER_IFINDEX = 0;

struct conf {
	u64 watchdog_ns;
	u32 fail_open;
	u32 bypass;
	u32 block_v4; // prefixes in the list: 0 skips the lookup
	u32 block_v6;
};

// One cache line a worker, so that no worker's stamp slows another's.
struct beat {
	u64 stamp_ns;
	u64 unused[7];
};

enum outcome {
	REDIRECTED,
	BLOCKED_V4,
	BLOCKED_V6,
	BYPASSED,
	PASSED_FAIL_OPEN,
	DROPPED_FAIL_CLOSED,
	HEARTBEAT_STALE,
	NO_SOCKET,
	OUTCOMES,
};

struct counters {
	u64 count[OUTCOMES];
};

struct key_v4 {
	u32 prefix_len;
	u32 addr;
};

struct key_v6 {
	u32 prefix_len;
	u32 addr[4];
};

#define UINT(name, value) int(*name)[value]

struct {
	UINT(type, MAP_XSKMAP);
	UINT(max_entries, PORTS_MAX *QUEUES_MAX);
	u32 *key;
	u32 *value;
} xsks SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, QUEUES_MAX);
	UINT(map_flags, MMAPABLE);
	u32 *key;
	struct beat *value;
} beats SEC(".maps");

struct {
	UINT(type, MAP_ARRAY);
	UINT(max_entries, 1);
	u32 *key;
	struct conf *value;
} conf SEC(".maps");

struct {
	UINT(type, MAP_PERCPU_ARRAY);
	UINT(max_entries, PORTS_MAX);
	u32 *key;
	struct counters *value;
} outcomes SEC(".maps");

struct {
	UINT(type, MAP_LPM_TRIE);
	UINT(max_entries, PREFIXES_MAX);
	UINT(map_flags, NO_PREALLOC);
	struct key_v4 *key;
	u32 *value;
} block_v4 SEC(".maps");

struct {
	UINT(type, MAP_LPM_TRIE);
	UINT(max_entries, PREFIXES_MAX);
	UINT(map_flags, NO_PREALLOC);
	struct key_v6 *key;
	u32 *value;
} block_v6 SEC(".maps");

#define ETHERTYPE(host) ((u16)__builtin_bswap16(host))

// The counter of a blocked packet, or OUTCOMES if it is on no list. Up to two VLAN tags are looked through; what
// is not IP, or too short to tell, is left to user space.
INLINE u32 block_list(struct xdp_md *ctx, const struct conf *c)
{
	u8 *data = (u8 *)(long)ctx->data;
	u8 *end = (u8 *)(long)ctx->data_end;
	u8 *ip = data + 14;

	if (ip > end)
		return OUTCOMES;
	u16 type = *(u16 *)(data + 12);
#pragma unroll
	for (int tag = 0; tag < 2; tag++) {
		if (type != ETHERTYPE(0x8100) && type != ETHERTYPE(0x88a8))
			break;
		if (ip + 4 > end)
			return OUTCOMES;
		type = *(u16 *)(ip + 2);
		ip += 4;
	}
	if (type == ETHERTYPE(0x0800) && c->block_v4) {
		if (ip + 20 > end)
			return OUTCOMES;
		struct key_v4 key = { 32, *(u32 *)(ip + 12) };
		if (map_lookup(&block_v4, &key))
			return BLOCKED_V4;
		key.addr = *(u32 *)(ip + 16);
		if (map_lookup(&block_v4, &key))
			return BLOCKED_V4;
	} else if (type == ETHERTYPE(0x86dd) && c->block_v6) {
		if (ip + 40 > end)
			return OUTCOMES;
		u32 *src = (u32 *)(ip + 8);
		struct key_v6 key = { 128, { src[0], src[1], src[2], src[3] } };
		if (map_lookup(&block_v6, &key))
			return BLOCKED_V6;
		u32 *dst = (u32 *)(ip + 24);
		key.addr[0] = dst[0];
		key.addr[1] = dst[1];
		key.addr[2] = dst[2];
		key.addr[3] = dst[3];
		if (map_lookup(&block_v6, &key))
			return BLOCKED_V6;
	}
	return OUTCOMES;
}

SEC("xdp.frags") int to_worker(struct xdp_md *ctx)
{
	u32 zero = 0, port = PORT, queue = ctx->rx_queue_index;
	struct conf *c = map_lookup(&conf, &zero);
	struct counters *n = map_lookup(&outcomes, &port);

	if (!c || !n)
		return XDP_DROP;
	if (c->block_v4 | c->block_v6) {
		u32 blocked = block_list(ctx, c);
		if (blocked == BLOCKED_V4) {
			n->count[BLOCKED_V4]++;
			return XDP_DROP;
		}
		if (blocked == BLOCKED_V6) {
			n->count[BLOCKED_V6]++;
			return XDP_DROP;
		}
	}
	u32 to_peer_port = PEER_IFINDEX ? XDP_PASS : XDP_DROP;
	if (c->bypass) {
		n->count[BYPASSED]++;
		return to_peer_port;
	}
	u32 fail_mode = c->fail_open ? to_peer_port : XDP_DROP;

	struct beat *b = map_lookup(&beats, &queue);
	// The coarse clock is the time of the last tick: a dead worker is noticed up to one tick (1 to 10 ms) late,
	// and a packet costs 33 ns less than with the exact one. Signed, because stamps are mostly ahead of it.
	if (b && (s64)(ktime_get_coarse_ns() - *(volatile u64 *)&b->stamp_ns) < (s64)c->watchdog_ns) {
		// The low bits of the flags are the answer where the map has no socket.
		u32 answer = redirect_map(&xsks, port * QUEUES_MAX + queue, fail_mode);
		if (answer == XDP_REDIRECT) {
			n->count[REDIRECTED]++;
			return answer;
		}
		n->count[NO_SOCKET]++;
	} else {
		n->count[HEARTBEAT_STALE]++;
	}
	if (fail_mode == XDP_PASS)
		n->count[PASSED_FAIL_OPEN]++;
	else
		n->count[DROPPED_FAIL_CLOSED]++;
	return fail_mode;
}

SEC("classifier") int to_peer(struct __sk_buff *skb)
{
	return redirect(PEER_IFINDEX, 0);
}

// The yardstick for the cost of `to_worker`: the least a program can do to reach a socket.
SEC("xdp.frags") int one_line(struct xdp_md *ctx)
{
	return redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
