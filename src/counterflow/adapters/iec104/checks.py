"""What is wrong with the settings of the outstation, in sentences."""

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path

from counterflow.adapters.iec104.points import POINTS, PointType, address_of, in_a_row, type_of
from counterflow.adapters.iec104.settings import Iec104Settings, StationSettings
from counterflow.domain.grid import Program, Wire


def mistakes(settings: Iec104Settings, programs: Iterable[Program]) -> Iterator[str]:
    """None for settings with which an outstation can be opened."""
    if not settings.stations:
        return
    yield from _host(settings)
    for master in settings.masters:
        try:
            IPv4Network(master)
        except ValueError:
            yield f"The setting 'iec104.masters' names '{master}', which is no IPv4 address and no network such as 10.1.2.0/24."
    yield from _tls(settings)
    for common_address in _twice(station.common_address for station in settings.stations):
        yield f"Two [[iec104.stations]] have the common address {common_address}; give each its own."
    names = [program.name for program in programs if program.wire is Wire.IEC104]
    for station in settings.stations:
        if station.program not in names:
            yield (
                f"[[iec104.stations]] names the program '{station.program}', and there is no [[programs]] entry of that name with "
                f'wire = "iec104" (there are: {", ".join(names) or "none"}).'
            )
        yield from _addresses(station)


def _host(settings: Iec104Settings) -> Iterator[str]:
    try:
        host = IPv4Address(settings.host)
    except AddressValueError:
        yield f"The setting 'iec104.host' is '{settings.host}'; it must be an IPv4 address of this machine, such as 127.0.0.1."
        return
    if not settings.public_address and (host.is_unspecified or not (host.is_loopback or host.is_private)):
        yield (
            f"IEC 104 would listen on {settings.host}, where anybody may reach it, and the protocol knows no passwords. Listen on a "
            "loopback or private address behind a VPN, or set 'iec104.public_address' where a firewall or TLS stands in front."
        )


def _tls(settings: Iec104Settings) -> Iterator[str]:
    files = {"tls_certificate": settings.tls_certificate, "tls_key": settings.tls_key, "tls_authority": settings.tls_authority}
    if any(files.values()) and not all(files.values()):
        yield "The settings 'iec104.tls_certificate', 'tls_key' and 'tls_authority' go together: name all three files, or none."
    for setting, name in files.items():
        if name and not Path(name).is_file():
            yield f"The setting 'iec104.{setting}' names the file {name}, which is not there."


def _addresses(station: StationSettings) -> Iterator[str]:
    shown = [address for point in POINTS if (address := address_of(point, station.points))]
    for address in _twice([*shown, *(setpoint.address for setpoint in station.setpoints)]):
        yield f"The address {address} stands twice in the point list of '{station.program}'; give each point its own."
    for kind in PointType:
        addresses = [address for point in POINTS if type_of(point) is kind and (address := address_of(point, station.points))]
        if addresses and in_a_row(addresses):
            named = ", ".join(map(str, sorted(addresses)))
            yield (
                f"The points of type {kind.value} of '{station.program}' have the addresses {named} without a gap; leave one, since an "
                "interrogation would be answered with a sequence, which is not allowed with time tags."
            )


def _twice(numbers: Iterable[int]) -> Iterator[int]:
    yield from (number for number, times in Counter(numbers).items() if times > 1)
