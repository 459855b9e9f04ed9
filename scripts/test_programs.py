"""Runs every test program of the workspace, several at a time, the longest of the last run first.

Most of a test's time is waiting: for brokers that start, sessions that end, transactions that time out.
`cargo test` runs one program after the other and leaves the machine idle meanwhile. Here two run at a time, or one for
each processor, and another is started whenever processors stand idle, up to three times as many. Brokers that no test kills
share one JVM (tests/src/host.rs). A program's output is shown whole when it has ended, so that nothing is mixed; the
last lines are the sum of what libtest printed.

Usage: python3 scripts/test_programs.py [--at-once N]    (N and no more)
Exit status: 0 every test passed, 1 one did not, 2 the programs could not be built, 130 interrupted.
"""

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.M)
FAILED = re.compile(r"^test (.+) \.\.\. FAILED$", re.M)
# Where a failed test begins to say why, in what libtest shows of it; said once more at the end, this much of it.
REASON = re.compile(r"^(Error: |thread '.*panicked at ).*", re.M | re.S)
REASON_LENGTH = 600
# What has not been timed yet is thought to be a test on real brokers; these are known to take longer. Only the order
# depends on it: the longest come first, so that none is left alone at the end.
UNKNOWN_SECONDS = 45.0
LONG_SECONDS = {
    "tests/shared": 390.0,
    "tests/failback_hard": 185.0,
    "tests/local_aws": 145.0,
    "tests/mm2_takeover": 120.0,
    "tests/chaos": 115.0,
    "tests/least_privilege": 110.0,
    "tests/local_failback": 105.0,
    "tests/failback": 100.0,
    "tests/local_switchover": 95.0,
    "tests/hostile": 95.0,
    "tests/fence": 90.0,
    "tests/auth": 80.0,
    "tests/group_kinds": 75.0,
    "tests/truncation": 75.0,
    "tests/takeover": 65.0,
}
# A program that takes longer hangs: the longest takes seven minutes on a busy machine.
LIMIT_SECONDS = 1500
# Another program is started beside the others when this share of one processor was idle over this time, and not before
# the last one has started its brokers.
IDLE_PROCESSORS, IDLE_SECONDS, SETTLE_SECONDS = 0.4, 3.0, 6.0
# What the brokers and workers of a program take at most.
PROGRAM_BYTES = 2_500_000_000
# How much of what is free the JVM for all brokers may take, and how much it can make use of.
HOST_PART, HOST_BYTES = 4, 4_000_000_000
# The first start of all fetches Kafka and runs a broker once, to keep its classes.
HOST_SECONDS = 900


@dataclass(frozen=True)
class Program:
    """A test program: its name, where cargo would run it, and how."""

    name: str
    folder: Path
    command: tuple[str, ...]


@dataclass
class Running:
    """A program that has been started."""

    program: Program
    process: subprocess.Popen
    output: object
    since: float
    cpu_seconds: float = 0.0

    def has_ended(self) -> bool:
        """Whether it has; then the CPU time of all that it started, and waited for, is known."""
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid != 0:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return self.process.returncode is not None


@dataclass
class Sum:
    """What libtest printed, added up."""

    passed: int = 0
    failed: int = 0
    ignored: int = 0

    def add(self, output: str) -> None:
        for passed, failed, ignored in RESULT.findall(output):
            self.passed += int(passed)
            self.failed += int(failed)
            self.ignored += int(ignored)


def reason(test: str, output: str) -> str:
    """Why a test failed, as short as it can be understood; nothing where it does not say."""
    _, _, shown = output.partition(f"---- {test} stdout ----\n")
    found = REASON.search(re.split(r"\n\n(?:---- |\nfailures:)", shown, maxsplit=1)[0])
    return found[0][:REASON_LENGTH] if found else ""


