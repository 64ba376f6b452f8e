/* SPDX-License-Identifier: GPL-2.0-only */
/* Several nodes that stand in for each other, as an operator sees them. */
#include "render_fixture.h"

#define NODE                                                                             \
	"'node':'lb2','health':'up','why':'all is well','disabled':false,'stay':'none'," \
	"'fail_safe':false,'services':'30f7','services_from':'primary',"                 \
	"'flips':{'count':2,'max':3,'window':600,'exhausted':false},"                    \
	"'continuity':{'unmirrored':0,'window_ms':0.0,'window_max_ms':0.0,'waiting':false}"
#define NODE_TEXT                                                                               \
	"lb2: up (all is well); enabled, stay none; services of the primary; 2 flips, at most " \
	"3 in 10m0s\n"                                                                          \
	"continuity: 0 ring changes took effect before a peer knew\n"
#define INSTANCE                                                                        \
	"'name':'front','vrid':51,'interface':'eth0','priority':100,'interval_ms':100," \
	"'since':'2026-11-22T12:00:00Z','announce':'arp','dead_ms':300"
#define SECONDARY                                                                 \
	INSTANCE                                                                  \
	",'role':'secondary','why':'waits','vips':['192.0.2.10','2001:db8::10']," \
	"'claims':1,'yields':0,'lease_ms':null,'master':'10.2.0.10','master_priority':150"
#define TABLE(instance) "{'instances':[{" instance "}]}"
#define EMPTY_NODE                                          \
	"-: - (-); -, stay -; services of the -; - flips\n" \
	"continuity: - ring changes took effect before a peer knew\n"
#define SECONDARY_TEXT                                                                             \
	"\n"                                                                                       \
	"  INSTANCE  VRID  ROLE       SINCE  PRIORITY  INTERVAL  LEASE  ANNOUNCE  MASTER       "   \
	"    WHY\n"                                                                                \
	"  front       51  secondary  3m12s       100    100 ms      -  arp       10.2.0.10 (150)" \
	"  waits\n"                                                                                \
	"front on eth0: 192.0.2.10, 2001:db8::10; 1 claim, 0 yields\n"
#define PATH(interface, heard, silent)                                                          \
	"{'interface':'" interface "','family':'ipv4','open':true,'sent':0,'heard':" heard ",'" \
	"silent_ms':" silent "}"
#define MIRROR                                                                                    \
	"'mirror':{'entries_sent':12,'entries_received':3,'slots_sent':65537,'slots_received':0," \
	"'unsent':0,'tables':1,'unplaced':4,'unknown':0,'missed':0,'lag_ms':0.31,"                \
	"'lag_max_ms':120.4}"
#define PEER                                                                                \
	"'name':'lb1','channel':true,'connected':true,'synced':true,'synced_with_us':true," \
	"'health':'up','disabled':false,'stay':'none','services':'same'"

#define NO_MIRROR_TEXT                                                             \
	"  mirror: entries - sent, - received; slots - sent, - received; - whole " \
	"tables sent\n  mirror: - unsent, - unplaced, - unknown, - missed\n"

