# SPDX-License-Identifier: GPL-2.0-only
"""configs/gateway.yaml, and what tests make of it."""
from lab import ROOT, VIP4, VIP6

FILE = ROOT / "configs/gateway.yaml"

CHECK = ("{type: http, port: 80, path: /health, status: 200, body: ACTIVE, "
         "interval: 200ms, timeout: 150ms, rise: 2, fall: 2}")


def service(name, address, backends, *, port=80, protocol="tcp", check=CHECK, **more):
    """One entry of `services`; backends is {name: (address, weight)}; `more` are keys as they are
    written."""
    lines = [f"  - name: {name}", f"    address: {address}", f"    port: {port}",
             f"    protocol: {protocol}", "    forward: ipip", "    method: maglev"]
    lines += [f"    health: {check}"] if check else []
    lines += [f"    {key}: {value}" for key, value in more.items()]
    lines += ["    backends:"]
    lines += [f'      - {{name: {n}, address: "{a}", weight: {w}}}'
              for n, (a, w) in backends.items()]
    return "\n".join(lines) + "\n"


def config(*services):
    return "node: lb1\ninterfaces:\n  - name: eth0\nservices:\n" + "".join(services)


def fixed_key(lab):
    """A file for `hash-key`: the few clients of a test meet the same backends in every run."""
    path = lab.dir / "hash-key"
    if not path.exists():
        path.touch(0o600)
        path.write_text("0123456789abcdef" * 12 + "\n")
    return path


def pools(weights):
    """The backends of web and web6: {"web1": 100, ...} by number."""
    return ({f"web{n}": (f"10.2.0.{20 + n}", w) for n, w in weights.items()},
            {f"web{n}": (f"fd00:2::{20 + n}", w) for n, w in weights.items()})


def gateway(weights, *others, **more):
    """The file for tests: web and web6 over the backends of these numbers and weights, and then
    other services. `more` is for both, see service()."""
    four, six = pools(weights)
    return config(service("web", VIP4, four, **more), service("web6", VIP6, six, **more), *others)
