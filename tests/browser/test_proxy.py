"""The proxy of docs/security.md in front of the dashboard: pages, websocket and host names."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from benchmarks.browser import dashboard, errors, open_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_the_proxy_of_the_security_page_passes_pages_and_websockets(page, tmp_path):
    location = re.search(r"location / \{.*?\n +\}", PAGE.read_text(), flags=re.DOTALL)[0]
    port = free_port()
    with dashboard(STREAMLIT_SERVER_ALLOWED_HOSTS="127.0.0.1") as address:
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
            f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;\n"
            f"fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n"
            f"server {{ listen 127.0.0.1:{port};\n{location.replace('http://127.0.0.1:8501', address)}\n}} }}\n"
        )
        proxy = subprocess.Popen([NGINX, "-c", config, "-e", tmp_path / "error.log"], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert proxy.poll() is None, (tmp_path / "error.log").read_text()
                time.sleep(0.05)
            open_page(page, f"http://127.0.0.1:{port}", "about")
            assert page.locator("h1").first.inner_text() == "About"
            assert errors(page) == []
            other = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": "elsewhere.example"})
            with pytest.raises(urllib.error.HTTPError, match="400"):
                urllib.request.urlopen(other, timeout=10)
        finally:
            proxy.terminate()
            proxy.wait(10)
