"""Import what DVC commands need, so that forks of this process need not."""

from importlib import import_module

for name in (
    "dvc.api",
    "dvc.cli.parser",
    "dvc.repo.checkout",
    "dvc.repo.graph",
    "dvc.repo.index",
    "dvc.repo.reproduce",
    "dvc.repo.stage",
    "dvc.repo.status",
    "dvc.utils.strictyaml",
    "networkx.algorithms",
    "pygit2",
    "ruamel.yaml",
):
    import_module(name)
