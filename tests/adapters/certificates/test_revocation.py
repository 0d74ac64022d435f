"""Revocation lists of authorities, read and held against certificates; and the book of the built-in authority."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from counterflow.adapters.certificates.authority import BOOK_FILE, LIST_FILE, AuthorityError
from counterflow.adapters.certificates.issued import Issued, IssuedBook
from counterflow.adapters.certificates.revocation import EXPIRED, NO_LIST, NOT_READ, REVOKED, RevocationListError, read_revocations

DAY_S = 86_400.0


def der_of(path: str) -> bytes:
    return x509.load_pem_x509_certificates(Path(path).read_bytes())[0].public_bytes(Encoding.DER)


def test_a_list_names_some_certificates_of_its_authority_and_no_others(pki: Any) -> None:
    bad, good, foreign = pki.station("BAD"), pki.station("GOOD"), pki.station("FOREIGN", authority="theirs")
    lists = read_revocations([pki.revocation_list(bad)], pki.root(), keep_expired=False)
    whys = [lists.why_void(der_of(path), pki.now_s) for path in (bad, good, foreign)]
    assert whys == [REVOKED, None, NO_LIST]
    assert [lists.revoked(der_of(path)) for path in (bad, good, foreign)] == [True, False, False]


def test_what_is_no_certificate_is_void_and_taken_for_revoked(pki: Any) -> None:
    pki.station("GOOD")
    lists = read_revocations([pki.revocation_list()], pki.root(), keep_expired=True)
    assert (lists.why_void(b"\x30\x00", pki.now_s), lists.revoked(b"\x30\x00")) == (NOT_READ, True)


@pytest.mark.parametrize(("keep", "why"), [(False, EXPIRED), (True, None)])
def test_an_expired_list_lets_nobody_in_or_stays_in_force_as_the_policy_says(pki: Any, keep: bool, why: str | None) -> None:
    bad, good = pki.station("BAD"), pki.station("GOOD")
    lists = read_revocations([pki.revocation_list(bad, days=1)], pki.root(), keep_expired=keep)
    assert lists.why_void(der_of(good), pki.now_s + 0.9 * DAY_S) is None
    assert lists.why_void(der_of(good), pki.now_s + 1.1 * DAY_S) == why
    assert lists.why_void(der_of(bad), pki.now_s + 1.1 * DAY_S) == REVOKED
    assert [len(lists.expired(pki.now_s + days * DAY_S)) for days in (0.9, 1.1)] == [0, 1]
    assert not lists.revoked(der_of(good)), "an expired list ends no open line"


def test_of_several_lists_in_pem_and_der_the_newest_counts(pki: Any) -> None:
    one, two = pki.station("ONE"), pki.station("TWO")
    old = pki.revocation_list(one, at_s=pki.now_s - DAY_S, days=9, file="old.crl", encoding=Encoding.DER)
    new = pki.revocation_list(two, file="new.pem")
    for order in ((old, new), (new, old)):
        lists = read_revocations(order, pki.root(), keep_expired=False)
        assert [lists.revoked(der_of(path)) for path in (one, two)] == [False, True]
    both = pki.folder / "both.pem"
    both.write_bytes(Path(new).read_bytes() + Path(pki.revocation_list(authority="theirs", file="x.pem")).read_bytes())
    roots = pki.folder / "roots.pem"
    roots.write_text(Path(pki.root()).read_text() + Path(pki.root("theirs")).read_text())
    lists = read_revocations([str(both)], str(roots), keep_expired=False)
    assert lists.why_void(der_of(pki.station("FOREIGN", authority="theirs")), pki.now_s) is None
    assert lists.revoked(der_of(two))


def test_a_list_that_cannot_be_trusted_is_refused_in_words(pki: Any) -> None:
    pki.station("GOOD")
    theirs = pki.station("X", authority="theirs") and pki.revocation_list(authority="theirs")
    partial = x509.IssuingDistributionPoint(
        full_name=None,
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=True,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    forged = Path(pki.revocation_list(file="forged.crl", encoding=Encoding.DER))
    forged.write_bytes(forged.read_bytes()[:-1] + bytes([forged.read_bytes()[-1] ^ 1]))
    nonsense = pki.folder / "nonsense"
    nonsense.write_bytes(b"nonsense")
    for path, words in (
        (theirs, "is not signed by an authority of this listener"),
        (str(forged), "is not signed by an authority of this listener"),
        (pki.revocation_list(file="delta", extensions=[x509.DeltaCRLIndicator(1)]), "is only a part of one"),
        (pki.revocation_list(file="partial", extensions=[partial]), "is only a part of one"),
        (pki.revocation_list(file="odd", extensions=[unknown]), "a critical extension that is not known here"),
        (pki.revocation_list(pki.root(), file="root"), "take it out"),
        (str(nonsense), "it is neither PEM nor DER, or damaged"),
        (str(pki.folder / "missing"), "No such file"),
    ):
        with pytest.raises(RevocationListError, match=words):
            read_revocations([path], pki.root(), keep_expired=False)


def test_the_book_knows_what_was_issued_and_the_list_is_made_from_it(pki: Any) -> None:
    authority = pki.authority()
    path = pki.station("CS1")
    pki.station("CS2")
    one, two = authority.issued(pki.now_s)
    assert [one.name, two.name, one.revoked_at_s] == ["CS1", "CS2", None]
    assert int(one.serial, 16) == x509.load_pem_x509_certificates(Path(path).read_bytes())[0].serial_number
    assert not authority.revocations(pki.now_s).revoked(der_of(path))
    [revoked] = authority.revoke([one], "keyCompromise", pki.now_s)
    assert (revoked.serial, revoked.revoked_at_s) == (one.serial, pki.now_s)
    assert authority.revocations(pki.now_s).revoked(der_of(path))
    assert pki.authority().revocations(pki.now_s).revoked(der_of(path)), "known again after a restart"
    listed = pki.folder / "ours" / LIST_FILE
    assert listed.stat().st_mode & 0o777 == 0o600
    others = read_revocations([str(listed)], pki.root(), keep_expired=False)
    assert others.why_void(der_of(path), pki.now_s) == REVOKED, "others can use the list that we write"
    [entry] = x509.load_pem_x509_crl(listed.read_bytes())
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    assert [one.name for one in authority.issued(pki.now_s + 2 * DAY_S)] == [], "what is over is not shown"


def test_what_is_revoked_stays_so_whatever_comes_later_in_the_book(tmp_path: Path) -> None:
    book = IssuedBook(tmp_path / "book")
    issued = Issued(serial="1f", name="CS1", issued_at_s=0.0, not_after_s=100.0)
    revoked = Issued(serial="1f", name="CS1", issued_at_s=0.0, not_after_s=100.0, revoked_at_s=5.0, reason="superseded")
    book.add([issued, revoked], durable=True)
    book.add([issued], durable=False)
    assert book.certificates(10.0) == [revoked]


def test_a_book_that_cannot_be_read_is_named_and_nothing_is_taken_for_good(pki: Any) -> None:
    pki.station("CS1")
    with (pki.folder / "ours" / BOOK_FILE).open("ab") as book:
        book.write(b'{"serial": "ab", "na\n')
    with pytest.raises(AuthorityError, match=r"line 2 of issued\.jsonl cannot be read"):
        pki.authority().revocations(pki.now_s)
