"""What `import pgpipe` offers."""

import subprocess
import sys


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own, as a user's program would."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_public_names_are_there() -> None:
    """Each is imported on first use; another one is an AttributeError."""
    done = python(
        "import pgpipe\n"
        "assert callable(pgpipe.search) and callable(pgpipe.Pipeline) and callable(pgpipe.Hit)\n"
        "from pgpipe import Hit, Pipeline, search\n"
        "assert not hasattr(pgpipe, 'nonsense')\n"
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_search_stays_a_function() -> None:
    """However often it is asked for, and whatever was imported before."""
    done = python("import pgpipe\nfor _ in range(2):\n    assert callable(pgpipe.search), pgpipe.search")

    assert (done.returncode, done.stderr) == (0, "")


def test_importing_is_light() -> None:
    """`pgpipe --help` waits neither for torch nor for boto3."""
    done = python(
        "import sys, pgpipe.cli\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'boto3', 'huggingface_hub'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )

    assert (done.returncode, done.stderr) == (0, "")
