"""Checks what may depend on what, and where unsafe code may stand."""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What a step of a recovery may use; its tests also use the fakes.
STEP = {"understudy-domain", "understudy-recovery", "understudy-shell", "understudy-fakes"}
# Crate -> crates of ours that it may use.
ARROWS = {
    "understudy-domain": set(),
    "understudy-kafka": {"understudy-domain"},
    "understudy-flow": {"understudy-domain", "understudy-kafka"},
    "understudy-salvage": {"understudy-domain", "understudy-kafka", "understudy-flow"},
    "understudy": {
        "understudy-salvage", "understudy-domain", "understudy-kafka", "understudy-flow", "understudy-recovery", "understudy-shell", "understudy-steps",
        "understudy-machines", "understudy-world", "understudy-fakes", "understudy-aws",
    },
    "understudy-recovery": {"understudy-domain"},
    "understudy-shell": {"understudy-domain", "understudy-recovery"},
    "understudy-machines": {"understudy-recovery"},
    "fence-source": STEP,
    "unfence-source": STEP,
    "await-drain": STEP,
    "quiesce-clients": STEP,
    "seal-flow": STEP,
    "commit-group-offsets": STEP,
    "verify-offsets": STEP,
    "open-target": STEP,
    "reconfigure-clients": STEP,
    "verify-clients": STEP,
    "start-flow": STEP,
    "survey-tail": STEP,
    "put-aside-tail": STEP,
    "understudy-fakes": {"understudy-domain", "understudy-recovery", "understudy-shell"},
    "claim-epoch": STEP,
    "assess": {"understudy-domain", "understudy-recovery", "understudy-shell"},
    "plan-recovery": {"understudy-recovery", "understudy-shell"},
    "request-approval": {"understudy-recovery", "understudy-shell"},
    "answer-approval": {"understudy-recovery", "understudy-shell"},
    "record-evidence": {"understudy-recovery", "understudy-shell", "understudy-evidence-page"},
    "notify": {"understudy-recovery", "understudy-shell"},
    "probe-health": {"understudy-recovery", "understudy-shell"},
    "trigger-recovery": {"understudy-recovery", "understudy-shell"},
    "understudy-evidence-page": {"understudy-domain", "understudy-recovery"},
    "understudy-steps": {
        "answer-approval", "assess", "await-drain", "claim-epoch", "commit-group-offsets", "fence-source", "notify",
        "open-target", "plan-recovery", "probe-health", "put-aside-tail", "quiesce-clients", "reconfigure-clients", "record-evidence", "request-approval",
        "seal-flow", "start-flow", "survey-tail", "trigger-recovery", "unfence-source", "verify-clients", "verify-offsets",
        "understudy-domain", "understudy-fakes", "understudy-recovery", "understudy-shell",
    },
    "understudy-aws": {"understudy-domain", "understudy-recovery", "understudy-shell"},
    "understudy-world": {"understudy-domain", "understudy-flow", "understudy-kafka", "understudy-salvage", "understudy-recovery", "understudy-shell"},
    "understudy-functions": {
        "understudy-aws", "understudy-domain", "understudy-recovery", "understudy-shell", "understudy-steps", "understudy-world",
    },
    "understudy-tests": {"understudy-domain", "understudy-kafka", "understudy-recovery", "understudy-shell", "understudy-world"},
}
# What tests alone may use besides: the real steps over a world in memory, carried out by the machines as shipped.
IN_TESTS = {"understudy-machines": {"understudy-domain", "understudy-fakes", "understudy-shell", "understudy-steps"}}
# Crates of others that only the worker needs: what recovery functions stand on does not bring them along.
WORKER_ONLY = {"axum", "clap", "prometheus-client", "tokio-rustls"}
# What the domain may not touch: it decides, others act.
IMPURE = re.compile(r"\bstd::(fs|net|process|thread|env|io)\b|Instant::now|SystemTime::now|\basync\b|rdkafka|tokio")
UNSAFE = re.compile(r"\bunsafe\b")


def main() -> int:
    faults = []
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout
    )
    for package in metadata["packages"]:
        name = package["name"]
        if name not in ARROWS:
            faults.append(f"{name}: not in the table of arrows in {pathlib.Path(__file__).name}")
            continue
        used = {dependency["name"] for dependency in package["dependencies"]}
        tests = {dependency["name"] for dependency in package["dependencies"] if dependency["kind"] == "dev"}
        shipped = {dependency["name"] for dependency in package["dependencies"] if dependency["kind"] != "dev"}
        allowed = ARROWS[name] | {name} | (IN_TESTS.get(name, set()) & tests - shipped)
        for other in sorted(used & ARROWS.keys() - allowed):
            faults.append(f"{name} may not use {other}")
        if name == "understudy-flow":
            for other in sorted(used & WORKER_ONLY):
                faults.append(f"{name} may not use {other}: recovery functions would carry it")
    for path in sorted((ROOT / "replicator").rglob("*.rs")) + sorted((ROOT / "tests").rglob("*.rs")):
        relative = path.relative_to(ROOT)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            code = line.split("//")[0]
            if relative.parts[:3] == ("replicator", "domain", "src") and IMPURE.search(code):
                faults.append(f"{relative}:{number}: the domain is pure: {line.strip()}")
            if UNSAFE.search(code) and relative.parts[:4] != ("replicator", "kafka", "src", "ffi"):
                faults.append(f"{relative}:{number}: unsafe code belongs into replicator/kafka/src/ffi")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


sys.exit(main())
