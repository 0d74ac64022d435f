"""What goes over the wire, judged by somebody else: a proxy that keeps the bytes, a pcap file of them, and Wireshark's dissector."""

import json
import shutil
import socket
import struct
import subprocess
import threading
from pathlib import Path
from time import time
from typing import Any, NamedTuple

MASTER, OUTSTATION = b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02"
MASTER_PORT, PORT = 40_000, 2404


class Piece(NamedTuple):
    """Bytes as they were read, and who sent them."""

    at_s: float
    from_master: bool
    data: bytes


class Wiretap:
    """A TCP proxy on a port of its own; every connection goes to `port`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.pieces: list[Piece] = []
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                master, _ = self._listener.accept()
                outstation = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                return
            outstation.settimeout(None)
            self._sockets += [master, outstation]
            for source, sink, from_master in ((master, outstation, True), (outstation, master, False)):
                threading.Thread(target=self._copy, args=(source, sink, from_master), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, from_master: bool) -> None:
        try:
            while data := source.recv(65_536):
                self.pieces.append(Piece(time(), from_master, data))
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    def close(self) -> None:
        """End it all."""
        for one in (self._listener, *self._sockets):
            one.close()


def write_pcap(pieces: list[Piece], path: Path) -> None:
    """One TCP connection, as libpcap's file format has it (raw IPv4 packets, no checksums)."""
    sequence = {True: 1, False: 1}
    out = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101))
    for at_s, from_master, data in pieces:
        source, target = (MASTER, OUTSTATION) if from_master else (OUTSTATION, MASTER)
        ports = (MASTER_PORT, PORT) if from_master else (PORT, MASTER_PORT)
        tcp = struct.pack(">HHIIBBHHH", *ports, sequence[from_master], sequence[not from_master], 5 << 4, 0x18, 65_535, 0, 0)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0, source, target)
        packet = ip + tcp + data
        seconds = int(at_s)
        out += struct.pack("<IIII", seconds, int((at_s - seconds) * 1e6), len(packet), len(packet)) + packet
        sequence[from_master] += len(data)
    path.write_bytes(out)


def dissect(pieces: list[Piece], folder: Path) -> list[dict[str, Any]]:
    """Every APDU as tshark understands it, in order: `from_master`, the APCI's fields and the ASDU's."""
    tshark = shutil.which("tshark")
    assert tshark is not None, "tshark judges the frames; `make deps` installs it"
    file = folder / "wire.pcap"
    write_pcap(pieces, file)
    command = [tshark, "-r", str(file), "-d", f"tcp.port=={PORT},iec60870_104", "-T", "json", "--no-duplicate-keys"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    frames = []
    for packet in json.loads(done.stdout):
        layers = packet["_source"]["layers"]
        from_master = layers["tcp"]["tcp.dstport"] == str(PORT)
        assert "_ws.malformed" not in layers, layers
        apcis, asdus = (_list(layers.get(name)) for name in ("iec60870_104", "iec60870_asdu"))
        for apci in apcis:
            informative = apci["iec60870_104.type"] == "0x00000000"
            frames.append({"from_master": from_master, "apci": apci, "asdu": asdus.pop(0) if informative else None})
    return frames


def _list(layer: Any) -> list[Any]:
    return [] if layer is None else list(layer) if isinstance(layer, list) else [layer]
