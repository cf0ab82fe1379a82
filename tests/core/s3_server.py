"""A server on loopback that answers the two requests by which objects of S3 are found and fetched."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from urllib.parse import parse_qs, quote, unquote, urlsplit

ANSWER = "<ListBucketResult>{}</ListBucketResult>"
FAULT = "<Error><Code>{0}</Code><Message>{0}</Message></Error>"


class S3Server(ThreadingHTTPServer):
    """Objects by bucket and key, and what goes wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), S3Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.faults: list[tuple[int, str]] = []
        """Statuses and codes of the next answers."""
        self.breaks: list[int] = []
        """Bytes of the next objects after which their connections break off."""
        self.page_size = 1000
        self.is_silent = False
        self.over = Event()
        self.requests: list[str] = []


class S3Handler(BaseHTTPRequestHandler):
    server: S3Server

    def do_GET(self):
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
        self.server.requests.append(f"{bucket}/{key}")
        if self.server.is_silent:
            self.server.over.wait(30)
        elif "Authorization" not in self.headers:
            self.fail(403, "AccessDenied")
        elif self.server.faults:
            self.fail(*self.server.faults.pop(0))
        elif bucket not in self.server.buckets:
            self.fail(404, "NoSuchBucket")
        elif not key:
            self.list_objects(self.server.buckets[bucket], parse_qs(parts.query))
        elif key not in self.server.buckets[bucket]:
            self.fail(404, "NoSuchKey")
        else:
            self.answer(200, self.server.buckets[bucket][key], self.server.breaks)

    def list_objects(self, objects, query):
        (prefix,), (first,) = query.get("prefix", [""]), query.get("continuation-token", ["0"])
        keys = sorted(key for key in objects if key.startswith(prefix))
        end = int(first) + self.server.page_size
        content = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{len(objects[key])}</Size></Contents>"
            for key in keys[int(first) : end]
        )
        if end < len(keys):
            content += f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
        self.answer(200, ANSWER.format(f"<EncodingType>url</EncodingType>{content}").encode())

    def fail(self, status, code):
        self.answer(status, FAULT.format(code).encode())

    def answer(self, status, content, breaks=()):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: breaks.pop(0)] if breaks else content)

    def log_message(self, *_):
        pass
