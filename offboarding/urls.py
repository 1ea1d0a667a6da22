"""Routes of erasure and data export, below /api/v1/."""

from django.urls import path

from offboarding.views import PersonalDataViewSet

urlpatterns = [
    path("users/me/export", PersonalDataViewSet.as_view({"get": "export"}), name="users-me-export"),
    path("users/<uuid:pk>/erase", PersonalDataViewSet.as_view({"post": "erase"}), name="user-erase"),
]
