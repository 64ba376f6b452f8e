/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which backend a packet goes to: the rules of the ring that remembers. Compiled for BPF, where
 * bpf/select.h calls it for every packet whose slot says LOOKUP, and for C, where the same lines
 * answer `evenkeel explain` and run under the property tests.
 *
 * A slot that never changed, or that has forgotten, needs none of this: everything in it belongs
 * to `current`. In a slot that remembers (LOOKUP):
 *
 *  - an entry in the table decides;
 *  - a SYN without one is a new connection: it gets an entry for `current`, or none is needed
 *    because current = origin ("noins");
 *  - any other packet without one belongs to a connection older than the change: to `origin`.
 *    While origin is down it goes to `current`, and nothing is forgotten ("keep");
 *  - a SYN that cannot be stored goes to origin, where its later packets will go too; if origin
 *    is down it is dropped by name, and TCP tries again ("dropover").
 *
 * A connection may have two entries for a while. No SYN changes the backend of an established or
 * closing entry: when it has to be taken for a new connection (its port is reused, or the old
 * backend is down) it gets an embryonic entry beside the old one, and only a packet within the
 * SYN's sequence window promotes the one and retires the other. So a forged SYN with the addresses
 * of a live connection diverts nothing, whatever state that connection is in, unless its sequence
 * number lies within EK_FLOW_ISN_WINDOW before the connection's own: odds of 1 in 4096 a try, one
 * try in EK_FLOW_EMBRYO_GRACE, and none against an established entry whose backend is up.
 *
 * The first SYN has the embryo for EK_FLOW_EMBRYO_GRACE. Another one in that time goes where its
 * acknowledgement will go, which is not the embryo's backend.
 *
 * A FIN or RST only shortens the time-out of the entry, until a packet comes EK_FLOW_REUSE_AFTER or
 * more later (a half-closed download, or the RST was forged). The last acknowledgement of a normal
 * close comes sooner and changes nothing, or closed connections would be held for hours.
 *
 * Full tracking stores a connection that it meets in mid-flow as an embryo too: the next segment
 * proves it, and a flood of forged ACKs holds nothing for longer than a flood of SYNs.
 *
 * A service whose failover is none, which tracks in full, disowns what no entry knows instead of
 * adopting it: such a segment is refused ("unknown-flow") and changes nothing, and its sender is
 * told so with an RST. A SYN that cannot be stored there is dropped by name: its later packets
 * would be refused.
 *
 * Who answers a SYN may still hold an older connection of that port and answer with its
 * acknowledgement; the client then sends an RST without ACK, which must reach the same backend.
 *
 * An entry whose backend is down keeps its name: its packets go to `current` meanwhile, and come
 * home if the backend returns. Flows without a handshake (UDP) are re-selected for good.
 */
#ifndef EVENKEEL_SELECT_H
#define EVENKEEL_SELECT_H

#include <evenkeel/flow_table.h>
#include <evenkeel/ring.h>

enum ek_packet_kind {
	EK_PACKET_SYN,	   /* SYN without ACK, FIN, RST */
	EK_PACKET_DATA,	   /* any other TCP segment that does not end anything */
	EK_PACKET_END,	   /* FIN, or RST with ACK */
	EK_PACKET_REFUSAL, /* RST without ACK: an answer to a segment that the client did not expect
			    */
	EK_PACKET_DATAGRAM, /* no handshake: UDP */
	EK_PACKET_QUOTED,   /* an ICMP error about the flow: it only looks */
};

/* The packet, and where it fell. */
struct ek_selection {
	__u64 hash;
	__u32 slot;
	__u32 now; /* tick */
	__u32 sequence;
	__be32 source_word; /* the last of the client's address, and its port: is a twin this
			       flow's? */
	__be16 source_port;
	enum ek_packet_kind kind;
};

/*
 * What selection works on and asks of its surroundings. `flags`: EK_NEXTHOP_* of a backend, or -1
 * if the index is not of this service. `key`: the cold twin of way `way` of the bucket, or NULL.
 * Both are constants at every call, so the compiler inlines them.
 */
struct ek_surroundings {
	int (*flags)(void *context, __u32 backend);
	struct ek_flow_key *(*key)(void *context, __u32 way);
	void *context;
	const struct ek_service *service;
	struct ek_flow_bucket *bucket; /* of the packet's hash */
};

