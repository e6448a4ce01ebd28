from __future__ import annotations

import os
import time
from pathlib import Path

from snakemake_executor_plugin_submitit import logs


def test_a_log_has_a_name(tmp_path: Path) -> None:
    first = tmp_path / "run/1/7_0_log.out"
    path = logs.link_log(tmp_path, "train", "seed=1", first)
    assert path == tmp_path / "logs/train/seed=1.log"
    first.parent.mkdir(parents=True)
    first.write_text("hello")
    assert path.read_text() == "hello"
    assert not os.path.isabs(os.readlink(path))
    assert logs.link_log(tmp_path, "all", "", first).name == "job.log"
    logs.link_log(tmp_path, "train", "seed=1", tmp_path / "other")
    assert not path.exists()


def test_old_runs_are_deleted(tmp_path: Path) -> None:
    names = ["20200101T000000-aaaaaa", "20200101T000000-bbbbbb", "20200101T000000-cccccc", "mine"]
    for name in names:
        (tmp_path / name).mkdir()
        if not name.endswith("c"):
            os.utime(tmp_path / name, (0, time.time() - 11 * 86400))
    gone = logs.link_log(tmp_path, "train", "a", tmp_path / names[0] / "log")
    logs.remove_old_runs(tmp_path, 0, [])
    assert (tmp_path / names[0]).exists()
    logs.remove_old_runs(tmp_path, 10, [names[1]])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[1:], "logs"])
    assert not gone.is_symlink()
