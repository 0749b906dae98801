"""Run the notebook in docs/. `python -m tests.support.notebook` writes it anew, with what its cells print and draw."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.support import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
SECONDS = 300  # for one cell, on a busy machine


class ThisInterpreter(AsyncKernelManager):
    """A kernel of the interpreter that runs the tests, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def read_notebook() -> NotebookNode:
    """The notebook as it is committed."""
    return nbformat.read(NOTEBOOK, as_version=4)


def run_notebook(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run all cells in a folder, from top to bottom, and fill their outputs in.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an exception.
    """
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_manager_class=ThisInterpreter,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    with TemporaryDirectory() as settings:  # instead of the user's own: no startup files, no history
        here = {"PYTHONPATH": str(ROOT), "IPYTHONDIR": settings, "JUPYTER_RUNTIME_DIR": settings}
        drawing = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        return client.execute(env={**os.environ, **here, **drawing})


def main() -> None:
    """Run the notebook where it lies and write it."""
    notebook = read_notebook()
    kept = notebook.metadata.copy()
    run_notebook(notebook, NOTEBOOK.parent)
    notebook.metadata = kept  # without the version of Python that ran it
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