#define EK_WAY_NONE -1 /* write nothing */
#define EK_WAY_ANY  -2 /* wherever there is room */

struct ek_choice {
	__u32 backend; /* EK_BACKEND_NONE: drop, for `drop` */
	enum ek_drop drop;
	int origin_hit; /* origin served a miss: its memory is still needed */
	int unstored;	/* a new flow that could not be stored */
	int stored;	/* the way of a new entry whose cold twin the caller fills, or -1: its isn
			 * is one less than the sequence number of a packet that is no SYN */
	/* For the peers: an entry that is no embryo changed backend or state, or had expired and
	 * was removed. 0 = nothing. */
	__u64 news, removed;
	__u32 news_way;
	/* What ek_select() writes: */
	__u32 entry_backend;
	enum ek_flow_state entry_state;
	__u64 entry_old;
	int entry_way;
};

struct ek_matches {
	__u64 live, embryo; /* 0 = none */
	__u64 removed;	    /* had expired */
	int live_way, embryo_way;
};

/*
 * One of the two entries that a flow may have. One that expired is removed here and now: it would
 * hide the next, and a takeover, which renews all ages, would bring it back to life.
 */
static __always_inline void ek_select_classify(const struct ek_selection *s,
					       const struct ek_surroundings *e,
					       struct ek_matches *m, __u32 way)
{
	__u64 *at = &e->bucket->entry[way & (EK_FLOW_WAYS - 1)], entry = ek_flow_read(at);
	enum ek_flow_state state = ek_flow_state(entry);

	if ((entry ^ s->hash) >> 31) /* another flow's by now */
		return;
	if (ek_flow_age(entry, s->now) > e->service->timeout[state]) {
		if (ek_flow_replace(at, entry, 0) && state != EK_FLOW_EMBRYONIC)
			m->removed = entry;
		return;
	}
	if (state == EK_FLOW_EMBRYONIC) {
		m->embryo = entry;
		m->embryo_way = way;
	} else {
		m->live = entry;
		m->live_way = way;
	}
}

/*
 * Two CPUs that take a SYN each at the same moment may leave two embryos. A live entry is alone:
 * it is always found, so whatever takes its place retires it.
 */
static __always_inline void ek_select_find(const struct ek_selection *s,
					   const struct ek_surroundings *e, struct ek_matches *m)
{
	__u64 ways = ek_flow_find(e->bucket, s->hash), embryos = 0;

	*m = (struct ek_matches){0};
	if (ways & (ways - 1))
		embryos = ways & ek_flow_embryos(e->bucket);
	if (ways ^ embryos)
		ek_select_classify(s, e, m, ek_flow_first(ways ^ embryos));
	if (embryos)
		ek_select_classify(s, e, m, ek_flow_first(embryos));
}

static __always_inline int ek_select_alive(const struct ek_surroundings *e, __u32 backend)
{
	int flags = e->flags(e->context, backend);

	return flags >= 0 && (flags & EK_NEXTHOP_ALIVE);
}

static __always_inline void ek_select_drop(struct ek_choice *c, enum ek_drop reason)
{
	c->backend = EK_BACKEND_NONE;
	c->drop = reason;
}

/* An entry was written: `new` in the place of `old`. */
static __always_inline void ek_select_note(struct ek_choice *c, __u32 way, __u64 old, __u64 new)
{
	if (ek_flow_state(new) == EK_FLOW_EMBRYONIC || (old ^ new) >> 14 == 0)
		return;
	c->news = new;
	c->news_way = way;
}

/* The current choice, if it is there. */
static __always_inline void ek_select_current(struct ek_choice *c, const struct ek_selection *s,
					      const struct ek_surroundings *e)
{
	__u32 current = ek_slot_current(s->slot);

	if (ek_select_alive(e, current))
		c->backend = current;
	else
		ek_select_drop(c, EK_DROP_BACKEND_DOWN);
}

/*
 * Decided, to be written by ek_select() in one compare-and-swap: the entry that takes the place
 * of `old` in `way` (or in any way with room).
 */
static __always_inline void ek_select_write(struct ek_choice *c, __u32 backend,
					    enum ek_flow_state state, __u64 old, int way)
{
	c->entry_backend = backend;
	c->entry_state = state;
	c->entry_old = old;
	c->entry_way = way;
}

