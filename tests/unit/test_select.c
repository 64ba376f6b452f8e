/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every branch of evenkeel/select.h, one packet a row: what is in the bucket, what arrives, where
 * it goes and what the bucket holds then. Backends 1 to 4 are the service's, 9 is another's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>
#include <evenkeel/select.h>

#define HASH	0x1234567890abcdefull
#define NOW	0x14001u /* so that the clock's 14 bits have just wrapped */
#define ISN	0xfffffffeu
#define FOREIGN 9
#define FULL	EK_SERVICE_F_TRACK_FULL
#define OVER	EK_SERVICE_F_OVER_QUOTA
#define RESET	(EK_SERVICE_F_TRACK_FULL | EK_SERVICE_F_RESET)
#define NO_ROOM (1u << 31) /* of `flags`: the other ways are held by others */
#define WAYS	3	   /* that a row looks at */
#define IN	(ISN + 1)
#define LAST_IN (ISN + EK_FLOW_ISN_WINDOW)
#define BEYOND	(ISN + 1 + EK_FLOW_ISN_WINDOW)
#define EMBRYO	EK_FLOW_EMBRYONIC
#define LIVE	EK_FLOW_ESTABLISHED
#define CLOSING EK_FLOW_CLOSING
#define DOWN(b) (1u << (b))

struct held {
	uint8_t state, backend;
	uint16_t age;
};

struct row {
	const char *name;
	enum ek_packet_kind kind;
	uint32_t flags, down;
	uint8_t current, origin;
	uint32_t sequence;
	struct held before[WAYS];
	/* expected */
	uint8_t backend;
	enum ek_drop drop;
	bool origin_hit, unstored, stored;
	struct held after[WAYS];
};

#define SYN	   .kind = EK_PACKET_SYN, .sequence = 7777
#define SYN_AGAIN  .kind = EK_PACKET_SYN, .sequence = ISN
#define DATA	   .kind = EK_PACKET_DATA
#define END	   .kind = EK_PACKET_END
#define REFUSAL	   .kind = EK_PACKET_REFUSAL
#define UDP	   .kind = EK_PACKET_DATAGRAM
#define QUOTED	   .kind = EK_PACKET_QUOTED
#define SLOT(c, o) .current = c, .origin = o
#define HELD(...)  .before = {__VA_ARGS__}
#define LEFT(...)  .after = {__VA_ARGS__}
#define TO(b)	   .backend = b
#define DROP(r)	   .drop = EK_DROP_##r

