// The far ends' two programs: `send` makes packets (run as live frames, it never is attached), `count` ends them.
//
// No kernel headers: the few definitions needed are here, as in the kernel's uapi/linux/bpf.h.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };
enum { MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6 };

#define SEC(name) __attribute__((section(name), used))

static void *(*lookup)(void *map, const void *key) = (void *)1;
static u64 (*ktime_ns)(void) = (void *)5;
static long (*redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*adjust_tail)(struct xdp_md *ctx, int delta) = (void *)65;

// ---- send ----------------------------------------------------------------------------------------------

// What is written of a packet; everything behind it is zero, or (`send_whole`) what the frame brought along.
#define HEAD 112
#define WHOLE 2032

// The same layout as `Slot` in rig/sender.rs: head_len counts what is meaningful of `head`.
struct slot {
	u16 wire_len;
	u8 side;      // 0: out of the first far end, 1: out of the second
	u8 stamp_at;  // offset of the time stamp in the packet, 0 where there is none
	u32 unused;
	u64 head[HEAD / 8];
};

struct whole_slot {
	u16 wire_len;
	u8 side;
	u8 stamp_at;
	u32 unused;
	u64 head[WHOLE / 8];
};

// One sender, one core: plain stores. The order of the fields is that of `Control` in rig/sender.rs.
struct control {
	u64 next;         // index of the next slot
	u64 slots;        // slots in use
	u64 sent;         // frames redirected
	u64 budget;       // stop after so many
	u64 interval_fp;  // ns between packets << 16, 0: as fast as it goes
	u64 due_fp;       // when the next one is due, << 16 (0: now)
	u64 burst_fp;     // how far it may catch up after a stall, ns << 16
	u64 stamp_mask;   // a stamp where (sent & mask) == 0
	u64 ifindex[2];   // of the far ends
	u64 frame_len;    // length of every frame as it comes in
	u64 skipped_ns;   // time that a stall took and that was not caught up
	u64 duration_ns;  // no packet so long after the first turn, 0: no end
	u64 bytes;        // bytes sent
	u64 ended;        // 1 when budget or duration was used up
	u64 started_ns;   // time of the first turn
	u64 last_ns;      // time of the last packet
	u64 spare[15];
};

struct {
	int (*type)[MAP_ARRAY];
	int (*max_entries)[1];
	u32 *key;
	struct control *value;
} control SEC(".maps");

struct {
	int (*type)[MAP_ARRAY];
	int (*max_entries)[1];
	u32 *key;
	struct slot *value;
} slots SEC(".maps");

struct {
	int (*type)[MAP_ARRAY];
	int (*max_entries)[1];
	u32 *key;
	struct whole_slot *value;
} whole_slots SEC(".maps");

static __attribute__((always_inline)) struct control *due(u64 *now_out)
{
	u32 zero = 0;
	struct control *c = lookup(&control, &zero);
	if (!c || c->ended)
		return 0;
	if (c->sent >= c->budget) {
		c->ended = 1;
		return 0;
	}
	u64 now = ktime_ns();
	*now_out = now;
	if (!c->started_ns)
		c->started_ns = now;
	if (c->duration_ns && now - c->started_ns >= c->duration_ns) {
		c->ended = 1;
		return 0;
	}
	if (c->interval_fp) {
		u64 now_fp = now << 16;
		if (!c->due_fp)
			c->due_fp = now_fp;
		s64 late = (s64)(now_fp - c->due_fp);
		if (late < 0)
			return 0;
		if ((u64)late > c->burst_fp) {
			c->skipped_ns += ((u64)late - c->burst_fp) >> 16;
			c->due_fp = now_fp - c->burst_fp;
		}
		c->due_fp += c->interval_fp;
	}
	c->last_ns = now;
	return c;
}

// A stamp is the time and its complement, so that no checksum changes.
static __attribute__((always_inline)) void stamp(struct xdp_md *ctx, u8 at, u64 now)
{
	u8 *data = (u8 *)(long)ctx->data;
	u8 *end = (u8 *)(long)ctx->data_end;
	u64 offset = at;
	if (offset > 96 || data + offset + 16 > end)
		return;
	// Two-byte alignment is all that an Ethernet header leaves us.
	u16 *out = (u16 *)(data + offset);
	for (int i = 0; i < 4; i++) {
		u16 part = now >> (16 * i);
		out[i] = part;
		out[4 + i] = ~part;
	}
}