static __always_inline void ek_select_store(struct ek_choice *c, __u32 backend,
					    enum ek_flow_state state)
{
	ek_select_write(c, backend, state, 0, EK_WAY_ANY);
}

static __always_inline void ek_select_datagram(struct ek_choice *c, const struct ek_selection *s,
					       const struct ek_surroundings *e,
					       const struct ek_matches *m)
{
	__u32 backend = ek_flow_backend(m->live);

	if (m->live && ek_select_alive(e, backend))
		c->backend = backend;
	else
		ek_select_current(c, s, e);
	if (!c->backend)
		return;
	if (m->live)
		ek_select_write(c, c->backend, EK_FLOW_ESTABLISHED, m->live, m->live_way);
	else
		ek_select_store(c, c->backend, EK_FLOW_ESTABLISHED);
}

/* A connection that the table does not know is older than the slot's change. */
static __always_inline void ek_select_miss(struct ek_choice *c, const struct ek_selection *s,
					   const struct ek_surroundings *e)
{
	__u32 origin = ek_slot_origin(s->slot);

	if (ek_select_alive(e, origin)) {
		c->origin_hit = 1;
		c->backend = origin;
	} else {
		ek_select_current(c, s, e);
	}
}

/* A CPU that has stored an entry may not have come to write its twin: that is another flow's yet.
 */
static __always_inline int ek_select_is_twin(const struct ek_selection *s,
					     const struct ek_flow_key *key)
{
	return key && key->source_port == s->source_port && key->source.words[3] == s->source_word;
}

static __always_inline int ek_select_completes(const struct ek_selection *s,
					       const struct ek_surroundings *e,
					       const struct ek_matches *m)
{
	const struct ek_flow_key *key;

	if (!m->embryo)
		return 0;
	key = e->key(e->context, m->embryo_way);
	return ek_select_is_twin(s, key) && s->sequence - key->isn - 1 < EK_FLOW_ISN_WINDOW;
}

/*
 * The old connection of a reused port is over. A late packet of it may touch its entry on another
 * CPU at this very moment; left in place it would stand beside the new one as its equal.
 */
static __always_inline void ek_select_retire(const struct ek_surroundings *e,
					     const struct ek_matches *m)
{
	__u64 *at = &e->bucket->entry[m->live_way & (EK_FLOW_WAYS - 1)], touched;

	if (!m->live || ek_flow_replace(at, m->live, 0))
		return;
	touched = ek_flow_read(at);
	if (ek_flow_hash_high(touched ^ m->live) == 0)
		ek_flow_replace(at, touched, 0);
}

/*
 * In mid-flow, and full tracking wants an entry. One embryo is enough: like a SYN's it has its
 * time before another may take its place.
 */
static __always_inline void ek_select_adopt(struct ek_choice *c, const struct ek_selection *s,
					    const struct ek_matches *m)
{
	if (!m->embryo)
		ek_select_store(c, c->backend, EK_FLOW_EMBRYONIC);
	else if (ek_flow_age(m->embryo, s->now) >= EK_FLOW_EMBRYO_GRACE)
		ek_select_write(c, c->backend, EK_FLOW_EMBRYONIC, m->embryo, m->embryo_way);
}

/* The acknowledgement that ends a normal close revives nothing; half-closed flows go on longer. */
static __always_inline int ek_select_is_last_ack(const struct ek_selection *s, __u64 live)
{
	return s->kind == EK_PACKET_DATA && ek_flow_state(live) == EK_FLOW_CLOSING &&
	       ek_flow_age(live, s->now) < EK_FLOW_REUSE_AFTER;
}

/* Without failover, a segment that no entry knows is nobody's. */
static __always_inline int ek_select_disowns(const struct ek_surroundings *e)
{
	return e->service->flags & EK_SERVICE_F_RESET;
}

/*
 * The embryo's backend answered the SYN with an acknowledgement of something else: it still holds
 * an older connection of this port (which it lost while it was taken for down, say), and the client
 * in SYN-SENT resets that (RFC 9293 section 3.10.7.3). Only there does it do any good: elsewhere,
 * each SYN sent again would be answered in the same way. A live connection in use is not in
 * SYN-SENT.
 */
