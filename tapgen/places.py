"""Where the project keeps what is not Python: templates, the functions' code and their contract."""

from __future__ import annotations

from pathlib import Path

PROJECT_FOLDER = Path(__file__).resolve().parent.parent
LAMBDA_SOURCE = PROJECT_FOLDER / "lambda_src"
TEMPLATES_FOLDER = PROJECT_FOLDER / "templates_out"

# The one description of the API, shared with the function's own validation.
API_CONTRACT = "video_metadata_api/video_api/api_model.json"