static const struct render_row rows[] = {
	{"a secondary, its track and its peer", ek_render_ha, false,
	 "{" NODE ",'instances':[{" SECONDARY ",'refused':{},'paths':[" PATH(
		 "eth0", "12",
		 "37") "]}],"
		       "'tracks':[{'name':'eth0','state':'ok','since':'2026-11-22T12:00:00Z','why':"
		       "'eth0 is up'},"
		       "{'name':'a default route','state':'failed','since':null,'why':'no route to "
		       "0.0.0.0/0'}],"
		       "'peers':[{" PEER
		       ",'why':'','refused':'','links':[{'address':'10.2.0.10','state':'up',"
		       "'active':true,'since':'2026-11-22T12:00:00Z','why':'','sent':9,'received':"
		       "18,'backlog':0},"
		       "{'address':'2001:db8::a','state':'refused','active':false,'since':null,'"
		       "why':'wrong "
		       "secret','sent':0,'received':0,'backlog':0}]," MIRROR "}]}",
	 NODE_TEXT SECONDARY_TEXT
	 "  heartbeat eth0 ipv4: 0 sent, 12 heard, silent for 37 ms\n"
	 "\n"
	 "  TRACK            STATE   SINCE  WHY\n"
	 "  eth0             ok      3m12s  eth0 is up\n"
	 "  a default route  failed      -  no route to 0.0.0.0/0\n"
	 "\n"
	 "peer lb1: connected, in sync both ways; up; services: same\n"
	 "  LINK         STATE    ACTIVE  SINCE  SENT  RECEIVED  BACKLOG  WHY\n"
	 "  10.2.0.10    up       active  3m12s     9        18        0  -\n"
	 "  2001:db8::a  refused  -           -     0         0        0  wrong secret\n"
	 "  mirror: entries 12 sent, 3 received; slots 65537 sent, 0 received; 1 whole table sent; "
	 "lag 0.3 ms, 120 ms at most\n"
	 "  mirror: 0 unsent, 4 unplaced, 0 unknown, 0 missed\n"},
	{"an operator's word, fail-safe, too many flips, changes that were not mirrored",
	 ek_render_ha, false,
	 "{'node':'lb2','health':'partial-fail','why':'eth0: no carrier','disabled':true,"
	 "'stay':'stay-secondary','fail_safe':true,'services_from':'file','flips':{'count':1,'max':"
	 "1,'window':60,'exhausted':true},'continuity':{'unmirrored':1,'window_ms':12.34,"
	 "'window_max_ms':20000.0,'waiting':true}}",
	 "lb2: partial-fail (eth0: no carrier); disabled, stay-secondary, fail-safe; services of "
	 "the file; 1 flip, at most 1 in 1m0s: reached\n"
	 "continuity: 1 ring change took effect before a peer knew, for 12.3 ms the last time, 20s "
	 "at most; one waits for a peer now\n"},
	{"as many flips as it likes", ek_render_ha, false,
	 "{'flips':{'count':7,'max':0,'window':0}}",
	 "-: - (-); -, stay -; services of the -; 7 flips\n"
	 "continuity: - ring changes took effect before a peer knew\n"},
	{"a secondary that misses one of its paths, and one that it never heard", ek_render_ha,
	 false,
	 TABLE(SECONDARY ",'paths':[" PATH("eth0", "9", "300") "," PATH(
		 "sync", "5", "301") "," PATH("eth1", "0", "null") "]"),
	 EMPTY_NODE SECONDARY_TEXT
	 "  heartbeat eth0 ipv4: 0 sent, 9 heard, silent for 300 ms\n"
	 "  alarm: heartbeat sync ipv4: 0 sent, 5 heard, silent for 301 ms\n"
	 "  alarm: heartbeat eth1 ipv4: 0 sent, 0 heard\n"},
	{"a secondary that misses all of them: the primary is gone, not a path", ek_render_ha,
	 false,
	 TABLE(SECONDARY ",'paths':[" PATH("eth0", "9", "12000") "," PATH("sync", "5", "301") "]"),
	 EMPTY_NODE SECONDARY_TEXT "  heartbeat eth0 ipv4: 0 sent, 9 heard, silent for 12s\n"
				   "  heartbeat sync ipv4: 0 sent, 5 heard, silent for 301 ms\n"},
	{"a primary is not spoken to, whatever it heard lately; its lease runs", ek_render_ha,
	 false,
	 TABLE(INSTANCE
	       ",'role':'primary','why':'fine','vips':[],'claims':2,'yields':1,"
	       "'lease_ms':263,'paths':[" PATH("eth0", "9", "2") "," PATH("sync", "5", "9000") "]"),
	 EMPTY_NODE
	 "\n"
	 "  INSTANCE  VRID  ROLE     SINCE  PRIORITY  INTERVAL   LEASE  ANNOUNCE  MASTER  WHY\n"
	 "  front       51  primary  3m12s       100    100 ms  263 ms  arp       -       fine\n"
	 "front on eth0:; 2 claims, 1 yield\n"
	 "  heartbeat eth0 ipv4: 0 sent, 9 heard, silent for 2 ms\n"
	 "  heartbeat sync ipv4: 0 sent, 5 heard, silent for 9000 ms\n"},
	{"refusals by name, a path that is not open, a master that resigned", ek_render_ha, false,
	 TABLE(INSTANCE ",'role':'claiming','why':'waits','vips':['192.0.2.10'],'claims':0,"
			"'yields':0,'master':'fe80::1','master_priority':0,'refused':{'wrong "
			"checksum':3,'our own':12,'truncated':0},'paths':[{'interface':'unicast',"
			"'family':'ipv6','open':false,'sent':0,'heard':0,'silent_ms':null}]"),
	 EMPTY_NODE
	 "\n"
	 "  INSTANCE  VRID  ROLE      SINCE  PRIORITY  INTERVAL  LEASE  ANNOUNCE  MASTER           "
	 "   WHY\n"
	 "  front       51  claiming  3m12s       100    100 ms      -  arp       fe80::1 "
	 "(resigned)  waits\n"
	 "front on eth0: 192.0.2.10; 0 claims, 0 yields\n"
	 "  alarm: heartbeat unicast ipv6: 0 sent, 0 heard, cannot be opened\n"
	 "  adverts refused: wrong checksum 3, our own 12\n"},
	{"peers in trouble", ek_render_ha, false,
	 "{'peers':[{'name':'a','channel':false,'connected':false},{'name':'b','channel':true,"
	 "'connected':false,'why':'','refused':'','links':[]},{'name':'c','channel':true,"
	 "'connected':true,'synced':true,'synced_with_us':false,'health':'complete-fail',"
	 "'disabled':true,'stay':'stay-secondary','services':'other format','why':'its "
	 "configuration has format 2 and ours 1: not taken','refused':'weight: no such backend'},"
	 "{'name':'d','connected':true,'synced':false,'synced_with_us':true},"
	 "{'name':'e','connected':true,'health':'unknown','services':'different'}]}",
	 EMPTY_NODE
	 "\n"
	 "peer a: heartbeats only, no channel\n"
	 "\n"
	 "peer b: not connected\n" NO_MIRROR_TEXT "\n"
	 "peer c: connected, in sync here, not there; complete-fail, disabled, stay-secondary; "
	 "services: other format\n"
	 "  its configuration has format 2 and ours 1: not taken\n"
	 "  it refused a command: weight: no such backend\n" NO_MIRROR_TEXT "\n"
	 "peer d: connected, in sync there, not here; -; services: -\n" NO_MIRROR_TEXT "\n"
	 "peer e: connected, not in sync; unknown; services: different\n" NO_MIRROR_TEXT},
	{"colours", ek_render_ha, true,
	 "{'node':'lb2','health':'up','disabled':true,'stay':'stay-primary','instances':[{'role':"
	 "'primary','announce':'arp','lease_ms':null}],'tracks':[{'state':'failed'}],"
	 "'peers':[{'name':'lb1','connected':true,'synced':true,'synced_with_us':true,'health':"
	 "'partial-fail','services':'same','why':'no'}]}",
	 "\033[1mlb2\033[0m: \033[32mup\033[0m (-); \033[33mdisabled\033[0m, "
	 "\033[33mstay-primary\033[0m; services of the -; - flips\n"
	 "continuity: - ring changes took effect before a peer knew\n"
	 "\n"
	 "  \033[1mINSTANCE\033[0m  \033[1mVRID\033[0m  \033[1mROLE\033[0m     \033[1mSINCE\033[0m "
	 " "
	 "\033[1mPRIORITY\033[0m  \033[1mINTERVAL\033[0m  \033[1mLEASE\033[0m  "
	 "\033[1mANNOUNCE\033[0m  \033[1mMASTER\033[0m  \033[1mWHY\033[0m\n"
	 "  -            -  \033[32mprimary\033[0m      -         -         -   "
	 "\033[31mnone\033[0m  "
	 "arp       -       -\n"
	 "\033[1m-\033[0m on -:; - claims, - yields\n"
	 "\n"
	 "  \033[1mTRACK\033[0m  \033[1mSTATE\033[0m   \033[1mSINCE\033[0m  \033[1mWHY\033[0m\n"
	 "  -      \033[31mfailed\033[0m      -  -\n"
	 "\n"
	 "peer \033[1mlb1\033[0m: \033[32mconnected\033[0m, \033[32min sync both ways\033[0m; "
	 "\033[33mpartial-fail\033[0m; services: same\n"
	 "\033[31m  no\033[0m\n" NO_MIRROR_TEXT},
	{"an answer without anything", ek_render_ha, false, "{}", EMPTY_NODE},
	{"objects without members", ek_render_ha, false,
	 "{'instances':[{}],'tracks':[{}],'peers':[{}],'flips':null}",
	 EMPTY_NODE
	 "\n"
	 "  INSTANCE  VRID  ROLE  SINCE  PRIORITY  INTERVAL  LEASE  ANNOUNCE  MASTER  WHY\n"
	 "  -            -  -         -         -         -      -  -         -       -\n"
	 "- on -:; - claims, - yields\n"
	 "\n"
	 "  TRACK  STATE  SINCE  WHY\n"
	 "  -      -          -  -\n"
	 "\n"
	 "peer -: not connected\n" NO_MIRROR_TEXT},
	{"members of other types", ek_render_ha, false,
	 "{'node':7,'disabled':'yes','stay':[],'flips':3,'continuity':'x','instances':[{'paths':[1]"
	 ","
	 "'vips':[7],'refused':{'a':'b'},'lease_ms':-4,'interval_ms':1e300,'master_priority':'x',"
	 "'master':'m'}],'tracks':7,'peers':'none'}",
	 EMPTY_NODE
	 "\n"
	 "  INSTANCE  VRID  ROLE  SINCE  PRIORITY     INTERVAL  LEASE  ANNOUNCE  MASTER  WHY\n"
	 "  -            -  -         -         -  11574074d1h      -  -         m (-)   -\n"
	 "- on -: -; - claims, - yields\n"
	 "  heartbeat - -: - sent, - heard\n"},
	{"an array", ek_render_ha, false, "[]", EMPTY_NODE},
	{"what became of a failover", ek_render_ha_failover, false,
	 "{'node':'lb1','instances':[{'name':'front','role':'secondary','why':'stepped aside'},"
	 "{'name':'back','role':'claiming','why':'waits'}]}",
	 "lb1: front is secondary (stepped aside), back is claiming (waits)\n"},
	{"a word that was heard", ek_render_ha_word, false,
	 "{'node':'lb1','disabled':false,'stay':'stay-primary','instances':[{'name':'front','role':"
	 "'primary','why':'stay-primary'}]}",
	 "lb1: enabled, stay-primary; front is primary (stay-primary)\n"},
	{"another, without instances", ek_render_ha_word, true,
	 "{'node':'lb1','disabled':true,'stay':'none'}",
	 "\033[1mlb1\033[0m: \033[33mdisabled\033[0m, stay none\n"},
	{"words without anything", ek_render_ha_word, false, "{}", "-: -, stay -\n"},
	{"and of a failover", ek_render_ha_failover, false, "{}", "-: \n"},
};

static void test_rows(void **state)
{
	(void)state;
	check_rows(rows, sizeof(rows) / sizeof(*rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
