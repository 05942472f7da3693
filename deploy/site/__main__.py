"""`python -m deploy.site`: builds the site into build/site; a broken link is an error."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.local import paths, virtual_environment
from deploy.site.pages import AT_THE_TOP, page, page_of

HERE: Final = Path(__file__).parent
LOCK: Final = HERE / "requirements.txt"
LOOKS: Final = ("logo.svg", "site.css")


def build(folder: Path) -> Path:
    """Build the site below the folder, and return where it is. Raises CalledProcessError."""
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    docs = sorted((paths.CHECKOUT / "docs").glob("*.md"))
    for path in (*AT_THE_TOP, *(f"docs/{it.name}" for it in docs)):
        text, pictures = page(path, (paths.CHECKOUT / path).read_text())
        (pages / (page_of(path) or "")).write_text(text)
        for picture in pictures:
            shutil.copy(paths.CHECKOUT / picture, pages)
    for name in LOOKS:
        shutil.copy(HERE / name, pages)
    for name in ("mkdocs.yml", "hooks.py"):
        shutil.copy(HERE / name, folder)
    mkdocs = str(virtual_environment.of(LOCK) / "bin/mkdocs")
    command = [mkdocs, "build", "--strict", "--quiet", f"--config-file={folder / 'mkdocs.yml'}"]
    # Its authors go on with Zensical, and say so each time; until May 2027 this is mended.
    subprocess.run(command, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    return folder / "site"


if __name__ == "__main__":
    try:
        print(build(paths.CHECKOUT / "build/docs") / "index.html")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
