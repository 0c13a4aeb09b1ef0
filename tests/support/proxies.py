"""Reverse proxies in front of servers, as operators run them."""

import contextlib
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.process import end, free_port, start

HAPROXY = """
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend clients
  bind 127.0.0.1:{port}
  stats enable
  stats uri /stats
  default_backend replicas
backend replicas
  balance leastconn
  option httpchk GET /readyz
  default-server check inter 200ms fall 1 rise 1
  server one 127.0.0.1:{one}
  server two 127.0.0.1:{two}
"""
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
    """A running `haproxy` or `nginx` before the servers at two ports; its own port."""
    program = shutil.which(proxy, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program is not None, f"install {proxy}"
    port = free_port()
    template = HAPROXY if proxy == "haproxy" else NGINX
    settings = folder / "proxy.conf"
    user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
    settings.write_text(template.format(port=port, one=one, two=two, folder=folder, user=user))
    flags = ["-db", "-f", str(settings)] if proxy == "haproxy" else ["-c", str(settings)]
    process = start([program, *flags])
    try:
        yield port
        process.terminate()
        process.wait(timeout=30)
    finally:
        end(process)