static __always_inline int ek_select_refuses(const struct ek_selection *s,
					     const struct ek_surroundings *e,
					     const struct ek_matches *m)
{
	if (s->kind != EK_PACKET_REFUSAL || !m->embryo ||
	    !ek_select_alive(e, ek_flow_backend(m->embryo)))
		return 0;
	if (ek_flow_state(m->live) == EK_FLOW_ESTABLISHED &&
	    ek_select_alive(e, ek_flow_backend(m->live)))
		return 0;
	return ek_select_is_twin(s, e->key(e->context, m->embryo_way));
}

static __always_inline void ek_select_segment(struct ek_choice *c, const struct ek_selection *s,
					      const struct ek_surroundings *e, struct ek_matches *m)
{
	int flags;

	if (ek_select_completes(s, e, m)) {
		ek_select_retire(e, m);
		m->live = m->embryo;
		m->live_way = m->embryo_way;
	} else if (ek_select_refuses(s, e, m)) {
		c->backend = ek_flow_backend(m->embryo);
		return;
	}
	flags = m->live ? e->flags(e->context, ek_flow_backend(m->live)) : -1;
	if (flags < 0 && ek_select_disowns(e)) {
		ek_select_drop(c, EK_DROP_UNKNOWN_FLOW);
		return;
	}
	if (flags < 0) {
		ek_select_miss(c, s, e);
		if (e->service->flags & EK_SERVICE_F_TRACK_FULL && c->origin_hit &&
		    s->kind == EK_PACKET_DATA)
			ek_select_adopt(c, s, m);
		return;
	}
	if (!ek_select_is_last_ack(s, m->live))
		ek_select_write(c, ek_flow_backend(m->live),
				s->kind == EK_PACKET_DATA ? EK_FLOW_ESTABLISHED : EK_FLOW_CLOSING,
				m->live, m->live_way);
	if (flags & EK_NEXTHOP_ALIVE)
		c->backend = ek_flow_backend(m->live);
	else
		ek_select_current(c, s, e);
}

/* A SYN that could not be stored: where will its later packets go? There it must go too. */
static __always_inline void ek_select_unstored(struct ek_choice *c, const struct ek_selection *s,
					       const struct ek_surroundings *e,
					       const struct ek_matches *m)
{
	__u32 old = ek_flow_backend(m->live);

	c->unstored = 1;
	if (s->kind != EK_PACKET_SYN)
		return;
	if (m->live && ek_select_alive(e, old)) {
		__u64 entry = ek_flow_entry(s->hash, old, EK_FLOW_ESTABLISHED, s->now);

		c->backend = old;
		if (ek_flow_replace(&e->bucket->entry[m->live_way & (EK_FLOW_WAYS - 1)], m->live,
				    entry))
			ek_select_note(c, m->live_way, m->live, entry);
	} else if (ek_select_disowns(e) || m->live ||
		   !ek_select_alive(e, ek_slot_origin(s->slot))) {
		ek_select_drop(c, EK_DROP_TABLE_FULL);
	} else {
		ek_select_miss(c, s, e);
	}
}

/* The SYN that the embryo was stored for, sent again. */
static __always_inline int ek_select_repeats(const struct ek_selection *s,
					     const struct ek_surroundings *e,
					     const struct ek_matches *m)
{
	const struct ek_flow_key *key = e->key(e->context, m->embryo_way);

	return ek_select_is_twin(s, key) && key->isn == s->sequence;
}

static __always_inline void ek_select_syn(struct ek_choice *c, const struct ek_selection *s,
					  const struct ek_surroundings *e,
					  const struct ek_matches *m)
{
	__u32 live = ek_flow_backend(m->live), embryo = ek_flow_backend(m->embryo);
	int closing = ek_flow_state(m->live) == EK_FLOW_CLOSING;

	if (m->embryo && ek_select_alive(e, embryo) && ek_select_repeats(s, e, m)) {
		c->backend = embryo;
		return;
	}
	if (m->live && ek_select_alive(e, live) &&
	    (!closing || ek_flow_age(m->live, s->now) < EK_FLOW_REUSE_AFTER)) {
		c->backend = live; /* its later packets need the entry: it serves again */
		ek_select_write(c, live, EK_FLOW_ESTABLISHED, m->live, m->live_way);
		return;
	}
	if (m->embryo && ek_select_alive(e, embryo) &&
	    ek_flow_age(m->embryo, s->now) < EK_FLOW_EMBRYO_GRACE) {
		ek_select_unstored(c, s, e, m); /* the first SYN has the entry */
		return;
	}
	ek_select_current(c, s, e);
	if (!c->backend)
		return;
	if (m->embryo)
		ek_select_write(c, c->backend, EK_FLOW_EMBRYONIC, m->embryo, m->embryo_way);
	else if (m->live || c->backend != ek_slot_origin(s->slot) ||
		 e->service->flags & EK_SERVICE_F_TRACK_FULL)
		ek_select_store(c, c->backend, EK_FLOW_EMBRYONIC);
}

