/* SPDX-License-Identifier: GPL-2.0-only */
/* Decisions, as an operator sees them. */
#include "render_fixture.h"

#define WHEN "'time':'2026-11-22T12:03:12.345678Z','port':'eth0','length':74"

static const struct render_row rows[] = {
	{"forwarded", ek_render_trace, false,
	 "{" WHEN ",'verdict':'forward','protocol':'tcp','client':'198.51.100.7',"
	 "'client_port':4711,'vip':'192.0.2.10','vip_port':80,'flags':'SYN','service':'web',"
	 "'backend':'web1','address':'10.0.0.11','method':'ipip'}",
	 "12:03:12.345678 eth0 forward tcp 198.51.100.7:4711 > 192.0.2.10:80 SYN, "
	 "web to web1 10.0.0.11 by ipip, 74 bytes\n"},
	{"IPv6, in two VLANs", ek_render_trace, false,
	 "{" WHEN ",'verdict':'forward','vlan':[100,7],'protocol':'udp','client':'2001:db8:1::7',"
	 "'client_port':53,'vip':'2001:db8::10','vip_port':53,'service':'dns','backend':'ns1',"
	 "'address':'fd00::1','method':'gue'}",
	 "12:03:12.345678 eth0 forward vlan 100 vlan 7 udp [2001:db8:1::7]:53 > "
	 "[2001:db8::10]:53, dns to ns1 fd00::1 by gue, 74 bytes\n"},
	{"dropped, after some that were missed", ek_render_trace, false,
	 "{" WHEN ",'verdict':'drop','reason':'no-backend','protocol':'udp',"
	 "'client':'198.51.100.7','client_port':1,'vip':'192.0.2.10','vip_port':2,"
	 "'service':'dns','missed':12}",
	 "(12 missed)\n"
	 "12:03:12.345678 eth0 drop no-backend udp 198.51.100.7:1 > 192.0.2.10:2, dns, 74 bytes\n"},
	{"dropped and answered, in colour", ek_render_trace, true,
	 "{" WHEN ",'verdict':'drop','reason':'unknown-flow','answered':true,'protocol':'tcp'}",
	 "12:03:12.345678 eth0 \033[31mdrop\033[0m unknown-flow (answered) tcp, 74 bytes\n"},
	{"an error about a packet of a client's", ek_render_trace, false,
	 "{" WHEN ",'verdict':'forward','protocol':'icmp','client':'203.0.113.1',"
	 "'vip':'192.0.2.10','icmp_type':3,'icmp_code':4,'about':'198.51.100.7'}",
	 "12:03:12.345678 eth0 forward icmp 203.0.113.1 > 192.0.2.10 type 3 code 4 "
	 "about 198.51.100.7, 74 bytes\n"},
	{"a later fragment", ek_render_trace, false,
	 "{" WHEN ",'verdict':'drop','reason':'fragment','protocol':'udp',"
	 "'client':'198.51.100.7','vip':'192.0.2.10','fragment':true}",
	 "12:03:12.345678 eth0 drop fragment udp 198.51.100.7 > 192.0.2.10 later fragment, "
	 "74 bytes\n"},
	{"no IP packet", ek_render_trace, false, "{" WHEN ",'verdict':'answer','protocol':'arp'}",
	 "12:03:12.345678 eth0 answer arp, 74 bytes\n"},
	{"nothing at all", ek_render_trace, false, "{}", "- - - -, - bytes\n"},
	{"other types, and what steers the terminal", ek_render_trace, false,
	 "{'time':7,'port':'\\u001b[2J','verdict':[],'vlan':'x','client':1,'vip':{},"
	 "'missed':'many'}",
	 "- ?[2J - - - > -, - bytes\n"},
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
