"""Certificates and passwords of stations: look, read again, issue, rotate."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from counterflow.app.cli.api_client import segment
from counterflow.app.cli.shared import FailedError, JsonOption, Server, WrongUsageError, asks_server, note, screen
from counterflow.app.cli.tables import Column, column, figures, print_table, say, visible, whole, words
from counterflow.domain.security_views import CertificateView, IssuedCertificateView, PasswordView
from counterflow.domain.station_views import CallAnswer

certificates_app = typer.Typer(help="Certificates of this server and of stations.", no_args_is_help=True)
LONGEST_IDENTITY = 48


def register(app: typer.Typer, stations: typer.Typer) -> None:
    """Put the commands into the root and under `stations`."""
    app.add_typer(certificates_app, name="certificates", epilog="Example: counterflow certificates list")
    certificates_app.command("list", epilog="Example: counterflow certificates list")(asks_server(certificates_list))
    certificates_app.command("reload", epilog="Example: counterflow certificates reload")(asks_server(certificates_reload))
    certificates_app.command("issue", epilog="Example: counterflow certificates issue CS-1 CS-2 --out certificates")(certificates_issue)
    certificates_app.command("issued", epilog="Example: counterflow certificates issued")(asks_server(certificates_issued))
    certificates_app.command("revoke", epilog="Example: counterflow certificates revoke CS-1 --reason keyCompromise")(
        asks_server(certificates_revoke)
    )
    stations.command("rotate-password", epilog="Example: counterflow stations rotate-password CS-1")(asks_server(rotate_password))
    stations.command("install-authority", epilog="Example: counterflow stations install-authority CS-1")(asks_server(install_authority))


COLUMNS: list[Column[CertificateView]] = [
    figures("Port", lambda view: whole(view.port)),
    figures("Profile", lambda view: whole(view.serves_profile), 3),
    column("Key", lambda view: view.key),
    column("Name", lambda view: view.names[0] if view.names else "-"),
    column("Valid until", lambda view: _day(view.not_after_s)),
    words("Issuer", lambda view: view.issuer, 2),
]


def certificates_list(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List the certificates that the server shows to stations."""
    with server.client() as client:
        reply = client.get("/certificates")
    if as_json:
        typer.echo(reply.text)
        return
    print_table(screen(), reply.read(list[CertificateView]), COLUMNS, empty="The server has no listener with TLS.")