/*
 * Carries out what was decided. Losing the entry to another CPU matters only to a new flow: a
 * touch that is lost was made by the winner.
 */
static __always_inline int ek_select_commit(struct ek_choice *c, const struct ek_selection *s,
					    const struct ek_surroundings *e)
{
	__u64 entry = ek_flow_entry(s->hash, c->entry_backend, c->entry_state, s->now), ways;
	int is_new = c->entry_state == EK_FLOW_EMBRYONIC || c->entry_way == EK_WAY_ANY;

	if (entry == c->entry_old)
		return 1;
	if (c->entry_way == EK_WAY_ANY) {
		ways = ek_flow_room(e->bucket, s->now);
		if (!ways || e->service->flags & EK_SERVICE_F_OVER_QUOTA)
			return 0;
		c->entry_way = ek_flow_first(ways);
		c->entry_old = ek_flow_read(&e->bucket->entry[c->entry_way & (EK_FLOW_WAYS - 1)]);
		if (c->entry_old && !ek_flow_is_old_embryo(c->entry_old, s->now))
			return 0;
	}
	if (!ek_flow_replace(&e->bucket->entry[c->entry_way & (EK_FLOW_WAYS - 1)], c->entry_old,
			     entry))
		return !is_new;
	ek_select_note(c, c->entry_way, c->entry_old, entry);
	if (is_new)
		c->stored = c->entry_way;
	return 1;
}

/*
 * Whether the sender of a refused segment is told: not of an RST (RFC 9293, section 3.10.7.1), and
 * only by an address that can be one host's on a network (RFC 1122, section 3.2.1.3).
 */
static __always_inline int ek_select_is_told(const struct ek_ip *source, int is_reset)
{
	__u8 first = source->bytes[ek_ip_is_v4(source) ? 12 : 0];

	if (is_reset)
		return 0;
	if (ek_ip_is_v4(source))
		return first != 0 && first != 127 && first < 224;
	return first != 0xff && source->halves[0];
}

/*
 * An ICMP error belongs to whoever sent what it quotes. It proves nothing about the flow, so it
 * leaves no trace: no age, no state, no hit of the origin (RFC 5927 on what forged ones can do).
 */
static __always_inline void ek_select_quoted(struct ek_choice *c, const struct ek_selection *s,
					     const struct ek_surroundings *e,
					     const struct ek_matches *m)
{
	__u32 named = ek_flow_backend(m->live ? m->live : m->embryo);
	int flags = named ? e->flags(e->context, named) : -1;

	if (flags < 0)
		ek_select_miss(c, s, e);
	else if (flags & EK_NEXTHOP_ALIVE)
		c->backend = named;
	else
		ek_select_current(c, s, e);
	c->origin_hit = 0;
}

/* For a slot that has LOOKUP set. `m` is scratch: the caller has the memory. */
static __always_inline void ek_select_using(struct ek_matches *m, struct ek_choice *c,
					    const struct ek_selection *s,
					    const struct ek_surroundings *e)
{
	*c = (struct ek_choice){.stored = -1, .entry_way = EK_WAY_NONE};
	ek_select_find(s, e, m);
	if (s->kind == EK_PACKET_DATAGRAM)
		ek_select_datagram(c, s, e, m);
	else if (s->kind == EK_PACKET_SYN)
		ek_select_syn(c, s, e, m);
	else if (s->kind == EK_PACKET_QUOTED)
		ek_select_quoted(c, s, e, m);
	else
		ek_select_segment(c, s, e, m);
	if (c->entry_way != EK_WAY_NONE && !ek_select_commit(c, s, e))
		ek_select_unstored(c, s, e, m);
	c->removed = m->removed;
}

static __always_inline void ek_select(struct ek_choice *c, const struct ek_selection *s,
				      const struct ek_surroundings *e)
{
	struct ek_matches m;

	ek_select_using(&m, c, s, e);
}

#endif
