/* SPDX-License-Identifier: GPL-2.0-only */
/* The connection table, as an operator sees it. */
#include "render_fixture.h"

#define FLOW4                                                                               \
	"{'service':'web','backend':'web1','protocol':'tcp','client':'198.51.100.7',"       \
	"'client_port':4711,'vip':'192.0.2.10','port':80,'state':'established','age':4000," \
	"'idle':3}"
#define FLOW6                                                                         \
	"{'service':'dns','backend':'ns2','protocol':'udp','client':'2001:db8:1::7'," \
	"'client_port':53,'vip':'2001:db8::10','port':53,'state':'established','age':0,'idle':0}"

static const struct render_row rows[] = {
	{"flows of both families", ek_render_flows, false,
	 "{'flows':[" FLOW4 "," FLOW6 "],'matched':2,'in_flux':0}",
	 "  PROTO  CLIENT              VIP                SERVICE  BACKEND  STATE         AGE  "
	 "IDLE\n"
	 "  tcp    198.51.100.7:4711   192.0.2.10:80      web      web1     established  1h6m    "
	 "3s\n"
	 "  udp    [2001:db8:1::7]:53  [2001:db8::10]:53  dns      ns2      established    0s    "
	 "0s\n"
	 "2 flows\n"},
	{"more than the limit, and some in flux", ek_render_flows, false,
	 "{'flows':[{}],'matched':40321,'in_flux':2}",
	 "  PROTO  CLIENT  VIP  SERVICE  BACKEND  STATE  AGE  IDLE\n"
	 "  -      -:-     -:-  -        -        -        -     -\n"
	 "40321 flows, of which the first 1 found are shown; 2 left out: just being stored\n"},
	{"none", ek_render_flows, false, "{'flows':[],'matched':0,'in_flux':0}", "0 flows\n"},
	{"counts", ek_render_flows, false,
	 "{'counts':[{'service':'web','backend':'web1','embryonic':1,'established':20,'closing':3},"
	 "{'service':'web','backend':'web2','embryonic':0,'established':0,'closing':0}],"
	 "'matched':24,'in_flux':0}",
	 "  SERVICE  BACKEND  EMBRYONIC  ESTABLISHED  CLOSING\n"
	 "  web      web1             1           20        3\n"
	 "  web      web2             0            0        0\n"
	 "24 flows\n"},
	{"counted, and a single one", ek_render_flows, false, "{'counts':[],'matched':1}",
	 "1 flow\n"},
	{"a name that steers the terminal", ek_render_flows, false,
	 "{'counts':[{'service':'\\u001b[2J','backend':'b'}],'matched':0}",
	 "  SERVICE  BACKEND  EMBRYONIC  ESTABLISHED  CLOSING\n"
	 "  ?[2J     b                -            -        -\n"
	 "0 flows\n"},
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
