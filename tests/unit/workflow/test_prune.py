"""`prune` finds what params.yaml no longer names, and nothing else."""

import shutil

from pipeline.config.grid import Config
from pipeline.config.paths import Paths
from pipeline.storage import dvc_lock
from pipeline.storage.locks import run_lock
from pipeline.workflow.prune import find_stale, remove

Study = tuple[Config, Paths]
OLD = "original-3-0"


def test_what_the_grid_lost_is_found_and_removed_and_the_rest_stays(
    study: Study, trained: Study
) -> None:
    params, paths = study
    (paths.root / "data").symlink_to(trained[1].root / "data")
    assert not any(find_stale(params, paths)), "a study without leftovers has none"
    entry = {"cmd": "true", "outs": [{"path": f"models/{OLD}", "md5": "0" * 32}]}
    of_size = {"cmd": "true", "outs": [{"path": "reports/rivals/3.json", "md5": "0" * 32}]}
    stages = {
        "fetch": entry,
        "train@pca_refined-2-0": entry,
        f"train@{OLD}": entry,
        "rivals@3": of_size,
    }
    dvc_lock.write(paths.dvc_lock, stages)
    shutil.copytree(paths.model("original-2-0"), paths.model(OLD))
    shutil.copy(paths.metrics("original-2-0"), paths.metrics(OLD))
    shutil.copy(paths.rivals(2), paths.rivals(3))
    models = paths.model(OLD).parent
    (models / ".gitignore").touch()
    # A person's own, which no cache has.
    (models / "notes.md").write_text("notes")
    (models / "my_pretrained").mkdir()
    (models / "my_pretrained" / "weights.safetensors").touch()
    abandoned, training = paths.lock("a" * 32), paths.lock("b" * 32)
    for lock in (abandoned, training):
        with run_lock(lock, OLD):
            pass
    with run_lock(training, OLD):
        found = find_stale(params, paths)
        assert set(found.outs) == {paths.model(OLD), paths.metrics(OLD), paths.rivals(3)}
        assert found.lock_entries == [f"train@{OLD}", "rivals@3"]
        assert found.checkpoints == [abandoned.parent], "a training that goes on is none"
        before = set(paths.root.rglob("*"))
        remove(found, paths)
        assert not any(find_stale(params, paths))
    assert set(dvc_lock.entries(paths.dvc_lock)) == {"fetch", "train@pca_refined-2-0"}
    gone = before - set(paths.root.rglob("*"))
    assert gone
    for path in gone - {paths.rivals(3)}:
        assert OLD in str(path) or abandoned.parent in (path, *path.parents), path
