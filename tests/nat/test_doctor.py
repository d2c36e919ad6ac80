"""``peerage doctor`` behind each kind of NAT: it says what stands in the way."""

import json
import os

import pytest

from clients import tools

from .mapper import PortMapper
from .stun import StunServer

CLEAN_S = 60


@pytest.fixture
def stun(lab):
    """A STUN server with two public addresses."""
    with StunServer(lab.host("stun", addresses=2)) as server:
        yield server


def doctor(host, folder, *options):
    """The exit code, and the checks by name."""
    folder.mkdir(exist_ok=True)
    command = [*tools.peerage(), "--home", folder, "--json", "doctor", *options]
    done = host.run(command, timeout=CLEAN_S, check=False, cwd=folder, env={**os.environ, "NO_COLOR": "1"})
    assert done.stdout, f"it ended with {done.returncode}: {done.stderr}"
    diagnosis = json.loads(done.stdout)
    assert diagnosis["ok"] == (done.returncode == 0), done.stderr
    return done.returncode, {check["name"]: check for check in diagnosis["checks"]}


def asking(*servers):
    return ["--set", "network.stun_servers=" + ",".join(servers)]


@pytest.mark.parametrize(("nat", "verdict", "part"), [
    ("none", "ok", "without a NAT"),
    ("easy", "ok", "one mapping for all"),
    ("restricted", "ok", "one mapping for all"),
    ("symmetric", "warning", "a mapping for each destination"),
])
def test_the_kind_of_nat_is_told(lab, stun, tmp_path, nat, verdict, part):
    home = lab.home("home", nat)
    code, checks = doctor(home, tmp_path / "home", *asking(*stun.endpoints))
    assert code == 0
    assert checks["udp"]["verdict"] == verdict and part in checks["udp"]["message"], checks["udp"]
    assert home.public in checks["udp"]["message"]


def test_blocked_udp_is_told(lab, stun, tmp_path):
    office = lab.home("office", "restricted", udp=False)
    code, checks = doctor(office, tmp_path / "home", "--port-mapping", "off", *asking(stun.endpoints[0]))
    assert code == 0 and checks["udp"]["verdict"] == "warning"
    assert "does not answer" in checks["udp"]["message"] and "block UDP" in checks["udp"]["advice"]
    assert "switched off" in checks["port-mapping"]["message"]


def test_what_the_router_grants_is_told_and_given_back(lab, tmp_path):
    home = lab.home("home", "restricted")
    without = doctor(home, tmp_path / "without")[1]["port-mapping"]
    assert without["verdict"] == "warning" and "forward TCP port 7731" in without["advice"]
    mapper = PortMapper(home.home, ["upnp"])
    granted = doctor(home, tmp_path / "with")[1]["port-mapping"]
    assert granted["verdict"] == "ok" and "UPnP" in granted["message"] and home.public in granted["message"]
    assert mapper.asked() > 0 and mapper.mappings() == []
    public = doctor(lab.host("public"), tmp_path / "public")[1]["port-mapping"]
    assert public["verdict"] == "ok" and "public address" in public["message"]


@pytest.mark.parametrize(("family", "verdict"), [("4", "warning"), ("46", "ok")])
def test_ipv6_is_told(lab, tmp_path, family, verdict):
    host = lab.host("host", family=family)
    check = doctor(host, tmp_path / "home", "--port-mapping", "off")[1]["ipv6"]
    assert check["verdict"] == verdict
    assert verdict == "warning" or host.address6 in check["message"]


def test_what_fails_makes_it_end_with_1(lab, tmp_path):
    host = lab.host("host")
    home = tmp_path / "home"
    with host.listen(7000):
        code, checks = doctor(host, home, "--listen", f"{host.address}:7000", "--port-mapping", "off")
    assert code == 1 and checks["port"]["verdict"] == "failed"
    assert doctor(host, home, "--listen", f"{host.address}:7000", "--port-mapping", "off")[0] == 0
    # A configuration that cannot be read is one of the findings, and the others are there all the same.
    (home / "config.toml").write_text("[network]\nprot = 1\n")
    code, checks = doctor(host, home, "--port-mapping", "off")
    assert code == 1 and "line 2" in checks["configuration"]["message"]
    assert checks["clock"]["verdict"] == "ok"
