"""Many clients that upload recordings to a server, again and again, from a process of their own.

Usage: python -m tests.server.load URL MODEL CLIENTS SECONDS FILE...; prints JSON: how often each answer came, by status
and content, and the seconds that the answers took, sorted. Each client goes on until it has an answer other than 429.
"""

import http.client
import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}


def body_of(file: Path) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="audio_files"; filename="{file.name}"\r\n\r\n'
    return head.encode() + file.read_bytes() + b"\r\n--b--\r\n"


def load(url: str, model: str, clients: int, seconds: float, files: list[Path]) -> dict:
    bodies, place = [body_of(file) for file in files], urlsplit(url)
    end = time.monotonic() + seconds

    def ask(number: int) -> tuple[Counter[str], list[float]]:
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=300)
        answers, durations, index = Counter[str](), list[float](), number
        while (begin := time.monotonic()) < end or not durations:
            path = f"/model/predict-files?model_ckpt_path={quote(model)}"
            connection.request("POST", path, bodies[index % len(bodies)], HEADERS)
            response = connection.getresponse()
            content = response.read().decode()
            answers[f"{response.status} {files[index % len(files)].name} {content}"] += 1
            if response.status == 429:
                time.sleep(float(response.headers["Retry-After"]) / 10)
            else:
                durations.append(time.monotonic() - begin)
                index += clients
        return answers, durations

    with ThreadPoolExecutor(clients) as pool:
        outcomes = list(pool.map(ask, range(clients)))
    answers = sum((answers for answers, _ in outcomes), Counter[str]())
    return {"answers": answers, "durations": sorted(second for _, durations in outcomes for second in durations)}


if __name__ == "__main__":
    url, model, clients, seconds, *files = sys.argv[1:]
    print(json.dumps(load(url, model, int(clients), float(seconds), list(map(Path, files)))))
