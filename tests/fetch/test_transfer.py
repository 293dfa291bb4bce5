"""Downloads from a server that misbehaves."""

import hashlib
import random
import resource
import shutil
import signal
import subprocess

import pytest

from sfsc.fetch.transfer import download
from sfsc.files import InputError

CONTENT = random.Random(0).randbytes(3_000_000)
MOST = 10_000_000


@pytest.fixture
def file(site):
    (site.folder / "a.bin").write_bytes(CONTENT)
    return f"{site.url}/a.bin"


def part(path, url):
    """Where what was got of an address is kept."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return path.with_name(f"{path.name}.{digest}.part")


@pytest.mark.parametrize(
    "faults", [[], [500, 503], ["cut"], ["cut", "cut", 500, "cut"], ["cut", "whole"], [408, 429]]
)
def test_failures_that_pass_are_tried_again(site, file, tmp_path, faults):
    site.faults["a.bin"] = list(faults)
    download(file, tmp_path / "got", MOST, pause=0.01)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert not site.faults["a.bin"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got", "site"]


def test_a_download_that_was_cut_is_continued(site, file, tmp_path):
    part(tmp_path / "got", file).write_bytes(CONTENT[:2_000_000])
    download(file, tmp_path / "got", MOST)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert site.bytes["a.bin"] == 1_000_000


def test_a_server_without_ranges_sends_it_from_the_start(site, file, tmp_path):
    part(tmp_path / "got", file).write_bytes(CONTENT[:2_000_000])
    site.faults["a.bin"] = ["whole"]
    download(file, tmp_path / "got", MOST, pause=0.01)
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_a_part_that_holds_more_is_fetched_anew_and_a_whole_one_not_again(site, file, tmp_path):
    part(tmp_path / "got", file).write_bytes(CONTENT + b"more")
    download(file, tmp_path / "got", MOST, pause=0.01)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert site.bytes["a.bin"] == len(CONTENT)
    part(tmp_path / "again", file).write_bytes(CONTENT)
    download(file, tmp_path / "again", MOST)
    assert (tmp_path / "again").read_bytes() == CONTENT
    assert site.bytes["a.bin"] == len(CONTENT)


def test_parts_of_two_sources_are_not_put_together(site, file, tmp_path):
    (site.folder / "b.bin").write_bytes(bytes(3_000_000))
    part(tmp_path / "got", f"{site.url}/b.bin").write_bytes(bytes(2_000_000))
    download(file, tmp_path / "got", MOST)
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_what_nobody_checks_is_not_continued_and_must_have_a_length(site, file, tmp_path):
    part(tmp_path / "got", file).write_bytes(bytes(2_000_000))
    site.faults["a.bin"] = ["cut"]
    download(file, tmp_path / "got", MOST, checked=False, pause=0.01)
    assert (tmp_path / "got").read_bytes() == CONTENT
    site.faults["a.bin"] = ["unsaid"]
    with pytest.raises(InputError, match="does not say how long the file is"):
        download(file, tmp_path / "other", MOST, checked=False, pause=0.01)
    assert not (tmp_path / "other").exists()


def test_a_failure_of_the_server_or_the_disk_keeps_what_there_is(site, file, tmp_path):
    kept = part(tmp_path / "got", file)
    kept.write_bytes(CONTENT[:1_000_000])
    site.faults["a.bin"] = [404]
    with pytest.raises(InputError, match="answers 404"):
        download(file, tmp_path / "got", MOST, pause=0.01)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limit[1]))
    try:
        with pytest.raises(InputError, match=r"cannot be written to .*part; make room on the disk"):
            download(file, tmp_path / "got", MOST, pause=0.01)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert kept.stat().st_size >= 1_000_000
    download(file, tmp_path / "got", MOST)
    assert (tmp_path / "got").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([404], "the server answers 404; check the address, or set fetch.mirror to a copy"),
        ([403], "the server answers 403; check"),
        ([500] * 5, "the server answers 500; try again later"),
        (["endless"], "sends more than 10,000,000 bytes"),
    ],
)
def test_others_are_one_clear_line_and_leave_nothing(site, file, tmp_path, faults, message):
    site.faults["a.bin"] = list(faults)
    with pytest.raises(InputError, match=rf"/a\.bin: {message}"):
        download(file, tmp_path / "got", MOST, pause=0.01)
    assert not (tmp_path / "got").exists()


def test_no_server_and_no_file(tmp_path):
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9/a: .*; try again later"):
        download("http://127.0.0.1:9/a", tmp_path / "got", MOST, pause=0.01)
    with pytest.raises(InputError, match="check the address"):
        download(f"file://{tmp_path}/nowhere", tmp_path / "got", MOST, pause=0.01)
    with pytest.raises(InputError, match="check the address"):
        download("gopher://127.0.0.1/a", tmp_path / "got", MOST, pause=0.01)


def test_a_folder_of_this_machine_is_a_source(tmp_path):
    (tmp_path / "a.bin").write_bytes(CONTENT)
    download((tmp_path / "a.bin").as_uri(), tmp_path / "got", MOST)
    assert (tmp_path / "got").read_bytes() == CONTENT


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate for localhost, its key, and a folder that holds it by OpenSSL's name."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("authority")
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k.pem"
    named = "-out c.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [openssl, *made.split(), *named.split()], cwd=folder, check=True, capture_output=True
    )
    name = subprocess.run(
        [openssl, "x509", "-noout", "-hash", "-in", "c.pem"],
        cwd=folder,
        check=True,
        text=True,
        capture_output=True,
    ).stdout.strip()
    (folder / "trusted").mkdir()
    shutil.copy(folder / "c.pem", folder / "trusted" / f"{name}.0")
    return folder


@pytest.fixture
def private_file(site, file, authority, monkeypatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return site.encrypted(authority / "c.pem", authority / "k.pem") + "/a.bin"


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("SSL_CERT_FILE", "c.pem"),
        ("CURL_CA_BUNDLE", "c.pem"),
        ("REQUESTS_CA_BUNDLE", "c.pem"),
        ("REQUESTS_CA_BUNDLE", "trusted"),
        ("SSL_CERT_DIR", "trusted"),
    ],
)
def test_private_certificates_by_the_usual_variables(
    private_file, authority, tmp_path, monkeypatch, variable, place
):
    monkeypatch.setenv(variable, str(authority / place))
    download(private_file, tmp_path / "got", MOST, pause=0.01)
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_a_certificate_that_nobody_vouches_for_is_one_line_at_once(
    private_file, authority, tmp_path, monkeypatch
):
    with pytest.raises(InputError, match="certificates to trust in the environment: SSL_CERT_FILE"):
        download(private_file, tmp_path / "got", MOST, pause=100)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "k.pem"))  # no certificate
    with pytest.raises(InputError, match="SSL_CERT_FILE"):
        download(private_file, tmp_path / "got", MOST, pause=100)
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
    with pytest.raises(InputError, match=r"/no/such\.pem: .* correct the variable SSL_CERT_FILE"):
        download(private_file, tmp_path / "got", MOST, pause=100)
