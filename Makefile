# SPDX-License-Identifier: GPL-2.0-only
# Evenkeel. `make help` lists the targets; everything that is built lies under build/.

PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
CLANG   ?= clang-16
STRIP   ?= llvm-strip-16
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
# Debian's own interpreter: pytest and scapy come from its packages.
PYTHON  ?= /usr/bin/python3
V       ?= 0

ifeq ($(V),0)
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)'
MAKEFLAGS += --no-print-directory
else
Q :=
say = @:
endif

B         := build
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
LIBS      := -lxdp -lbpf -lyaml -levent_core -levent_extra -lcurl -ljansson -lmnl -lssl -lcrypto -lm
WARN      := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-format-truncation
CFLAGS    ?= -O2 -g
CPPFLAGS  += -D_GNU_SOURCE -Iinclude -Ilib -I$(B)
HARDEN    := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
SAN       := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
BPFFLAGS  := -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -Iinclude -idirafter /usr/include/$(MULTIARCH)

BPF_SRCS  := $(wildcard bpf/*.bpf.c)
SKELS     := $(BPF_SRCS:bpf/%.bpf.c=$(B)/%.skel.h)
LIB_SRCS  := $(wildcard lib/*.c)
LIB_OBJS  := $(LIB_SRCS:%.c=$(B)/%.o)
ASAN_OBJS := $(LIB_SRCS:%.c=$(B)/asan/%.o)
CMDS      := evenkeeld evenkeel evenkeel-backend
BINS      := $(CMDS:%=$(B)/%)
UNITS     := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
PACKETS   := $(patsubst tests/bpf/%.c,$(B)/tests/bpf/%,$(wildcard tests/bpf/test_*.c))
FUZZERS   := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
MANS      := $(wildcard cmd/*/*.8 cmd/*/*.7 cmd/*/*.5)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all deps demo check unit packet net vmtest fuzz bench fmt install clean help

all: $(BINS)

help:
	@echo 'make            build the three programs under build/'
	@echo 'make deps       install the Debian packages that building and testing need (root)'
	@echo 'make demo       build a lab of network namespaces and tell its story (root); KEEP=1 leaves it up'
	@echo 'make check      unit, packet and namespace tests, and vmtest (root)'
	@echo 'make vmtest     packets, methods, VLANs, IPVS, virtio, libxdp on Debian 12 with its kernel, emulated'
	@echo 'make bench      nanoseconds per packet beside a bare IPIP program (root)'
	@echo 'make fuzz       each parser under libFuzzer, and frames beside the reference, for FUZZ_SECONDS (30)'
	@echo 'make install    DESTDIR= PREFIX=/usr/local'
	@echo 'make fmt        clang-format over every C file'
	@echo 'make clean      remove build/'

# --- Debian packages -------------------------------------------------------------------------
deps:
	@tests/deps.sh

.PHONY: have-deps
have-deps:
	@tests/deps.sh --quiet

# --- the data plane ---------------------------------------------------------------------------
$(B)/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPFFLAGS) -MMD -MP -MF $(B)/$*.bpf.d -MT $@ -c $< -o $@
	$(Q)$(STRIP) -g $@

$(B)/%.skel.h: $(B)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

$(B)/tests/%.bpf.o: tests/%.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPFFLAGS) -Ibpf -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@
	$(Q)$(STRIP) -g $@

$(B)/tests/%.skel.h: $(B)/tests/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(notdir $*) > $@

# --- the controller ---------------------------------------------------------------------------
# Generated skeletons must exist before the first compile; afterwards the .d files know who uses them.
$(LIB_OBJS) $(ASAN_OBJS): | $(SKELS)

$(B)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HARDEN) $(WARN) -MMD -MP -c $< -o $@

