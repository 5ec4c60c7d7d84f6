"""`finetune serve`: OpenAI's fine-tuning protocol over any backend. `server.serve` runs it; docs/serve.md says what it does.

What comes in is read by `requests`, what goes out is made by `shapes`; between them stand `files`, `jobs` and `chat`, each over
the `store`. Needs the extra `serve`; nothing outside this package imports FastAPI or uvicorn.
"""
