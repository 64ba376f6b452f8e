/* SPDX-License-Identifier: GPL-2.0-only */
/* What an operator sees, whole: each row is an answer and the text it becomes. */
#include "render_fixture.h"

#define NODE                                                    \
	"'version':'0.1','node':'lb1','pid':4242,'uptime':192," \
	"'config':'/etc/evenkeel/evenkeel.yaml','loaded':'2026-11-22T12:00:00Z'"
#define NODE_TEXT \
	"lb1: evenkeel 0.1, pid 4242, up 3m12s; /etc/evenkeel/evenkeel.yaml loaded 3m12s ago\n"

#define WEB1                                                                                      \
	"{'name':'web1','address':'10.0.0.11','weight':100,'health':'up',"                        \
	"'why':'HTTP 200 in 0.4 ms','since':'2026-11-22T12:00:00Z','checks':42,"                  \
	"'nexthop':'resolved','nexthop_detail':'10.0.0.11 on eth0','slots':21845,'share':0.3333," \
	"'packets':1,'bytes':2,'packets_per_second':1250.0,'bits_per_second':98000000.0}"
#define WEB2                                                                                \
	"{'name':'web2-with-a-long-name','address':'10.0.0.12','weight':0,'health':'down'," \
	"'why':'connection refused','since':'2026-11-22T12:03:00Z','nexthop':'resolved',"   \
	"'share':0.0,'packets_per_second':0.0,'bits_per_second':0.0}"
#define WEB3                                                                                    \
	"{'name':'web3','address':'10.9.0.13','weight':50,'health':'hold','why':'maintenance'," \
	"'since':'2026-11-20T09:00:00Z','nexthop':'unresolved','nexthop_detail':'no route',"    \
	"'share':0.6667,'packets_per_second':0.5,'bits_per_second':312}"

#define DROPS                                                                                     \
	"{'drops':[{'reason':'malformed','description':'the header contradicts itself',"          \
	"'packets':0,'packets_per_second':0.0},{'reason':'too-big','description':'does not fit'," \
	"'packets':7,'packets_per_second':0.25}],'answers':[{'answer':'reset',"                   \
	"'description':'RST','packets':0,'packets_per_second':0.0},{'answer':'echo',"             \
	"'description':'echo reply','packets':120,'packets_per_second':12}]}"

