"""Request: flags before environment before defaults, and exports that are already there."""

from pathlib import Path

import pytest

from app.options.settings import Settings
from export.cli import Request, already_exported, parse, understood
from export.errors import ExportError


def test_defaults() -> None:
    assert parse(["org/name"], {}) == Request("org/name")


def test_environment_fills_in_what_no_flag_says() -> None:
    environment = {"REVISION": "v1", "POOLING": "last-token", "MODELS_DIR": "/m"}
    assert parse(["x"], environment) == Request("x", "v1", "last_token", Path("/m"))
    flags = ["x", "--revision", "v2", "--pooling", "cls", "--models-dir", "/n", "--if-missing"]
    assert parse(flags, environment) == Request("x", "v2", "cls", Path("/n"), if_missing=True)


def test_the_server_s_variables_are_understood_alike() -> None:
    environment = {"MODEL_ID": "org/name", "POOLING": "lasttoken", "MODELS_DIR": "~/models"}
    found = parse([], environment)
    server = Settings.read([], environment)
    assert (found.model, found.pooling, found.models_dir) == (
        server.model_id,
        server.pooling,
        server.models_dir,
    )


def test_a_name_is_understood_as_the_server_does(tmp_path: Path) -> None:
    page = "https://huggingface.co/BAAI/bge-m3/tree/v1"
    wanted = understood(parse([page, "--models-dir", str(tmp_path)], {}), {})
    assert (wanted.model, wanted.revision) == ("BAAI/bge-m3", "v1")
    assert wanted.folder == tmp_path / "BAAI--bge-m3@v1"
    with pytest.raises(ExportError, match=r"\./nope is not a folder: give one"):
        understood(parse(["./nope"], {}), {})


def test_code_is_trusted_by_flag_or_environment_only() -> None:
    assert parse(["x", "--trust-remote-code"], {}).trust_code
    assert parse(["x"], {"TRUST_REMOTE_CODE": "true"}).trust_code
    assert not parse(["x"], {"TRUST_REMOTE_CODE": "false"}).trust_code


def test_empty_counts_as_unset() -> None:
    environment = {"REVISION": "", "POOLING": "", "MODELS_DIR": "", "TRUST_REMOTE_CODE": ""}
    assert parse(["x"], environment) == Request("x")
    assert parse(["x", "--pooling", "", "--revision", ""], {}) == Request("x")


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {}, "MODEL is missing: give a Hub id or a folder"),
        ([""], {"MODEL_ID": "x"}, "MODEL is missing"),
        (
            ["x", "--pooling", "max"],
            {},
            "--pooling max (environment: POOLING): must be one of cls,",
        ),
        (["x"], {"POOLING": "max"}, "--pooling max (environment: POOLING): must be one of cls,"),
        (["x"], {"TRUST_REMOTE_CODE": "on"}, "TRUST_REMOTE_CODE=on: must be true or false"),
        (["x", "--dtype", "int4"], {}, "--dtype: 'int4' is not a precision: choose from auto,"),
        (["x"], {"DTYPE": "half"}, "--dtype: 'half' is not a precision"),
        (["x", "--nonsense"], {}, "unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str],
    environment: dict[str, str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments, environment)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environment", "dtypes"),
    [
        (["--dtype", "int8"], {}, ("int8",)),
        (["--dtype", "float32,int8"], {}, ("int8",)),
        (["--dtype", "bfloat16", "--dtype", "int8"], {}, ("int8",)),
        ([], {"DTYPE": "int8"}, ("int8",)),
        (["--dtype", "float32"], {"DTYPE": "int8"}, ()),
        ([], {"DTYPE": "auto"}, ()),
    ],
)
def test_precisions_with_a_graph_of_their_own_are_read(
    arguments: list[str], environment: dict[str, str], dtypes: tuple[str, ...]
) -> None:
    assert parse(["x", *arguments], environment).dtypes == dtypes


def test_folder_is_named_by_id_and_revision() -> None:
    request = Request("org/name", "v1", models_dir=Path("/m"))
    assert request.folder == Path("/m/org--name@v1")


def test_exported_model_is_found_by_name_and_as_a_folder(exported: Path) -> None:
    models_dir = exported.parent
    assert already_exported(Request("tiny-bert", models_dir=models_dir)) == exported
    assert already_exported(Request(str(exported))) == exported


def test_other_pooling_revision_or_damage_means_that_it_is_missing(
    exported: Path, tmp_path: Path
) -> None:
    models_dir = exported.parent
    assert already_exported(Request("tiny-bert", pooling="mean", models_dir=models_dir))
    assert not already_exported(Request("tiny-bert", pooling="cls", models_dir=models_dir))
    assert not already_exported(Request("tiny-bert", "v1", models_dir=models_dir))
    assert not already_exported(Request("tiny-bert", models_dir=models_dir, dtypes=("int8",)))
    (tmp_path / "tiny-bert").mkdir()
    (tmp_path / "tiny-bert/manifest.json").write_text("{}")
    assert not already_exported(Request("tiny-bert", models_dir=tmp_path))
