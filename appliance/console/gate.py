"""The gate of the collector's web server: what each request may do, and the login of the pages.

Everything is closed except what :data:`OPEN` names: the pages themselves, which hold no data, and what a load balancer
asks. Reading wants a reader, anything else an operator.
"""

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from msgspec import Struct

from appliance.console.answer import error_response, json_response
from appliance.console.guard import SECURITY_HEADERS, UNTIL_S, other_site
from appliance.console.login import Login, Role, Visitor, last_forwarded
from appliance.console.parameters import small_body

COOKIE = "appliance_session"
OPEN = frozenset({
    "/", "/call/{correlation_id}", "/code/{code}", "/fleet", "/together", "/live", "/demo", "/demo/videoroom",
    "/static/{path}", "/favicon.ico", "/healthz", "/readyz", "/api/session", "/api/login", "/api/logout", "/api/config",
    "/api/test/{code}", "/api/test/{code}/load",
})  # fmt: skip
"""Routes, as they were declared: what was matched, not what was written, so that no spelling gets around it."""
READS_BY_POST = frozenset({"/api/analyse"})
"""Changes nothing, whatever the method says."""
MAX_BODY = 4096


class _Given(Struct, frozen=True):
    secret: str


class Gate:
    """Middleware and routes of one web server."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def middleware(self) -> Middleware:
        """For the whole web server, after the guard of its names."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._login.required:
                return await handler(request)
            wait_s = self._must_wait_s(request)
            if wait_s:
                return _too_many(wait_s)
            if _is_open(request):
                return await handler(request)
            visitor = self.visitor(request)
            reads = request.method in {"GET", "HEAD"} or request.path in READS_BY_POST
            if visitor.role >= (Role.READER if reads else Role.OPERATOR):
                if visitor.until_s is not None:
                    request[UNTIL_S] = visitor.until_s
                return await handler(request)
            if visitor.role is Role.NOBODY:
                response = error_response(401, "login", "this is for those who have logged in")
                if self._login.takes_secrets:
                    response.headers["WWW-Authenticate"] = "Bearer"
                return response
            return error_response(403, "operator", "this is for operators; you may read")

        return check

    def routes(self) -> list[web.RouteDef]:
        """Before those of the console, which answers whatever else is asked of ``/api``."""
        return [
            web.get("/api/session", self._session),
            web.post("/api/login", self._log_in),
            web.post("/api/logout", self._log_out),
        ]

    def visitor(self, request: web.Request) -> Visitor:
        """Who asks. A wrong secret is noted."""
        login = self._login
        if not login.required:
            return Visitor(Role.OPERATOR)
        if login.is_proxy(request.remote) and (user := request.headers.get(login.user_header)):
            return login.by_proxy(user)
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and login.takes_secrets:
            return login.by_secret(secret.strip(), self.address(request))
        token = request.cookies.get(COOKIE)
        return login.by_token(token) if token else Visitor(Role.NOBODY)

    def _must_wait_s(self, request: web.Request) -> float:
        """Only whoever shows a secret can guess one."""
        return self._login.attempts.wait_s(self.address(request)) if "Authorization" in request.headers else 0.0

    def address(self, request: web.Request) -> str:
        """Who asks, through a proxy or not."""
        peer = request.remote or ""
        if self._login.is_proxy(peer):
            return last_forwarded(request.headers.get("X-Forwarded-For", "")) or peer
        return peer

    async def _session(self, request: web.Request) -> web.Response:
        return self._answer(self.visitor(request))

    async def _log_in(self, request: web.Request) -> web.Response:
        if other_site(request):
            return error_response(403, "other_site", "the login is for the console's own pages")
        wait_s = self._login.attempts.wait_s(self.address(request))
        if wait_s:
            return _too_many(wait_s)
        body = await small_body(request, MAX_BODY)
        try:
            given = msgspec.json.decode(body, type=_Given)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return error_response(400, "bad_login", 'wanted {"secret": "..."}')
        visitor = self._login.by_secret(given.secret, self.address(request))
        if visitor.role is Role.NOBODY:
            return error_response(401, "login", "that is not the secret")
        response = self._answer(visitor)
        response.set_cookie(
            COOKIE,
            self._login.token(visitor.role),
            max_age=self._login.valid_s,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._is_secure(request),
        )
        return response

    async def _log_out(self, request: web.Request) -> web.Response:
        if other_site(request):
            return error_response(403, "other_site", "the login is for the console's own pages")
        response = self._answer(Visitor(Role.NOBODY if self._login.required else Role.OPERATOR))
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=self._is_secure(request))
        return response

    def _is_secure(self, request: web.Request) -> bool:
        forwarded = self._login.is_proxy(request.remote) and request.headers.get("X-Forwarded-Proto") == "https"
        return request.secure or forwarded

    def _answer(self, visitor: Visitor) -> web.Response:
        response = json_response(
            {
                "role": visitor.role.word,
                "user": visitor.user or None,
                "login": self._login.required,
                "takes_secret": self._login.takes_secrets,
            }
        )
        for name, value in SECURITY_HEADERS.items():
            response.headers[name] = value
        return response


def _is_open(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in OPEN


def _too_many(wait_s: float) -> web.Response:
    response = error_response(429, "too_many", f"too many wrong secrets; try again in {wait_s:.0f} s")
    response.headers["Retry-After"] = str(int(wait_s) + 1)
    return response