$(B)/asan/%.o: %.c
	$(call say,CC-SAN,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -O1 -g $(SAN) $(WARN) -MMD -MP -c $< -o $@

$(B)/libevenkeel.a: $(LIB_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/asan/libevenkeel.a: $(ASAN_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

define command
$(1)_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard cmd/$(1)/*.c))
$$($(1)_OBJS): | $(SKELS)
$(B)/$(1): $$($(1)_OBJS) $(B)/libevenkeel.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) -pie -Wl,-z,relro,-z,now $$(LDFLAGS) $$^ $$(LIBS) -o $$@
endef
$(foreach c,$(CMDS),$(eval $(call command,$(c))))

# --- tests ------------------------------------------------------------------------------------
$(B)/tests/unit/%: tests/unit/%.c $(B)/asan/libevenkeel.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -O1 -g $(SAN) $(WARN) -MMD -MP $< $(B)/asan/libevenkeel.a $(LIBS) -lcmocka -o $@

# Threads want their own sanitizer; long histories none.
$(B)/tests/unit/test_flow_threads: tests/unit/test_flow_threads.c
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -O1 -g -fsanitize=thread $(WARN) -MMD -MP $< -lcmocka -lpthread -o $@

HISTORIES := $(B)/tests/unit/fast/test_property $(B)/tests/unit/fast/test_exhaustive
$(B)/tests/unit/fast/%: tests/unit/%.c $(B)/libevenkeel.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARN) -MMD -MP $< $(B)/libevenkeel.a -lcmocka -o $@

$(B)/tests/bpf/%: tests/bpf/%.c $(B)/libevenkeel.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARN) -MMD -MP $< $(B)/libevenkeel.a $(LIBS) -lcmocka -o $@

# Their packet source; afterwards their .d files know.
$(B)/tests/bpf/test_flood $(B)/tests/bpf/test_cpus: | $(B)/tests/bpf/flood.skel.h

$(B)/tests/fuzz/%: tests/fuzz/%.c $(LIB_SRCS) | $(SKELS)
	$(call say,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) -O1 -g -fsanitize=fuzzer,address,undefined -MMD -MP -MF $@.d \
		$< $(LIB_SRCS) $(LIBS) -o $@

NET_BPF := $(patsubst %.c,$(B)/%.o,$(wildcard tests/net/*.bpf.c))

unit: have-deps $(UNITS) $(HISTORIES)
	@tests/run.sh $(UNITS) $(HISTORIES)
	@CC=$(CC) tests/unit/mutants.sh $(B)

# What runs frames for the reference in Python.
FRAMES := $(B)/tests/bpf/frame_server

packet: have-deps $(PACKETS) $(FRAMES)
	@tests/run.sh $(PACKETS)
	$(Q)B=$(B) $(PYTHON) -m pytest -q -p no:cacheprovider tests/diff

net: have-deps all $(NET_BPF)
	$(Q)$(PYTHON) -m pytest -q -p no:cacheprovider tests/net

# Everything is built first, by all CPUs. The emulated machine runs beside what is not about time;
# the namespaces have this one to themselves.
check: have-deps
	@$(MAKE) -j$$(nproc) all $(UNITS) $(HISTORIES) $(PACKETS) $(FRAMES) $(NET_BPF)
	@$(MAKE) vmtest >$(B)/vmtest.log 2>&1 & vm=$$!; failed=0; \
		$(MAKE) unit && $(MAKE) packet || failed=1; \
		wait $$vm || failed=1; cat $(B)/vmtest.log; [ $$failed = 0 ]
	@$(MAKE) net

# Tens of millions of packets are for real CPUs.
VM_PACKETS := $(filter-out %/test_flood %/test_cpus,$(PACKETS))
vmtest: have-deps
	@$(MAKE) all $(VM_PACKETS) $(B)/tests/net/pass.bpf.o
	@vmtest/run $(VM_PACKETS)

FUZZ_SECONDS ?= 30
fuzz: have-deps $(FUZZERS) $(FRAMES)
	@tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS)
	@B=$(B) FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$${FUZZ_SEED:-$$(date +%s)} \
		$(PYTHON) -m pytest -q -p no:cacheprovider tests/diff/test_fuzz.py

demo: have-deps
	@$(MAKE) all $(B)/tests/net/pass.bpf.o
	@KEEP=$(KEEP) $(PYTHON) tests/net/demo.py

BENCH_SRCS := $(filter-out %.bpf.c,$(wildcard tests/bench/*.c))
$(B)/tests/bench/bench: $(BENCH_SRCS:%.c=$(B)/%.o)
	$(call say,BENCH,$@)
	$(Q)$(CC) $(CFLAGS) -pie $^ -lbpf -ljansson -o $@
$(BENCH_SRCS:%.c=$(B)/%.o): | $(B)/balancer.skel.h $(B)/tests/bench/driver.skel.h

BENCH_ARGS ?=
bench: have-deps
	@$(MAKE) $(B)/tests/bench/bench
	@$(B)/tests/bench/bench $(BENCH_ARGS)

fmt:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

# --- installation -----------------------------------------------------------------------------
install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man8 \
		$(DESTDIR)$(PREFIX)/share/man/man7 $(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/doc/evenkeel/configs $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(BINS) $(DESTDIR)$(PREFIX)/sbin
	install -m 644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/evenkeel
	install -m 644 configs/*.yaml configs/*.conf $(DESTDIR)$(PREFIX)/share/doc/evenkeel/configs
	for u in configs/*.service; do \
		sed 's,@SBIN@,$(PREFIX)/sbin,' $$u > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$(basename $$u); done
	for m in $(MANS); do install -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}; done

clean:
	$(Q)rm -rf $(B)

-include $(shell [ -d $(B) ] && find $(B) -name '*.d')
