/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of a client's packets, as an operator sees it. */
#include "render_fixture.h"

#define FLOW                                                                                  \
	"'service':'web','address':'192.0.2.10','port':80,'protocol':'tcp','tracking':"       \
	"'just-enough','client':'198.51.100.7','client_port':4711,'hash':'c558f15cfc304e83'," \
	"'bucket':20099"
#define FLOW_TEXT                                                                  \
	"web: 192.0.2.10:80/tcp, tracking just-enough; client 198.51.100.7:4711\n" \
	"hash c558f15cfc304e83: slot 4711 of the ring, bucket 20099 of the table\n"
#define OUTER                                                                                     \
	"{'source':'10.0.0.1','destination':'10.0.0.11','mac':'02:00:00:00:00:01','nexthop_mac':" \
	"'02:00:00:00:00:02','interface':'eth0','bytes':20,'room':1480}"
#define OUTER_TEXT                                                                        \
	"  outer header 10.0.0.1 > 10.0.0.11, 20 bytes; inner packets up to 1480 bytes\n" \
	"  out by eth0, 02:00:00:00:00:01 > 02:00:00:00:00:02\n"

static const struct render_row rows[] = {
	{"a slot that remembers nothing", ek_render_explain, false,
	 "{" FLOW ",'slot':{'index':4711,'current':'web1','origin':'web1','remembers':false,"
	 "'why':'no connection needs an earlier choice','last_hit':null},'entries':[],"
	 "'packets':[{'packet':'ack','verdict':'forward','backend':'web1','why':'slot 4711 "
	 "remembers nothing','outer':" OUTER "}],'backends':[{'name':'web1','address':'10.0.0.11',"
	 "'health':'up','why':'connected','since':'2026-11-22T12:00:00Z','nexthop':'resolved',"
	 "'draining':false,'history':[{'health':'up','at':'2026-11-22T12:00:00Z','why':'connected'}"
	 ","
	 "{'health':'down','at':'2026-11-22T11:59:00Z','why':'refused'}]}]}",
	 FLOW_TEXT "slot: current web1; remembers nothing: no connection needs an earlier choice\n"
		   "\n"
		   "ack: to web1\n"
		   "  slot 4711 remembers nothing\n" OUTER_TEXT "\n"
		   "  BACKEND  ADDRESS    HEALTH  SINCE  WHY\n"
		   "  web1     10.0.0.11  up      3m12s  connected\n"
		   "  web1: up 3m12s ago (connected), down 4m12s ago (refused)\n"},
	{"one that remembers, an entry, a drop", ek_render_explain, false,
	 "{" FLOW ",'slot':{'index':4711,'current':'web2','origin':'web1','remembers':true,"
	 "'why':'the choice changed from web1 to web2','last_hit':12},"
	 "'entries':[{'backend':'web2','state':'closing','age':null,'idle':3,'expires':117}],"
	 "'packets':[{'packet':'syn','verdict':'drop','drop':'table-full','description':'no room',"
	 "'why':'it finds no room','outer':null}],'backends':[{'name':'web1','health':'down',"
	 "'draining':true,'nexthop':'unresolved','why':'refused'}]}",
	 FLOW_TEXT
	 "slot: current web2, origin web1; looks up: the choice changed from web1 to web2; "
	 "origin last needed 12s ago\n"
	 "entry: web2, closing; - old, idle 3s, expires in 1m57s\n"
	 "\n"
	 "syn: dropped as table-full (no room)\n"
	 "  it finds no room\n"
	 "\n"
	 "  BACKEND  ADDRESS  HEALTH  SINCE  WHY\n"
	 "  web1     -        down        -  draining; refused; next hop unresolved\n"},
	{"no entry; an example port; full tracking", ek_render_explain, false,
	 "{" FLOW ",'port_assumed':true,'slot':{'index':1,'current':'web1','origin':'web1',"
	 "'remembers':true,'why':'the service tracks every connection','last_hit':3},'entries':[],"
	 "'packets':[]}",
	 "web: 192.0.2.10:80/tcp, tracking just-enough; client 198.51.100.7:4711 (an example: each "
	 "port is a connection of its own)\n"
	 "hash c558f15cfc304e83: slot 1 of the ring, bucket 20099 of the table\n"
	 "slot: current web1, origin web1; looks up: the service tracks every connection\n"
	 "entry: none\n"},
	{"a segment that is answered with RST, an RST that is not", ek_render_explain, false,
	 "{" FLOW ",'slot':{'index':4711,'current':'web1','origin':'web1','remembers':true,"
	 "'why':'the service tracks every connection','last_hit':3},'entries':[],'packets':["
	 "{'packet':'ack','verdict':'reset','drop':'unknown-flow','description':'not known',"
	 "'why':'no entry knows it','outer':null},{'packet':'rst','verdict':'drop','drop':"
	 "'unknown-flow','description':'not known','why':'no entry knows it','outer':null}]}",
	 FLOW_TEXT
	 "slot: current web1, origin web1; looks up: the service tracks every connection\n"
	 "entry: none\n"
	 "\n"
	 "ack: answered with RST as unknown-flow (not known)\n"
	 "  no entry knows it\n"
	 "\n"
	 "rst: dropped as unknown-flow (not known)\n"
	 "  no entry knows it\n"},
	{"any protocol: a pair of addresses", ek_render_explain, false,
	 "{'service':'vpn','address':'192.0.2.1','port':0,'protocol':'any','tracking':'full',"
	 "'client':'198.51.100.7','client_port':40000,'port_assumed':true,'hash':'0','bucket':1,"
	 "'slot':{'index':2,'current':'gw1','remembers':false,'why':'none'},'packets':[]}",
	 "vpn: 192.0.2.1, any protocol, tracking full; client 198.51.100.7\n"
	 "hash 0: slot 2 of the ring, bucket 1 of the table\n"
	 "slot: current gw1; remembers nothing: none\n"},
	{"not ours", ek_render_explain, false, "{'packets':[{'packet':'syn','verdict':'pass'}]}",
	 "-: -:-/-, tracking -; client -:-\n"
	 "hash -: slot - of the ring, bucket - of the table\n"
	 "slot: current -; remembers nothing: -\n"
	 "\n"
	 "syn: not ours, to this host's stack\n"},
};

static void test_rows(void **state)
{
	(void)state;
	check_rows(rows, sizeof(rows) / sizeof(*rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
