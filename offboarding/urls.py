"""Routes of erasure, data export and the closing of organizations, below /api/v1/."""

from django.urls import path

from offboarding.views import OrganizationClosingViewSet, PersonalDataViewSet

urlpatterns = [
    path("users/me/export", PersonalDataViewSet.as_view({"get": "export"}), name="users-me-export"),
    path("users/<uuid:pk>/erase", PersonalDataViewSet.as_view({"post": "erase"}), name="user-erase"),
    path(
        "organizations/<uuid:organization_id>/close",
        OrganizationClosingViewSet.as_view({"post": "close"}),
        name="organization-close",
    ),
]
