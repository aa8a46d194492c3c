"""Answers `GET /?name=Ada` with a greeting."""

from urllib.parse import parse_qs, urlsplit

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    Method_Get,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

from greeting import greeting


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        url = urlsplit(request.path_with_query() or "/")
        if not isinstance(request.method(), Method_Get) or url.path != "/":
            return respond(response_out, 404, "try GET /?name=Ada")
        text = greeting(parse_qs(url.query).get("name", ["world"])[0])
        # What is printed becomes a log record of the request's trace.
        print(text)
        respond(response_out, 200, text)


def respond(response_out: ResponseOutparam, status: int, text: str) -> None:
    headers = Fields.from_list([("content-type", b"text/plain; charset=utf-8")])
    response = OutgoingResponse(headers)
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    # The stream ends before the body does. A longer body is written in pieces of at most
    # 4,096 bytes.
    with body.write() as stream:
        stream.blocking_write_and_flush(f"{text}\n".encode())
    OutgoingBody.finish(body, None)
