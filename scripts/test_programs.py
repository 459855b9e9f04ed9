"""Runs every test program of the workspace, several at a time, the longest of the last run first.

Most of a test's time is waiting: for brokers that start, sessions that end, transactions that time out.
`cargo test` runs one program after the other and leaves the machine idle meanwhile. A program's output is shown
whole when it has ended, so that nothing is mixed; the last lines are the sum of what libtest printed.

Usage: python3 scripts/test_programs.py [--at-once N]    (two unless told)
Exit status: 0 every test passed, 1 one did not, 2 the programs could not be built, 130 interrupted.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.M)
FAILED = re.compile(r"^test (.+) \.\.\. FAILED$", re.M)
# What has not been timed yet is thought to be a test on real brokers; these are known to take longer. Only the order
# depends on it: the longest come first, so that none is left alone at the end.
UNKNOWN_SECONDS = 45.0
LONG_SECONDS = {"tests/shared": 300.0, "tests/mm2_takeover": 150.0, "tests/chaos": 120.0, "tests/hostile": 110.0}
# A program that takes longer hangs: the longest takes seven minutes on a busy machine.
LIMIT_SECONDS = 1500
CARGO = ["cargo", "test", "--workspace", "--locked"]


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


def programs() -> list[Program]:
    """Builds the test programs and asks cargo where they are."""
    built = subprocess.run(
        [*CARGO, "--no-run", "--message-format", "json-render-diagnostics"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        sys.exit(2)
    found = []
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            folder = Path(message["manifest_path"]).parent
            name = f"{folder.name}/{message['target']['name']}"
            found.append(Program(name, folder, (message["executable"],)))
    found.append(Program("examples in doc comments", Path.cwd(), (*CARGO, "--doc", "--quiet")))
    return found


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


def wait_for_one(running: list[Running]) -> Running:
    """The first that ends. One past its limit is ended and said to be so."""
    while True:
        for one in running:
            if one.process.poll() is not None:
                return one
            if time.monotonic() - one.since > LIMIT_SECONDS:
                one.process.kill()
                one.process.wait()
                print(f"{one.program.name}: ended after {LIMIT_SECONDS} s without a result", flush=True)
                return one
        time.sleep(0.05)


def stop(running: list[Running]) -> None:
    """Asks them to end; their brokers end with them."""
    for one in running:
        if one.process.poll() is None:
            one.process.terminate()
    for one in running:
        one.process.wait()


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--at-once", type=int, default=2)
    at_once = max(1, arguments.parse_args().at_once)
    # A terminate is an interrupt: what was started is ended before this ends.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))

    kept = Path(os.environ["UNDERSTUDY_CACHE"]) / "test-seconds.json"
    seconds = seconds_of_last_run(kept)
    seconds = LONG_SECONDS | seconds
    waiting = sorted(programs(), key=lambda program: seconds.get(program.name, UNKNOWN_SECONDS))
    count, begun = len(waiting), time.monotonic()
    total, failures, running = Sum(), [], []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(start(waiting.pop()))
            ended = wait_for_one(running)
            running.remove(ended)
            took = time.monotonic() - ended.since
            seconds[ended.program.name] = round(took, 2)
            ended.output.seek(0)
            output = ended.output.read().decode(errors="replace")
            total.add(output)
            done = count - len(waiting) - len(running)
            also = ", ".join(one.program.name for one in running)
            print(f"== {done}/{count}  {ended.program.name}  {took:.1f} s" + (f"  (under way: {also})" if also else ""))
            print(output.strip("\n"), flush=True)
            if ended.process.returncode != 0:
                named = FAILED.findall(output) or [f"ended with {ended.process.returncode}"]
                failures += [f"{ended.program.name}: {name}" for name in named]
    except KeyboardInterrupt:
        stop(running)
        return 130
    kept.write_text(json.dumps(seconds, indent=0, sort_keys=True))

    print("\n".join(["", *(f"failed: {failure}" for failure in failures)]))
    verdict = "FAILED" if failures else "ok"
    print(
        f"test result: {verdict}. {total.passed} passed; {total.failed} failed; {total.ignored} ignored; "
        f"{count} programs; finished in {time.monotonic() - begun:.0f} s"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
