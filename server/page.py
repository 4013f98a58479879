"""The web page: files as they lie in `page/`, served with their types. No build step, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from starlette.responses import FileResponse

from server.errors import Refused

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent / "page"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
# What there is, looked up once: a name from an address is compared, never made into a path.
FILES = {path.name: path for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES} if FOLDER.is_dir() else {}


@router.get("/")
async def page() -> Response:
    return _file("index.html")


@router.get("/page/{name}")
async def part(name: str) -> Response:
    return _file(name)


def _file(name: str) -> Response:
    if name not in FILES:
        raise Refused("NOT_FOUND", "there is no such file here; the page is at /; go there")
    path = FILES[name]
    # Asked for again each time: a new release is seen at once.
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
