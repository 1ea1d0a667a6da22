"""Every URL. Which room serves a path is decided here and nowhere else."""

from django.contrib import admin
from django.urls import include, path

from fintech_core.http import api_documents, views

handler400 = "fintech_core.http.problems.bad_request"
handler403 = "fintech_core.http.problems.permission_denied"
handler404 = "fintech_core.http.problems.page_not_found"
handler500 = "fintech_core.http.problems.server_error"

urlpatterns = [
    path("", views.start_page, name="start"),
    path("favicon.ico", views.favicon, name="favicon"),
    path("health", views.HealthView.as_view(), name="health"),
    path("api/health", views.HealthView.as_view(), name="api-health"),
    path("ready", views.ReadyView.as_view(), name="ready"),
    path("api/schema", api_documents.SchemaView.as_view(authentication_classes=[]), name="schema"),
    path("api/docs", api_documents.DocsView.as_view(authentication_classes=[]), name="docs"),
    path("api/redoc", api_documents.RedocView.as_view(authentication_classes=[]), name="redoc"),
    path("api/redoc.js", api_documents.redoc_script, name="redoc-script"),
    path("api/errors", views.error_codes, name="error-codes"),
    path("api/v1/events", views.EventViewSet.as_view({"get": "list"}), name="events"),
    path("api/v1/", include("users.urls")),
    path("api/v1/", include("wallet.urls")),
    path("api/v1/", include("organizations.urls")),
    path("api/v1/", include("compliance.urls")),
    path("api/v1/", include("transactions.urls")),
    path("api/v1/", include("reconciliation.urls")),
    path("api/v1/", include("payments.urls")),
    path("api/v1/", include("offboarding.urls")),
    path("", include("payments.public_urls")),
    path("admin/", admin.site.urls),
]
