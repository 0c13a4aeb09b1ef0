"""Program: read the options, prepare the model, run the job, and say what came of it."""

import logging
import sys
from collections.abc import Mapping, Sequence

from app import preflight
from app.bulk import job
from app.bulk.options import BulkOptions
from app.bulk.reading.inputs import Inputs
from app.bulk.rows import JobError
from app.bulk.writing.folder import claimed
from app.download.preparation import prepared
from app.errors import StartupError
from app.options.command_line import UsageError
from app.telemetry import logs

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a job; return the exit code."""
    try:
        options, settings = BulkOptions.read(arguments, environment)
    except UsageError as error:
        return _fail(f"{error}\nFor more information, try '--help'.", 2)
    logs.configure(
        settings.log_level, json_output=settings.json_output, spans=not settings.disable_spans
    )
    try:
        preflight.check(settings)
        inputs = Inputs.of(options.inputs, options.columns)
        with claimed(options.output), prepared(settings, environment) as (meant, folder):
            logs.start()
            done = job.run(options, meant, inputs, folder)
    except JobError as error:
        return _fail(str(error), error.code)
    except (StartupError, OSError) as error:
        return _fail(str(error), 1)
    except Exception:  # a scheduler must see any failure in the code and the last line
        logger.critical("exiting with code 1: the job ended; --resume goes on", exc_info=True)
        return 1
    logger.info(
        "%d rows in %s, %d rejected; %.0f tokens a second in this run",
        done.rows,
        options.output,
        done.rejected,
        done.tokens / max(done.seconds, 1e-9),
    )
    logs.flush()
    return 0


def _fail(text: str, code: int) -> int:
    """Say why on standard error, after what the log still has to say."""
    logs.flush()
    sys.stderr.write(f"Error: {logs.one_line(text) if code != 2 else text}\n")
    return code