class BrokerHost:
    """The JVM for brokers that need no process of their own. Without it, each has one."""

    NAME = "UNDERSTUDY_BROKER_HOST"

    def __init__(self, cache: Path) -> None:
        labs = cache / "labs"
        labs.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="host-", dir=labs))
        # As labs own their folders: what is left when this process is killed is swept by one of them.
        self.owner = (self.folder / "owner.lock").open("w")
        fcntl.flock(self.owner, fcntl.LOCK_EX)
        self.socket, self.log = self.folder / "host.sock", self.folder / "host.log"
        self.running, self.cpu_seconds = None, 0.0

    @staticmethod
    def heap_bytes() -> int:
        return min(HOST_BYTES, Room.free_bytes() // HOST_PART)

    def start(self, lab: str) -> None:
        """Starts it, and waits until it can be asked."""
        begun = time.monotonic()
        command = [lab, "host", str(self.socket), "--heap-bytes", str(self.heap_bytes())]
        with self.log.open("w") as log:
            # Once it is a JVM it ends when its standard input does, and so with this process, whatever ends that.
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
        self.running = Running(Program("brokers", self.folder, tuple(command)), process, None, begun)
        while not self.socket.exists() and not self.has_ended():
            if time.monotonic() - begun > HOST_SECONDS:
                process.kill()
            time.sleep(0.1)
        os.environ[self.NAME] = str(self.socket)
        self.look()

    def has_ended(self) -> bool:
        return self.running is None or self.running.has_ended()

    def look(self) -> None:
        """Goes on without it once it has ended."""
        if self.has_ended() and os.environ.pop(self.NAME, None):
            print(f"brokers get processes of their own, for want of a JVM that they could share:\n{self.said()}")

    def said(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-5000:]

    def end(self, keep_log_in: Path | None) -> None:
        """Ends it and removes its folder; how much CPU time it took is known then."""
        if self.running is not None:
            self.running.process.stdin.close()
            # Before it is a JVM nobody reads that.
            if not self.socket.exists():
                self.running.process.terminate()
            while not self.running.has_ended():
                time.sleep(0.05)
            self.cpu_seconds = self.running.cpu_seconds
        if keep_log_in is not None and self.log.exists():
            shutil.copyfile(self.log, keep_log_in)
        shutil.rmtree(self.folder, ignore_errors=True)


def programs() -> tuple[list[Program], str]:
    """Builds the test programs and asks cargo where they are; and where the lab's own program is."""
    built = subprocess.run(
        ["cargo", "test", "--workspace", "--locked", "--no-run", "--message-format", "json-render-diagnostics"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        sys.exit(2)
    found, lab = [], ""
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") != "compiler-artifact" or not message["executable"]:
            continue
        if message["profile"]["test"]:
            folder = Path(message["manifest_path"]).parent
            name = f"{folder.name}/{message['target']['name']}"
            if message["target"]["kind"] == ["bin"]:
                name += " (itself)"
            found.append(Program(name, folder, (message["executable"],)))
        elif message["target"]["name"] == "lab":
            lab = message["executable"]
    return found, lab


def seconds_of_last_run(path: Path) -> dict[str, float]:
    """How long each program took; nothing where that was never kept, or not whole."""
    try:
        return {str(name): float(seconds) for name, seconds in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def start(program: Program) -> Running:
    output = tempfile.TemporaryFile()
    process = subprocess.Popen(
        program.command,
        cwd=program.folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "CARGO_MANIFEST_DIR": str(program.folder)},
    )
    return Running(program, process, output, time.monotonic())


class Room:
    """Whether another program may be started."""

    def __init__(self, at_once: int | None) -> None:
        memory = (self.free_bytes() - BrokerHost.heap_bytes()) // PROGRAM_BYTES
        processors = len(os.sched_getaffinity(0))
        self.least = at_once or max(2, min(processors, memory))
        self.most = at_once or max(2, min(3 * processors, memory))
        self.seen = [(time.monotonic(), self.idle_seconds())]

    @staticmethod
    def idle_seconds() -> float:
        """For how long processors have been idle or waited for a disk, since the machine started."""
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def free_bytes() -> int:
        """How much memory programs may take."""
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))

    def beside(self, running: list[Running]) -> bool:
        now = time.monotonic()
        self.seen.append((now, self.idle_seconds()))
        while now - self.seen[1][0] >= IDLE_SECONDS:
            self.seen.pop(0)
        if len(running) < self.least:
            return True
        (since, before), (_, idle) = self.seen[0], self.seen[-1]
        rests = now - since >= IDLE_SECONDS and (idle - before) / (now - since) >= IDLE_PROCESSORS
        return rests and len(running) < self.most and now - max(one.since for one in running) >= SETTLE_SECONDS


def ended(running: list[Running]) -> Running | None:
    """One that has ended. One past its limit is ended and said to be so."""
    for one in running:
        if one.has_ended():
            return one
        if time.monotonic() - one.since > LIMIT_SECONDS:
            one.process.kill()
            one.process.wait()
            print(f"{one.program.name}: ended after {LIMIT_SECONDS} s without a result", flush=True)
            return one
    return None


def stop(running: list[Running]) -> None:
    """Asks them to end; their brokers end with them."""
    for one in running:
        if one.process.poll() is None:
            one.process.terminate()
    for one in running:
        one.process.wait()


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--at-once", type=int)
    room = Room(arguments.parse_args().at_once)
    # A terminate is an interrupt: what was started is ended before this ends.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))

    kept = Path(os.environ["UNDERSTUDY_CACHE"]) / "test-seconds.json"
    seconds = seconds_of_last_run(kept)
    seconds = LONG_SECONDS | seconds
    found, lab = programs()
    waiting = sorted(found, key=lambda program: seconds.get(program.name, UNKNOWN_SECONDS))
    count, begun = len(waiting), time.monotonic()
    host = BrokerHost(kept.parent)
    total, failures, running = Sum(), [], []
    try:
        host.start(lab)
        while waiting or running:
            host.look()
            if waiting and room.beside(running):
                running.append(start(waiting.pop()))
            one = ended(running)
            if one is None:
                time.sleep(0.05)
                continue
            running.remove(one)
            took = time.monotonic() - one.since
            seconds[one.program.name] = round(took, 2)
            one.output.seek(0)
            output = one.output.read().decode(errors="replace")
            total.add(output)
            done = count - len(waiting) - len(running)
            also = ", ".join(other.program.name for other in running)
            figures = f"{took:.1f} s, {one.cpu_seconds:.1f} s of CPU"
            print(f"== {done}/{count}  {one.program.name}  {figures}" + (f"  (under way: {also})" if also else ""))
            print(output.strip("\n"), flush=True)
            if one.process.returncode != 0:
                named = FAILED.findall(output) or [f"ended with {one.process.returncode}"]
                failures += [f"{one.program.name}: {name}\n{reason(name, output)}".strip() for name in named]
    except KeyboardInterrupt:
        stop(running)
        host.end(None)
        return 130
    kept.write_text(json.dumps(seconds, indent=0, sort_keys=True))
    log = kept.with_name("broker-host.log")
    host.end(log if failures else None)
    print(f"== brokers that shared a JVM: {host.cpu_seconds:.1f} s of CPU")

    print("\n".join(["", *(f"failed: {failure}" for failure in failures)]))
    if failures:
        print(f"what brokers that shared a JVM had to say: {log}")
    verdict = "FAILED" if failures else "ok"
    print(
        f"test result: {verdict}. {total.passed} passed; {total.failed} failed; {total.ignored} ignored; "
        f"{count} programs; finished in {time.monotonic() - begun:.0f} s"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
