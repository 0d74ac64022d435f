"""The HTTP API: FastAPI over the `Operations` port."""