static const struct render_row rows[] = {
	{"a node with nothing to do", ek_render_status, false, "{" NODE "}", NODE_TEXT},
	{"services of several addresses, ports and protocols", ek_render_status, false,
	 "{" NODE ",'services':["
	 "{'name':'range','addresses':['192.0.2.0/24','2001:db8::/64'],'ports':'8000-8099',"
	 "'address':'192.0.2.0','port':8000,'protocol':'tcp+udp','forward':'gue',"
	 "'forward_detail':'gue to port 6080','method':'maglev','tracking':'full','state':'up',"
	 "'warnings':['gue needs 1532'],'backends':[]},"
	 "{'name':'ports','addresses':['192.0.2.1'],'ports':'any','address':'192.0.2.1','port':0,"
	 "'protocol':'udp','forward':'l2','method':'maglev','tracking':'full','state':'up',"
	 "'warnings':[],'backends':[]},"
	 "{'name':'all','addresses':['192.0.2.1'],'ports':'any','address':'192.0.2.1','port':0,"
	 "'protocol':'any','forward':'tos','forward_detail':'tos 5','method':'maglev',"
	 "'tracking':'full','state':'up','backends':[]},"
	 "{'name':'two','addresses':['192.0.2.2','192.0.2.3'],'ports':'80','address':'192.0.2.2',"
	 "'port':80,'protocol':'tcp','forward':'ipip','method':'maglev','tracking':'full',"
	 "'state':'up','backends':[]},"
	 "{'name':'one','addresses':['2001:db8::1'],'ports':'80','address':'2001:db8::1',"
	 "'port':80,'protocol':'tcp+udp','forward':'ipip','method':'maglev','tracking':'full',"
	 "'state':'up','backends':[]}]}",
	 NODE_TEXT
	 "\n"
	 "range: 192.0.2.0/24, 2001:db8::/64 ports 8000-8099/tcp+udp up (0 of 0 backends); gue to "
	 "port 6080, maglev, tracking full; - packets/s, - bits/s\n"
	 "  gue needs 1532\n"
	 "\n"
	 "ports: 192.0.2.1 any port/udp up (0 of 0 backends); l2, maglev, tracking full; - "
	 "packets/s, - bits/s\n"
	 "\n"
	 "all: 192.0.2.1 any protocol up (0 of 0 backends); tos 5, maglev, tracking full; - "
	 "packets/s, - bits/s\n"
	 "\n"
	 "two: 192.0.2.2, 192.0.2.3 port 80/tcp up (0 of 0 backends); ipip, maglev, tracking full; "
	 "- packets/s, - bits/s\n"
	 "\n"
	 "one: [2001:db8::1]:80/tcp+udp up (0 of 0 backends); ipip, maglev, tracking full; - "
	 "packets/s, - bits/s\n"},
	{"everything at once", ek_render_status, false,
	 "{" NODE
	 ",'last_reload':{'ok':false,'at':'2026-11-22T12:03:00Z','error':'evenkeel.yaml:12: "
	 "wieght: unknown key'},"
	 "'interfaces':["
	 "{'name':'eth0','ifindex':2,'attached':true,'mode':'native','dispatcher':false,"
	 "'mac':'02:00:00:00:00:01','mtu':1500,'up':true},"
	 "{'name':'eth1','ifindex':3,'attached':true,'mode':'generic','dispatcher':true,'note':'no "
	 "native XDP',"
	 "'mac':'02:00:00:00:00:02','mtu':9000,'up':false},"
	 "{'name':'eth2','attached':false,'why':'no native "
	 "XDP','mac':'02:00:00:00:00:03','mtu':1500,'up':true}],"
	 "'services':[{'name':'web','address':'192.0.2.10','port':80,'protocol':'tcp',"
	 "'forward':'ipip','method':'maglev','tracking':'just-enough','state':'up',"
	 "'packets':123,'bytes':456,'packets_per_second':1250.5,'bits_per_second':98000312,"
	 "'remembering':120,'ring_slots':65537,'backends':[" WEB1 "," WEB2 "," WEB3 "]},"
	 "{'name':'dns','address':'2001:db8::10','port':53,'protocol':'udp','forward':'l2',"
	 "'method':'source-hash','tracking':'full','state':'down','packets_per_second':0.0,"
	 "'bits_per_second':0.0,'remembering':0,'ring_slots':65537,'backends':[]}],"
	 "'drops':["
	 "{'reason':'malformed','description':'the header contradicts itself','packets':0,"
	 "'packets_per_second':0.0},"
	 "{'reason':'no-backend','description':'no backend may take connections','packets':1234567,"
	 "'packets_per_second':12.0}]}",
	 NODE_TEXT
	 "the reload 12s ago failed and changed nothing: evenkeel.yaml:12: wieght: unknown key\n"
	 "eth0: up, mtu 1500, 02:00:00:00:00:01, native XDP\n"
	 "eth1: down, mtu 9000, 02:00:00:00:00:02, generic XDP under the libxdp dispatcher; no "
	 "native XDP\n"
	 "eth2: up, mtu 1500, 02:00:00:00:00:03, XDP not attached: no native XDP\n"
	 "\n"
	 "web: 192.0.2.10:80/tcp up (1 of 3 backends); ipip, maglev, tracking just-enough; "
	 "1.25k packets/s, 98.0M bits/s\n"
	 "  120 of 65537 slots remember an earlier backend\n"
	 "  BACKEND                ADDRESS    WEIGHT  HEALTH  SINCE  SHARE  PACKETS/S  BITS/S  "
	 "WHY\n"
	 "  web1                   10.0.0.11     100  up      3m12s  33.3%      1.25k   98.0M  "
	 "HTTP "
	 "200 in 0.4 ms\n"
	 "  web2-with-a-long-name  10.0.0.12       0  down      12s   0.0%          0       0  "
	 "connection refused\n"
	 "  web3                   10.9.0.13      50  hold     2d3h  66.7%        0.5     312  "
	 "maintenance; next hop unresolved (no route)\n"
	 "\n"
	 "dns: [2001:db8::10]:53/udp down (0 of 0 backends); l2, source-hash, tracking full; "
	 "0 packets/s, 0 bits/s\n"
	 "\n"
	 "dropped\n"
	 "  REASON      PACKETS  PACKETS/S  DESCRIPTION\n"
	 "  no-backend  1234567         12  no backend may take connections\n"},
	{"VIPs that are announced", ek_render_status, false,
	 "{'announcements':[{'address':'192.0.2.10','announced':true,'interface':'eth0'}]}",
	 "-: evenkeel -, pid -, up -; - loaded - ago\n"
	 "announces 1 of 1 VIP by ARP and neighbour discovery\n"},
	{"VIPs that are announced or not", ek_render_status, true,
	 "{'announcements':[{'address':'192.0.2.10','announced':true,'interface':'eth0'},"
	 "{'address':'2001:db8::10','announced':false,'interface':'eth1','why':'eth1 is down'}]}",
	 "\033[1m-\033[0m: evenkeel -, pid -, up -; - loaded - ago\n"
	 "announces 1 of 2 VIPs by ARP and neighbour discovery\n"
	 "\033[33m2001:db8::10 is not announced: eth1 is down\033[0m\n"},
	{"a reload that succeeded, nothing dropped", ek_render_status, false,
	 "{" NODE ",'last_reload':{'ok':true,'at':'2026-11-22T12:00:00Z','error':null},"
	 "'drops':[{'reason':'malformed','packets':0}]}",
	 NODE_TEXT},
	{"a retired backend is none of the service's", ek_render_status, false,
	 "{'services':[{'backends':[" WEB1 ",{'name':'old','weight':0,'health':'up','retired':true,"
	 "'why':'connected'}]}]}",
	 "-: evenkeel -, pid -, up -; - loaded - ago\n"
	 "\n"
	 "-: -:-/- - (1 of 1 backend); -, -, tracking -; - packets/s, - bits/s\n"
	 "  BACKEND  ADDRESS    WEIGHT  HEALTH  SINCE  SHARE  PACKETS/S  BITS/S  WHY\n"
	 "  web1     10.0.0.11     100  up      3m12s  33.3%      1.25k   98.0M  HTTP 200 in 0.4 "
	 "ms\n"
	 "  old      -               0  up          -      -          -       -  retired; "
	 "connected\n"},
	{"an answer without anything", ek_render_status, false, "{}",
	 "-: evenkeel -, pid -, up -; - loaded - ago\n"},
	{"objects without members", ek_render_status, false,
	 "{'interfaces':[{}],'services':[{},{'backends':[{}]}],'drops':[{}],'last_reload':null}",
	 "-: evenkeel -, pid -, up -; - loaded - ago\n"
	 "-: -, mtu -, -, - XDP\n"
	 "\n"
	 "-: -:-/- - (0 of 0 backends); -, -, tracking -; - packets/s, - bits/s\n"
	 "\n"
	 "-: -:-/- - (0 of 1 backend); -, -, tracking -; - packets/s, - bits/s\n"
	 "  BACKEND  ADDRESS  WEIGHT  HEALTH  SINCE  SHARE  PACKETS/S  BITS/S  WHY\n"
	 "  -        -             -  -           -      -          -       -  -\n"},
	{"members of other types", ek_render_status, false,
	 "{'version':1,'node':[],'pid':'x','uptime':1.5,'config':null,'loaded':'yesterday',"
	 "'interfaces':{},'services':7,'drops':'none','last_reload':3}",
	 "-: evenkeel -, pid -, up -; - loaded - ago\n"},
	{"an array", ek_render_status, false, "[]", "-: evenkeel -, pid -, up -; - loaded - ago\n"},
	{"clocks that differ", ek_render_status, false,
	 "{'node':'lb1','uptime':-5,'loaded':'2026-11-22T13:00:00Z'}",
	 "lb1: evenkeel -, pid -, up 0s; - loaded 0s ago\n"},
	{"control characters do not reach the terminal", ek_render_status, false,
	 "{'node':'a\\u001b[2Jb\\n\\u009bc','services':[{'backends':[{'why':'"
	 "\\u0007\\u007f\xc3\xa4'}]}]}",
	 "a?[2Jb??\?c: evenkeel -, pid -, up -; - loaded - ago\n"
	 "\n"
	 "-: -:-/- - (0 of 1 backend); -, -, tracking -; - packets/s, - bits/s\n"
	 "  BACKEND  ADDRESS  WEIGHT  HEALTH  SINCE  SHARE  PACKETS/S  BITS/S  WHY\n"
	 "  -        -             -  -           -      -          -       -  ?\?\xc3\xa4\n"},
	{"colours, which take no room", ek_render_status, true,
	 "{'node':'lb1','interfaces':[{'name':'eth0','up':false,'attached':false}],"
	 "'services':[{'name':'web','state':'up','backends':[{'name':'n\xc3\xa4her','health':'up'},"
	 "{'name':'b','health':'unknown'},{'name':'c','health':'down'}]}]}",
	 "\033[1mlb1\033[0m: evenkeel -, pid -, up -; - loaded - ago\n"
	 "\033[1meth0\033[0m: \033[31mdown\033[0m, mtu -, -, \033[31mXDP not attached\033[0m\n"
	 "\n"
	 "\033[1mweb\033[0m: -:-/- \033[32mup\033[0m (1 of 3 backends); -, -, tracking -; "
	 "- packets/s, - bits/s\n"
	 "  \033[1mBACKEND\033[0m  \033[1mADDRESS\033[0m  \033[1mWEIGHT\033[0m  "
	 "\033[1mHEALTH\033[0m   \033[1mSINCE\033[0m  \033[1mSHARE\033[0m  "
	 "\033[1mPACKETS/S\033[0m  \033[1mBITS/S\033[0m  \033[1mWHY\033[0m\n"
	 "  n\xc3\xa4her    -             -  \033[32mup\033[0m           -      -          -       "
	 "-  "
	 "-\n"
	 "  b        -             -  \033[33munknown\033[0m      -      -          -       -  -\n"
	 "  c        -             -  \033[31mdown\033[0m         -      -          -       -  "
	 "-\n"},
	{"drops and answers", ek_render_drops, false, DROPS,
	 "dropped\n"
	 "  REASON   PACKETS  PACKETS/S  DESCRIPTION\n"
	 "  too-big        7        0.2  does not fit\n"
	 "\n"
	 "answered in place\n"
	 "  ANSWER  PACKETS  PACKETS/S  DESCRIPTION\n"
	 "  echo        120         12  echo reply\n"},
	{"answers alone", ek_render_drops, false,
	 "{'drops':[{'reason':'too-big','packets':0}],'answers':[{'answer':'echo','packets':1}]}",
	 "answered in place\n"
	 "  ANSWER  PACKETS  PACKETS/S  DESCRIPTION\n"
	 "  echo          1          -  -\n"},
	{"no drops", ek_render_drops, false, "{}", "nothing was dropped or answered in place\n"},
};

