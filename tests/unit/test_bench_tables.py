"""A GPU's tables in docs/performance.md say what `make bench` wrote, or that nobody measured."""

from pathlib import Path

from benchmarks.results import MEASURING, save, value_rows
from docs.speed import UNMEASURED, bench_setting, gpu_aims, gpu_training, measured

ROW = {
    "table": "gpu_training",
    "case": "original",
    "batch_size": 64,
    "step": "graph",
    "images_per_second": 81_234,
    "milliseconds_a_step": 0.79,
    "of_peak": 4.5,
    "start_seconds": 1.2,
    "gpu_memory_mib": 512,
}


def test_without_a_gpu_every_figure_is_unmeasured(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    assert UNMEASURED in bench_setting(path).lower()
    assert gpu_aims(path).count(UNMEASURED) == 4
    assert UNMEASURED in gpu_training(path)
    assert UNMEASURED in measured("gpu_stages", "gpu_study", path=path)


def test_what_the_bench_wrote_is_shown_beside_its_aim(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    save([ROW, ROW | {"step": "eager", "images_per_second": 13_000}], "Some Card", path)
    save(value_rows("gpu_stages", {MEASURING: (37.5, "s")}), "Some Card", path)
    assert "Measured on Some Card" in bench_setting(path)
    aims = gpu_aims(path).splitlines()
    assert "| 13,400 | 81,234 | 80,000 | reached | 150,000 | missed |" in aims[2]
    assert f"| {UNMEASURED} | 50,000 | – | 100,000 | – |" in aims[3]
    assert "| 37.5 | 40 | reached | 15 | missed |" in aims[4]
    assert "| `original` | 64 | graph | 81,234 | 0.79 | 4.5 % | 1.2 | 512 |" in gpu_training(path)
    assert "37.5 s" in measured("gpu_stages", "gpu_study", path=path)


def test_a_table_measured_elsewhere_does_not_rename_the_others(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save(value_rows("growth", {"a": (1.0, "s")}), "a server", path)
    save(value_rows("explorer", {"b": (2.0, "ms")}), "a laptop", path)
    said = bench_setting(path)
    assert "`growth` on a server" in said
    assert "`explorer` on a laptop" in said
    assert "| a | 1 s |" in measured("growth", path=path)
