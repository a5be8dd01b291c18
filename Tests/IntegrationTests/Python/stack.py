"""Starts, hurts and ends sets of servers with scripts/stack, the quickest of its parts.

usage: stack.py REPOSITORY
"""

import fcntl
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# A test's thread may have blocked all signals, and `timeout` would wait for ever for its own.
signal.pthread_sigmask(signal.SIG_SETMASK, [])

root = pathlib.Path(sys.argv[1])
name = f"stack-{random.randrange(1 << 32)}"
other = f"{name}-other"
folder = root / ".stack" / name


def started(*words, name=name, path=None):
    # Nothing is inherited: servers that go on would hold the test's own pipes.
    environment = {**os.environ, "PATH": str(path)} if path else None
    return subprocess.Popen(
        [root / "scripts/stack", *words, "--name", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment)


def stack(*words, name=name, path=None):
    ran = started(*words, name=name, path=path)
    text, _ = ran.communicate(timeout=120)
    return ran.returncode, text


def port(name=name):
    lines = [line for line in stack("env", "--plain", name=name)[1].splitlines() if line.startswith("ML_SERVICE_REDIS_URL=")]
    return lines[0].split(":")[2].split("/")[0]


def answers(name=name):
    ran = subprocess.run(["timeout", "2", "redis-cli", "-p", port(name), "ping"], capture_output=True, text=True)
    return ran.stdout.strip() == "PONG"


def process():
    return int((folder / "redis.pid").read_text().split()[0])


def runs(pid):
    try:
        return "\nState:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def check(holds, what):
    if not holds:
        sys.exit(f"{what}: {stack('status')}")


def check_words():
    """What cannot be done is said, and nothing is done."""
    status, text = stack("fly")
    check(status == 64 and "scripts/stack up" in text and "stop PART" in text, "a command that there is not is taken")
    status, text = stack("help")
    check(status == 0 and "scripts/stack up" in text, "there is no help")
    check(stack("status")[0] == 1, "a set that was never started has a status")
    check(stack("kill", "redis")[0] == 1, "a server of no set is killed")
    check(stack("down")[0] == 0, "a set that was never started cannot be ended")
    check(stack("up", name="../elsewhere")[0] == 1, "a name that leads elsewhere is taken")
    check(stack("up", "--fast")[0] == 1, "an option that there is not is taken")
    check(not folder.exists(), "a set was made by a command that failed")
    status, text = stack("up", "--only", "redis,postgres")
    check(status == 1 and "no part named 'postgres'" in text, "a part that there is not is started")


def check_life():
    """Each of the ways in which a server can be away is told from the others."""
    check(stack("up", "--only", "redis")[0] == 0, "it does not start")
    check(answers() and "redis  running" in stack("status")[1], "it started and does not run")
    check(os.getsid(process()) == process(), "its server would end with the terminal")
    first, pid = port(), process()
    check(stack("up", "--only", "redis")[0] == 0 and (port(), process()) == (first, pid), "started again it is another")
    check(stack("pause", "redis")[0] == 0 and not answers(), "paused it answers")
    status, text = stack("status")
    check(status == 1 and "silent" in text, "paused it is not called silent")
    check(stack("resume", "redis")[0] == 0 and answers(), "resumed it does not answer")
    check(stack("kill", "redis")[0] == 0 and "redis  stopped" in stack("status")[1], "killed it is not stopped")
    check(stack("pause", "redis")[0] == 1, "what does not run is paused")
    check(stack("start", "redis")[0] == 0 and answers() and port() == first, "started again it has another port")
    check(stack("stop", "redis")[0] == 0 and "redis  stopped" in stack("status")[1], "stopped it runs")


def check_environment():
    """The same lines for a shell and for a program: each a setting."""
    exported, plain = stack("env")[1].splitlines(), stack("env", "--plain")[1].splitlines()
    check(exported == [f"export {line}" for line in plain], "the two environments differ")
    check(len(plain) == 15 and all(re.fullmatch(r"[A-Z0-9_]+=\S+", line) for line in plain), "the environment is odd")
    ports = [re.search(r"=(?:\w+://)?127\.0\.0\.1:(\d+)", line) for line in plain]
    check(len({found.group(1) for found in ports if found}) == 3, "two servers have one address")


def check_company():
    """Runs of one set that begin at once do the work once; two sets know nothing of each other."""
    (folder / "redis.log").write_text("")
    ups = [started("up", "--only", "redis") for _ in range(6)]
    texts = [up.communicate(timeout=120)[0] for up in ups]
    pids = {found for text in texts for found in re.findall(r"redis  running .* pid (\d+)", text)}
    check([up.returncode for up in ups] == [0] * 6 and pids == {str(process())}, f"six runs at once: {texts}")
    check((folder / "redis.log").read_text().count("Redis is starting") == 1, "six runs started several servers")
    check(stack("up", "--only", "redis", name=other)[0] == 0, "a second set does not start")
    check(port() != port(other) and answers() and answers(other), "two sets share a server")
    check(stack("kill", "redis")[0] == 0 and answers(other) and not answers(), "a set's server is killed with another's")
    check(stack("down", name=other)[0] == 0 and not answers(other), "a set is not ended")
    check((folder.parent / other / "ports").exists(), "a set's ports went without --purge")
    check(stack("down", "--purge", name=other)[0] == 0 and not (folder.parent / other).exists(), "a set is left")
    check(folder.exists(), "a set went with another one")


def check_lock():
    """Whoever changes a set waits for others to be done with it, while whoever only looks does not."""
    with open(folder / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        run = started("down")
        place, reached = pathlib.Path(f"/proc/{run.pid}"), None
        # It asks for the lock again and again, and sleeps in between: without the lock it would be done long before.
        while run.poll() is None:
            if reached is None and any(link.resolve() == (folder / ".lock").resolve() for link in (place / "fd").iterdir()):
                reached = sleeps(place)
            if reached is not None and sleeps(place) > reached + 40:
                break
            time.sleep(0.01)
        check(run.poll() is None, "a set is changed by two runs at once")
        check(stack("status")[0] == 0 and stack("env")[0] == 0, "a set that is being changed cannot be looked at")
    check(run.communicate(timeout=120) == ("", None) and run.returncode == 0, "it does not go on")


def sleeps(place):
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (place / "status").read_text(), re.M).group(1))


