"""The signed statement is in-toto's, names the model as model signing does, and is verified by tools that are not ours."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.render.audits import DIGEST
from tests.signed import key, project, run, signed
from xai_audit import attestation, audit, digest, signing
from xai_audit.audit import Audit

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"

CHECK = """\
const fs = require('fs'), crypto = require('crypto');
const {bundleFromJSON} = require('@sigstore/bundle');
const {Verifier, toTrustMaterial, toSignedEntity} = require('@sigstore/verify');
const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(process.argv[2])));
const key = crypto.createPublicKey(fs.readFileSync(process.argv[3]));
const none = {tlogs: [], ctlogs: [], timestampAuthorities: [], certificateAuthorities: []};
const trust = toTrustMaterial(none, () => ({publicKey: key, validFor: () => true}));
const options = {tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0, tsaThreshold: 0};
new Verifier(trust, options).verify(toSignedEntity(bundle));
console.log('verified');
"""


def said(folder: Path) -> dict:
    envelope = signing.opened((folder / "attestation.json").read_bytes())
    assert envelope.payload_type == "application/vnd.in-toto+json"
    return envelope.content()


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with npm's @sigstore/verify and a script that calls it."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not here")
    folder = tmp_path_factory.mktemp("sigstore")
    (folder / "package.json").write_text('{"private": true}')
    got = subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "@sigstore/verify@4", "@sigstore/bundle@5"],
        cwd=folder, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    if got.returncode != 0:
        pytest.skip("the npm registry cannot be reached")
    (folder / "check.js").write_text(CHECK)
    return folder


def by_sigstore(verifier: Path, envelope: dict, public: Path) -> subprocess.CompletedProcess[str]:
    material = {"publicKey": {"hint": "key"}, "tlogEntries": [], "timestampVerificationData": {}}
    bundle = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}
    (verifier / "bundle.json").write_text(json.dumps(bundle))
    command = ["node", "check.js", "bundle.json", str(public)]
    return subprocess.run(command, cwd=verifier, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "algorithm", [("ed25519",), ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")], ids=["ed25519", "p256"]
)
def test_sigstore_s_own_verifier_reads_the_envelope(
    tmp_path: Path, verifier: Path, algorithm: tuple[str, ...]
) -> None:
    private, public = key(tmp_path, "mine", *algorithm)
    out = signed(tmp_path / "made") / "out"
    made = audit.read(out)
    statement = attestation.statement(made, (out / "manifest.json").read_bytes())
    envelope = json.loads(signing.sealed(statement, attestation.PAYLOAD, [signing.signer(private)]))
    done = by_sigstore(verifier, envelope, public)
    assert done.stdout == "verified\n", done.stderr
    other = base64.b64encode(statement.replace(b"PASSED", b"FAILED").replace(b"WARNED", b"PASSED")).decode()
    assert other != envelope["payload"]
    assert by_sigstore(verifier, {**envelope, "payload": other}, public).returncode != 0
    _, stranger = key(tmp_path, "other", *algorithm)
    assert by_sigstore(verifier, envelope, stranger).returncode != 0


def test_it_is_a_statement_of_in_toto(tmp_path: Path) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    content = said(signed(tmp_path) / "out")
    parsed = json_format.ParseDict(content, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert json_format.ParseDict(content["predicate"], test_result_pb2.TestResult()).result in {
        "PASSED",
        "FAILED",
        "WARNED",
    }
    assert content["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    names = [one["name"] for one in content["subject"]]
    assert len(set(names)) == len(names)


def test_every_rule_that_applies_stands_in_one_list(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"
    made, predicate = audit.read(out), said(out)["predicate"]
    lists = [name for key in ("passedTests", "warnedTests", "failedTests") for name in predicate[key]]
    applied = [
        f"{one.policy}/{one.rule}"
        for one in made.findings
        if one.kind not in {"notApplicable", "informational"}
    ]
    assert sorted(lists) == sorted(applied)
    assert predicate["result"] == {"pass": "PASSED", "review": "WARNED", "fail": "FAILED"}[made.outcome]


def test_its_subjects_are_the_files_that_were_used(tmp_path: Path) -> None:
    folder = signed(tmp_path)
    subjects = {one["name"]: one["digest"]["sha256"] for one in said(folder / "out")["subject"]}
    assert subjects["manifest.json"] == digest.of_file(folder / "out" / "manifest.json")
    assert subjects["data/test/rows.csv"] == digest.of_file(folder / "rows.csv")
    assert subjects["spec/audit.yaml"] == digest.of_file(folder / "audit.yaml")
    assert subjects["policy/small"] == digest.of_file(folder / "small.yaml")
    assert {name.split("/")[0] for name in subjects} >= {"tool", "policy", "spec", "data"}
    assert "model" not in subjects  # predictions alone


def model(made: Audit, **card) -> Audit:
    return made.model_copy(
        update={"subject": {**made.subject, "model": {"path": "m", "details": {}, **card}}}
    )


@pytest.fixture
def by_model_signing():
    pytest.importorskip("model_signing")
    from model_signing import hashing
    from model_signing._signing.signing import Payload

    def root(path: Path) -> str:
        return Payload(hashing.Config().hash(path)).statement.pb.subject[0].digest["sha256"]

    return root


def test_a_file_has_the_digest_that_model_signing_gives_it(tmp_path: Path, by_model_signing) -> None:
    made = audit.read(signed(tmp_path / "made") / "out")
    file = tmp_path / "model.skops"
    file.write_bytes(b"a model")
    found = attestation.model_root(model(made, format="skops", sha256=digest.of_file(file)))
    assert found == by_model_signing(file)


def test_a_folder_has_the_digest_that_model_signing_gives_it(tmp_path: Path, by_model_signing) -> None:
    made = audit.read(signed(tmp_path / "made") / "out")
    folder = tmp_path / "model"
    for name in (
        "config.json",
        "b/weights.bin",
        "a/z",
        "a.b",
        "a-b/x",
        "Ä",
        ".git/HEAD",
        ".gitignore",
        "empty",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * (name != "empty"))
    found = attestation.model_root(model(made, format="transformers", sha256=digest.of_folder(folder)))
    assert found == by_model_signing(folder)


def test_a_model_that_cannot_be_digested_is_no_subject(tmp_path: Path) -> None:
    made = audit.read(signed(tmp_path / "made") / "out")
    assert attestation.model_root(made) is None
    assert attestation.model_root(model(made, format="http", sha256=DIGEST)) is None
    both = {"weights_sha256": DIGEST, "entry_sha256": DIGEST}
    assert attestation.model_root(model(made, format="torch", sha256=DIGEST, details=both)) == DIGEST


def test_a_run_without_a_key_is_unsigned_and_says_so(tmp_path: Path) -> None:
    out = run(project(tmp_path), tmp_path / "out")
    assert not (out / "attestation.json").exists()
    assert json.loads((out / "manifest.json").read_text())["signed"] is False
