"""The worker over plain HTTP: jobs, voices, OpenAI's speech endpoint and a web page, on `Worker.answer`.

    python -m server --port 8000

A face, nothing more: every job goes through `worker.core.Worker.answer`, as RunPod's do. Knows no engine, no SDK and no
bucket.
"""