def check_strangers():
    """A process that has taken the pid of a server that is gone is none of ours."""
    check(stack("start", "redis")[0] == 0, "it does not start")
    os.kill(process(), signal.SIGKILL)
    status, text = stack("status")
    check(status == 1 and "gone" in text, "what ended by itself is not called gone")
    clock = (folder / "redis.pid").read_text().split()[1]
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        for command in ["pause", "kill", "stop", "down"]:
            (folder / "redis.pid").write_text(f"{stranger.pid} {clock}\n")
            check("gone" in stack("status")[1], "a stranger is taken for the server")
            check(stack(command, "redis")[0] == (1 if command == "pause" else 0), f"{command} of a stranger")
            check(stranger.poll() is None, f"{command} ended a stranger")
    finally:
        stranger.kill()
        stranger.wait()


def check_damage():
    """A file of ports that is cut short is named, and the set can be ended all the same."""
    check(stack("start", "redis")[0] == 0, "it does not start")
    pid, ports = process(), folder / "ports"
    ports.write_text("\n".join(ports.read_text().splitlines()[:4]))
    for words in [("status",), ("up", "--only", "redis"), ("env",)]:
        status, text = stack(*words)
        check(status == 1 and "lacks filer" in text and "down --purge" in text, f"{words} with damaged ports: {text}")
    check(stack("down", "--purge")[0] == 0 and not runs(pid), "a damaged set goes on")
    check(stack("up", "--only", "redis")[0] == 0 and answers(), "a set does not start again")


def check_failures():
    """A server that is missing, ends at once, or is waited for when the run is interrupted leaves nothing behind."""
    with tempfile.TemporaryDirectory() as programs:
        server = pathlib.Path(programs) / "redis-server"
        (server.parent / "python3").symlink_to(os.path.realpath(sys.executable))
        status, text = stack("start", "redis", path=programs)
        check(status == 1 and "redis-server is missing: run scripts/setup --tests" in text, f"without a server: {text}")

        server.write_text("#!/bin/sh\necho no memory is left\nexit 1\n")
        server.chmod(0o755)
        status, text = stack("start", "redis", path=programs)
        check(status == 1 and "redis ended at once" in text and "no memory is left" in text, f"ended at once: {text}")
        check(not (folder / "redis.pid").exists(), "a server that ended at once is taken to run")

        server.write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} 600\n")
        run = started("start", "redis", path=programs)
        while run.poll() is None and not (folder / "redis.pid").exists():
            time.sleep(0.01)
        run.send_signal(signal.SIGTERM)
        text, _ = run.communicate(timeout=120)
        check(run.returncode == 130, f"interrupted: {run.returncode} {text}")
        check("redis  stopped" in stack("status")[1], "a server is left by a run that was interrupted")


try:
    check_words()
    check_life()
    check_environment()
    check_company()
    check_lock()
    check_strangers()
    check_damage()
    stack("stop", "redis")
    check_failures()
    check(stack("down", "--purge")[0] == 0 and not folder.exists(), "something is left")
    check(stack("down")[0] == 0, "down is not idempotent")
finally:
    stack("down", "--purge")
    stack("down", "--purge", name=other)
print("ok")