/* clang-format off */
static const struct row rows[] = {
	/* --- a SYN, no entry --- */
	{"SYN: stored for current", SYN, SLOT(2, 1), TO(2), .stored = true, LEFT({EMBRYO, 2})},
	{"SYN: current is origin again, none is needed", SYN, SLOT(1, 1), TO(1)},
	{"SYN, full tracking: stored even so", SYN, .flags = FULL, SLOT(1, 1), TO(1), .stored = true,
	 LEFT({EMBRYO, 1})},
	{"SYN: current is down", SYN, .down = DOWN(2), SLOT(2, 1), DROP(BACKEND_DOWN)},
	{"SYN: current and origin, the same, is down", SYN, .down = DOWN(1), SLOT(1, 1),
	 DROP(BACKEND_DOWN)},
	{"SYN: no room, to origin", SYN, .flags = NO_ROOM, SLOT(2, 1), TO(1), .origin_hit = true,
	 .unstored = true},
	{"SYN: no room and origin is down", SYN, .flags = NO_ROOM, .down = DOWN(1), SLOT(2, 1),
	 DROP(TABLE_FULL), .unstored = true},
	{"SYN: over quota, to origin", SYN, .flags = OVER, SLOT(2, 1), TO(1), .origin_hit = true,
	 .unstored = true},
	{"SYN, full tracking: no room", SYN, .flags = FULL | NO_ROOM, SLOT(1, 1), TO(1),
	 .origin_hit = true, .unstored = true},
	/* --- a SYN, an embryo --- */
	{"SYN: repeated", SYN_AGAIN, SLOT(2, 1), HELD({EMBRYO, 3, 4}), TO(3), LEFT({EMBRYO, 3, 4})},
	{"SYN: repeated late", SYN_AGAIN, SLOT(2, 1), HELD({EMBRYO, 3, 60}), TO(3),
	 LEFT({EMBRYO, 3, 60})},
	{"SYN: repeated, beside a live entry", SYN_AGAIN, SLOT(2, 1), HELD({LIVE, 4, 9}, {EMBRYO, 3, 4}),
	 TO(3), LEFT({LIVE, 4, 9}, {EMBRYO, 3, 4})},
	{"SYN: repeated, its backend is down meanwhile", SYN_AGAIN, .down = DOWN(3), SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}), TO(2), .stored = true, LEFT({EMBRYO, 2})},
	{"SYN: the first one wins, this one's data will go to origin", SYN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 4}), TO(1), .origin_hit = true, .unstored = true, LEFT({EMBRYO, 3, 4})},
	{"SYN: the first one wins, and origin is down", SYN, .down = DOWN(1), SLOT(2, 1),
	 HELD({EMBRYO, 3, 4}), DROP(TABLE_FULL), .unstored = true, LEFT({EMBRYO, 3, 4})},
	{"SYN: for five ticks", SYN, SLOT(2, 1), HELD({EMBRYO, 3, 5}), TO(2), .stored = true,
	 LEFT({EMBRYO, 2})},
	{"SYN: unless its backend is down", SYN, .down = DOWN(3), SLOT(2, 1), HELD({EMBRYO, 3, 1}),
	 TO(2), .stored = true, LEFT({EMBRYO, 2})},
	{"SYN: unless its backend is another's", SYN, SLOT(2, 1), HELD({EMBRYO, FOREIGN, 1}), TO(2),
	 .stored = true, LEFT({EMBRYO, 2})},
	{"SYN: an old embryo, even if none were needed", SYN, SLOT(1, 1), HELD({EMBRYO, 3, 9}), TO(1),
	 .stored = true, LEFT({EMBRYO, 1})},
	{"SYN: an old embryo needs no room", SYN, .flags = NO_ROOM | OVER, SLOT(2, 1),
	 HELD({EMBRYO, 3, 9}), TO(2), .stored = true, LEFT({EMBRYO, 2})},
	{"SYN: an old embryo, but current is down", SYN, .down = DOWN(2), SLOT(2, 1),
	 HELD({EMBRYO, 3, 9}), DROP(BACKEND_DOWN), LEFT({EMBRYO, 3, 9})},
	{"SYN: an embryo that expired", SYN, SLOT(2, 1), HELD({EMBRYO, 3, 61}), TO(2), .stored = true,
	 LEFT({EMBRYO, 2})},
	{"SYN: an embryo that expired, none is needed", SYN, SLOT(1, 1), HELD({EMBRYO, 3, 61}), TO(1)},
	/* --- a SYN, a live entry --- */
	{"SYN: of a live connection, renews it", SYN, SLOT(2, 1), HELD({LIVE, 3, 50}), TO(3),
	 LEFT({LIVE, 3})},
	{"SYN: right after a FIN", SYN, SLOT(2, 1), HELD({CLOSING, 3, 1}), TO(3), LEFT({LIVE, 3})},
	{"SYN: its port is reused", SYN, SLOT(2, 1), HELD({CLOSING, 3, 2}), TO(2), .stored = true,
	 LEFT({CLOSING, 3, 2}, {EMBRYO, 2})},
	{"SYN: its port is reused, stored although at origin", SYN, SLOT(1, 1), HELD({CLOSING, 3, 2}),
	 TO(1), .stored = true, LEFT({CLOSING, 3, 2}, {EMBRYO, 1})},
	{"SYN: its port is reused, no room", SYN, .flags = NO_ROOM, SLOT(2, 1), HELD({CLOSING, 3, 2}),
	 TO(3), .unstored = true, LEFT({LIVE, 3})},
	{"SYN: its port is reused, current is down", SYN, .down = DOWN(2), SLOT(2, 1),
	 HELD({CLOSING, 3, 2}), DROP(BACKEND_DOWN), LEFT({CLOSING, 3, 2})},
	{"SYN: its port was reused a moment ago", SYN, SLOT(2, 1), HELD({CLOSING, 3, 9}, {EMBRYO, 4, 3}),
	 TO(3), .unstored = true, LEFT({LIVE, 3}, {EMBRYO, 4, 3})},
	{"SYN: its port was reused before", SYN, SLOT(2, 1), HELD({CLOSING, 3, 9}, {EMBRYO, 4, 8}),
	 TO(2), .stored = true, LEFT({CLOSING, 3, 9}, {EMBRYO, 2})},
	{"SYN: a live entry whose backend is down", SYN, .down = DOWN(3), SLOT(2, 1),
	 HELD({LIVE, 3, 5}), TO(2), .stored = true, LEFT({LIVE, 3, 5}, {EMBRYO, 2})},
	{"SYN: the same without room, whose data would go to current", SYN, .flags = NO_ROOM,
	 .down = DOWN(3), SLOT(2, 1), HELD({LIVE, 3, 5}), DROP(TABLE_FULL), .unstored = true,
	 LEFT({LIVE, 3, 5})},
	{"SYN: a live entry of another service", SYN, SLOT(2, 1), HELD({LIVE, FOREIGN, 5}), TO(2),
	 .stored = true, LEFT({LIVE, FOREIGN, 5}, {EMBRYO, 2})},
	{"SYN: a live entry that expired", SYN, SLOT(2, 1), HELD({LIVE, 3, 8101}), TO(2), .stored = true,
	 LEFT({EMBRYO, 2})},
	{"SYN: both expired, neither hides the new one", SYN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 61}, {CLOSING, 4, 121}), TO(2), .stored = true, LEFT({EMBRYO, 2})},
	{"SYN: an expired closing entry, none is needed", SYN, SLOT(1, 1), HELD({CLOSING, 3, 121}), TO(1)},

	/* --- data, no entry --- */
	{"data: older than the change", DATA, SLOT(2, 1), TO(1), .origin_hit = true},
	{"data: origin is down, for now", DATA, .down = DOWN(1), SLOT(2, 1), TO(2)},
	{"data: both are down", DATA, .down = DOWN(1) | DOWN(2), SLOT(2, 1), DROP(BACKEND_DOWN)},
	{"data: current is origin again", DATA, SLOT(1, 1), TO(1), .origin_hit = true},
	{"data: a full table is no matter", DATA, .flags = NO_ROOM, SLOT(2, 1), TO(1),
	 .origin_hit = true},
	{"end: older than the change", END, SLOT(2, 1), TO(1), .origin_hit = true},
	{"data, full tracking: adopted as an embryo", DATA, .flags = FULL, SLOT(2, 1), TO(1),
	 .origin_hit = true, .stored = true, LEFT({EMBRYO, 1})},
	{"data, full tracking: no room", DATA, .flags = FULL | NO_ROOM, SLOT(2, 1), TO(1),
	 .origin_hit = true, .unstored = true},
	{"data, full tracking: origin is down", DATA, .flags = FULL, .down = DOWN(1), SLOT(2, 1), TO(2)},
	{"end, full tracking: not adopted", END, .flags = FULL, SLOT(2, 1), TO(1), .origin_hit = true},
	{"data, full tracking: one embryo is enough", DATA, .flags = FULL, .sequence = BEYOND,
	 SLOT(2, 1), HELD({EMBRYO, 1, 4}), TO(1), .origin_hit = true, LEFT({EMBRYO, 1, 4})},
	{"data, full tracking: for five ticks", DATA, .flags = FULL, .sequence = BEYOND, SLOT(2, 1),
	 HELD({EMBRYO, 3, 5}), TO(1), .origin_hit = true, .stored = true, LEFT({EMBRYO, 1})},
	/* --- data, an embryo --- */
	{"data: completes the handshake", DATA, .sequence = IN, SLOT(2, 1), HELD({EMBRYO, 3, 1}), TO(3),
	 LEFT({LIVE, 3})},
	{"data: at the end of the window", DATA, .sequence = LAST_IN, SLOT(2, 1), HELD({EMBRYO, 3, 1}),
	 TO(3), LEFT({LIVE, 3})},
	{"data: beyond the window", DATA, .sequence = BEYOND, SLOT(2, 1), HELD({EMBRYO, 3, 1}), TO(1),
	 .origin_hit = true, LEFT({EMBRYO, 3, 1})},
	{"data: before the window", DATA, .sequence = ISN, SLOT(2, 1), HELD({EMBRYO, 3, 1}), TO(1),
	 .origin_hit = true, LEFT({EMBRYO, 3, 1})},
	{"data: completes, but its backend is down", DATA, .sequence = IN, .down = DOWN(3), SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}), TO(2), LEFT({LIVE, 3})},
	{"data: completes, of another service", DATA, .sequence = IN, SLOT(2, 1),
	 HELD({EMBRYO, FOREIGN, 1}), TO(1), .origin_hit = true, LEFT({EMBRYO, FOREIGN, 1})},
	{"data: the embryo expired", DATA, .sequence = IN, SLOT(2, 1), HELD({EMBRYO, 3, 61}), TO(1),
	 .origin_hit = true},
	{"end: within the window, a short connection", END, .sequence = IN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}), TO(3), LEFT({CLOSING, 3})},
	{"end: forged, beyond the window", END, .sequence = BEYOND, SLOT(2, 1), HELD({EMBRYO, 3, 1}),
	 TO(1), .origin_hit = true, LEFT({EMBRYO, 3, 1})},
	{"refusal: heard by who answered the SYN", REFUSAL, .sequence = BEYOND, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}), TO(3), LEFT({EMBRYO, 3, 1})},
	{"refusal: also beside the entry of a connection that ended", REFUSAL, .sequence = BEYOND,
	 SLOT(2, 1), HELD({CLOSING, 4, 9}, {EMBRYO, 3, 1}), TO(3),
	 LEFT({CLOSING, 4, 9}, {EMBRYO, 3, 1})},
	{"refusal: also beside an entry whose backend is down", REFUSAL, .sequence = BEYOND,
	 .down = DOWN(4), SLOT(2, 1), HELD({LIVE, 4, 9}, {EMBRYO, 3, 1}), TO(3),
	 LEFT({LIVE, 4, 9}, {EMBRYO, 3, 1})},
	{"refusal: a connection in use keeps its own", REFUSAL, .sequence = BEYOND, SLOT(2, 1),
	 HELD({LIVE, 4, 9}, {EMBRYO, 3, 1}), TO(4), LEFT({CLOSING, 4}, {EMBRYO, 3, 1})},
	{"refusal: who answered the SYN is down", REFUSAL, .sequence = BEYOND, .down = DOWN(3),
	 SLOT(2, 1), HELD({EMBRYO, 3, 1}), TO(1), .origin_hit = true, LEFT({EMBRYO, 3, 1})},
	{"refusal: within the window ends the handshake", REFUSAL, .sequence = IN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}), TO(3), LEFT({CLOSING, 3})},
	{"refusal: older than the change", REFUSAL, SLOT(2, 1), TO(1), .origin_hit = true},
	{"refusal: closing", REFUSAL, SLOT(2, 1), HELD({LIVE, 3, 7}), TO(3), LEFT({CLOSING, 3})},
	{"data: completes, its port was reused", DATA, .sequence = IN, SLOT(2, 1),
	 HELD({CLOSING, 4, 9}, {EMBRYO, 3, 1}), TO(3), LEFT({0}, {LIVE, 3})},
	{"data: completes, wherever the old entry lies", DATA, .sequence = IN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}, {LIVE, 4, 9}), TO(3), LEFT({LIVE, 3})},
	{"data: of the old connection", DATA, .sequence = BEYOND, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}, {LIVE, 4, 9}), TO(4), LEFT({EMBRYO, 3, 1}, {LIVE, 4})},
	{"data: two embryos do not hide a live entry", DATA, .sequence = BEYOND, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}, {EMBRYO, 2, 1}, {LIVE, 4, 9}), TO(4),
	 LEFT({EMBRYO, 3, 1}, {EMBRYO, 2, 1}, {LIVE, 4})},
	/* --- data, a live entry --- */
	{"data: established", DATA, SLOT(2, 1), HELD({LIVE, 3, 7}), TO(3), LEFT({LIVE, 3})},
	{"data: seen in this tick", DATA, SLOT(2, 1), HELD({LIVE, 3, 0}), TO(3), LEFT({LIVE, 3})},
	{"data: at the idle timeout", DATA, SLOT(2, 1), HELD({LIVE, 3, 8100}), TO(3), LEFT({LIVE, 3})},
	{"data: past the idle timeout", DATA, SLOT(2, 1), HELD({LIVE, 3, 8101}), TO(1),
	 .origin_hit = true},
	{"data: its backend is down, keeps its name", DATA, .down = DOWN(3), SLOT(2, 1),
	 HELD({LIVE, 3, 7}), TO(2), LEFT({LIVE, 3})},
	{"data: its backend and current are down", DATA, .down = DOWN(3) | DOWN(2), SLOT(2, 1),
	 HELD({LIVE, 3, 7}), DROP(BACKEND_DOWN), LEFT({LIVE, 3})},
	{"data: the entry is of another service", DATA, SLOT(2, 1), HELD({LIVE, FOREIGN, 7}), TO(1),
	 .origin_hit = true, LEFT({LIVE, FOREIGN, 7})},
	{"end: closing", END, SLOT(2, 1), HELD({LIVE, 3, 7}), TO(3), LEFT({CLOSING, 3})},
	{"end: again", END, SLOT(2, 1), HELD({CLOSING, 3, 7}), TO(3), LEFT({CLOSING, 3})},
	{"end: its backend is down", END, .down = DOWN(3), SLOT(2, 1), HELD({LIVE, 3, 7}), TO(2),
	 LEFT({CLOSING, 3})},
	{"data: the last acknowledgement", DATA, SLOT(2, 1), HELD({CLOSING, 3, 1}), TO(3),
	 LEFT({CLOSING, 3, 1})},
	{"data: half-closed, lives on", DATA, SLOT(2, 1), HELD({CLOSING, 3, 2}), TO(3), LEFT({LIVE, 3})},
	{"data: at the closing timeout", DATA, SLOT(2, 1), HELD({CLOSING, 3, 120}), TO(3),
	 LEFT({LIVE, 3})},
	{"data: past the closing timeout", DATA, SLOT(2, 1), HELD({CLOSING, 3, 121}), TO(1),
	 .origin_hit = true},

	/* --- datagrams, full tracking --- */
	{"UDP: a new flow", UDP, .flags = FULL, SLOT(2, 1), TO(2), .stored = true, LEFT({LIVE, 2})},
	{"UDP: no room", UDP, .flags = FULL | NO_ROOM, SLOT(2, 1), TO(2), .unstored = true},
	{"UDP: over quota", UDP, .flags = FULL | OVER, SLOT(2, 1), TO(2), .unstored = true},
	{"UDP: a new flow, current is down", UDP, .flags = FULL, .down = DOWN(2), SLOT(2, 1),
	 DROP(BACKEND_DOWN)},
	{"UDP: a known flow", UDP, .flags = FULL, SLOT(2, 1), HELD({LIVE, 3, 7}), TO(3), LEFT({LIVE, 3})},
	{"UDP: its backend is down, re-selected", UDP, .flags = FULL, .down = DOWN(3), SLOT(2, 1),
	 HELD({LIVE, 3, 7}), TO(2), LEFT({LIVE, 2})},
	{"UDP: everything is down", UDP, .flags = FULL, .down = DOWN(3) | DOWN(2), SLOT(2, 1),
	 HELD({LIVE, 3, 7}), DROP(BACKEND_DOWN), LEFT({LIVE, 3, 7})},
	{"UDP: expired", UDP, .flags = FULL, SLOT(2, 1), HELD({LIVE, 3, 8101}), TO(2), .stored = true,
	 LEFT({LIVE, 2})},
	{"UDP: the entry is of another service", UDP, .flags = FULL, SLOT(2, 1),
	 HELD({LIVE, FOREIGN, 7}), TO(2), LEFT({LIVE, 2})},

	/* --- no failover: what no entry knows is disowned --- */
	{"data, disowned: nobody knows it", DATA, .flags = RESET, SLOT(2, 1), DROP(UNKNOWN_FLOW)},
	{"data, disowned: although current was always origin", DATA, .flags = RESET, SLOT(1, 1),
	 DROP(UNKNOWN_FLOW)},
	{"data, disowned: whoever is down", DATA, .flags = RESET, .down = DOWN(1) | DOWN(2), SLOT(2, 1),
	 DROP(UNKNOWN_FLOW)},
	{"data, disowned: whatever the table holds", DATA, .flags = RESET | NO_ROOM | OVER, SLOT(2, 1),
	 DROP(UNKNOWN_FLOW)},
	{"end, disowned: nobody knows it", END, .flags = RESET, SLOT(2, 1), DROP(UNKNOWN_FLOW)},
	{"data, disowned: beyond the embryo's window, which stays", DATA, .flags = RESET,
	 .sequence = BEYOND, SLOT(2, 1), HELD({EMBRYO, 3, 1}), DROP(UNKNOWN_FLOW),
	 LEFT({EMBRYO, 3, 1})},
	{"data, disowned: an old embryo stays too", DATA, .flags = RESET, .sequence = ISN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 60}), DROP(UNKNOWN_FLOW), LEFT({EMBRYO, 3, 60})},
	{"end, disowned: beyond the embryo's window", END, .flags = RESET, .sequence = BEYOND,
	 SLOT(2, 1), HELD({EMBRYO, 3, 1}), DROP(UNKNOWN_FLOW), LEFT({EMBRYO, 3, 1})},
	{"data, disowned: the embryo expired", DATA, .flags = RESET, .sequence = IN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 61}), DROP(UNKNOWN_FLOW)},
	{"data, disowned: past the idle timeout", DATA, .flags = RESET, SLOT(2, 1),
	 HELD({LIVE, 3, 8101}), DROP(UNKNOWN_FLOW)},
	{"data, disowned: past the closing timeout", DATA, .flags = RESET, SLOT(2, 1),
	 HELD({CLOSING, 3, 121}), DROP(UNKNOWN_FLOW)},
	{"data, disowned: the entry is of another service", DATA, .flags = RESET, SLOT(2, 1),
	 HELD({LIVE, FOREIGN, 7}), DROP(UNKNOWN_FLOW), LEFT({LIVE, FOREIGN, 7})},
	{"data, no failover: completes the handshake", DATA, .flags = RESET, .sequence = IN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}), TO(3), LEFT({LIVE, 3})},
	{"end, no failover: a short connection", END, .flags = RESET, .sequence = IN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}), TO(3), LEFT({CLOSING, 3})},
	{"data, no failover: established", DATA, .flags = RESET, SLOT(2, 1), HELD({LIVE, 3, 7}), TO(3),
	 LEFT({LIVE, 3})},
	{"data, no failover: established, beside an embryo", DATA, .flags = RESET, .sequence = BEYOND,
	 SLOT(2, 1), HELD({EMBRYO, 3, 1}, {LIVE, 4, 9}), TO(4), LEFT({EMBRYO, 3, 1}, {LIVE, 4})},
	{"data, no failover: its backend is down, keeps its name", DATA, .flags = RESET,
	 .down = DOWN(3), SLOT(2, 1), HELD({LIVE, 3, 7}), TO(2), LEFT({LIVE, 3})},
	{"data, no failover: the last acknowledgement", DATA, .flags = RESET, SLOT(2, 1),
	 HELD({CLOSING, 3, 1}), TO(3), LEFT({CLOSING, 3, 1})},
	{"end, no failover: closing", END, .flags = RESET, SLOT(2, 1), HELD({LIVE, 3, 7}), TO(3),
	 LEFT({CLOSING, 3})},
	{"SYN, no failover: stored", SYN, .flags = RESET, SLOT(1, 1), TO(1), .stored = true,
	 LEFT({EMBRYO, 1})},
	{"SYN, no failover: no room, its data would be disowned", SYN, .flags = RESET | NO_ROOM,
	 SLOT(2, 1), DROP(TABLE_FULL), .unstored = true},
	{"SYN, no failover: over quota", SYN, .flags = RESET | OVER, SLOT(1, 1), DROP(TABLE_FULL),
	 .unstored = true},
	{"SYN, no failover: the first one wins", SYN, .flags = RESET, SLOT(2, 1), HELD({EMBRYO, 3, 4}),
	 DROP(TABLE_FULL), .unstored = true, LEFT({EMBRYO, 3, 4})},
	{"SYN, no failover: for five ticks", SYN, .flags = RESET, SLOT(2, 1), HELD({EMBRYO, 3, 5}),
	 TO(2), .stored = true, LEFT({EMBRYO, 2})},
	{"SYN, no failover: repeated", SYN_AGAIN, .flags = RESET, SLOT(2, 1), HELD({EMBRYO, 3, 4}),
	 TO(3), LEFT({EMBRYO, 3, 4})},
	{"SYN, no failover: of a live connection", SYN, .flags = RESET, SLOT(2, 1), HELD({LIVE, 3, 50}),
	 TO(3), LEFT({LIVE, 3})},
	{"SYN, no failover: its port is reused, no room", SYN, .flags = RESET | NO_ROOM, SLOT(2, 1),
	 HELD({CLOSING, 3, 2}), TO(3), .unstored = true, LEFT({LIVE, 3})},
	{"UDP, no failover: a new flow", UDP, .flags = RESET, SLOT(2, 1), TO(2), .stored = true,
	 LEFT({LIVE, 2})},
	{"UDP, no failover: re-selected", UDP, .flags = RESET, .down = DOWN(3), SLOT(2, 1),
	 HELD({LIVE, 3, 7}), TO(2), LEFT({LIVE, 2})},
	{"UDP, no failover: no room", UDP, .flags = RESET | NO_ROOM, SLOT(2, 1), TO(2),
	 .unstored = true},

	/* --- quoted by an ICMP error: to whom the flow's packets go, and nothing changes --- */
	{"quoted: nobody knows it, older than the change", QUOTED, SLOT(2, 1), TO(1)},
	{"quoted: origin is down", QUOTED, .down = DOWN(1), SLOT(2, 1), TO(2)},
	{"quoted: both are down", QUOTED, .down = DOWN(1) | DOWN(2), SLOT(2, 1), DROP(BACKEND_DOWN)},
	{"quoted, full tracking: nothing is stored", QUOTED, .flags = FULL, SLOT(2, 1), TO(1)},
	{"quoted, no failover: and nothing refused", QUOTED, .flags = RESET, SLOT(2, 1), TO(1)},
	{"quoted: an established flow, no younger for it", QUOTED, SLOT(2, 1), HELD({LIVE, 3, 7}), TO(3),
	 LEFT({LIVE, 3, 7})},
	{"quoted: a closing one, which stays so", QUOTED, SLOT(2, 1), HELD({CLOSING, 3, 7}), TO(3),
	 LEFT({CLOSING, 3, 7})},
	{"quoted: of a handshake, which it does not complete", QUOTED, .sequence = IN, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}), TO(3), LEFT({EMBRYO, 3, 1})},
	{"quoted: of two entries, the established one's", QUOTED, SLOT(2, 1),
	 HELD({EMBRYO, 3, 1}, {LIVE, 4, 9}), TO(4), LEFT({EMBRYO, 3, 1}, {LIVE, 4, 9})},
	{"quoted: its backend is down, as its data", QUOTED, .down = DOWN(3), SLOT(2, 1),
	 HELD({LIVE, 3, 7}), TO(2), LEFT({LIVE, 3, 7})},
	{"quoted: its backend and current are down", QUOTED, .down = DOWN(3) | DOWN(2), SLOT(2, 1),
	 HELD({LIVE, 3, 7}), DROP(BACKEND_DOWN), LEFT({LIVE, 3, 7})},
	{"quoted: the entry is of another service", QUOTED, SLOT(2, 1), HELD({LIVE, FOREIGN, 7}), TO(1),
	 LEFT({LIVE, FOREIGN, 7})},
	{"quoted: past the idle timeout", QUOTED, SLOT(2, 1), HELD({LIVE, 3, 8101}), TO(1)},
	{"quoted: over quota, and no room, is no matter", QUOTED, .flags = FULL | OVER | NO_ROOM,
	 SLOT(2, 1), TO(1)},
};
/* clang-format on */

