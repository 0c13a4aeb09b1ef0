"""Routes by their path: what is fixed goes before what has parameters, as it is written."""

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api.by_path import by_path
from app.api.http.transport import respond
from tools.asgi import request


class Named:
    """Answers with its name and the parameters of the path."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        await respond(send, 200, f"{self._name} {scope['path_params']}".encode(), None, [])


ROUTES = [
    Route("/m/{name:path}/infer", Named("infer")),
    Route("/m/{name:path}", Named("one")),
    Route("/m/all", Named("all")),
    Route("/a%20b", Named("quoted")),
]
APP = Starlette(routes=by_path(ROUTES))


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/m/all", "all {}"),
        ("/m/x/infer", "infer {'name': 'x'}"),
        ("/m/x/y", "one {'name': 'x/y'}"),
        ("/m/all/infer", "infer {'name': 'all'}"),
    ],
)
def test_a_path_finds_its_route(path: str, answer: str) -> None:
    assert request(APP, "GET", path).text == answer


def test_nothing_else_is_found() -> None:
    for path in ("/", "/m", "/m/alls", "/M/all", "/n"):
        assert request(Starlette(routes=by_path(ROUTES[2:])), "GET", path).status == 404


def test_one_step_is_enough_for_any_number_of_paths() -> None:
    many = [Route(f"/{place}", Named(str(place))) for place in range(1000)]
    assert len(by_path(many)) == 1
    assert request(Starlette(routes=by_path(many)), "GET", "/999").text == "999 {}"
