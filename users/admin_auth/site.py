"""The admin's own site: its log-in asks for the second factor, and its sessions are rows that can be ended.

`admin.site` is this one (users.admin_auth.apps), so every room registers its tables as usual.
"""

import uuid
from typing import Any

import segno
from django import forms
from django.conf import settings
from django.contrib.auth import login as django_login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django_otp import DEVICE_ID_SESSION_KEY
from unfold.sites import UnfoldAdminSite
from unfold.widgets import UnfoldAdminTextInputWidget

from fintech_core.admin.base import actor_of_request, reauthentication
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from users import log_in, selectors, services
from users.admin_auth.forms import AdminLogInForm, OwnPasswordForm
from users.admin_auth.middleware import SESSION_ID
from users.admin_auth.reauthentication import OTP_ATTRIBUTES


class LogInView(LoginView):
    """Django's, with a new session for every log-in: nothing that was in the cookie before lives on."""

    authentication_form = AdminLogInForm
    template_name = "users/admin/login.html"

    def form_valid(self, form: Any) -> HttpResponse:
        _end_own_session(self.request)
        self.request.session.flush()
        django_login(self.request, form.get_user())
        self.request.session[SESSION_ID] = str(form.session.pk)
        if form.device is not None:
            self.request.session[DEVICE_ID_SESSION_KEY] = form.device.persistent_id
        return HttpResponseRedirect(self.get_success_url())


# The search of select boxes, and a redirect to the public page of any object, which shows which objects exist.
_UNUSED_VIEWS = {"autocomplete", "view_on_site"}


class CodeForm(forms.Form):
    code = forms.CharField(max_length=16, widget=UnfoldAdminTextInputWidget(attrs=OTP_ATTRIBUTES))


class AdminSite(UnfoldAdminSite):
    """For staff who proved a second factor (settings.STAFF_SECOND_FACTOR)."""

    def has_permission(self, request: HttpRequest) -> bool:
        """AdminSessionMiddleware sets AnonymousUser when the session row is missing, ended or idle."""
        user: Any = request.user
        return bool(user.is_active and user.is_staff and (user.is_verified() or not settings.STAFF_SECOND_FACTOR))

    def get_urls(self) -> list[Any]:
        """Without Django's two views that find rows of other models: no page of ours uses them."""
        own = path("second-factor/", self.admin_view(self.second_factor), name="second_factor")
        return [own, *(url for url in super().get_urls() if getattr(url, "name", None) not in _UNUSED_VIEWS)]

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Unfold's, over the names of lists: they fill one page, and it can't answer for another."""
        if request.GET.get("page", "1") != "1":
            raise Http404
        return super().search(request, extra_context)

    @method_decorator(never_cache)
    @login_not_required
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        index = reverse("admin:index", current_app=self.name)
        if request.method == "GET" and self.has_permission(request):
            return HttpResponseRedirect(index)
        context = {
            **self.each_context(request),
            "title": "Log in",
            "subtitle": None,
            "app_path": request.get_full_path(),
            **(extra_context or {}),
        }
        request.current_app = self.name
        return LogInView.as_view(extra_context=context, next_page=index)(request)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        if request.method == "POST":
            _end_own_session(request)
        return super().logout(request, extra_context)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """With our form; Unfold's site has its own built in. A new password ends every session, this one too."""
        view = PasswordChangeView.as_view(
            form_class=OwnPasswordForm,
            success_url=reverse_lazy("admin:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)

    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """One's own authenticator and recovery codes: each step is a POST, after a re-authentication."""
        step = request.POST.get("step", "") if request.method == "POST" else ""
        again = reauthentication(request) if step else None
        if again is not None and not again.is_valid():
            return self._page(request, again=again)
        if step == "start":
            enrolment = unit_of_work(
                lambda: services.start_enrolment(
                    actor=actor_of_request(request), user_id=_user_id(request), needs_code=False
                )
            )
            return self._page(request, form=CodeForm(), **_shown(enrolment))
        if step == "confirm":
            return self._confirm(request)
        if step == "codes":
            return self._new_codes(request)
        return self._page(request)

    def _confirm(self, request: HttpRequest) -> HttpResponse:
        form = CodeForm(request.POST)
        enrolment = services.enrolment_under_way(user_id=_user_id(request))
        if enrolment is None:
            return self._page(request)
        if not form.is_valid():
            return self._page(request, form=form, **_shown(enrolment))
        try:
            codes = unit_of_work(
                log_in.confirm_enrolment(
                    actor=actor_of_request(request),
                    user_id=_user_id(request),
                    code=form.cleaned_data["code"],
                )
            )
        except DomainError as refusal:
            form.add_error("code", refusal.detail)
            return self._page(request, form=form, **_shown(enrolment))
        device = selectors.confirmed_device(_user_id(request))
        request.session.cycle_key()
        request.session[DEVICE_ID_SESSION_KEY] = device.persistent_id if device else ""
        return self._page(request, codes=codes)

    def _new_codes(self, request: HttpRequest) -> HttpResponse:
        try:
            codes = unit_of_work(
                lambda: services.renew_recovery_codes(
                    actor=actor_of_request(request), user_id=_user_id(request), needs_code=False
                )
            )
        except services.SecondFactorAbsent:
            return self._page(request)
        return self._page(request, codes=codes)

    def _page(self, request: HttpRequest, **more: Any) -> HttpResponse:
        user_id = _user_id(request)
        context = {
            **self.each_context(request),
            "title": "Second factor",
            "device": selectors.confirmed_device(user_id),
            "codes_left": selectors.recovery_codes_left(user_id),
            "page_url": reverse("admin:second_factor", current_app=self.name),
            **more,
        }
        response = TemplateResponse(request, "users/admin/second_factor.html", context)
        response["Cache-Control"] = "no-store"
        return response


def _shown(enrolment: services.Enrolment) -> dict[str, Any]:
    """The key as text and as a QR code: inline SVG of our own making, no script and no image from elsewhere."""
    svg = segno.make(enrolment.otpauth_url, error="m").svg_inline(scale=5, light="white")
    return {"enrolment": enrolment, "qr": mark_safe(svg)}  # noqa: S308 - made from the URL, which it encodes as modules


def _user_id(request: HttpRequest) -> uuid.UUID:
    return uuid.UUID(str(request.user.pk))


def _end_own_session(request: Any) -> None:
    """End the session row of the user who is logged in with this cookie, if there is one."""
    if request.user.is_authenticated:
        actor, session_id = actor_of_request(request), request.credential_id
        unit_of_work(lambda: services.end_admin_session(actor=actor, session_id=session_id))
