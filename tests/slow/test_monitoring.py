"""The alert rules and the dashboard, in a real Prometheus that scrapes a real server under load."""

import contextlib
import json
import math
import re
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import client, process
from tools.process import ROOT, Server, free_port

pytestmark = pytest.mark.slow

DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(panel["title"], one["expr"]) for panel in PANELS for one in panel["targets"]]
# Variables that Grafana fills in.
VARIABLES = {"$job": "embedding-service", "$instance": ".*", "$__rate_interval": "5s"}
EMBED = {"inputs": ["the cat sat on the mat", "dog"]}
LOAD = [
    ("/embed", {"inputs": "cat"}, 200),
    ("/embed", EMBED, 200),
    ("/v1/embeddings", {"input": "cat", "model": "any"}, 200),
    ("/embed", {"inputs": "cat", "dimensions": 0}, 422),
    ("/embed", {"inputs": ["cat"] * 33}, 422),
    ("/predict", {"inputs": "cat"}, 424),
    ("/nowhere", {}, 404),
]


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, "install prometheus"
    return found


def promtool(*arguments: str) -> None:
    checked = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_rules_and_the_scrape_are_valid() -> None:
    promtool("check", "config", str(DEPLOY / "prometheus.yml"))


def test_each_alert_fires_when_it_should() -> None:
    rules = Path(__file__).with_name("alerts.yml")
    promtool("test", "rules", str(rules))
    declared = re.findall(r"alert: (\w+)", (DEPLOY / "alerts.yml").read_text())
    fired = re.findall(r"alertname: (\w+)\n +eval_time: .*\n +exp_alerts:\n", rules.read_text())
    assert sorted(set(fired)) == sorted(declared)


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(places)) == len(places)
    assert {x for x, _ in places} == set(range(24))
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert {f"${name}" for name in variables} == {*VARIABLES, "$datasource"} - {"$__rate_interval"}


class Prometheus:
    """A Prometheus with the rules of the repository, which scrapes one server."""

    def __init__(self, port: int) -> None:
        self._port = port

    def query(self, expression: str) -> list[Any]:
        """Return the current samples of an expression; invalid expressions fail the test."""
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        answer = client.get(
            self._port, "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        ).json
        assert answer["status"] == "success", (expression, answer)
        found: list[Any] = answer["data"]["result"]
        return found

    def rules(self) -> list[Any]:
        groups = client.get(self._port, "/api/v1/rules").json["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextlib.contextmanager
def prometheus(server: Server, folder: Path) -> Iterator[Prometheus]:
    port = free_port()
    config = (DEPLOY / "prometheus.yml").read_text()
    for old, new in (
        ("localhost:8000", f"127.0.0.1:{server.port}"),
        ("scrape_interval: 15s", "scrape_interval: 500ms\n  evaluation_interval: 500ms"),
        ("- alerts.yml", f"- {DEPLOY / 'alerts.yml'}"),
    ):
        assert config.count(old) == 1
        config = config.replace(old, new)
    (folder / "prometheus.yml").write_text(config)
    command = [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", "--log.level=error"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    monitor = process.start(command, cwd=folder)

    def has_targets() -> bool:
        assert monitor.poll() is None, "Prometheus ended"
        with contextlib.suppress(OSError, ValueError):
            return bool(client.get(port, "/api/v1/targets").json["data"]["activeTargets"])
        return False

    try:
        process.eventually(has_targets, 60, "Prometheus does not listen")
        yield Prometheus(port)
    finally:
        process.end(monitor)


def ask(server: Server) -> None:
    """Send one round of requests of every kind, each answered as it must be."""
    for path, body, status in LOAD:
        assert server.post(path, body).status == status, (path, body)


@pytest.fixture
def server(tiny_model: Path, tmp_path: Path) -> Iterator[Server]:
    flags = ("--max-concurrent-requests", "8", "--served-model-name", 'a "model"')
    server = Server("--model-id", str(tiny_model), *flags, log=tmp_path / "log")
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def numbers(samples: list[Any]) -> list[float]:
    return [float(sample["value"][1]) for sample in samples]


def test_every_panel_shows_numbers_and_no_alert_goes_off(server: Server, tmp_path: Path) -> None:
    # The model embeds, so there are no predictions to show.
    wanted = [one for one in EXPRESSIONS if "te_predict_success" not in one[1]]
    with prometheus(server, tmp_path) as monitor:

        def all_show_numbers() -> bool:
            ask(server)
            return all(
                any(map(math.isfinite, numbers(monitor.query(expression))))
                for _, expression in wanted
            )

        process.eventually(all_show_numbers, 60, "a panel shows nothing")
        for _, expression in set(EXPRESSIONS) - set(wanted):
            assert monitor.query(expression) == []
        answers = monitor.query('te_http_response_count{path!="/metrics"}')
        assert {sample["metric"]["status"] for sample in answers} == {str(one[2]) for one in LOAD}
        [model] = monitor.query("te_model_info")
        assert model["metric"]["model"] == 'a "model"'
        text = (DEPLOY / "alerts.yml").read_text()
        for name in set(re.findall(r"\b(?:te|process)_\w+|\bup\b", text)):
            assert monitor.query(name), name
        rules = monitor.rules()
        assert len(rules) == text.count("- alert: ")
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        assert not any(rule.get("lastError") for rule in rules)
        assert {rule["state"] for rule in rules} <= {"inactive", "pending"}
