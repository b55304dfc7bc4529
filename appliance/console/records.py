"""``/api/records``: calls that are over, one record each, as JSON or for a spreadsheet."""

import csv
import io
from collections.abc import Sequence

from aiohttp import web
from msgspec.structs import asdict, fields

from appliance.console.answer import json_response
from appliance.console.operations import LAST_US, RECORDS, RecordsAnswer
from appliance.core.archive import Archive, EndedCall, RecordFilter

COLUMNS = [field.name for field in fields(EndedCall)]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def records_response(request: web.Request, archive: Archive) -> web.Response:
    """See :data:`appliance.console.operations.RECORDS`. :raises BadParameterError: a parameter is none."""
    asked = RECORDS.read(request)
    as_csv = asked.pop("format") == "csv"
    since, until = asked.pop("since"), asked.pop("until")
    wanted = RecordFilter(since_us=since or 0, until_us=LAST_US if until is None else until, **asked)
    found = await archive.records(wanted)
    if as_csv:
        return _csv(found)
    before = found[-1].id if len(found) == wanted.limit else None
    return json_response(RecordsAnswer(records=found, before=before))


def _csv(found: Sequence[EndedCall]) -> web.Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for each in found:
        writer.writerow([_cell(value) for value in asdict(each).values()])
    response = web.Response(
        body=text.getvalue().encode(),
        headers={
            "Content-Type": "text/csv; charset=utf-8; header=present",
            "Content-Disposition": 'attachment; filename="records.csv"',
            "Cache-Control": "no-store",
        },
    )
    response.enable_compression()
    return response


def _cell(value: object) -> object:
    # A display name is its owner's to choose, and a spreadsheet would run it.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
