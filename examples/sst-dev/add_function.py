"""Tells a running `sst dev` of a function, in the way in which SST's own deployment does.

Standard library only: ``python3 add_function.py fn src/hello.handler``, in the project's folder.
"""

import json
import sys
import urllib.request
from pathlib import Path


def find_server() -> str:
    """Where the command line of this folder's project listens."""
    (place,) = Path(".sst").glob("*.server")
    return place.read_text().replace("0.0.0.0", "localhost")


def main(function_id: str, handler: str, runtime: str = "nodejs22.x") -> None:
    target = {
        "functionID": function_id,
        "handler": handler,
        "runtime": runtime,
        "dev": True,
        "properties": {},
        "links": {},
    }
    call = {"method": "Runtime.AddTarget", "params": [target], "id": 1}
    body = json.dumps(call).encode()
    with urllib.request.urlopen(f"{find_server()}/rpc", data=body) as answer:
        said = json.load(answer)
    if said.get("error"):
        sys.exit(f"sst dev refused {function_id}: {said['error']}")
    print(f"sst dev runs {handler} as {function_id}")


if __name__ == "__main__":
    main(*sys.argv[1:])
