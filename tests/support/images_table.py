"""The table of docs/images.md, made from the families of images: `make images-table` writes it."""

import sys
from pathlib import Path

from sidecar import contract
from webhook.profile import OFFICIAL, PROFILES, Profile

PAGE = Path(__file__).parents[2] / "docs/images.md"
BEGIN, END = "<!-- made from webhook/profile.py by `make images-table` -->\n", "<!-- end -->\n"


def table() -> str:
    """Return the families that can be adopted, and those that can't."""
    adopted = [it for it in PROFILES if not it.refusal]
    refused = [it for it in PROFILES if it.refusal]
    lines = [
        "| family | found by | uid | data, if PGDATA does not say | starts with |"
        " superuser's password |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_adopted(it) for it in adopted),
        "",
        "| refused | the image |",
        "| --- | --- |",
        *(f"| {_listed(it.images)} | {it.refusal} |" for it in refused),
        "",
    ]
    return "\n".join(lines)


def _adopted(it: Profile) -> str:
    data = f"`{it.data_directory}`" if it.data_directory else "(PGDATA has to)"
    if it.ignores_pgdata:
        data += " whatever PGDATA says"
        data += f", or a folder there that `{it.folder_variable}` names"
    if it.since:
        data += f"; from {it.since[0]} on `{it.since[1]}`"
    data = data.replace(f"$({contract.ENV_POD_NAME})", "<pod>").replace("{major}", "<version>")
    own = [*it.entrypoint, *it.arguments]
    starts = f"`{' '.join(own)}`"
    if it.replaced_by:
        starts = f"`{' '.join(it.replaced_by)}`, in place of {starts}"
    return (
        f"| `{it.name}` | {_listed(it.images)} | {it.uid} | {data} | {starts} | {_password(it)} |"
    )


def _password(it: Profile) -> str:
    if it != OFFICIAL and it.password_variables == OFFICIAL.password_variables:
        return f"as `{OFFICIAL.name}`"
    password = [f"`{name}`" for name in it.password_variables]
    if it.password_file:
        password.append(f"a volume's `{it.password_file}`")
    return ", ".join(password)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def with_table(page: str) -> str:
    """Return the page's text with the present table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
    sys.exit(0)
