"""Carries a decision out, action by action, in its order; the first that fails ends it."""

from pathlib import Path

from sidecar.action import (
    Action,
    Clone,
    PreparePrimary,
    Promote,
    PutStandbySignal,
    ReleaseLease,
    RenewLease,
    RunInitdb,
    SetRole,
    StartPostgres,
    StopPostgres,
    TakeLease,
)
from sidecar.kube.client import ApiError
from sidecar.observe import Adapters
from sidecar.postgres import process
from sidecar.postgres.configuration import (
    conninfo,
    password_file_line,
    standby_settings,
    upstream,
)
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.upstream import UpstreamError, identify


class Actor:
    """The hands of one member."""

    def __init__(self, adapters: Adapters, credentials: Credentials) -> None:
        """Act through these adapters, with the set's credentials."""
        self._adapters = adapters
        self._password = credentials.replication_password(adapters.settings.set_name)

    def carry_out(self, actions: tuple[Action, ...]) -> str | None:
        """Return None, or one sentence about the action that failed; the rest was not tried.

        What failed is decided again at the next look, so nothing is retried here.
        """
        for action in actions:
            try:
                self._carry_out(action)
            except ApiError as error:
                return f"the API server did not take {type(action).__name__}: {error}"
            except UpstreamError as error:
                return f"the primary cannot be cloned: {error}"
            except OSError as error:
                return f"{type(action).__name__} did not succeed: {error}"
        return None

    def _carry_out(self, action: Action) -> None:  # noqa: C901 - a flat list of cases
        adapters = self._adapters
        match action:
            case TakeLease():
                adapters.lease.take(expired=action.expired)
            case RenewLease():
                adapters.lease.renew(action)
            case ReleaseLease():
                adapters.lease.release()
            case SetRole():
                adapters.pods.set_role(action)
            case RunInitdb():
                adapters.bootstrap.order("initdb")
            case Clone():
                self._clone(action)
            case StartPostgres():
                self._start()
            case Promote():
                adapters.server.promote()
            case PreparePrimary():
                adapters.server.prepare(self._password)
            case PutStandbySignal():
                adapters.bootstrap.put_standby_signal()
            case StopPostgres():
                process.send(self._data_directory(), action.signal)

    def _clone(self, action: Clone) -> None:
        target = upstream(self._adapters.settings, self._adapters.me.name)
        found = identify(target, self._password)
        if found != action.system_identifier:
            raise UpstreamError(
                f"{target['host']} leads to a database with system identifier {found}, "
                f"this set's is {action.system_identifier}"
            )
        self._adapters.bootstrap.write_password_file(password_file_line(self._password))
        self._adapters.bootstrap.order("clone", conninfo(target))

    def _start(self) -> None:
        settings, me = self._adapters.settings, self._adapters.me
        self._adapters.bootstrap.write_settings(standby_settings(settings, me.name, self._password))
        self._adapters.bootstrap.order("start")

    def _data_directory(self) -> Path:
        directory = self._adapters.bootstrap.data_directory()
        if directory is None:
            raise FileNotFoundError("bootstrap has not told the data directory")
        return directory
