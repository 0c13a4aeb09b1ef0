"""The dashboard, checked by the types of Grafana's own schema of dashboards and panels."""

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.process import ROOT

NODE_MODULES = ROOT / "tests" / "clients" / "node_modules"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
PANELS = {"stat": "Stat", "table": "Table", "timeseries": "TimeSeries"}
CONFIGURED = ("table", "timeseries")  # panels whose fields have settings of their own
CHECK = (
    "--noEmit --strict --skipLibCheck --moduleResolution bundler --module esnext --target es2022"
)


def program(dashboard: Any) -> Iterator[str]:
    """Return a program that type-checks if the dashboard has the right types."""
    yield 'import type { Dashboard } from "@grafana/schema";'
    for kind, name in PANELS.items():
        path = f"@grafana/schema/dist/esm/raw/composable/{kind}/panelcfg/x/{name}PanelCfg_types.gen"
        yield f'import type * as {name} from "{path}";'
    yield "type Json<T> = T extends string ? `${T}`"  # Grafana's schema has no enumerations
    yield "  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;"
    yield f"export const dashboard: Json<Dashboard> = {json.dumps(dashboard, indent=1)};"
    for panel in dashboard["panels"]:
        kind, number = panel["type"], panel["id"]
        if kind == "row":
            continue
        options = json.dumps(panel["options"], indent=1)
        yield f"export const options{number}: Json<Partial<{PANELS[kind]}.Options>> = {options};"
        custom = panel["fieldConfig"]["defaults"].get("custom")
        if custom is not None:
            assert kind in CONFIGURED
            type_ = f"Json<Partial<{PANELS[kind]}.FieldConfig>>"
            yield f"export const custom{number}: {type_} = {json.dumps(custom, indent=1)};"


def complaints(dashboard: Any, folder: Path) -> str:
    """Return what the compiler reports."""
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "dashboard.ts").write_text("\n".join(program(dashboard)))
    return subprocess.run(
        [NODE_MODULES / ".bin" / "tsc", *CHECK.split(), "dashboard.ts"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
    ).stdout


def test_the_dashboard_has_the_types_of_grafanas_schema(tmp_path: Path) -> None:
    assert complaints(DASHBOARD, tmp_path) == ""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"gridPosition": {}}, "'\"gridPosition\"' does not exist"),
        ({"options": {"legend": "below"}}, "Type 'string' is not assignable"),
        ({"title": 3}, "Type 'number' is not assignable to type 'string"),
    ],
)
def test_a_panel_of_another_type_is_noticed(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    wrong = copy.deepcopy(DASHBOARD)
    next(panel for panel in wrong["panels"] if panel["type"] == "timeseries").update(change)
    assert complaint in complaints(wrong, tmp_path)
