"""Starts, hurts and ends a set of servers with scripts/stack, the quickest of its parts.

usage: stack.py REPOSITORY
"""

import os
import pathlib
import random
import signal
import subprocess
import sys

# A test's thread may have blocked all signals, and `timeout`, which scripts/stack calls, would wait for ever for its own.
signal.pthread_sigmask(signal.SIG_SETMASK, [])

root = pathlib.Path(sys.argv[1])
name = f"stack-{random.randrange(1 << 32)}"
folder = root / ".stack" / name


def stack(*words, name=name):
    # Nothing is inherited: servers that go on would hold the test's own pipes.
    ran = subprocess.run([root / "scripts/stack", *words, "--name", name], capture_output=True, text=True, timeout=120)
    return ran.returncode, ran.stdout + ran.stderr


def port():
    lines = [line for line in stack("env", "--plain")[1].splitlines() if line.startswith("ML_SERVICE_REDIS_URL=")]
    return lines[0].split(":")[2].split("/")[0]


def answers():
    ran = subprocess.run(["timeout", "2", "redis-cli", "-p", port(), "ping"], capture_output=True, text=True)
    return ran.stdout.strip() == "PONG"


def process():
    return int((folder / "redis.pid").read_text().split()[0])


def check(holds, what):
    if not holds:
        sys.exit(f"{what}: {stack('status')}")


try:
    check(stack("status")[0] == 1, "a set that was never started has a status")
    check(stack("fly")[0] == 64, "a command that there is not is taken")
    check(stack("kill", "redis")[0] != 0, "a server of no set is killed")
    check(stack("up", name="../elsewhere")[0] != 0, "a name that leads elsewhere is taken")
    check(stack("up", "--only", "redis")[0] == 0, "it does not start")
    check(stack("up", "--fast")[0] != 0, "an option that there is not is taken")
    check(answers() and "redis  running" in stack("status")[1], "it started and does not run")
    first, pid = port(), process()
    check(stack("up", "--only", "redis")[0] == 0 and (port(), process()) == (first, pid), "started again it is another")
    # Each of the ways in which a server can be away is told from the others.
    check(stack("pause", "redis")[0] == 0 and not answers(), "paused it answers")
    status, text = stack("status")
    check(status == 1 and "silent" in text, "paused it is not called silent")
    check(stack("resume", "redis")[0] == 0 and answers(), "resumed it does not answer")
    check(stack("kill", "redis")[0] == 0 and "redis  stopped" in stack("status")[1], "killed it is not stopped")
    check(stack("start", "redis")[0] == 0 and answers() and port() == first, "started again it has another port")
    os.kill(process(), signal.SIGKILL)
    status, text = stack("status")
    check(status == 1 and "gone" in text, "what ended by itself is not called gone")
    check(stack("down", "--purge")[0] == 0 and not folder.exists(), "something is left")
    check(stack("down")[0] == 0, "down is not idempotent")
finally:
    stack("down", "--purge")
print("ok")
