"""The clients of `clients/`, in their languages, against the emulator with the real services behind it.

  python3 tests/clients         all of them; `tests/run` calls it so, with the servers that it has started
  python3 tests/clients NAME    those whose name has NAME in it

ISSEI_TEST_AWS_URL names the emulator, which must have SES and tell what it has sent, as ministack does, and
ISSEI_TEST_BINARY another `issei` than the one in target/debug. What a test needs and does not find is named, and the test
is skipped by name; with CI=true it has failed instead.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VENV = ROOT / "target" / "clients-venv"
REQUIREMENTS = ROOT / "clients" / "python" / "test" / "requirements.txt"


def in_venv():
    """Runs with the packages that the Python client is tested with, installed where they are not."""
    if os.path.realpath(sys.prefix) == os.path.realpath(VENV):
        return
    mark = VENV / "installed.txt"
    if not mark.exists() or mark.read_text() != REQUIREMENTS.read_text():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", "-r", str(REQUIREMENTS)], check=True)
        mark.write_text(REQUIREMENTS.read_text())
    os.execv(VENV / "bin" / "python", [str(VENV / "bin" / "python"), *sys.argv])


def main():
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    import goldens
    import jobs
    import policy
    import services
    from world import Skipped, World

    # Whoever ends this ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tests = [getattr(module, name) for module in (goldens, services, jobs, policy) for name in module.TESTS]
    wanted = [test for test in tests if not sys.argv[1:] or any(word in test.__name__ for word in sys.argv[1:])]
    passed, failed, skipped = [], [], []
    with World() as world:
        for test in wanted:
            began = time.monotonic()
            try:
                test(world)
                passed.append(test.__name__)
                result = "ok"
            except Skipped as why:
                if os.environ.get("CI") == "true":
                    failed.append(test.__name__)
                skipped.append(test.__name__)
                result = f"ignored: SKIPPED, {why}"
            except Exception:
                failed.append(test.__name__)
                traceback.print_exc(file=sys.stdout)
                world.print_logs()
                result = "FAILED"
            print(f"test {test.__name__} ... {result} ({time.monotonic() - began:.0f} s)", flush=True)
    # As cargo's test binaries end, so that `tests/run` counts them alike.
    if failed:
        print("\nfailures:\n" + "".join(f"    {name}\n" for name in failed))
    print(f"\ntest result: {'FAILED' if failed else 'ok'}. {len(passed)} passed; {len(failed)} failed; {len(skipped)} ignored")
    return 1 if failed else 0


if __name__ == "__main__":
    in_venv()
    sys.exit(main())
