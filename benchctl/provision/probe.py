"""What a host says of itself before anything is installed there: this file is sent and executed as it is.

Standard library only, in words that Python 3.4 understands, so that a Python that is too old can be told so.
Reads one JSON line of wishes, answers each empty line with the time of day, then prints its facts. Changes
nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

BUSY = 20  # percent of one CPU
SAMPLE = 0.5  # seconds
SUDO_LIMIT = 10  # seconds
PINGS = 5
PACKAGE_MANAGERS = (
    "apk apt apt-get aptitude dnf dpkg emerge packagekitd pacman rpm snapd-refresh unattended-upgr yum zypper"
).split()


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def cpu_seconds():
    """Return pid -> (name, CPU seconds) of every process."""
    found = {}
    for pid in os.listdir("/proc") if os.path.isdir("/proc/1") else ():
        text = read("/proc/" + pid + "/stat") if pid.isdigit() else ""
        if ")" in text:
            name = text[text.index("(") + 1 : text.rindex(")")]
            fields = text[text.rindex(")") + 2 :].split()
            found[int(pid)] = (name, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return found


def ancestors():
    own, pid = set(), os.getpid()
    while pid > 1 and pid not in own:
        own.add(pid)
        text = read("/proc/%d/stat" % pid)
        pid = int(text[text.rindex(")") + 2 :].split()[1]) if ")" in text else 0
    return own


def processes():
    before, begin = cpu_seconds(), time.time()
    time.sleep(SAMPLE)
    after, passed = cpu_seconds(), time.time() - begin
    own = ancestors()
    busy = []
    for pid, (name, seconds) in after.items():
        share = 100 * (seconds - before.get(pid, (name, seconds))[1]) / passed
        if share >= BUSY and pid not in own:
            busy.append([name, pid, round(share)])
    managers = sorted(set(name for name, _ in after.values() if name in PACKAGE_MANAGERS))
    return {"busy": sorted(busy, key=lambda one: -one[2])[:5], "package_managers": managers}


def lease():
    """Return the run that holds this host, where its supervisor is still alive."""
    folder = os.environ.get("BENCHCTL_LEASE_DIR") or os.path.join(tempfile.gettempdir(), "benchctl-lease")
    try:
        record = json.loads(read(os.path.join(folder, "lease.json")))
        pid = int(record["supervisor"]["pid"])
        if record["boot_id"] != read("/proc/sys/kernel/random/boot_id").strip() or not os.path.isdir(
            "/proc/%d" % pid
        ):
            return None
        return {"run": str(record["run"])[:200], "owner": str(record.get("owner"))[:200]}
    except (ValueError, KeyError, TypeError):
        return None


def sudo(user, password):
    """Say how sudo answers: root, free, password, needs a password, or why not."""
    if os.getuid() == 0:
        return "root"
    argv = ["sudo", "-n", "-u", user, "true"]
    try:
        done = run(argv, b"")
        if done.returncode == 0:
            return "free"
        if password is not None:
            argv = ["sudo", "-S", "-k", "-p", "", "-u", user, "true"]
            done = run(argv, password.encode() + b"\n")
            if done.returncode == 0:
                return "password"
    except (OSError, subprocess.TimeoutExpired) as error:
        return "no: %s" % error
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if password is None and said and "password is required" in said[-1]:
        return "needs a password"
    return "no: %s" % (said[-1] if said else "exit %d" % done.returncode)[:200]


def run(argv, text):
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        _, said = process.communicate(text, timeout=SUDO_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Done(process.returncode, said)


class Done:
    def __init__(self, returncode, stderr):
        self.returncode = returncode
        self.stderr = stderr


def free_space():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    place = os.path.abspath(os.environ.get("BENCHCTL_CACHE") or os.path.join(base, "benchctl"))
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    space = os.statvfs(place)
    return space.f_frsize * space.f_bavail


def facts(wishes):
    uname = os.uname()
    found = {
        "python": list(sys.version_info[:3]),
        "executable": sys.executable,
        "system": uname.sysname,
        "kernel": uname.release,
        "machine": uname.machine,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0],
        "user": os.getuid(),
        "free": free_space(),
        "lease": lease(),
        "sudo": sudo(wishes["become_user"], wishes["password"]) if wishes["sudo"] else None,
    }
    if wishes["processes"]:
        found.update(processes())
    return found


def say(value):
    sys.stdout.write("benchctl:" + json.dumps(value) + "\n")
    sys.stdout.flush()


def main():
    wishes = json.loads(sys.stdin.buffer.readline().decode())
    for _ in range(PINGS):
        sys.stdin.buffer.readline()
        say(time.time())
    say(facts(wishes))


if __name__ == "__main__":
    main()
