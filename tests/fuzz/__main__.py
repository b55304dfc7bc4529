"""``python -m tests.fuzz [SECONDS] [TARGET...]``: atheris on each target in turn, beginning with its corpus.

Needs ``pip install -e '.[fuzz]'``. What breaks a target is written beside the corpus as ``crash-*``: name it after what
is wrong with it, and mend the reader.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
LIMIT_BYTES = 4096


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    atheris.instrument_all()
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-max_len={LIMIT_BYTES}", f"-artifact_prefix={folder}/", "-timeout=10"]
    with tempfile.TemporaryDirectory() as finds:
        # The fuzzer adds to the first: the corpus that is kept is the one that people chose.
        atheris.Setup([sys.argv[0], *options, finds, str(folder)], TARGETS[name])
        atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Each target in a process of its own, because the fuzzer ends the one it runs in."""
    if arguments[:1] == ["--one"]:
        fuzz(arguments[1], int(arguments[2]))
        return 0
    seconds = int(arguments[0]) if arguments else 60
    names = arguments[1:] or list(TARGETS)
    unknown = set(names) - set(TARGETS)
    if unknown:
        print(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    failed = [
        name
        for name in names
        if subprocess.run([sys.executable, "-m", "tests.fuzz", "--one", name, str(seconds)], check=False).returncode
    ]
    print(f"{len(names) - len(failed)} of {len(names)} targets held; broken: {', '.join(failed) or 'none'}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