SEC("xdp") int send(struct xdp_md *ctx)
{
	u64 now;
	struct control *c = due(&now);
	if (!c)
		return XDP_DROP;
	u32 index = c->next;
	struct slot *s = lookup(&slots, &index);
	if (!s)
		return XDP_ABORTED;
	u64 *data = (u64 *)(long)ctx->data;
	if ((u8 *)data + HEAD > (u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	for (int i = 0; i < HEAD / 8; i++)
		data[i] = s->head[i];
	if (s->stamp_at && (c->sent & c->stamp_mask) == 0)
		stamp(ctx, s->stamp_at, now);
	u16 wire_len = s->wire_len;
	u8 side = s->side;
	if (wire_len != c->frame_len && adjust_tail(ctx, (int)wire_len - (int)c->frame_len))
		return XDP_ABORTED;
	c->next = index + 1 == c->slots ? 0 : index + 1;
	c->sent++;
	c->bytes += wire_len;
	return redirect(c->ifindex[side & 1], 0);
}

SEC("xdp") int send_whole(struct xdp_md *ctx)
{
	u64 now;
	struct control *c = due(&now);
	if (!c)
		return XDP_DROP;
	u32 index = c->next;
	struct whole_slot *s = lookup(&whole_slots, &index);
	if (!s)
		return XDP_ABORTED;
	u64 *data = (u64 *)(long)ctx->data;
	if ((u8 *)data + WHOLE > (u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	for (int i = 0; i < WHOLE / 8; i++)
		data[i] = s->head[i];
	u16 wire_len = s->wire_len;
	u8 side = s->side;
	if (wire_len != c->frame_len && adjust_tail(ctx, (int)wire_len - (int)c->frame_len))
		return XDP_ABORTED;
	c->next = index + 1 == c->slots ? 0 : index + 1;
	c->sent++;
	c->bytes += wire_len;
	return redirect(c->ifindex[side & 1], 0);
}

// ---- count ---------------------------------------------------------------------------------------------

// [0] IP packets [1] their bytes (without FCS) [2] other frames [3] stamps [4] sum of latencies, ns
struct {
	int (*type)[MAP_PERCPU_ARRAY];
	int (*max_entries)[8];
	u32 *key;
	u64 *value;
} counts SEC(".maps");

// Log-linear: 32 steps to each power of two, so 3 % wide. Index = exponent * 32 + the next five bits.
#define STEPS 32
struct {
	int (*type)[MAP_PERCPU_ARRAY];
	int (*max_entries)[2048];
	u32 *key;
	u64 *value;
} latency SEC(".maps");

static __attribute__((always_inline)) void add(u32 key, u64 by)
{
	u64 *v = lookup(&counts, &key);
	if (v)
		*v += by;
}

// Where a UDP payload starts in plain Ethernet and IPv4, IPv6.
#define STAMP_V4 (14 + 20 + 8)
#define STAMP_V6 (14 + 40 + 8)

static __attribute__((always_inline)) void read_stamp(u8 *p, u8 *end, u32 mark_at)
{
	if (p + mark_at + 18 > end)
		return;
	u16 *at = (u16 *)(p + mark_at);
	if (at[0] != 0x504a) // "JP"
		return;
	u64 sent = 0;
	for (int i = 0; i < 4; i++) {
		if ((u16)(at[1 + i] ^ at[5 + i]) != 0xffff)
			return;
		sent |= (u64)at[1 + i] << (16 * i);
	}
	if (!sent)
		return;
	u64 ns = ktime_ns() - sent;
	if ((s64)ns < 0)
		ns = 0;
	u64 rest = ns;
	u32 msb = 0;
	if (rest >> 32) { msb += 32; rest >>= 32; }
	if (rest >> 16) { msb += 16; rest >>= 16; }
	if (rest >> 8) { msb += 8; rest >>= 8; }
	if (rest >> 4) { msb += 4; rest >>= 4; }
	if (rest >> 2) { msb += 2; rest >>= 2; }
	if (rest >> 1) { msb += 1; }
	u32 index = msb < 5 ? (u32)ns : (msb - 4) * STEPS + (u32)((ns >> (msb - 5)) & (STEPS - 1));
	u64 *v = lookup(&latency, &index);
	if (v)
		*v += 1;
	add(3, 1);
	add(4, ns);
}

SEC("xdp.frags") int count(struct xdp_md *ctx)
{
	u8 *p = (u8 *)(long)ctx->data;
	u8 *end = (u8 *)(long)ctx->data_end;
	if (p + 14 > end)
		return XDP_DROP;
	u16 type = *(u16 *)(p + 12);
	if (type == 0x0008) {
		add(0, 1);
		add(1, end - p);
		read_stamp(p, end, STAMP_V4);
	} else if (type == 0xdd86) {
		add(0, 1);
		add(1, end - p);
		read_stamp(p, end, STAMP_V6);
	} else {
		add(2, 1);
	}
	return XDP_DROP;
}

char far_license[] SEC("license") = "Dual MIT/GPL";
