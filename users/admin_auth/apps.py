"""Django's admin with our site: named in INSTALLED_APPS in the place of `django.contrib.admin`."""

from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class AdminConfig(DjangoAdminConfig):
    default_site = "users.admin_auth.site.AdminSite"
