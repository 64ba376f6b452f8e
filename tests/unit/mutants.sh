#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The test of the property test: each rule of the ring that remembers, switched off in a copy of the
# sources, must be missed by some history. One line for each; fails if a mutant survives, does not
# compile, or if its edit changes nothing any more.
#
#     mutants.sh BUILD-DIRECTORY [SEEDS]
set -eu
cd "$(dirname "$0")/../.."
out=$1/mutants
seeds=${2:-1000}
failed=0

# mutant NAME FILE SED-EXPRESSION
mutant()
{
	dir=$out/$1
	rm -rf "$dir"
	mkdir -p "$dir"
	cp -r include/evenkeel lib/ring.c lib/sweep.c tests/unit/world_sim.h tests/unit/clients_sim.h \
		tests/unit/test_property.c "$dir"
	sed -i -E "$3" "$dir/$2"
	if cmp -s "$dir/$2" "$(ls "include/$2" "lib/$2" "tests/unit/$2" 2>/dev/null)"; then
		echo "mutant $1: changes nothing"
		failed=1
	elif ! ${CC:-gcc} -D_GNU_SOURCE -I"$dir" -Ilib -O1 -w "$dir/test_property.c" -lcmocka \
			-o "$dir/test_property"; then
		echo "mutant $1: does not compile"
		failed=1
	elif verdict=$(QUIET=1 "$dir/test_property" "$seeds"); then
		echo "mutant $1: SURVIVES $seeds seeds"
		failed=1
	else
		echo "mutant $1: $verdict"
	fi
}

# What a slot remembers, and for how long.
mutant keep-origin ring.c 's/if \(!lookup\)/if (1)/'
mutant noins-left-hit ring.c 's/\*left = current == origin;/*left = !lookup;/'
mutant misses-to-origin evenkeel/select.h '/ek_select_miss/,/^}/s/ek_slot_origin\(/ek_slot_current(/'
mutant origin-hit evenkeel/select.h 's/c->origin_hit = 1;//'
mutant forget-only-idle ring.c 's/> idle_timeout;/> idle_timeout \/ 2;/'
mutant forget-after-whole-scan sweep.c 's/!ek_bit\(s->changed, i\) &&//'
mutant forget-not-busy sweep.c 's/ek_bit_set\(s->busy, slot\);/;/'

# What becomes of a SYN.
mutant dropover evenkeel/select.h 's/ek_select_drop\(c, EK_DROP_TABLE_FULL\)/ek_select_current(c, s, e)/'
mutant unstored-to-origin evenkeel/select.h '/^static.* ek_select_unstored/,/^}/s/if \(s->kind != EK_PACKET_SYN\)/if (1)/'
mutant unstored-to-live evenkeel/select.h 's/c->backend = old;/ek_select_miss(c, s, e);/'
mutant unstored-beside-dead evenkeel/select.h 's/\|\| m->live \|\|$/||/'
mutant noins-unless-live evenkeel/select.h 's/m->live \|\| c->backend != ek_slot_origin/c->backend != ek_slot_origin/'
mutant second-entry-beside evenkeel/select.h 's/^\tif \(m->embryo\)$/\tif (m->live) ek_select_write(c, c->backend, EK_FLOW_EMBRYONIC, m->live, m->live_way); else if (m->embryo)/'
mutant first-syn-wins evenkeel/select.h '/^static.* ek_select_syn/,/^}/s/< EK_FLOW_EMBRYO_GRACE/< 0/'
mutant second-syn evenkeel/select.h 's/ek_select_unstored\(c, s, e, m\);.*first SYN.*/c->backend = embryo;/'
mutant reuse evenkeel/select.h 's/\(!closing \|\| .*$/1) {/'
mutant syn-renews evenkeel/select.h 's/ek_select_write\(c, live, EK_FLOW_ESTABLISHED, m->live, m->live_way\);//'
mutant unstored-renews evenkeel/select.h '/^static.* ek_select_unstored/,/^}/s/m->live,$/0,/'
mutant disowned-known evenkeel/select.h 's/flags < 0 && ek_select_disowns/ek_select_disowns/'
mutant disowned-unstored evenkeel/select.h 's/ek_select_disowns\(e\) \|\| m->live/m->live/'
mutant lost-to-another-cpu evenkeel/select.h 's/return !is_new;/return 1;/'

# What becomes of an entry.
mutant isn-window evenkeel/select.h 's/return ek_select_is_twin\(s, key\) && s->sequence.*;/return key != 0;/'
mutant keep-entry evenkeel/select.h '/^static.* ek_select_segment/,/^}/s/ek_select_write\(c, ek_flow_backend\(m->live\)/ek_select_write(c, flags \& EK_NEXTHOP_ALIVE ? ek_flow_backend(m->live) : ek_slot_current(s->slot)/'
mutant revive evenkeel/select.h 's/s->kind == EK_PACKET_DATA \?/s->kind == EK_PACKET_DATA \&\& ek_flow_state(m->live) != EK_FLOW_CLOSING ?/'
mutant last-ack evenkeel/select.h 's/if \(!ek_select_is_last_ack.*\)$/if (1)/'
mutant retire evenkeel/select.h '/^static.* ek_select_segment/,/^}/s/ek_select_retire\(e, m\);//'
mutant retire-touched evenkeel/select.h 's/ek_flow_replace\(at, touched, 0\);/;/'
mutant expired-is-removed evenkeel/select.h 's/ek_flow_replace\(at, entry, 0\) &&//'
mutant never-evict-closing evenkeel/flow_table.h 's/return ek_flow_is_embryo\(entry\) &/return entry >> 14 \& 1 \&/'
mutant never-evict-established evenkeel/flow_table.h 's/return ek_flow_is_embryo\(entry\) &/return (entry >> 14 | entry >> 15) \& 1 \&/'
mutant clock-slack evenkeel/flow_table.h 's/(EK_TICK_SLACK) 64u/\1 0u/'

# The pair.
mutant follow-no-ageing world_sim.h 's/(SIM_FOLLOWER_SWEEPS +)false/\1true/'
mutant follow-deletes world_sim.h 's/(SIM_FOLLOWER_DELETES +)true/\1false/'
mutant takeover-renews world_sim.h 's/(SIM_TAKEOVER_RENEWS +)true/\1false/'

exit $failed
