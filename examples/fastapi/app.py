"""Upload a document, and see its pages being read: the web server and the worker in one process.

EDGE_URL is where browsers find the edge, NATS_URL where this process finds NATS; NATS_CREDS is its credentials file, if any.
"""

import asyncio
import io
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, File, HTTPException, UploadFile
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from headway_worker import JobFailed, connect_reporter
from pypdf import PdfReader
from pypdf.errors import PyPdfError

EDGE_URL = os.environ.get("EDGE_URL", "http://localhost:8080")
NATS_URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
NATS_CREDS = os.environ.get("NATS_CREDS") or None
MAX_BYTES = 20_000_000
CHARACTERS_PER_PAGE = 3_000
PAGE = Path(__file__).parent / "page"

log = logging.getLogger("uvicorn.error")

# What gives the text of one page. It takes a while, so it is called in a thread.
Page = Callable[[], str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with connect_reporter(servers=NATS_URL, user_credentials=NATS_CREDS) as reporter:
        app.state.reporter = reporter
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/documents", status_code=202)
async def upload(document: Annotated[UploadFile, File()], background: BackgroundTasks) -> dict[str, str]:
    data = await document.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise HTTPException(413, f"The document is larger than {MAX_BYTES // 1_000_000} MB.")
    if not data.startswith(b"%PDF-") and not is_text(data):
        raise HTTPException(415, "This is neither a PDF nor text in UTF-8.")
    job_id = f"document-{uuid.uuid4().hex}"
    # The page follows the job at once. That it does not exist yet is fine.
    background.add_task(count_words, job_id, data)
    return {"job": job_id}


async def count_words(job_id: str, data: bytes) -> None:
    try:
        async with app.state.reporter.job(job_id, job_type="document.words") as job:
            pages = await asyncio.to_thread(pages_of, data)
            words = 0
            for number, page in enumerate(pages, start=1):
                words += len((await asyncio.to_thread(page)).split())
                job.report(current=number, total=len(pages), message=f"Read page {number} of {len(pages)}")
            await job.complete({"pages": len(pages), "words": words})
    except JobFailed as failure:
        # The page shows it to whoever uploaded the document.
        log.info("%s: %s", job_id, failure)


def pages_of(data: bytes) -> list[Page]:
    if not data.startswith(b"%PDF-"):
        text = data.decode()
        starts = range(0, len(text), CHARACTERS_PER_PAGE)
        return [lambda at=at: text[at : at + CHARACTERS_PER_PAGE] for at in starts]
    try:
        return [page.extract_text for page in PdfReader(io.BytesIO(data)).pages]
    except PyPdfError as error:
        raise JobFailed(f"The PDF cannot be read: {error}", code="unreadable") from error


def is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


@app.get("/", response_class=HTMLResponse)
def index() -> str:
    return (PAGE / "index.html").read_text().replace("EDGE_URL", escape(EDGE_URL))


app.mount("/", StaticFiles(directory=PAGE))