static int flags_of(void *context, __u32 backend)
{
	const struct row *row = context;

	if (backend == FOREIGN)
		return -1;
	return row->down >> backend & 1 ? EK_NEXTHOP_RESOLVED : (int)EK_NEXTHOP_USABLE;
}

static struct ek_flow_key *key_of(void *context, __u32 way)
{
	static struct ek_flow_key key = {.isn = ISN};

	(void)context;
	assert_in_range(way, 0, EK_FLOW_WAYS - 1);
	return &key;
}

static __u64 entry_of(const struct held *held)
{
	return held->state ? ek_flow_entry(HASH, held->backend, held->state, NOW - held->age) : 0;
}

static void fill(struct ek_flow_bucket *bucket, const struct row *row)
{
	memset(bucket, 0, sizeof(*bucket));
	for (int way = 0; way < EK_FLOW_WAYS; way++) {
		if (way < WAYS)
			bucket->entry[way] = entry_of(&row->before[way]);
		if (row->flags & NO_ROOM && !bucket->entry[way])
			bucket->entry[way] = ek_flow_entry(~HASH, 1, EK_FLOW_CLOSING, NOW - 99);
	}
}

static bool is_as_expected(const struct row *row, const struct ek_choice *c,
			   const struct ek_flow_bucket *bucket)
{
	for (int way = 0; way < WAYS; way++) {
		bool others = (bucket->entry[way] ^ ~HASH) >> 31 == 0;

		if ((others ? 0 : bucket->entry[way]) != entry_of(&row->after[way]))
			return false;
	}
	return c->backend == row->backend && c->drop == row->drop &&
	       c->origin_hit == row->origin_hit && c->unstored == row->unstored &&
	       (c->stored >= 0) == row->stored;
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct ek_service service = {.flags = row->flags & ~NO_ROOM,
					     .timeout = {0, 60, 8100, 120}};
		struct ek_flow_bucket bucket;
		struct ek_surroundings around = {flags_of, key_of, (void *)row, &service, &bucket};
		struct ek_selection s = {.hash = HASH,
					 .slot = ek_slot(row->current, row->origin, true),
					 .now = NOW,
					 .sequence = row->sequence,
					 .kind = row->kind};
		struct ek_choice c;

		fill(&bucket, row);
		ek_select(&c, &s, &around);
		if (!is_as_expected(row, &c, &bucket))
			fail_msg("%s: to %u, drop %d, hit %d, unstored %d, stored %d; %llx %llx "
				 "%llx",
				 row->name, c.backend, c.drop, c.origin_hit, c.unstored, c.stored,
				 bucket.entry[0], bucket.entry[1], bucket.entry[2]);
	}
}

