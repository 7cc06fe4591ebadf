"""Why a download failed, in a line: the proxy, the certificate, the name; and what to set."""

import re
import urllib.request

# Passwords of proxies belong in no log.
PASSWORD = re.compile(r"//[^/@\s]+@")
PROXY_HINT = "set HTTPS_PROXY to a proxy that works, or unset it (NO_PROXY lists exceptions)"
CERTIFICATE_HINT = (
    "a proxy that opens TLS needs its certificate named: set REQUESTS_CA_BUNDLE and SSL_CERT_FILE "
    "(for npm NODE_EXTRA_CA_CERTS) to a .pem file with it"
)
OFFLINE_HINT = "is this machine online? Behind a proxy set HTTPS_PROXY"

# What an error's text shows, the first that fits, and the hint for it.
REASONS = (
    (
        r"Invalid\w*URL|ProxyError|proxy|SOCKS|Tunnel connection",
        "the proxy does not work",
        PROXY_HINT,
    ),
    (r"CA certificate bundle", "no certificates can be read", CERTIFICATE_HINT),
    (r"certificate|CERT|SSL|TLS", "its certificate is not trusted", CERTIFICATE_HINT),
    (
        r"NameResol|[Nn]ame resol|Name or service|getaddrinfo|nodename|ENOTFOUND|EAI_AGAIN",
        "its name is not known here",
        OFFLINE_HINT,
    ),
    (r"[Tt]imed? ?out|ETIMEDOUT", "no answer in time", OFFLINE_HINT),
    (r"refused|reset|aborted|unreachable|ECONN", "cannot be reached", OFFLINE_HINT),
)


def explain(text: str) -> str:
    """Say what an error of a network's text means and what to set; as it is, if nothing fits."""
    text = PASSWORD.sub("//***@", text)
    for pattern, meaning, hint in REASONS:
        if re.search(pattern, text):
            named = _proxy_in_use() if hint is PROXY_HINT else ""
            return f"{meaning}{named} ({_core(text)}); {hint}"
    return text


def explain_error(error: BaseException) -> str:
    """Say why a request of requests or urllib failed."""
    name = type(error).__name__
    said = str(error) or name
    # The kind tells what the text may not. The URLs are this project's own: an invalid one is a
    # proxy's.
    telling = ("ProxyError", "SSLError", "InvalidProxyURL", "InvalidURL")
    return explain(f"{name}: {said}" if name in telling else said)


def _proxy_in_use() -> str:
    proxies = urllib.request.getproxies()
    names = [name for name in ("https", "http", "all") if name in proxies]
    return PASSWORD.sub("//***@", f", {proxies[names[0]]}") if names else ""


def _core(text: str) -> str:
    """Return the innermost reason: urllib3 wraps it in what it tried, and with which objects."""
    after_number = re.findall(r"\[[^\]]*\]\s*([^'\")(]+)", text)
    quoted = re.findall(r"'([^']{8,})'", text)
    words: str = (after_number or quoted or text.splitlines())[-1]
    return words.strip()[:120]