static void test_all_drops(void **state)
{
	json_t *answer = parse(DROPS);
	char *text = NULL;
	size_t length;
	struct ek_render how = {.out = open_memstream(&text, &length), .all = true};

	(void)state;
	ek_render_drops(&how, answer);
	fclose(how.out);
	assert_string_equal(text, "dropped\n"
				  "  REASON     PACKETS  PACKETS/S  DESCRIPTION\n"
				  "  malformed        0          0  the header contradicts itself\n"
				  "  too-big          7        0.2  does not fit\n"
				  "\n"
				  "answered in place\n"
				  "  ANSWER  PACKETS  PACKETS/S  DESCRIPTION\n"
				  "  reset         0          0  RST\n"
				  "  echo        120         12  echo reply\n");
	free(text);
	json_decref(answer);
}

static void test_rows(void **state)
{
	(void)state;
	check_rows(rows, sizeof(rows) / sizeof(*rows));
}

static const struct {
	double value;
	const char *text;
} quantities[] = {
	{0, "0"},	   {0.04, "0"},	     {0.06, "0.1"},	{0.94, "0.9"},	  {9.94, "9.9"},
	{9.96, "10"},	   {42.4, "42"},     {999.4, "999"},	{999.6, "1.00k"}, {1000, "1.00k"},
	{9994, "9.99k"},   {9996, "10.0k"},  {99940, "99.9k"},	{99960, "100k"},  {999499, "999k"},
	{999500, "1.00M"}, {1.5e9, "1.50G"}, {2.5e12, "2.50T"}, {4e15, "4.00P"},  {5e18, "5.00E"},
	{5e21, "5000E"},   {-1, "-"},
};

