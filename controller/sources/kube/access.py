"""Where the API server is and how to prove oneself to it: in a Pod its ServiceAccount, elsewhere a kubeconfig.

Read again every minute by the monotonic clock, and after a 401: the kubelet replaces the token of a Pod well before it expires, and
the CA when that is rotated. A reading that fails, while files are being replaced, leaves what was read before in place.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from kubernetes_asyncio.client.configuration import Configuration
from kubernetes_asyncio.config.config_exception import ConfigException
from kubernetes_asyncio.config.incluster_config import load_incluster_config
from kubernetes_asyncio.config.kube_config import load_kube_config

_MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_READ_AGAIN = 60.0

_REMEDY = (
    "Run in a Pod with a ServiceAccount (automountServiceAccountToken), or give a kubeconfig by --kubeconfig or KUBECONFIG; "
    "~/.kube/config is read without either"
)


class NoAccess(Exception):
    """There is no configuration to reach an API server with; the text says which files were looked for, and the remedy."""


class Access:
    """The configuration of kubernetes_asyncio, kept current. Without `kubeconfig` that of the Pod, if this is one.

    `mounted` is where a Pod has token and CA, `clock` a monotonic one.
    """

    def __init__(self, kubeconfig: Path | None = None, mounted: Path = _MOUNTED, clock: Callable[[], float] = time.monotonic) -> None:
        self.configuration = Configuration()
        self._kubeconfig = kubeconfig
        self._mounted = mounted
        self._clock = clock
        self._read_until = float("-inf")
        self._is_read = False
        self.fingerprint = b""

    def expire(self) -> None:
        """The server does not take what was read."""
        self._read_until = float("-inf")

    async def refresh(self) -> None:
        """Reads what is due. Raises NoAccess as long as nothing could be read."""
        now = self._clock()
        if now < self._read_until:
            return
        found = Configuration()
        # Watches hold a connection each, and a namespaced controller has a dozen a namespace: a bound would let some wait for ever.
        found.connection_pool_maxsize = 0
        # Python 3.13 refuses CA certificates without key identifiers, which many clusters were made with.
        found.disable_strict_ssl_verification = True
        try:
            await self._read(found)
            fingerprint = self._of_files(found)
        except (ConfigException, OSError, ValueError, TypeError, KeyError) as error:
            if not self._is_read:
                raise NoAccess(f"no access to an API server: {error}. {_REMEDY}") from error
        else:
            self.configuration, self.fingerprint, self._is_read = found, fingerprint, True
        self._read_until = now + _READ_AGAIN

    async def authorization(self) -> str | None:
        """The value of the Authorization field, None where a client certificate stands in its place."""
        token = self.configuration.api_key.get("BearerToken")
        return token.strip() if isinstance(token, str) else None

    async def _read(self, configuration: Configuration) -> None:
        if self._kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            files = {"token_filename": str(self._mounted / "token"), "cert_filename": str(self._mounted / "ca.crt")}
            load_incluster_config(configuration, try_refresh_token=False, **files)  # type: ignore[no-untyped-call]
            return
        chosen = str(self._kubeconfig) if self._kubeconfig is not None else None
        await load_kube_config(config_file=chosen, client_configuration=configuration, persist_config=False)

    def _of_files(self, configuration: Configuration) -> bytes:
        """Of the files that a TLS context is made from, and the address."""
        digest = hashlib.sha256(str(configuration.host).encode())
        for file in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
            digest.update(Path(file).read_bytes() if file else b"\0")
        return digest.digest()
