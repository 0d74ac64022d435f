"""What `cryptography` raises for certificates, requests and lists that it cannot read: several of these are no ValueError."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

UNREADABLE: Final = (
    ValueError,
    TypeError,  # a name whose type of string does not go with what it names
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""Much is read only when it is asked for, so they can come from any attribute."""
