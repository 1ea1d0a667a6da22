"""The frame of every API view: validate, one service call, render. Views have no try/except and open no transaction."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

from django.http import HttpResponse
from rest_framework import viewsets
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from fintech_core.db import idempotency, work
from fintech_core.exceptions import DomainError, NotAuthenticated, NotFound, ValidationFailed
from fintech_core.http import pagination, problems
from fintech_core.http.endpoints import Endpoint, IdempotencyKey, endpoint_called
from fintech_core.http.serializers import StrictInput
from fintech_core.http.single_values import IDEMPOTENCY_KEY, ORGANIZATION, HeaderInvalid, single_header
from fintech_core.limits import ratelimit
from fintech_core.security import step_up
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability

T = TypeVar("T")
# Printable ASCII without commas, and no blanks at the ends: the server cuts those off, and joins repetitions by commas.
IDEMPOTENCY_KEY_PATTERN = r"[!-+\--~]([ -+\--~]{0,253}[!-+\--~])?"
_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN, re.ASCII)
REPLAYED_HEADER = "Idempotency-Replayed"


class IdempotencyKeyRequired(DomainError):
    code = "idempotency_key_required"
    status = HTTPStatus.BAD_REQUEST
    title = "This request moves money and requires an Idempotency-Key header."


class IdempotencyKeyInvalid(DomainError):
    code = "idempotency_key_invalid"
    status = HTTPStatus.BAD_REQUEST
    title = "An Idempotency-Key has 1 to 255 printable ASCII characters, no comma, and no leading or trailing spaces."


class DomainViewSet(viewsets.GenericViewSet[Any]):
    """Subclasses declare every action with `@endpoint` and scope `get_queryset` by `self.actor`."""

    order: ClassVar[tuple[str, ...]] = ("-created_at", "-id")
    filter_input: ClassVar[type[StrictInput] | None] = None
    output: ClassVar[type[BaseSerializer[Any]]]
    lookup_value_converter = "uuid"
    filter_backends = ()
    pagination_class = None

    @property
    def actor(self) -> Actor:
        """The caller. Only routes open to the public may be called without one."""
        actor = self.request.auth
        if not isinstance(actor, Actor):
            raise AssertionError("a public route has no actor")
        return actor

    @property
    def endpoint(self) -> Endpoint:
        """What the action that is called declares."""
        return endpoint_called(self, self.request)

    def perform_authentication(self, request: Any) -> None:
        """A verb that the path doesn't have and a missing key are refused before an unknown organization (404) is."""
        if not hasattr(self, request.method.lower()):
            raise MethodNotAllowed(request.method)
        if single_header(request, ORGANIZATION) is not None and self.endpoint.key is IdempotencyKey.REQUIRED:
            self._require_key(request)
        super().perform_authentication(request)

    def _require_key(self, request: Any) -> None:
        if single_header(request, IDEMPOTENCY_KEY) is None and request.data.get("dry_run") is not True:
            raise IdempotencyKeyRequired

    def check_permissions(self, request: Any) -> None:
        """Counted before it is judged: who is refused again and again is limited as well."""
        if request.auth is None and self.endpoint.access is not Capability.PUBLIC:
            raise NotAuthenticated  # counted by network in the middleware
        super().check_throttles(request)
        super().check_permissions(request)

    def check_throttles(self, request: Any) -> None:
        """Done already, by check_permissions."""

    def validated(self, input_class: type[StrictInput], data: Any = None) -> dict[str, Any]:
        """The checked body. Raises DRF's ValidationError (400)."""
        serializer = input_class(data=self.request.data if data is None else data, context={"request": self.request})
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def write(
        self,
        use_case: Callable[[], Any],
        output: type[BaseSerializer[Any]] | None,
        *,
        status: int = HTTPStatus.OK,
    ) -> HttpResponse:
        """Run a use case: under its Idempotency-Key where the endpoint takes one and there is one, else in a plain unit
        of work.
        """
        render = self._renderer(output, status)
        declared = self.endpoint
        key = None if declared.key is IdempotencyKey.IGNORED else single_header(self.request, IDEMPOTENCY_KEY)
        self._confirm_step_up(key)
        ratelimit.count_sends(declared.limits, self.request)
        use_case = self._spending_staffs_code(use_case)
        if key is None:
            if declared.key is IdempotencyKey.REQUIRED:
                raise IdempotencyKeyRequired
            return _http(work.unit_of_work_with_trace(lambda: render(use_case())))
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise IdempotencyKeyInvalid
        fingerprint = idempotency.fingerprint(
            method=self.request.method or "", path=self.request.path, body=self.request.data
        )
        return _http(
            idempotency.run(actor=self.actor, key=key, fingerprint=fingerprint, use_case=use_case, render=render)
        )

    def _confirm_step_up(self, key: str | None) -> None:
        """Have the code that came with a sensitive request checked, before its unit of work; tries count.

        A request that is answered from its key needs none: its code was spent when it was done.
        """
        code = single_header(self.request, step_up.HEADER)
        if code is None or self.endpoint.step_up is None:
            return
        if not code:
            raise HeaderInvalid(f"{step_up.HEADER} is empty, or holds something else than ASCII.")
        if key is not None and idempotency.is_answered(actor=self.actor, key=key):
            return
        by_header = single_header(self.request, ORGANIZATION)  # below /organizations/{id} the path says it, too
        fingerprint = step_up.fingerprint(
            method=self.request.method or "",
            path=self.request.path,
            body=self.request.data,
            organization=self.actor.organization_id if by_header else None,
        )
        confirmed = step_up.confirm(actor=self.actor, fingerprint=fingerprint, code=code)
        self.request.auth = dataclasses.replace(self.actor, step_up_id=confirmed)

    def _spending_staffs_code(self, use_case: Callable[[], T]) -> Callable[[], T]:
        """The use case, after the code of a member of staff was spent in the same unit of work, where one is needed."""
        action = self.endpoint.step_up
        if action is None or not action.of_staff or not self.actor.is_staff:
            return use_case

        def confirmed() -> T:
            step_up.spend_for_staff(actor=self.actor)
            return use_case()

        return confirmed

    def dry_run(
        self,
        question: Callable[[], Any],
        output: type[BaseSerializer[Any]],
        *,
        commit_first: Callable[[Any], Callable[[], None] | None] | None = None,
    ) -> HttpResponse:
        """Answer a dry run: 200, inside a snapshot in which nothing can be written. A key that is sent is ignored:
        there is nothing to protect, and a stored answer would be a trace.

        `commit_first` makes of an outcome what has to be committed before its answer leaves; None for nothing.
        """
        render = self._renderer(output, HTTPStatus.OK)
        with work.read_only_snapshot():
            outcome = question()
            answer = render(outcome)
        write = commit_first(outcome) if commit_first is not None else None
        if write is not None:
            work.unit_of_work_with_trace(write)
        return _http(answer)

    def _renderer(self, output: type[BaseSerializer[Any]] | None, status: int) -> idempotency.Render:
        def render(outcome: Any) -> idempotency.Answer:
            if isinstance(outcome, DomainError):
                return idempotency.Answer(outcome.status, problems.CONTENT_TYPE, problems.body_of(outcome))
            if output is None:
                return idempotency.Answer(status, "application/json", b"")
            data = output(outcome, context={"request": self.request, "actor": self.request.auth}).data
            return idempotency.Answer(status, "application/json", JSONRenderer().render(data))

        return render

    def list_page(
        self, queryset: Any = None, *, output: type[BaseSerializer[Any]] | None = None, order: Any = None
    ) -> Response:
        """One page of `queryset` (default: the view's own), filtered by the allow-list of `filter_input`."""
        filters = self.checked_filters()
        rows = self.get_queryset() if queryset is None else queryset
        page = pagination.paginate(self.apply_filters(rows, filters), self.request, order or self.order)
        serializer = (output or self.output)(
            page["results"], many=True, context={"request": self.request, "actor": self.request.auth}
        )
        return Response({**page, "results": serializer.data})

    def checked_filters(self) -> dict[str, Any]:
        parameters = {
            name: value for name, value in self.request.query_params.items() if name not in pagination.PARAMETERS
        }
        if self.filter_input is None:
            if parameters:
                refuse_unknown(parameters)
            return {}
        return self.validated(self.filter_input, parameters)

    def apply_filters(self, queryset: Any, filters: Mapping[str, Any]) -> Any:
        return queryset.filter(**filters)

    def retrieve_one(self, output: type[BaseSerializer[Any]] | None = None) -> Response:
        instance = self.get_object()
        serializer = (output or self.output)(instance, context={"request": self.request, "actor": self.request.auth})
        return Response(serializer.data)

    def get_object(self) -> Any:
        """The path's object among those that the caller may see; 404 otherwise."""
        instance = self.get_queryset().filter(pk=self.kwargs["pk"]).first()
        if instance is None:
            raise NotFound
        return instance


def refuse_unknown(parameters: Mapping[str, Any]) -> None:
    raise ValidationFailed(
        [
            {"field": name, "code": "unknown_field", "message": "There is no such parameter."}
            for name in sorted(parameters)
        ]
    )


def _http(answer: idempotency.Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status, content_type=answer.content_type)
    if answer.replayed:
        response[REPLAYED_HEADER] = "true"
    return response
