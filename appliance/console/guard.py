"""Who may ask: the Host header, the page that asks, and the headers that keep a browser from being tricked.

The console listens on loopback without a login, so two things stand between it and any web page that the operator
happens to visit: the same-origin policy (no CORS header is ever sent), and the Host header. A hostile page can get
around the first by DNS rebinding, pointing its own name at 127.0.0.1; its requests then still carry that name.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from appliance.console.answer import error_response
from appliance.net.host import HostGuard, host_name

UNTIL_S = web.RequestKey("until_s", int)
"""Key of a request: the Unix time until which whoever sent it may read on; absent: as long as it likes."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), usb=()",
}


def content_security_policy(connect: Iterable[str] = ()) -> str:
    """Nothing but our own files, no inline code; ``connect`` are further origins that scripts may talk to."""
    return "; ".join(
        [
            "default-src 'self'",
            " ".join(["connect-src 'self'", *connect]),
            "img-src 'self' data:",
            "media-src 'self' blob: mediastream:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def origin_of(address: str) -> str:
    """Scheme, host and port of an address, as a Content-Security-Policy wants it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def host_guard(allowed: Iterable[str] = ()) -> Middleware:
    """Middleware for the whole web server: a request under a name that is not ours gets 403 and the reason."""
    guard = HostGuard(allowed)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        header = request.headers.get("Host", "")
        if guard.admits(header):
            return await handler(request)
        return error_response(
            403,
            "unknown_host",
            f"this server is not known as {header[:100]!r}; use its address or localhost, "
            "or add the name to console.allowed_hosts",
        )

    return check


def other_site(request: web.Request) -> bool:
    """A page of another origin asks. Browsers say so themselves (Fetch Metadata), but to an address of plain HTTP only
    whose page it is: ``Origin`` is then this server's name, or the one that a reverse proxy was asked by. No page can
    set either header for another site.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"cross-site", "same-site"}
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    names = [request.headers.get("Host", ""), *request.headers.get("X-Forwarded-Host", "").split(",")]
    own = origin.partition("://")[2].lower()
    # Proxies are often told to pass the name on without its port.
    return {own, host_name(own)}.isdisjoint(name.strip().lower() for name in names if name)