static const struct {
	const char *source;
	bool is_reset, told;
} told_rows[] = {
	{"198.51.100.7", false, true},
	{"198.51.100.7", true, false},
	{"1.0.0.0", false, true},
	{"223.255.255.255", false, true},
	{"126.255.255.255", false, true},
	{"128.0.0.1", false, true},
	{"0.0.0.0", false, false},
	{"0.255.255.255", false, false},
	{"127.0.0.1", false, false},
	{"224.0.0.1", false, false},
	{"239.255.255.255", false, false},
	{"240.0.0.1", false, false},
	{"255.255.255.255", false, false},
	{"2001:db8:1::7", false, true},
	{"2001:db8:1::7", true, false},
	{"fe80::7", false, true},
	{"fdff::7", false, true},
	{"::", false, false},
	{"::1", false, false},
	{"::192.0.2.1", false, false},
	{"ff02::1", false, false},
	{"ff0e::1", false, false},
};

static void test_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(told_rows) / sizeof(told_rows[0]); i++) {
		struct ek_ip ip = {.words[2] = htonl(0xffff)};

		if (inet_pton(AF_INET, told_rows[i].source, &ip.words[3]) != 1)
			assert_int_equal(inet_pton(AF_INET6, told_rows[i].source, &ip), 1);
		if (!!ek_select_is_told(&ip, told_rows[i].is_reset) != told_rows[i].told)
			fail_msg("%s, RST %d", told_rows[i].source, told_rows[i].is_reset);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
					   cmocka_unit_test(test_told)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
