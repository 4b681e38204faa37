"""``her2 serve``: predictions of a run over HTTP."""

from __future__ import annotations

import os
from pathlib import Path

import click

from her2core.cli.base import answer, as_json, cli, engine_option
from her2core.errors import ConfigError
from her2core.inference.engine_names import TOKEN

_HERE = ("127.0.0.1", "localhost", "::1")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--port", default=8080, show_default=True, help="Port to listen on.")
@click.option(
    "--address", default="127.0.0.1", show_default=True, help="Address to listen on; the default is this machine only."
)
@click.option("--host", "hosts", multiple=True, help="Name by which the server may be addressed; may be repeated.")
@click.option("--batch", default=16, show_default=True, help="Patches a pass through the network, at most.")
@click.option("--wait-ms", default=10.0, show_default=True, help="Time that a patch waits for others.")
@click.option("--device", default="cpu", show_default=True, help="Where the network runs: cpu, cuda, cuda:1.")
@engine_option
@as_json
def serve(
    run: Path,
    port: int,
    address: str,
    hosts: tuple[str, ...],
    batch: int,
    wait_ms: float,
    device: str,
    engine: str | None,
    as_json: bool,
) -> None:
    """Answer with predictions of a run over HTTP (extra: serve).

    POST /predict and /explain take one image, as multipart form or JSON; /docs describes them. The variable
    HER2_SERVE_TOKEN holds the token that requests must send; other addresses than this machine's need one.
    """
    from her2core.extras import require_extra

    require_extra("serve", "starlette", "uvicorn", "python_multipart", "prometheus_client")
    token = os.environ.get(TOKEN) or None
    if token is None and address not in _HERE:
        raise ConfigError(
            f"a token in {TOKEN} for an address that other machines reach",
            got="none",
            where=f"--address {address}",
            fix="Set it, or listen on 127.0.0.1.",
        )
    if not 1 <= batch <= 256 or not 0 <= wait_ms <= 1000:
        raise ConfigError(
            "--batch from 1 to 256 and --wait-ms from 0 to 1000", got=f"{batch} and {wait_ms:g}", fix="Correct them."
        )
    import uvicorn

    from her2core.evidence.reservation import reservation
    from her2core.inference.predictor import load_predictor
    from her2core.serving.app import make_app

    predictor = load_predictor(run, device=device, engine=engine)
    # A server of this machine alone answers to this machine's names alone, whatever name a visitor's browser resolved.
    named = hosts or ((*_HERE, "[::1]") if address in _HERE else ("*",))
    app = make_app(predictor, token=token, hosts=named, batch=batch, wait=wait_ms / 1000)
    url = f"http://{f'[{address}]' if ':' in address else address}:{port}"
    doubt = reservation(predictor.run)
    facts = {"url": url, "model": predictor.model_id, "engine": predictor.engine, "token": token is not None}
    facts["accuracy"] = doubt
    answer(as_json, facts, f"{doubt}\n{predictor.model_id} ({predictor.engine}) at {url}; description: {url}/docs")
    uvicorn.run(app, host=address, port=port, log_level="warning", server_header=False)
