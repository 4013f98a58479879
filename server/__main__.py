"""Serve a worker over HTTP, or manage its API keys.

    python -m server [--host 127.0.0.1] [--port 8000] [--keys FILE] ...
    python -m server keys add NAME [--scopes speak,voices] [--requests-per-minute N] [--jobs-at-once N]
    python -m server keys list | remove NAME

The worker's own settings are the environment's, as for `handler.py`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from server.keys import SCOPES, KeyFileError, new_key, read_keys, write_keys
from server.settings import ServerSettings, ServerSettingsError

KEYS_FILE = "server_keys.json"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    try:
        given = _parser(environment).parse_args(arguments)
        if given.command == "keys":
            return manage_keys(given)
        return _serve(given, environment)
    except (ServerSettingsError, KeyFileError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _serve(given: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from server.serve import serve, worker_of
    from synthesis.errors import SynthesisError
    from voice_library.errors import LibraryError
    from worker import logs
    from worker.errors import describe
    from worker.settings import Settings, SettingsError

    settings = _settings(given, environment)
    try:
        worker_settings = Settings.from_environment(environment)
        logs.configure(on_runpod=worker_settings.on_runpod)
        return serve(worker_of(worker_settings), settings)
    except (SettingsError, SynthesisError, LibraryError) as error:
        print(describe(error) if not isinstance(error, SettingsError) else error, file=sys.stderr)
        return 1


def _settings(given: argparse.Namespace, environment: Mapping[str, str]) -> ServerSettings:
    return ServerSettings(
        host=given.host,
        port=given.port,
        health_port=_port(environment, "PORT_HEALTH"),
        keys_file=given.keys,
        api_key=environment.get("SERVER_API_KEY") or None,
        allow_origins=tuple(given.allow_origin),
        requests_per_minute=given.requests_per_minute,
        jobs_running=given.jobs,
        jobs_waiting=given.waiting,
        jobs_of_one_caller=given.jobs_per_key,
        drain_s=given.drain,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    default = ServerSettings
    parser = argparse.ArgumentParser(prog="python -m server", description="Voices over HTTP.")
    _add_keys_file(parser, Path(KEYS_FILE))
    parser.add_argument("--host", default=default.host, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=_port(environment, "PORT") or default.port, help="(%(default)s)")
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN", help="a web page that may call; repeatable"
    )
    parser.add_argument(
        "--requests-per-minute", type=int, default=default.requests_per_minute, help="of one key (%(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=default.jobs_running, help="spoken at once (%(default)s)")
    parser.add_argument("--waiting", type=int, default=default.jobs_waiting, help="more that may wait (%(default)s)")
    parser.add_argument(
        "--jobs-per-key", type=int, default=default.jobs_of_one_caller, help="of those, of one key (%(default)s)"
    )
    parser.add_argument(
        "--drain", type=int, default=default.drain_s, metavar="S", help="for answers under way at the end (%(default)s)"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate; browsers record on https only")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key")
    commands = parser.add_subparsers(dest="command")
    manage = commands.add_parser("keys", help="add, list or remove API keys")
    _add_keys_file(manage, argparse.SUPPRESS)  # given before the command, it stands
    manage.add_argument("action", choices=("add", "list", "remove"))
    manage.add_argument("name", nargs="?")
    manage.add_argument("--scopes", default=",".join(SCOPES), help="what it may do (%(default)s)")
    manage.add_argument("--requests-per-minute", type=int, dest="key_rate", help="(the server's)")
    manage.add_argument("--jobs-at-once", type=int, help="(the server's)")
    return parser


def _add_keys_file(parser: argparse.ArgumentParser, default: Path | str) -> None:
    parser.add_argument("--keys", type=Path, default=default, metavar="FILE", help=f"API keys ({KEYS_FILE})")


def manage_keys(given: argparse.Namespace) -> int:
    """The `keys` command. Raises KeyFileError or OSError."""
    keys = read_keys(given.keys)
    if given.action == "list":
        for key in keys:
            rate = f"{key.requests_per_minute}/min" if key.requests_per_minute else "-"
            print(f"{key.name}\t{','.join(key.scopes)}\t{rate}\t{key.created_at}")
        return 0
    if not given.name:
        raise KeyFileError(f"keys {given.action} needs a name; one that tells whose key it is; add it")
    others = [key for key in keys if key.name != given.name]
    if given.action == "remove":
        if len(others) == len(keys):
            raise KeyFileError(f"there is no key {given.name!r}; 'keys list' shows those there are; correct the name")
        write_keys(given.keys, others)
        return 0
    if len(others) != len(keys):
        raise KeyFileError(f"there is a key {given.name!r} already; names must differ; remove it first")
    scopes = tuple(scope for scope in SCOPES if scope in given.scopes.split(","))
    if set(given.scopes.split(",")) != set(scopes):
        raise KeyFileError(f"--scopes is {given.scopes!r}; allowed are {', '.join(SCOPES)}; correct it")
    secret, key = new_key(given.name, scopes, given.key_rate, given.jobs_at_once)
    write_keys(given.keys, [*keys, key])
    print(secret)
    print("This key is shown once; only its digest is kept.", file=sys.stderr)
    return 0


def _port(environment: Mapping[str, str], variable: str) -> int | None:
    """RunPod's load balancer says by PORT and PORT_HEALTH where it will ask."""
    value = environment.get(variable, "").strip()
    if value and not value.isdecimal():
        raise ServerSettingsError(f"{variable} is {value!r}; allowed is the number of a port; correct it or unset it")
    return int(value) if value else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
