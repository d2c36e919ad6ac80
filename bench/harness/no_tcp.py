"""A network namespace of loopback alone, in which no TCP connection opens: what moves there moves over UDP."""

import os
import subprocess

from clients.base import ClientError

NAME = f"peerage-bench-{os.getpid()}"
RULES = """
table inet bench {
    chain output {
        type filter hook output priority 0;
        meta l4proto tcp reject with tcp reset
    }
}
"""

_made = False


def _run(*command, text=None):
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, input=text)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise ClientError(f"no namespace without TCP (needs root, ip and nft): {said.strip()}") from error


def namespace():
    """Its name. Made when first asked for."""
    global _made
    if not _made:
        _run("ip", "netns", "add", NAME)
        _made = True
        _run("ip", "-n", NAME, "link", "set", "lo", "up")
        _run("ip", "netns", "exec", NAME, "nft", "-f", "-", text=RULES)
    return NAME


def remove():
    """Removes it, where it was made."""
    global _made
    if _made:
        subprocess.run(["ip", "netns", "del", NAME], check=False, capture_output=True)
        _made = False
