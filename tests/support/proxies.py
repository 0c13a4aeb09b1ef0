"""Reverse proxies in front of servers, as operators run them."""

import contextlib
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.process import ROOT, end, free_port, start

# The deployed configuration, with a page of statistics.
HAPROXY = (
    (ROOT / "deploy" / "haproxy.cfg")
    .read_text()
    .replace("frontend clients\n", "frontend clients\n  stats enable\n  stats uri /stats\n")
)
NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream replicas {{
    server 127.0.0.1:{one} max_fails=0;
    server 127.0.0.1:{two} max_fails=0;
    keepalive 16;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream error timeout non_idempotent;
    }}
  }}
}}
"""


@contextlib.contextmanager
def proxied(proxy: str, one: int, two: int, folder: Path) -> Iterator[int]:
    """Run `haproxy` or `nginx` before the servers at two ports; yield its own port."""
    program = shutil.which(proxy, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program is not None, f"install {proxy}"
    port = free_port()
    settings = folder / "proxy.conf"
    places = {"LISTEN": port, "ONE": one, "TWO": two}
    if proxy == "haproxy":
        settings.write_text(HAPROXY)
        flags = ["-db", "-f", str(settings)]
    else:
        user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
        settings.write_text(NGINX.format(port=port, one=one, two=two, folder=folder, user=user))
        flags = ["-c", str(settings)]
    addresses = {name: f"127.0.0.1:{number}" for name, number in places.items()}
    process = start([program, *flags], env={**os.environ, **addresses})
    try:
        yield port
        process.terminate()
        process.wait(timeout=30)
    finally:
        end(process)