def certificates_reload(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Read the certificate files again: the next connection uses them, open ones stay."""
    with server.client() as client:
        reply = client.request("POST", "/certificates/reload")
    if as_json:
        typer.echo(reply.text)
        return
    print_table(screen(), reply.read(list[CertificateView]), COLUMNS, empty="The server has no listener with TLS.")


def certificates_issue(
    station_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Identities (or serial numbers) of stations.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for <ID>.pem: private key, certificate, root.")] = Path("certificates"),
    days: Annotated[float, typer.Option(metavar="N", min=1, max=3650, help="Validity in days.")] = 365.0,
    data_dir: Annotated[
        Path,
        typer.Option("--data-dir", envvar="COUNTERFLOW_DATA_DIR", metavar="DIR", help="Data dir of the server."),
    ] = Path("counterflow-data"),
) -> None:
    """Issue certificates of the built-in authority for stations that cannot ask for one themselves. Works without the server."""
    from cryptography.hazmat.primitives.asymmetric import ec  # with what follows, slow to load

    from counterflow.adapters.certificates.authority import AuthorityError, private_pem, write_private
    from counterflow.app.clock import SystemClock
    from counterflow.app.security.own_certificates import OwnCertificates

    for station_id in station_ids:
        if not 0 < len(station_id) <= LONGEST_IDENTITY or "/" in station_id or station_id.startswith("."):
            raise WrongUsageError(f"'{station_id}' is no identity of a station: 1 to {LONGEST_IDENTITY} characters, no slash.")
    if not data_dir.is_dir():
        raise FailedError(f"There is no data dir {data_dir}; start the server once, or say --data-dir.")
    now_s = SystemClock().now_s()
    try:
        authority = OwnCertificates(data_dir, lambda: now_s).authority()
        out.mkdir(parents=True, exist_ok=True)
        for station_id in station_ids:
            key = ec.generate_private_key(ec.SECP256R1())
            chain = authority.issue_for_station(station_id, key.public_key(), days=days, now_s=now_s)
            write_private(out / f"{station_id}.pem", private_pem(key) + chain)
    except AuthorityError as error:
        raise FailedError(str(error)) from None
    except OSError as error:
        raise FailedError(f"The certificates cannot be written to {out}: {error.strerror or error}.") from None
    note(f"{len(station_ids)} certificates are in {out}; each file holds a private key.")


ISSUED_COLUMNS: list[Column[IssuedCertificateView]] = [
    column("Serial number", lambda view: view.serial),
    column("Station", lambda view: view.name or "not known"),
    column("Issued", lambda view: _day(view.issued_at_s)),
    column("Valid until", lambda view: _day(view.not_after_s)),
    words("Revoked", lambda view: "-" if view.revoked_at_s is None else f"{_day(view.revoked_at_s)} ({view.reason or 'unspecified'})", 2),
]


def certificates_issued(
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List what the built-in authority has issued to stations, and what of it is revoked."""
    with server.client() as client:
        reply = client.get("/certificates/issued")
    if as_json:
        typer.echo(reply.text)
        return
    print_table(screen(), reply.read(list[IssuedCertificateView]), ISSUED_COLUMNS, empty="The built-in authority has issued nothing.")


def certificates_revoke(
    server: Server,
    station_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Station: all that are in force for it.")] = None,
    serial: Annotated[str | None, typer.Option(metavar="HEX", help="One certificate, by its serial number.")] = None,
    reason: Annotated[
        str,
        typer.Option(
            metavar="REASON",
            help="unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn.",
        ),
    ] = "unspecified",
    as_json: JsonOption = False,
) -> None:
    """Revoke certificates of the built-in authority for ever: they let nobody in, and open lines with them end."""
    if (station_id is None) == (serial is None):
        raise WrongUsageError("Say either a station or --serial.")
    body: dict[str, object] = {"reason": reason}
    body |= {"station_id": station_id} if serial is None else {"serial": serial.replace(":", "").replace(" ", "")}
    with server.client() as client:
        reply = client.request("POST", "/certificates/revoke", body=body)
    if as_json:
        typer.echo(reply.text)
        return
    views = reply.read(list[IssuedCertificateView])
    print_table(screen(), views, ISSUED_COLUMNS, empty="Nothing was revoked.")
    for view in views:
        if not view.name:
            note(f"Serial number {view.serial} is not in the book of what this authority has issued; it is on the revocation list anyway.")


def _day(at_s: float | None) -> str:
    return "-" if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")


def rotate_password(
    server: Server,
    station_id: Annotated[str, typer.Argument(metavar="ID", help="Identity of the station.")],
    as_json: JsonOption = False,
) -> None:
    """Give a connected station a new random password; the old one is void once the station has said yes."""
    with server.client() as client:
        reply = client.request("POST", f"/stations/{segment(station_id)}/rotate-password")
    if as_json:
        typer.echo(reply.text)
        return
    view = reply.read(PasswordView)
    if view.outcome == "refused":
        raise FailedError(f"Station {view.station_id}: {view.text}")
    say(screen(), f"Station {view.station_id}: {view.text}")


def install_authority(
    server: Server,
    station_id: Annotated[str, typer.Argument(metavar="ID", help="Identity of the station.")],
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Root (PEM). Default: that of the built-in authority.")] = None,
    use: Annotated[str, typer.Option(metavar="USE", help="What it is for, as OCPP spells it.")] = "CSMSRootCertificate",
    as_json: JsonOption = False,
) -> None:
    """Give a station a root certificate that it shall trust (InstallCertificate)."""
    body: dict[str, object] = {"use": use}
    if file is not None:
        try:
            body["certificate"] = file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUsageError(
                f"The certificate {file} cannot be read: {getattr(error, 'strerror', None) or 'it is not PEM'}."
            ) from None
    with server.client() as client:
        reply = client.request("POST", f"/stations/{segment(station_id)}/install-authority", body=body)
    if as_json:
        typer.echo(reply.text)
        return
    answer = reply.read(CallAnswer)
    status = (answer.payload or {}).get("status")
    if status != "Accepted":
        raise FailedError(f"Station {station_id} did not take it: {visible(str(status or answer.error_text or answer.error_code))}.")
    say(screen(), f"Station {station_id} has installed it as {use}.")