static void test_quantities(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(quantities) / sizeof(*quantities); i++) {
		json_t *answer = json_pack("{s:[{s:i, s:f}]}", "drops", "packets", 1,
					   "packets_per_second", quantities[i].value);
		char *text = rendered(ek_render_drops, false, answer);
		char expected[128];

		snprintf(expected, sizeof(expected),
			 "dropped\n"
			 "  REASON  PACKETS  PACKETS/S  DESCRIPTION\n"
			 "  -             1  %9s  -\n",
			 quantities[i].text);
		assert_string_equal(text, expected);
		free(text);
		json_decref(answer);
	}
}

static const struct {
	json_int_t seconds;
	const char *text;
} durations[] = {
	{0, "0s"},	   {59, "59s"},	    {60, "1m0s"},	  {3599, "59m59s"},  {3600, "1h0m"},
	{86399, "23h59m"}, {86400, "1d0h"}, {31536000, "365d0h"}, {INT64_MIN, "0s"},
};

static void test_durations(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
		json_t *answer = json_pack("{s:I}", "uptime", durations[i].seconds);
		char *text = rendered(ek_render_status, false, answer);
		char expected[128];

		snprintf(expected, sizeof(expected),
			 "-: evenkeel -, pid -, up %s; - loaded - ago\n", durations[i].text);
		assert_string_equal(text, expected);
		free(text);
		json_decref(answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_all_drops),
		cmocka_unit_test(test_quantities),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
