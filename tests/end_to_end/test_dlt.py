"""kayrros_ext.dlt loads results into a warehouse, here DuckDB, and replaces what was revised."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kayrros_ext.testing import Platform

pytest.importorskip("dlt", reason="the group dev installs it")

# In a process of its own, because dlt configures logging and warns of what other libraries do.
LOAD = """
import sys, dlt
from kayrros_ext.dlt import kayrros_source
folder, *datasets = sys.argv[1:]
destination = dlt.destinations.duckdb(f"{folder}/warehouse.duckdb")
pipeline = dlt.pipeline("kayrros", destination=destination, dataset_name="kayrros", pipelines_dir=folder)
pipeline.run(kayrros_source(datasets)).raise_on_failed_jobs()
with pipeline.sql_client() as client:
    columns = "dataset_id, asset_id, epoch_ms(value_date), metric, value"
    for row in client.execute_sql(f"select {columns} from results order by all"):
        print(*row, sep="|")
    print(*client.execute_sql("select distinct asset_categories, typeof(value_date) from results"))
"""


@pytest.mark.slow
def test_two_loads_with_revisions(tmp_path: Path) -> None:
    """The warehouse has each row once, revised values in place of earlier ones, and the second run asks for the window."""
    platform = Platform(max_rows=300)
    datasets = [platform.generate(seed=seed, assets=4, dates=60) for seed in (1, 2)]
    with platform.serve() as url:
        env = {**os.environ, **platform.environment(url), "RUNTIME__DLTHUB_TELEMETRY": "false"}
        command = [sys.executable, "-c", LOAD, str(tmp_path), *(dataset.id for dataset in datasets)]

        def load() -> list[str]:
            run = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr[-2000:]
            return run.stdout.splitlines()

        def expected() -> list[str]:
            rows = []
            with platform.connect(base_url=url) as kayrros:
                for dataset in datasets:
                    table = kayrros.results(dataset.id, progress=False).table
                    for row in table.to_pylist():
                        date = int(row["value_date"].timestamp() * 1000)
                        rows.append(f"{dataset.id}|{row['asset_id']}|{date}|{row['metric']}|{row['value']}")
            return sorted(rows)

        *rows, types = load()
        assert sorted(rows) == expected()
        assert types == "('crude_oil;floating_roof_tank', 'TIMESTAMP WITH TIME ZONE')"
        for dataset in datasets:
            platform.revise(
                dataset, {"tank-000001": {"2025-02-11": {"fill_level_pct": 1.5}}, "new": {"2025-03-01": {"a": 1}}}
            )
        before = len(platform.requests)
        *rows, _ = load()
        requests = [request for request in platform.requests[before:] if request.operation == "getDatasetResults"]
        assert all(request.json["time_range"]["start_date"] > 1_700_000_000_000 for request in requests)
        assert sorted(rows) == expected()
