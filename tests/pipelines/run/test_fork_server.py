"""The start of local workers: what they are born with, and what stays out."""

from __future__ import annotations

import subprocess
import sys

from deca_data.stages import in_run
from pipelines.run.fork_server import BY_DEFAULT
from pipelines.run.stage_plan import with_defaults, worker_imports


def test_the_imports_of_a_first_run_are_those_of_its_stages():
    assert sorted(BY_DEFAULT) == sorted(worker_imports(with_defaults({}, in_run())))


def _python(lines: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_rows_are_converted_without_pandas():
    assert _python("""
import sys
import pyarrow as pa
from pipelines.run.without_pandas import keep_pandas_out
keep_pandas_out()
table = pa.table({"a": pa.array([1.5, None]), "b": ["x", None]})
print("pandas" in sys.modules)
print(table.to_pandas()["a"].tolist(), __import__("pandas").__name__)
""") == ["False", "[1.5, nan] pandas"]


def test_workers_are_forked_with_their_modules_and_without_pandas():
    assert _python("""
import sys
from collections import deque
from pipelines.run.cluster import executor
from pipelines.run.fork_server import start_fork_server

class Look:
    def run(self):
        import pyarrow
        pyarrow.array([1])
        names = ("distributed", "deca_data.stages.detect", "json.tool", "pandas")
        return [name in sys.modules for name in names]

if __name__ == "__main__":
    start_fork_server(["deca_data.stages.detect"])
    with executor(2, None, ["json.tool"]) as execute:  # too late: the server runs
        for _, found in execute(deque([Look()])):
            print(found)
""") == ["[True, True, False, False]"]
