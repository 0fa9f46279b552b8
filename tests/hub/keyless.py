"""A Sigstore on this machine, for tests: it proves who runs, certifies that, and logs what was signed.

It answers what the library asks of GitHub's issuer, of Fulcio (a certificate with a certificate's timestamp)
and of Rekor (an entry with promise, checkpoint and proof), signed by keys of its own. Its trust
configuration, the file that a private instance hands out, makes the library believe these keys alone.
"""

# ruff: noqa: D102 - what a method does, its name says

import base64
import hashlib
import inspect
import json
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from loopback import CLAIMS, REQUEST_TOKEN, identity

ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/org/zoo/.github/workflows/models.yml@refs/heads/main"
SCT_OID, ISSUER_OID = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_USAGES = tuple(inspect.signature(x509.KeyUsage).parameters)


def text64(data):
    return base64.b64encode(data).decode()


def der(key):
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_id(key):
    return hashlib.sha256(der(key)).digest()


def sign(key, data):
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def usage(*names):
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def write_token(**claims):
    """Write the proof of who runs; that it is signed is for the real Fulcio to check."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "sigstore", "sub": "repo:org/zoo:ref:refs/heads/main"} | claims
    parts = {"alg": "RS256"}, {"iat": now, "exp": now + 300} | claims
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        + ".SENTINELsignature123"
    )


class LoopbackSigstore:
    """A running instance.

    Attributes:
        workflow: Who runs, as the certificate will say.
        refuse: What goes wrong: by a word of the path, the status that is answered and what it says.
    """

    def __init__(self):
        self.root, self.log, self.ct = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.workflow, self.refuse, self.entries, self.asked = WORKFLOW, {}, [], []
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
        self.since = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
        self.authority = (
            self._certificate(name, self.root.public_key(), timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage("key_cert_sign"), critical=True)
            .sign(self.root, hashes.SHA256())
        )

    def __enter__(self):
        instance = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words):
                pass

            def do_GET(self):
                data = self.rfile.read(int(self.headers["Content-Length"] or 0))
                instance.asked.append((self.path, self.headers["Authorization"]))
                fault = next((answer for word, answer in instance.refuse.items() if word in self.path), None)
                status, answer = fault or (200, instance.answer(self.path, data and json.loads(data)))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()

    def job(self):
        """Name the variables that a job has which may prove who it is."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/idtoken?api-version=2.0",
        }

    def trust(self):
        """Write the trust configuration."""
        since = {"start": self.since.isoformat().replace("+00:00", "Z")}

        def log(key):
            public = {
                "rawBytes": text64(der(key)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": since,
            }
            return {
                "baseUrl": self.url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": public,
                "logId": {"keyId": text64(key_id(key))},
            }

        chain = [{"rawBytes": text64(self.authority.public_bytes(serialization.Encoding.DER))}]
        service = [{"url": self.url, "majorApiVersion": 1, "validFor": since, "operator": "loopback"}]
        kind = "application/vnd.dev.sigstore."
        return json.dumps(
            {
                "mediaType": kind + "clienttrustconfig.v0.1+json",
                "trustedRoot": {
                    "mediaType": kind + "trustedroot+json;version=0.1",
                    "tlogs": [log(self.log)],
                    "ctlogs": [log(self.ct)],
                    "certificateAuthorities": [
                        {
                            "subject": {"organization": "loopback", "commonName": "loopback"},
                            "certChain": {"certificates": chain},
                            "validFor": since,
                        }
                    ],
                },
                "signingConfig": {
                    "mediaType": kind + "signingconfig.v0.2+json",
                    **dict.fromkeys(("caUrls", "oidcUrls", "rekorTlogUrls"), service),
                    "rekorTlogConfig": {"selector": "ANY"},
                },
            }
        )

    def answer(self, path, asked):
        if "/.well-known/" in path:
            return {"authorization_endpoint": self.url, "token_endpoint": self.url}
        if path.startswith("/idtoken"):
            audience = parse_qs(urlsplit(path).query)["audience"][0]
            return {"value": write_token() if audience == "sigstore" else identity(**CLAIMS, aud=audience)}
        if path == "/api/v2/signingCert":
            request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
            chain = [self.certify(request.public_key()), self.authority]
            texts = [each.public_bytes(serialization.Encoding.PEM).decode() for each in chain]
            return {"signedCertificateEmbeddedSct": {"chain": {"certificates": texts}}}
        assert path == "/api/v1/log/entries"
        return self.enter(asked["spec"]["proposedContent"])

    def _certificate(self, subject, public, valid, issuer=None):
        return (
            x509.CertificateBuilder(issuer or subject, subject, public, x509.random_serial_number())
            .not_valid_before(self.since if issuer is None else datetime.now(UTC) - timedelta(minutes=1))
            .not_valid_after(datetime.now(UTC) + valid)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    def certify(self, public):
        """Certify for ten minutes who holds a key; the log of certificates promises to list that."""
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(self.workflow)])
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root.public_key())
        minutes = timedelta(minutes=10)
        bare = (
            self._certificate(x509.Name([]), public, minutes, issuer=self.authority.subject)
            .add_extension(by, critical=False)
            .add_extension(names, critical=True)
            .add_extension(usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.UnrecognizedExtension(ISSUER_OID, ISSUER.encode()), critical=False)
        )
        body = bare.sign(self.root, hashes.SHA256()).tbs_certificate_bytes
        at = int(time.time() * 1000)
        signed = struct.pack("!BBQH", 0, 0, at, 1) + key_id(self.root)
        signed += len(body).to_bytes(3, "big") + body + b"\0\0"
        signature = sign(self.ct, signed)
        promise = b"\0" + key_id(self.ct) + struct.pack("!QHBBH", at, 0, 4, 3, len(signature)) + signature
        promises = struct.pack("!HH", len(promise) + 2, len(promise)) + promise
        assert len(promises) < 128
        listed = x509.UnrecognizedExtension(SCT_OID, bytes([4, len(promises)]) + promises)
        return bare.add_extension(listed, critical=False).sign(self.root, hashes.SHA256())

    def enter(self, proposed):
        """Enter what was signed into the log: after two others, so that a proof has something to prove."""
        envelope = json.loads(proposed["envelope"])
        signatures = [{"signature": envelope["signatures"][0]["sig"], "verifier": proposed["verifiers"][0]}]
        digests = {
            "envelopeHash": hashlib.sha256(proposed["envelope"].encode()).hexdigest(),
            "payloadHash": hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest(),
        }
        spec = {name: {"algorithm": "sha256", "value": value} for name, value in digests.items()}
        entry = {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec | {"signatures": signatures}}
        body = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        self.entries.append(body)
        before = hashlib.sha256(b"two others").digest()
        leaf = hashlib.sha256(b"\0" + body).digest()
        root = hashlib.sha256(b"\1" + before + leaf).digest()
        note = f"loopback - 1\n3\n{text64(root)}\n"
        mark = text64(key_id(self.log)[:4] + sign(self.log, note.encode()))
        said = {
            "body": text64(body),
            "integratedTime": int(time.time()),
            "logID": key_id(self.log).hex(),
            "logIndex": 2,
        }
        promise = sign(self.log, json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
        proof = {
            "checkpoint": f"{note}\n\u2014 loopback {mark}\n",
            "hashes": [before.hex()],
            "logIndex": 2,
            "rootHash": root.hex(),
            "treeSize": 3,
        }
        checks = {"signedEntryTimestamp": text64(promise), "inclusionProof": proof}
        return {"0" * 64: said | {"verification": checks}}
