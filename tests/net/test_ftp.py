# SPDX-License-Identifier: GPL-2.0-only
"""FTP through the balancer, with vsftpd and lftp. What an operator writes:

    - name: ftp
      address: [192.0.2.10, "2001:db8::10"]
      port: 20-40019            # control, active data, and up to the last passive port; or any
      method: source-hash
      health: {type: tcp, port: 21}

Passive data connections go to the VIP and a port that the server has named: one service and the
client's address alone, so they meet the backend of the control connection. In active mode the
server connects from port 20 of the VIP straight to the client, and the client's packets of that
connection come by the VIP and port 20. Nobody reads what is said on port 21, so it may be
enciphered.
Other services may have single ports in the range: they come first.
"""
import collections
import filecmp
import shutil

import pytest

from gateway import config, fixed_key, pools, service
from lab import CLIENT4, CLIENT6, VIP4, VIP6, Lab

BYTES = 2_000_000
FIRST, LAST = 40000, 40019
CLIENTS = CLIENT4, CLIENT6

VSFTPD = f"""\
background=NO
listen=NO
listen_ipv6=YES
anonymous_enable=YES
no_anon_password=YES
write_enable=YES
anon_upload_enable=YES
anon_umask=022
connect_from_port_20=YES
pasv_address={VIP4}
pasv_min_port={FIRST}
pasv_max_port={LAST}
seccomp_sandbox=NO
xferlog_enable=YES
log_ftp_protocol=YES
"""


class Ftp:
    """vsftpd on a backend: the files "name" and "big", and the directory "up"."""

    def __init__(self, web, big):
        self.web, self.root, self.log = web, web.dir / "ftp", web.dir / "vsftpd.log.txt"
        (self.root / "up").mkdir(parents=True)
        (web.dir / "empty").mkdir()
        shutil.chown(self.root / "up", "ftp")
        (self.root / "name").write_text(web.name + "\n")
        (self.root / "big").hardlink_to(big)
        conf = web.dir / "vsftpd.conf"
        conf.write_text(f"{VSFTPD}anon_root={self.root}\nvsftpd_log_file={self.log}\n"
                        f"secure_chroot_dir={web.dir / 'empty'}\n")
        self.process = web.popen("vsftpd", conf)

    def said(self, word):
        """How often clients said this."""
        return self.log.read_text().count(f'"{word}') if self.log.exists() else 0


@pytest.fixture(scope="module")
def lab():
    with Lab("ftp", big=BYTES) as lab:
        lab.servers = [Ftp(web, lab.big) for web in lab.webs]
        lab.config = lab.dir / "gateway.yaml"
        lab.config.write_text(text(lab, f"20-{LAST}"))
        lab.lb.start(lab.config)
        lab.lb.wait_all(health="up", nexthop="resolved")
        yield lab


def text(lab, port):
    entry = service("ftp", f'[{VIP4}, "{VIP6}"]', pools({1: 100, 2: 100, 3: 100})[0], port=port,
                    check="{type: tcp, port: 21, interval: 200ms, timeout: 200ms, fall: 5}")
    # A single port in the middle of it, which is another service's.
    web = service("web", VIP4, pools({1: 100})[0])
    return (f"hash-key: {fixed_key(lab)}\n"
            + config(entry.replace("method: maglev", "method: source-hash"), web))


def session(lab, vip, client, passive):
    """One control connection, and five data connections: the name, a list, down, up, the name.
    Returns which backend it met."""
    down = lab.dir / f"down-{client}"
    url = f"ftp://[{vip}]" if ":" in vip else f"ftp://{vip}"
    script = "; ".join([
        "set cmd:fail-exit yes", "set net:max-retries 1", "set net:timeout 5",
        f"set ftp:passive-mode {'yes' if passive else 'no'}", "set ftp:ssl-allow no",
        f"set net:socket-bind-ipv{6 if ':' in vip else 4} {client}", f"open {url}",
        "cat name", "ls up", f"get big -o {down}", f"put {lab.big} -o up/{client}", "cat name"])
    done = lab.client.run("lftp", "--norc", "-c", script, timeout=40)
    name = done.stdout.split()[0]
    web = lab.web(name)
    up = web.dir / "ftp/up" / client
    assert filecmp.cmp(down, lab.big, shallow=False) and filecmp.cmp(up, lab.big, shallow=False)
    assert done.stdout.rstrip().endswith(name)
    down.unlink()
    up.unlink()
    return name


@pytest.mark.parametrize("passive", [True, False], ids=["passive", "active"])
@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])
@pytest.mark.parametrize("port", [f"20-{LAST}", "any"], ids=["a range", "any port"])
def test_sessions(lab, port, vip, passive, figure):
    if text(lab, port) != lab.config.read_text():
        lab.config.write_text(text(lab, port))
        lab.lb.cli("reload")
        lab.lb.wait_all(health="up", nexthop="resolved")
    word = {(VIP4, True): "PASV", (VIP6, True): "EPSV",
            (VIP4, False): "PORT", (VIP6, False): "EPRT"}[vip, passive]

    def counts():
        return {s.web.name: s.said(word) for s in lab.servers}
    before, packets = counts(), {n: b["packets"] for n, b in lab.lb.backends("ftp").items()}
    met = {client: session(lab, vip, client, passive) for client in CLIENTS[":" in vip]}
    names = collections.Counter(met.values())
    said = {n: c - before[n] for n, c in counts().items()}
    went = {n: b["packets"] - packets[n] for n, b in lab.lb.backends("ftp").items()}
    figure(f"sessions with {dict(sorted(names.items()))}; {word} said {said}; packets {went}")
    assert len(names) > 1
    # Each session's five data connections were its backend's, and 2 MB some 1400 packets.
    assert all(said[n] == 5 * names[n] and went[n] >= 1400 * names[n] for n in said)
